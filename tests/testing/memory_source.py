"""A broker in memory and an honest trigger for it; and triggers that break one promise each."""

import asyncio
from collections import deque
from typing import ClassVar, cast

from reactor.core.errors import NotConnected
from reactor.core.event import Delivery, Event, Settlement
from reactor.testing.trigger_suite import Rig
from reactor.triggers.contract import Traits, Trigger

HONEST = Traits(acknowledges=True, stable_ids=True, ordered=False, replays=False, shared=False)


class Broker:
    """Hands each message out until it is acknowledged; what a connection held comes back when that ends."""

    def __init__(self) -> None:
        self.ready: deque[tuple[int, bytes]] = deque()
        self.out: dict[int, tuple[int, bytes]] = {}
        self.arrived = asyncio.Event()
        self.number = 0
        self.connection = 0

    def push(self, payload: bytes) -> None:
        self.number += 1
        self.ready.append((self.number, payload))
        self.arrived.set()

    def reset(self) -> None:
        """The connection ended."""
        self.connection += 1
        self.ready.extendleft(self.out[number] for number in sorted(self.out, reverse=True))
        self.out.clear()
        self.arrived.set()

    def back(self, number: int) -> None:
        if number in self.out:
            self.ready.appendleft(self.out.pop(number))
            self.arrived.set()


class MemoryTrigger:
    """Keeps its word."""

    traits: ClassVar[Traits] = HONEST

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.connection = -1

    async def connect(self) -> None:
        if self.connection != self.broker.connection:
            self.broker.reset()
        self.connection = self.broker.connection

    async def read(self) -> Delivery:
        while True:
            if self.connection != self.broker.connection:
                raise NotConnected("the connection was cut")
            if self.broker.ready:
                return self.deliver(*self.take())
            self.broker.arrived.clear()
            await self.broker.arrived.wait()

    def take(self) -> tuple[int, bytes]:
        message = self.broker.ready.popleft()
        self.broker.out[message[0]] = message
        return message

    def deliver(self, number: int, payload: bytes) -> Delivery:
        connection = self.connection

        async def settle(settlement: Settlement) -> None:
            if connection == self.broker.connection:
                self.settle(number, settlement)

        return Delivery((self.event(number, payload),), settle)

    def event(self, number: int, payload: bytes) -> Event:
        return Event(type="test", source="/memory", id=str(number), data=payload.decode())

    def settle(self, number: int, settlement: Settlement) -> None:
        if settlement.again:
            self.broker.back(number)
        else:
            self.broker.out.pop(number, None)

    async def close(self) -> None:
        if self.connection == self.broker.connection:
            self.broker.reset()
        self.connection = -1


class MemoryRig(Rig):
    kind: type[MemoryTrigger] = MemoryTrigger

    def __init__(self, kind: type[MemoryTrigger] = MemoryTrigger) -> None:
        super().__init__()
        self.broker = Broker()
        self.kind = kind

    async def make(self) -> Trigger:
        return cast(Trigger, self.kind(self.broker))

    async def emit(self, payload: bytes) -> None:
        self.broker.push(payload)
        await asyncio.sleep(0)

    def payload(self, event: Event) -> bytes:
        return event.data.encode()

    async def cut(self, trigger: Trigger) -> None:
        self.broker.reset()


class DropsEveryTenth(MemoryTrigger):
    def take(self) -> tuple[int, bytes]:
        message = super().take()
        if message[0] % 10 == 0 and self.broker.ready:
            del self.broker.out[message[0]]
            return super().take()
        return message


class SettlesBeforeDurable(MemoryTrigger):
    def take(self) -> tuple[int, bytes]:
        message = super().take()
        del self.broker.out[message[0]]
        return message


class NewIdsOnRedelivery(MemoryTrigger):
    count = 0

    def event(self, number: int, payload: bytes) -> Event:
        NewIdsOnRedelivery.count += 1
        return super().event(number, payload).replace(id=f"d{NewIdsOnRedelivery.count}")


class IdsOfTheContent(MemoryTrigger):
    def event(self, number: int, payload: bytes) -> Event:
        return super().event(number, payload).replace(id=payload.decode())


class IgnoresRefusals(MemoryTrigger):
    def settle(self, number: int, settlement: Settlement) -> None:
        self.broker.out.pop(number, None)


class NeverSettles(MemoryTrigger):
    def settle(self, number: int, settlement: Settlement) -> None:
        if settlement.again:
            self.broker.back(number)


class SettlesAllBefore(MemoryTrigger):
    """One position for all: settling a later one settles those before."""

    def settle(self, number: int, settlement: Settlement) -> None:
        if settlement.again:
            self.broker.back(number)
        else:
            for each in [each for each in self.broker.out if each <= number]:
                del self.broker.out[each]


class LosesACancelledRead(MemoryTrigger):
    async def read(self) -> Delivery:
        delivery = await super().read()
        number = int(delivery.events[0].id)
        del self.broker.out[number]
        await asyncio.sleep(0)
        return delivery


class ForgetsToReconnect(MemoryTrigger):
    async def connect(self) -> None:
        self.connection = self.broker.connection

    async def read(self) -> Delivery:
        while not self.broker.ready:
            self.broker.arrived.clear()
            await self.broker.arrived.wait()
        return self.deliver(*self.take())

    def deliver(self, number: int, payload: bytes) -> Delivery:
        if self.connection != self.broker.connection:
            self.broker.out.pop(number, None)
            return Delivery((self.event(0, b"?"),))
        return super().deliver(number, payload)


class Shuffles(MemoryTrigger):
    traits: ClassVar[Traits] = Traits(acknowledges=True, stable_ids=True, ordered=True, replays=False, shared=False)

    def take(self) -> tuple[int, bytes]:
        self.broker.ready.rotate(1)
        return super().take()


class HasNoIds(MemoryTrigger):
    def event(self, number: int, payload: bytes) -> Event:
        return super().event(number, payload).replace(id="")


class HangsInClose(MemoryTrigger):
    async def close(self) -> None:
        if self.connection >= 0:
            self.connection = -1
            await asyncio.sleep(60)


class LeavesATask(MemoryTrigger):
    async def connect(self) -> None:
        await super().connect()
        self.task = asyncio.ensure_future(asyncio.Event().wait())


class CannotCloseTwice(MemoryTrigger):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
        await super().close()


class ReadsOnlyWhatIsNew(MemoryTrigger):
    """Begins at its first read, not at connect."""

    begun = False

    async def read(self) -> Delivery:
        if not self.begun:
            self.begun = True
            self.broker.ready.clear()
        return await super().read()
