"""The life of a run as a table: state × signal → state and effects. Pure and total; touches no clock and no store.

Executor, recovery, simulation and the console's legend all read this one table; a test walks every state × signal.
What a run ends as follows from why it stopped and how its handlers went (`end_state`, semantics 9.1).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from ..core.errors import ErrorInfo
from ..store.contract import RunState


class Signal(enum.Enum):
    """What can happen to a run."""

    BEGIN = "begin"  # its keys admit it, or nothing held it
    HOLD = "hold"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FORCE = "force"  # cancel without grace and handlers
    FAIL = "fail"  # a step failed for good and nothing caught it; siblings finish
    FAIL_FAST = "fail_fast"  # … and siblings are cancelled
    TIME_OUT = "time_out"
    QUIET = "quiet"  # nothing is under way and nothing more will start: it ends as `end_state` says
    UNDO = "undo"  # nothing is under way, and there are handlers to run
    REOPEN = "reopen"  # a person's `retry`


class Effect(enum.Enum):
    """What the executor does when a move was made, in this order."""

    START_STEPS = "start ready steps"
    START_NOTHING = "start nothing new"
    CANCEL_STEPS = "cancel the steps under way"
    ABANDON_STEPS = "let go of the steps under way"
    RUN_HANDLERS = "run the handlers in reverse order of completion"
    FREE_KEYS = "free the run's flow keys"
    RECORD = "write the transition"
    RECORD_END = "write the end with its result and event"


class Cause(enum.Enum):
    """Why a run stopped before its last step."""

    FAILURE = "failure"
    TIMEOUT = "timeout"
    CANCEL = "cancel"


class Move(NamedTuple):
    """An allowed move: the state after it (None: as `end_state` says) and what is to be done."""

    state: RunState | None
    effects: tuple[Effect, ...] = ()


ASKED = {Signal.PAUSE: "pause", Signal.RESUME: "resume", Signal.CANCEL: "cancel", Signal.REOPEN: "retry"}
"""What people ask for, in their words."""


class NotAllowed(Exception):
    """The table has no such move; `allowed` are the signals that the state takes."""

    def __init__(self, state: RunState, signal: Signal) -> None:
        self.state, self.signal = state, signal
        self.allowed = tuple(s for s in Signal if (state, s) in TABLE)
        names = ", ".join(word for s, word in ASKED.items() if s in self.allowed)
        word = ASKED.get(signal, signal.value)
        super().__init__(
            f"a run that is {name(state)} does not take `{word}`" + (f"; it takes: {names}" if names else "")
        )


_S, _N, _E = RunState, Signal, Effect
_STOP = (_E.START_NOTHING, _E.CANCEL_STEPS)
_END = (_E.FREE_KEYS, _E.RECORD_END)
_ENDED_BY_HAND = (_S.FAILED, _S.TIMED_OUT, _S.CANCELLED, _S.COMPENSATED, _S.COMPENSATION_FAILED)

TABLE: Mapping[tuple[RunState, Signal], Move] = {
    (_S.PENDING, _N.BEGIN): Move(_S.RUNNING, (_E.RECORD, _E.START_STEPS)),
    (_S.PENDING, _N.HOLD): Move(_S.QUEUED),
    (_S.PENDING, _N.CANCEL): Move(_S.CANCELLED, _END),
    (_S.PENDING, _N.FORCE): Move(_S.CANCELLED, _END),
    (_S.QUEUED, _N.BEGIN): Move(_S.RUNNING, (_E.RECORD, _E.START_STEPS)),
    (_S.QUEUED, _N.CANCEL): Move(_S.CANCELLED, _END),
    (_S.QUEUED, _N.FORCE): Move(_S.CANCELLED, _END),
    (_S.RUNNING, _N.PAUSE): Move(_S.PAUSED, (_E.START_NOTHING, _E.RECORD)),
    (_S.RUNNING, _N.CANCEL): Move(_S.CANCELLING, (*_STOP, _E.RECORD)),
    (_S.RUNNING, _N.FORCE): Move(_S.CANCELLED, (_E.START_NOTHING, _E.ABANDON_STEPS, *_END)),
    (_S.RUNNING, _N.FAIL): Move(_S.RUNNING, (_E.START_NOTHING,)),
    (_S.RUNNING, _N.FAIL_FAST): Move(_S.RUNNING, _STOP),
    (_S.RUNNING, _N.TIME_OUT): Move(_S.RUNNING, _STOP),
    (_S.RUNNING, _N.QUIET): Move(None, _END),
    (_S.RUNNING, _N.UNDO): Move(_S.COMPENSATING, (_E.RECORD, _E.RUN_HANDLERS)),
    (_S.PAUSED, _N.PAUSE): Move(_S.PAUSED),
    (_S.PAUSED, _N.RESUME): Move(_S.RUNNING, (_E.RECORD, _E.START_STEPS)),
    (_S.PAUSED, _N.CANCEL): Move(_S.CANCELLING, (*_STOP, _E.RECORD)),
    (_S.PAUSED, _N.FORCE): Move(_S.CANCELLED, (_E.START_NOTHING, _E.ABANDON_STEPS, *_END)),
    (_S.PAUSED, _N.FAIL): Move(_S.PAUSED, (_E.START_NOTHING,)),
    (_S.PAUSED, _N.FAIL_FAST): Move(_S.PAUSED, _STOP),
    (_S.CANCELLING, _N.CANCEL): Move(_S.CANCELLING),
    (_S.CANCELLING, _N.FORCE): Move(_S.CANCELLED, (_E.ABANDON_STEPS, *_END)),
    (_S.CANCELLING, _N.FAIL): Move(_S.CANCELLING),
    (_S.CANCELLING, _N.FAIL_FAST): Move(_S.CANCELLING),
    (_S.CANCELLING, _N.TIME_OUT): Move(_S.CANCELLING),
    (_S.CANCELLING, _N.QUIET): Move(None, _END),
    (_S.CANCELLING, _N.UNDO): Move(_S.COMPENSATING, (_E.RECORD, _E.RUN_HANDLERS)),
    (_S.COMPENSATING, _N.FORCE): Move(_S.CANCELLED, (_E.ABANDON_STEPS, *_END)),
    (_S.COMPENSATING, _N.FAIL): Move(_S.COMPENSATING),
    (_S.COMPENSATING, _N.QUIET): Move(None, _END),
    (_S.COMPENSATING, _N.UNDO): Move(_S.COMPENSATING, (_E.RUN_HANDLERS,)),  # again after a crash
    **{(state, _N.REOPEN): Move(_S.RUNNING, (_E.RECORD, _E.START_STEPS)) for state in _ENDED_BY_HAND},
}


def advance(state: RunState, signal: Signal) -> Move:
    """The move from `state` on `signal`. Raises NotAllowed where the table has none."""
    move = TABLE.get((state, signal))
    if move is None:
        raise NotAllowed(state, signal)
    return move


def end_state(cause: Cause | None, handlers: int, handlers_failed: int) -> RunState:
    """What a run ends as (semantics 9.1): why it stopped, how many handlers ran, how many of them failed for good."""
    if handlers_failed:
        return RunState.COMPENSATION_FAILED
    if cause is None:
        return RunState.COMPLETED
    if cause is Cause.TIMEOUT:
        return RunState.TIMED_OUT
    if cause is Cause.CANCEL:
        return RunState.CANCELLED
    return RunState.COMPENSATED if handlers else RunState.FAILED


def name(state: int) -> str:
    """A run's state as people and the API spell it."""
    return _STATE_NAMES[state]


