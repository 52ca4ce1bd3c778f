"""What lasts: waits over restarts, time-outs, back-offs, throttles, approvals; on the virtual clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reactor.core.errors import ReactorError
from reactor.core.event import Mark
from reactor.store.contract import RunFilter, Unit
from reactor.testing.clock import VirtualClock

from .conftest import Reopen, World
from .rig import Rig, steps

HOUR = """
workflow: hour
steps:
  - {name: before, python: {function: "m:act", args: {name: before}}}
  - {name: w, wait: {for: 1h}}
  - {name: after, python: {function: "m:act", args: {name: after}}}
"""


@pytest.mark.req("E-EXE-12")
@pytest.mark.rule("8.1")
async def test_a_wait_of_an_hour_survives_two_restarts_and_ends_once(
    lives: Reopen, world: World, clock: VirtualClock
) -> None:
    rig = await lives()
    await rig.deploy(HOUR)
    begun = clock.now()
    head = await rig.runs.start("hour")
    await rig.until(lambda: world.done == ["before"])
    await rig.until(lambda: rig.engine.executor.runs[rig.runs.number(head["id"])].timers_due is not None)
    rig = await lives()
    assert rig.recovered == 1
    rig = await lives()
    run = await rig.ended(head["id"])
    assert world.done == ["before", "after"]
    assert run["state"] == "completed"
    assert 3600 <= clock.now() - begun < 3602


@pytest.mark.req("E-DEF-7")
async def test_a_run_over_its_limit_is_timed_out_and_undone(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: late
timeout: 100ms
steps:
  - {name: a, python: {function: "m:act", args: {name: a}}, compensate: {python: {function: "m:undo", args: {name: a}}}}
  - {name: b, python: {function: "m:act", args: {name: b}}}
"""
    )
    world.gate("b")
    run = await rig.run("late")
    assert (run["state"], world.done) == ("timed_out", ["a", "undo a"])
    assert run["error"]["code"] == "timeout"
    assert run["error"]["message"] == "the run took longer than its limit of 0.1 s"
    assert steps(run) == {"a": "completed", "b": "cancelled"}


LIMITED = """
workflow: limited
timeout: 1h
limits: {concurrency: {max: 1}}
steps:
  - {name: a, python: {function: "m:slow", args: {name: a, seconds: 1200}}}
  - {name: w, wait: {for: 20m}}
  - {name: b, python: {function: "m:slow", args: {name: b, seconds: SECONDS}}}
"""


COMMITS = 4  # so many, one after another, lie between a wake-up and the sleep that follows it: an end, a place, a start


async def pass_time(rig: Rig, hand: VirtualClock, seconds: float) -> None:
    """Let so much time pass, minute by minute: what it wakes is through, on disk too, before the next."""
    until = hand.now() + seconds
    while hand.now() < until:
        await hand.advance(min(60.0, until - hand.now()))
        for _ in range(COMMITS):
            await rig.store.runs(RunFilter(), limit=1)
            await rig.store.submit(Unit(marks=(Mark("test", "now", str(hand.now()).encode()),)))
            await hand.settle()


@pytest.mark.rule("8.5.1")
async def test_a_runs_limit_counts_from_its_first_running_with_waits(
    slow_rig: Rig, world: World, hand: VirtualClock
) -> None:
    rig = slow_rig
    await rig.deploy(LIMITED.replace("SECONDS", "1140"))
    first, second = [await rig.runs.start("limited") for _ in range(2)]
    assert second["state"] == "queued"
    await pass_time(rig, hand, 59 * 60)
    assert (await rig.ended(first["id"]))["state"] == "completed", "59 of 60 minutes, 20 of them waiting"
    await pass_time(rig, hand, 61 * 60)
    assert (await rig.ended(second["id"]))["state"] == "completed", "59 minutes in a queue do not count"
    await rig.deploy(LIMITED.replace("SECONDS", "1260"))
    third = await rig.runs.start("limited")
    await pass_time(rig, hand, 61 * 60)
    run = await rig.ended(third["id"])
    assert (run["state"], steps(run)) == ("timed_out", {"a": "completed", "w": "completed", "b": "cancelled"})


@pytest.mark.rule("8.5.1")
@pytest.mark.parametrize("pause_minutes", [30, 90])
async def test_a_runs_limit_does_not_count_while_it_is_paused(
    slow_rig: Rig, world: World, hand: VirtualClock, pause_minutes: int
) -> None:
    rig = slow_rig
    await rig.deploy(LIMITED.replace("SECONDS", "1740"), LIMITED.replace("SECONDS", "1860").replace("limited", "over"))
    heads = [await rig.runs.start(name) for name in ("limited", "over")]
    await pass_time(rig, hand, 10 * 60)
    for head in heads:
        await rig.runs.pause(head["id"])
    await pass_time(rig, hand, pause_minutes * 60)
    assert world.done == ["a", "a"], "a step under way goes on, the next waits for the end of the pause"
    for head in heads:
        await rig.runs.resume(head["id"])
    await pass_time(rig, hand, 49 * 60)
    assert (await rig.ended(heads[0]["id"]))["state"] == "completed"
    await pass_time(rig, hand, 2 * 60)
    assert (await rig.ended(heads[1]["id"]))["state"] == "timed_out"


