"""Signals to a run that is open on this node: cancel, force, pause, resume, time out; and what stops its steps."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.errors import ErrorInfo
from ..core.limits import CANCEL_GRACE_S
from ..store.contract import Kind, RunState, Unit
from .active import ActiveRun
from .attempts import unexpected
from .plan import PARKED, Node
from .progress import Outcome
from .run import TABLE, CancelRequest, Cause, Effect, Overrun, Signal, StepRecord, StepState, Transition, advance

if TYPE_CHECKING:
    from .executor import Executor

log = logging.getLogger("reactor.engine")


class Control:
    """Moves runs by the table in `run.py`, for the executor."""

    def __init__(self, executor: Executor) -> None:
        self._x = executor

    async def signal(self, run: ActiveRun, signal: Signal, request: CancelRequest | None = None) -> None:
        """Cancel, force, pause, resume or time out a run that is open here. Raises NotAllowed."""
        move = advance(run.state, signal)
        if move.state is run.state and not move.effects:
            return
        if signal in (Signal.CANCEL, Signal.FORCE):
            run.cause, run.cancel = Cause.CANCEL, request
        if signal is Signal.TIME_OUT and run.cause is None:
            run.cause = Cause.TIMEOUT
        if move.state is not None:
            if RunState.PAUSED in (run.state, move.state):
                self._stop_or_go_on_counting(run, move.state)
            run.state = move.state
        if signal is Signal.FORCE:
            await self._x.endings.force(run)
            return
        if Effect.START_NOTHING in move.effects and signal is not Signal.PAUSE:
            run.progress.stop()
            self.drop_queue(run)
        if Effect.RECORD in move.effects:
            await self._x.records.transition(run, run.state, request)
            self._x.telling.entered(run, run.state, again=True)
        if Effect.CANCEL_STEPS in move.effects:
            self.stop_steps(run)
        if Effect.START_STEPS in move.effects:
            if run.gate is not None:
                run.gate.set()
                run.gate = None
            self._x.pump(run)
        self._x.look(run)

    def as_before(self, run: ActiveRun) -> bool:
        """After the walk over its journal: what was under way when something stopped it was stopped, and has no row.

        False if the run is not to go on yet: its cancel is durable, and is carried out next.
        """
        run.found_again()
        if run.cause is None:
            return True
        if run.cause is Cause.CANCEL and run.state in (RunState.RUNNING, RunState.PAUSED):
            return False
        if run.cause is Cause.FAILURE:  # its waits ended before it was stopped as a whole: a `catch` heard of that
            for index in self._begun(run):
                self._stopped(run, index)
        run.progress.stop()
        self.drop_queue(run)
        return True

    def drop_queue(self, run: ActiveRun) -> None:
        """Queued steps never start; those that had begun before a crash are cancelled."""
        for index in self._begun(run):
            self._stopped(run, index)
        while run.queue:
            self.withdraw(run, run.queue.popleft())

    def _begun(self, run: ActiveRun) -> list[int]:
        """Queued steps that had begun, in the order in which a cancel ends them: sub-workflows last."""
        found = [index for index in run.queue if index in run.begun]
        order = {"run-workflow": 2, **dict.fromkeys(PARKED - {"run-workflow"}, 1)}
        return sorted(found, key=lambda index: order.get(run.plan.nodes[index].uses, 0))

    def _stopped(self, run: ActiveRun, index: int) -> None:
        run.queue.remove(index)
        node, now = run.plan.nodes[index], self._x.clock.now()
        if node.uses == "run-workflow":
            self._x.waits.stop_found(run, node)
            return
        noted: dict[str, Any] = run.timers_due.pop(index, None) or {}
        started, attempts = noted.get("started", now), noted.get("attempt", 2) - 1
        error, recovered = self._x.endings.why_stopped(run, node), index in run.refound
        record = StepRecord("cancelled", None, error, attempts, started, now, recovered)
        self._x.walk(run, self._x.ended_step(run, node, record))

    def withdraw(self, run: ActiveRun, index: int) -> None:
        self._x.walk(run, run.progress.withdraw(index))

    def stop_steps(self, run: ActiveRun) -> None:
        """Cancel all that is under way; what does not end in CANCEL_GRACE_S is shown as such, a thread is awaited."""
        for index in list(run.tasks):
            self.stop_step(run, index)
        self._x.waits.stop_all(run, children=True)
        if run.tasks:
            self._x.timers.at(self._x.clock.now() + CANCEL_GRACE_S, lambda: self._overdue(run))

    def stop_step(self, run: ActiveRun, index: int) -> None:
        """Cancel one step under way, or one that waits."""
        task = run.tasks.get(index)
        if task is not None:
            task.cancel()
        elif index in run.parked:
            self._x.waits.stop(run, index)
        elif run.again and index in run.queue and (index in run.begun or index in run.beside()):
            self._stopped(run, index)

    def _overdue(self, run: ActiveRun) -> None:
        names = ", ".join(run.plan.nodes[i].path for i in run.tasks)
        if names and run.row.id in self._x.runs:
            log.warning(
                "run %s: cancelled steps still run after %g s: %s", run.id, CANCEL_GRACE_S, names, extra={"run": run.id}
            )

    def set_timeout(self, run: ActiveRun) -> None:
        """The run's `timeout` counts from its first `running`, waiting included, paused not (semantics 8.5)."""
        limit = run.plan.definition.timeout_s
        if limit is not None and run.row.started_at is not None:
            due = run.row.started_at + limit + run.paused_s
            run.timeout = self._x.timers.at(due, lambda: self._time_out(run))

    def overdue(self, run: ActiveRun) -> bool:
        """Did the limit pass while nobody was there? Then its timer stops the run: nothing starts before."""
        due = run.timeout.due if run.timeout is not None else math.inf
        return run.state is RunState.RUNNING and run.cause is None and due <= self._x.clock.now()

    def _stop_or_go_on_counting(self, run: ActiveRun, state: RunState) -> None:
        """What is paused runs against no limit: the time that a pause took is added when it ends."""
        if run.timeout is not None:
            run.timeout.cancel()
        if state is RunState.PAUSED:
            run.paused_at = self._x.clock.now()
        elif state is RunState.RUNNING:
            run.paused_s += self._x.clock.now() - run.paused_at
            run.paused_at = 0.0
            self.set_timeout(run)

    def limit_block(self, run: ActiveRun, node: Node) -> None:
        """A block's `timeout` limits all that is inside it."""
        limit = node.timeout_s
        if limit is not None:
            due = self._x.clock.now() + limit
            run.blocks.append(self._x.timers.at(due, lambda: self._over(run, node, limit)))

    def _over(self, run: ActiveRun, node: Node, limit: float) -> None:
        self._x.spawn(self._block_over(run, node, limit), f"{run.id}/{node.path}", run)

    async def _block_over(self, run: ActiveRun, node: Node, limit: float) -> None:
        """What comes after it hangs on when a block was over: that is durable first."""
        if not self._open(run, node):
            return
        message = f"`{node.path}` took longer than its limit of {limit:g} s"
        error = ErrorInfo("timeout", message, "retry", node.path, 1, None, self._x.place(run, node))
        body = msgspec.json.encode(Overrun(error, run.under_way()))
        row = self._x.records.row(run, node, Kind.DECISION, body)
        await self._x.store.submit(Unit(journal=(row,)))
        if self._open(run, node):
            self._x.walk(run, run.progress.fail_block(node.index, error))
            self._x.pump(run)
            self._x.look(run)

    def over_again(self, run: ActiveRun, index: int) -> Outcome:
        """At recovery: a block was over its limit by now, if what came before had not ended it."""
        if run.progress.states[index] is not StepState.RUNNING:
            return Outcome()
        return run.progress.fail_block(index, run.overs[index][1].error)

    def _open(self, run: ActiveRun, node: Node) -> bool:
        progress = run.progress
        running = progress.states[node.index] is StepState.RUNNING and node.index not in progress.over
        return running and self._x.runs.get(run.row.id) is run

    def _time_out(self, run: ActiveRun) -> None:
        if run.row.id not in self._x.runs or run.ending or (run.state, Signal.TIME_OUT) not in TABLE:
            return
        limit = run.plan.definition.timeout_s
        run.error = ErrorInfo(
            "timeout",
            f"the run took longer than its limit of {limit:g} s",
            "retry",
            hint="raise `timeout`, or look at its slowest step",
        )
        self._x.spawn(self.signal(run, Signal.TIME_OUT), f"{run.id}/timeout", run)

    async def broken(self, run: ActiveRun | None, e: Exception) -> None:
        """A defect of ours came up while working for a run: it is paused with the error, nothing of it is lost."""
        name = run.id if run is not None else ""
        log.error("a task failed in a way that nobody foresaw", exc_info=e, extra={"run": name})
        if run is None or self._x.runs.pop(run.row.id, None) is None:
            return
        run.progress.stop()
        for task in run.tasks.values():
            task.cancel()
        told = unexpected(e, None, None, None)
        message, hint = f"Reactor failed: {told.message}", "resume the run; please report this"
        error = ErrorInfo("internal", message, "fix", hint=hint, details=told.details)
        before = Transition("", 0.0, error=run.error, cause=run.cause.value if run.cause is not None else "")
        await self._x.records.park(run.row, run.state, error, before)
