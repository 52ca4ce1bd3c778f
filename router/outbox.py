"""The outbox: events of our own go back to the router and on to the bus, at least once, under ids that never change."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from ..connections.bus import Send, bus_of
from ..core.clock import Clock
from ..core.errors import ReactorError, StoreFailed, StoreUnavailable
from ..core.event import Delivery, Event, InvalidEvent, Settlement, Undecodable, decode
from ..core.ids import run_text
from ..core.limits import EVENT_BYTES_MAX, SWEEP_S
from ..core.loops import LOOPS
from ..language.project import Bus
from ..store.contract import BUS, ROUTER, OutboxRow, Store, Unit
from .backlog import LOOK_S, Backlog
from .intake import OWN
from .rules import OWN_TYPES, Rules

log = logging.getLogger("reactor.outbox")
WINDOW = 128
MEMORY_EVENTS = 10_000
STEPS = "reactor.step."
BACKOFF_S_MAX = 30.0


class Publish(Protocol):
    """The intake, as the outbox needs it."""

    async def __call__(self, trigger: str, delivery: Delivery, *, done: tuple[tuple[int, int], ...] = ()) -> None: ...


class Outbox:
    """Drains the rows that somebody is owed. `interest` is what the engine asks (see engine/telling.py)."""

    def __init__(self, store: Store, rules: Rules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self.follows = rules.follows  # does a rule name this type of step event? Then it is durable; else from memory
        self._clock = clock
        self._look = {ROUTER: asyncio.Event(), BUS: asyncio.Event()}
        self.publish: Publish  # the intake's, once there is one
        self.bus: Send | None = None
        self.bus_types: tuple[str, ...] = ()
        self._memory: deque[Event] = deque(maxlen=MEMORY_EVENTS)  # step events for the bus, oldest dropped
        self.backlog = Backlog(store, clock)
        self._gap_again = 0.0  # on the monotonic clock: not before is the gap named again, which was refused
        self.bus_error = ""  # why the bus does not take events now
        self.bus_since: float | None = None  # … and since when

    def open(
        self,
        bus: Bus,
        connections: Callable[[str, str | None], Any],
        listeners: list[Callable[[Event], None]],
    ) -> None:
        """Send to the project's bus too. Raises StepError if its connection cannot be had."""
        keys = {**bus.config, "connection": bus.connection or None}
        self.bus = bus_of(bus.kind, keys, connections, bus.events)
        self.bus_types = bus.events
        if self.bus is not None:
            listeners.append(self.hear)

    # -- what the engine asks
    def listens(self, type: str) -> bool:
        """Could anybody take an event of our own of this type? If not, it needs not be made."""
        return self._rules.follows(type) or (self.bus is not None and self._bus_takes(type))

    def wants(self, event: Event) -> int:
        """Who can take an event of our own, by the rules of now."""
        owes = BUS if self._bus_takes(event.type) else 0
        if (not event.type.startswith(OWN_TYPES) or self._rules.follows(event.type)) and self._rules.match(event):
            owes |= ROUTER
        return owes

    def _bus_takes(self, type: str) -> bool:
        return self.bus is not None and any(_takes(t, type) for t in self.bus_types)

    def sent(self) -> None:
        """Rows were committed: look at once."""
        for event in self._look.values():
            event.set()

    def hear(self, event: Event) -> None:
        """A step's event, told from memory: to the bus in order, lost in a crash (semantics 7.3)."""
        if event.type.startswith(STEPS) and self._bus_takes(event.type):
            self._memory.append(event)
            self._look[BUS].set()

    # -- the loops
    def start(self, fatal: Callable[[StoreFailed], None]) -> tuple[asyncio.Task[None], ...]:
        """Drain until these are cancelled; `fatal` hears that the store closed for good."""
        return (
            LOOPS.start("outbox to the router", self._to_router, fatal=fatal),
            LOOPS.start("outbox to the bus", self._to_bus, fatal=fatal),
        )

    async def _to_router(self) -> None:
        after, swept = 0, self._clock.monotonic()
        while True:
            if self._clock.monotonic() - swept >= SWEEP_S:  # also under load that never pauses: what was refused, and
                after, swept = 0, self._clock.monotonic()  # what was committed after rows with higher keys
            rows = await self._rows(ROUTER, after)
            for row in rows:
                after = row.key
                event = await self._event(row, ROUTER)
                if event is not None:
                    # nobody is told: the row goes in the accepting unit, a refused one stays for the next sweep
                    await self.publish(OWN, Delivery((event,)), done=((row.key, ROUTER),))
            if not rows and not await self._wait(ROUTER):
                after = 0  # a sweep: whatever was refused is tried again

    async def _to_bus(self) -> None:
        delay = 0.5
        while True:
            if self.bus is not None:
                await self.backlog.look()
            rows = await self._rows(BUS, 0) if self.bus is not None else ()
            if not rows and not self._memory:
                await self._name_gap()
                await self._wait(BUS)
                continue
            steps = list(self._memory)
            self._memory.clear()
            found = [(row.key, event) for row in rows if (event := await self._event(row, BUS)) is not None]
            try:
                assert self.bus is not None
                await self.bus([*steps, *(event for _, event in found)])
                await self._store.submit(Unit(outbox_done=tuple((key, BUS) for key, _ in found)))
            except StoreFailed:
                raise
            except ReactorError as e:
                if self.bus_since is None:
                    log.warning("the bus takes no events: %s; they wait in the outbox", e)
                    self.bus_since = self._clock.now()
                self.bus_error = str(e)
                await self._clock.sleep(delay)
                delay = min(delay * 2, BACKOFF_S_MAX)
            else:
                self.bus_error, self.bus_since, delay = "", None, 0.5
                await self._name_gap()

    async def _name_gap(self) -> None:
        """Tell the bus, which takes events, what it never gets. A stream that refuses this holds up nothing else."""
        event = self.backlog.event()
        if event is None or self.bus is None or self._clock.monotonic() < self._gap_again:
            return
        try:
            await self.bus([event])
            await self.backlog.named()
        except StoreFailed:
            raise
        except ReactorError as e:
            if not self._gap_again:
                log.error("the bus takes no %s, which names events that it never gets: %s", event.type, e)
            self._gap_again = self._clock.monotonic() + LOOK_S
        else:
            self._gap_again = 0.0

    async def _event(self, row: OutboxRow, who: int) -> Event | None:
        """What a row holds; one that cannot be read is a dead letter from then on, and holds up no other."""
        try:
            return decode(row.body, bytes_max=64 * EVENT_BYTES_MAX)
        except InvalidEvent as e:
            reason = e.info()
        run, name = run_text(self._store.id, row.run), "router" if who == ROUTER else "bus"
        text = f"an event of the run {run}, on its way to the {name}, cannot be read: {reason.message}"
        reason = replace(reason, message=text)
        told: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()

        async def settle(settlement: Settlement) -> None:
            told.set_result(settlement)

        await self.publish(
            OWN, Delivery((Undecodable(row.body, reason, "/outbox", run),), settle), done=((row.key, who),)
        )
        await told  # or it would be found again, and be a second letter
        return None

    async def _rows(self, owes: int, after: int) -> Sequence[OutboxRow]:
        try:
            return await self._store.outbox(owes, after=after, limit=WINDOW)
        except StoreUnavailable:
            await self._clock.sleep(SWEEP_S)
            return ()

    async def _wait(self, who: int) -> bool:
        """Wait for `sent`, at most SWEEP_S; was it called?"""
        event = self._look[who]
        try:
            async with asyncio.timeout(SWEEP_S):
                await event.wait()
        except TimeoutError:
            return False
        event.clear()
        return True


def _takes(pattern: str, type_: str) -> bool:
    return type_.startswith(pattern[:-1]) if pattern.endswith("*") else type_ == pattern
