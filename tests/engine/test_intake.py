"""Intake, dedupe and fan-out: semantics 1, 2 and 7.5-7.6, on both stores."""

from __future__ import annotations

import asyncio

import pytest

from reactor.core.errors import ErrorInfo, StepError
from reactor.core.event import Event, Mark, Undecodable
from reactor.core.ids import event_number
from reactor.router import arrival, chains, events_api, explain, intake, unmatched
from reactor.store.contract import RunFilter, RunRow
from reactor.testing.clock import VirtualClock

from .conftest import World
from .rig import Rig, deliver, go

ONE = """
workflow: one
inputs: {n: integer}
when: [{event: go, with: {n: "${{ event.data.n }}"}}]
steps: [{name: a, python: {function: "m:act", args: {name: "one ${{ inputs.n }}"}}}]
"""
TWO = ONE.replace("workflow: one", "workflow: two").replace("one ${{", "two ${{")


async def count(rig: Rig, workflow: str = "") -> int:
    return len(await rig.store.runs(RunFilter(workflow=workflow), limit=100))


@pytest.mark.rule("1.1")
@pytest.mark.req("R-9")
async def test_an_identity_is_routed_once_by_a_trigger_even_if_rules_were_added(rig: Rig) -> None:
    await rig.deploy(ONE)
    first = await deliver(rig, "t", go())
    await rig.deploy(TWO)
    second = await deliver(rig, "t", go())
    assert (first.receipts[0].verdict, second.receipts[0].verdict) == ("accepted", "duplicate")
    assert second.receipts[0].runs == first.receipts[0].runs
    assert await count(rig) == 1


@pytest.mark.rule("1.1")
@pytest.mark.rule("2.1")
async def test_by_two_triggers_it_reaches_both_and_still_starts_a_workflow_once(rig: Rig) -> None:
    await rig.deploy(ONE)
    one = await deliver(rig, "t1", go())
    two = await deliver(rig, "t2", go())
    assert two.receipts[0].verdict == "accepted"
    assert two.receipts[0].runs == one.receipts[0].runs
    assert await count(rig) == 1


