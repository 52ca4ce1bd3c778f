"""What is undone and what is told of it, on both stores."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.core.errors import StepError
from reactor.engine.handle import RunFailed, RunHandle

from .conftest import Reopen, World
from .rig import Rig, steps

ORDER = """
workflow: order
inputs: {total: integer}
steps:
  reserve:
    python: {function: "m:act", args: {name: reserve, value: r1}}
    compensate: {python: {function: "m:undo", args: {name: "reserve ${{ output }}"}}}
  note: {needs: [reserve], python: {function: "m:act", args: {name: note}}}
  charge:
    needs: [note]
    python: {function: "m:act", args: {name: charge, value: {id: c1}}}
    compensate: {python: {function: "m:undo", args: {name: "charge ${{ output.id }} after ${{ error.code }}"}}}
  ship: {needs: [charge], python: {function: "m:act", args: {name: ship}}}
  tell: {needs: [ship], python: {function: "m:act", args: {name: tell}}}
"""


@pytest.mark.req("S-1")
@pytest.mark.req("S-2")
async def test_the_outcome_names_the_failed_step_and_what_was_undone(rig: Rig, world: World) -> None:
    await rig.deploy(ORDER)
    run = await rig.run("order", {"total": 5})
    assert (run["state"], run["error"]) == ("completed", None)
    world.done.clear()
    world.fail["ship"] = [ConnectionError("no van")]
    run = await rig.run("order", {"total": 5})
    assert world.done == ["reserve", "note", "charge", "undo charge c1 after connection", "undo reserve r1"]
    assert run["state"] == "compensated"
    error = run["error"]
    assert (error["code"], error["message"]) == ("connection", "m:act raised ConnectionError: no van")
    assert (error["failed_step"], error["cause"]) == ("ship", None)
    assert (error["compensated"], error["not_compensated"]) == (["charge", "reserve"], ["note"])
    assert error["results"] == {"reserve": "r1", "note": "note", "charge": {"id": "c1"}}
    assert {s["name"]: s["compensated"] for s in run["steps"]} == {
        "reserve": "completed",
        "note": None,
        "charge": "completed",
        "ship": None,
        "tell": None,
    }
    world.fail["ship"] = [ConnectionError("no van")]
    world.fail["undo charge c1 after connection"] = [ValueError("bank closed")]
    error = (await rig.run("order", {"total": 5}))["error"]
    assert (error["code"], error["cause"]["code"]) == ("compensation_failed", "connection")
    assert (error["failed_step"], error["compensated"]) == ("ship", ["reserve"])
    assert error["not_compensated"] == ["note", "charge"]


NESTED = """
workflow: nested
steps:
  - name: main
    group:
      steps:
        - name: hold
          python: {function: "m:act", args: {name: hold}}
          compensate: {python: {function: "m:act", args: {name: free}}}
        - {name: card, python: {function: "m:act", args: {name: card}}}
"""


@pytest.mark.req("S-2")
async def test_the_failed_step_is_the_one_inside_its_block_whatever_its_undoing_came_to(rig: Rig, world: World) -> None:
    await rig.deploy(NESTED)
    found: list[tuple[str, str, str | None, str]] = []
    for fails in (["card"], ["card", "free"]):
        world.fail = {each: [ValueError(each)] for each in fails}
        row = await rig.engine.start("nested", {})
        with pytest.raises(RunFailed) as told:
            await RunHandle(lambda: rig.runs, rig.store.id, row).result(timeout=20)
        error = (await rig.runs.get(told.value.run))["error"]
        found.append((error["code"], error["step"], told.value.failed_step, error["failed_step"]))
    assert found == [
        ("step_failed", "main/card", "main/card", "main/card"),
        ("compensation_failed", "main/hold", "main/card", "main/card"),
    ]


PARTIAL = """
workflow: partial
inputs: {keep: string}
on_error: POLICY
steps:
  - name: a
    python: {function: "m:act", args: {name: a}}
    compensate: {if: "inputs.keep != 'a'", python: {function: "m:undo", args: {name: a}}}
  - name: b
    python: {function: "m:act", args: {name: b, value: {sent: true}}}
    compensate: {if: "!output.sent", python: {function: "m:undo", args: {name: b}}}
  - name: c
    python: {function: "m:act", args: {name: c}}
    compensate: {if: "error.code == 'connection'", python: {function: "m:undo", args: {name: c}}}
  - name: d
    python: {function: "m:act", args: {name: d}}
    compensate: {if: "steps.b.output.sent", python: {function: "m:undo", args: {name: d}}}
  - name: e
    python: {function: "m:act", args: {name: e}}
    on_error: {connection: compensate, "*": fail_fast}
