"""Options of steps and workflows, what a step sees, and what is told of it while it runs; on both stores."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import Any

import pytest

from reactor.testing.clock import VirtualClock

from .conftest import Reopen, World
from .rig import Rig, steps


@pytest.mark.req("E-DEF-8")
async def test_the_runs_limit_of_repetitions_is_over_all_its_steps(rig: Rig, world: World) -> None:
    calls: Counter[str] = Counter()

    async def down(name: str) -> None:
        calls[name] += 1
        raise ConnectionError(name)

    rig.functions["m:down"] = down
    policy = "retry: {attempts: 10, delay: 1ms}"
    both = """
workflow: both
retry: {limit: 3}
steps:
  a: {python: {function: "m:down", args: {name: a}}, POLICY}
  b: {python: {function: "m:down", args: {name: b}}, POLICY}
"""
    await rig.deploy(both.replace("POLICY", policy))
    run = await rig.run("both")
    assert calls.total() == 2 + 3
    assert run["error"]["code"] == "max_retries_exceeded"
    step = run["error"]["step"]
    assert run["error"]["message"] == (
        f"`{step}`: the run's limit of 3 repetitions is spent; the last error: m:down raised ConnectionError: {step}"
    )
    calls.clear()
    await rig.deploy(both.replace(", POLICY", ""))
    run = await rig.run("both")
    assert (calls.total(), run["error"]["code"]) == (2, "connection"), "a limit alone gives no step a repetition"


@pytest.mark.req("E-DEF-11")
async def test_no_more_steps_at_once_than_the_limit_says(lives: Reopen, world: World, clock: VirtualClock) -> None:
    rig = await lives()

    async def second(context: Any) -> None:
        world.overlap += 1
        world.peak = max(world.peak, world.overlap)
        await clock.sleep(1)
        world.overlap -= 1

    rig.functions["m:second"] = second
    names = "".join(f"  s{n}: {{python: {{function: 'm:second'}}}}\n" for n in range(20))
    await rig.deploy(f"workflow: wide\nparallel_limit: 5\nsteps:\n{names}")
    begun = clock.now()
    head = await rig.runs.start("wide")
    assert (await rig.ended(head["id"]))["state"] == "completed"
    assert world.peak == 5
    assert 4 <= clock.now() - begun < 10


@pytest.mark.req("E-DEF-14")
async def test_a_step_names_what_it_gives_and_the_next_gets_it_by_name(rig: Rig, world: World) -> None:
    trees: list[Any] = []

    async def read(ast_trees: list[str]) -> int:
        trees.append(ast_trees)
        return len(ast_trees)

    rig.functions["m:read"] = read
    text = """
workflow: parsed
steps:
  parse:
    python: {function: "m:act", args: {name: parse, value: VALUE}}
    output: {type: object, required: [ast_trees]}
  count: {python: {function: "m:read", args: {ast_trees: "${{ steps.parse.output.ast_trees }}"}}}
"""
    await rig.deploy(text.replace("VALUE", "{ast_trees: [x, y]}"))
    assert (await rig.run("parsed"))["outputs"] == {"count": 2}
    await rig.deploy(text.replace("VALUE", "{trees: []}"))
    run = await rig.run("parsed")
    assert (run["error"]["code"], run["error"]["failed_step"]) == ("invalid_output", "parse")
    assert run["error"]["message"] == "output of `parse`: ast_trees: `ast_trees` is missing"
    assert trees == [["x", "y"]]


@pytest.mark.req("E-DEF-24")
async def test_a_run_is_found_by_the_labels_of_its_acceptance(lives: Reopen, world: World) -> None:
    text = """
