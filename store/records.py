"""The rows that are stored as they are read: what `contract.py` speaks of, and the schema's tables hold."""

from __future__ import annotations

import enum
from typing import Literal

from msgspec import Struct

from ..core.limits import PRIORITY_AGE_S


class RunState(enum.IntEnum):
    """The states of a run (language §7). From COMPLETED on it has ended; `waiting` is shown, not stored."""

    PENDING = 0
    QUEUED = 1
    RUNNING = 2
    PAUSED = 4
    CANCELLING = 5
    COMPENSATING = 6
    COMPLETED = 10
    FAILED = 11
    TIMED_OUT = 12
    CANCELLED = 13
    COMPENSATED = 14
    COMPENSATION_FAILED = 15

    @property
    def ended(self) -> bool:
        """Has the run ended?"""
        return self >= RunState.COMPLETED

    @property
    def held(self) -> bool:
        """Does the run exist without having started?"""
        return self <= RunState.QUEUED


class Kind(enum.IntEnum):
    """What a journal row records. (run, ord, kind, gen) is unique."""

    RESULT = 0  # a step's end: completed, failed or skipped
    INTENT = 1  # an at_most_once step is about to be called
    TIMER = 2  # a wait or a back-off over BACKOFF_TIMER_S: its instant
    UNDO = 3  # a compensation's end
    UNDO_INTENT = 4
    SIGNAL = 5  # an answer from outside: an approval's decision
    DECISION = 6  # what is no pure function of the journal: a resolved version, a child's id, why compensation began
    TRANSITION = 7  # of the run; `ord` is its number (semantics 7.1)


class EventRow(Struct, frozen=True, array_like=True):
    """An accepted event. `body` is `core.event.encode(event, meta=True)`; `notes`: what cannot be recomputed."""

    key: int
    source: str
    id: str
    type: str
    trigger: str
    at: float
    revision: int
    body: bytes
    correlation: str = ""
    notes: bytes | None = None


def rank(created_at: float, priority: int) -> float:
    """The place of a held run in its queue, lowest first: PRIORITY_AGE_S waited equals one level (semantics 3.3)."""
    return created_at - priority * PRIORITY_AGE_S


class RunRow(Struct, array_like=True):
    """A run as it is stored. JSON columns are bytes; instants are Unix seconds; `event` 0 is a direct start."""

    id: int
    key: bytes  # 16 bytes, unique: workflow and identity, or the direct start's key
    workflow: str
    version: str
    digest: bytes
    state: int
    input: bytes
    created_at: float
    event: int = 0
    cause: str = ""
    correlation: str = ""
    hops: int = 0
    parent: int = 0
    parent_ord: int = 0
    depth: int = 0
    priority: int = 5
    actor: str = ""
    labels: bytes = b""
    traceparent: str = ""
    vars: bytes = b""  # digest of the vars and env as of the start; the values are a blob
    flow: bytes = b""  # the flow keys it holds or waits for
    output: bytes | None = None
    error: bytes | None = None
    steps: bytes | None = None  # the summary that lists show, written at the end
    cancel: bytes | None = None
    metadata: bytes = b""
    recoveries: int = 0
    transitions: int = 1
    gen: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    node: int | None = None  # owner; None: free

    @property
    def rank(self) -> float:
        """Its place in a queue, while it is held."""
        return rank(self.created_at, self.priority)


class Heard(Struct, frozen=True):
    """A run that an event woke, by the pattern of a `wait` step, or cancelled, by one of a definition's `cancel_on`.

    `pattern` is the binding's; of a cancel it ends with the slash after the definition.
    """

    run: str
    state: str
    pattern: str


class HeldLane(Struct, frozen=True, array_like=True):
    """Held runs that wait for the same keys, so that the first of them must begin before the others: 0 has those that
    wait for one key alone, other numbers stand for a set of keys.
    """

    lane: int
    rank: float  # of the first run, lowest begins first
    run: int
    flow: bytes  # that run's own; see RunRow


class JournalRow(Struct, frozen=True, array_like=True):
    """One fact about a run. `ord` is the step's place in the plan << 40 | occurrence; `gen` as in semantics 4.7."""

    run: int
    ord: int
    kind: int
    body: bytes
    gen: int = 0
    name_hash: int = 0


class DeadLetter(Struct, frozen=True, array_like=True):
    """An event, or one binding of it, that could not be digested; `raw` is what came, `error` an ErrorInfo."""

    key: int
    at: float
    trigger: str
    source: str
    id: str
    code: str
    error: bytes
    raw: bytes | None = None
    event: int = 0
    workflow: str = ""
    entry: int = -1  # index in the workflow's `when`; -1: the whole event
    meta: bytes = b""
    attempts: int = 1
    state: Literal["open", "retried", "dropped"] = "open"


ROUTER = 1
BUS = 2


class OutboxRow(Struct, frozen=True, array_like=True):
    """An event of our own on its way: who still owes it, ROUTER | BUS; gone when nobody does."""

    key: int
    run: int
    body: bytes
    owes: int


class LedgerRow(Struct, frozen=True, array_like=True):
    """What became of one due instant of a schedule."""

    trigger: str
    due: float
    outcome: Literal["fired", "late", "skipped", "coalesced"]
    reason: str = ""
    at: float = 0.0
    event: int = 0


class Definition(Struct, frozen=True, array_like=True):
    """A workflow's definition, kept by digest; `revision` counts the contents under one version."""

    digest: bytes
    workflow: str
    version: str
    body: bytes
    at: float
    revision: int = 1


class WorkflowState(Struct, frozen=True, array_like=True):
    """What people decided about a workflow: switched off, removed, pinned to a version."""

    workflow: str
    enabled: bool = True
    removed: bool = False
    pinned: str = ""
    origin: str = ""