"""


@pytest.mark.req("S-5")
@pytest.mark.parametrize("policy", ["compensate_all", "fail_fast"])
@pytest.mark.parametrize(
    ("error", "state", "undone"),
    [(ConnectionError("x"), "compensated", ["undo d", "undo c"]), (ValueError("x"), "failed", [])],
)
async def test_what_is_undone_follows_conditions_and_the_error(
    rig: Rig, world: World, policy: str, error: Exception, state: str, undone: list[str]
) -> None:
    await rig.deploy(PARTIAL.replace("POLICY", policy))
    world.fail["e"] = [error]
    run = await rig.run("partial", {"keep": "a"})
    assert (run["state"], world.done) == (state, ["a", "b", "c", "d", *undone])


@pytest.mark.req("S-6")
async def test_a_handler_in_yaml_is_an_action_or_a_function_and_sees_output_error_and_context(
    rig: Rig, world: World
) -> None:
    seen: list[Any] = []

    async def clean(made: str, why: str, context: Any) -> None:
        seen.append((made, why, context.output, context.error["code"], context.run["workflow"], context.inputs))

    rig.functions["m:clean"] = clean
    await rig.deploy(
        """
workflow: handled
inputs: {n: integer}
steps:
  - name: a
    python: {function: "m:act", args: {name: a, value: one}}
    compensate:
      python: {function: "m:clean", args: {made: "${{ output }}", why: "${{ error.message }}"}}
  - name: b
    python: {function: "m:act", args: {name: b, value: two}}
    compensate: {state: {op: set, key: undone, value: "${{ output }} ${{ inputs.n }} ${{ steps.a.output }}"}}
  - {name: c, python: {function: "m:act", args: {name: c}}}
"""
    )
    world.fail["c"] = [ValueError("no")]
    run = await rig.run("handled", {"n": 7})
    assert run["state"] == "compensated"
    message = "m:act raised ValueError: no"
    assert seen == [("one", message, "one", "step_failed", "handled", {"n": 7})]
    assert (await rig.store.state("workflow/handled", "undone")).value == "two 7 one"


@pytest.mark.req("S-13")
async def test_catch_takes_the_error_finally_runs_always_and_a_retry_keeps_what_was_done(
    rig: Rig, world: World
) -> None:
    await rig.deploy(
        """
workflow: falls-back
on_error: fail_fast
outputs: {used: "${{ steps.main.output }}"}
steps:
  - {name: first, python: {function: "m:act", args: {name: first}}}
  - name: main
    try:
      steps: [{name: card, python: {function: "m:act", args: {name: card}}}]
      catch: [{name: invoice, python: {function: "m:act", args: {name: "invoice ${{ error.code }} ${{ error.step }}"}}}]
      finally: [{name: close, python: {function: "m:act", args: {name: close}}}]
  - {name: last, python: {function: "m:act", args: {name: last}}}
"""
    )
    world.fail = {"card": [ConnectionError("x")], "last": [ValueError("y")]}
    run = await rig.run("falls-back")
    assert (run["state"], run["error"]["failed_step"]) == ("failed", "last")
    assert world.done == ["first", "invoice connection main/card", "close"]
    await rig.runs.retry(run["id"])
    run = await rig.ended(run["id"])
    assert run["state"] == "completed"
    assert world.done == ["first", "invoice connection main/card", "close", "last"]
    assert steps(run)["main"] == "completed"


@pytest.mark.req("S-13")
async def test_a_catch_that_failed_itself_is_tried_again_from_the_step_before_it(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: gives-up
on_error: fail_fast
steps:
  - {name: soft, python: {function: "m:act", args: {name: soft}}, on_error: {step_failed: continue}}
  - name: main
    try:
      steps: [{name: card, python: {function: "m:act", args: {name: card}}}]
      catch:
        - {name: tell, python: {function: "m:act", args: {name: tell}}}
        - {name: give_up, fail: {message: no card}}
"""
    )
    world.fail = {"soft": [ValueError("x")], "card": [ConnectionError("y")]}
    run = await rig.run("gives-up")
    assert (run["state"], run["error"]["step"], world.done) == ("failed", "main/give_up", ["tell"])
    await rig.runs.retry(run["id"])
    run = await rig.ended(run["id"])
    assert (run["state"], world.done) == ("completed", ["tell", "card"])
    assert steps(run)["soft"] == "failed", "its failure was answered: what came after it went on"


