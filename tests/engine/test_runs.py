"""Runs end to end on SQLite and PostgreSQL: order, data, blocks, failures, handlers, waits, children."""

from __future__ import annotations

import asyncio

import pytest

from reactor.core.event import Event
from reactor.core.limits import INLINE_BYTES_MAX
from reactor.testing.clock import VirtualClock

from .conftest import World
from .rig import Rig, steps

LIST = """
workflow: in-a-list
inputs: {n: integer}
outputs: {last: "${{ steps.c.output }}"}
steps:
  - {name: a, python: {function: "m:act", args: {name: a, value: "${{ inputs.n + 1 }}"}}}
  - {name: b, transform: {twice: "${{ steps.a.output * 2 }}"}}
  - {name: c, python: {function: "m:act", args: {name: c, value: "${{ steps.b.output.twice }}"}}}
"""


async def test_a_list_runs_top_to_bottom_and_hands_data_on(rig: Rig, world: World) -> None:
    await rig.deploy(LIST)
    run = await rig.run("in-a-list", {"n": 4})
    assert (run["state"], run["outputs"], world.done) == ("completed", {"last": 10}, ["a", "c"])
    assert steps(run) == {"a": "completed", "b": "completed", "c": "completed"}


SAGA = """
workflow: saga
on_error: POLICY
steps:
  a:
    python: {function: "m:act", args: {name: a}}
    compensate: {python: {function: "m:undo", args: {name: a}}}
  b:
    needs: [a]
    python: {function: "m:act", args: {name: b}}
    compensate: {python: {function: "m:undo", args: {name: "${{ output }}"}}}
  c:
    needs: [b]
    python: {function: "m:act", args: {name: c}}
    compensate: {when: failed, python: {function: "m:undo", args: {name: c}}}
  d: {needs: [c], python: {function: "m:act", args: {name: d}}}
"""


@pytest.mark.parametrize(
    ("policy", "state", "done"),
    [
        ("compensate_all", "compensated", ["a", "b", "undo c", "undo b", "undo a"]),
        ("compensate_failed", "compensated", ["a", "b", "undo c"]),
        ("fail_fast", "failed", ["a", "b"]),
        ("continue", "failed", ["a", "b"]),
    ],
)
@pytest.mark.rule("9.2")
@pytest.mark.req("E-DEF-9")
@pytest.mark.req("S-3")
@pytest.mark.req("S-4")
@pytest.mark.req("S-11")
async def test_each_policy_undoes_what_it_says(
    rig: Rig, world: World, policy: str, state: str, done: list[str]
) -> None:
    await rig.deploy(SAGA.replace("POLICY", policy))
    world.fail["c"] = [ValueError("no")]
    run = await rig.run("saga")
    assert (run["state"], world.done) == (state, done)
    assert run["error"]["code"] == "step_failed"
    assert run["error"]["message"] == "m:act raised ValueError: no"
    assert run["error"]["failed_step"] == "c"
    assert steps(run)["d"] == ("skipped" if policy == "continue" else "pending")


@pytest.mark.rule("9.1")
@pytest.mark.req("S-7")
async def test_a_handler_that_fails_does_not_stop_the_rest(rig: Rig, world: World) -> None:
    await rig.deploy(SAGA.replace("POLICY", "compensate_all"))
    world.fail = {"c": [ValueError("no")], "undo b": [ValueError("stuck")]}
    run = await rig.run("saga")
    assert run["state"] == "compensation_failed"
    assert world.done == ["a", "b", "undo c", "undo a"]
    assert run["error"]["message"] == "not undone: b"
    await rig.runs.retry(run["id"], compensation=True)
    run = await rig.ended(run["id"])
    assert (run["state"], world.done[-1]) == ("compensated", "undo b")


@pytest.mark.req("S-13")
async def test_a_retry_by_hand_starts_at_the_failed_step(rig: Rig, world: World) -> None:
    await rig.deploy(SAGA.replace("POLICY", "fail_fast"))
    world.fail["c"] = [ValueError("no")]
    run = await rig.run("saga")
    assert run["state"] == "failed"
    await rig.runs.retry(run["id"])
    run = await rig.ended(run["id"])
    assert (run["state"], world.done) == ("completed", ["a", "b", "c", "d"])


