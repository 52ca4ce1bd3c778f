"""Grouping changes nothing: the same units in one group, in several, or one by one, leave the same tables and
receipts.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings, strategies as st
from msgspec import UNSET

from reactor.core import ids
from reactor.core.event import Mark
from reactor.store.contract import (
    BUS,
    ROUTER,
    Acceptance,
    Admit,
    Committed,
    DeadLetter,
    Definition,
    Flow,
    FlowDecision,
    FlowKey,
    FlowState,
    JournalRow,
    LedgerRow,
    OutboxRow,
    RunChange,
    RunStart,
    StateChange,
    StateOp,
    Unit,
    UnitRefused,
    WorkflowState,
)
from reactor.store.days import table_of
from reactor.store.sqlite_file import prepare
from reactor.store.sqlite_transactions import make_days, write_group
from reactor.testing.clock import START
from reactor.testing.store_units import KEY, admit, end, event_row, free, run_row, slots

RUNS = st.integers(1, 8)
KEYS = [FlowKey("p", "a"), FlowKey("p", "b"), FlowKey("q", "a")]
FEW = ["a", "b"]


def flow(keys: Sequence[FlowKey], most: int, cancel: tuple[int, ...], verdict: str, raises: bool) -> Flow:
    """A decision that counts, holds over `most`, cancels, and now and then raises."""

    def decide(states: Mapping[FlowKey, FlowState | None], now: float) -> FlowDecision:
        if raises:
            raise ValueError("no decision")
        taken = {key: state.value["n"] if state else 0 for key, state in states.items()}
        if verdict == "free":
            left = {key: FlowState({"n": n - 1}, now + n) if n > 1 else None for key, n in taken.items()}
            return FlowDecision("begin", left, "", cancel)
        if any(n >= most for n in taken.values()):
            return FlowDecision("hold" if verdict == "begin" else "refuse", {}, "full", cancel)
        return FlowDecision("begin", {key: FlowState({"n": n + 1}) for key, n in taken.items()}, "", cancel)

    return Flow(tuple(keys), decide)


FLOWS = st.builds(
    flow,
    st.lists(st.sampled_from(KEYS), unique=True, max_size=2),
    st.integers(0, 2),
    st.lists(RUNS, max_size=2).map(tuple),
    st.sampled_from(["begin", "refuse", "free"]),
    st.sampled_from([False] * 9 + [True]),
)
MARKS = st.builds(
    Mark,
    st.just("kafka"),
    st.sampled_from(FEW),
    st.sampled_from([b"1", b"2", None]),
    expected=st.sampled_from([UNSET, None, b"1", b"2"]),
)
CHANGES = st.builds(
    RunChange,
    RUNS,
    st.sampled_from(["open", "live", "held", "ended", "any"]),
    state=st.sampled_from([None, 2, 4, 10, 11, 13]),
    cancel=st.sampled_from([None, None, b"c"]),
    priority=st.sampled_from([None, 1, 9]),
    metadata=st.sampled_from([None, b"m"]),
    mend=st.booleans(),
    reopen=st.booleans(),
)
STATE_OPS = st.builds(
    StateOp,
    st.sampled_from(["get", "set", "merge", "increment", "delete", "compare_and_set"]),
    st.just("s"),
    st.sampled_from(FEW),
    st.sampled_from([None, 1, {"a": 1}]),
    st.sampled_from([None, 1]),
)


@st.composite
def run_starts(draw: st.DrawFn, event: int = 0) -> Callable[[int], RunStart]:
    """Made with the number that no other run has; the key may be another's."""
    key, held = ids.digest("key", draw(st.integers(1, 6))), draw(st.none() | FLOWS)
    bindings = tuple(("cancel", key) for key in draw(st.lists(st.sampled_from(FEW), unique=True, max_size=1)))
    labels = draw(st.sampled_from([b"", b'{"team":"a"}']))
    priority = draw(st.integers(0, 9))
    return lambda number: RunStart(
        run_row(number, key=key, event=event, labels=labels, priority=priority), held, bindings
    )


