"""The part of the store suite about flow control: held runs, admission, keys that are freed (semantics 5.3)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from ..store.contract import (
    Admit,
    Committed,
    Flow,
    FlowDecision,
    FlowKey,
    FlowState,
    RunChange,
    RunStart,
    RunState,
    Started,
    Store,
    Unit,
)
from .clock import START
from .store_units import KEY, accept, admit, end, free, run_row, slots, start


class FlowTests:
    """Part of StoreSuite."""

    @pytest.mark.rule("5.3")
    async def test_a_key_admits_as_many_as_its_decision(self, store: Store) -> None:
        """Those over it are held: durable, of no node, not started."""
        units = [Unit(runs=(RunStart(run_row(number), slots(2)),)) for number in range(1, 6)]
        started = [(await store.submit(unit)).started[0] for unit in units]
        assert [(s.verdict, s.reason) for s in started] == [("begun", "")] * 2 + [("held", "all slots are taken")] * 3
        held = await store.run(3)
        assert held is not None
        assert (held.state, held.node, held.started_at) == (RunState.QUEUED, None, None)
        assert [run.id for run in await store.held(KEY, limit=9)] == [3, 4, 5]
        assert await store.held_counts() == {"ship": 3}
        assert await store.flow_waiting(limit=9) == [KEY]

    @pytest.mark.rule("7.5")
    async def test_runs_of_one_cause_are_counted_up_to_a_bound(self, store: Store) -> None:
        """Those that a person started belong to none."""
        rows = [
            msgspec.structs.replace(run_row(number), correlation="e1-1" if number < 6 else "") for number in range(9)
        ]
        await store.submit(Unit(runs=tuple(RunStart(row) for row in rows[1:])))
        assert [await store.correlated("e1-1", most=most) for most in (9, 3)] == [5, 3]
        assert [await store.correlated(cause, most=9) for cause in ("e1-2", "")] == [0, 0]

    async def test_a_key_that_is_freed_admits_the_next(self, store: Store) -> None:
        """The receipt of the end names the key; a run is admitted once."""
        await store.submit(Unit(runs=tuple(RunStart(run_row(number), slots(1)) for number in (1, 2, 3))))
        assert await store.submit(admit(2, slots(1))) == Committed("flow", "all slots are taken")
        receipt = await store.submit(end(1, release=free()))
        assert receipt.flow_freed == (KEY,)
        receipt = await store.submit(admit(2, slots(1)))
        assert receipt.admitted == (Started("begun", 2),)
        begun = await store.run(2)
        assert begun is not None
        assert (begun.state, begun.node, begun.started_at, begun.transitions) == (2, store.node, START + 5, 2)
        assert (await store.submit(admit(2, slots(9)))) == Committed("state", "run 2 is held no longer")
        assert [run.id for run in await store.held(KEY, limit=9)] == [3]

    async def test_a_key_without_held_runs_frees_nobody(self, store: Store) -> None:
        """Nobody is to be woken."""
        await store.submit(Unit(runs=(RunStart(run_row(1), slots(1)),)))
        assert await store.submit(end(1, release=free())) == Committed()
        assert await store.flow_waiting(limit=9) == []

    async def test_an_end_and_the_next_start_in_one_unit(self, store: Store) -> None:
        """The release is decided before the admission."""
        await store.submit(Unit(runs=tuple(RunStart(run_row(number), slots(1)) for number in (1, 2))))
        change = RunChange(1, "open", state=int(RunState.COMPLETED))
        unit = Unit(changes=(change,), release=free(), admit=(Admit(2, slots(1), START, 2),))
        assert (await store.submit(unit)).admitted == (Started("begun", 2),)

    @pytest.mark.rule("3.3")
    async def test_the_highest_priority_is_first_and_age_counts(self, store: Store) -> None:
        """PRIORITY_AGE_S waited is worth one level; equals go by acceptance."""
        rows = [
            run_row(1, created_at=START),
            run_row(2, created_at=START + 1, priority=7),
            run_row(3, created_at=START + 121, priority=9),
            run_row(4, created_at=START + 119, priority=9),
            run_row(5, created_at=START),
        ]
        await store.submit(Unit(runs=tuple(RunStart(row, slots(0)) for row in rows)))
        assert [run.id for run in await store.held(KEY, limit=9)] == [4, 2, 3, 1, 5]
        await store.submit(Unit(changes=(RunChange(5, "held", priority=9),)))
        assert [run.id for run in await store.held(KEY, limit=2)] == [5, 4]

    async def test_a_refused_start_leaves_no_run_but_its_state(self, store: Store) -> None:
        """What the decision counts is kept."""
        refuse = Flow((KEY,), lambda states, now: FlowDecision("refuse", {KEY: FlowState({"n": 1})}, "skip"))
        receipt = await store.submit(Unit(accept=(accept(1, RunStart(run_row(1, event=1), refuse)),)))
        assert receipt.accepted[0].runs == (Started("refused", 0, "skip"),)
        assert await store.run(1) is None
        seen: list[FlowState | None] = []

        def look(states: Mapping[FlowKey, FlowState | None], now: float) -> FlowDecision:
            seen.append(states[KEY])
            return FlowDecision("begin", {})

        await store.submit(Unit(release=Flow((KEY,), look)))
        assert seen[-1] == FlowState({"n": 1})

    async def test_a_job_without_keys_is_pending(self, store: Store) -> None:
        """It waits for a person."""
        job = Flow((), lambda states, now: FlowDecision("hold", {}))
        await store.submit(Unit(runs=(RunStart(run_row(1), job),)))
        held = await store.run(1)
        assert held is not None
        assert held.state == RunState.PENDING
        begin = Flow((), lambda states, now: FlowDecision("begin", {}))
        assert (await store.submit(admit(1, begin))).admitted == (Started("begun", 1),)

    @pytest.mark.rule("5.7")
    async def test_a_decision_cancels_the_oldest(self, store: Store) -> None:
        """Only a run that is open, and once."""
        await store.submit(Unit(runs=(RunStart(run_row(1), slots(1)), start(5))))
        await store.submit(end(5))
        receipt = await store.submit(Unit(runs=(RunStart(run_row(2), slots(1, cancel=(1, 5, 99))),)))
        assert receipt.superseded == (1,)
        found = await store.run(1)
        assert found is not None
        assert found.cancel == b'{"code":"superseded"}'
        again = await store.submit(Unit(runs=(RunStart(run_row(3), slots(1, cancel=(1,))),)))
        assert again.superseded == ()

    async def test_a_cancelled_held_run_leaves_its_queue(self, store: Store) -> None:
        """It is admitted no more, and its rows go with its end."""
        await store.submit(Unit(runs=tuple(RunStart(run_row(number), slots(1)) for number in (1, 2))))
        await store.submit(Unit(changes=(RunChange(2, "open", cancel=b"{}"),)))
        assert (await store.submit(admit(2, slots(9)))).refused == "state"
        leave = Flow((KEY,), lambda states, now: FlowDecision("hold", {}))
        unit = Unit(
            admit=(Admit(2, leave, START, 2, release=True),),
            changes=(RunChange(2, "live", state=int(RunState.CANCELLED), ended_at=START),),
        )
        assert (await store.submit(unit)).admitted == (Started("refused", 2),)
        assert list(await store.held(KEY, limit=9)) == []
        assert (await store.submit(unit)).refused == "state"

    async def test_keys_are_due_in_order_of_their_deadlines(self, store: Store) -> None:
        """A key without a deadline is never due."""
        keys = [FlowKey("throttle/x/0", str(number)) for number in range(3)]

        def at(key: FlowKey, deadline: float | None) -> Unit:
            return Unit(release=Flow((key,), lambda states, now: FlowDecision("begin", {key: FlowState({}, deadline)})))

        for key, deadline in zip(keys, (START + 5, START + 3, None), strict=True):
            await store.submit(at(key, deadline))
        due = await store.flow_due(until=START + 10, limit=9)
        assert list(due) == [(keys[1], START + 3), (keys[0], START + 5)]
        assert list(await store.flow_due(until=START + 4, limit=9)) == [(keys[1], START + 3)]
        await store.submit(at(keys[1], None))
        assert list(await store.flow_due(until=START + 10, limit=1)) == [(keys[0], START + 5)]

    async def test_runs_that_wait_for_the_same_keys_stand_in_one_lane(self, store: Store) -> None:
        """The first of each lane is named, page by page; a run under one key is in lane 0."""
        others = [FlowKey("concurrency/ship/1", str(number)) for number in range(3)]
        keys = {
            1: (KEY,),
            2: (KEY, others[0]),
            3: (others[0], KEY),
            4: (KEY, others[1]),
            5: (KEY,),
            6: (KEY, others[2]),
        }
        for number, its in keys.items():
            hold = Flow(its, lambda states, now: FlowDecision("hold", {}))
            row = run_row(number, priority=9 if number == 3 else 0, flow=b"%d" % number)
            await store.submit(Unit(runs=(RunStart(row, hold),)))
        heads = await store.held_lanes(KEY, limit=9)
        assert [head.lane for head in heads] == sorted({head.lane for head in heads})
        assert heads[0].lane == 0
        assert {head.run: (head.flow, head.rank) for head in heads} == {
            number: (b"%d" % number, run_row(number, priority=9 if number == 3 else 0).rank) for number in (1, 3, 4, 6)
        }
        lane = next(head.lane for head in heads if head.run == 3)
        assert [run.id for run in await store.held(KEY, lane=lane, limit=9)] == [3, 2]
        assert [run.id for run in await store.held(KEY, lane=0, limit=9)] == [1, 5]
        assert [head.run for head in await store.held_lanes(others[0], limit=9)] == [3]
        pages = [await store.held_lanes(KEY, limit=1)]
        while pages[-1]:
            pages.append(await store.held_lanes(KEY, after=pages[-1][-1].lane, limit=1))
        assert [head for page in pages for head in page] == list(heads)
        await store.submit(Unit(changes=(RunChange(2, "held", priority=9),)))
        assert [run.id for run in await store.held(KEY, lane=lane, limit=1)] == [2]
        assert next(head for head in await store.held_lanes(KEY, limit=9) if head.lane == lane).run == 2

    async def test_rows_of_keys_are_read_at_once(self, store: Store) -> None:
        """A key without a row, or whose row says nothing any more, is left out."""
        keys = [FlowKey("throttle/x/0", str(number)) for number in range(3)]
        rows = {keys[0]: FlowState({"n": 1}, START), keys[1]: None}
        await store.submit(Unit(release=Flow(tuple(keys[:2]), lambda states, now: FlowDecision("begin", rows))))
        assert await store.flows(keys) == {keys[0]: FlowState({"n": 1}, START)}
        assert await store.flows([]) == {}

    async def test_a_run_in_two_queues_leaves_both(self, store: Store) -> None:
        """One admission is for all keys."""
        other = FlowKey("throttle/ship/0", "")
        both = Flow((KEY, other), lambda states, now: FlowDecision("hold", {other: FlowState({"n": 1})}))
        await store.submit(Unit(runs=(RunStart(run_row(1), both),)))
        assert sorted(await store.flow_waiting(limit=9)) == sorted([KEY, other])
        begin = Flow((KEY, other), lambda states, now: FlowDecision("begin", {other: None}))
        await store.submit(admit(1, begin))
        assert list(await store.flow_waiting(limit=9)) == []
