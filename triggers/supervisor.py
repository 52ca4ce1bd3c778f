"""The whole life of every trigger: connect, read, publish, hold, back off, close. No adapter needs a loop or a retry.

One task a trigger calls all of its verbs. What a trigger raises decides what follows: NotConnected and its kin wait
longer and longer; ConfigError stops it until somebody changes something; `source_gap` until somebody says where to go
on; EndOfEvents is its end. A plugin that hangs or raises anything else is named, and takes nothing else down.
Source: architecture.md section 2, step 1; semantics 1.5, 1.6, 1.8; requirements T-GEN-2 to T-GEN-4, T-GEN-7, T-PLUG-3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from ..core.backoff import Backoff
from ..core.clock import SYSTEM, Clock
from ..core.errors import EndOfEvents, ErrorInfo, ReactorError, TransientError
from ..core.event import Delivery, Publish, Settlement
from ..core.http import Routes
from ..core.limits import CLOSE_S_MAX
from ..core.loops import LOOPS
from ..language.definition import TriggerSpec
from .catalogue import Kind, Kinds
from .contract import Guarantee, Trigger, TriggerContext, as_written
from .isolation import Crashed, Hangs, Limits, awhile, details_of, guarding, left, until_it_comes, within
from .making import Door, made
from .status import State, Switches, TriggerStatus, Trouble

CONNECT_S_MAX = 330.0
"""A `connect` that takes longer hangs: no connection's own time limit is above 5 minutes."""

_START_AT_ONCE = 100  # readers in one turn of the loop, which is shared
_READ_AT_ONCE = 64  # deliveries of one reader, likewise

_log = logging.getLogger("reactor.triggers")


