"""What a group of units must know before it can be decided: collected from the units, read by the store, in one go."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from ..core.ids import digest
from .contract import Flow, FlowKey, FlowState, Guard, RunStart, RunState, Unit


class Wants:
    """The rows that a group of units has to read, and lock where the store has locks; dicts for their order and
    uniqueness.
    """

    __slots__ = ("admitted", "cancels", "flows", "identities", "keys", "marks", "plain", "released", "runs", "states")

    def __init__(self) -> None:
        self.plain: list[bool] = []  # of each unit: is it nothing but journal rows?
        self.identities: dict[bytes, None] = {}
        self.keys: dict[bytes, None] = {}  # of runs
        self.runs: dict[int, None] = {}  # whose fate is needed
        self.marks: dict[tuple[str, str], None] = {}
        self.flows: dict[FlowKey, None] = {}
        self.released: dict[FlowKey, None] = {}  # of these: has it held runs?
        self.admitted: dict[int, None] = {}  # runs that may be held no longer after the group
        self.states: dict[tuple[str, str], None] = {}
        self.cancels: dict[tuple[str, str], None] = {}  # (cancel_on binding, key)

    def __bool__(self) -> bool:
        return bool(
            self.runs or self.keys or self.identities or self.marks or self.flows or self.states or self.cancels
        )


class RunFact:
    """A run's fate, and what the group has done to it so far: `row` of a new one, `patch` of one that was there."""

    __slots__ = ("before", "cancelled", "created_at", "foreign", "id", "keyed", "patch", "priority", "row", "state")

    def __init__(
        self, id: int, state: int, cancelled: bool, priority: int, created_at: float, keyed: int, foreign: bool
    ) -> None:
        self.id = id
        self.state = state
        self.cancelled = cancelled
        self.priority = priority
        self.created_at = created_at
        self.keyed = keyed  # 1: it has cancel_on keys
        self.foreign = foreign  # another living node steps it
        self.before = (state, cancelled)  # what the group found
        self.patch: dict[str, object] | None = None
        self.row: list[object] | None = None

    @property
    def cancellable(self) -> bool:
        """May an event or a flow decision cancel it? One that compensates ends by itself, as what it is (rule 9.5)."""
        return self.state < RunState.COMPLETED and self.state != RunState.COMPENSATING and not self.cancelled

    def meets(self, guard: Guard) -> bool:
        """Is what a change asks of the run true now?"""
        if guard == "open":
            return self.state < RunState.COMPLETED and not self.cancelled
        if guard == "live":
            return self.state < RunState.COMPLETED
        if guard == "held":
            return self.state <= RunState.QUEUED and not self.cancelled
        return guard == "any" or self.state >= RunState.COMPLETED


def lane_of(keys: Sequence[FlowKey]) -> int:
    """The lane of a held run that waits for these keys: 0 for one, else a number that stands for all of them."""
    if len(keys) < 2:
        return 0
    names = [part for key in sorted(keys) for part in key]
    return int.from_bytes(digest(*names)[:7], "big") + 1


class Facts:
    """What the rows that were wanted say; what is absent has no entry."""

    __slots__ = (
        "cancels",
        "first_runs",
        "flows",
        "held",
        "keys",
        "marks",
        "runs",
        "seen",
        "states",
        "waiting",
        "wanted",
    )

    def __init__(self, wanted: Wants) -> None:
        self.wanted = wanted
        self.seen: dict[bytes, int] = {}  # identity -> event
        self.first_runs: dict[int, list[int]] = {}  # event -> the runs it started
        self.keys: dict[bytes, tuple[int, bytes]] = {}  # run key -> (run, input)
        self.runs: dict[int, RunFact] = {}
        self.marks: dict[tuple[str, str], bytes] = {}
        self.flows: dict[FlowKey, FlowState] = {}
        self.held: dict[int, list[FlowKey]] = {}  # of runs to admit: the keys that they are held under
        self.waiting: dict[FlowKey, int] = {}  # of keys to release: held runs, as far as counted
        self.states: dict[tuple[str, str], tuple[bytes, int]] = {}  # value as JSON, version
        self.cancels: dict[tuple[str, str], list[int]] = {}  # open or held runs, in order


def wants(units: Sequence[Unit]) -> Wants:
    """What must be read before these units can be resolved. A unit of journal rows alone wants nothing."""
    found = Wants()
    plain = found.plain
    for unit in units:
        if not (
            unit.changes
            or unit.runs
            or unit.accept
            or unit.outbox
            or unit.outbox_done
            or unit.marks
            or unit.admit
            or unit.release is not None
            or unit.state is not None
            or unit.ledger
            or unit.dead
            or unit.dead_changes
            or unit.definitions
            or unit.workflows
            or unit.rules is not None
        ):
            plain.append(True)
            continue
        plain.append(False)
        for change in unit.changes:
            found.runs[change.run] = None
        if unit.runs:
            _starts(found, unit.runs)
        for accept in unit.accept:
            if accept.identity is not None:
                found.identities[accept.identity] = None
            if accept.runs:
                _starts(found, accept.runs)
            for binding, key, _ in accept.cancels:
                found.cancels[binding, key] = None
        for mark in unit.marks:
            if mark.expected is not UNSET:
                found.marks[mark.scope, mark.key] = None
        for admit in unit.admit:
            found.runs[admit.run] = found.admitted[admit.run] = None
            _flow(found, admit.flow)
        if unit.release is not None:
            _flow(found, unit.release)
            for key in unit.release.keys:
                found.released[key] = None
        if unit.state is not None:
            for op in unit.state.ops:
                found.states[op.scope, op.key] = None
    return found


def _starts(found: Wants, starts: Sequence[RunStart]) -> None:
    for start in starts:
        found.keys[start.run.key] = None
        if start.flow is not None:
            _flow(found, start.flow)


def _flow(found: Wants, flow: Flow) -> None:
    for key in flow.keys:
        found.flows[key] = None
