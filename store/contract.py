"""What the durable state is made of, and the one way to change it: a unit, written whole or not at all.

A store takes units (`submit`), joins those that wait into groups, and answers each with what became of it. Everything
else here is a read. SQLite and PostgreSQL implement this contract and pass the same suite; what they share (grouping,
splitting a failed group, deciding duplicates, fates and flow keys) is written once, in `group.py` and `resolve.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from ..core.event import Mark
from .records import (
    BUS as BUS,
    ROUTER as ROUTER,
    DeadLetter as DeadLetter,
    Definition as Definition,
    EventRow as EventRow,
    Heard as Heard,
    HeldLane as HeldLane,
    JournalRow as JournalRow,
    Kind as Kind,
    LedgerRow as LedgerRow,
    OutboxRow as OutboxRow,
    RunRow as RunRow,
    RunState as RunState,
    WorkflowState as WorkflowState,
)  # fmt: skip

if TYPE_CHECKING:  # a process that only writes has no loop
    from asyncio import Future

Guard = Literal["open", "live", "held", "ended", "any"]
"""What must be true of a run for a change to be written: `open` neither ended nor cancelled; `live` not ended; `held`
not started, not cancelled; `ended`; `any` exists."""


class RunChange(Struct, frozen=True, array_like=True):
    """New values for a run's row; None leaves a column. If `guard` is not met the whole unit is refused (`state`)."""

    run: int
    guard: Guard
    state: int | None = None
    output: bytes | None = None
    error: bytes | None = None
    steps: bytes | None = None
    cancel: bytes | None = None
    transitions: int | None = None
    recoveries: int | None = None
    gen: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    priority: int | None = None
    metadata: bytes | None = None
    mend: bool = False  # clears error, unless it says another: a person's `resume`
    reopen: bool = False  # clears ended_at, output, error, cancel: a person's `retry`


class FlowKey(NamedTuple):
    """One row of flow control: a policy (`concurrency/ship-order/0`) and the key's text."""

    policy: str
    key: str


class FlowState(Struct, frozen=True, array_like=True):
    """A flow row: counts and marks as a small JSON value; at `deadline` (Unix seconds) somebody must look again."""

    value: Mapping[str, Any]
    deadline: float | None = None


class FlowDecision(Struct, frozen=True, array_like=True):
    """What `decide` made of the locked rows. `cancel` names runs to cancel as superseded."""

    verdict: Literal["begin", "hold", "refuse"]
    states: Mapping[FlowKey, FlowState | None]  # None removes the row
    reason: str = ""
    cancel: tuple[int, ...] = ()
    cancel_with: bytes = b'{"code":"superseded"}'  # their `cancel` column


class Flow(Struct, frozen=True, array_like=True):
    """A decision under the locks of flow rows (semantics 5.3); `decide(states, now)` is pure, may be called again."""

    keys: tuple[FlowKey, ...]
    decide: Callable[[Mapping[FlowKey, FlowState | None], float], FlowDecision]


class RunStart(Struct, frozen=True, array_like=True):
    """A run to exist. Without `flow` it begins; with it, the decision says: begin, hold, or refuse (no run).

    What begins is RUNNING, of this node, started now unless `started_at` says otherwise; what is held is QUEUED and of
    no node, or PENDING if its flow has no keys (a job that waits for a person).

    If a run with this key exists already nothing is written and the receipt names that one.
    """

    run: RunRow
    flow: Flow | None = None
    keys: tuple[tuple[str, str], ...] = ()  # (cancel_on binding, key): by which events may cancel it
    outbox: tuple[OutboxRow, ...] = ()  # its `started` event: written only if it begins


class Admit(Struct, frozen=True, array_like=True):
    """Try to begin a held run: refused (`state`) if it is held no longer, (`flow`) if its keys do not admit it."""

    run: int
    flow: Flow
    started_at: float
    transitions: int
    release: bool = False  # drop its held rows, whatever the verdict: it was cancelled