class Supervisor:
    """Keeps the readers of a set of specs alive.

    `read_marks(scope)` gives a trigger's stored marks; `connections(kind, name)` the connection of that kind and name
    (None: the only one). `changed` is told of every change of state: the application's alerts hang there.
    """

    def __init__(
        self,
        publish: Publish,
        *,
        read_marks: Callable[[str], Awaitable[Mapping[str, bytes]]],
        connections: Callable[[str, str | None], Any],
        kinds: Kinds | None = None,
        clock: Clock = SYSTEM,
        store_id: str = "",
        node: int = 0,
        project: str = ".",
        routes: Routes | None = None,
        render: Callable[[Any], Any] = as_written,
        changed: Callable[[TriggerStatus], None] | None = None,
    ) -> None:
        self.publish = publish
        self.read_marks = read_marks
        self.connections = connections
        self.kinds = kinds or Kinds()
        self.clock = clock
        self.store_id = store_id
        self.node = node
        self.project = project
        self.routes = routes
        self.render = render
        self.changed = changed
        self.limits = Limits(clock)
        self.readers: dict[str, Reader] = {}
        self._switches = Switches(publish, read_marks)
        self._abandoned: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()  # readers that stop, and are another's by now
        self._one_at_a_time = asyncio.Lock()

    async def apply(self, specs: Mapping[str, TriggerSpec]) -> None:
        """Read these and no others: equal ones go on undisturbed, the rest is closed, new ones start."""
        wanted = {name: spec for name, spec in specs.items() if self.kinds.reads(spec.kind)}
        async with self._one_at_a_time:
            await self._leave(specs)
            await self._switches.only(wanted)
            for number, (name, spec) in enumerate(wanted.items()):
                if number % _START_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if name not in self.readers:
                    reader = self.readers[name] = Reader(self, spec)
                    if spec.enabled and name not in self._switches.paused:
                        self._start(reader)
            if self.routes is not None and self.routes.changes is not None:
                await self.tried()
                self.routes.go_on()

    async def leave(self, specs: Mapping[str, TriggerSpec]) -> None:
        """Stop reading what is not among these. Until `apply`, which is to follow, requests wait at the door."""
        async with self._one_at_a_time:
            await self._leave(specs)

    async def _leave(self, specs: Mapping[str, TriggerSpec]) -> None:
        ended = [reader for name, reader in self.readers.items() if specs.get(name) != reader.spec]
        held = [one for one in ended if self.routes is not None and self.routes.hold(one.spec.name)]
        await asyncio.gather(*(left(self.clock, one.trigger) for one in held))
        self._leaving = {task for task in self._leaving if not task.done()}  # requests may wait for runs, we do not
        self._leaving |= {asyncio.ensure_future(self._stop(reader)) for reader in held}
        await asyncio.gather(*(self._stop(reader) for reader in ended if reader not in held))
        for reader in ended:
            del self.readers[reader.spec.name]

    async def tried(self, limit_s: float = 2.0) -> None:
        """Wait until every reader has tried to connect, at most so long: what happens from then on is not missed."""
        until = self.clock.monotonic() + limit_s
        while self.clock.monotonic() < until and any(reader.starting for reader in self.readers.values()):
            await self.clock.sleep(0.01)

    def status(self) -> list[TriggerStatus]:
        """All triggers, by name."""
        return [self.readers[name].status() for name in sorted(self.readers)]

    async def pause(self, name: str, *, key: str = "") -> None:
        """Stop reading: events wait at the source, also over a restart; once for a `key`. Raises KeyError."""
        async with self._one_at_a_time:
            reader = self.readers[name]
            if await self._switches.switch(name, pause=True, key=key):
                await self._stop(reader)
                reader.enter("paused")

    async def resume(self, name: str, start: Any = None, *, key: str = "") -> None:
        """Read on after a pause or a failure; after a gap from `start` (`earliest`, `latest`, …). Raises KeyError."""
        async with self._one_at_a_time:
            reader = self.readers[name]
            if await self._switches.switch(name, pause=False, key=key):
                await self._stop(reader)
                reader.enter("connecting")
                self._start(reader, {} if start is None else {"start": start})

    async def close(self) -> None:
        """Stop reading everywhere at once, give what was read CLOSE_S_MAX to be settled, and close. Safe twice."""
        async with self._one_at_a_time:
            await asyncio.gather(*(self._stop(reader) for reader in self.readers.values()), *self._leaving)
            self.readers.clear()

    def _start(self, reader: Reader, resume: Mapping[str, Any] | None = None) -> None:
        reader.resume = dict(resume or {})
        reader.task = LOOPS.start(f"trigger {reader.spec.name}", reader.live)

    async def _stop(self, reader: Reader) -> None:
        """End a reader's task within bounds; one that does not let itself be cancelled is left behind, named."""
        task, reader.task = reader.task, None
        if task is None:
            return
        task.cancel()
        await within(self.clock, 2 * CLOSE_S_MAX + 1, task)  # settling, then closing
        if not task.done():
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
            _log.error("trigger %s (%s) does not stop: left behind", reader.spec.name, reader.spec.kind)