def event_type(state: int, *, again: bool = False) -> str:
    """The type of the event that tells of entering a state, `again`: not for the first time (language §5)."""
    if again and state == RunState.RUNNING:
        return "reactor.run.resumed"
    return _EVENT_TYPES[state]


_STATE_NAMES = {int(state): state.name.lower() for state in RunState}
_EVENT_TYPES = {
    **{number: f"reactor.run.{spelt}" for number, spelt in _STATE_NAMES.items()},
    int(_S.PENDING): "reactor.run.created",
    int(_S.RUNNING): "reactor.run.started",
}


class StepState(enum.Enum):
    """The states of a step; from COMPLETED on it has ended."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Has the step ended?"""
        return self in _STEP_ENDED


_STEP_ENDED = frozenset((StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED))


class StepRecord(Struct, frozen=True, omit_defaults=True):
    """The body of a step's journal row, and a line of a run's summary: how one execution of a step ended."""

    state: str
    output: Any = None
    error: ErrorInfo | None = None
    attempts: int = 1
    started_at: float = 0.0
    ended_at: float = 0.0
    recovered: bool = False  # it was in flight when the process before died
    actor: str = ""
    logs: tuple[tuple[float, str, str, dict[str, Any]], ...] = ()  # (instant, level, message, fields)
    errors: tuple[ErrorInfo, ...] = ()  # of the attempts before the last
    taken: int = 0  # the event that a wait took
    in_flight: tuple[int, ...] = ()  # on a failure: places of the steps that were under way
    literal: bool = False  # its output looks like a reference to a blob, and is none


class Overrun(Struct, frozen=True, omit_defaults=True):
    """The body of a DECISION row: a block was over its time limit."""

    error: ErrorInfo
    in_flight: tuple[int, ...] = ()  # places of the steps that were under way


class StepSummary(Struct, frozen=True, omit_defaults=True):
    """One step in the summary that is written with a run's end, and that the API shows."""

    name: str
    state: str
    attempts: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    error: ErrorInfo | None = None
    output: Any = None
    recovered: bool = False
    compensated: str = ""  # "completed" or "failed": how its handler went
    cause: str = ""  # of a skipped step: why


class CancelRequest(Struct, frozen=True, omit_defaults=True):
    """A run's `cancel` column: who ended it, and why."""

    reason: str = ""
    actor: str = ""
    at: float = 0.0
    force: bool = False
    code: str = "cancelled"  # or `superseded`
    event: str = ""  # of `cancel_on`
    key: str = ""  # the signal and its key, so that it is not carried out again


class Transition(Struct, frozen=True, omit_defaults=True):
    """The body of a TRANSITION row: a state that was entered between start and end."""

    state: str
    at: float
    actor: str = ""
    reason: str = ""
    error: ErrorInfo | None = None
    cause: str = ""
    keeps: bool = False  # it reopens the run for the handlers that failed, nothing else
    failed: dict[str, ErrorInfo] = {}  # of a reopened run: steps by path that failed before they had a row to say so
    key: str = ""  # of the signal that led here
