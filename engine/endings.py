"""How runs end: why steps were stopped, which handlers run, what the last unit says (semantics 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..core import faults
from ..core.errors import ErrorInfo, ReactorError
from ..store.contract import JournalRow, Kind, RunChange, RunState, Unit
from .active import ActiveRun
from .admission import release
from .children import end_children
from .masking import masked_error
from .patience import patiently
from .plan import Node
from .progress import reaction_of
from .pure import fitting, shown_output
from .run import (
    CancelRequest,
    Cause,
    Signal,
    StepRecord,
    StepState,
    StepSummary,
    advance,
    end_state,
)
from .work import Work

if TYPE_CHECKING:
    from .executor import Executor

_encode = msgspec.json.Encoder().encode
_cancel = msgspec.json.Decoder(CancelRequest).decode
_F, _X, _C = StepState.FAILED, StepState.CANCELLED, StepState.COMPLETED


class Endings:
    """Ends runs for the executor."""

    def __init__(self, executor: Executor) -> None:
        self._x = executor

    # -- the usual end
    def is_last(self, run: ActiveRun, node: Node) -> bool:
        """Would this step's success complete the run? Then its result and the end are one unit."""
        root = run.progress.root
        return (
            root is not None
            and root.open == 1
            and root.under_way == 1
            and root.error is None
            and node.part == run.plan.root.index
            and run.state is RunState.RUNNING
            and run.cause is None
            and not run.undone
            and not self._x.telling.interest.follows("reactor.step.completed")
        )

    async def complete_with(self, run: ActiveRun, node: Node, record: StepRecord) -> None:
        """The last step's result and the run's end in one unit; the usual way if the outputs fail or a cancel came
        first.
        """
        x = self._x
        record, body = x.records.encoded(node, record)
        if len(body) > x.records.plain_bytes_max:
            record, body = await x.records.apart(node, record, body)
        row = x.records.row(run, node, Kind.RESULT, body)
        if record.state == "failed":
            await x.store.submit(Unit(journal=(row,)))
            x.walk(run, x.settle(run, node, record))
            return
        x.settle(run, node, record)
        run.ending = True
        try:
            outputs = self.outputs(run)
        except ReactorError:
            await x.store.submit(Unit(journal=(row,)))
        else:
            if await self._record_end(run, outputs, [], (row,), node=node, record=record):
                return
            await x.store.submit(Unit(journal=(row,)))
        x.telling.step_ended(run, node, record)
        await self.end(run)

    async def end(self, run: ActiveRun) -> None:
        """Nothing is under way: run the handlers that are due, then write the end."""
        outputs: Any = None
        progress = run.progress
        if run.cause is None and progress.failure is not None:
            run.cause, run.error = Cause.FAILURE, progress.failure[1]
        while True:
            if run.cause is None:
                try:
                    outputs = self.outputs(run)
                except ReactorError as e:
                    run.cause, run.error = Cause.FAILURE, e.info(place=self._x.place(run, None))
            handlers = self.handlers(run)
            if run.cause is not None and run.plan.starts_runs:
                request = run.cancel or CancelRequest("its parent was stopped", "parent", self._x.clock.now())
                await end_children(self._x, run, request)
            if run.state is RunState.PAUSED:
                run.ending = False  # `resume` looks at it again
                return
            if handlers and run.state is not RunState.COMPENSATING:
                run.state = advance(run.state, Signal.UNDO).state or run.state
                error = _encode(run.error) if run.error is not None else None
                await self._x.records.transition(run, run.state, run.cancel, error=error, at=self._x.clock.now())
                self._x.telling.entered(run, run.state)
            for index in handlers:
                if not await self._undo(run, run.plan.nodes[index]):
                    return  # forced: its end is recorded
            if await self._record_end(run, outputs if run.cause is None else None, handlers):
                return

    def outputs(self, run: ActiveRun) -> Any:
        """The declared outputs, or those of the leaves by name."""
        if run.plan.outputs is None:
            nodes = run.plan.nodes
            return {nodes[i].name: run.progress.outputs[i] for i in run.plan.root.leaves}
        reads = run.plan.output_reads
        if reads is None:
            ended = run.progress.states
            reads = tuple((name, place) for name, place in run.plan.by_name.items() if ended[place].ended)
        return run.plan.outputs.render(run.activation(reads))

    # -- handlers
    def handlers(self, run: ActiveRun) -> list[int]:
        """The steps whose handlers run, in order: those that failed or were stopped, then completed ones, last
        first.
        """
        if run.cause is None or run.state in (RunState.PENDING, RunState.QUEUED):
            return []
        policy = run.plan.definition.on_error
        failure = run.progress.failure
        if run.cause is Cause.FAILURE and failure is not None:
            reaction = reaction_of(run.plan.nodes[failure[0]], failure[1])
            policy = {"compensate": "compensate_all", "fail_fast": "fail_fast"}.get(reaction, policy)
        elif run.cause is Cause.CANCEL:
            policy = "compensate_all"  # `on_error` speaks of failures: what a person ends is undone (9.1)
        if policy in ("fail_fast", "continue"):
            return []
        nodes, states = run.plan.nodes, run.progress.states
        half_done = [n.index for n in nodes if states[n.index] in (_F, _X) and n.undo is not None]
        if policy == "compensate_failed":
            return [i for i in half_done if self._wants(run, nodes[i])]
        found: list[int] = []
        for index in half_done:
            undo = nodes[index].undo
            if undo is not None and undo.spec.when in ("failed", "both") and self._wants(run, nodes[index]):
                found.append(index)
        for index in reversed(run.progress.completed):
            undo = nodes[index].undo
            if undo is not None and undo.spec.when in ("completed", "both") and self._wants(run, nodes[index]):
                found.append(index)
        return found

    def _scope(self, run: ActiveRun, node: Node) -> dict[str, Any]:
        error = run.progress.errors[node.index] or run.error
        return {
            "output": run.progress.outputs[node.index],
            "error": msgspec.to_builtins(error) if error is not None else None,
        }

    def _wants(self, run: ActiveRun, node: Node) -> bool:
        undo = node.undo
        if undo is None or undo.if_ is None:
            return True
        try:
            return undo.if_.truth(run.activation(self._reads(run, node), self._scope(run, node)))
        except ReactorError:
            return True  # a condition that cannot be evaluated must not leave an effect standing

    def _reads(self, run: ActiveRun, node: Node) -> tuple[tuple[str, int], ...]:
        undo = node.undo
        assert undo is not None
        paths = [*undo.with_.reads, *(undo.if_.reads if undo.if_ is not None else ())]
        names = {str(p[1]) for p in paths if p[0] == "steps" and len(p) > 1}
        return tuple((n, run.plan.by_name[n]) for n in names if n in run.plan.by_name)

    async def _undo(self, run: ActiveRun, node: Node) -> bool:
        """Run one handler (semantics 9.6: it is a step); False if the run was forced to end meanwhile."""
        x, undo = self._x, node.undo
        assert undo is not None
        record = run.undone.get(node.index)
        if record is None:
            work = Work(node, x.actions.action(undo.spec.uses), undo=True, reads=self._reads(run, node))
            attempt = await x.attempts.perform(run, work, self._scope(run, node))
            if run.state is not RunState.COMPENSATING:
                return False
            faults.point("undo.result")
            record = await x.records.write(run, node, attempt.record, attempt.effect, x.telling, kind=Kind.UNDO)
            faults.point("undo.recorded")
            run.undone[node.index] = record
            x.telling.tell_step(run, node, "compensated", attempt=record.attempts, error=record.error)
        if record.state == "failed":
            run.undo_failed.append(node.index)
        return True

    # -- the last unit
    async def _record_end(
        self,
        run: ActiveRun,
        outputs: Any,
        handlers: list[int],
        journal: tuple[JournalRow, ...] = (),
        *,
        node: Node | None = None,
        record: StepRecord | None = None,
    ) -> bool:
        """Result, outcome and event in one unit; False if a cancel was committed first (it is then in `run.cancel`)."""
        x, row = self._x, run.row
        state = end_state(run.cause, len(handlers), len(run.undo_failed))
        ended_at, mask = x.clock.now(), x.telling.secrets.mask_json
        ended = msgspec.structs.replace(
            row,
            state=int(state),
            output=mask(_encode(outputs)) if run.cause is None else None,
            error=_encode(self.error_of(run, handlers)) if run.cause is not None else None,
            steps=_encode(self.summary(run)),
            ended_at=ended_at,
            transitions=row.transitions + 1,
        )
        change = RunChange(
            row.id,
            "live" if run.cancel is not None else "open",
            state=ended.state,
            output=ended.output,
            error=ended.error,
            steps=ended.steps,
            transitions=ended.transitions,
            ended_at=ended_at,
            metadata=_encode(run.metadata) if run.metadata else None,
        )
        unit = Unit(
            journal=journal,
            changes=(change,),
            release=release(row),
            outbox=x.telling.end_outbox(ended),
            bytes_=len(ended.output or b""),
        )
        faults.point("run.end")
        committed = await x.store.submit(unit)
        if committed.refused:
            return await self._overtaken(run)
        faults.point("run.ended")
        if record is not None and node is not None:
            x.telling.step_ended(run, node, record)
        x.telling.sent(unit.outbox)
        x.ended(run, ended)
        x.owner.freed(committed.flow_freed)
        return True

    async def _overtaken(self, run: ActiveRun) -> bool:
        """A cancel, or a forced end, was committed before this end (semantics 9.3)."""
        found = await patiently(self._x.clock, lambda: self._x.store.run(run.row.id))
        if found is None or RunState(found.state).ended:
            self._x.ended(run, found or run.row)
            return True
        run.cancel = _cancel(found.cancel) if found.cancel else CancelRequest()
        run.cause, run.state = Cause.CANCEL, RunState.CANCELLING
        run.error = None
        return False

    async def force(self, run: ActiveRun) -> None:
        """End at once: no grace, no handlers, marked `forced` (semantics 9.5)."""
        run.ending = True
        run.metadata["forced"] = True
        run.progress.stop()
        for task in list(run.tasks.values()):
            task.cancel()
        self._x.waits.stop_all(run, children=True)
        await self._record_end(run, None, [])

    def error_of(self, run: ActiveRun, handlers: list[int]) -> dict[str, Any]:
        """A run's error: its failing step's, with what was undone and what was not (actions.md §2)."""
        error = run.error
        if run.cause is Cause.CANCEL:
            request = run.cancel or CancelRequest()
            by = f" by {request.actor}" if request.actor else ""
            error = ErrorInfo(
                request.code, f"cancelled{by}: {request.reason}" if request.reason else f"cancelled{by}", "none"
            )
        elif error is None:
            error = ErrorInfo("failed", "the run failed")
        nodes = run.plan.nodes
        if run.undo_failed:
            names = ", ".join(nodes[i].path for i in run.undo_failed)
            error = ErrorInfo(
                "compensation_failed",
                f"not undone: {names}",
                "fix",
                nodes[run.undo_failed[0]].path,
                cause=error,
                hint="mend the cause, then `reactor retry RUN --compensation`",
                details={nodes[i].path: msgspec.to_builtins(run.undone[i].error) for i in run.undo_failed},
            )
        failure = run.progress.failure
        done = [nodes[i].path for i in handlers if i not in run.undo_failed]
        with_handler = [
            i
            for i in run.progress.completed
            if nodes[i].undo is not None or nodes[i].uses not in ("", "transform", "log")
        ]
        mask = self._x.telling.secrets.mask_value
        results = fitting(
            (nodes[i].name, run.progress.outputs[i])
            for i in run.progress.completed
            if nodes[i].part == run.plan.root.index
        )
        return {
            **msgspec.to_builtins(masked_error(error, mask)),
            "failed_step": (failure[1].step or nodes[failure[0]].path) if failure is not None else None,
            "compensated": done,
            "not_compensated": [nodes[i].path for i in with_handler if nodes[i].path not in done],
            "results": mask(msgspec.to_builtins(results)),
        }

    def summary(self, run: ActiveRun) -> list[StepSummary]:
        """Every step as lists and the API show it."""
        progress, found, mask = run.progress, list[StepSummary](), self._x.telling.secrets.mask_json
        for node in run.plan.nodes:
            index = node.index
            record = run.values.get(index)
            undone = run.undone.get(index) if run.undone else None
            cause = progress.skip_causes.get(index) if progress.skip_causes else None
            compensated = undone.state if undone is not None else ""
            why = cause.message if cause is not None else ""
            if record is None:
                state, error = progress.states[index].value, progress.errors[index]
                found.append(StepSummary(node.path, state, error=error, compensated=compensated, cause=why))
            else:
                found.append(
                    StepSummary(
                        node.path,
                        record.state,
                        record.attempts,
                        record.started_at,
                        record.ended_at,
                        record.error,
                        shown_output(node, record.output, mask) if node.uses == "transform" else None,
                        record.recovered,
                        compensated,
                        why,
                    )
                )
        return found

    def why_stopped(self, run: ActiveRun, node: Node) -> ErrorInfo:
        """The error of a step that was cancelled."""
        block = run.progress.over_around(node)
        if block is not None:
            message = f"`{node.path}` was stopped: `{block.path}` took too long"
            return ErrorInfo("timeout", message, "none", node.path)
        if run.cause is Cause.TIMEOUT:
            return ErrorInfo("timeout", f"`{node.path}` was stopped: the run took too long", "none", node.path)
        if run.cause is Cause.CANCEL and run.cancel is not None:
            why = f": {run.cancel.reason}" if run.cancel.reason else ""
            return ErrorInfo(run.cancel.code, f"`{node.path}` was stopped with its run{why}", "none", node.path)
        return ErrorInfo("cancelled", f"`{node.path}` was stopped because another step failed", "none", node.path)
