"""Open runs come in through one door: out of their journals, after a crash or a clean stop alike (semantics 4.2)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..core import faults
from ..core.errors import ErrorInfo, ReactorError, StoreFailed, StoreUnavailable
from ..core.event import Event, decode_stored
from ..core.limits import RECOVERIES_ALONE, RECOVERIES_MAX
from ..core.loops import LOOPS
from ..store.contract import Claimed, JournalRow, Kind, RunChange, RunState, Unit
from .active import ActiveRun
from .patience import patiently
from .plan import Plan
from .progress import reaction_of
from .records import read_record
from .run import CancelRequest, Cause, StepRecord, Transition

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("reactor.engine")
LOOK_S = 0.05  # so often it is looked whether a suspect has come further
_peek = msgspec.json.Decoder(StepRecord).decode
_any = msgspec.json.Decoder().decode
_transition = msgspec.json.Decoder(Transition).decode
_cancel = msgspec.json.Decoder(CancelRequest).decode


class _Journal:
    """Which rows of a journal still count.

    A person's `retry` opens a new generation, in which failed steps, and steps that were undone, are carried out again;
    results of completed ones stand, and failures that the definition answered itself: what came after them stands too.
    A `retry --compensation` (its first row says so) keeps all but the handlers that failed.
    """

    def __init__(self, plan: Plan) -> None:
        self.rows: list[JournalRow] = []
        self._plan = plan
        self._gen = 0

    def take(self, row: JournalRow, *, keeps: bool = False) -> None:
        """The next row, in order; `keeps`: it opens a generation for handlers alone."""
        if row.gen > self._gen:
            self._gen = row.gen
            self.rows = [r for r in self.rows if not _failed_undo(r)] if keeps else self._standing()
        if row.kind != Kind.TRANSITION:
            self.rows.append(row)

    def _standing(self) -> list[JournalRow]:
        undone = {r.ord >> 40 for r in self.rows if r.kind == Kind.UNDO and not _failed_undo(r)}
        results = [(r, _peek(r.body)) for r in self.rows if r.kind == Kind.RESULT]
        failed = {r.ord >> 40: record for r, record in results if record.state == "failed"}
        return [
            r
            for r, record in results
            if r.ord >> 40 not in undone
            and (record.state in ("completed", "skipped") or _answered(self._plan, r.ord >> 40, failed))
        ]


def _answered(plan: Plan, place: int, failed: Mapping[int, StepRecord]) -> bool:
    """Did the definition answer this failure: by `on_error: continue`, or by a `catch` that did not fail itself?"""
    error = failed[place].error if place in failed else None
    if error is None or place >= len(plan.nodes):
        return False
    node = plan.nodes[place]
    while reaction_of(node, error) != "continue":
        part = plan.parts[node.part]
        if part.owner < 0:
            return False
        node = plan.nodes[part.owner]
        after = {p for p in node.parts if plan.parts[p].name in ("catch", "finally")}
        if part.name == "steps" and any(plan.parts[p].name == "catch" for p in after):
            return not any(_within(plan, other, after) and not _answered(plan, other, failed) for other in failed)
    return True


def _within(plan: Plan, place: int, parts: Collection[int]) -> bool:
    """Does a step stand in one of these parts, at any depth?"""
    while place >= 0:
        if place >= len(plan.nodes):
            return False
        if plan.nodes[place].part in parts:
            return True
        place = plan.parts[plan.nodes[place].part].owner
    return False


def _failed_undo(row: JournalRow) -> bool:
    return row.kind == Kind.UNDO and _peek(row.body).state == "failed"


class Recovery:
    """Brings claimed runs back to where they were."""

    def __init__(self, engine: Engine) -> None:
        self._e = engine
        self._suspects: list[ActiveRun] = []

    async def all(self, *, page: int = 1000) -> int:
        """Claim and start every open run; how many there were."""
        count = 0
        while found := await self._e.store.claim(runs_max=page):
            for claimed in found:
                if claimed.run.id not in self._e.executor.runs:
                    # claimed is ours: whatever the store does meanwhile, nobody else would bring it back
                    await patiently(self._e.clock, lambda claimed=claimed: self._bring_back(claimed))
            count += len(found)
        if self._suspects:
            self._e.executor.spawn(self._one_by_one(), "suspects")
        return count

    async def _bring_back(self, claimed: Claimed) -> None:
        try:
            await self._brought_back(claimed)
        except (StoreUnavailable, StoreFailed):
            raise
        except ReactorError as e:
            await self._park(claimed, e.info(place=None))
        except Exception as e:  # noqa: BLE001 - one run that cannot be read must not keep all others from coming back
            LOOPS.failed("recovery of runs", e)
            message = f"it cannot be brought back: {type(e).__name__}: {e}"
            await self._park(
                claimed,
                ErrorInfo("internal", message, "fix", hint="its rows are damaged, or Reactor has a defect: report it"),
            )

    async def _brought_back(self, claimed: Claimed) -> None:
        plan = await self._e.workflows.stored_plan(claimed.run.digest)
        if plan is None:
            await self._park(claimed, ErrorInfo("needs_version", "its definition is not in the store any more", "fix"))
            return
        run = await self.restored(claimed, plan)
        stranger = self._stranger(run, claimed)
        if stranger:
            await self._park(
                claimed,
                ErrorInfo(
                    "needs_version",
                    f"its journal has the step {stranger}, which its plan has not",
                    "fix",
                    hint="deploy the version that it began with",
                ),
            )
            return
        if run.state is RunState.RUNNING and not await self._counted(run, claimed):
            return
        faults.point("run.recovered")
        if run.metadata.get("recovery", {}).get("count", 0) >= RECOVERIES_ALONE:
            self._suspects.append(run)
        else:
            self._e.resume_recovered(run)

    async def _one_by_one(self) -> None:
        """Runs that were in flight at several deaths start alone, so that the one that kills is found (4.8)."""
        suspects, self._suspects = self._suspects, []
        for run in suspects:
            self._e.resume_recovered(run)
            ended = len(run.values)
            while run.row.id in self._e.executor.runs and len(run.values) == ended and not run.parked:
                await self._e.clock.sleep(LOOK_S)

    def _stranger(self, run: ActiveRun, claimed: Claimed) -> str:
        """A journaled step that the plan has not (semantics 10.5); empty if all are known."""
        nodes = run.plan.nodes
        for row in claimed.journal:
            if row.kind in (Kind.RESULT, Kind.UNDO):
                place = row.ord >> 40
                if place >= len(nodes) or nodes[place].name_hash != row.name_hash:
                    return f"number {place}"
        return ""

    async def restored(self, claimed: Claimed, plan: Plan) -> ActiveRun:
        """A run in memory as its journal has it."""
        row = claimed.run
        run = ActiveRun(row, plan, self._e.store.id, await self._event(row.event), await self._e.vars_of(row.vars))
        run.again = True
        journal = _Journal(plan)
        for item in claimed.journal:
            move = _transition(item.body) if item.kind == Kind.TRANSITION else None
            journal.take(item, keeps=move is not None and move.keeps)
            if move is not None:
                self._moved(run, move)
        for item in journal.rows:
            await self._replay(run, item)
        for place in run.recorded:
            run.timers_due.pop(place, None)
        run.repetitions = sum(r.attempts - 1 for r in run.recorded.values() if r.attempts > 1)
        if row.cancel:
            run.cancel, run.cause = _cancel(row.cancel), Cause.CANCEL
        elif row.state == RunState.COMPENSATING and run.cause is None:
            run.cause = Cause.FAILURE
        return run

    async def _replay(self, run: ActiveRun, item: JournalRow) -> None:
        place = item.ord >> 40
        if item.kind == Kind.RESULT:
            record = run.recorded[place] = await read_record(self._e.store, item.body)
            run.position[place] = len(run.position)
            if record.taken:
                run.taken.add(record.taken)
        elif item.kind == Kind.UNDO:
            run.undone[place] = await read_record(self._e.store, item.body)
        elif item.kind == Kind.INTENT:
            run.intents.add((place, Kind.INTENT))
        elif item.kind == Kind.TIMER:
            run.timers_due[place] = _any(item.body)
        elif item.kind == Kind.SIGNAL:
            run.signals.setdefault(place, []).append(_any(item.body))

    def _moved(self, run: ActiveRun, move: Transition) -> None:
        if move.state == "paused":
            run.paused_at = move.at
        elif move.state == "running" and run.paused_at:
            if run.paused_at >= (run.row.started_at or 0.0):  # before a retry by hand the limit counted another time
                run.paused_s += move.at - run.paused_at
            run.paused_at = 0.0
        run.cause = Cause(move.cause) if move.cause else None
        run.error = move.error

    async def _event(self, key: int) -> Event | None:
        row = await self._e.store.event(key) if key else None
        return decode_stored(row.body) if row is not None else None

    async def _counted(self, run: ActiveRun, claimed: Claimed) -> bool:
        """Count a recovery after an unclean end; over RECOVERIES_MAX without a new row the run is paused (semantics
        4.8).
        """
        row = claimed.run
        mark: dict[str, Any] = run.metadata.get("recovery", {})
        rows = len(claimed.journal)
        count = mark.get("count", 0) + 1 if mark.get("rows") == rows else 1
        if not self._e.unclean or not self._in_flight(run):
            return True
        if count > RECOVERIES_MAX:
            names = ", ".join(self._in_flight(run))
            await self._park(
                claimed,
                ErrorInfo(
                    "crash_loop",
                    f"the process died {RECOVERIES_MAX} times with these steps in flight: {names}",
                    "fix",
                    hint="mend what kills it, then `reactor resume` the run or cancel it",
                ),
            )
            return False
        run.metadata["recovery"] = {"count": count, "rows": rows}
        change = RunChange(row.id, "live", recoveries=row.recoveries + 1, metadata=msgspec.json.encode(run.metadata))
        row.recoveries += 1
        await self._e.store.submit(Unit(changes=(change,)))
        return True

    def _in_flight(self, run: ActiveRun) -> list[str]:
        """Steps that were, as far as the journal tells, being carried out: ready, without a result, and no wait."""
        found: list[str] = []
        for node in run.plan.nodes:
            done = all(d in run.recorded for d in node.deps)
            if not node.parts and node.index not in run.recorded and done and node.index not in run.timers_due:
                found.append(node.path)
        return found

    async def _park(self, claimed: Claimed, error: ErrorInfo) -> None:
        """Pause a run that cannot go on, with its reason; nothing of it is lost."""
        row = claimed.run
        log.error("run %s of %s is paused: %s", row.id, row.workflow, error.message, extra={"workflow": row.workflow})
        change = RunChange(row.id, "live", state=int(RunState.PAUSED), error=msgspec.json.encode(error))
        await self._e.store.submit(Unit(changes=(change,)))
        self._e.parked_runs[row.id] = (row, error)