@pytest.mark.rule("1.4")
async def test_over_its_rate_the_log_of_unmatched_events_keeps_a_sample(
    slow_rig: Rig, hand: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not kept is counted, and no row is made of it, unless somebody listens."""
    monkeypatch.setattr(unmatched, "UNMATCHED_PER_S_MAX", 2)
    made: list[bytes] = []
    encode = arrival.encode

    def encoded(event: Event, *, meta: bool = False) -> bytes:
        made.append(encode(event, meta=meta))
        return made[-1]

    monkeypatch.setattr(arrival, "encode", encoded)
    for n in range(5):
        assert (await slow_rig.emit("nobody", {"n": n})).verdict == "unmatched"
    assert (len(slow_rig.unmatched.recent()), slow_rig.unmatched.left_out, len(made)) == (2, 3, 2)
    heard: list[str] = []
    slow_rig.unmatched.listeners.append(lambda row: heard.append(row.type))
    await slow_rig.emit("nobody", {"n": 5})
    assert (len(slow_rig.unmatched.recent()), slow_rig.unmatched.left_out, heard) == (2, 4, ["nobody"])
    await hand.advance(1.0)
    await slow_rig.emit("nobody", {"n": 6})
    assert (len(slow_rig.unmatched.recent()), slow_rig.unmatched.left_out) == (3, 4)


@pytest.mark.rule("1.2")
async def test_position_event_and_run_are_one_unit(rig: Rig) -> None:
    await rig.deploy(ONE)
    await deliver(rig, "t", go("1"), marks=(Mark("t", "p0", b"1", expected=None),), positioned=True)
    late = await deliver(rig, "t", go("2"), marks=(Mark("t", "p0", b"2", expected=b"0"),), positioned=True)
    assert late.again
    assert await count(rig) == 1
    assert dict(await rig.store.marks("t")) == {"p0": b"1"}


@pytest.mark.rule("1.3")
async def test_a_rule_added_later_sees_earlier_events_only_by_replay(rig: Rig) -> None:
    await rig.deploy(ONE)
    receipt = (await deliver(rig, "t", go())).receipts[0]
    await rig.deploy(TWO)
    assert await count(rig, "two") == 0
    again = await rig.events.replay(receipt.event)
    assert again.verdict == "accepted"
    assert (await count(rig, "one"), await count(rig, "two")) == (2, 1)
    row = await rig.store.event(event_number(again.event) or 0)
    assert b'"replay":1' in row.body


@pytest.mark.rule("1.4")
async def test_what_nobody_wants_is_no_duplicate_when_somebody_does(rig: Rig) -> None:
    first = await deliver(rig, "t", go())
    assert first.receipts[0].verdict == "unmatched"
    listed = await rig.events.list()
    assert [e["id"] for e in listed["items"]] == ["1"]
    await rig.deploy(ONE)
    second = await deliver(rig, "t", go())
    assert second.receipts[0].verdict == "accepted"


@pytest.mark.rule("1.5")
async def test_an_event_without_an_id_is_a_new_event_each_time(rig: Rig) -> None:
    await rig.deploy(ONE)
    await deliver(rig, "t", go(""))
    await deliver(rig, "t", go(""))
    assert await count(rig) == 2


@pytest.mark.rule("1.7")
@pytest.mark.req("T-GEN-8")
async def test_what_cannot_be_read_is_a_dead_letter_and_blocks_nothing(rig: Rig) -> None:
    await rig.deploy(ONE)
    bad = Undecodable(b"{broken", ErrorInfo("invalid_data", "no JSON at byte 1"), "/test", "2")
    settlement = await deliver(rig, "t", go("1"), bad, go("3"))
    assert [r.verdict for r in settlement.receipts] == ["accepted", "dead", "accepted"]
    letters = (await rig.events.letters())["items"]
    assert [(x["raw"], x["code"], x["error"]["message"]) for x in letters] == [
        ("{broken", "invalid_data", "no JSON at byte 1")
    ]


@pytest.mark.rule("1.7")
@pytest.mark.rule("1.11")
async def test_what_fails_for_one_binding_leaves_the_others_and_can_be_retried(rig: Rig) -> None:
    await rig.deploy(ONE, TWO.replace("event.data.n", "event.data.missing"))
    receipt = (await deliver(rig, "t", go())).receipts[0]
    assert (receipt.verdict, len(receipt.runs)) == ("accepted", 1)
    letter = (await rig.events.letters())["items"][0]
    assert (letter["workflow"], letter["code"]) == ("two", "expression")
    assert letter["error"]["message"] == "event.data has no field missing (in event.data.missing)"
    with pytest.raises(StepError) as still:
        await rig.events.retry(letter["id"])
    assert str(still.value) == "it failed again: event.data has no field missing (in event.data.missing)"
    await rig.deploy(TWO)
    assert (await rig.events.retry(letter["id"]))["state"] == "retried"
    assert (await count(rig, "one"), await count(rig, "two")) == (1, 1)
    assert (await rig.events.letters())["items"] == []


@pytest.mark.rule("2.1")
async def test_of_several_entries_that_fit_the_first_in_the_file_starts_the_run(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: several
inputs: {by: string}
when:
  - {event: go, if: event.data.n > 100, with: {by: first}}
  - {event: go, with: {by: second}}
  - {event: "g*", with: {by: third}}
steps: [{name: a, python: {function: "m:act", args: {name: "${{ inputs.by }}"}}}]
"""
    )
    for n in (200, 1):
        run = (await rig.emit("go", {"n": n})).runs[0]
        await rig.ended(run)
    assert world.done == ["first", "second"]


@pytest.mark.rule("2.3")
async def test_a_direct_start_skips_guards_and_its_key_holds(rig: Rig) -> None:
    await rig.deploy(ONE + "unless: 'true'\n")
    one = await rig.runs.start("one", {"n": 1}, key="k")
    again = await rig.runs.start("one", {"n": 1}, key="k")
    assert one["id"] == again["id"]
    with pytest.raises(Exception, match="with other inputs") as refused:
        await rig.runs.start("one", {"n": 2}, key="k")
    assert str(refused.value) == f"the key `k` started the run {one['id']} with other inputs"
    assert await count(rig) == 1


@pytest.mark.rule("2.4")
@pytest.mark.req("R-4")
async def test_inputs_are_computed_at_acceptance(url: str, world: World) -> None:
    flow = """
workflow: keeps
inputs: {limit: integer}
when: [{event: go, with: {limit: "${{ vars.limit }}"}}]
steps:
  - {name: w, wait: {for: 10ms}}
  - {name: a, python: {function: "m:act", args: {name: "${{ inputs.limit }} ${{ vars.limit }}"}}}
"""
    rig = Rig(url, {"m:act": world.act}, vars={"limit": 5})
    await rig.open()
    await rig.deploy(flow)
    run = (await rig.emit("go", {})).runs[0]
    await rig.crash()
    async with Rig(url, {"m:act": world.act}, vars={"limit": 6}) as rig:
        await rig.ended(run)
    assert world.done == ["5 5"]