workflow: labelled
inputs: {order_id: string}
when: [{event: go, with: {order_id: "${{ event.data.id }}"}}]
labels: {order: "${{ inputs.order_id }}", kind: KIND}
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
"""
    rig = await lives()
    await rig.deploy(text.replace("KIND", "old"))
    one = (await rig.emit("go", {"id": "A1"})).runs[0]
    two = (await rig.runs.start("labelled", {"order_id": "A2"}, labels={"by": "hand"}))["id"]
    await rig.deploy(text.replace("KIND", "new").replace("order:", "other:"))
    rig = await lives()
    three = (await rig.runs.start("labelled", {"order_id": "A1"}))["id"]

    async def found(label: str) -> list[str]:
        return [run["id"] for run in (await rig.runs.list(label=label))["items"]]

    assert await found("order=A1") == [one]
    assert await found("order=A2") == await found("by=hand") == [two]
    assert await found("kind=old") == [two, one]
    assert await found("other=A1") == [three]
    assert (await rig.runs.get(two))["labels"] == {"order": "A2", "kind": "old", "by": "hand"}


@pytest.mark.req("E-EXE-10")
async def test_inputs_are_checked_before_the_call_and_outputs_after_it(rig: Rig) -> None:
    calls: list[Any] = []

    async def double(n: int) -> Any:
        calls.append(n)
        return {"twice": str(n * 2)}

    rig.functions["m:double"] = double
    await rig.deploy(
        """
workflow: typed
inputs: {n: {}}
steps:
  - name: a
    python: {function: "m:double", args: {n: "${{ inputs.n }}"}}
    output: {type: object, properties: {twice: {type: integer}}}
"""
    )
    run = await rig.run("typed", {"n": "many"})
    assert (run["error"]["code"], run["error"]["step"], calls) == ("invalid_input", "a", [])
    assert run["error"]["message"] == ('argument `n` of m:double: expected a whole number (int); found "many" (str)')
    run = await rig.run("typed", {"n": 2})
    assert (run["error"]["code"], run["error"]["step"], calls) == ("invalid_output", "a", [2])
    assert run["error"]["message"] == 'output of `a`: twice: expected a whole number; found the text "4"'


@pytest.mark.req("E-EXE-13")
async def test_a_step_sees_its_run_and_what_came_before_and_changes_nothing_of_it(rig: Rig, world: World) -> None:
    seen: list[Any] = []

    async def look(context: Any) -> str:
        told = copy.deepcopy(
            {
                "run": {key: context.run[key] for key in ("id", "workflow", "version", "labels")},
                "times": context.run["created_at"] <= context.run["started_at"],
                "event": context.run["event"]["id"],
                "step": context.step,
                "attempt": context.attempt,
                "inputs": context.inputs,
                "results": dict(context.results),
                "metadata": context.metadata["team"],
            }
        )
        seen.append(told)
        context.inputs["n"] = 99
        context.results["a"]["deep"] = "changed"
        with pytest.raises(AttributeError):
            context.inputs = {}
        if context.attempt == 1:
            raise ConnectionError("again")
        return "looked"

    rig.functions["m:look"] = look
    await rig.deploy(
        """
workflow: seen
version: 1.2.0
metadata: {team: shop}
inputs: {n: integer}
labels: {n: "${{ inputs.n }}"}
when: [{event: go, with: {n: "${{ event.data.n }}"}}]
steps:
  - {name: a, python: {function: "m:act", args: {name: a, value: {deep: "${{ inputs.n }}"}}}}
  - {name: b, python: {function: "m:look"}, retry: {attempts: 2, delay: 1ms}}
  - {name: c, python: {function: "m:look"}, retry: {attempts: 2, delay: 1ms}}
"""
    )
    id = (await rig.emit("go", {"n": 4}, id="e1")).runs[0]
    run = await rig.ended(id)
    about = {"id": id, "workflow": "seen", "version": "1.2.0", "labels": {"n": "4"}}
    common = {"run": about, "times": True, "event": "e1", "inputs": {"n": 4}, "metadata": "shop"}
    before: dict[str, Any] = {"a": {"deep": 4}}
    assert seen == [
        common | {"step": "b", "attempt": 1, "results": before},
        common | {"step": "b", "attempt": 2, "results": before},
        common | {"step": "c", "attempt": 1, "results": before | {"b": "looked"}},
        common | {"step": "c", "attempt": 2, "results": before | {"b": "looked"}},
    ]
    assert (run["workflow"], run["version"], run["state"], run["inputs"]) == ("seen", "1.2.0", "completed", {"n": 4})
    assert run["created_at"] <= run["started_at"] <= run["ended_at"]
    assert [s["output"] for s in run["steps"]] == [{"deep": 4}, "looked", "looked"]


@pytest.mark.req("E-EXE-26")
async def test_a_step_that_is_to_run_alone_overlaps_no_other_of_its_run(rig: Rig, world: World) -> None:
    beside: dict[str, int] = {}

    async def count(name: str) -> None:
        world.overlap += 1
        for _ in range(5):
            await asyncio.sleep(0)
            beside[name] = max(beside.get(name, 0), world.overlap)
        world.overlap -= 1

    rig.functions["m:count"] = count
    await rig.deploy(
        """
