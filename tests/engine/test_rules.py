"""Order, execution, waits, ends, versions, payloads: semantics 3, 4, 6, 7, 9, 10 and 11, on both stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reactor.core.errors import StepError
from reactor.core.limits import GROUP_S_MAX, PAGE_ROWS_MAX
from reactor.engine.signals import SignalRefused
from reactor.testing.clock import VirtualClock

from .conftest import Reopen, World
from .rig import Rig, definitions, steps


@pytest.mark.rule("3.2")
@pytest.mark.rule("3.3")
async def test_under_one_at_a_time_runs_go_in_order_of_acceptance_the_urgent_first(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: queue
inputs: {n: integer}
limits: {concurrency: {max: 1, key: "'all'"}}
steps: [{name: a, python: {function: "m:act", args: {name: "n${{ inputs.n }}"}}}]
"""
    )
    first = world.gate("n0")
    heads = [await rig.runs.start("queue", {"n": n}, priority=5) for n in range(4)]
    urgent = await rig.runs.start("queue", {"n": 9}, priority="critical")
    first.set()
    for head in (*heads, urgent):
        await rig.ended(head["id"])
    assert world.done == ["n0", "n9", "n1", "n2", "n3"]


@pytest.mark.rule("4.5")
@pytest.mark.req("E-EXE-14")
async def test_a_key_is_that_of_the_place_not_of_the_order(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: pair
steps:
  a: {python: {function: "m:act", args: {name: a}}}
  b: {python: {function: "m:act", args: {name: b}}}
"""
    )
    run = rig.engine.workflows.plan(rig.engine.workflows.find("pair").digest)
    assert run is not None
    gate = world.gate("a")
    head = await rig.runs.start("pair")
    active = rig.engine.executor.runs[rig.runs.number(head["id"])]
    keys = {n.name: active.key(n) for n in run.nodes}
    await rig.until(lambda: world.done == ["b"])
    gate.set()
    await rig.ended(head["id"])
    assert dict(zip(world.done, world.keys, strict=True)) == keys
    assert keys["a"] != keys["b"]


@pytest.mark.rule("4.9")
@pytest.mark.req("S-12")
@pytest.mark.req("E-STAT-2")
@pytest.mark.req("E-DEF-22")
async def test_a_skipped_step_satisfies_and_a_failed_need_passes_the_skip_on(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: skips
on_error: continue
steps:
  off: {if: "false", python: {function: "m:act", args: {name: off}}}
  next: {needs: [off], python: {function: "m:act", args: {name: "next ${{ steps.off.output == null }}"}}}
  bad: {python: {function: "m:act", args: {name: bad}}}
  after: {needs: [bad], python: {function: "m:act", args: {name: after}}}
  last: {needs: [after], python: {function: "m:act", args: {name: last}}}
"""
    )
    world.fail["bad"] = [ValueError("x")]
    run = await rig.run("skips")
    assert world.done == ["next true"]
    assert steps(run) == {
        "off": "skipped",
        "next": "completed",
        "bad": "failed",
        "after": "skipped",
        "last": "skipped",
    }
    causes = {s["name"]: s["cause"] for s in run["steps"]}
    assert causes["after"] == "step `after` needs `bad`, which failed"
    assert causes["last"] == causes["after"]
    assert run["state"] == "failed"


