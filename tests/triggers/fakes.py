"""A trigger whose source is a list in memory, and a publish that remembers: what the supervisor's tests drive."""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from reactor.core.event import Delivery, Event, Settlement
from reactor.language.definition import TriggerSpec
from reactor.testing.clock import VirtualClock
from reactor.triggers.catalogue import Kinds
from reactor.triggers.contract import Traits, TriggerConfig, TriggerContext
from reactor.triggers.status import SCOPE
from reactor.triggers.supervisor import Supervisor

WORLD: dict[str, "Source"] = {}


class Source:
    """The outside: what waits to be read, and what the verbs of its triggers shall do."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[Any] = asyncio.Queue()
        self.connects: list[Any] = []  # one entry a call: an exception to raise, a coroutine function, or None
        self.connected_at: list[float] = []
        self.made: list[TriggerContext] = []
        self.closed = 0
        self.settled: list[tuple[Any, Settlement]] = []
        self.close: Any = None
        self.comes: Any = None


class FakeConfig(TriggerConfig):
    source: str


class FakeTrigger:
    """Reads what stands in its Source; exceptions that stand there are raised."""

    Config = FakeConfig
    traits: ClassVar[Traits] = Traits(acknowledges=True, stable_ids=True, ordered=True, replays=False, shared=False)

    def __init__(self, config: FakeConfig, context: TriggerContext) -> None:
        self.source = WORLD[config.source]
        self.context = context
        self.source.made.append(context)

    async def connect(self) -> None:
        self.source.connected_at.append(self.context.clock.now())
        plan = self.source.connects.pop(0) if self.source.connects else None
        if isinstance(plan, BaseException):
            raise plan
        if plan is not None:
            await plan()

    async def read(self) -> Delivery:
        item = await self.source.waiting.get()
        if isinstance(item, BaseException):
            raise item

        async def settle(settlement: Settlement) -> None:
            self.source.settled.append((item, settlement))
            if settlement.again:
                self.source.waiting.put_nowait(item)

        if isinstance(item, Delivery):
            return item
        return Delivery((Event(type="t", source="/fake", id=str(item), data=item),), settle)

    async def comes(self) -> None:
        if self.source.comes is None:
            await asyncio.get_running_loop().create_future()
        await self.source.comes()

    async def close(self) -> None:
        self.source.closed += 1
        if self.source.close is not None:
            await self.source.close()

    def details(self) -> Mapping[str, Any]:
        return {"waiting": self.source.waiting.qsize()}


class Inbox:
    """A Publish that takes at most `room` deliveries at a time."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.taken: list[tuple[str, Delivery]] = []
        self.room = asyncio.Semaphore(room)
        self.switched = Settlement()  # what becomes of pauses

    async def __call__(self, trigger: str, delivery: Delivery) -> None:
        if trigger == SCOPE:
            await delivery.settle(self.switched)
            return
        await self.room.acquire()
        self.taken.append((trigger, delivery))

    @property
    def data(self) -> list[Any]:
        return [event.data for _, delivery in self.taken for event in delivery.events]


class Bench:
    """A supervisor of fake triggers on a virtual clock."""

    def __init__(self, *, room: int = 1_000_000) -> None:
        self.clock = VirtualClock()
        self.inbox = Inbox(room)
        self.marks: dict[str, dict[str, bytes]] = {}
        self.states: list[str] = []
        self.kinds = Kinds({"fake": "reactor.tests.triggers.fakes:FakeTrigger"})
        self.supervisor = Supervisor(
            self.inbox,
            read_marks=self.read_marks,
            connections=lambda kind, name: (kind, name),
            kinds=self.kinds,
            clock=self.clock,
            store_id="0123456789abcdef",
            node=3,
            changed=lambda status: self.states.append(f"{status.name} {status.state}"),
        )

    async def read_marks(self, scope: str) -> Mapping[str, bytes]:
        return self.marks.get(scope, {})

    async def start(self, **specs: TriggerSpec) -> None:
        await self.supervisor.apply(specs)
        await self.clock.settle()

    def status(self, name: str = "orders") -> Any:
        return next(status for status in self.supervisor.status() if status.name == name)


def fake_spec(name: str = "orders", **more: Any) -> TriggerSpec:
    more.setdefault("reconnect", {"delay_s": 1.0, "factor": 2.0, "max_delay_s": 10.0, "jitter": False})
    return TriggerSpec(name=name, kind="fake", config={"source": name}, **more)