@pytest.mark.req("S-13")
async def test_what_a_person_retries_was_not_in_flight_at_a_crash(rig: Rig, world: World) -> None:
    await rig.deploy(SAGA.replace("POLICY", "fail_fast"))
    world.fail["c"] = [ValueError("no")]
    run = await rig.run("saga")
    await rig.runs.retry(run["id"])
    run = await rig.ended(run["id"])
    assert {step["name"]: step["recovered"] for step in run["steps"]} == dict.fromkeys("abcd", False)


@pytest.mark.req("S-10")
@pytest.mark.req("E-CANC-2")
async def test_cancel_stops_the_step_under_way_and_undoes_the_others(rig: Rig, world: World) -> None:
    await rig.deploy(SAGA.replace("POLICY", "compensate_all"))
    world.gates["c"] = asyncio.Event()
    head = await rig.runs.start("saga")
    await rig.until(lambda: world.overlap)
    await rig.until(lambda: "b" in world.done)
    await rig.runs.cancel(head["id"], reason="bad data", actor="ann")
    run = await rig.ended(head["id"])
    assert run["state"] == "cancelled"
    assert world.done == ["a", "b", "undo c", "undo b", "undo a"]
    assert run["error"]["message"] == "cancelled by ann: bad data"
    assert steps(run) == {"a": "completed", "b": "completed", "c": "cancelled", "d": "pending"}


RETRY = """
workflow: flaky
steps:
  - name: a
    python: {function: "m:act", args: {name: a}}
    retry: {attempts: 3, delay: 1ms, on: [connection, step_failed]}
"""


async def test_a_step_is_repeated_as_its_policy_says(rig: Rig, world: World) -> None:
    await rig.deploy(RETRY)
    world.fail["a"] = [ConnectionError("x"), ValueError("y")]
    run = await rig.run("flaky")
    assert (run["state"], run["steps"][0]["attempts"]) == ("completed", 3)
    world.fail["a"] = [ValueError("1"), ValueError("2"), ValueError("3")]
    run = await rig.run("flaky")
    assert (run["state"], run["error"]["code"]) == ("failed", "max_retries_exceeded")
    assert run["error"]["message"] == "`a`: 3 attempts failed; the last error: m:act raised ValueError: 3"
    assert run["error"]["cause"]["code"] == "step_failed"


BLOCKS = """
workflow: blocks
steps:
  - name: both
    parallel:
      branches:
        left:
          - {name: l1, python: {function: "m:act", args: {name: l1}}}
          - {name: l2, python: {function: "m:act", args: {name: l2}}}
        right: [{name: r1, python: {function: "m:act", args: {name: r1}}}]
  - name: guarded
    try:
      steps: [{name: t1, python: {function: "m:act", args: {name: t1}}}]
      catch: [{name: c1, python: {function: "m:act", args: {name: "caught ${{ error.code }}"}}}]
      finally: [{name: f1, python: {function: "m:act", args: {name: f1}}}]
  - {name: end, python: {function: "m:act", args: {name: end, value: "${{ steps.both.output }}"}}}
"""


@pytest.mark.req("S-13")
async def test_blocks_join_catch_and_give_their_outputs(rig: Rig, world: World) -> None:
    await rig.deploy(BLOCKS)
    run = await rig.run("blocks")
    assert run["outputs"] == {"end": {"left": {"l1": "l1", "l2": "l2"}, "right": {"r1": "r1"}}}
    assert sorted(world.done[:3]) == ["l1", "l2", "r1"]
    assert world.done[3:] == ["t1", "f1", "end"]
    assert steps(run)["guarded/c1"] == "pending"
    world.done.clear()
    world.fail["t1"] = [ValueError("x")]
    run = await rig.run("blocks")
    assert run["state"] == "completed"
    assert world.done[3:] == ["caught step_failed", "f1", "end"]


