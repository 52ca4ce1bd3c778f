"""Cancels that come while a run compensates: nothing but `--force` cuts its handlers short (semantics 6.8, 9.5)."""

from __future__ import annotations

import pytest

from reactor.core.errors import PermanentError
from reactor.engine.signals import SignalRefused

from .conftest import Reopen, World
from .rig import Rig

UNDOES = """
workflow: undoes
when: [{event: order.new}]
cancel_on: [{event: order.gone, by: event.data.id}]
limits: {concurrency: {max: 1, key: event.data.id, overflow: cancel_running}}
steps:
  - name: a
    python: {function: "m:act", args: {name: a}}
    compensate: {uses: python, with: {function: "m:act", args: {name: undo a}}}
  - {name: b, python: {function: "m:act", args: {name: b}}}
"""


async def undoing(rig: Rig, world: World) -> str:
    """A run whose handler is under way."""
    await rig.deploy(UNDOES)
    world.gate("undo a")
    world.fail["b"] = [PermanentError("broken")]
    run = (await rig.emit("order.new", {"id": "1"})).runs[0]
    await rig.until(lambda: world.done == ["a"] and not world.fail["b"] and world.overlap)

    async def undoes() -> bool:
        return bool((await rig.runs.get(run))["state"] == "compensating")

    await rig.until(undoes)
    return run


@pytest.mark.rule("6.8")
@pytest.mark.rule("9.5")
async def test_an_event_that_cancels_does_not_touch_a_run_that_compensates(rig: Rig, world: World) -> None:
    run = await undoing(rig, world)
    receipt = await rig.emit("order.gone", {"id": "1"})
    assert receipt.verdict == "accepted"
    with pytest.raises(SignalRefused) as refused:
        await rig.runs.cancel(run)
    assert str(refused.value) == f"the run {run} is compensating"
    assert (await rig.runs.get(run))["state"] == "compensating"
    world.gates["undo a"].set()
    shown = await rig.ended(run)
    assert (shown["state"], shown["error"]["message"]) == ("compensated", "broken")
    assert world.done == ["a", "undo a"]


@pytest.mark.rule("6.8")
@pytest.mark.rule("9.5")
async def test_nor_over_a_crash(lives: Reopen, world: World) -> None:
    rig = await lives()
    run = await undoing(rig, world)
    await rig.emit("order.gone", {"id": "1"})
    rig = await lives()
    world.gates["undo a"].set()
    shown = await rig.ended(run)
    assert (shown["state"], shown["error"]["message"]) == ("compensated", "broken")
    assert world.done == ["a", "undo a"]


@pytest.mark.rule("5.7")
@pytest.mark.rule("9.5")
async def test_one_that_would_take_its_place_begins_when_it_has_ended(rig: Rig, world: World) -> None:
    run = await undoing(rig, world)
    world.gate("a")
    second = (await rig.emit("order.new", {"id": "1"})).runs[0]
    assert (await rig.runs.get(second))["state"] == "queued"
    assert (await rig.runs.get(run))["state"] == "compensating"
    world.gates["undo a"].set()
    shown = await rig.ended(run)
    assert (shown["state"], shown["error"]["message"]) == ("compensated", "broken")
    world.gates["a"].set()
    assert (await rig.ended(second))["state"] == "completed"


@pytest.mark.parametrize(("reason", "told"), [("", ""), ("wrong order", ": wrong order")])
async def test_a_step_that_is_stopped_says_why_if_anybody_did(reason: str, told: str, rig: Rig, world: World) -> None:
    await rig.deploy("workflow: long\nsteps: [{name: a, python: {function: 'm:act', args: {name: a}}}]\n")
    world.gate("a")
    run = (await rig.runs.start("long"))["id"]
    await rig.until(lambda: world.overlap)
    await rig.runs.cancel(run, reason=reason)
    (step,) = (await rig.ended(run))["steps"]
    assert (step["state"], step["error"]["message"]) == ("cancelled", f"`a` was stopped with its run{told}")


@pytest.mark.rule("6.8")
async def test_a_run_without_an_event_is_started_and_no_event_cancels_it(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: ships
inputs: {id: {type: string, default: "1"}}
when: [{event: order.new}]
cancel_on: [{event: order.gone, by: event.data.id}]
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
"""
    )
    gate = world.gate("a")
    head = await rig.runs.start("ships")
    started = (await rig.emit("order.new", {"id": "1"})).runs[0]
    await rig.until(lambda: world.overlap == 2)
    await rig.emit("order.gone", {"id": "1"})
    assert (await rig.ended(started))["state"] == "cancelled"
    gate.set()
    assert (await rig.ended(head["id"]))["state"] == "completed"