@pytest.mark.rule("8.5.1")
async def test_a_limit_begins_anew_with_a_retry_by_hand_without_the_pauses_before(
    slow_rig: Rig, world: World, hand: VirtualClock
) -> None:
    rig = slow_rig
    await rig.deploy(LIMITED.replace("SECONDS", "3660"))
    head = await rig.runs.start("limited")
    await rig.runs.pause(head["id"])
    await pass_time(rig, hand, 60 * 60)
    await rig.runs.resume(head["id"])
    await pass_time(rig, hand, 130 * 60)
    assert (await rig.ended(head["id"]))["state"] == "timed_out"
    await rig.runs.retry(head["id"])
    await pass_time(rig, hand, 62 * 60)
    run = await rig.ended(head["id"])
    assert (run["state"], steps(run)["b"]) == ("timed_out", "cancelled")


@pytest.mark.rule("8.5.2")
async def test_a_steps_limit_is_for_one_attempt(rig: Rig) -> None:
    async def hangs_once(context: Any) -> int:
        if context.attempt == 1:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return context.attempt

    rig.functions["m:hangs_once"] = hangs_once
    await rig.deploy(
        """
workflow: patient
steps: [{name: a, python: {function: "m:hangs_once"}, timeout: 100ms, retry: {attempts: 2, delay: 1ms}}]
"""
    )
    run = await rig.run("patient")
    assert (run["state"], run["steps"][0]["attempts"], run["outputs"]) == ("completed", 2, {"a": 2})


@pytest.mark.rule("4.10.1")
async def test_without_a_policy_there_is_one_attempt(rig: Rig, world: World) -> None:
    await rig.deploy("workflow: once\nsteps: [{name: a, python: {function: 'm:act', args: {name: a}}}]")
    world.fail["a"] = [ConnectionError("gone")]
    run = await rig.run("once")
    assert (run["state"], run["error"]["code"], run["error"]["attempt"]) == ("failed", "connection", 1)
    assert (run["steps"][0]["attempts"], world.done) == (1, [])


@pytest.mark.rule("4.10.2")
async def test_attempts_since_the_last_row_are_lost_in_a_crash(
    lives: Reopen, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"a": 0, "b": 0}

    async def act(name: str, context: Any) -> None:
        calls[name] += 1
        if calls[name] <= 2:
            raise ConnectionError("gone")
        if calls[name] == 3:
            await asyncio.Event().wait()

    monkeypatch.setattr(world, "act", act)
    rig = await lives()
    await rig.deploy(
        """
workflow: lost
steps: [{name: a, python: {function: "m:act", args: {name: a}}, retry: {attempts: 4, delay: 10ms}}]
---
workflow: kept
steps: [{name: b, python: {function: "m:act", args: {name: b}}, retry: {attempts: 4, delay: 10s}}]
"""
    )
    lost, kept = [(await rig.runs.start(name))["id"] for name in ("lost", "kept")]
    await rig.until(lambda: calls == {"a": 3, "b": 3})
    assert await rig.store.journal(rig.runs.number(lost)) == []
    rig = await lives()
    assert [(await rig.ended(run))["steps"][0]["attempts"] for run in (lost, kept)] == [1, 3]
    assert calls == {"a": 4, "b": 4}


async def test_an_attempt_over_its_limit_is_the_error_timeout(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: slow-step
steps: [{name: b, python: {function: "m:act", args: {name: b}}, timeout: 50ms, retry: {attempts: 2, delay: 1ms}}]
"""
    )
    world.gate("b")
    run = await rig.run("slow-step")
    assert run["error"]["code"] == "max_retries_exceeded"
    assert run["error"]["cause"]["message"] == "`b` took longer than its limit of 0.05 s"
    assert run["steps"][0]["attempts"] == 2


@pytest.mark.req("E-STEP-3")
async def test_back_off_doubles_and_survives_a_restart(lives: Reopen, world: World, clock: VirtualClock) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: flaky
steps: [{name: a, python: {function: "m:act", args: {name: a}}, retry: {attempts: 4, delay: 10s}}]
"""
    )
    begun = clock.now()
    world.fail["a"] = [ConnectionError("1"), ConnectionError("2"), ConnectionError("3")]
    head = await rig.runs.start("flaky")
    await rig.until(lambda: len(world.fail["a"]) == 1)
    rig = await lives()
    run = await rig.ended(head["id"])
    assert run["state"] == "completed"
    assert run["steps"][0]["attempts"] == 4
    assert 70 <= clock.now() - begun < 73
    assert len(set(world.keys)) == 1