class Acceptance(Struct, frozen=True, array_like=True):
    """One event with all it starts. If `identity` is known already none of it is written but the marks of the unit."""

    event: EventRow
    identity: bytes | None
    runs: tuple[RunStart, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    waits: tuple[tuple[str, str], ...] = ()  # (wait pattern, key) that it could satisfy, for look-back
    cancels: tuple[tuple[str, str, bytes], ...] = ()  # (cancel_on binding, key, cancel): of the open runs with that key


class StateOp(Struct, frozen=True, array_like=True):
    """One operation of the `state` action on the durable value `scope`/`key`; `value` is a JSON value."""

    op: Literal["get", "set", "merge", "increment", "delete", "compare_and_set"]
    scope: str
    key: str
    value: Any = None
    expected: Any = None


class StateResult(Struct, frozen=True, array_like=True):
    """What an operation found and left; `version` counts the value's changes."""

    value: Any
    previous: Any
    version: int


class StateChange(Struct, frozen=True, array_like=True):
    """All operations of one step, or none: refused (`conflict`) if one cannot be done. `row` makes its journal row."""

    ops: tuple[StateOp, ...]
    row: Callable[[Sequence[StateResult]], JournalRow]


class Unit(Struct, frozen=True, array_like=True):
    """Rows that one commit writes whole or not at all."""

    accept: tuple[Acceptance, ...] = ()
    runs: tuple[RunStart, ...] = ()  # direct starts and children
    admit: tuple[Admit, ...] = ()
    journal: tuple[JournalRow, ...] = ()
    changes: tuple[RunChange, ...] = ()
    release: Flow | None = None  # of a run that ends
    state: StateChange | None = None
    outbox: tuple[OutboxRow, ...] = ()
    outbox_done: tuple[tuple[int, int], ...] = ()  # (row, ROUTER or BUS)
    marks: tuple[Mark, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    dead_changes: tuple[tuple[int, str, int], ...] = ()  # (key, state, attempts)
    definitions: tuple[Definition, ...] = ()
    workflows: tuple[WorkflowState, ...] = ()
    rules: tuple[int, bytes] | None = None  # a revision of the rules
    bytes_: int = 0  # about how much it writes; 0: small


class Started(Struct, frozen=True, array_like=True):
    """What became of a RunStart or Admit: `begun` and `held` are new; `foreign` existed (with `run` its number)."""

    verdict: Literal["begun", "held", "refused", "foreign"]
    run: int
    reason: str = ""
    input: bytes = b""  # of a foreign one: for the 422 of semantics 2.3


class Accepted(Struct, frozen=True, array_like=True):
    """What became of an Acceptance; of a duplicate, `event` and `runs` are those of the first time."""

    new: bool
    event: int
    runs: tuple[Started, ...] = ()
    cancelled: tuple[int, ...] = ()  # by cancel_on


class Committed(Struct, frozen=True, array_like=True):
    """The receipt of a unit. `refused` names why nothing of it was written; empty if it is durable."""

    refused: Literal["", "position", "state", "flow", "conflict"] = ""
    detail: str = ""
    accepted: tuple[Accepted, ...] = ()
    started: tuple[Started, ...] = ()
    admitted: tuple[Started, ...] = ()
    superseded: tuple[int, ...] = ()  # runs that a decision cancelled
    flow_freed: tuple[FlowKey, ...] = ()  # keys whose held runs may now be admitted


class UnitRefused(Exception):
    """This unit alone cannot be written (a constraint, a size); the group went on without it. Never worth repeating."""


class RunFilter(Struct, frozen=True, array_like=True):
    """Which runs a list shows; empty fields do not narrow."""

    workflow: str = ""
    states: tuple[int, ...] = ()
    event: int = 0
    label: tuple[str, str] | None = None
    parent: int = 0
    correlation: str = ""
    priority: int | None = None
    since: float | None = None
    until: float | None = None
    workflows: tuple[str, ...] = ()


class Claimed(Struct, frozen=True, array_like=True):
    """An open run that now belongs to this node, with its journal in order."""

    run: RunRow
    journal: tuple[JournalRow, ...]


class Store(Protocol):
    """One deployment's durable state. All raise StoreUnavailable while it refuses; for good StoreFailed, Fenced."""

    id: str  # 16 hex digits, drawn when the store was made
    node: int  # number of this process, never used again
    durability: str  # "power" or "process"

    async def open(self) -> None:
        """Lock, migrate, draw the node's number. Raises ConfigError naming the process that has the store already."""
        ...

    async def close(self) -> None:
        """Write what was submitted, then release everything. Safe twice."""
        ...

    def submit(self, unit: Unit) -> Future[Committed]:
        """Put a unit in the next group; the future is done when it is durable. It may raise UnitRefused for this unit
        alone, StoreUnavailable, StoreFailed.
        """
        ...

    @property
    def refusing(self) -> str:
        """Why the store refuses writes now; empty if it does not."""
        ...

    # -- runs
    async def claim(self, *, runs_max: int) -> Sequence[Claimed]:
        """Open, begun runs that name no living node, oldest first, with their journals; now this node's."""
        ...

    async def run(self, number: int) -> RunRow | None:
        """A run's row, or None."""
        ...

    async def run_by_key(self, key: bytes) -> RunRow | None:
        """The run with this key, or None."""
        ...

    async def journal(self, run: int) -> Sequence[JournalRow]:
        """A run's journal, in the order in which its rows became durable."""
        ...

    async def runs(self, wanted: RunFilter, *, before: int = 0, limit: int = 50) -> Sequence[RunRow]:
        """Newest first; `before` is the last number of the page before."""
        ...

    async def held(self, key: FlowKey, *, lane: int | None = None, limit: int) -> Sequence[RunRow]:
        """Held runs that wait for this key, in one lane or all: by priority (PRIORITY_AGE_S: a level), then age."""
        ...

    async def held_lanes(self, key: FlowKey, *, after: int = -1, limit: int) -> Sequence[HeldLane]:
        """The lanes of a key with the first held run of each, by number; `after` is the last one of the page before."""
        ...

    async def flows(self, keys: Sequence[FlowKey]) -> Mapping[FlowKey, FlowState]:
        """The rows of these keys; at most PAGE_ROWS_MAX."""
        ...

    async def held_counts(self) -> Mapping[str, int]:
        """Held runs by workflow."""
        ...

    async def correlated(self, correlation: str, *, most: int) -> int:
        """Runs of one correlation id, counted up to `most`."""
        ...

    async def flow_due(self, *, until: float, limit: int) -> Sequence[tuple[FlowKey, float]]:
        """Flow rows with a deadline up to `until`, soonest first, with it."""
        ...

    async def flow_waiting(self, *, limit: int) -> Sequence[FlowKey]:
        """Keys that have held runs: at start-up each is tried once."""
        ...

    # -- events
    async def event(self, key: int) -> EventRow | None:
        """An accepted or unmatched event, or None."""
        ...

    async def events_by_id(self, id: str) -> Sequence[EventRow]:
        """The events with this CloudEvents id, oldest first."""
        ...

    async def events(
        self, *, type: str = "", source: str = "", since: float | None = None, before: int = 0, limit: int = 50
    ) -> Sequence[EventRow]:
        """Newest first, the unmatched ones among them."""
        ...

    async def log_unmatched(self, rows: Sequence[EventRow]) -> None:
        """Keep events that matched nothing, bounded, lazily: a crash may lose them."""
        ...

    async def waited(self, pattern: str, key: str, *, after: int, limit: int) -> Sequence[EventRow]:
        """Events accepted for a wait pattern and key after this event key, oldest first."""
        ...

    # -- the rest
    async def dead_letters(
        self, *, state: str = "open", event: int = 0, before: int = 0, limit: int = 50
    ) -> Sequence[DeadLetter]:
        """Dead letters in this state (empty: any), newest first; `event`: of this one's bindings alone; `before` is the
        last key of the page before.
        """
        ...

    async def dead_letter(self, key: int) -> DeadLetter | None:
        """One dead letter, or None."""
        ...

    async def marks(self, scope: str) -> Mapping[str, bytes]:
        """All marks of a scope, by key."""
        ...

    async def ledger(self, trigger: str, *, since: float, until: float, limit: int) -> Sequence[LedgerRow]:
        """Due instants of a schedule, oldest first."""
        ...

    async def outbox(self, owes: int, *, after: int, limit: int) -> Sequence[OutboxRow]:
        """Rows that this receiver still owes, in order."""
        ...

    async def outbox_over(self, owes: int, most: int) -> int:
        """The newest row that this receiver still owes beside `most` newer ones; 0 if it owes no more than those."""
        ...

    async def state(self, scope: str, key: str) -> StateResult | None:
        """A durable value, or None."""
        ...

    async def definitions(self) -> Sequence[Definition]:
        """Every stored definition, oldest first."""
        ...

    async def definition(self, digest: bytes) -> Definition | None:
        """The definition with this digest, or None."""
        ...

    async def open_digests(self) -> Sequence[bytes]:
        """The digests of the definitions whose runs have not all ended, in order."""
        ...

    async def workflows(self) -> Mapping[str, WorkflowState]:
        """What people decided about each workflow, by name."""
        ...

    async def rules(self, revision: int) -> bytes | None:
        """A stored revision of the rules; the newest for 0."""
        ...

    async def put_blob(self, body: bytes) -> bytes:
        """Store a value apart, durable when it returns; its digest. Naming it again renews its time."""
        ...

    async def blob(self, digest: bytes) -> bytes | None:
        """A blob's bytes, or None."""
        ...

    async def retain(self, keep: Mapping[str, float], *, limit: int) -> Mapping[str, int]:
        """Remove at most `limit` rows a table that are older than `keep` seconds, by their name in `retention:`
        (semantics 11.2). How many went, by table: the caller comes again while something goes.
        """
        ...

    async def sizes(self) -> Mapping[str, int]:
        """Rows by table and bytes on disk, for `doctor` and the metrics."""
        ...
