"""What people and events do to runs: cancel, force, pause, resume, retry, answer an approval. Durable before it is
answered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import msgspec

from ..core import faults
from ..core.clock import SYSTEM
from ..core.errors import ErrorInfo, PermanentError, ReactorError
from ..core.ids import run_text
from ..core.limits import NODE_TTL_S, SWEEP_S
from ..language.json_schema import compile_schema
from ..store.contract import Admit, Claimed, JournalRow, Kind, RunChange, RunRow, RunState, Unit
from . import admission
from .active import ActiveRun
from .patience import patiently
from .plan import Plan, wrong
from .prepare import InvalidInput
from .run import TABLE, CancelRequest, Cause, NotAllowed, Signal, StepSummary, Transition, advance, name

if TYPE_CHECKING:
    from .engine import Engine

_encode = msgspec.json.Encoder().encode
_error = msgspec.json.Decoder(ErrorInfo).decode
_any = msgspec.json.Decoder().decode
_transition = msgspec.json.Decoder(Transition).decode
_summary = msgspec.json.Decoder(list[StepSummary]).decode

TAKEN_OVER_S = NODE_TTL_S + 2 * SWEEP_S  # in this time the lease of a process that was killed has run out
LOOK_S = 0.1
_STEPPED = frozenset((RunState.RUNNING, RunState.CANCELLING, RunState.COMPENSATING))


class RunNotFound(PermanentError):
    """No run has this id."""

    code = "not_found"


class SignalRefused(ReactorError):
    """The run's state does not take this signal; the message names the state and what it takes. 409 over HTTP."""

    code = "conflict"


class NotApprover(ReactorError):
    """Somebody answered an approval that is others' to answer. 403 over HTTP."""

    code = "forbidden"


