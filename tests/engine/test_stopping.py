"""What a pause holds, and what a stop of the server waits for: work, not those that only wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reactor.core.errors import StepError
from reactor.engine import signals
from reactor.engine.children import end_children
from reactor.testing.clock import VirtualClock
from reactor.tests.waiting import until

from .conftest import World
from .rig import Rig, steps
from .test_time import pass_time

TRIED = """
workflow: tried
steps:
  - name: a
    python: {function: "m:act", args: {name: a}}
    retry: {attempts: 3, delay: 10s, jitter: false, on: ["*"]}
"""


@pytest.mark.req("J-4")
async def test_a_pause_holds_the_next_attempt_of_a_step_too(slow_rig: Rig, world: World, hand: VirtualClock) -> None:
    """Whoever is paused calls nobody: an attempt under way ends, the next one begins after `resume`."""
    rig = slow_rig
    tries = world.fail["a"] = [StepError("busy", "not now"), StepError("busy", "not now")]
    await rig.deploy(TRIED)
    run = (await rig.runs.start("tried"))["id"]
    await until(lambda: len(tries) == 1)
    await rig.runs.pause(run)
    await pass_time(rig, hand, 3600)
    paused = await rig.runs.get(run)
    assert (len(tries), paused["state"], steps(paused)) == (1, "paused", {"a": "retrying"})
    await rig.runs.resume(run)
    await until(lambda: not tries)  # at once: its back-off was over
    await rig.runs.pause(run)
    await rig.runs.resume(run)
    await pass_time(rig, hand, 19)
    assert world.done == [], "a pause that is over in time shortens no back-off"
    await pass_time(rig, hand, 2)
    assert (await rig.ended(run))["state"] == "completed"


UNDONE = """
workflow: undone
steps:
  first:
    python: {function: "m:act", args: {name: first}}
    compensate: {python: {function: "m:undo", args: {name: first}}}
  bad: {needs: [first], python: {function: "m:act", args: {name: bad}}}
  long: {needs: [first], python: {function: "m:act", args: {name: long}}}