async def test_pause_lets_steps_finish_and_resume_goes_on(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: two
steps:
  - {name: a, python: {function: "m:act", args: {name: a}}}
  - {name: b, python: {function: "m:act", args: {name: b}}}
"""
    )
    gate = world.gate("a")
    head = await rig.runs.start("two")
    await rig.until(lambda: world.overlap)
    await rig.runs.pause(head["id"])
    gate.set()
    await rig.until(lambda: world.done == ["a"])
    assert (await rig.runs.get(head["id"]))["state"] == "paused"
    rig = await lives()
    assert (await rig.runs.get(head["id"]))["state"] == "paused"
    await rig.runs.resume(head["id"])
    assert (await rig.ended(head["id"]))["state"] == "completed"
    assert world.done == ["a", "b"]


@pytest.mark.rule("5.6")
async def test_a_throttle_delays_and_its_window_survives_a_crash(
    lives: Reopen, world: World, clock: VirtualClock
) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: throttled
limits: {throttle: {max: 2, per: 1m}}
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
"""
    )
    begun = clock.now()
    heads = [await rig.runs.start("throttled") for _ in range(5)]
    assert [h["state"] for h in heads].count("queued") == 3
    rig = await lives()
    for head in heads:
        assert (await rig.ended(head["id"]))["state"] == "completed"
    assert 120 <= clock.now() - begun < 125


APPROVAL = """
workflow: gated
steps:
  - {name: ok, approval: {message: "go?", timeout: 1h}}
  - {name: a, python: {function: "m:act", args: {name: "${{ steps.ok.output.by }}"}}}
"""


