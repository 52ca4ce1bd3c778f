"""The run table: total, closed, and what it says of ends."""

from __future__ import annotations

import itertools

import pytest

from reactor.engine.run import TABLE, Cause, Effect, NotAllowed, Signal, advance, end_state, event_type
from reactor.store.contract import RunState

ENDS = {s for s in RunState if s.ended}


@pytest.mark.req("O-1")
@pytest.mark.parametrize(("state", "signal"), list(itertools.product(RunState, Signal)))
def test_every_state_takes_or_refuses_every_signal(state: RunState, signal: Signal) -> None:
    if (state, signal) in TABLE:
        move = advance(state, signal)
        assert move.state is None or isinstance(move.state, RunState)
        if move.state in ENDS or move.state is None:
            assert Effect.RECORD_END in move.effects
    else:
        with pytest.raises(NotAllowed) as refused:
            advance(state, signal)
        assert all(allowed in Signal for allowed in refused.value.allowed)


def test_a_refusal_names_the_state_and_what_it_takes() -> None:
    with pytest.raises(NotAllowed) as refused:
        advance(RunState.COMPLETED, Signal.REOPEN)
    assert str(refused.value) == "a run that is completed does not take `retry`"
    with pytest.raises(NotAllowed) as refused:
        advance(RunState.QUEUED, Signal.PAUSE)
    assert str(refused.value) == "a run that is queued does not take `pause`; it takes: cancel"


@pytest.mark.req("E-STAT-1")
def test_ended_runs_leave_only_by_a_persons_retry() -> None:
    for state in ENDS:
        assert {signal for (s, signal) in TABLE if s is state} <= {Signal.REOPEN}


def test_every_open_state_can_be_forced_or_cancelled() -> None:
    for state in RunState:
        if not state.ended:
            assert (state, Signal.FORCE) in TABLE


@pytest.mark.rule("9.1")
@pytest.mark.parametrize(
    ("cause", "handlers", "failed", "state"),
    [
        (None, 0, 0, RunState.COMPLETED),
        (Cause.FAILURE, 0, 0, RunState.FAILED),
        (Cause.FAILURE, 2, 0, RunState.COMPENSATED),
        (Cause.TIMEOUT, 0, 0, RunState.TIMED_OUT),
        (Cause.TIMEOUT, 2, 0, RunState.TIMED_OUT),
        (Cause.CANCEL, 1, 0, RunState.CANCELLED),
        (Cause.FAILURE, 2, 1, RunState.COMPENSATION_FAILED),
        (Cause.CANCEL, 2, 1, RunState.COMPENSATION_FAILED),
    ],
)
def test_what_a_run_ends_as(cause: Cause | None, handlers: int, failed: int, state: RunState) -> None:
    assert end_state(cause, handlers, failed) is state


def test_events_are_named_by_the_state_entered() -> None:
    assert event_type(RunState.PENDING) == "reactor.run.created"
    assert event_type(RunState.RUNNING) == "reactor.run.started"
    assert event_type(RunState.RUNNING, again=True) == "reactor.run.resumed"
    assert event_type(RunState.TIMED_OUT) == "reactor.run.timed_out"