"""


@pytest.mark.rule("9.6")
@pytest.mark.req("J-4")
async def test_a_pause_holds_the_handlers_of_a_run_that_fails_meanwhile(rig: Rig, world: World) -> None:
    world.fail["bad"] = [StepError("broken", "no")]
    gate = world.gate("long")
    await rig.deploy(UNDONE)
    run = (await rig.runs.start("undone"))["id"]

    async def failed() -> bool:
        return steps(await rig.runs.get(run))["bad"] == "failed"

    await rig.until(failed)
    await rig.runs.pause(run)
    gate.set()
    await rig.until(lambda: "long" in world.done)
    await rig.until(lambda: not rig.engine.executor._tasks)
    shown = await rig.runs.get(run)
    assert (shown["state"], shown["error"]) == ("paused", None)
    await rig.runs.resume(run)
    assert (await rig.ended(run))["state"] == "compensated"
    assert world.done[-1] == "undo first"


@pytest.mark.rule("9.6")
@pytest.mark.req("J-4")
async def test_a_pause_while_the_children_of_a_run_are_stopped_holds_its_handlers(
    rig: Rig, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fail["bad"] = [StepError("broken", "no")]
    await rig.deploy(
        UNDONE.replace("  long", "  apart: {run-workflow: {workflow: undone, mode: detached}, if: 1 > 2}\n  long")
    )

    async def paused(*about: Any) -> None:
        await end_children(*about)
        if not held:
            held.append(True)
            await rig.runs.pause(run)

    held: list[bool] = []
    monkeypatch.setattr("reactor.engine.endings.end_children", paused)
    gate = world.gate("first")
    run = (await rig.runs.start("undone"))["id"]
    gate.set()
    await rig.until(lambda: held and not rig.engine.executor._tasks)
    shown = await rig.runs.get(run)
    assert (shown["state"], shown["error"]) == ("paused", None)
    await rig.runs.resume(run)
    assert (await rig.ended(run))["state"] == "compensated"


ASKS = """
workflow: asks
steps: [{name: ok, approval: {message: Well?}}]
---
workflow: calls
steps: [{name: child, run-workflow: {workflow: asks}}]
---
workflow: joins
inputs: {other: string}
steps: [{name: joined, wait: {run: "${{ inputs.other }}"}}]
---
"""
STOP_S = 20.0  # far below the grace that is given, far above what it takes


@pytest.mark.parametrize("paused", [False, True])
async def test_a_stop_waits_for_nobody_who_only_waits(
    url: str, world: World, hand: VirtualClock, *, paused: bool
) -> None:
    """For another run, for the next attempt, for the end of a pause: the next start goes on there."""
    tries = world.fail["a"] = [StepError("busy", "not now")]
    rig = Rig(url, {"m:act": world.act}, clock=hand)
    await rig.open()
    await rig.deploy(ASKS + TRIED)
    asked = (await rig.runs.start("asks"))["id"]
    starts = [await rig.runs.start("calls"), await rig.runs.start("joins", {"other": asked})]
    waiting = [head["id"] for head in starts]
    tried = (await rig.runs.start("tried"))["id"]
    await until(lambda: not tries)
    if paused:
        await rig.runs.pause(tried)
        await pass_time(rig, hand, 11)
    async with asyncio.timeout(STOP_S):
        await rig.engine.close(600)
    await rig.crash()
    async with Rig(url, {"m:act": world.act}, clock=hand) as rig:
        assert rig.recovered == 5
        if paused:
            await rig.runs.resume(tried)
        await pass_time(rig, hand, 11)
        assert (await rig.ended(tried))["steps"][0]["attempts"] == 2
        page = await rig.runs.list(workflow="asks")
        for run in page["items"]:
            await rig.runs.answer(run["id"], "ok", approve=True, by="ann")
        assert [(await rig.ended(run))["state"] for run in waiting] == ["completed", "completed"]


async def test_a_stop_waits_for_a_step_under_way(url: str, world: World) -> None:
    gate = world.gate("a")
    async with Rig(url, {"m:act": world.act}) as rig:
        await rig.deploy(ASKS + TRIED)
        run = (await rig.runs.start("tried"))["id"]
        await rig.runs.start("calls")
        await until(lambda: world.overlap)
        stopping = asyncio.ensure_future(rig.engine.close(600))
        await until(lambda: rig.engine.executor.draining)
        gate.set()
        async with asyncio.timeout(STOP_S):
            await stopping
        row = await rig.store.run(rig.runs.number(run))
        assert row is not None
        assert row.ended_at is not None


async def test_who_answers_or_pauses_a_run_of_a_killed_process_waits_until_it_is_taken_over(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.deploy(ASKS)
    run = (await rig.runs.start("asks"))["id"]

    async def waits() -> bool:
        return [step["waiting"] is not None for step in (await rig.runs.get(run))["steps"]] == [True]

    await rig.until(waits)
    runs, number = rig.engine.executor.runs, rig.runs.number(run)
    left = runs.pop(number)  # as the store has it after a kill, before the lease of the killed has run out
    pausing = asyncio.ensure_future(rig.runs.pause(run))
    answering = asyncio.ensure_future(rig.runs.answer(run, "ok", approve=True, by="ada"))
    await asyncio.sleep(0)
    runs[number] = left
    await asyncio.gather(pausing, answering)
    await rig.runs.resume(run)
    assert (await rig.ended(run))["state"] == "completed"

    run = (await rig.runs.start("asks"))["id"]
    await rig.until(waits)
    left = runs.pop(number := rig.runs.number(run))
    monkeypatch.setattr(signals, "TAKEN_OVER_S", 0.0)
    with pytest.raises(signals.SignalRefused) as told:
        await rig.runs.answer(run, "ok", approve=True, by="ada")
    assert str(told.value) == f"the run {run} is running, and another process has it"
    assert told.value.hint == "say it to the server of this store: name that with --server or REACTOR_URL"
    runs[number] = left