@pytest.mark.rule("6.7")
async def test_one_event_wakes_many_waits_and_a_step_takes_it_once(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: waiter
steps:
  - {name: w1, wait: {event: {type: bell}}}
  - {name: w2, wait: {event: {type: bell}}}
  - {name: a, python: {function: "m:act", args: {name: "${{ steps.w1.output.id }} ${{ steps.w2.output.id }}"}}}
"""
    )
    heads = [await rig.runs.start("waiter") for _ in range(3)]
    await rig.until(lambda: all(r.parked for r in rig.engine.executor.runs.values()))
    await rig.emit("bell", {}, id="b1")
    await rig.emit("bell", {}, id="b2")
    for head in heads:
        await rig.ended(head["id"])
    assert world.done == ["b1 b2"] * 3


@pytest.mark.rule("6.7.2")
async def test_what_comes_while_a_wait_looks_back_is_taken_after_what_was_there(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: waiter
when: [{event: order}]
outputs: {order: "${{ [steps.first.output.data.n, steps.second.output.data.n] }}"}
steps:
  - {name: pack, python: {function: "m:act", args: {name: pack}}}
  - {name: first, wait: {event: {type: news}}}
  - {name: second, wait: {event: {type: news}}}
"""
    )
    waited, looked = rig.store.waited, asyncio.Event()

    async def slow(*asked: Any, **more: Any) -> Any:
        if not looked.is_set():
            looked.set()
            for n in (2, 3):
                await rig.emit("news", {"n": n})
            await asyncio.sleep(0.05)
        return await waited(*asked, **more)

    rig.store.waited = slow
    packing = world.gate("pack")
    receipt = await rig.emit("order")
    await rig.emit("news", {"n": 1})
    packing.set()
    assert (await rig.ended(receipt.runs[0]))["outputs"] == {"order": [1, 2]}


@pytest.mark.rule("6.7.1")
async def test_a_wait_looks_back_again_for_what_another_process_was_committing(
    lives: Reopen, clock: VirtualClock, world: World
) -> None:
    """Told to nobody here, and hidden from the first look: its commit comes later, under a lower key than another's."""
    rig = await lives()
    await rig.deploy(
        """
workflow: waiter
when: [{event: order}]
steps:
  - {name: pack, python: {function: "m:act", args: {name: pack}}}
  - {name: news, wait: {event: {type: news, if: "event.data.n == 7"}}}
"""
    )
    waited, looks = rig.store.waited, list[float]()

    async def looked(*asked: Any, **more: Any) -> Any:
        looks.append(clock.now())
        committed = clock.now() > looks[0] + GROUP_S_MAX - 0.1
        return [row for row in await waited(*asked, **more) if committed or row.id != "late"]

    rig.store.waited = looked
    rig.engine.executor.waits.deliver = lambda *_: None
    packing = world.gate("pack")
    receipt = await rig.emit("order")
    await rig.emit("news", {"n": 7}, id="late")
    await rig.emit("news", {"n": 1}, id="other")
    packing.set()
    assert (await rig.ended(receipt.runs[0]))["outputs"]["news"]["id"] == "late"
    assert clock.now() - looks[0] == pytest.approx(GROUP_S_MAX, abs=0.1)


@pytest.mark.rule("7.1")
async def test_a_completion_event_has_the_run_and_the_number_of_the_transition(rig: Rig) -> None:
    await rig.deploy(
        """
workflow: first
outputs: {x: "1"}
steps: [{name: a, transform: 1}]
---
workflow: second
inputs: {id: string, data: object}
when: [{workflow: first, with: {id: "${{ event.id }}", data: "${{ event.data }}"}}]
steps: [{name: a, transform: 1}]
"""
    )
    run = await rig.run("first")

    async def followed() -> Any:
        page = await rig.runs.list(workflow="second", state=["completed"])
        return page["items"]

    found = (await rig.until(followed))[0]
    assert found["inputs"]["id"] == f"{run['id']}/2"
    assert found["inputs"]["data"]["outputs"] == {"x": "1"}
    assert found["cause"] == run["id"]


@pytest.mark.rule("7.1")
async def test_the_events_of_a_child_name_the_run_that_caused_it(rig: Rig) -> None:
    await rig.deploy(
        """
workflow: parent
steps: [{name: a, run-workflow: {workflow: child}}]
---
workflow: child
steps: [{name: a, transform: 1}]
---
workflow: told
inputs: {cause: string}
when:
  - {workflow: parent, with: {cause: "${{ event.source }} ${{ event.causationid }}"}}
  - {workflow: child, with: {cause: "${{ event.source }} ${{ event.causationid }}"}}
steps: [{name: a, transform: 1}]
"""
    )
    run = await rig.run("parent")

    async def told() -> set[str]:
        page = await rig.runs.list(workflow="told", state=["completed"])
        return {item["inputs"]["cause"] for item in page["items"]} if len(page["items"]) == 2 else set()

    found = await rig.until(told)
    assert found == {f"/workflows/parent {run['id']}", f"/workflows/child {run['id']}"}


