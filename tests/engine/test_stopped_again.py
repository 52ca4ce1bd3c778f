"""A process dies while a run is being stopped: what was under way then was stopped, in the next life too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reactor.core import faults
from reactor.testing.clock import VirtualClock

from .conftest import Reopen, World
from .rig import Rig, steps


class Dead(BaseException):
    """The process is gone, as far as this call goes."""


@pytest.fixture
async def dies_at() -> AsyncIterator[dict[str, int]]:
    """Name → after how many more passages of this point its caller hears no more."""
    due: dict[str, int] = {}

    def hook(name: str) -> None:
        if name in due:
            due[name] -= 1
            if not due[name]:
                del due[name]
                raise Dead

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, about: None if isinstance(about.get("exception"), Dead) else loop.default_exception_handler(about)
    )
    faults.hook = hook
    yield due
    faults.hook = None


ORDER = """
workflow: order
steps:
  hold: {python: {function: "m:act", args: {name: hold}}, compensate: {python: {function: "m:act", args: {name: free}}}}
  call:
    needs: [hold]
    python: {function: "m:act", args: {name: call}}
    compensate: {when: failed, python: {function: "m:act", args: {name: hang up}}}
  rest: {needs: [hold], wait: {event: {type: never}}}
  later: {needs: [call], python: {function: "m:act", args: {name: later}}}
"""


@pytest.mark.rule("9.3")
async def test_what_a_cancel_stopped_is_cancelled_and_undone_after_a_death(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(ORDER)
    world.gate("call")
    ready = world.gate("hang up")
    id = (await rig.runs.start("order"))["id"]
    await rig.until(lambda: any(run.waiting or len(run.parked) == 1 for run in rig.engine.executor.runs.values()))
    await rig.runs.cancel(id, reason="enough", actor="ann")
    await rig.until(lambda: world.overlap == 1)  # the handler
    rig = await lives()
    ready.set()
    run = await rig.ended(id)
    assert world.done == ["hold", "hang up", "free"]
    assert (run["state"], run["error"]["message"], run["error"]["failed_step"]) == (
        "cancelled",
        "cancelled by ann: enough",
        "call",
    )
    assert steps(run) == {"hold": "completed", "call": "cancelled", "rest": "cancelled", "later": "pending"}
    told = {step["name"]: step["error"]["message"] for step in run["steps"] if step["error"]}
    assert told == {
        "call": "`call` was stopped with its run: enough",
        "rest": "`rest` was stopped with its run: enough",
    }


@pytest.mark.rule("9.3")
async def test_what_was_paused_and_then_died_is_cancelled(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(ORDER)
    world.gate("call")
    id = (await rig.runs.start("order"))["id"]
    await rig.until(lambda: any(run.parked for run in rig.engine.executor.runs.values()))
    await rig.runs.pause(id)
    rig = await lives()
    await rig.runs.cancel(id)
    run = await rig.ended(id)
    assert steps(run) == {"hold": "completed", "call": "cancelled", "rest": "cancelled", "later": "pending"}
    assert world.done == ["hold", "hang up", "free"]


@pytest.mark.rule("7.1.3")
async def test_a_cancel_that_nobody_carried_out_is_told_of_after_a_death(
    lives: Reopen, world: World, dies_at: dict[str, int]
) -> None:
    heard = """
workflow: heard
when: [{event: reactor.run.cancelling}]
steps: [{name: a, python: {function: "m:act", args: {name: heard}}}]
"""
    rig = await lives()
    await rig.deploy(ORDER, heard)
    world.gate("call")
    id = (await rig.runs.start("order"))["id"]
    await rig.until(lambda: any(run.parked for run in rig.engine.executor.runs.values()))
    dies_at["cancel.durable"] = 1
    with pytest.raises(Dead):
        await rig.runs.cancel(id)
    rig = await lives()
    await rig.ended(id)
    await rig.until(lambda: "heard" in world.done)
    moves = [entry["state"] for entry in await rig.runs.history(id) if entry["kind"] == "transition"]
    assert moves == ["cancelling", "compensating"]


LIMITED = """
workflow: limited
steps:
  - name: risky
    try:
      steps:
        - name: slow
          timeout: 4s
          group:
            steps: [{name: nap, python: {function: "m:act", args: {name: nap}}}]
      catch:
        - name: mend
          python: {function: "m:act", args: {name: mend}}
          compensate: {python: {function: "m:act", args: {name: unmend}}}
  - {name: last, python: {function: "m:act", args: {name: last}}}