WAIT = """
workflow: waiting
inputs: {order: string}
when: [{event: order.new, with: {order: "${{ event.data.order }}"}}]
steps:
  - {name: before, python: {function: "m:act", args: {name: before}}}
  - {name: paid, wait: {event: {type: order.paid, by: event.data.order}, timeout: 10s}}
  - {name: after, python: {function: "m:act", args: {name: "${{ steps.paid.output.data.amount }}"}}}
"""


@pytest.mark.rule("6.6")
async def test_a_wait_takes_the_event_that_agrees_and_one_that_came_first(rig: Rig, world: World) -> None:
    await rig.deploy(WAIT)
    one = (await rig.emit("order.new", {"order": "A"})).runs[0]
    await rig.until(lambda: world.done == ["before"])
    await rig.emit("order.paid", {"order": "B", "amount": "wrong"})
    await rig.emit("order.paid", {"order": "A", "amount": "right"})
    assert (await rig.ended(one))["state"] == "completed"
    assert world.done == ["before", "right"]
    world.gates["before"] = asyncio.Event()
    two = (await rig.emit("order.new", {"order": "C"})).runs[0]
    await rig.emit("order.paid", {"order": "C", "amount": "early"})
    world.gates["before"].set()
    assert (await rig.ended(two))["state"] == "completed"
    assert world.done[-1] == "early"


CHILD = """
workflow: child
inputs: {n: integer}
outputs: {twice: "${{ inputs.n * 2 }}"}
steps: [{name: x, python: {function: "m:act", args: {name: child}}}]
---
workflow: parent
outputs: {label: "${{ steps.c.output.twice }}"}
steps: [{name: c, run-workflow: {workflow: child, inputs: {n: 21}}}]
"""


@pytest.mark.req("E-ACT-4")
async def test_a_child_gives_its_outputs_and_its_failure(rig: Rig, world: World) -> None:
    await rig.deploy(CHILD)
    run = await rig.run("parent")
    assert run["outputs"] == {"label": 42}
    world.fail["child"] = [ValueError("deep")]
    run = await rig.run("parent")
    assert run["error"]["code"] == "child_failed"
    assert run["error"]["cause"]["step"] == "x"


LIMITED = """
workflow: limited
inputs: {key: string}
limits: {concurrency: {max: 1, key: inputs.key, overflow: OVERFLOW}}
when: [{event: go, with: {key: "${{ event.data.key }}"}}]
steps: [{name: a, python: {function: "m:act", args: {name: "${{ inputs.key }}"}}}]
"""


@pytest.mark.rule("5.7")
async def test_concurrency_by_key_queues_skips_and_supersedes(rig: Rig, world: World) -> None:
    world.gates["k"] = asyncio.Event()
    await rig.deploy(LIMITED.replace("OVERFLOW", "queue"))
    first = (await rig.emit("go", {"key": "k"})).runs[0]
    second = (await rig.emit("go", {"key": "k"})).runs[0]
    other = (await rig.emit("go", {"key": "o"})).runs[0]
    assert (await rig.ended(other))["state"] == "completed"
    assert (await rig.runs.get(second))["state"] == "queued"
    assert world.overlap == 1
    world.gates["k"].set()
    assert [(await rig.ended(r))["state"] for r in (first, second)] == ["completed", "completed"]
    world.gates["k"].clear()
    await rig.deploy(LIMITED.replace("OVERFLOW", "skip"))
    first = (await rig.emit("go", {"key": "k"})).runs[0]
    skipped = await rig.emit("go", {"key": "k"})
    assert (skipped.runs, skipped.held_back) == ((), True)
    world.gates["k"].set()
    await rig.ended(first)
    world.gates["k"].clear()
    await rig.deploy(LIMITED.replace("OVERFLOW", "cancel_running"))
    first = (await rig.emit("go", {"key": "k"})).runs[0]
    second = (await rig.emit("go", {"key": "k"})).runs[0]
    assert (await rig.ended(first))["state"] == "cancelled"
    world.gates["k"].set()
    assert (await rig.ended(second))["state"] == "completed"