@pytest.mark.rule("5.2")
async def test_guards_absent_fields_are_false_other_errors_dead_letters(rig: Rig) -> None:
    await rig.deploy(ONE.replace("when: [{event: go,", "when: [{event: go, if: event.data.flag.deep,"))
    cases = [
        ({"n": 1}, "unmatched"),
        ({"n": 1, "flag": None}, "unmatched"),
        ({"n": 1, "flag": {"deep": "yes"}}, "dead"),
    ]
    for data, verdict in cases:
        receipt = await rig.emit("go", data)
        assert receipt.verdict == verdict, data
    assert (await rig.emit("go", {"n": 1, "flag": {"deep": True}})).verdict == "accepted"
    await rig.deploy(ONE.replace("when: [{event: go,", "when: [{event: go, unless: event.data.flag.deep,"))
    assert (await rig.emit("go", {"n": 1})).verdict == "accepted"


@pytest.mark.rule("7.5")
@pytest.mark.req("T-EVT-2")
async def test_a_workflow_that_starts_itself_is_stopped(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: loop
when: [{event: go}, {workflow: loop}]
steps: [{name: a, python: {function: "m:act", args: {name: turn}}}]
"""
    )
    await rig.emit("go", {})

    async def stopped() -> bool:
        return bool((await rig.events.letters())["items"])

    await rig.until(stopped)
    letter = (await rig.events.letters())["items"][0]
    assert letter["code"] == "loop"
    assert letter["error"]["message"] == (
        "the event comes after 17 runs that started one another; at most 16 are followed"
    )
    assert await count(rig) == 17


@pytest.mark.rule("1.6.3")
async def test_the_wait_for_the_ends_of_runs_is_bounded(
    rig: Rig, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it settles as accepted, without outcomes; a run that ends in time is told of."""
    await rig.deploy("workflow: long\nwhen: [{event: go}]\nsteps: [{wait: {event: {type: news}}}]\n", ONE)
    rig.intake.completes = lambda trigger: True
    monkeypatch.setattr(intake, "SETTLE_WAIT_S_MAX", 0.2)
    late = await deliver(rig, "t", go("1"))
    assert (late.again, late.outcomes) == (False, ())
    (receipt,) = late.receipts
    assert (receipt.verdict, len(receipt.runs)) == ("accepted", 2)
    states = {run["workflow"]: run["state"] for run in (await rig.runs.list())["items"]}
    assert states == {"long": "waiting", "one": "completed"}
    monkeypatch.setattr(intake, "SETTLE_WAIT_S_MAX", 9.0)
    under_way = asyncio.ensure_future(deliver(rig, "t", go("2")))
    for run in receipt.runs:
        if (await rig.runs.get(run))["state"] == "waiting":
            await rig.runs.cancel(run)

    async def two_wait() -> bool:
        return [r["state"] for r in (await rig.runs.list(workflow="long"))["items"]] == ["waiting", "cancelled"]

    await rig.until(two_wait)
    await rig.emit("news", {})
    in_time = await under_way
    assert [outcome.state for outcome in in_time.outcomes] == ["completed", "completed"]


@pytest.mark.rule("7.5")
async def test_workflows_that_start_each_other_in_breadth_are_stopped(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two to the power of the hops would be 65 536 of each; another cause is not stopped with them."""
    for module in (chains, arrival):
        monkeypatch.setattr(module, "CAUSE_RUNS_MAX", 40)
    monkeypatch.setattr(chains, "COUNTED_AFTER", 5)
    twin = """
workflow: twin-%s
when: [{event: go}, {workflow: twin-*}]
steps: [{name: a, transform: 1}]
"""
    await rig.deploy(twin % "a", twin % "b")
    for _ in range(2):
        before = await count_all(rig)
        key = (await rig.emit("go", {})).event
        await rig.until(lambda: not rig.engine.executor.runs)
        await rig.until(lambda key=key: stopped_at(rig, key))
        await rig.until(lambda: not rig.engine.executor.runs)
        assert 40 <= await count_all(rig) - before < 200


async def count_all(rig: Rig) -> int:
    return len(await all_runs(rig))


async def all_runs(rig: Rig) -> list[RunRow]:
    found: list[RunRow] = []
    while page := await rig.store.runs(RunFilter(), before=found[-1].id if found else 0, limit=100):
        found += page
    return found


async def stopped_at(rig: Rig, key: str) -> bool:
    message = f"40 runs came of `{key}`, each through an event of another; no more are started"
    return any(letter["error"]["message"] == message for letter in (await rig.events.letters())["items"])


@pytest.mark.rule("7.6")
async def test_a_trailing_star_leaves_our_own_events_out(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: worker
when: [{event: go}]
steps: [{name: a, transform: 1}]
---
workflow: all
when: [{event: "*"}]
steps: [{name: a, python: {function: "m:act", args: {name: all}}}]
---
workflow: stem
when: [{event: "rea*"}]
steps: [{name: a, python: {function: "m:act", args: {name: stem}}}]
---
workflow: own
inputs: {type: string}
when: [{event: "reactor.run.comp*", match: {subject: [worker]}, with: {type: "${{ event.type }}"}}]
steps: [{name: a, python: {function: "m:act", args: {name: "${{ inputs.type }}"}}}]
"""
    )
    await rig.emit("go", {})
    await rig.until(lambda: len(world.done) == 2)
    await asyncio.sleep(0.05)
    assert sorted(world.done) == ["all", "reactor.run.completed"]


@pytest.mark.rule("11.4")
@pytest.mark.req("R-1")
@pytest.mark.req("R-2")
@pytest.mark.req("R-3")
async def test_explain_names_the_clause_and_the_value(rig: Rig) -> None:
    await rig.deploy(
        """
workflow: big
inputs: {total: integer}
when: [{event: order.new, match: {data: {country: [DE]}}, if: event.data.total > 100}]
unless: event.data.test == true
steps: [{name: a, transform: 1}]
limits: {concurrency: {max: 1, overflow: skip}}
"""
    )
    texts: list[str] = []
    for data in (
        {"country": "FR", "total": 150},
        {"country": "DE", "total": 50},
        {"country": "DE", "total": 150, "test": True},
        {"country": "DE", "total": "x", "test": False},
    ):
        receipt = await rig.emit("order.new", data)
        found = await rig.events.explain(receipt.event)
        texts.append(found["findings"][0]["text"])
    assert texts[:3] == [
        'data.country: expected "DE", found "FR"',
        "when[0].if: event.data.total > 100 is false (event.data.total is 50)",
        "unless: event.data.test == true is true (event.data.test is true)",
    ]
    good = await rig.emit("order.new", {"country": "DE", "total": 150})
    found = (await rig.events.explain(good.event))["findings"][0]
    assert (found["finding"], found["run"]) == ("matched", good.runs[0])


@pytest.mark.rule("11.4")
async def test_explain_asks_the_rules_of_then(rig: Rig) -> None:
    await rig.deploy(ONE)
    receipt = (await deliver(rig, "t", go())).receipts[0]
    await rig.deploy(ONE.replace("event: go", "event: gone"), TWO)
    found = await rig.events.explain(receipt.event)
    assert [(f["workflow"], f["finding"]) for f in found["findings"]] == [("one", "matched")]
    assert found["revision"] < found["revision_now"]


@pytest.mark.rule("11.4")
async def test_explain_finds_each_run_however_many_there_are(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.deploy(*(ONE.replace("workflow: one", f"workflow: one{n}") for n in range(5)))
    receipt = await rig.emit("go", {"n": 2})
    again = await rig.runs.rerun(receipt.runs[0])
    monkeypatch.setattr(events_api, "PAGE_ROWS_MAX", 2)
    assert again["id"] not in receipt.runs
    found = (await rig.events.explain(receipt.event))["findings"]
    assert sorted(each["run"] for each in found) == sorted(receipt.runs)
    assert sorted((await rig.events.get(receipt.event))["runs"]) == sorted(receipt.runs)
    bad = await rig.emit("go", {"n": "two"})
    assert [each["finding"] for each in (await rig.events.explain(bad.event))["findings"]] == 5 * ["dead"]


async def test_whoever_publishes_or_explains_leaves_others_their_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that nobody takes needs no store, and ten thousand rules take long: others are not kept waiting."""
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "published")
    receipt = await rig.events.publish([go()])
    assert turns == ["published"]
    await rig.deploy(ONE, TWO)
    monkeypatch.setattr(explain, "TURN_S", 0.0)
    accepted = await rig.emit("go", {"n": 2})
    for key in (receipt[0].event, accepted.event):
        turns.clear()
        explained = asyncio.ensure_future(rig.events.explain(key))
        while not explained.done():
            turns.append("explained")
            await asyncio.sleep(0)
        assert len(explained.result()["findings"]) == (0 if key == receipt[0].event else 2)
    assert len(turns) > 2