@pytest.mark.req("S-13")
@pytest.mark.parametrize(
    "computed",
    [
        '{name: sum, transform: {n: "${{ steps.tell.output.missing }}"}}',
        '{name: sum, if: "steps.tell.output.missing > 1", log: {message: m}}',
    ],
)
async def test_a_catch_that_failed_in_what_is_computed_is_tried_again_too(
    lives: Reopen, world: World, computed: str
) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: sums-up
on_error: fail_fast
steps:
  - name: main
    try:
      steps: [{name: card, python: {function: "m:act", args: {name: card}}}]
      catch:
        - {name: tell, python: {function: "m:act", args: {name: tell, value: {a: 1}}}}
        - COMPUTED
  - {name: last, python: {function: "m:act", args: {name: last}}}
""".replace("COMPUTED", computed)
    )
    gate = world.gate("last")
    world.fail = {"card": [ConnectionError("y")]}
    run = await rig.run("sums-up")
    assert (run["state"], run["error"]["step"], world.done) == ("failed", "main/sum", ["tell"])
    await rig.runs.retry(run["id"])
    await rig.until(lambda: world.overlap)
    assert world.done == ["tell", "card"]
    rig = await lives()  # the same over a crash
    gate.set()
    run = await rig.ended(run["id"])
    assert (run["state"], world.done) == ("completed", ["tell", "card", "last"])


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ({"card", "invoice"}, ["bill", "card"]),
        ({"card", "close"}, ["close"]),  # that of `card` was caught
        ({"card", "invoice", "close"}, ["close", "bill", "card"]),
        ({"close"}, ["close"]),
    ],
)
@pytest.mark.req("S-13")
async def test_an_error_in_catch_or_finally_hides_none_before_it(
    rig: Rig, world: World, failing: set[str], told: list[str]
) -> None:
    await rig.deploy(
        """
workflow: tried
steps:
  - name: main
    try:
      steps: [{name: card, python: {function: "m:act", args: {name: card}}}]
      catch: [{name: bill, python: {function: "m:act", args: {name: invoice}}}]
      finally: [{name: close, python: {function: "m:act", args: {name: close}}}]
"""
    )
    world.fail = {name: [ValueError(name)] for name in failing}
    error = (await rig.run("tried"))["error"]
    found: list[str] = []
    while error is not None:
        found.append(error["step"])
        error = error["cause"]
    assert found == [f"main/{name}" for name in told]


@pytest.mark.parametrize(
    ("pattern", "attempts", "state"),
    [("step_failed", 1, "failed"), ("lab.away", 1, "completed"), ("lab.away", 2, "completed")],
)
async def test_a_pattern_takes_the_error_of_catch_and_not_the_one_that_was_caught(
    rig: Rig, world: World, pattern: str, attempts: int, state: str
) -> None:
    await rig.deploy(
        f"""
workflow: tried
steps:
  - name: main
    on_error: {{{pattern}: continue}}
    try:
      steps: [{{name: card, python: {{function: "m:act", args: {{name: card}}}}}}]
      catch:
        - name: bill
          python: {{function: "m:act", args: {{name: invoice}}}}
          retry: {{attempts: {attempts}, delay: 1ms, on: ["*"]}}
"""
    )
    world.fail = {"card": [ValueError("card")], "invoice": [StepError("lab.away", "no")] * attempts}
    run = await rig.run("tried")
    assert run["state"] == state


@pytest.mark.rule("9.1")
@pytest.mark.req("S-10")
@pytest.mark.parametrize("policy", ["compensate_all", "compensate_failed", "fail_fast", "continue"])
async def test_a_cancel_undoes_whatever_is_to_be_done_on_failure(rig: Rig, world: World, policy: str) -> None:
    await rig.deploy(
        f"""
workflow: ended-by-hand
on_error: {policy}
steps:
  - name: a
    python: {{function: "m:act", args: {{name: a}}}}
    compensate: {{python: {{function: "m:undo", args: {{name: a}}}}}}
  - {{name: b, python: {{function: "m:act", args: {{name: b}}}}}}
"""
    )
    world.gate("b")
    run = (await rig.runs.start("ended-by-hand"))["id"]
    await rig.until(lambda: world.done == ["a"] and world.overlap)
    await rig.runs.cancel(run, reason="x")
    assert ((await rig.ended(run))["state"], world.done) == ("cancelled", ["a", "undo a"])


async def test_an_error_of_a_runs_outputs_says_where_they_are(rig: Rig, world: World) -> None:
    await rig.deploy('workflow: w\nsteps: [{transform: {a: 1}}]\noutputs: {n: "${{ 1 / (size(inputs)) }}"}\n')
    run = await rig.run("w")
    place = run["error"]["place"]
    assert (run["error"]["code"], place["file"], place["line"], place["path"]) == (
        "expression",
        "test.yaml",
        3,
        "outputs",
    )