@pytest.mark.rule("7.3")
@pytest.mark.rule("7.2")
@pytest.mark.req("T-EVT-1")
async def test_events_of_starts_and_steps_reach_a_workflow_that_names_them(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: watched
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
---
workflow: watcher
inputs: {what: string}
when:
  - {event: reactor.run.started, match: {subject: [watched]}, with: {what: "${{ event.type }}"}}
  - {event: reactor.step.completed, match: {subject: [watched]}, with: {what: "${{ event.type + event.data.step }}"}}
  - {event: reactor.run.completed, match: {subject: [watched]}, with: {what: "${{ event.type }}"}}
steps: [{name: w, python: {function: "m:act", args: {name: "${{ inputs.what }}"}}}]
"""
    )
    await rig.run("watched")
    await rig.until(lambda: len(world.done) == 4)
    assert sorted(world.done) == ["a", "reactor.run.completed", "reactor.run.started", "reactor.step.completeda"]


SEEN = """
workflow: seen
inputs: {text: string}
steps:
  - {name: sum, transform: {n: "${{ 1 + 1 }}"}}
  - {name: long, transform: "${{ [inputs.text] }}"}
  - {name: box, group: {steps: [{name: inside, python: {function: "m:act", args: {name: inside}}}]}}
  - {name: off, if: "false", log: {message: x}}
  - name: a
    python: {function: "m:act", args: {name: a}}
    compensate: {python: {function: "m:act", args: {name: undo a}}}
  - name: b
    python: {function: "m:act", args: {name: b}}
    compensate: {when: failed, python: {function: "m:act", args: {name: undo b}}}
"""


async def test_the_steps_of_a_run_look_the_same_before_its_end_and_after(rig: Rig, world: World) -> None:
    await rig.deploy(SEEN)
    gate = world.gate("b")
    run = (await rig.runs.start("seen", {"text": "x" * INLINE_BYTES_MAX}))["id"]
    await rig.until(lambda: world.done == ["inside", "a"] and world.overlap)
    before = (await rig.runs.get(run))["steps"]
    gate.set()
    after = (await rig.ended(run))["steps"]
    assert (before[:-1], {*before[-1]}) == (after[:-1], {*after[-1]})
    assert [step["output"] for step in after] == [{"n": 2}, None, None, "inside", None, "a", "b"]


async def test_what_was_undone_and_kept_is_seen_while_handlers_run(rig: Rig, world: World) -> None:
    await rig.deploy(SEEN)
    gate = world.gate("undo a")
    world.fail["b"] = [ValueError("no")]
    run = (await rig.runs.start("seen", {"text": "short"}))["id"]
    await rig.until(lambda: world.done == ["inside", "a", "undo b"] and world.overlap)
    before = (await rig.runs.get(run))["steps"]
    gate.set()
    after = (await rig.ended(run))["steps"]
    assert [{**step, "compensated": None} if step["name"] == "a" else step for step in after] == before
    assert {step["name"]: (step["compensated"], step["preserved"], step["output"]) for step in after} == {
        "sum": (None, True, {"n": 2}),
        "long": (None, True, ["short"]),
        "box": (None, True, None),
        "box/inside": (None, True, "inside"),
        "off": (None, False, None),
        "a": ("completed", True, "a"),
        "b": ("completed", False, None),
    }


SLEEPS = """
workflow: sleeps
steps: [{name: a, python: {function: "m:slow", args: {name: a, seconds: 5}}}]
"""


async def test_a_clock_that_was_set_back_makes_no_time_negative(
    slow_rig: Rig, world: World, hand: VirtualClock
) -> None:
    told: dict[str, float] = {}

    def listen(event: Event) -> None:
        if "duration_ms" in event.data:
            told[event.type] = event.data["duration_ms"]

    slow_rig.engine.telling.listeners.append(listen)
    await slow_rig.deploy(SLEEPS)
    run = (await slow_rig.runs.start("sleeps"))["id"]
    await slow_rig.until(lambda: world.asleep == ["a"])
    hand.step(-60)
    await hand.advance(5)
    assert (await slow_rig.ended(run))["execution_ms"] == 0
    assert told == {"reactor.step.completed": 0, "reactor.run.completed": 0}
