"""Held runs begin: when a place comes free under a key, the first of those that wait there and may begin (semantics
5.3, 3.3).

A run may wait under several keys at once. Those that wait under the same ones stand in one lane, of which the first
alone can be the next; so that a lane whose other key is full hides no other lane.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, TypeVar

from ..core import faults
from ..core.event import decode_stored
from ..core.limits import PAGE_ROWS_MAX
from ..store.contract import Admit, FlowKey, HeldLane, RunRow, RunState, Unit
from . import admission
from .admission import Closed, Limit
from .patience import patiently

if TYPE_CHECKING:
    from .engine import Engine

T = TypeVar("T")
ADMIT_RUNS = 64  # held runs of one lane that are read at once


class _Lane:
    """Held runs under the same keys, in order; `rank` and `run` are those of the first that was not tried."""

    def __init__(self, head: HeldLane) -> None:
        self.number = head.lane
        self.rank = head.rank
        self.run = head.run
        self.limits = admission.decode(head.flow)
        self.rows: deque[RunRow] = deque()
        self.whole = False  # are there no more rows than those that were read?
        self.begun = 0  # of those that were read last

    def __lt__(self, other: _Lane) -> bool:
        return (self.rank, self.run) < (other.rank, other.run)


class Admitting:
    """Tries held runs for the engine."""

    def __init__(self, engine: Engine) -> None:
        self._e = engine
        self._soon: set[FlowKey] = set()
        self._due: dict[FlowKey, float] = {}  # throttles that are looked at again, and when

    def soon(self, key: FlowKey) -> None:
        """Try the held runs of a key, after what is happening now."""
        if key not in self._soon:
            self._soon.add(key)
            self._e.executor.spawn(self._once(key), f"admit {key.policy}")

    def freed(self, keys: Iterable[FlowKey]) -> None:
        """Places became free: try the held runs of these keys."""
        for key in keys:
            self.soon(key)

    async def _once(self, key: FlowKey) -> None:
        self._soon.discard(key)
        await self.admit(key)

    async def admit(self, key: FlowKey) -> None:
        """Begin held runs of one key, in order, until none is left that its limits admit."""
        closed: set[Limit] = set()
        lanes = await self._lanes(key)
        if len(lanes) > 1:
            await self._close(lanes, closed)
        heapify(lanes)
        while lanes:
            lane = heappop(lanes)
            if closed.isdisjoint(lane.limits) and await self._next(key, lane, closed):
                heappush(lanes, lane)

    async def _lanes(self, key: FlowKey) -> list[_Lane]:
        lanes: list[_Lane] = []
        after = -1
        while True:
            heads = await self._ask(functools.partial(self._e.store.held_lanes, key, after=after, limit=PAGE_ROWS_MAX))
            lanes += [_Lane(head) for head in heads]
            if len(heads) < PAGE_ROWS_MAX:
                return lanes
            after = heads[-1].lane

    async def _close(self, lanes: list[_Lane], closed: set[Limit]) -> None:
        """Which limits admit none now, so that no commit is spent on each lane. Whoever changes that tries anew."""
        limits: dict[FlowKey, set[Limit]] = {}
        for lane in lanes:
            for limit in lane.limits:
                limits.setdefault(limit.flow_key, set()).add(limit)
        keys, now = list(limits), self._e.clock.now()
        for start in range(0, len(keys), PAGE_ROWS_MAX):
            part = keys[start : start + PAGE_ROWS_MAX]
            states = await self._ask(functools.partial(self._e.store.flows, part))
            for one in admission.closed([limit for key in part for limit in limits[key]], states, now):
                self._met(one, closed)

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await patiently(self._e.clock, ask)

    async def _next(self, key: FlowKey, lane: _Lane, closed: set[Limit]) -> bool:
        """Try the first run of a lane; False if no other of it could begin now."""
        if not lane.rows:
            await self._read(key, lane)
        if not lane.rows:
            return False
        row = lane.rows.popleft()
        if row.cancel is not None:  # it died before it was ended
            self._e.executor.spawn(self._e.signals.cancelled(row.id), f"cancel {row.id}")
        elif await self._try(row, closed):
            lane.begun += 1
        if not lane.rows and not lane.whole and lane.begun:
            await self._read(key, lane)
        if not lane.rows:
            return False
        lane.rank, lane.run, lane.limits = lane.rows[0].rank, lane.rows[0].id, admission.of_row(lane.rows[0])
        return True

    async def _read(self, key: FlowKey, lane: _Lane) -> None:
        ask = functools.partial(self._e.store.held, key, lane=lane.number, limit=ADMIT_RUNS)
        lane.rows.extend(await self._ask(ask))
        lane.whole, lane.begun = len(lane.rows) < ADMIT_RUNS, 0

    async def _try(self, row: RunRow, closed: set[Limit]) -> bool:
        """Begin a held run, if its limits admit it; those that do not are added to `closed`."""
        e, limits = self._e, admission.of_row(row)
        await self._ask(lambda: e.workflows.stored_plan(row.digest))  # its definition may not be in force any more
        now, number = e.clock.now(), row.transitions + 1
        met: list[Closed] = []
        admit = Admit(row.id, admission.admit(limits, row.id, met), now, number)
        outbox = e.telling.entered_outbox(row, RunState.RUNNING, number, now)
        committed = await e.store.submit(Unit(admit=(admit,), outbox=outbox))
        if committed.refused:
            if committed.refused == "flow":
                for one in met:
                    self._met(one, closed)
            return False
        faults.point("run.admitted")
        e.telling.sent(outbox)
        e.held.change(row.workflow, -1)
        row.state, row.started_at, row.transitions = int(RunState.RUNNING), now, number
        event = await self._ask(lambda: e.store.event(row.event)) if row.event else None
        e.began(row, committed.admitted[0], decode_stored(event.body) if event is not None else None)
        return True

    def _met(self, one: Closed, closed: set[Limit]) -> None:
        """A limit admits none now; a throttle says when it will."""
        closed.add(one.limit)
        key, at = one.limit.flow_key, one.until
        if at is not None and self._due.get(key) != at:
            self._due[key] = at
            self._e.executor.timers.at(at, lambda: self._fell_due(key, at))

    def _fell_due(self, key: FlowKey, at: float) -> None:
        if self._due.get(key) == at:
            del self._due[key]
            self.soon(key)
