"""One step carried out: inputs rendered and checked, the action called under its time limit, repeated as its policy
says.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from typing import Any

import msgspec

from ..core import faults
from ..core.chance import jitter
from ..core.errors import (
    ErrorInfo,
    ErrorPlace,
    ReactorError,
    code_matches,
    is_ctrl_c,
    is_given_up,
    legible,
    said_by,
    shortened,
)
from ..core.limits import BACKOFF_TIMER_S
from ..language.definition import Retry
from ..store.contract import RunState
from .actions.contract import EmitEffect, StateEffect
from .active import ActiveRun
from .plan import wrong
from .run import StepRecord
from .work import StepCall, Work, renewed

_NO_VALUES: Mapping[str, Any] = {}
NO_RETRY = Retry(attempts=1)
TRACEBACK_LINES = 20


class Attempt(msgspec.Struct, frozen=True):
    """The end of a step: its record, and the effect that is to be committed with it, if any."""

    record: StepRecord
    effect: EmitEffect | StateEffect | None = None


class Attempts:
    """Carries out work for the executor."""

    def __init__(self, executor: Any) -> None:
        self._x = executor

    async def perform(
        self,
        run: ActiveRun,
        work: Work,
        extra: Mapping[str, Any] = _NO_VALUES,
        *,
        attempt: int = 1,
        wait_until: float = 0.0,
    ) -> Attempt:
        """Execute until it succeeds or its policy gives up. Cancelling the task cancels the action and comes out as
        it is.
        """
        clock = self._x.clock
        errors: list[ErrorInfo] = []
        started = clock.now()
        if wait_until:
            await self._back_off(run, work, max(0.0, wait_until - started), kept=True)
        while True:
            run.started[work.node.index] = (started, attempt)
            try:
                output, effect = await self._once(run, work, extra, attempt)
            except BaseException as e:  # the seam to foreign code: whatever a step raises is its own failure
                if _of_others(e):
                    raise
                error, after_s = self._told(run, work, e, attempt)
            else:
                return Attempt(self._record(run, work, "completed", started, attempt, errors, output=output), effect)
            try:
                policy = self._policy(run, work, error, attempt)
            except ReactorError as e:
                why = f"`retry.if` of `{work.node.path}`: {e}"
                error = ErrorInfo(e.code, why, e.class_, work.node.path, attempt, error, error.place, e.hint, e.details)
                return Attempt(self._record(run, work, "failed", started, attempt, errors, error=error))
            if policy is None or not self._budget(run):
                error = self._given_up(run, work, error, attempt, spent=policy is not None)
                return Attempt(self._record(run, work, "failed", started, attempt, errors, error=error))
            errors.append(error)
            delay = delay_s(policy, attempt, after_s)
            self._x.tell_step(run, work.node, "retrying", error=error, attempt=attempt, delay_s=delay)
            attempt += 1
            run.repetitions += 1
            kept = delay > BACKOFF_TIMER_S and not work.undo
            if kept:
                await self._x.record_back_off(run, work.node, clock.now() + delay, attempt)
            await self._back_off(run, work, delay, kept=kept)
            work = renewed(work, self._x.actions.action(work.uses))

    async def _back_off(self, run: ActiveRun, work: Work, delay: float, *, kept: bool) -> None:
        """Wait for the next attempt, and for the end of a pause; `kept`: it goes on after a restart."""
        index = work.node.index
        run.backing_off.add(index)
        try:
            sleep = self._x.clock.sleep(delay)
            await (self._x.rest(sleep) if kept else sleep)
            while run.state is RunState.PAUSED:
                await self._x.rest(run.going_on())
        finally:
            run.backing_off.discard(index)

    async def _once(
        self, run: ActiveRun, work: Work, extra: Mapping[str, Any], attempt: int
    ) -> tuple[Any, EmitEffect | StateEffect | None]:
        node, action = work.node, work.action
        inputs = self._x.render(run, work, extra)
        limit = work.timeout_s if work.timeout_s is not None else action.timeout_s
        call = StepCall(self._x, run, work, inputs, attempt, limit, extra)
        faults.point("step.call")
        if limit is None:
            output = await action.execute(call)
        else:
            try:
                async with asyncio.timeout(limit):
                    output = await action.execute(call)
            except TimeoutError as e:
                raise _TimedOut(f"`{node.path}` took longer than its limit of {limit:g} s", code="timeout") from e
        faults.point("step.called")
        effect = None
        if type(output) is EmitEffect or type(output) is StateEffect:
            effect, output = output, None
        if node.output is not None and not work.undo and not isinstance(effect, EmitEffect):
            given = effect.output if isinstance(effect, StateEffect) else output
            fault = wrong(node.output, given, f"output of `{node.path}`")
            if fault is not None:
                raise _BadOutput(fault)
        return output, effect

    def _told(self, run: ActiveRun, work: Work, e: BaseException, attempt: int) -> tuple[ErrorInfo, float | None]:
        """An exception as an error object, and the wait that the other side asked for."""
        place = self._x.place(run, work.node)
        if isinstance(e, ReactorError):
            return e.info(step=work.node.path, attempt=attempt, place=place), getattr(e, "retry_after_s", None)
        return unexpected(e, work.node.path, attempt, place), None

    def _policy(self, run: ActiveRun, work: Work, error: ErrorInfo, attempt: int) -> Retry | None:
        """The policy under which this error is repeated, or None: the step's `retry`, then its `on_error`."""
        if (work.node.at_most_once and not work.undo) or work.uses == "fail":
            return None
        policy = work.retry or (None if work.undo else self._default(run)) or NO_RETRY
        if attempt < policy.attempts and self._retryable(run, work, policy, error):
            return policy
        if not work.undo:
            for reaction in work.node.reactions:
                if any(code_matches(reaction.pattern, code) for code in error.codes()):
                    own = reaction.retry
                    return own if own is not None and attempt < own.attempts else None
        return None

    def _default(self, run: ActiveRun) -> Retry | None:
        return run.plan.definition.retry

    def _retryable(self, run: ActiveRun, work: Work, policy: Retry, error: ErrorInfo) -> bool:
        if policy.on:
            if not any(code_matches(pattern, code) for pattern in policy.on for code in error.codes()):
                return False
        elif error.class_ != "retry":
            return False
        if work.retry_if is None:
            return True
        scope = run.activation(work.node.reads, {"error": msgspec.to_builtins(error), "output": None})
        return work.retry_if.truth(scope)

    def _budget(self, run: ActiveRun) -> bool:
        limit = run.plan.definition.retry_limit
        return limit is None or run.repetitions < limit

    def _given_up(self, run: ActiveRun, work: Work, error: ErrorInfo, attempt: int, *, spent: bool) -> ErrorInfo:
        """After the last of several attempts the error says so, and keeps the last one as its cause (actions.md §1)."""
        if attempt == 1 and not spent:
            return error
        limit = run.plan.definition.retry_limit
        why = f"the run's limit of {limit} repetitions is spent" if spent else f"{attempt} attempts failed"
        return ErrorInfo(
            "max_retries_exceeded",
            f"`{work.node.path}`: {why}; the last error: {error.message}",
            "park",
            work.node.path,
            attempt,
            error,
            error.place,
            error.hint,
        )

    def _record(
        self,
        run: ActiveRun,
        work: Work,
        state: str,
        started: float,
        attempt: int,
        errors: list[ErrorInfo],
        *,
        output: Any = None,
        error: ErrorInfo | None = None,
    ) -> StepRecord:
        index = work.node.index
        run.started.pop(index, None)
        logs = run.logs.pop(index, None) if run.logs else None
        return StepRecord(
            state,
            output,
            error,
            attempt,
            started,
            self._x.clock.now(),
            index in run.refound,
            "",
            tuple(logs) if logs else (),
            tuple(errors),
        )