@st.composite
def unit_lists(draw: st.DrawFn) -> list[Unit]:
    """Units about few runs, keys and identities, so that they meet."""
    number = iter(range(1, 1_000))
    event = iter(range(1, 1_000))
    units: list[Unit] = []
    for place in range(draw(st.integers(1, 12))):
        accepts: list[Acceptance] = []
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            key, id = next(event), draw(st.sampled_from(["x", "y", "z"]))
            accepts.append(
                Acceptance(
                    event_row(key, id),
                    draw(st.sampled_from([ids.identity("t", "/s", id), None])),
                    tuple(draw(run_starts(key))(next(number)) for _ in range(draw(st.integers(0, 2)))),
                    (DeadLetter(key, START, "t", "/s", id, "config", b"{}"),),
                    (("wait", id),),
                    tuple(("cancel", k, b"by") for k in draw(st.lists(st.sampled_from(FEW), max_size=1))),
                )
            )
        ops = tuple(draw(st.lists(STATE_OPS, max_size=2)))
        units.append(
            Unit(
                accept=tuple(accepts),
                runs=tuple(draw(run_starts())(next(number)) for _ in range(draw(st.sampled_from([0, 0, 1])))),
                admit=tuple(
                    Admit(run, draw(FLOWS), START, 2, draw(st.booleans()))
                    for run in draw(st.lists(RUNS, max_size=1, unique=True))
                ),
                journal=tuple(JournalRow(draw(RUNS), place, 0, b"j") for _ in range(draw(st.integers(0, 1)))),
                changes=tuple(draw(st.lists(CHANGES, max_size=2))) if draw(st.booleans()) else (),
                release=draw(st.none() | FLOWS),
                state=StateChange(ops, lambda r, p=place: JournalRow(9, p, 0, repr(list(r)).encode())) if ops else None,
                outbox=(OutboxRow(place, 1, b"o", ROUTER | BUS),) if draw(st.booleans()) else (),
                outbox_done=tuple(
                    draw(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([ROUTER, BUS])), max_size=2))
                ),
                marks=tuple(draw(st.lists(MARKS, max_size=2))) if draw(st.booleans()) else (),
                ledger=(LedgerRow("t", draw(st.sampled_from([1.0, 2.0])), "fired", str(place)),),
                dead_changes=((draw(st.integers(1, 4)), "retried", 2),),
                definitions=(Definition(draw(st.sampled_from([b"1", b"2"])), "w", str(place), b"", START),),
                workflows=(WorkflowState(draw(st.sampled_from(FEW)), pinned=str(place)),),
                rules=(draw(st.integers(1, 2)), str(place).encode()),
            )
        )
    return units


def carry_out(groups: Sequence[Sequence[Unit]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Receipts and all tables after these groups."""
    connection = apsw.Connection(":memory:")
    prepare(connection, Path("memory"))
    connection.execute("UPDATE meta SET v = 'same' WHERE k = 'id'")
    days = [table_of(START)]
    make_days(connection, days)
    receipts: list[Committed | UnitRefused] = []
    for group in groups:
        connection.execute("BEGIN")
        receipts += write_group(connection, group, START, 1, days, days)
        connection.execute("COMMIT")
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
    tables = {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}
    tables["j"] = [row[1:] for row in tables["j"]]  # `seq` counts what was tried
    return [receipt if isinstance(receipt, Committed) else str(receipt) for receipt in receipts], tables


@pytest.mark.rule("1.2")
@settings(max_examples=200)
@given(unit_lists(), st.data())
def test_grouping_changes_nothing(units: list[Unit], data: st.DataObject) -> None:
    one_by_one = carry_out([[unit] for unit in units])
    assert carry_out([units]) == one_by_one
    cut = data.draw(st.integers(0, len(units)))
    assert carry_out([units[:cut], units[cut:]]) == one_by_one


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_who_is_admitted_in_a_group_is_not_waited_for_behind_it_in_the_group(cut: int) -> None:
    """Of three runs under one key two are held, here or by a group before; each is admitted, or let go, once."""
    starts = Unit(runs=tuple(RunStart(run_row(number), slots(1)) for number in (1, 2, 3)))
    units = [starts, admit(2, slots(9)), end(1, release=free()), admit(3, slots(1), release=True)]
    units += [admit(3, slots(1), release=True), end(2, release=free())]
    receipts, _ = carry_out([group for group in (units[:cut], units[cut:]) if group])
    assert [receipt.flow_freed for receipt in receipts] == [(), (), (KEY,), (), (), ()]
    assert carry_out([[unit] for unit in units])[0] == receipts


@settings(max_examples=100)
@given(unit_lists())
def test_a_refused_unit_leaves_nothing(units: list[Unit]) -> None:
    receipts, tables = carry_out([units])
    taken = [
        unit
        for unit, receipt in zip(units, receipts, strict=True)
        if isinstance(receipt, Committed) and not receipt.refused
    ]
    again, without = carry_out([taken])
    assert without == tables
    assert again == [receipt for receipt in receipts if isinstance(receipt, Committed) and not receipt.refused]
