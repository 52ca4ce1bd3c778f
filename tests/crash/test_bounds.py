"""What must neither grow nor starve, however long a process lives: timers, flow rows, held runs, outbox, look-backs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import StoreUnavailable
from reactor.core.event import Delivery, Settlement
from reactor.engine import waits
from reactor.engine.timers import TIDY_MIN, Timers
from reactor.router.outbox import Outbox
from reactor.store.contract import ROUTER, Unit
from reactor.testing.clock import VirtualClock
from reactor.tests.crash.lives import Life, Outside


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgres":
        yield str(request.getfixturevalue("postgres_url"))
    else:
        yield f"sqlite:///{tmp_path}/r.db"


async def test_cancelled_timers_are_forgotten_before_they_are_due() -> None:
    clock = VirtualClock()
    timers, fired = Timers(clock), list[int]()
    for number in range(20 * TIDY_MIN):
        timers.at(clock.now() + 3600, lambda: fired.append(-1)).cancel()
        if number % TIDY_MIN == 0:
            timers.at(clock.now() + 60, lambda number=number: fired.append(number))
    assert len(timers._heap) <= 2 * TIDY_MIN
    await clock.advance(61)
    assert sorted(fired) == [number * TIDY_MIN for number in range(20)]
    await timers.close()


@pytest.mark.rule("5.6")
async def test_a_throttle_fills_its_window_and_leaves_no_row_behind(url: str) -> None:
    """More than one page of held runs has its turn at once; rows of idle keys go with retention."""
    clock = VirtualClock(auto=True, patience_s=0.05)
    outside = Outside()
    life = Life(url, outside, clock)
    rig = life.rig
    await rig.open()
    await rig.deploy(
        """
workflow: slow
inputs: {id: string}
limits: {throttle: {max: 100, per: 5m, key: inputs.id}}
steps: [{name: a, python: {function: "m:do", args: {what: a}}}]
"""
    )
    begun = clock.now()
    heads = [await rig.runs.start("slow", {"id": "one"}) for _ in range(300)]
    for head in heads:
        await rig.ended(head["id"])
    times = sorted(at - begun for at in outside.first.values())
    assert [sum(5 * w * 60 - 1 <= t < 5 * w * 60 + 30 for t in times) for w in range(3)] == [100, 100, 100]
    for number in range(5):
        await rig.run("slow", {"id": f"other {number}"})
    assert len(await rig.store._all("SELECT policy FROM flow")) == 6
    clock.step(600)
    await rig.store.retain({}, limit=100)
    assert await rig.store._all("SELECT policy FROM flow") == []
    await rig.close()


async def test_what_was_refused_leaves_the_outbox_although_it_never_rests(tmp_path: Path) -> None:
    """A row that the intake refused is tried again while others keep coming."""
    life = Life(f"sqlite:///{tmp_path}/r.db", Outside())
    rig = life.rig
    await rig.open()
    await rig.deploy(
        """
workflow: talk
inputs: {n: integer}
steps: [{name: say, emit: {type: said, data: {n: "${{ inputs.n }}"}}}]
---
workflow: hear
inputs: {n: integer}
when: [{event: said, with: {n: "${{ event.data.n }}"}}]
steps: [{name: a, transform: {n: "${{ inputs.n }}"}}]
"""
    )
    outbox: Outbox = rig.outbox
    publish, refused = outbox.publish, list[int]()

    async def refuse_one(trigger: str, delivery: Delivery, *, done: tuple[tuple[int, int], ...] = ()) -> None:
        if not refused:
            refused.append(done[0][0])
            await delivery.settle(Settlement(again=True))
        else:
            await publish(trigger, delivery, done=done)

    outbox.publish = refuse_one
    stop = asyncio.Event()

    async def chatter() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            await rig.runs.start("talk", {"n": n})
            await asyncio.sleep(0.02)

    talking = asyncio.ensure_future(chatter())
    await rig.until(lambda: refused)

    async def gone() -> bool:
        return refused[0] not in {row.key for row in await rig.store.outbox(ROUTER, after=0, limit=500)}

    await rig.until(gone, 5)
    stop.set()
    await talking
    await rig.close()


@pytest.mark.rule("6.7")
async def test_a_wait_looks_back_over_any_number_of_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "LOOK_BACK_ROWS", 3)
    life = Life(f"sqlite:///{tmp_path}/r.db", Outside())
    rig = life.rig
    await rig.open()
    await rig.deploy(
        """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: pack, python: {function: "m:do", args: {what: pack}}}
  - {name: news, wait: {event: {type: news, if: "event.data.n == 7"}, timeout: 1h}}
"""
    )
    gate = asyncio.Event()

    async def held(what: str, context: object) -> str:
        await gate.wait()
        return what

    rig.functions["m:do"] = held
    receipt = await rig.emit("order.new", {"id": "a"})
    for n in range(10):
        await rig.emit("news", {"n": n})
    gate.set()
    assert (await rig.ended(receipt.runs[0]))["outputs"]["news"]["data"] == {"n": 7}
    await rig.close()


@pytest.mark.rule("1.8")
async def test_a_direct_start_is_refused_while_a_child_waits(tmp_path: Path) -> None:
    """A store that refuses is an answer for people, and none for steps."""
    life = Life(f"sqlite:///{tmp_path}/r.db", Outside())
    rig = life.rig
    await rig.open()
    await rig.deploy(
        """
workflow: parent
steps: [{name: inner, run-workflow: {workflow: child}}]
---
workflow: child
steps: [{name: a, transform: {n: 1}}]
"""
    )
    submit, refusing = rig.engine.store.submit, [True]

    def away(unit: Unit) -> Any:
        if refusing[0] and unit.runs and unit.runs[0].run.parent:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(StoreUnavailable("the disk is full"))
            return future
        return submit(unit)

    rig.engine.store.submit = away
    head = await rig.runs.start("parent", {})
    await asyncio.sleep(0.2)
    assert (await rig.runs.get(head["id"]))["state"] in ("running", "waiting")
    refusing[0] = False
    assert (await rig.ended(head["id"]))["state"] == "completed"
    await rig.close()


async def test_who_asks_how_a_run_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither when it has ended already, nor when who asked is gone before it has."""
    life = Life(f"sqlite:///{tmp_path}/r.db", Outside())
    rig = life.rig
    await rig.open()
    await rig.deploy("workflow: rest\nsteps: [{name: a, wait: {event: {type: go}}}]\n")
    head = await rig.runs.start("rest", {})
    for _ in range(3):
        gone = asyncio.ensure_future(rig.runs.outcome(head["id"]))
        await asyncio.sleep(0)
        gone.cancel()
    await asyncio.sleep(0)
    assert rig.engine.telling._waiters == {}
    await rig.until(lambda: any(run.parked for run in rig.engine.executor.runs.values()))
    await rig.emit("go", {})
    assert (await rig.ended(head["id"]))["state"] == "completed"
    for _ in range(3):
        assert (await rig.runs.outcome(head["id"])).state == "completed"
    assert rig.engine.telling._waiters == {}
    await rig.close()
