"""Schedules: `cron`, `every` and `at` -> one event for each due instant.

Promise: effectively once per due instant (id `trigger@UTC instant`); in order of the due times; what was missed follows
`misfire`, and every due instant ends in the ledger. One fire is under way at a time, so that the stored position never
passes one that is not durable. Source: triggers.md section 3; semantics 8.1 to 8.4.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from ..core.durations import format_duration, format_instant
from ..core.errors import EndOfEvents
from ..core.event import Delivery, Due, Event, Mark, Settlement
from ..core.ids import digest
from ..core.limits import MISFIRE_RUNS_MAX
from .contract import Traits, TriggerContext
from .shape import Shaper
from .timetable import AtConfig, AtTable, CronConfig, EveryConfig
from .wheel import LOOK_S_MAX, wheel

MARK = "schedule"
_YIELD_EVERY = 64  # instants computed at a stretch while catching up


class Position(Struct, frozen=True):
    """What the mark holds: the last instant accounted for, the first start, and which schedule they belong to."""

    last: float
    anchor: float
    of: str


class ScheduleTrigger:
    """Fires when it is due. Its kinds differ in their Config alone."""

    Config: ClassVar[type[CronConfig] | type[EveryConfig] | type[AtConfig]]
    traits: ClassVar[Traits] = Traits(acknowledges=True, stable_ids=True, ordered=True, replays=True, shared=True)

    __slots__ = ("_context", "_flight", "_free", "_plan", "_position", "_previous", "_ready", "_shaper")

    def __init__(self, config: CronConfig | EveryConfig | AtConfig, context: TriggerContext) -> None:
        self._plan = config.plan()
        self._context = context
        self._position = Position(0.0, 0.0, "")
        self._ready: list[Delivery] | None = None  # newest first
        self._flight: Delivery | None = None
        self._free: asyncio.Future[None] | None = None
        self._previous: float | None = None
        spec = context.spec
        self._shaper = (
            Shaper(spec, clock=context.clock) if spec.id or spec.type or spec.subject or spec.schema else None
        )

    async def connect(self) -> None:
        """Take up the stored position, or begin now and store that."""
        now = self._context.clock.now()
        grid = self._plan.grid
        stored = self._context.marks.get(MARK)
        self._ready, self._flight = [], None
        if stored is not None:
            position = msgspec.json.decode(stored, type=Position)
            if position.of == grid:
                self._position = position
                if self._due(position.last - 0.001) == position.last:  # else it is the first start
                    self._previous = position.last
                return
        written = isinstance(self._plan.table, AtTable)
        grace = self._plan.misfire.grace if written else 0.0
        anchor = float(int(now))
        self._position = Position(now - grace, anchor, grid)
        reason = "before the first start" if stored is None else "before the schedule was changed to this"
        before = self._written_until(self._position.last) if written else ()
        self._ready.append(self._bare([Due(due, "skipped", reason) for due in before]))

    async def read(self) -> Delivery:
        """The next fire, once it is due and the one before is settled. Raises EndOfEvents after the last."""
        ready = self._ready
        assert ready is not None, "read before connect"
        while True:
            while self._flight is not None:
                self._free = asyncio.get_running_loop().create_future()
                await self._free
            if ready:
                self._flight = ready.pop()
                return self._flight
            due = self._due(self._position.last)
            if due is None:
                raise EndOfEvents(f"the schedule {self._context.name} has no instant left")
            planned = self._planned(due)
            awaited = planned > self._context.clock.now()
            await wheel(self._context.clock).at(planned)
            ready.extend(reversed(await self._fires(due, awaited=awaited)))

    async def close(self) -> None:
        """Nothing is held open: what is not settled is due again after the next start."""

    def details(self) -> Mapping[str, Any]:
        """The next three due instants, without their jitter."""
        upcoming: list[str] = []
        due = self._due(self._position.last) if self._ready is not None else None
        while due is not None and len(upcoming) < 3:
            upcoming.append(format_instant(due))
            due = self._due(due)
        return {"next": upcoming}

    async def _settled(self, settlement: Settlement) -> None:
        if settlement.again and self._flight is not None and self._ready is not None:
            self._ready.append(self._flight)
        self._flight = None
        if self._free is not None and not self._free.done():
            self._free.set_result(None)

    # -- what is due

    async def _fires(self, first: float, *, awaited: bool = False) -> list[Delivery]:
        """Deliveries for all that is due by now, the oldest being `first`: fires, and ledger rows of the others.

        `awaited`: its time was waited for. Then what the wake-up took, LOOK_S_MAX at most, is no misfire: else nothing
        would be on time under `grace: 0s`.
        """
        due, unlisted = await self._overdue(first)
        now = self._context.clock.now()
        misfire = self._plan.misfire
        patience = max(misfire.grace, LOOK_S_MAX) if awaited else misfire.grace
        late = [each for each in due if now - self._planned(each) > patience]
        on_time = due[len(late) :]
        rows: list[Due] = []
        if unlisted:
            what = "skipped" if misfire.policy != "run_once" else "coalesced"
            reason = f"and those until {format_instant(late[0])}: over {MISFIRE_RUNS_MAX} were missed"
            rows.append(Due(first, what, reason))
        fires: list[Due] = []
        if misfire.policy == "run_all":
            fires = [Due(each, "late", self._late(each, now)) for each in late]
        elif misfire.policy == "run_once":
            if late and not on_time:
                newest = late.pop()
                fires = [Due(newest, "late", self._late(newest, now))]
            into = f"into {format_instant(fires[0].due if fires else on_time[0])}" if late else ""
            rows += [Due(each, "coalesced", into) for each in late]
        else:
            rows += [Due(each, "skipped", self._late(each, now)) for each in late]
        fires += [Due(each, "fired") for each in on_time]
        missed = len(rows) if not unlisted else len(rows) - 1 + MISFIRE_RUNS_MAX
        made: list[Delivery] = []
        for fire in fires:
            made.append(self._fire(fire, rows, missed, now))
            rows, missed = [], 0
        if rows:
            self._account(rows[-1].due)
            made.append(self._bare(rows))
        return made

    async def _overdue(self, first: float) -> tuple[list[float], bool]:
        """What is due by now, oldest first, and whether more were missed than the newest MISFIRE_RUNS_MAX listed."""
        found = await self._upto_now(first)
        if found[-1] == first or len(found) <= MISFIRE_RUNS_MAX:
            return found, False
        # There are more. The newest are listed: from about where, by the distance of those seen, they begin.
        gap = (found[-1] - found[0]) / (len(found) - 1)
        near = max(found[-1], self._context.clock.now() - gap * (MISFIRE_RUNS_MAX + 1))
        newest = deque(found, maxlen=MISFIRE_RUNS_MAX)
        start = self._due(near)
        while start is not None and self._planned(start) <= self._context.clock.now():
            more = await self._upto_now(start)
            newest.extend(more)
            start = self._due(more[-1])
        return list(newest), True

    async def _upto_now(self, first: float) -> list[float]:
        """Due instants from this one (which is due) to now, at most one more than MISFIRE_RUNS_MAX."""
        found = [first]
        following = self._due(first)
        while following is not None and self._planned(following) <= self._context.clock.now():
            found.append(following)
            if len(found) > MISFIRE_RUNS_MAX:
                break
            if len(found) % _YIELD_EVERY == 0:
                await asyncio.sleep(0)  # the loop is shared: an instant costs some 20 µs
            following = self._due(following)
        return found

    def _due(self, after: float) -> float | None:
        return self._plan.table.after(after, self._position.anchor)

    def _written_until(self, last: float) -> list[float]:
        found: list[float] = []
        due = self._due(0.0)
        while due is not None and due <= last:
            found.append(due)
            due = self._due(due)
        return found

    def _planned(self, due: float) -> float:
        """With its jitter: the same on every node, and never past the next one."""
        jitter = self._plan.jitter
        if not jitter:
            return due
        share = int.from_bytes(digest(self._id(due))[:4]) / 2**32
        following = self._due(due)
        return due + share * (jitter if following is None else min(jitter, following - due))

    def _late(self, due: float, now: float) -> str:
        return f"{format_duration(round(now - due))} late"

    # -- what is delivered

    def _account(self, due: float) -> None:
        self._previous = due
        self._position = Position(due, self._position.anchor, self._position.of)

    def _bare(self, rows: Sequence[Due]) -> Delivery:
        return Delivery((), self._settled, marks=(self._mark(),), ledger=tuple(rows))

    def _mark(self) -> Mark:
        return Mark(self._context.name, MARK, msgspec.json.encode(self._position))

    def _id(self, due: float) -> str:
        return f"{self._context.name}@{format_instant(due)}"

    def _fire(self, fire: Due, rows: Sequence[Due], missed: int, now: float) -> Delivery:
        due, context, plan = fire.due, self._context, self._plan
        previous = self._previous
        self._account(due)
        following = self._due(due)
        data: dict[str, Any] = {
            "scheduled_at": format_instant(due),
            "scheduled_local": datetime.fromtimestamp(due, plan.zone).isoformat(),
            "previous_at": format_instant(previous) if previous is not None else None,
            "next_at": format_instant(following) if following is not None else None,
            "fired_at": format_instant(round(now, 3)),
            "late_ms": max(0, round((now - due) * 1000)),
            "missed": missed,
            **(plan.data or {}),
        }
        event = Event(
            type=f"reactor.{context.spec.kind}.fired",
            source=f"/{context.spec.kind}/{context.name}",
            id=self._id(due),
            subject=context.name,
            time=format_instant(due),
            data=data,
            meta={"trigger": context.name},
        )
        shaped = self._shaper.event(event) if self._shaper is not None else event
        return Delivery((shaped,), self._settled, marks=(self._mark(),), ledger=(*rows, fire))


class CronTrigger(ScheduleTrigger):
    """Fires at what its expressions name."""

    Config = CronConfig
    __slots__ = ()


class EveryTrigger(ScheduleTrigger):
    """Fires at every multiple of its interval."""

    Config = EveryConfig
    __slots__ = ()


class AtTrigger(ScheduleTrigger):
    """Fires at its times, then has finished."""

    Config = AtConfig
    __slots__ = ()