workflow: loners
steps:
  a: {python: {function: "m:count", args: {name: a}}}
  b: {python: {function: "m:count", args: {name: b}}, parallel: true}
  alone: {python: {function: "m:count", args: {name: alone}}, parallel: false}
  c: {python: {function: "m:count", args: {name: c}}}
  d: {python: {function: "m:count", args: {name: d}}}
  shy: {python: {function: "m:count", args: {name: shy}}, parallel: false}
  box:
    parallel:
      branches:
        left: [{python: {function: "m:count", args: {name: inner}}, parallel: false}]
        right: [{python: {function: "m:count", args: {name: e}}}]
"""
    )
    assert (await rig.run("loners"))["state"] == "completed"
    assert (beside["alone"], beside["shy"], beside["inner"]) == (1, 1, 1)
    assert (beside["a"], beside["b"], beside["c"], beside["d"]) == (2, 2, 2, 2)


EVERY_STATE = """
workflow: states
outputs: {seen: "${{ steps }}"}
steps:
  good: {python: {function: "m:act", args: {name: good}}}
  bad: {python: {function: "m:act", args: {name: bad}}, on_error: continue, retry: {attempts: 2, delay: 500ms}}
  off: {if: "false", python: {function: "m:act", args: {name: off}}}
  box:
    timeout: 200ms
    on_error: continue
    group: {steps: [{name: cut, python: {function: "m:act", args: {name: cut}}}]}
  w: {wait: {event: {type: bell}}}
  last: {needs: all, transform: 1}
"""


@pytest.mark.req("E-STEP-2")
async def test_a_steps_result_is_state_output_error_attempts_and_times(rig: Rig, world: World) -> None:
    await rig.deploy(EVERY_STATE)
    world.gate("cut")
    gate = world.gate("good")
    head = await rig.runs.start("states")
    world.fail["bad"] = [ConnectionError("bad 1"), ConnectionError("bad 2")]
    running = await rig.runs.get(head["id"])
    assert steps(running)["good"] == "running"
    assert steps(running)["last"] == "pending"

    async def shows(step: str, state: str) -> bool:
        return steps(await rig.runs.get(head["id"]))[step] == state

    await rig.until(lambda: shows("w", "waiting"))
    await rig.until(lambda: shows("bad", "retrying"))
    gate.set()
    await rig.until(lambda: len(world.fail["bad"]) == 0)
    await rig.emit("bell", id="b1")
    run = await rig.ended(head["id"])
    shown = {s["name"]: s for s in run["steps"]}
    assert steps(run) == {
        "good": "completed",
        "bad": "failed",
        "off": "skipped",
        "box": "failed",
        "box/cut": "cancelled",
        "w": "completed",
        "last": "completed",
    }
    assert (shown["good"]["output"], shown["good"]["error"], shown["good"]["attempts"]) == ("good", None, 1)
    assert shown["good"]["started_at"] <= shown["good"]["ended_at"]
    assert (shown["bad"]["output"], shown["bad"]["attempts"]) == (None, 2)
    assert shown["bad"]["error"]["cause"]["message"] == "m:act raised ConnectionError: bad 2"
    seen = run["outputs"]["seen"]
    assert {name: value["state"] for name, value in seen.items()} == {
        name.rpartition("/")[2]: state for name, state in steps(run).items()
    }
    for name in ("good", "bad", "off"):
        for key in ("state", "output", "error", "attempts"):
            assert seen[name][key] == shown[name][key], (name, key)