"""


@pytest.mark.rule("4.5")
async def test_a_block_that_was_over_its_limit_is_not_tried_again_after_a_death(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(LIMITED)
    nap, last = world.gate("nap"), world.gate("last")
    id = (await rig.runs.start("limited"))["id"]
    await rig.until(lambda: world.done == ["mend"] and world.overlap == 1)
    rig = await lives()
    nap.set()
    last.set()
    run = await rig.ended(id)
    assert (run["state"], world.done) == ("completed", ["mend", "last"])
    assert steps(run) == {
        "risky": "completed",
        "risky/slow": "failed",
        "risky/slow/nap": "cancelled",
        "risky/mend": "completed",
        "last": "completed",
    }
    decisions = [entry for entry in await rig.runs.history(id) if entry["kind"] == "decision"]
    assert [(entry["step"], entry["body"]["error"]["message"]) for entry in decisions] == [
        ("risky/slow", "`risky/slow` took longer than its limit of 4 s")
    ]


@pytest.mark.rule("9.1")
async def test_what_came_after_a_block_over_its_limit_is_undone_after_a_death(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(LIMITED)
    world.gate("nap")
    world.gate("last")
    ready = world.gate("unmend")
    id = (await rig.runs.start("limited"))["id"]
    await rig.until(lambda: world.done == ["mend"] and world.overlap == 1)
    await rig.runs.cancel(id)
    await rig.until(lambda: not any(run.tasks for run in rig.engine.executor.runs.values()) and world.overlap == 1)
    rig = await lives()
    ready.set()
    run = await rig.ended(id)
    assert (run["state"], run["error"]["compensated"], world.done) == ("cancelled", ["risky/mend"], ["mend", "unmend"])


@pytest.mark.rule("4.7")
async def test_a_block_over_its_limit_that_was_caught_stands_when_a_person_retries(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(LIMITED)
    nap = world.gate("nap")
    world.fail["last"] = [ValueError("no")]
    world.fail["unmend"] = [ValueError("no")]
    id = (await rig.runs.start("limited"))["id"]
    assert (await rig.ended(id))["state"] == "compensation_failed"
    nap.set()
    await rig.runs.retry(id)
    run = await rig.ended(id)
    assert (run["state"], world.done) == ("completed", ["mend", "last"])


FAST = """
workflow: fast
on_error: fail_fast
steps:
  bad: {python: {function: "m:act", args: {name: bad}}}
  beside: {python: {function: "m:stubborn"}}
"""


@pytest.mark.rule("9.2")
async def test_what_fail_fast_cancelled_does_not_run_again_after_a_death(
    url: str, world: World, clock: VirtualClock
) -> None:
    calls: list[str] = []

    async def stubborn(context: Any) -> None:
        calls.append(context.idempotency_key)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def life() -> Rig:
        rig = Rig(url, {"m:act": world.act, "m:stubborn": stubborn}, clock=clock)
        await rig.open()
        return rig

    world.fail["bad"] = [ValueError("no")]
    ready = world.gate("bad")
    rig = await life()
    await rig.deploy(FAST)
    id = (await rig.runs.start("fast"))["id"]
    await rig.until(lambda: calls)
    ready.set()
    await rig.until(lambda: any(run.progress.failing for run in rig.engine.executor.runs.values()))
    await rig.crash()
    rig = await life()
    run = await rig.ended(id)
    await rig.close()
    assert (run["state"], steps(run), len(calls)) == ("failed", {"bad": "failed", "beside": "cancelled"}, 1)


BESIDE = """
workflow: main
steps:
  bad: {python: {function: "m:act", args: {name: bad}}}
  inner: {run-workflow: {workflow: child}}
  again: {python: {function: "m:act", args: {name: again}}, retry: {attempts: 2, delay: 45s}}
  rest: {wait: {event: {type: never}}}
