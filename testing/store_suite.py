"""The public suite of stores: subclass it and supply `store`, an open one, and `reopen`, which closes it and opens its
data anew.

```python
class TestMine(StoreSuite):
    @pytest.fixture
    async def store(self, clock: VirtualClock) -> AsyncIterator[Store]: ...
    @pytest.fixture
    def reopen(self, store: Store, clock: VirtualClock) -> Reopen: ...
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from ..core import ids
from ..core.errors import StoreFailed
from ..core.event import Mark
from ..core.limits import GROUP_ROWS_MAX
from ..store.contract import (
    BUS,
    ROUTER,
    Accepted,
    Committed,
    DeadLetter,
    Definition,
    JournalRow,
    LedgerRow,
    OutboxRow,
    RunChange,
    RunFilter,
    RunStart,
    RunState,
    Started,
    StateChange,
    StateOp,
    StateResult,
    Store,
    Unit,
    UnitRefused,
    WorkflowState,
)
from .clock import START, VirtualClock
from .store_flow_suite import FlowTests
from .store_retention_suite import RetentionTests
from .store_units import accept, end, event_row, run_row, start, step

Reopen = Callable[[], Awaitable[Store]]


class StoreSuite(FlowTests, RetentionTests):
    """Every store passes all of it."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """The time of the store under test."""
        return VirtualClock(START)

    # -- runs

    async def test_a_run_lives_from_start_to_end(self, store: Store) -> None:
        """Its row and its journal are as they were written."""
        row = run_row(7, labels=b'{"team":"a"}', metadata=b"{}", parent=3, priority=9)
        receipt = await store.submit(Unit(runs=(RunStart(row),)))
        assert receipt == Committed(started=(Started("begun", 7),))
        found = await store.run(7)
        assert found is not None
        begun = msgspec.structs.replace(row, state=int(RunState.RUNNING), node=store.node, started_at=START)
        assert found == begun
        await store.submit(step(7, 1, b'{"a":1}', name_hash=-5))
        await store.submit(step(7, 0, b"{}", gen=1))
        assert await store.submit(end(7)) == Committed()
        assert [(r.ord >> 40, r.gen, r.name_hash, r.body) for r in await store.journal(7)] == [
            (1, 0, -5, b'{"a":1}'),
            (0, 1, 0, b"{}"),
        ]
        ended = await store.run_by_key(row.key)
        assert ended is not None
        assert (ended.state, ended.output, ended.ended_at) == (RunState.COMPLETED, b'"done"', START)

    async def test_a_number_or_key_that_nobody_has_finds_nothing(self, store: Store) -> None:
        """And raises nothing."""
        assert await store.run(1) is None
        assert await store.run_by_key(b"none") is None
        assert await store.event(1) is None
        assert await store.dead_letter(1) is None
        assert await store.definition(b"none") is None
        assert await store.state("s", "k") is None
        assert await store.blob(b"none") is None
        assert await store.rules(0) is None
        assert list(await store.journal(1)) == []

    @pytest.mark.rule("2.3")
    async def test_a_run_key_starts_one_run(self, store: Store) -> None:
        """The second hears of the first, with its input."""
        await store.submit(Unit(runs=(start(1),)))
        receipt = await store.submit(Unit(runs=(start(2, key=run_row(1).key),)))
        assert receipt.started == (Started("foreign", 1, "", b'{"order":1}'),)
        assert await store.run(2) is None

    async def test_a_unit_sees_what_the_one_before_it_in_its_group_did(self, store: Store) -> None:
        """A second end is too late, a second start is foreign."""
        units = [Unit(runs=(start(1),)), step(1), end(1), end(1)]
        receipts = await asyncio.gather(*[store.submit(unit) for unit in units])
        assert [receipt.refused for receipt in receipts] == ["", "", "", "state"]
        assert receipts[3].detail == "run 1 is completed, not open"
        keys = await asyncio.gather(*[store.submit(Unit(runs=(start(n, key=b"same"),))) for n in range(2, 12)])
        assert sorted(receipt.started[0].verdict for receipt in keys) == ["begun"] + ["foreign"] * 9
        assert len({receipt.started[0].run for receipt in keys}) == 1

    @pytest.mark.rule("9.3")
    async def test_of_end_and_cancel_the_first_committed_wins(self, store: Store) -> None:
        """The loser's rows are not written."""
        await store.submit(Unit(runs=(start(1), start(2))))
        cancel = Unit(changes=(RunChange(1, "open", cancel=b'{"actor":"eve"}'),))
        assert (await store.submit(cancel)).refused == ""
        assert (await store.submit(end(1))).refused == "state"
        assert (await store.submit(cancel)).refused == "state"
        outbox = Unit(
            changes=(RunChange(2, "open", state=int(RunState.COMPLETED)),), outbox=(OutboxRow(5, 2, b"{}", ROUTER),)
        )
        assert (await store.submit(outbox)).refused == ""
        late = Unit(changes=(RunChange(2, "open", cancel=b"{}"),), outbox=(OutboxRow(6, 2, b"{}", ROUTER),))
        assert (await store.submit(late)).refused == "state"
        assert [row.key for row in await store.outbox(ROUTER, after=0, limit=9)] == [5]

    @pytest.mark.parametrize(
        ("guard", "meets"),
        [
            ("open", {"running"}),
            ("live", {"running", "cancelled", "held"}),
            ("held", set[str]()),
            ("ended", {"ended"}),
            ("any", {"running", "cancelled", "held", "ended"}),
        ],
    )
    async def test_a_guard_that_is_not_met_refuses_the_unit(self, store: Store, guard: Any, meets: set[str]) -> None:
        """Each guard against each fate."""
        await store.submit(Unit(runs=(start(1), start(2), start(3), start(4))))
        await store.submit(Unit(changes=(RunChange(2, "open", cancel=b"{}"),)))
        await store.submit(Unit(changes=(RunChange(3, "any", state=int(RunState.QUEUED), cancel=b"{}"),)))
        await store.submit(end(4))
        for number, fate in ((1, "running"), (2, "cancelled"), (3, "held"), (4, "ended")):
            receipt = await store.submit(Unit(changes=(RunChange(number, guard, metadata=b"x"),)))
            assert (receipt.refused == "") == (fate in meets), fate

    async def test_a_change_of_no_run_is_refused(self, store: Store) -> None:
        """It says which."""
        receipt = await store.submit(Unit(changes=(RunChange(99, "any", gen=1),)))
        assert receipt == Committed("state", "run 99 does not exist")

    async def test_a_reopened_run_is_open_again(self, store: Store) -> None:
        """Without the traces of its end, and of this node."""
        await store.submit(Unit(runs=(start(1),)))
        await store.submit(end(1, state=RunState.FAILED))
        retry = RunChange(1, "ended", state=int(RunState.RUNNING), gen=1, transitions=3, reopen=True)
        assert (await store.submit(Unit(changes=(retry,)))).refused == ""
        found = await store.run(1)
        assert found is not None
        assert (found.state, found.gen, found.ended_at, found.output, found.node) == (2, 1, None, None, store.node)

    async def test_a_mended_run_has_no_error(self, store: Store) -> None:
        """But for the one that the change names."""
        await store.submit(Unit(runs=(start(1),)))
        found: list[bytes | None] = []
        for change in (
            RunChange(1, "live", state=int(RunState.PAUSED), error=b'"loop"'),
            RunChange(1, "live", state=int(RunState.RUNNING)),
            RunChange(1, "live", state=int(RunState.RUNNING), error=b'"first"', mend=True),
            RunChange(1, "live", state=int(RunState.RUNNING), mend=True),
        ):
            await store.submit(Unit(changes=(change,)))
            row = await store.run(1)
            assert row is not None
            found.append(row.error)
        assert found == [b'"loop"', b'"loop"', b'"first"', None]

    @pytest.mark.rule("4.2")
    async def test_what_is_open_is_claimed_by_the_next_process(self, store: Store, reopen: Reopen) -> None:
        """Once, oldest first, with the journal in order."""
        await store.submit(Unit(runs=(start(1), start(2), start(3))))
        await store.submit(step(1, 0, b'"a"'))
        await store.submit(step(1, 1, b'"b"'))
        await store.submit(end(3))
        assert list(await store.claim(runs_max=10)) == []
        again = await reopen()
        assert again.id == store.id
        assert again.node > store.node
        first = await again.claim(runs_max=1)
        assert [(c.run.id, c.run.node, [row.body for row in c.journal]) for c in first] == [
            (1, again.node, [b'"a"', b'"b"'])
        ]
        assert [c.run.id for c in await again.claim(runs_max=10)] == [2]
        assert list(await again.claim(runs_max=10)) == []

    @pytest.mark.rule("10.1")
    async def test_definitions_of_open_runs_are_told(self, store: Store) -> None:
        """Each once, held runs among them; not those whose runs have all ended."""
        digests = {1: b"a" * 16, 2: b"b" * 16, 3: b"b" * 16, 4: b"c" * 16}
        rows = [run_row(number, digest=digest) for number, digest in digests.items()]
        await store.submit(Unit(runs=tuple(RunStart(row) for row in rows)))
        await store.submit(end(1))
        await store.submit(end(2, state=RunState.FAILED))
        assert list(await store.open_digests()) == [b"b" * 16, b"c" * 16]

    async def test_lists_of_runs_narrow(self, store: Store) -> None:
        """By each field of the filter, newest first."""
        rows = [
            run_row(1, labels=b'{"team":"a"}', correlation="c"),
            run_row(2, workflow="pay", priority=9),
            run_row(3, parent=1, correlation="c"),
            run_row(4, event=11),
        ]
        await store.submit(Unit(runs=tuple(RunStart(row) for row in rows)))
        await store.submit(end(1, state=RunState.FAILED))

        async def numbers(**wanted: Any) -> list[int]:
            return [row.id for row in await store.runs(RunFilter(**wanted))]

        assert await numbers() == [4, 3, 2, 1]
        assert await numbers(workflow="pay") == [2]
        assert await numbers(workflows=("pay", "nobody")) == [2]
        assert await numbers(states=(int(RunState.FAILED),)) == [1]
        assert await numbers(states=(2, 4)) == [4, 3, 2]
        assert await numbers(event=11) == [4]
        assert await numbers(label=("team", "a")) == [1]
        assert await numbers(label=("team", "b")) == []
        assert await numbers(parent=1) == [3]
        assert await numbers(correlation="c") == [3, 1]
        assert await numbers(priority=9) == [2]
        assert await numbers(since=START + 3) == [4, 3]
        assert await numbers(until=START + 3) == [2, 1]
        assert [row.id for row in await store.runs(RunFilter(), before=3, limit=1)] == [2]

    # -- units

    async def test_a_unit_that_cannot_be_written_harms_itself_alone(self, store: Store) -> None:
        """A thousand minus one are durable."""
        await store.submit(Unit(runs=(start(1),)))
        await store.submit(step(1))
        units = [step(1, ord) for ord in range(GROUP_ROWS_MAX)]
        results = await asyncio.gather(*[store.submit(unit) for unit in units], return_exceptions=True)
        assert isinstance(results[0], UnitRefused)
        assert results[1:] == [Committed()] * (GROUP_ROWS_MAX - 1)
        assert len(await store.journal(1)) == GROUP_ROWS_MAX

    async def test_a_decision_that_raises_harms_its_unit_alone(self, store: Store) -> None:
        """Nothing of the unit is written."""

        def row(results: Any) -> JournalRow:
            raise ZeroDivisionError("by the caller")

        bad = Unit(runs=(start(1),), state=StateChange((StateOp("set", "s", "k", 1),), row))
        results = await asyncio.gather(store.submit(bad), store.submit(Unit(runs=(start(2),))), return_exceptions=True)
        assert isinstance(results[0], UnitRefused)
        assert str(results[0]) == "the unit cannot be written: ZeroDivisionError: by the caller"
        assert isinstance(results[1], Committed)
        assert await store.run(1) is None
        assert await store.state("s", "k") is None

    async def test_close_writes_what_was_submitted(self, store: Store, reopen: Reopen) -> None:
        """Whatever waits; later units fail."""
        futures = [store.submit(Unit(runs=(start(number),))) for number in range(1, 2_500)]
        again = await reopen()
        receipts = await asyncio.gather(*futures)
        assert all(not receipt.refused for receipt in receipts)
        assert await again.run(2_499) is not None
        with pytest.raises(StoreFailed, match=r"^the store is closed$"):
            await store.submit(Unit(runs=(start(9_999),)))

    # -- events

    @pytest.mark.rule("1.1")
    @pytest.mark.rule("1.2")
    async def test_an_identity_is_accepted_once(self, store: Store) -> None:
        """The repeat hears of the first time's runs; its marks are written."""
        unit = Unit(
            accept=(accept(1, start(10, event=1), start(11, event=1), id="a", waits=(("w", "k"),)),),
            marks=(Mark("kafka", "t/0", b"1"),),
            outbox_done=((50, ROUTER),),
        )
        await store.submit(Unit(outbox=(OutboxRow(50, 9, b"{}", ROUTER),)))
        first = await store.submit(unit)
        begun = (Started("begun", 10), Started("begun", 11))
        assert first.accepted == (Accepted(True, 1, begun),)
        repeat = Unit(
            accept=(accept(2, start(12, event=2), id="a", dead=(_dead(1),)),),
            marks=(Mark("kafka", "t/0", b"2"),),
        )
        second = await store.submit(repeat)
        assert second.accepted == (Accepted(False, 1, (Started("foreign", 10), Started("foreign", 11))),)
        assert await store.event(2) is None
        assert await store.run(12) is None
        assert await store.dead_letter(1) is None
        assert await store.marks("kafka") == {"t/0": b"2"}
        assert list(await store.outbox(ROUTER, after=0, limit=5)) == []

    async def test_a_repeat_within_one_group_is_a_repeat(self, store: Store) -> None:
        """It need not be durable yet."""
        units = [Unit(accept=(accept(key, start(10 + key, event=key), id="same"),)) for key in (1, 2, 3)]
        receipts = await asyncio.gather(*[store.submit(unit) for unit in units])
        (first,) = [receipt.accepted[0] for receipt in receipts if receipt.accepted[0].new]
        repeat = Accepted(False, first.event, (Started("foreign", first.event + 10),))
        assert [receipt.accepted[0] for receipt in receipts if receipt.accepted[0] != first] == [repeat] * 2

    async def test_an_event_by_position_has_no_dedupe_record(self, store: Store) -> None:
        """Its mark rules out the repeat."""
        for key in (1, 2):
            unit = Unit(accept=(msgspec.structs.replace(accept(key, id="same"), identity=None),))
            assert (await store.submit(unit)).accepted[0].new
        assert [row.key for row in await store.events()] == [2, 1]

    @pytest.mark.rule("1.1")
    async def test_an_identity_is_known_over_midnight(self, store: Store, clock: VirtualClock) -> None:
        """On both sides of it, and later that day."""
        clock.step(86_400 - 1)
        await store.submit(Unit(accept=(accept(1, id="a"),)))
        clock.step(2)
        assert not (await store.submit(Unit(accept=(accept(2, id="a"),)))).accepted[0].new
        await store.submit(Unit(accept=(accept(3, id="b"),)))
        clock.step(3_600)
        for key, id in ((4, "a"), (5, "b")):
            assert not (await store.submit(Unit(accept=(accept(key, id=id),)))).accepted[0].new

    async def test_events_are_found_by_key_id_and_filter(self, store: Store) -> None:
        """The unmatched ones among them."""
        await store.submit(Unit(accept=(accept(1, id="a"), accept(3, id="b"))))
        await store.log_unmatched([event_row(2, "a", type="order.paid", notes=b"{}")])
        assert await store.event(2) == event_row(2, "a", type="order.paid", notes=b"{}")
        assert [row.key for row in await store.events_by_id("a")] == [1, 2]
        assert [row.key for row in await store.events()] == [3, 2, 1]
        assert [row.key for row in await store.events(type="order.paid")] == [2]
        assert [row.key for row in await store.events(since=START + 2, before=3)] == [2]
        assert [row.key for row in await store.events(source="/other")] == []

    @pytest.mark.rule("6.6")
    async def test_events_taken_for_a_wait_are_found_by_its_key(self, store: Store) -> None:
        """Oldest first, after a given one."""
        for key in (1, 2, 3):
            await store.submit(Unit(accept=(accept(key, waits=(("ship/w", "7"),)),)))
        assert [row.key for row in await store.waited("ship/w", "7", after=1, limit=9)] == [2, 3]
        assert [row.key for row in await store.waited("ship/w", "8", after=0, limit=9)] == []

    @pytest.mark.rule("3.1")
    async def test_a_mark_moves_only_from_where_its_reader_stood(self, store: Store) -> None:
        """Else the whole unit is refused."""
        first = Unit(marks=(Mark("kafka", "t/0", b"5", expected=None),), accept=(accept(1),))
        assert (await store.submit(first)).refused == ""
        wrong = Unit(marks=(Mark("kafka", "t/0", b"9", expected=b"4"),), accept=(accept(2),))
        assert await store.submit(wrong) == Committed("position", "the mark `t/0` of `kafka` stands elsewhere")
        assert await store.event(2) is None
        right = Unit(marks=(Mark("kafka", "t/0", b"9", expected=b"5"),))
        gone = Unit(marks=(Mark("kafka", "t/0", None, expected=b"9"),))
        assert [r.refused for r in await asyncio.gather(store.submit(right), store.submit(gone))] == ["", ""]
        assert await store.marks("kafka") == {}
        assert (await store.submit(first)).accepted[0].new is False

    @pytest.mark.rule("6.8")
    async def test_a_cancelling_event_takes_the_open_runs_of_its_key(self, store: Store) -> None:
        """Those accepted before it, reopened ones included."""
        keys = (("ship/cancel", "7"),)
        rows = [run_row(1), run_row(2), run_row(3)]
        await store.submit(Unit(runs=tuple(RunStart(row, keys=keys) for row in rows[:2])))
        await store.submit(Unit(runs=(RunStart(rows[2], keys=(("ship/cancel", "8"),)),)))
        await store.submit(end(1))
        later = accept(9, RunStart(run_row(4, event=9), keys=keys), cancels=(("ship/cancel", "7", b'{"event":"e"}'),))
        receipt = await store.submit(Unit(accept=(later,)))
        assert receipt.accepted[0].cancelled == (2,)
        assert receipt.accepted[0].runs == (Started("begun", 4),)
        found = [await store.run(number) for number in (1, 2, 3, 4)]
        assert [row.cancel for row in found if row] == [None, b'{"event":"e"}', None, None]
        await store.submit(Unit(changes=(RunChange(1, "ended", state=2, reopen=True),)))
        again = accept(10, cancels=(("ship/cancel", "7", b"{}"),))
        assert (await store.submit(Unit(accept=(again,)))).accepted[0].cancelled == (1, 4)

    # -- the rest

    async def test_an_outbox_row_goes_when_nobody_owes_it(self, store: Store) -> None:
        """Router and bus settle apart."""
        await store.submit(Unit(outbox=(OutboxRow(1, 7, b"a", ROUTER | BUS), OutboxRow(2, 7, b"b", BUS))))
        assert [row.key for row in await store.outbox(ROUTER, after=0, limit=9)] == [1]
        await store.submit(Unit(outbox_done=((1, ROUTER), (99, BUS))))
        assert await store.outbox(BUS, after=0, limit=9) == [OutboxRow(1, 7, b"a", BUS), OutboxRow(2, 7, b"b", BUS)]
        assert [await store.outbox_over(BUS, most) for most in (0, 1, 2)] == [2, 1, 0]
        assert await store.outbox_over(ROUTER, 0) == 0
        await asyncio.gather(store.submit(Unit(outbox_done=((1, BUS),))), store.submit(Unit(outbox_done=((2, BUS),))))
        assert list(await store.outbox(BUS, after=0, limit=9)) == []

    async def test_dead_letters_are_kept_and_settled(self, store: Store) -> None:
        """Of units and of events."""
        await store.submit(Unit(dead=(_dead(1), _dead(2)), accept=(accept(5, dead=(_dead(3),)),)))
        await store.submit(Unit(dead_changes=((2, "retried", 2),)))
        assert [letter.key for letter in await store.dead_letters()] == [3, 1]
        assert [letter.key for letter in await store.dead_letters(before=3)] == [1]
        assert [letter.key for letter in await store.dead_letters(state="")] == [3, 2, 1]
        other = msgspec.structs.replace(_dead(4), event=77)
        await store.submit(Unit(dead=(other,)))
        assert await store.dead_letters(state="", event=77) == [other]
        assert await store.dead_letter(2) == msgspec.structs.replace(_dead(2), state="retried", attempts=2)

    @pytest.mark.rule("8.3")
    async def test_a_due_instant_has_one_outcome(self, store: Store) -> None:
        """The first one written."""
        await store.submit(Unit(ledger=(LedgerRow("t", 1.0, "fired", event=4), LedgerRow("t", 2.0, "skipped", "off"))))
        await store.submit(Unit(ledger=(LedgerRow("t", 1.0, "late"),)))
        found = await store.ledger("t", since=0.0, until=2.0, limit=9)
        assert found == [LedgerRow("t", 1.0, "fired", event=4), LedgerRow("t", 2.0, "skipped", "off")]

    async def test_state_operations_are_one_act_with_their_row(self, store: Store) -> None:
        """All of them, or none."""
        ops = (
            StateOp("increment", "wf", "n"),
            StateOp("increment", "wf", "n", 2.5),
            StateOp("merge", "wf", "o", {"a": 1}),
            StateOp("get", "wf", "n"),
        )
        seen: list[list[StateResult]] = []

        def row(results: Any) -> JournalRow:
            seen.append(list(results))
            return JournalRow(1, 0, 0, msgspec.json.encode([result.value for result in results]))

        assert await store.submit(Unit(state=StateChange(ops, row))) == Committed()
        assert seen[-1] == [
            StateResult(1, None, 1),
            StateResult(3.5, 1, 2),
            StateResult({"a": 1}, None, 1),
            StateResult(3.5, 3.5, 2),
        ]
        assert [entry.body for entry in await store.journal(1)] == [b'[1,3.5,{"a":1},3.5]']
        clash = (StateOp("delete", "wf", "n"), StateOp("compare_and_set", "wf", "o", 1, expected={"a": 2}))
        refused = await store.submit(Unit(state=StateChange(clash, row)))
        assert refused == Committed("conflict", "the state `o` of `wf` is not what `compare_and_set` expected")
        assert await store.state("wf", "n") == StateResult(3.5, 3.5, 2)
        await store.submit(Unit(state=StateChange((StateOp("delete", "wf", "n"),), lambda r: JournalRow(1, 1, 0, b""))))
        assert await store.state("wf", "n") is None
        await store.retain({}, limit=10)
        assert (await store.sizes())["state"] == 1

    async def test_definitions_workflows_and_rules_are_kept(self, store: Store) -> None:
        """A definition once by its digest, the others as last written."""
        first = Definition(b"1" * 16, "ship", "1.0.0", b"{}", START)
        await store.submit(Unit(definitions=(first,), rules=(3, b"r3")))
        await store.submit(Unit(definitions=(msgspec.structs.replace(first, at=9.0),), rules=(4, b"r4")))
        assert await store.definitions() == [first]
        assert await store.definition(first.digest) == first
        assert [await store.rules(revision) for revision in (0, 3, 5)] == [b"r4", b"r3", None]
        await store.submit(Unit(workflows=(WorkflowState("ship"), WorkflowState("pay", enabled=False))))
        await store.submit(Unit(workflows=(WorkflowState("ship", pinned="1.0.0", origin="file"),)))
        assert await store.workflows() == {
            "pay": WorkflowState("pay", enabled=False),
            "ship": WorkflowState("ship", pinned="1.0.0", origin="file"),
        }

    async def test_a_blob_is_found_by_its_digest(self, store: Store) -> None:
        """In parts, or empty."""
        body = bytes(range(256)) * 10_000
        name = await store.put_blob(body)
        assert name == await store.put_blob(body) == ids.digest(body)
        assert await store.blob(name) == body
        assert await store.blob(await store.put_blob(b"")) == b""


def _dead(key: int) -> DeadLetter:
    return DeadLetter(key, START, "shop", "/shop", str(key), "invalid_data", b"{}", b"raw", entry=2)
