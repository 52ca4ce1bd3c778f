"""What steps that wait are given by expressions is checked like the `with` of every action; who takes an event."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reactor.core.ids import run_number
from reactor.store.contract import Kind

from .conftest import Reopen, World
from .rig import Rig

MODE = "run-workflow: mode: "
UNITS = "write a number with a unit: 200ms, 10s, 5m, 1h30m, 1d or PT1H30M"
NOTHING = "wait: one of `for`, `until`, `event` or `run` is missing"
WHO = "approval: approvers: "
FAR = "9999-12-31T23:59:59Z"
FREE = """
workflow: free
inputs: {with: {default: null}}
steps: [{name: w, WAITS}]
---
workflow: until
inputs: {with: {default: null}}
steps: [{name: w, wait: {until: inputs.with}}]
---
workflow: other
steps: [{name: a, transform: 1}]
"""


@pytest.mark.parametrize(
    ("uses", "given", "message"),
    [
        ("wait", {"for": None}, NOTHING),
        ("wait", {"for": "400d"}, "wait: for: must be at most 366d; found 400d"),
        ("wait", {"for": 1e30}, f"wait: for: '1e+30' is not a duration; {UNITS}"),
        ("wait", {"for": True}, "wait: for: expected a duration with its unit, such as 10s; found true"),
        ("wait", {"for": -1}, "wait: for: the duration '-1' is negative; write a duration like 10s"),
        ("wait", {"run": None}, NOTHING),
        ("run-workflow", {"workflow": "other", "mode": "x"}, f'{MODE}expected one of sync, async, detached; found "x"'),
        ("run-workflow", {"workflow": "other", "inputs": [1]}, "run-workflow: inputs: expected a mapping; found [1]"),
        ("approval", {"message": "go?", "need": "x"}, 'approval: need: expected a whole number; found "x"'),
        ("approval", {"message": "go?", "need": -1}, "approval: need: must be at least 1; found -1"),
        ("approval", {"message": "go?", "approvers": []}, f"{WHO}must not be empty; or expected a mapping; found []"),
        ("approval", {"message": "x", "approvers": "admins"}, f'{WHO}expected a list or a mapping; found "admins"'),
        ("until", "soon", "wait: until: 'soon' is not an instant"),
        ("until", FAR, f"wait: until: {FAR} is further away than a wait may last, 366d"),
    ],
)
async def test_it_is_refused_in_words(rig: Rig, world: World, uses: str, given: Any, message: str) -> None:
    keys = given if isinstance(given, dict) else {}
    each = ", ".join(f'{key}: "${{{{ inputs.with.{key} }}}}"' for key in keys)
    await rig.deploy(FREE.replace("WAITS", f"{uses}: {{{each}}}" if keys else "log: {message: x}"))
    run = await asyncio.wait_for(rig.run("free" if keys else "until", {"with": given}), 20)
    assert (run["state"], run["error"]["code"], run["error"]["message"]) == ("failed", "invalid_input", message)


@pytest.mark.rule("6.7")
async def test_steps_that_wait_side_by_side_are_all_woken_also_after_a_crash(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: sides
outputs: {ids: "${{ [steps.p.output.a.w1.id, steps.p.output.b.w2.id, steps.after.output.id] }}"}
steps:
  - name: p
    parallel:
      branches:
        a: [{name: w1, wait: {event: {type: bell}}}]
        b: [{name: first, wait: {event: {type: start}}}, {name: w2, wait: {event: {type: bell}}}]
  - {name: after, wait: {event: {type: bell}}}
"""
    )
    head = await rig.runs.start("sides")
    await rig.until(lambda: any(len(r.parked) == 2 for r in rig.engine.executor.runs.values()))
    await rig.emit("start", {}, id="s")
    await rig.until(lambda: any(steps_waiting(r) == {"p/w1", "p/w2"} for r in rig.engine.executor.runs.values()))
    await rig.emit("bell", {}, id="b1")
    await rig.until(lambda: any(steps_waiting(r) == {"after"} for r in rig.engine.executor.runs.values()))
    rig = await lives()
    await rig.until(lambda: any(steps_waiting(r) == {"after"} for r in rig.engine.executor.runs.values()))
    await rig.emit("bell", {}, id="b2")
    assert (await rig.ended(head["id"]))["outputs"] == {"ids": ["b1", "b1", "b2"]}


def steps_waiting(run: Any) -> set[str]:
    return {run.plan.nodes[index].path for index in run.parked}