async def test_an_approval_waits_over_a_restart_and_takes_the_first_answer(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(APPROVAL)
    head = await rig.runs.start("gated")
    await rig.until(lambda: any(p.open for p in rig.engine.executor.runs[rig.runs.number(head["id"])].parked.values()))
    clock_held = asyncio.ensure_future(rig.runs.answer(head["id"], "ok", approve=True, by="ann"))
    await clock_held
    run = await rig.ended(head["id"])
    assert (run["state"], world.done) == ("completed", ["ann"])
    second = await rig.runs.start("gated")
    run = await rig.ended(second["id"])
    assert run["error"]["code"] == "timeout"
    assert run["error"]["message"] == "`ok` was rejected: nobody answered in time"


@pytest.mark.rule("4.3")
async def test_an_at_most_once_step_is_never_called_again(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: once
steps: [{name: a, at_most_once: true, python: {function: "m:act", args: {name: a}}}]
"""
    )
    world.gate("a")
    head = await rig.runs.start("once")
    await rig.until(lambda: world.overlap)
    rig = await lives()
    world.gates.clear()
    run = await rig.ended(head["id"])
    assert (run["state"], run["error"]["code"], world.done) == ("failed", "interrupted", [])


@pytest.mark.rule("6.8")
@pytest.mark.req("E-EXE-28")
async def test_an_event_cancels_the_runs_whose_key_agrees(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
cancel_on: [{event: order.gone, by: event.data.id}]
steps:
  - {name: a, python: {function: "m:act", args: {name: a}}, compensate: {python: {function: "m:undo", args: {name: a}}}}
  - {name: b, python: {function: "m:act", args: {name: b}}}
"""
    )
    world.gate("b")
    one = (await rig.emit("order.new", {"id": "1"})).runs[0]
    two = (await rig.emit("order.new", {"id": "2"})).runs[0]
    await rig.until(lambda: world.overlap == 2)
    await rig.emit("order.gone", {"id": "1"}, id="gone-1")
    run = await rig.ended(one)
    assert (run["state"], run["error"]["message"]) == (
        "cancelled",
        "cancelled by cancel_on: the event gone-1 (order.gone) came",
    )
    assert world.done == ["a", "a", "undo a"]
    world.gates["b"].set()
    assert (await rig.ended(two))["state"] == "completed"


@pytest.mark.req("X-3")
async def test_state_changes_all_or_none_and_exactly_once(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: counter
outputs: {now: "${{ steps.count.output.value }}"}
steps:
  - {name: count, state: {op: increment, key: n, value: 1}}
---
workflow: refused
steps:
  - name: three
    state:
      ops:
        - {op: set, key: a, value: 1}
        - {op: increment, key: n, value: 100}
        - {op: compare_and_set, key: b, expected: 7, value: 8}
"""
    )
    runs = await asyncio.gather(*(rig.run("counter") for _ in range(40)))
    assert sorted(r["outputs"]["now"] for r in runs) == list(range(1, 41))
    run = await rig.run("refused")
    assert run["error"]["code"] == "conflict"
    assert (await rig.run("counter"))["outputs"] == {"now": 41}


@pytest.mark.rule("4.8")
async def test_a_run_that_kills_its_process_again_and_again_is_paused(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy("workflow: deadly\nsteps: [{name: a, python: {function: 'm:act', args: {name: a}}}]")
    world.gate("a")
    head = await rig.runs.start("deadly")
    await rig.until(lambda: world.overlap)
    for _ in range(5):
        again = await lives()
        await again.until(lambda again=again: again.engine.executor.runs)
    rig = await lives()
    run = await rig.runs.get(head["id"])
    assert run["state"] == "paused"
    assert run["error"]["code"] == "crash_loop"
    assert run["error"]["message"] == "the process died 5 times with these steps in flight: a"
    world.gates.clear()
    await rig.runs.resume(head["id"])
    assert (await rig.ended(head["id"]))["state"] == "completed"


async def test_a_block_over_its_limit_fails_and_nothing_in_it_goes_on(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: boxed
on_error: compensate_all
steps:
  - name: box
    timeout: 100ms
    on_error: continue
    try:
      steps:
        - {name: a, python: {function: "m:act", args: {name: a}}}
        - {name: b, python: {function: "m:act", args: {name: b}}}
      catch: [{name: c, python: {function: "m:act", args: {name: caught}}}]
  - {name: after, python: {function: "m:act", args: {name: after}}}
"""
    )
    world.gate("b")
    run = await rig.run("boxed")
    assert (run["state"], world.done) == ("completed", ["a", "after"])
    errors = {s["name"]: (s["error"] or {}).get("message") for s in run["steps"]}
    assert errors["box"] == "`box` took longer than its limit of 0.1 s"
    assert errors["box/b"] == "`box/b` was stopped: `box` took too long"


@pytest.mark.rule("4.2")
@pytest.mark.rule("9.2")
async def test_after_a_crash_a_failed_run_finishes_what_ran_beside_and_undoes_in_the_same_order(
    lives: Reopen, world: World
) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: beside
steps:
  first:
    python: {function: "m:act", args: {name: first}}
    compensate: {python: {function: "m:undo", args: {name: first}}}
  second:
    needs: [first]
    python: {function: "m:act", args: {name: second}}
    compensate: {python: {function: "m:undo", args: {name: second}}}
  bad: {python: {function: "m:act", args: {name: bad}}}
  never: {needs: [second], python: {function: "m:act", args: {name: never}}}
"""
    )
    second, bad = world.gate("second"), world.gate("bad")
    world.fail["bad"] = [ValueError("x")]
    head = await rig.runs.start("beside")
    await rig.until(lambda: world.overlap == 2)
    bad.set()
    await rig.until(lambda: not world.fail["bad"])
    await rig.until(lambda: rig.engine.executor.runs[rig.runs.number(head["id"])].cause is not None)
    rig = await lives()
    second.set()
    run = await rig.ended(head["id"])
    assert (run["state"], world.done) == ("compensated", ["first", "second", "undo second", "undo first"])


@pytest.mark.req("O-WAIT-1")
@pytest.mark.req("O-WAIT-2")
async def test_who_may_approve_how_many_must_and_what_they_fill_in(lives: Reopen) -> None:
    rig = await lives()
    await rig.deploy(
        """
workflow: board
steps:
  - name: ok
    approval:
      message: "go?"
      approvers: [ann, "role:boss"]
      need: 2
      fields: {type: object, required: [cost], properties: {cost: {type: number}}}
"""
    )
    head = await rig.runs.start("board")
    await rig.until(lambda: any(p.open for r in rig.engine.executor.runs.values() for p in r.parked.values()))

    async def refused(**said: Any) -> str:
        with pytest.raises(ReactorError) as error:
            await rig.runs.answer(head["id"], "ok", approve=True, **said)
        return str(error.value)

    assert await refused(by="eve", roles=["clerk"]) == "`eve` may not answer `ok`; those who may: ann, role:boss"
    assert await refused(by="ann", roles=[]) == "fields of `ok`: cost: `cost` is missing"
    await rig.runs.answer(head["id"], "ok", approve=True, by="ann", roles=[], fields={"cost": 5})
    assert await refused(by="ann", roles=[], fields={"cost": 5}) == (
        f"the approval `ok` of the run {head['id']} was answered before"
    )
    rig = await lives()
    await rig.until(lambda: any(p.open for r in rig.engine.executor.runs.values() for p in r.parked.values()))
    await rig.runs.answer(head["id"], "ok", approve=True, by="bob", roles=["boss"], fields={"cost": 6})
    run = await rig.ended(head["id"])
    assert run["state"] == "completed"
    assert run["outputs"]["ok"]["fields"] == {"cost": 6}
