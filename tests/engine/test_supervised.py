"""What nobody foresaw, in the parts that work all the time: they go on, and say so."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec
import pytest

from reactor.core.event import Delivery
from reactor.core.loops import LOOPS
from reactor.store.contract import RunState

from .conftest import Reopen, World
from .rig import Rig
from .test_intake import ONE, TWO, deliver, go

CHAIN = """
workflow: first
steps: [{name: a, python: {function: "m:act", args: {name: first}}}]
---
workflow: second
when: [{workflow: first}]
steps: [{name: b, python: {function: "m:act", args: {name: second}}}]
"""


async def test_an_outbox_that_fails_begins_again_and_loses_nothing(
    rig: Rig, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [ValueError("nobody foresaw this"), KeyError("nor this")]
    publish = rig.intake.publish

    async def weak(trigger: str, delivery: Delivery, **more: Any) -> None:
        if failures:
            raise failures.pop(0)
        await publish(trigger, delivery, **more)

    monkeypatch.setattr(rig.outbox, "publish", weak)
    before = LOOPS.failures["outbox to the router"]
    await rig.deploy(CHAIN)
    await rig.run("first")
    await rig.until(lambda: "second" in world.done)
    assert world.done == ["first", "second"]
    assert LOOPS.failures["outbox to the router"] == before + 2
    assert LOOPS.failing()["outbox to the router"] == "KeyError: 'nor this'"


async def test_a_timer_that_fails_holds_up_no_other(rig: Rig) -> None:
    fired: list[str] = []

    def weak() -> None:
        fired.append("weak")
        raise ValueError("nobody foresaw this")

    before = LOOPS.failures["timers"]
    now = rig.clock.now()
    rig.engine.executor.timers.at(now, weak)
    rig.engine.executor.timers.at(now + 0.01, lambda: fired.append("well"))
    await rig.until(lambda: len(fired) == 2)
    assert fired == ["weak", "well"]
    assert LOOPS.failures["timers"] == before + 1


async def test_the_sweep_begins_again(rig: Rig, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, failures = rig.engine.recovery.all, [ValueError("nobody foresaw this")]
    turns: list[int] = []

    async def weak() -> int:
        if failures:
            raise failures.pop()
        turns.append(1)
        return await taken()

    monkeypatch.setattr(rig.engine.recovery, "all", weak)
    before = LOOPS.failures["sweep"]
    await rig.until(lambda: turns)
    assert LOOPS.failures["sweep"] == before + 1


async def test_who_listens_costs_no_run_its_start(rig: Rig, world: World) -> None:
    await rig.deploy(ONE)

    def listener(event: Any) -> None:
        raise ValueError("nobody foresaw this")

    rig.intake.listeners.append(listener)
    before = LOOPS.failures["listeners of events"]
    assert (await deliver(rig, "t", go())).receipts[0].verdict == "accepted"
    await rig.until(lambda: world.done)
    assert world.done == ["one 7"]
    assert LOOPS.failures["listeners of events"] == before + 1


async def test_a_run_that_cannot_begin_is_paused_and_the_others_of_its_event_begin(
    rig: Rig, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.deploy(ONE, TWO)
    walk = rig.engine.executor.walk

    def weak(run: Any, out: Any) -> None:
        if run.row.workflow == "one":
            raise ValueError("nobody foresaw this")
        walk(run, out)

    monkeypatch.setattr(rig.engine.executor, "walk", weak)
    runs = (await deliver(rig, "t", go())).receipts[0].runs
    await rig.until(lambda: world.done)
    assert world.done == ["two 7"]

    async def paused() -> Any:
        found = [await rig.runs.get(run) for run in runs]
        return next((run for run in found if run["state"] == "paused"), None)

    run = await rig.until(paused)
    assert run["workflow"] == "one"
    assert run["error"]["code"] == "internal"
    assert run["error"]["message"] == "Reactor failed: ValueError: nobody foresaw this"
    moves = [entry for entry in await rig.runs.history(run["id"]) if entry["kind"] == "transition"]
    assert [(move["state"], move["reason"]) for move in moves] == [
        ("paused", "internal: Reactor failed: ValueError: nobody foresaw this")
    ]
    monkeypatch.undo()
    await rig.runs.resume(run["id"])
    assert (await rig.ended(run["id"]))["state"] == "completed"


async def test_a_journal_that_cannot_be_read_pauses_its_run_and_no_other(lives: Reopen, world: World) -> None:
    gate = world.gate("one 1")
    rig = await lives()
    await rig.deploy(ONE.replace("steps: [", "steps: [{name: z, python: {function: 'm:act', args: {name: z}}}, "))
    bad = await rig.emit("go", {"n": 1}, id="1", source="/s")
    good = await rig.emit("go", {"n": 2}, id="2", source="/s")
    world.gates["one 2"] = gate
    await rig.until(lambda: world.overlap == 2)
    number = rig.runs.number(bad.runs[0])
    await spoil(rig, number)
    rig = await lives()
    gate.set()
    assert (await rig.ended(good.runs[0]))["state"] == "completed"
    row = await rig.store.run(number)
    assert row.state == RunState.PAUSED
    error = msgspec.json.decode(row.error)
    assert error["code"] == "internal"
    assert error["message"] == "it cannot be brought back: DecodeError: Input data was truncated"
    assert error["hint"] == "its rows are damaged, or Reactor has a defect: report it"


async def spoil(rig: Rig, number: int) -> None:
    """Make every row of a run's journal unreadable."""
    if rig.url.startswith("sqlite"):
        connection = apsw.Connection(rig.url.removeprefix("sqlite:///"))
        connection.execute("UPDATE j SET body = x'7b' WHERE run = ?", (number,))
        connection.close()
        return
    import asyncpg

    server = await asyncpg.connect(rig.url)
    assert await server.execute(f"UPDATE j SET body = '{{'::bytea WHERE run = {number}") == "UPDATE 1"
    await server.close()