class Signals:
    """Carries signals to runs, wherever they are: in memory, held, or paused at recovery."""

    def __init__(self, engine: Engine) -> None:
        self._e = engine

    async def cancel(self, number: int, request: CancelRequest) -> bool:
        """Cancel a run; False if it was cancelled already. Raises RunNotFound, SignalRefused if it has ended."""
        row = await self._row(number)
        if row.state == RunState.CANCELLED:
            return False
        if RunState(row.state).ended:
            raise self._over(number, row)
        if not request.force and await self._undoing(row):
            raise SignalRefused(
                f"the run {self._text(number)} is compensating", hint="`--force` ends it at once, without its handlers"
            )
        if request.force:
            return await self._force(number, request)
        committed = await self._e.store.submit(Unit(changes=(RunChange(number, "open", cancel=_encode(request)),)))
        if committed.refused:
            row = await self._row(number)
            if RunState(row.state).ended and row.state != RunState.CANCELLED:
                raise self._over(number, row)
            return False
        faults.point("cancel.durable")
        await self._carry_out(number, request)
        return True

    async def cancel_child(self, number: int, request: CancelRequest) -> bool:
        """Cancel a child run if it is open; False if it has ended already."""
        with contextlib.suppress(SignalRefused):
            await patiently(self._e.clock, lambda: self.cancel(number, request))
        row = await patiently(self._e.clock, lambda: self._row(number))
        return not RunState(row.state).ended

    async def cancelled(self, number: int) -> None:
        """The `cancel` column was set in another unit (`cancel_on`, `cancel_running`): carry it out."""
        row = await patiently(self._e.clock, lambda: self._e.store.run(number))
        if row is not None and row.cancel and not RunState(row.state).ended:
            await self._carry_out(number, msgspec.json.decode(row.cancel, type=CancelRequest))

    async def _carry_out(self, number: int, request: CancelRequest) -> None:
        run = self._e.executor.runs.get(number)
        if run is not None:
            # one that is ending, or compensating already, sees the cancel when it writes its end
            if not run.ending and (run.state, Signal.CANCEL) in TABLE:
                await self._e.executor.control.signal(run, Signal.CANCEL, request)
            return
        row = await patiently(self._e.clock, lambda: self._row(number))
        if RunState(row.state).held:
            await self._end_held(row, request)
        elif row.state == RunState.PAUSED and not await self._undoing(row):
            await self._wake(row)

    async def _end_held(self, row: RunRow, request: CancelRequest) -> None:
        """A run that never began ends at once; it leaves its queues in the same unit."""
        now = self._e.clock.now()
        state = advance(RunState(row.state), Signal.CANCEL).state
        assert state is not None
        error = ErrorInfo(request.code, f"cancelled: {request.reason}" if request.reason else "cancelled", "none")
        ended = msgspec.structs.replace(
            row, state=int(state), ended_at=now, error=_encode(error), steps=b"[]", transitions=row.transitions + 1
        )
        change = RunChange(
            row.id,
            "live",
            state=ended.state,
            ended_at=now,
            error=ended.error,
            steps=ended.steps,
            transitions=ended.transitions,
        )
        limits = admission.of_row(row)
        leave = (Admit(row.id, admission.withdraw(limits), now, row.transitions + 1, release=True),) if limits else ()
        outbox = self._e.telling.end_outbox(ended)
        committed = await self._e.store.submit(Unit(admit=leave, changes=(change,), outbox=outbox))
        if not committed.refused:
            self._e.held.change(row.workflow, -1)
            self._e.telling.sent(outbox)
            self._e.telling.ended(None, ended)
            self._e.freed(limit.flow_key for limit in limits)

    async def _force(self, number: int, request: CancelRequest) -> bool:
        run = self._e.executor.runs.get(number)
        if run is None:
            row = await self._row(number)
            if RunState(row.state).held:
                await self._end_held(row, request)
                return True
            run = await self._restored(row)
            self._e.executor.found(run, request)
        await self._e.store.submit(Unit(changes=(RunChange(number, "live", cancel=_encode(request)),)))
        await self._e.executor.control.signal(run, Signal.FORCE, request)
        return True

    async def pause(self, number: int, request: CancelRequest) -> None:
        """Running steps finish, no new one starts. Raises RunNotFound, SignalRefused."""
        await self._signal(number, Signal.PAUSE, request)

    async def resume(self, number: int, request: CancelRequest) -> None:
        """Go on. A run that was paused at recovery is brought back. Raises RunNotFound, SignalRefused."""
        if number not in self._e.executor.runs:
            row = await self._row(number)
            if row.state == RunState.PAUSED:
                await self._wake(row, request)
                return
        await self._signal(number, Signal.RESUME, request)

    async def _signal(self, number: int, signal: Signal, request: CancelRequest) -> None:
        run = await self._stepped(number)
        try:
            if run is None:
                row = await self._row(number)
                advance(RunState(row.state), signal)
                self._elsewhere(row)
                raise SignalRefused(f"the run {self._text(number)} is {name(row.state)}; it has not begun")
            await self._e.executor.control.signal(run, signal, request)
        except NotAllowed as e:
            raise self._refused(number, e) from None

    def _refused(self, number: int, why: NotAllowed) -> SignalRefused:
        hint = "" if why.allowed else "`reactor rerun` starts a new run with its inputs"
        return SignalRefused(f"the run {self._text(number)}: {why}", hint=hint)

    async def _wake(self, row: RunRow, request: CancelRequest = CancelRequest()) -> None:
        """A run that was paused and is not in memory: bring it back as it was, running or compensating; `request`: who
        wants it, and why.
        """
        before = await self._moved_before(row)
        self._e.parked_runs.pop(row.id, None)
        number, now = row.transitions + 1, self._e.clock.now()
        undoing = before is not None and before.state == name(RunState.COMPENSATING)
        state = RunState.COMPENSATING if undoing else RunState.RUNNING
        body = Transition(name(state), now, request.actor, request.reason, key=request.key)
        if before is not None and undoing:
            body = msgspec.structs.replace(body, error=before.error, cause=before.cause)
        metadata: dict[str, Any] = _any(row.metadata) if row.metadata else {}
        metadata.pop("recovery", None)  # a person has looked at it: it is counted anew
        outbox = self._e.telling.entered_outbox(row, state, number, now, again=True)
        journal = JournalRow(row.id, number, Kind.TRANSITION, _encode(body), row.gen)
        change = RunChange(
            row.id,
            "live",
            state=int(state),
            error=_encode(body.error) if body.error is not None else None,
            transitions=number,
            metadata=_encode(metadata),
            mend=True,
        )
        await self._e.store.submit(Unit(journal=(journal,), changes=(change,), outbox=outbox))
        self._e.telling.sent(outbox)
        self._carry_on(await self._restored(await self._row(row.id)))

    def _carry_on(self, run: ActiveRun) -> None:
        self._e.telling.entered(run, run.state, again=True)
        self._e.resume_recovered(run)

    async def _undoing(self, row: RunRow) -> bool:
        """Does a run run its handlers, or was it paused by an error while it did?"""
        if row.state != RunState.PAUSED or row.id in self._e.executor.runs:
            return row.state == RunState.COMPENSATING
        before = await self._moved_before(row)
        return before is not None and before.state == name(RunState.COMPENSATING)

    async def _moved_before(self, row: RunRow) -> Transition | None:
        """The last state but `paused` that a run entered by a row of its journal."""
        rows = await self._e.store.journal(row.id)
        moves = [_transition(item.body) for item in rows if item.kind == Kind.TRANSITION]
        return next((move for move in reversed(moves) if move.state != name(RunState.PAUSED)), None)

    async def _restored(self, row: RunRow) -> ActiveRun:
        plan = await self._plan(row)
        return await self._e.recovery.restored(Claimed(row, tuple(await self._e.store.journal(row.id))), plan)

    async def _plan(self, row: RunRow) -> Plan:
        plan = await self._e.workflows.stored_plan(row.digest)
        if plan is None:
            raise SignalRefused(
                f"the run {self._text(row.id)}: its definition is not in the store", code="needs_version"
            )
        return plan

    async def retry(self, number: int, request: CancelRequest, *, compensation: bool = False) -> None:
        """Go on with a run that ended badly: its failed steps again, completed ones kept (semantics 4.7).

        With `compensation`, only the handlers that failed. Raises RunNotFound, SignalRefused.
        """
        row = await self._row(number)
        try:
            advance(RunState(row.state), Signal.REOPEN)
        except NotAllowed as e:
            raise self._refused(number, e) from None
        if compensation and row.state != RunState.COMPENSATION_FAILED:
            raise SignalRefused(
                f"the run {self._text(number)} is {name(row.state)}: none of its `compensate` steps failed"
            )
        state = RunState.COMPENSATING if compensation else RunState.RUNNING
        metadata: dict[str, Any] = msgspec.json.decode(row.metadata) if row.metadata else {}
        if not compensation and _without_effect(row):
            metadata["generation"] = metadata.get("generation", 0) + 1
        number_ = row.transitions + 1
        cause = Cause.FAILURE.value if compensation else ""
        error = _error(row.error).cause if compensation and row.error else None
        failed = _unwritten(row, await self._plan(row))
        now = self._e.clock.now()
        body = Transition(
            name(state), now, request.actor, request.reason, error, cause, compensation, failed, request.key
        )
        gen = row.gen + 1
        journal = JournalRow(row.id, number_, Kind.TRANSITION, _encode(body), gen)
        change = RunChange(
            row.id,
            "ended",
            state=int(state),
            transitions=number_,
            gen=gen,
            metadata=_encode(metadata),
            reopen=True,
            started_at=now,
        )
        outbox = self._e.telling.entered_outbox(row, state, number_, body.at, again=True)
        await self._e.workflows.needed(row.digest)
        committed = await self._e.store.submit(Unit(journal=(journal,), changes=(change,), outbox=outbox))
        if committed.refused:
            raise SignalRefused(f"the run {self._text(number)} is open again already")
        self._e.telling.sent(outbox)
        run = await self._restored(await self._row(number))
        run.by_hand = True
        self._carry_on(run)

    async def answer(
        self, number: int, step: str, answer: dict[str, Any], roles: Collection[str] | None = None
    ) -> None:
        """Answer an approval; `roles` None: a person on this machine, who may answer all.

        Raises RunNotFound, SignalRefused (not open, answered before), NotApprover, InvalidInput (the form's fields).
        """
        run = await self._stepped(number)
        if run is None:
            row = await self._row(number)
            self._elsewhere(row)
            raise SignalRefused(f"the run {self._text(number)} is {name(row.state)}: nothing waits for an answer")
        place = run.plan.by_path.get(step, run.plan.by_name.get(step))
        node = run.plan.nodes[place] if place is not None else None
        if node is None or node.uses != "approval":
            names = ", ".join(n.path for n in run.plan.nodes if n.uses == "approval") or "none"
            raise RunNotFound(f"the run {self._text(number)} has no approval `{step}`; it has: {names}")
        if node.index not in run.parked or not run.parked[node.index].open:
            raise SignalRefused(
                f"the approval `{step}` of the run {self._text(number)} is not open: it waits for no answer now"
            )
        inputs = run.parked[node.index].inputs
        _may_answer(step, inputs.get("approvers"), answer["by"], roles)
        if answer["approved"] and inputs.get("fields"):
            fault = wrong(compile_schema(inputs["fields"]), answer["fields"] or {}, f"fields of `{step}`")
            if fault is not None:
                raise InvalidInput(fault)
        if not await self._e.executor.waits.decide(run, node, answer):
            raise SignalRefused(f"the approval `{step}` of the run {self._text(number)} was answered before")

    async def _stepped(self, number: int) -> ActiveRun | None:
        """The run, if it is stepped here. One of a process that was killed is soon: that is waited for.

        Raises RunNotFound.
        """
        runs, until = self._e.executor.runs, SYSTEM.monotonic() + TAKEN_OVER_S
        while number not in runs:
            row = await self._row(number)
            if row.state not in _STEPPED or SYSTEM.monotonic() > until:
                return None
            await SYSTEM.sleep(LOOK_S)
        return runs[number]

    def _elsewhere(self, row: RunRow) -> None:
        if row.state in _STEPPED:
            raise SignalRefused(
                f"the run {self._text(row.id)} is {name(row.state)}, and another process has it",
                hint="say it to the server of this store: name that with --server or REACTOR_URL",
            )

    def _over(self, number: int, row: RunRow) -> SignalRefused:
        message = f"the run {self._text(number)} has ended: it is {name(row.state)}"
        return SignalRefused(message, hint="only open runs can be cancelled")

    async def _row(self, number: int) -> RunRow:
        row = await self._e.store.run(number)
        if row is None:
            raise RunNotFound(f"there is no run {self._text(number)}", hint="`reactor runs` lists them")
        return row

    def _text(self, number: int) -> str:
        return run_text(self._e.store.id, number)