@pytest.mark.rule("9.3")
async def test_of_end_and_cancel_the_first_committed_wins_and_asked_twice_it_is_one(rig: Rig, world: World) -> None:
    await rig.deploy("workflow: w\nsteps: [{name: a, python: {function: 'm:act', args: {name: a}}}]")
    gate = world.gate("a")
    head = await rig.runs.start("w")
    await rig.until(lambda: world.overlap)
    await asyncio.gather(rig.runs.cancel(head["id"], reason="one"), rig.runs.cancel(head["id"], reason="two"))
    run = await rig.ended(head["id"])
    assert run["state"] == "cancelled"
    gate.set()
    done = await rig.run("w")
    with pytest.raises(SignalRefused) as late:
        await rig.runs.cancel(done["id"])
    assert str(late.value) == f"the run {done['id']} has ended: it is completed"


@pytest.mark.rule("9.4")
@pytest.mark.req("O-SUB-3")
async def test_children_are_cancelled_and_have_ended_before_the_parent_compensates(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: child
steps:
  - name: c
    python: {function: "m:act", args: {name: c}}
    compensate: {python: {function: "m:undo", args: {name: c}}}
  - {name: long, wait: {for: 1h}}
---
workflow: parent
steps:
  p:
    python: {function: "m:act", args: {name: p}}
    compensate: {python: {function: "m:undo", args: {name: p}}}
  one: {needs: [p], run-workflow: {workflow: child, mode: sync}}
  two: {needs: [p], run-workflow: {workflow: child, mode: async}}
  three: {needs: [p], run-workflow: {workflow: child, mode: detached}}
"""
    )
    head = await rig.runs.start("parent")
    await rig.until(lambda: world.done.count("c") == 3)
    await rig.until(lambda: sum(bool(r.parked) for r in rig.engine.executor.runs.values()) >= 4)
    await rig.runs.cancel(head["id"])
    run = await rig.ended(head["id"])
    assert run["state"] == "cancelled"
    assert world.done == ["p", "c", "c", "c", "undo c", "undo c", "undo p"]
    still = (await rig.runs.list(workflow="child", state=["waiting"]))["items"]
    assert len(still) == 1
    assert still[0]["correlation"] == (run["correlation"] or run["id"])


@pytest.mark.rule("9.4.1")
async def test_all_children_have_ended_before_their_parent_however_many(rig: Rig) -> None:
    count = PAGE_ROWS_MAX + 20
    parts = "".join(f"  - {{name: s{i}, run-workflow: {{workflow: child, mode: async}}}}\n" for i in range(count))
    await rig.deploy(
        "workflow: child\nsteps: [{name: long, wait: {for: 1h}}]\n"
        f"---\nworkflow: parent\nsteps:\n{parts}  - {{name: long, wait: {{for: 1h}}}}\n"
    )
    head = await rig.runs.start("parent")
    await rig.until(lambda: sum(bool(run.parked) for run in rig.engine.executor.runs.values()) == count + 1)
    await rig.runs.cancel(head["id"])
    assert (await rig.ended(head["id"]))["state"] == "cancelled"
    assert (await rig.runs.list(workflow="child", state=["running", "waiting"]))["items"] == []


@pytest.mark.rule("9.5")
async def test_force_ends_at_once_without_handlers(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: w
steps:
  - name: a
    python: {function: "m:act", args: {name: a}}
    compensate: {python: {function: "m:undo", args: {name: a}}}
  - {name: b, python: {function: "m:act", args: {name: b}}}
"""
    )
    world.gate("b")
    head = await rig.runs.start("w")
    await rig.until(lambda: world.overlap and world.done == ["a"])
    await rig.runs.cancel(head["id"], force=True, reason="now")
    run = await asyncio.wait_for(rig.ended(head["id"]), 20)
    assert (run["state"], run["metadata"]["forced"], world.done) == ("cancelled", True, ["a"])