class Reader:
    """One trigger under supervision: its state, and its counters as plain attributes for the metrics."""

    __slots__ = (
        "_backoff", "_door", "_guarantee", "_hold_until", "_marks", "_number", "_refusals", "_trouble", "_unsettled",
        "_wake", "error", "in_flight", "next_attempt_at", "owner", "read", "reconnects", "refused", "resume", "settled",
        "since", "spec", "state", "task", "trigger",
    )  # fmt: skip

    def __init__(self, owner: Supervisor, spec: TriggerSpec) -> None:
        self.owner = owner
        self.spec = spec
        self.task: asyncio.Task[None] | None = None
        self.resume: dict[str, Any] = {}  # emptied once a position from there on is stored
        self.state: State = "paused"
        self.since = owner.clock.now()
        self.error: ErrorInfo | None = None
        self.next_attempt_at: float | None = None
        self.trigger: Trigger | None = None
        self.read = 0  # events
        self.in_flight = 0  # events read and not yet settled
        self.settled = self.refused = self.reconnects = 0
        self._guarantee: Guarantee | Literal[""] = ""
        self._door: Door | None = None  # of a plugin's trigger
        self._unsettled: dict[int, tuple[float, int]] = {}  # delivery → when it was read, how many events; oldest first
        self._number = 0
        self._hold_until = 0.0  # monotonic
        self._wake: asyncio.Future[None] | None = None
        self._marks: dict[str, bytes] = {}
        self._backoff: Backoff | None = None
        self._refusals: Backoff | None = None
        self._trouble = Trouble()

    @property
    def starting(self) -> bool:
        """Is its first attempt to connect still under way?"""
        return self.task is not None and self.state in ("paused", "connecting")

    @property
    def oldest_unsettled_s(self) -> float:
        """Age of the oldest event that was read and is not settled; 0 if there is none."""
        for read_at, _ in self._unsettled.values():
            return self.owner.clock.monotonic() - read_at
        return 0.0

    def status(self) -> TriggerStatus:
        """A snapshot of state and counters; `details` (lag, next fires, …) are the trigger's own."""
        return TriggerStatus(
            name=self.spec.name,
            kind=self.spec.kind,
            state=self.state,
            since=self.since,
            guarantee=self._guarantee,
            error=self.error,
            next_attempt_at=self.next_attempt_at,
            read=self.read,
            settled=self.settled,
            refused=self.refused,
            reconnects=self.reconnects,
            in_flight=self.in_flight,
            oldest_unsettled_s=self.oldest_unsettled_s,
            held=self._hold_until > self.owner.clock.monotonic(),
            details=details_of(self.trigger, self.spec.kind) if self.state == "connected" else {},
        )

    def enter(self, state: State, error: ErrorInfo | None = None, next_attempt_at: float | None = None) -> None:
        """Change the state, and say so."""
        self.state, self.error, self.next_attempt_at = state, error, next_attempt_at
        self.since = self.owner.clock.now()
        self._trouble.tell(f"trigger {self.spec.name} ({self.spec.kind})", state, error)
        if self.owner.changed is not None:
            self.owner.changed(self.status())

    async def live(self) -> None:
        """From the first attempt to connect to the end; who swallows our cancellation is not called again."""
        task = asyncio.current_task()
        assert task is not None
        try:
            while not task.cancelling():
                try:
                    with guarding("the trigger kind", self.spec.kind):
                        await self._session(task)
                    return
                except EndOfEvents:
                    self.enter("finished")
                    return
                except TransientError as lost:
                    if task.cancelling():
                        return
                    if isinstance(lost, (Crashed, Hangs)):  # nothing is known of its state: it is made anew
                        _log.error("trigger %s: %s", self.spec.name, lost, exc_info=lost.__cause__)
                        await self._close()
                    self._backoff = self._backoff or Backoff(**self.spec.reconnect)
                    delay = max(self._backoff.next_s(), lost.retry_after_s or 0.0)
                    self.enter("down", lost.info(), self.owner.clock.now() + delay)
                    await until_it_comes(self.owner.clock, self.trigger, delay)
                except ReactorError as refused:
                    self.enter("gap" if refused.code == "source_gap" else "failed", refused.info())
                    return
        finally:
            await self._drained()
            await self._close()

    async def _session(self, task: asyncio.Task[Any]) -> None:
        """One connection: connect, then read and publish until something is raised, or the task is to end."""
        trigger = await self._connect()
        connected_at = self.owner.clock.monotonic()
        try:
            while not task.cancelling():
                if self.in_flight >= self.spec.max_in_flight or self._hold_until:
                    await self._room()
                await self._publish(await trigger.read())  # no name for it: an idle reader would keep it
                self._backoff = None
                if self._number % _READ_AT_ONCE == 0:
                    await asyncio.sleep(0)  # a backlog that is there already never waits by itself
        except TransientError:
            self.reconnects += 1
            if self.owner.clock.monotonic() - connected_at > self.spec.reconnect.get("max_delay_s", 30.0):
                self._backoff = None  # a connection that held that long is not the last one's trouble again
            raise

    async def _connect(self) -> Trigger:
        self.enter("connecting", self.error)
        self._marks.clear()
        self._marks.update(await self._stored())
        if self.trigger is None:
            of = self.owner
            self.trigger, self._guarantee, self._door = made(of.kinds, self.spec, of.clock, self._context)
        trigger = self.trigger
        whose = f"`connect` of {self.spec.kind}"
        await self.owner.limits.limited(CONNECT_S_MAX, trigger.connect(), whose, self._hangs)
        self.enter("connected")
        return trigger

    def _stored(self) -> Awaitable[Mapping[str, bytes]]:
        return self.owner.read_marks(self.spec.name)

    def _context(self, kind: Kind, config: BaseModel) -> TriggerContext:
        """What its trigger may know."""
        owner, named = self.owner, getattr(config, "connection", None)
        return TriggerContext(
            name=self.spec.name, spec=self.spec, store_id=owner.store_id, node=owner.node, clock=owner.clock,
            marks=self._marks, reread=self._stored, project=owner.project, routes=owner.routes, render=owner.render,
            connection=owner.connections(kind.connection, named) if kind.connection else None, resume=self.resume,
        )  # fmt: skip

    async def _publish(self, delivery: Delivery) -> None:
        """Hand a delivery on; if that is cut short, the source gets it back."""
        if self._door is not None:
            delivery = self._door.taken(delivery)
        size, told = max(1, len(delivery.events)), False
        self._number = number = self._number + 1
        self._unsettled[number] = (self.owner.clock.monotonic(), size)
        self.in_flight += size
        self.read += len(delivery.events)

        async def settle(settlement: Settlement) -> None:
            nonlocal told
            if told:
                _log.error("a delivery of trigger %s was settled twice: the second time is ignored", self.spec.name)
                return
            told = True
            self._note(settlement, len(delivery.events))
            try:
                with guarding("`settle` of", self.spec.kind):
                    await delivery.settle(settlement)
            except ReactorError as error:  # the source was not told: it will bring the events again
                _log.warning("trigger %s: %s", self.spec.name, error, exc_info=error.__cause__)
            finally:  # until then it counts: a source that is slow to be told is read no faster
                del self._unsettled[number]
                if not self._unsettled:
                    self._unsettled.clear()  # gives back what it had grown to
                self.in_flight -= size
                if self._wake is not None and not self._wake.done():
                    self._wake.set_result(None)

        try:
            d = delivery
            wrapped = Delivery(d.events, settle, d.partition, d.marks, d.positioned, d.ledger)
            await self.owner.publish(self.spec.name, wrapped)
        except BaseException:
            if not told:
                await settle(Settlement(again=True))
            raise

    def _note(self, settlement: Settlement, events: int) -> None:
        """Count, and hold back if the store refuses (semantics 1.8)."""
        if settlement.again:
            self.refused += events
            now = self.owner.clock.monotonic()
            if now >= self._hold_until:
                self._refusals = self._refusals or Backoff(**self.spec.reconnect)
                delay = settlement.retry_after_s
                self._hold_until = now + (self._refusals.next_s() if delay is None else delay)
        else:
            self.settled += events
            self._refusals = None
            self.resume.clear()

    async def _room(self) -> None:
        """Wait until the source may bring more: fewer than `max_in_flight` unsettled, and no refusal to wait out."""
        while True:
            wait = self._hold_until - self.owner.clock.monotonic() if self._hold_until else 0.0
            if wait > 0:
                await self.owner.clock.sleep(wait)
                continue
            self._hold_until = 0.0
            if self.in_flight < self.spec.max_in_flight:
                return
            await self._settling()

    async def _settling(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def _hangs(self, error: Hangs) -> None:
        self.enter("down", error.info())

    async def _drained(self) -> None:
        """Give what was read the time to be settled."""

        async def settled() -> None:
            while self._unsettled:
                await self._settling()

        if self._unsettled:
            await awhile(self.owner.clock, settled())

    async def _close(self) -> None:
        trigger, self.trigger = self.trigger, None
        if trigger is None:
            return
        kind = self.spec.kind
        try:
            with guarding("`close` of", kind):
                await self.owner.limits.limited(CLOSE_S_MAX, trigger.close(), f"`close` of {kind}", self._hangs)
        except ReactorError as error:  # it concerns nobody else, and there is nothing left to close
            _log.warning("trigger %s: %s", self.spec.name, error, exc_info=error.__cause__)