def _may_answer(step: str, approvers: list[str] | None, by: str, roles: Collection[str] | None) -> None:
    if not approvers or roles is None or by in approvers or any(f"role:{role}" in approvers for role in roles):
        return
    raise NotApprover(
        f"`{by}` may not answer `{step}`; those who may: {', '.join(approvers)}",
        hint="use the token of one of them, or give this one the role",
    )


def _unwritten(row: RunRow, plan: Plan) -> dict[str, ErrorInfo]:
    """Steps that failed without a row in the journal, by path: computed ones, and those whose guard failed."""
    found: dict[str, ErrorInfo] = {}
    for line in _summary(row.steps) if row.steps else ():
        node = plan.nodes[plan.by_path[line.name]]
        pure = node.uses == "transform" or node.if_ is not None or node.unless is not None
        if line.error is not None and line.state == "failed" and pure and not node.parts:
            found[line.name] = line.error
    return found


def _without_effect(row: RunRow) -> bool:
    """Does every attempt prove that nothing happened: classes `park` and `fix` but `interrupted`, none recovered
    (semantics 4.7)?
    """
    error = _error(row.error) if row.error else None
    while error is not None:
        if error.class_ not in ("park", "fix") or error.code == "interrupted":
            return False
        error = error.cause
    return row.recoveries == 0