@pytest.mark.rule("9.6")
@pytest.mark.req("S-9")
async def test_a_crash_while_compensating_goes_on_where_it_was(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: w
steps:
  - {name: a, python: {function: "m:act", args: {name: a}}, compensate: {python: {function: "m:act", args: {name: ua}}}}
  - {name: b, python: {function: "m:act", args: {name: b}}, compensate: {python: {function: "m:act", args: {name: ub}}}}
  - {name: c, python: {function: "m:act", args: {name: c}}}
"""
    )
    world.fail["c"] = [ValueError("x")]
    world.gate("ua")
    head = await rig.runs.start("w")
    await rig.until(lambda: world.done == ["a", "b", "ub"])
    await rig.until(lambda: world.overlap)
    rig = await lives()
    world.gates["ua"].set()
    run = await rig.ended(head["id"])
    assert (run["state"], world.done) == ("compensated", ["a", "b", "ub", "ua"])


V1 = """
workflow: flow
version: 1.0.0
steps:
  - {name: g, python: {function: "m:act", args: {name: gate}}}
  - {name: a, python: {function: "m:act", args: {name: old}}}
"""


@pytest.mark.rule("10.1")
@pytest.mark.rule("10.2")
@pytest.mark.req("E-VER-4")
async def test_a_run_keeps_the_definition_it_began_with(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(V1)
    gate = world.gate("gate")
    head = await rig.runs.start("flow")
    await rig.until(lambda: world.overlap)
    await rig.deploy(V1.replace("old", "new"))
    assert rig.engine.workflows.find("flow").revision == 2
    await rig.deploy(V1.replace("old", "newer").replace("1.0.0", "1.1.0"))
    rig = await lives()
    gate.set()
    await rig.ended(head["id"])
    assert world.done == ["gate", "old"]
    run = await rig.run("flow")
    assert (run["version"], world.done[-1]) == ("1.1.0", "newer")
    run = await rig.run("flow@1.0.0")
    assert (run["version"], world.done[-1]) == ("1.0.0", "new")
    with pytest.raises(StepError) as missing:
        await rig.runs.start("flow@^2")
    assert str(missing.value) == "workflow `flow` has no version `^2`; it has: 1.0.0, 1.1.0"


@pytest.mark.rule("10.3")
@pytest.mark.req("E-EXE-22")
async def test_a_removed_or_disabled_workflow_starts_nothing_its_runs_end(rig: Rig, world: World) -> None:
    text = "workflow: w\nwhen: [{event: go}]\nsteps: [{name: a, python: {function: 'm:act', args: {name: a}}}]"
    await rig.deploys.deploy(definitions(text))
    gate = world.gate("a")
    run = (await rig.emit("go")).runs[0]
    await rig.deploys.change("w", enabled=False)
    assert (await rig.emit("go")).verdict == "unmatched"
    await rig.deploys.change("w", enabled=True)
    assert (await rig.emit("go")).verdict == "accepted"
    await rig.deploys.change("w", removed=True)
    assert (await rig.emit("go")).verdict == "unmatched"
    gate.set()
    assert (await rig.ended(run))["state"] == "completed"
    with pytest.raises(StepError, match="there is no workflow `w`"):
        await rig.runs.start("w")


@pytest.mark.rule("11.1")
@pytest.mark.req("K-14")
async def test_a_large_output_is_kept_apart_and_comes_back_whole(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: large
steps:
  - {name: big, python: {function: "m:act", args: {name: big, value: "${{ inputs.text }}"}}}
  - {name: w, wait: {for: 1h}}
  - {name: size, python: {function: "m:act", args: {name: "size ${{ size(steps.big.output) }}"}}}
inputs: {text: string}
"""
    )
    text = "ä" * 100_000
    head = await rig.runs.start("large", {"text": text})
    await rig.until(lambda: "big" in world.done)
    rig = await lives()
    run = await rig.ended(head["id"])
    assert world.done[-1] == "size 100000"
    assert run["steps"][0]["output"] == text


@pytest.mark.rule("4.7")
async def test_a_retry_by_hand_keeps_the_key_unless_nothing_happened(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: w
on_error: fail_fast
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
"""
    )
    keys: list[str] = []
    for error in (ConnectionError("maybe"), StepError("card_declined", "no", "park")):
        world.fail["a"] = [error]
        run = await rig.run("w")
        await rig.runs.retry(run["id"])
        run = await rig.ended(run["id"])
        assert run["state"] == "completed"
        keys.append(str(run["metadata"].get("generation", 0)))
    assert keys == ["0", "1"]
