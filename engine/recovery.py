"""Open runs come in through one door: out of their journals, after a crash or a clean stop alike (semantics 4.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..core import faults
from ..core.errors import ErrorInfo, ReactorError, StoreFailed, StoreUnavailable
from ..core.event import Event, decode_stored
from ..core.limits import RECOVERIES_ALONE, RECOVERIES_MAX, RECOVERY_ALONE_S
from ..core.loops import LOOPS
from ..store.contract import Claimed, JournalRow, Kind, RunChange, RunRow, RunState, Unit
from . import temp_dirs
from .active import ActiveRun
from .patience import patiently
from .plan import Plan
from .progress import reaction_of
from .records import read_record
from .run import CancelRequest, Cause, Overrun, StepRecord, Transition

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("reactor.engine")
LOOK_S = 0.05  # so often it is looked whether a suspect has come further
_peek = msgspec.json.Decoder(StepRecord).decode
_any = msgspec.json.Decoder().decode
_transition = msgspec.json.Decoder(Transition).decode
_cancel = msgspec.json.Decoder(CancelRequest).decode
_error = msgspec.json.Decoder(ErrorInfo).decode
_overrun = msgspec.json.Decoder(Overrun).decode


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

    def take(self, row: JournalRow, move: Transition | None) -> None:
        """The next row, in order; `move`: what it says if it is a transition."""
        if row.gen > self._gen:
            self._gen = row.gen
            keeps = move is not None and move.keeps  # it opens a generation for handlers alone
            failed = move.failed if move is not None else {}
            self.rows = [r for r in self.rows if not _failed_undo(r)] if keeps else self._standing(failed)
        if row.kind != Kind.TRANSITION:
            self.rows.append(row)

    def _standing(self, unwritten: Mapping[str, ErrorInfo]) -> list[JournalRow]:
        undone = {r.ord >> 40 for r in self.rows if r.kind == Kind.UNDO and not _failed_undo(r)}
        results = [(r, _peek(r.body)) for r in self.rows if r.kind == Kind.RESULT]
        overs = [(r, _overrun(r.body).error) for r in self.rows if r.kind == Kind.DECISION]
        failed = {r.ord >> 40: record.error for r, record in results if record.state == "failed"}
        failed |= {r.ord >> 40: error for r, error in overs}
        failed |= {self._plan.by_path[path]: error for path, error in unwritten.items()}
        answered = {place for place in failed if _answered(self._plan, place, failed)}
        standing = {
            r.ord >> 40
            for r, record in results
            if r.ord >> 40 not in undone and (record.state in ("completed", "skipped") or r.ord >> 40 in answered)
        }
        standing |= {r.ord >> 40 for r, _ in overs if r.ord >> 40 in answered}
        return [r for r in self.rows if r.kind in (Kind.RESULT, Kind.DECISION) and r.ord >> 40 in standing]


def _answered(plan: Plan, place: int, failed: Mapping[int, ErrorInfo | None]) -> bool:
    """Did the definition answer this failure: by `on_error: continue`, or by a `catch` that did not fail itself?"""
    error = failed.get(place)
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


def _stood(journal: Sequence[JournalRow]) -> Transition:
    """The last state that a run entered; one that says nothing where there is none, or it cannot be read."""
    for row in reversed(journal):
        if row.kind == Kind.TRANSITION:
            try:
                return _transition(row.body)
            except msgspec.DecodeError:
                break
    return Transition("", 0.0)


def _failed_undo(row: JournalRow) -> bool:
    return row.kind == Kind.UNDO and _peek(row.body).state == "failed"


class _Suspect(NamedTuple):
    """A run that is to be tried alone, and which recovery that will be."""

    run: ActiveRun
    claimed: Claimed
    nth: int


class Recovery:
    """Brings claimed runs back to where they were."""

    def __init__(self, engine: Engine) -> None:
        self._e = engine
        self._suspects: list[_Suspect] = []
        self._alone = False  # is somebody trying them?

    async def all(self, *, page: int = 1000) -> int:
        """Claim and start every open run; how many there were."""
        count = 0
        while found := await self._e.store.claim(runs_max=page):
            new = [claimed for claimed in found if claimed.run.id not in self._e.executor.runs]
            # together, so that their marks share a commit; claimed is ours: whatever the store does meanwhile, nobody
            # else would bring them back
            await asyncio.gather(
                *(patiently(self._e.clock, lambda claimed=claimed: self._bring_back(claimed)) for claimed in new)
            )
            count += len(found)
        if self._suspects and not self._alone:
            self._alone = True
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
        if run.state is RunState.PAUSED and run.row.error:
            self._keep(claimed.run, _error(run.row.error))  # paused by an error of its own, until a person says more
            return
        under_way = self._under_way(run) if self._e.unclean else []
        count = self._times(run, claimed)
        if not under_way:
            self._go_on(run)
        elif count > RECOVERIES_MAX:
            names = ", ".join(under_way)
            await self._park(
                claimed,
                ErrorInfo(
                    "crash_loop",
                    f"the process died {RECOVERIES_MAX} times with these steps in flight: {names}",
                    "fix",
                    hint="mend what kills it, then `reactor resume` the run or cancel it",
                ),
            )
        elif count >= RECOVERIES_ALONE:
            self._suspects.append(_Suspect(run, claimed, count))
        else:
            await self._count(run, claimed, count)
            self._go_on(run)

    def _go_on(self, run: ActiveRun) -> None:
        faults.point("run.recovered")
        self._e.resume_recovered(run)

    async def _one_by_one(self) -> None:
        """Runs that were in flight at several deaths start alone, so that the one that kills is found (4.8).

        Each is counted when it starts, not before: those that stand behind the one that kills have done nothing. Those
        that were tried least go first, for the one that was tried most is the likeliest to kill. One that has lived
        for RECOVERY_ALONE_S is cleared, so that what the next one does beside it does not count for it.
        """
        try:
            while self._suspects:
                suspect = min(self._suspects, key=lambda one: one.nth)
                self._suspects.remove(suspect)
                run = suspect.run
                if not await patiently(self._e.clock, lambda run=run: self._wanted(run)):
                    continue
                await self._count(run, suspect.claimed, suspect.nth)
                self._go_on(run)
                until = self._e.clock.monotonic() + RECOVERY_ALONE_S
                come = run.come()
                while (stays := self._stays(run, come)) and self._e.clock.monotonic() < until:
                    await self._e.clock.sleep(LOOK_S)
                if stays:
                    await patiently(self._e.clock, lambda suspect=suspect: self._cleared(suspect))
        finally:
            self._alone = False

    def _stays(self, run: ActiveRun, come: tuple[int, int]) -> bool:
        """Is a suspect still carrying out what it was started with?"""
        return self._e.executor.runs.get(run.row.id) is run and run.come() == come and not run.parked

    async def _cleared(self, suspect: _Suspect) -> None:
        """Take back what was counted against a run that did not kill."""
        run = suspect.run
        run.metadata["recovery"] = {"count": 0, "rows": len(suspect.claimed.journal)}
        change = RunChange(run.row.id, "live", metadata=msgspec.json.encode(run.metadata))
        await self._e.store.submit(Unit(changes=(change,)))

    async def _wanted(self, run: ActiveRun) -> bool:
        """Is a run that stood in line still to go on? It may have been ended by force, or cancelled, meanwhile."""
        row = await self._e.store.run(run.row.id)
        if row is None or RunState(row.state).ended:
            return False
        if row.cancel:
            run.cancel, run.cause = _cancel(row.cancel), Cause.CANCEL
        return True

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
        event, vars_ = await self._event(row.event), await self._e.vars_of(row.vars)
        run = ActiveRun(row, plan, self._e.store.id, event, vars_, url=self._e.url)
        run.again = True
        run.has_folder = temp_dirs.is_made(run.id)
        journal = _Journal(plan)
        for item in claimed.journal:
            move = _transition(item.body) if item.kind == Kind.TRANSITION else None
            journal.take(item, move)
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
                run.taken.setdefault(record.taken, len(run.taken))
        elif item.kind == Kind.DECISION:
            run.overs[place] = len(run.position), _overrun(item.body)
            run.position[place] = len(run.position)
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
            run.paused_at = run.paused_at or move.at
        elif move.state == "running" and run.paused_at:
            if run.paused_at >= (run.row.started_at or 0.0):  # before a retry by hand the limit counted another time
                run.paused_s += move.at - run.paused_at
            run.paused_at = 0.0
        run.cause = Cause(move.cause) if move.cause else None
        run.error = move.error

    async def _event(self, key: int) -> Event | None:
        row = await self._e.store.event(key) if key else None
        return decode_stored(row.body) if row is not None else None

    def _times(self, run: ActiveRun, claimed: Claimed) -> int:
        """Which recovery this is since the run's last new row, the first being 1."""
        mark: dict[str, Any] = run.metadata.get("recovery", {})
        return mark.get("count", 0) + 1 if mark.get("rows") == len(claimed.journal) else 1

    async def _count(self, run: ActiveRun, claimed: Claimed, count: int) -> None:
        """Make a recovery durable before the run starts (semantics 4.8)."""
        row = claimed.run
        run.metadata["recovery"] = {"count": count, "rows": len(claimed.journal)}
        change = RunChange(row.id, "live", recoveries=row.recoveries + 1, metadata=msgspec.json.encode(run.metadata))
        row.recoveries += 1
        await self._e.store.submit(Unit(changes=(change,)))

    def _under_way(self, run: ActiveRun) -> list[str]:
        """Steps that were, as far as the journal tells, being carried out: ready, without a result, and no wait; while
        handlers run, the next of them.
        """
        if run.state is RunState.COMPENSATING:
            return self._handler(run)
        if run.state is not RunState.RUNNING:
            return []
        found: list[str] = []
        for node in run.plan.nodes:
            done = all(d in run.recorded for d in node.deps)
            if not node.parts and node.index not in run.recorded and done and node.index not in run.timers_due:
                found.append(node.path)
        return found

    def _handler(self, run: ActiveRun) -> list[str]:
        """The handler that stands next, if one is left: those of failed steps first, then of completed ones, the last
        first.
        """
        failed: list[int] = []
        done: list[int] = []
        for node in run.plan.nodes:
            record, undo = run.recorded.get(node.index), node.undo
            if record is None or undo is None or node.index in run.undone:
                continue
            if record.state == "completed" and undo.spec.when in ("completed", "both"):
                done.append(node.index)
            elif record.state == "failed" and undo.spec.when in ("failed", "both"):
                failed.append(node.index)
        done.sort(key=run.position.__getitem__, reverse=True)
        return [f"the handler of {run.plan.nodes[index].path}" for index in (*failed, *done)[:1]]

    async def _park(self, claimed: Claimed, error: ErrorInfo) -> None:
        """Pause a run that cannot go on, with its reason; nothing of it is lost."""
        row = claimed.run
        log.error("run %s of %s is paused: %s", row.id, row.workflow, error.message, extra={"workflow": row.workflow})
        await self._e.executor.records.park(row, RunState(row.state), error, _stood(claimed.journal))
        self._keep(row, error)

    def _keep(self, row: RunRow, error: ErrorInfo) -> None:
        self._e.parked_runs[row.id] = (row, error)