async def test_the_limit_of_a_step_holds_for_a_pause_too(lives: Reopen) -> None:
    rig = await lives()
    await rig.deploy("""
workflow: short
steps: [{name: w, timeout: 2s, wait: {for: 1h}}]
""")
    run = await rig.run("short")
    assert (run["state"], run["error"]["message"]) == ("failed", "`w` waited longer than its limit")


@pytest.mark.parametrize("step", ["wait: {for: 1ms}", "run-workflow: {workflow: other}"])
async def test_the_output_of_a_step_that_waits_is_checked(rig: Rig, step: str) -> None:
    await rig.deploy(f"""
workflow: checked
steps: [{{name: w, {step}, output: {{type: object, required: [more]}}}}]
---
workflow: other
steps: [{{name: a, transform: 1}}]
""")
    run = await rig.run("checked")
    assert (run["state"], run["error"]["code"]) == ("failed", "invalid_output")
    assert run["error"]["message"] == "output of `w`: more: `more` is missing"


async def test_the_output_of_a_step_that_changes_state_is_checked_and_nothing_is_changed(rig: Rig) -> None:
    def count(context: Any) -> int:
        context.state.increment("n")
        return 5

    rig.functions["m:count"] = count
    await rig.deploy("""
workflow: counts
steps: [{name: s, python: {function: "m:count"}, output: {type: string}}]
""")
    run = await rig.run("counts")
    assert run["error"]["message"] == "output of `s`: expected text; found the number 5"
    assert await rig.store.state("workflow/counts", "n") is None


async def test_a_run_of_another_store_is_none_of_this_one(rig: Rig) -> None:
    await rig.deploy("""
workflow: joins
inputs: {run: string}
steps: [{name: w, wait: {run: "${{ inputs.run }}"}}]
""")
    first = await rig.runs.start("joins", {"run": "x"})
    run = await rig.run("joins", {"run": "deadbeef" + first["id"][8:]})
    message = f"`w` waits for the run `deadbeef{first['id'][8:]}`, which is no run of this store"
    assert (run["error"]["code"], run["error"]["message"]) == ("not_found", message)


async def test_a_large_or_odd_output_beside_changes_of_state_is_kept_like_any_other(rig: Rig) -> None:
    def count(context: Any, odd: bool) -> str:
        context.state.increment("n")
        return "bad \udcff" if odd else "x" * 100_000

    rig.functions["m:count"] = count
    await rig.deploy("""
workflow: counts
inputs: {odd: boolean}
steps: [{name: s, python: {function: "m:count", args: {odd: "${{ inputs.odd }}"}}}, {name: t, transform: 1}]
""")
    run = await rig.run("counts", {"odd": False})
    assert (run["state"], len(run["steps"][0]["output"])) == ("completed", 100_000)
    (row,) = [each for each in await rig.store.journal(run_number(run["id"]) or 0) if each.kind == Kind.RESULT]
    assert len(row.body) < 1_000
    run = await rig.run("counts", {"odd": True})
    assert (run["state"], run["error"]["code"]) == ("failed", "invalid_output")
    found = await rig.store.state("workflow/counts", "n")
    assert found is not None
    assert found.value == 1


WAITS = """
workflow: waits
inputs: {order: string}
steps:
  yes: {approval: {message: "ship ${{ inputs.order }}?", timeout: 1h}}
  paid: {wait: {event: {type: order.paid, by: event.data.order, equals: inputs.order}}}
  later: {wait: {for: 2h}}
  child: {run-workflow: {workflow: naps}}
  done: {needs: [later], log: {message: hi}}
---
workflow: naps
steps: [{name: a, wait: {for: 1d}}]
"""


async def test_a_run_says_what_its_steps_wait_for(slow_rig: Rig) -> None:
    await slow_rig.deploy(WAITS)
    run = (await slow_rig.runs.start("waits", {"order": "A1"}))["id"]

    async def waiting() -> dict[str, Any] | None:
        found = {step["name"]: step["waiting"] for step in (await slow_rig.runs.get(run))["steps"]}
        return found if sum(each is not None for each in found.values()) == 4 and found["child"].get("run") else None

    found = await slow_rig.until(waiting)
    (child,) = [each["id"] for each in (await slow_rig.runs.list(workflow="naps"))["items"]]
    assert found == {
        "yes": {"for": "answer", "message": "ship A1?", "until": "2026-01-01T01:00:00Z"},
        "paid": {"for": "event", "type": "order.paid", "key": "A1", "until": None},
        "later": {"for": "time", "until": "2026-01-01T02:00:00Z"},
        "child": {"for": "run", "run": child, "until": None},
        "done": None,
    }
    await slow_rig.runs.cancel(run)
    ended = await slow_rig.ended(run)
    assert {step["waiting"] for step in ended["steps"]} == {None}