class _TimedOut(ReactorError):
    """An attempt over its limit."""

    code = "timeout"


class _BadOutput(ReactorError):
    """An output that is not what the step declares."""

    code = "invalid_output"


def delay_s(policy: Retry, attempt: int, after_s: float | None) -> float:
    """Seconds before the execution that follows number `attempt` (from 1): the policy's, lengthened by what the other
    side asked.
    """
    if policy.backoff == "exponential":
        try:
            delay = policy.delay_s * policy.factor ** (attempt - 1)
        except OverflowError:
            delay = policy.max_delay_s
    elif policy.backoff == "linear":
        delay = policy.delay_s * attempt
    else:
        delay = policy.delay_s
    delay = min(delay, policy.max_delay_s)
    if policy.jitter:
        delay = jitter(delay)
    if after_s is not None:
        delay = min(max(delay, after_s), policy.max_delay_s)
    return delay


def _of_others(e: BaseException) -> bool:
    """Was it raised from outside: to stop the step, or to end the program?"""
    if isinstance(e, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return is_given_up(e) or is_ctrl_c(e)


def unexpected(e: BaseException, step: str | None, attempt: int | None, place: ErrorPlace | None) -> ErrorInfo:
    """An exception without a code of its own: `step_failed`, with its name and the end of its traceback."""
    lines = traceback.format_exception(e)
    text = said_by(e)
    return ErrorInfo(
        "step_failed",
        legible(shortened(f"{type(e).__name__}: {text}" if text else type(e).__name__)),
        "retry",
        step,
        attempt,
        None,
        place,
        "",
        {"exception": type(e).__name__, "traceback": legible("".join(lines)[-4000:])},
    )
