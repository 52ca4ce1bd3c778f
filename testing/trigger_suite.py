"""The tests that every trigger passes, ours and yours: subclass TriggerSuite, name the trigger, supply `rig`.

    class TestSerialPort(TriggerSuite):
        trigger = SerialPort

        @pytest.fixture
        async def rig(self):
            async with SerialPortRig() as rig:
                yield rig

A test that a source cannot pass is excused by its declared traits, never by its name: who declares more must keep more.
What is excused is no test of the subclass at all, neither passed nor skipped; its `excused` says what and why.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, ClassVar, Self, cast

from msgspec import UNSET

from ..core.errors import NotConnected, ReactorError
from ..core.event import check, decode_stored, encode
from ..core.limits import CLOSE_S_MAX
from ..triggers.contract import Delivery, Event, Receipt, Settlement, Traits, Trigger, Undecodable
from .tasks import tasks_begun

__all__ = ["Rig", "TriggerSuite"]


class Rig(ABC):
    """The world around a trigger: makes it, lets things happen outside, keeps what a store would keep.

    `marks` are the stored marks: `make` hands them to the trigger's context. All triggers it made are closed with it.
    """

    def __init__(self) -> None:
        self.marks: dict[str, bytes] = {}
        self._made: list[Trigger] = []

    @abstractmethod
    async def make(self) -> Trigger:
        """A new trigger, not connected; a second one is what a restart would make."""

    @abstractmethod
    async def emit(self, payload: bytes) -> None:
        """Let one event happen that carries this payload (ASCII), and return once the source has it."""

    @abstractmethod
    def payload(self, event: Event) -> bytes:
        """The payload that `emit` was given."""

    @abstractmethod
    async def cut(self, trigger: Trigger) -> None:
        """Break its connection as the network would. Nothing to do where there is none."""

    async def take_back(self, trigger: Trigger) -> None:  # noqa: B027 - most rigs lend nothing
        """Close what was lent to a trigger that is closed, such as a connection of its own. Mostly nothing."""

    async def open(self) -> Trigger:
        """A new trigger, connected."""
        trigger = await self.make()
        self._made.append(trigger)
        await connect(trigger, 30.0)
        return trigger

    async def __aenter__(self) -> Self:
        """The rig itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every trigger."""
        for trigger in self._made:
            await close(trigger)


async def connect(trigger: Trigger, limit_s: float) -> None:
    """Connect as the supervisor does: again after NotConnected."""
    refusal: NotConnected | None = None
    try:
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    return await trigger.connect()
                except NotConnected as error:
                    refusal = error
                    await asyncio.sleep(0)
    except TimeoutError as error:
        why = f"; the last time it raised NotConnected: {refusal}" if refusal is not None else ""
        raise AssertionError(f"`connect` did not come to an end within {limit_s:g} s{why}") from refusal or error


async def close(trigger: Trigger) -> None:
    """Close within CLOSE_S_MAX, else fail."""
    try:
        async with asyncio.timeout(CLOSE_S_MAX):
            await trigger.close()
    except TimeoutError as error:
        raise AssertionError(f"`close` did not come to an end within {CLOSE_S_MAX:g} s") from error


_CONDITIONAL: dict[str, tuple[str, str]] = {}
"""Each test that asks for a promise: the trait, and what a source without it does not promise."""
_NO_REDELIVERY = "the source cannot redeliver"

_Test = Callable[[Any, Rig], Awaitable[None]]


def _only_if(trait: str, without: str) -> Callable[[_Test], _Test]:
    def note(test: _Test) -> _Test:
        _CONDITIONAL[test.__name__] = (trait, without)
        return test

    return note


def excuses(traits: Traits) -> dict[str, str]:
    """The tests of TriggerSuite that these traits leave out, each with why."""
    return {name: without for name, (trait, without) in _CONDITIONAL.items() if not getattr(traits, trait)}


def _count(deliveries: Sequence[Delivery]) -> int:
    return sum(len(delivery.events) for delivery in deliveries)


class TriggerSuite:
    """The contract of triggers/contract.py, test by test."""

    trigger: ClassVar[type[Trigger]]
    """The class that the rig makes: its `traits` say which tests are left out."""
    excused: ClassVar[Mapping[str, str]] = {}
    """The tests that the traits leave out, each with the promise that the source does not make."""
    LIMIT_S: ClassVar[float] = 15.0
    """How long a test waits for an event that must come."""
    QUIET_S: ClassVar[float] = 0.3
    """How long nothing must come until a test believes that nothing will."""
    MANY: ClassVar[int] = 500

    def __init_subclass__(cls, **more: Any) -> None:
        """Leave out what the trigger does not promise."""
        super().__init_subclass__(**more)
        if hasattr(cls, "trigger"):
            cls.excused = excuses(cls.trigger.traits)
            for name in _CONDITIONAL:
                if name in cls.excused:
                    setattr(cls, name, None)
                elif getattr(cls, name) is None:  # the class above is for a trigger that promises less
                    setattr(cls, name, vars(TriggerSuite)[name])

    async def test_the_rig_makes_the_trigger_of_this_suite(self, rig: Rig) -> None:
        """The traits that leave tests out are those of what is tested."""
        assert hasattr(self, "trigger"), "name the class of the trigger in the suite: trigger = ..."
        made = await rig.make()
        assert (type(made), made.traits) == (self.trigger, self.trigger.traits)

    # -- opening and closing

    async def test_opens_and_closes(self, rig: Rig) -> None:
        """Connect, then close within CLOSE_S_MAX."""
        trigger = await rig.open()
        await close(trigger)

    async def test_closes_twice_and_before_it_was_connected(self, rig: Rig) -> None:
        """Closing is always safe."""
        trigger = await rig.make()
        await close(trigger)
        await close(trigger)
        trigger = await rig.open()
        await close(trigger)
        await close(trigger)

    async def test_closes_after_a_cancelled_read(self, rig: Rig) -> None:
        """Nothing of a read that was cancelled holds `close` up."""
        trigger = await rig.open()
        await self._idle(rig, trigger)
        reading = asyncio.ensure_future(trigger.read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await close(trigger)

    async def test_closing_leaves_nothing_at_work(self, rig: Rig) -> None:
        """No task and no thread of a trigger outlives its `close`."""
        await self._open_and_close(rig)  # what is shared, such as a connection, is there from now on
        threads = threading.active_count()
        with tasks_begun() as begun:
            for _ in range(3):
                await self._open_and_close(rig)
            under_way = [task for task in begun if not task.done()]
            if under_way:
                await asyncio.wait(under_way, timeout=CLOSE_S_MAX)
        left = [task for task in begun if not task.done()]
        names = sorted({str(getattr(task.get_coro(), "__qualname__", task)) for task in left})
        assert not left, f"a trigger that was closed left {len(left)} tasks behind: {', '.join(names)}"
        more = threading.active_count() - threads
        assert more < 3, f"three triggers that were opened and closed left {more} threads behind"

    async def test_settling_after_close_harms_nobody(self, rig: Rig) -> None:
        """A receipt may come late."""
        trigger = await rig.open()
        await rig.emit(b"A")
        delivery = (await self._read(rig, trigger, 1))[0]
        await close(trigger)
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._accept(rig, delivery)
        except ReactorError:
            return

    # -- events

    async def test_reads_what_came_before_reading_began(self, rig: Rig) -> None:
        """From `connect` on nothing is missed."""
        trigger = await rig.open()
        await rig.emit(b"A")
        assert await self._payloads(rig, trigger, 1) == [b"A"]

    async def test_wakes_a_waiting_reader(self, rig: Rig) -> None:
        """An event that comes while `read` waits is read."""
        trigger = await rig.open()
        await self._idle(rig, trigger)
        reading = asyncio.ensure_future(self._payloads(rig, trigger, 1))
        await asyncio.sleep(0)
        await rig.emit(b"A")
        assert await reading == [b"A"]

    async def test_events_are_whole(self, rig: Rig) -> None:
        """Valid CloudEvents that survive the store; without an id only where the source promises none."""
        trigger = await rig.open()
        await rig.emit(b"A")
        (event,) = self._events(await self._read(rig, trigger, 1))
        if not event.id:
            assert not trigger.traits.stable_ids, "stable ids are promised, but there is none"
            event = event.replace(id="fresh")
        check(event)
        stored = decode_stored(encode(event, meta=True))
        assert stored == event
        assert stored.data is not UNSET or event.data is UNSET

    async def test_equal_payloads_are_two_events(self, rig: Rig) -> None:
        """An id is never made of the content alone."""
        trigger = await rig.open()
        await rig.emit(b"same")
        await rig.emit(b"same")
        events = self._events(await self._accepted(rig, trigger, 2))
        ids = {(event.source, event.id) for event in events if event.id}
        assert len(ids) == sum(bool(event.id) for event in events) or not ids

    async def test_many_at_once_all_arrive_once(self, rig: Rig) -> None:
        """MANY events from many senders."""
        trigger = await rig.open()
        sent = [f"p{number}".encode() for number in range(self.MANY)]
        sending = asyncio.ensure_future(self._emit_all(rig, sent))
        got = await self._payloads(rig, trigger, self.MANY)
        await sending
        assert Counter(got) == Counter(sent)

    @_only_if("ordered", "the source promises no order")
    async def test_keeps_the_order_of_a_partition(self, rig: Rig) -> None:
        """Excused unless `ordered`."""
        trigger = await rig.open()
        for number in range(30):
            await rig.emit(f"{number}".encode())
        order: dict[str, list[int]] = {}
        for delivery in await self._accepted(rig, trigger, 30):
            numbers = [int(rig.payload(event)) for event in self._events([delivery])]
            order.setdefault(delivery.partition, []).extend(numbers)
        for numbers in order.values():
            assert numbers == sorted(numbers)

    @_only_if("acknowledges", "the source keeps nothing for a slow reader")
    async def test_nobody_reads_for_a_while(self, rig: Rig) -> None:
        """What comes meanwhile waits: nothing is lost to a full inbox. Excused unless `acknowledges`."""
        trigger = await rig.open()
        sent = [f"w{number}".encode() for number in range(100)]
        await self._emit_all(rig, sent)
        assert Counter(await self._payloads(rig, trigger, 100)) == Counter(sent)

    async def test_cancelling_loses_nothing(self, rig: Rig) -> None:
        """A read cut short at any moment took no event with it."""
        trigger = await rig.open()
        sent = [f"c{number}".encode() for number in range(40)]
        sending = asyncio.ensure_future(self._emit_all(rig, sent))
        got: list[bytes] = []
        async with asyncio.timeout(self.LIMIT_S):
            for turn in range(10_000_000):
                reading = asyncio.ensure_future(trigger.read())
                for _ in range(turn % 7):
                    await asyncio.sleep(0)
                if turn % 50 == 49:
                    await asyncio.wait({reading}, timeout=0.05)
                if not reading.done():
                    reading.cancel()
                    await asyncio.wait({reading})
                if not reading.cancelled():
                    delivery = reading.result()
                    await self._accept(rig, delivery)
                    got += [rig.payload(event) for event in self._events([delivery])]
                if len(got) >= len(sent):
                    break
        await sending
        assert Counter(got) == Counter(sent)

    # -- settling: excused unless `acknowledges`

    @_only_if("acknowledges", _NO_REDELIVERY)
    async def test_what_was_not_settled_comes_again_after_a_restart(self, rig: Rig) -> None:
        """And under the same id, if those are stable."""
        trigger = await rig.open()
        await rig.emit(b"A")
        first = self._events(await self._read(rig, trigger, 1))[0]
        await close(trigger)
        again = self._events(await self._read(rig, await rig.open(), 1))[0]
        self._same(rig, trigger, first, again)

    @_only_if("acknowledges", _NO_REDELIVERY)
    async def test_a_refused_event_comes_back(self, rig: Rig) -> None:
        """`settle(again=True)`: the store could not take it now."""
        trigger = await rig.open()
        await rig.emit(b"A")
        (delivery,) = await self._read(rig, trigger, 1)
        await delivery.settle(Settlement(again=True, retry_after_s=0.0))
        (again,) = await self._read(rig, trigger, 1)
        self._same(rig, trigger, self._events([delivery])[0], self._events([again])[0])

    @_only_if("acknowledges", _NO_REDELIVERY)
    async def test_what_was_settled_does_not_come_again(self, rig: Rig) -> None:
        """After a restart the next event is a new one."""
        trigger = await rig.open()
        await rig.emit(b"A")
        assert await self._payloads(rig, trigger, 1) == [b"A"]
        await close(trigger)
        await rig.emit(b"B")
        trigger = await rig.open()
        assert await self._payloads(rig, trigger, 1) == [b"B"]
        assert await self._rest(rig, trigger) == []

    @_only_if("acknowledges", _NO_REDELIVERY)
    async def test_settling_out_of_order_never_skips_one(self, rig: Rig) -> None:
        """Only the last of what was read is settled before a restart: all others come again."""
        trigger = await rig.open()
        sent = [f"o{number}".encode() for number in range(6)]
        await self._emit_all(rig, sent)
        held = await self._some(rig, trigger, len(sent))
        assert held, "nothing came"
        await self._accept(rig, held[-1])
        settled = [rig.payload(event) for event in self._events(held[-1:])]
        await close(trigger)
        trigger = await rig.open()
        wanted = set(sent) - set(settled)
        got: list[bytes] = []
        async with asyncio.timeout(self.LIMIT_S):
            while not wanted <= set(got):
                got += await self._payloads(rig, trigger, 1)
        got += await self._rest(rig, trigger)
        assert set(got) <= set(sent)

    @_only_if("acknowledges", _NO_REDELIVERY)
    async def test_all_arrive_although_the_connection_is_cut(self, rig: Rig) -> None:
        """Before, in the middle and after: read again under the supervisor's rule, NotConnected means connect."""
        trigger = await rig.open()
        sent = [f"x{number}".encode() for number in range(9)]
        got: list[bytes] = []
        for turn in range(3):
            for payload in sent[turn * 3 : turn * 3 + 3]:
                await rig.emit(payload)
            if turn < 2:
                got += await self._payloads(rig, trigger, 1)
                await rig.cut(trigger)
        async with asyncio.timeout(self.LIMIT_S):
            while not set(sent) <= set(got):
                got += await self._payloads(rig, trigger, 1)
        got += await self._rest(rig, trigger)
        assert set(got) == set(sent)

    # -- how the tests read

    async def _open_and_close(self, rig: Rig) -> None:
        trigger = await rig.open()
        await close(trigger)
        await rig.take_back(trigger)

    async def _emit_all(self, rig: Rig, payloads: Sequence[bytes]) -> None:
        for start in range(0, len(payloads), 20):
            await asyncio.gather(*(rig.emit(payload) for payload in payloads[start : start + 20]))

    async def _next(self, rig: Rig, trigger: Trigger) -> Delivery:
        """The next delivery; one without events is accepted on the way."""
        while True:
            try:
                delivery = await trigger.read()
            except NotConnected:
                await connect(trigger, self.LIMIT_S)
                continue
            found = cast("object", delivery)
            assert isinstance(found, Delivery), f"`read` must give a Delivery; it gave {type(found).__name__}"
            if delivery.events:
                return delivery
            await self._accept(rig, delivery)

    async def _idle(self, rig: Rig, trigger: Trigger) -> None:
        """Take what it brings of its own accord after connecting: marks without events."""
        assert not await self._some(rig, trigger, 1), "an event that nobody emitted"

    async def _read(self, rig: Rig, trigger: Trigger, events: int) -> list[Delivery]:
        """Deliveries with at least so many events, not settled."""
        found: list[Delivery] = []
        async with self._limit(found, events):
            while _count(found) < events:
                found.append(await self._next(rig, trigger))
        return found

    async def _some(self, rig: Rig, trigger: Trigger, events: int) -> list[Delivery]:
        """As many as it gives while none is settled; those without events are accepted, and not counted."""
        found: list[Delivery] = []
        while _count(found) < events:
            reading = asyncio.ensure_future(self._next(rig, trigger))
            await asyncio.wait({reading}, timeout=3 * self.QUIET_S)
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
                if reading.cancelled():
                    break
            found.append(reading.result())
        return found

    async def _accepted(self, rig: Rig, trigger: Trigger, events: int) -> list[Delivery]:
        """Deliveries with so many events, each accepted before the next is read."""
        found: list[Delivery] = []
        async with self._limit(found, events):
            while _count(found) < events:
                found.append(await self._next(rig, trigger))
                await self._accept(rig, found[-1])
        return found

    @asynccontextmanager
    async def _limit(self, found: Sequence[Delivery], events: int) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self.LIMIT_S):
                yield
        except TimeoutError as error:
            raise AssertionError(f"{_count(found)} of {events} events came within {self.LIMIT_S:g} s") from error

    async def _payloads(self, rig: Rig, trigger: Trigger, events: int) -> list[bytes]:
        return [rig.payload(event) for event in self._events(await self._accepted(rig, trigger, events))]

    async def _rest(self, rig: Rig, trigger: Trigger) -> list[bytes]:
        """Whatever still comes until it is quiet."""
        got: list[bytes] = []
        while True:
            reading = asyncio.ensure_future(self._next(rig, trigger))
            done, _ = await asyncio.wait({reading}, timeout=self.QUIET_S)
            if not done:
                reading.cancel()
                await asyncio.wait({reading})
                if reading.cancelled():
                    return got
            await self._accept(rig, reading.result())
            got += [rig.payload(event) for event in self._events([reading.result()])]

    async def _accept(self, rig: Rig, delivery: Delivery) -> None:
        """What the store and the intake do: all marks, then the settlement. A lost position refuses the delivery."""
        for mark in delivery.marks:
            if mark.expected is not UNSET and rig.marks.get(mark.key) != mark.expected:
                await delivery.settle(Settlement(again=True))
                return
        for mark in delivery.marks:
            if mark.value is None:
                rig.marks.pop(mark.key, None)
            else:
                rig.marks[mark.key] = mark.value
        receipts = tuple(Receipt("accepted", f"e1-{number}") for number, _ in enumerate(delivery.events, 1))
        await delivery.settle(Settlement(receipts=receipts))

    def _events(self, deliveries: Sequence[Delivery]) -> list[Event]:
        found: list[Event] = []
        for delivery in deliveries:
            for event in delivery.events:
                assert not isinstance(event, Undecodable), f"could not be decoded: {event.reason.message}"
                found.append(event)
        return found

    def _same(self, rig: Rig, trigger: Trigger, first: Event, again: Event) -> None:
        assert rig.payload(again) == rig.payload(first)
        if trigger.traits.stable_ids:
            assert (again.source, again.id) == (first.source, first.id), "stable ids are promised"