---
workflow: child
steps: [{name: make, python: {function: "m:act", args: {name: make}}}]
"""


@pytest.mark.rule("9.2")
async def test_siblings_of_a_failed_step_finish_after_a_death(url: str, world: World, hand: VirtualClock) -> None:
    """A sub-workflow and a step between two attempts among them; a wait is stopped."""

    async def life() -> Rig:
        rig = Rig(url, {"m:act": world.act}, clock=hand)
        await rig.open()
        return rig

    world.fail |= {"bad": [ValueError("no")], "again": [ConnectionError("no")]}
    bad, make = world.gate("bad"), world.gate("make")
    rig = await life()
    await rig.deploy(BESIDE)
    id = (await rig.runs.start("main"))["id"]
    runs = rig.engine.executor.runs
    await rig.until(lambda: any(run.backing_off for run in runs.values()) and any(r.row.parent for r in runs.values()))
    bad.set()
    await rig.until(lambda: any(run.progress.failing for run in runs.values()))
    await rig.crash()
    rig = await life()
    make.set()
    await rig.until(lambda: "make" in world.done)
    for _ in range(5):
        await hand.advance(10.0)
    run = await rig.ended(id)
    await rig.close()
    assert steps(run) == {"bad": "failed", "inner": "completed", "again": "completed", "rest": "cancelled"}
    assert sorted(world.done) == ["again", "make"]
    assert [(s["name"], s["error"]["message"]) for s in run["steps"] if s["state"] == "cancelled"] == [
        ("rest", "`rest` was stopped because another step failed")
    ]


PARENT = """
workflow: main
steps:
  - name: inner
    run-workflow: {workflow: child}
    compensate: {python: {function: "m:act", args: {name: "undo ${{ output.made }}"}}}
---
workflow: child
outputs: {made: "${{ steps.make.output }}"}
steps: [{name: make, python: {function: "m:act", args: {name: make}}}]
"""


@pytest.mark.rule("9.4.2")
@pytest.mark.parametrize("dies", [False, True])
async def test_a_sub_workflow_that_was_faster_than_the_cancel_is_undone_by_its_step(
    lives: Reopen, world: World, dies_at: dict[str, int], dies: bool
) -> None:
    rig = await lives()
    await rig.deploy(PARENT)
    make = world.gate("make")
    id = (await rig.runs.start("main"))["id"]
    await rig.until(lambda: world.overlap == 1)
    dies_at["run.ended"] = 1  # its end is durable, and its parent does not hear of it
    make.set()
    await rig.until(lambda: not dies_at)
    if dies:
        dies_at["cancel.durable"] = 1
        with pytest.raises(Dead):
            await rig.runs.cancel(id)
        rig = await lives()
    else:
        await rig.runs.cancel(id)
    run = await rig.ended(id)
    assert (run["state"], steps(run), world.done) == ("cancelled", {"inner": "completed"}, ["make", "undo make"])


@pytest.mark.rule("9.4.1")
async def test_a_sub_workflow_is_cancelled_in_its_parents_name_after_a_death(
    lives: Reopen, world: World, dies_at: dict[str, int]
) -> None:
    rig = await lives()
    await rig.deploy(PARENT)
    world.gate("make")
    id = (await rig.runs.start("main"))["id"]
    await rig.until(lambda: world.overlap == 1)
    dies_at["cancel.durable"] = 1
    with pytest.raises(Dead):
        await rig.runs.cancel(id, reason="enough", actor="ann")
    rig = await lives()
    run = await rig.ended(id)
    (child,) = (await rig.runs.list(parent=id))["items"]
    assert (steps(run), child["error"]["message"]) == ({"inner": "cancelled"}, "cancelled by parent: enough")


@pytest.mark.rule("9.1")
@pytest.mark.parametrize("begun", [True, False])
async def test_a_run_whose_limit_passed_while_nobody_was_there_starts_nothing_again(
    url: str, world: World, hand: VirtualClock, begun: bool
) -> None:
    calls: list[str] = []

    async def call(context: Any) -> None:
        calls.append(context.idempotency_key)
        await asyncio.Event().wait()

    async def life() -> Rig:
        rig = Rig(url, {"m:act": world.act, "m:call": call}, clock=hand)
        await rig.open()
        return rig

    rig = await life()
    await rig.deploy(f"timeout: 1h\n{ORDER}".replace('{function: "m:act", args: {name: call}}', '{function: "m:call"}'))
    hold = world.gate("hold")
    id = (await rig.runs.start("order"))["id"]
    if begun:
        hold.set()
    await rig.until(lambda: bool(calls) if begun else world.overlap == 1)
    await rig.crash()
    await hand.advance(3601)
    hold.set()
    rig = await life()
    run = await rig.ended(id)
    await rig.close()
    assert (run["state"], run["error"]["message"]) == ("timed_out", "the run took longer than its limit of 3600 s")
    assert world.done == (["hold", "hang up", "free"] if begun else [])
    assert len(calls) == begun
    ended = {"hold": "completed", "call": "cancelled", "rest": "cancelled", "later": "pending"}
    assert steps(run) == (ended if begun else {**dict.fromkeys(ended, "pending"), "hold": "cancelled"})
