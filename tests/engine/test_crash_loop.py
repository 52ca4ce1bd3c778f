"""Runs that kill their process: the one that does is found and paused, the others go on (semantics 4.8)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from reactor.core.clock import SYSTEM, Clock
from reactor.core.errors import PermanentError
from reactor.core.limits import RECOVERIES_ALONE, RECOVERIES_MAX, RECOVERY_ALONE_S
from reactor.engine.signals import SignalRefused
from reactor.store.contract import RunFilter, RunState
from reactor.testing.clock import VirtualClock

from .conftest import Reopen, World
from .rig import Rig

MANY = """
workflow: many
inputs: {n: integer}
steps:
  - {name: a, python: {function: "m:do", args: {n: "${{ inputs.n }}"}}}
  - {name: b, python: {function: "m:do", args: {n: "${{ inputs.n }}"}}}
"""
UNDONE = """
workflow: undone
steps:
  - name: a
    python: {function: "m:act", args: {name: a}}
    compensate: {uses: python, with: {function: "m:act", args: {name: undo a}}}
  - name: b
    python: {function: "m:act", args: {name: b}}
    compensate: {uses: python, with: {function: "m:act", args: {name: undo b}}}
  - {name: c, python: {function: "m:act", args: {name: c}}}
"""


class Deadly:
    """A world in which one run's first step kills the process it runs in."""

    def __init__(self) -> None:
        self.killer = -1
        self.ready = asyncio.Event()  # the steps of all others end
        self.struck = asyncio.Event()
        self.begun: Counter[int] = Counter()
        self.beside: list[set[int]] = []  # who was in flight when it struck
        self.inside: set[int] = set()

    async def do(self, n: int, context: Any) -> int:
        """A step."""
        self.begun[n] += context.step == "a"
        self.inside.add(n)
        try:
            if n == self.killer:
                self.beside.append(self.inside - {n})
                self.struck.set()
                await asyncio.Event().wait()
            await self.ready.wait()
            await asyncio.sleep(0)
        finally:
            self.inside.discard(n)
        return n


class Life(Protocol):
    """The next life of a process."""

    async def __call__(self, clock: Clock = SYSTEM) -> Rig: ...


@pytest.fixture
async def deadly() -> Deadly:
    return Deadly()


@pytest.fixture
async def born(url: str, deadly: Deadly) -> AsyncIterator[Life]:
    """`await born()`: the next life; the one before it ends as by a kill."""
    current: list[Rig] = []

    async def next_life(clock: Clock = SYSTEM) -> Rig:
        for rig in current:
            await rig.crash()
        deadly.struck.clear()
        current[:] = [Rig(url, {"m:do": deadly.do}, clock=clock)]
        await current[0].open()
        return current[0]

    yield next_life
    for rig in current:
        await rig.close()


async def states(rig: Rig) -> Counter[str]:
    return Counter(RunState(row.state).name for row in await rig.store.runs(RunFilter(), limit=500))


@pytest.mark.rule("4.8")
@pytest.mark.parametrize("killer", [0, 29, 59])
async def test_of_many_that_are_brought_back_together_the_one_that_kills_is_found(
    born: Life, deadly: Deadly, killer: int
) -> None:
    rig = await born()
    await rig.deploy(MANY)
    heads = [await rig.runs.start("many", {"n": n}) for n in range(60)]
    await rig.until(lambda: len(deadly.inside) == 60)
    deadly.killer = killer
    for life in range(1, RECOVERIES_MAX + 1):
        rig = await born()
        if life >= RECOVERIES_ALONE:
            deadly.ready.set()  # till then nobody comes any further, so that all are suspected alike
        await asyncio.wait_for(deadly.struck.wait(), 20)
    assert deadly.beside[RECOVERIES_ALONE - 1 :] == [set()] * (RECOVERIES_MAX - RECOVERIES_ALONE + 1)
    rig = await born()
    for head in [head for n, head in enumerate(heads) if n != killer]:
        assert (await rig.ended(head["id"]))["state"] == "completed"
    run = await rig.runs.get(heads[killer]["id"])
    assert run["state"] == "paused"
    assert run["error"]["code"] == "crash_loop"
    assert run["error"]["message"] == f"the process died {RECOVERIES_MAX} times with these steps in flight: a"
    assert await states(rig) == {"COMPLETED": 59, "PAUSED": 1}
    assert deadly.begun[killer] == 1 + RECOVERIES_MAX
    deadly.killer = -1
    await rig.runs.resume(heads[killer]["id"])
    assert (await rig.ended(heads[killer]["id"]))["state"] == "completed"


@pytest.mark.rule("4.8")
async def test_those_that_stand_in_line_are_not_counted(born: Life, deadly: Deadly) -> None:
    """A process that something else kills again and again pauses nobody who did nothing."""
    rig = await born()
    await rig.deploy(MANY)
    heads = [await rig.runs.start("many", {"n": n}) for n in range(12)]
    await rig.until(lambda: len(deadly.inside) == 12)
    for _ in range(RECOVERIES_ALONE - 1):
        rig = await born()
        await rig.until(lambda: len(deadly.inside) == 12)
    for _ in range(12):
        rig = await born()
        await rig.until(lambda: len(deadly.inside) == 1)
    assert await states(rig) == {"RUNNING": 12}
    assert set(deadly.begun.values()) == {1 + RECOVERIES_ALONE}
    deadly.ready.set()
    for head in heads:
        assert (await rig.ended(head["id"]))["state"] == "completed"


@pytest.mark.rule("4.8")
async def test_a_long_step_holds_up_no_other_suspect_and_is_never_paused_for_it(
    born: Life, deadly: Deadly, hand: VirtualClock
) -> None:
    """The one that kills comes second each time, and does so beside the one that has been cleared."""
    rig = await born(hand)
    await rig.deploy(MANY)
    heads = [await rig.runs.start("many", {"n": n}) for n in range(2)]
    await rig.until(lambda: len(deadly.inside) == 2)
    for _ in range(RECOVERIES_ALONE - 1):
        rig = await born(hand)
        await rig.until(lambda: len(deadly.inside) == 2)
    rig = await born(hand)
    await rig.until(lambda: deadly.inside)
    await hand.advance(RECOVERY_ALONE_S - 1)
    (long,) = deadly.inside
    deadly.killer = 1 - long

    async def struck() -> bool:
        await hand.advance(1.0)
        return deadly.struck.is_set()

    await rig.until(struck)
    assert deadly.beside == [{long}]
    for _ in range(RECOVERIES_ALONE, RECOVERIES_MAX):
        rig = await born(hand)
        await rig.until(deadly.struck.is_set)
    rig = await born(hand)
    await rig.until(lambda: deadly.inside)
    deadly.ready.set()

    async def over() -> bool:
        await hand.advance(1.0)
        return bool((await rig.runs.get(heads[long]["id"]))["state"] == "completed")

    await rig.until(over)
    killer = await rig.runs.get(heads[deadly.killer]["id"])
    assert (killer["state"], killer["error"]["code"]) == ("paused", "crash_loop")


@pytest.mark.rule("4.8")
@pytest.mark.rule("9.3")
async def test_one_that_stands_in_line_can_be_cancelled(born: Life, deadly: Deadly) -> None:
    rig = await born()
    await rig.deploy(MANY)
    heads = [await rig.runs.start("many", {"n": n}) for n in range(3)]
    await rig.until(lambda: len(deadly.inside) == 3)
    for _ in range(RECOVERIES_ALONE - 1):
        rig = await born()
        await rig.until(lambda: len(deadly.inside) == 3)
    rig = await born()
    await rig.until(lambda: len(deadly.inside) == 1)
    inside = min(deadly.inside)
    one, two = [n for n in range(3) if n != inside]
    await rig.runs.cancel(heads[one]["id"])
    await rig.runs.cancel(heads[two]["id"], force=True)
    assert (await rig.runs.get(heads[two]["id"]))["state"] == "cancelled"
    before = deadly.begun.copy()
    deadly.ready.set()
    assert (await rig.ended(heads[inside]["id"]))["state"] == "completed"
    assert (await rig.ended(heads[one]["id"]))["state"] == "cancelled"
    assert deadly.begun == before


@pytest.mark.rule("4.8")
async def test_clean_stops_do_not_count(born: Life, deadly: Deadly, url: str) -> None:
    rig = await born()
    await rig.deploy(MANY)
    await rig.runs.start("many", {"n": 1})
    await rig.until(lambda: deadly.inside)
    for _ in range(RECOVERIES_MAX + 2):
        await rig.engine.close(0.0)
        rig = await born()
        await rig.until(lambda: deadly.inside)
    assert await states(rig) == {"RUNNING": 1}
    assert "recovery" not in rig.engine.executor.runs.popitem()[1].metadata


@pytest.mark.rule("4.8")
@pytest.mark.rule("8.5.1")
async def test_one_that_was_found_is_paused_like_others_and_its_limit_waits(
    url: str, world: World, hand: VirtualClock
) -> None:
    async def life() -> Rig:
        rig = Rig(url, {"m:act": world.act}, clock=hand)
        await rig.open()
        return rig

    rig = await life()
    await rig.deploy(
        """
workflow: limited
timeout: 1h
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
---
workflow: told
when: [{event: reactor.run.paused}, {event: reactor.run.resumed}]
steps: [{name: t, python: {function: "m:act", args: {name: "${{ event.type }} ${{ event.data.workflow }}"}}}]
"""
    )
    gate = world.gate("a")
    run = (await rig.runs.start("limited"))["id"]
    for _ in range(RECOVERIES_MAX):
        await rig.until(lambda: world.overlap)
        await rig.crash()
        rig = await life()
    await rig.until(lambda: world.overlap)
    await rig.crash()
    rig = await life()
    assert (await rig.runs.get(run))["state"] == "paused"
    await rig.until(lambda: world.done == ["reactor.run.paused limited"])
    await hand.advance(7200)
    await rig.crash()
    rig = await life()
    gate.set()
    await rig.runs.resume(run, actor="ada", reason="mended")
    assert (await rig.ended(run))["state"] == "completed"
    await rig.until(lambda: len(world.done) == 3)
    assert set(world.done) == {"reactor.run.paused limited", "reactor.run.resumed limited", "a"}
    moves = [entry for entry in await rig.runs.history(run) if entry["kind"] == "transition"]
    reason = f"crash_loop: the process died {RECOVERIES_MAX} times with these steps in flight: a"
    assert moves == [
        {"kind": "transition", "generation": 0, "number": 2, "state": "paused", "at": "2026-01-01T00:00:00Z"}
        | {"reason": reason},
        {"kind": "transition", "generation": 0, "number": 3, "state": "running", "at": "2026-01-01T02:00:00Z"}
        | {"actor": "ada", "reason": "mended"},
    ]
    await rig.close()


async def counted(rig: Rig, run: str, recoveries: int) -> None:
    """Wait until a run was brought back so often, and undoes."""
    number = rig.runs.number(run)

    async def back() -> bool:
        row = await rig.store.run(number)
        undoes = row.state == RunState.COMPENSATING and number in rig.engine.executor.runs
        return bool(undoes and row.recoveries == recoveries)

    await rig.until(back)


@pytest.mark.rule("4.8")
@pytest.mark.rule("9.6")
async def test_a_handler_that_kills_its_process_again_and_again_is_found(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(UNDONE)
    gate = world.gate("undo b")
    world.fail["c"] = [PermanentError("broken")]
    run = (await rig.runs.start("undone"))["id"]
    await rig.until(lambda: world.done == ["a", "b"] and world.overlap and not world.fail["c"])
    await counted(rig, run, 0)
    for life in range(RECOVERIES_MAX):
        rig = await lives()
        await counted(rig, run, 1 + life)
    rig = await lives()
    for _ in range(2):  # it stays so over a restart
        shown = await rig.runs.get(run)
        assert shown["state"] == "paused"
        assert shown["error"]["code"] == "crash_loop"
        assert shown["error"]["message"] == (
            f"the process died {RECOVERIES_MAX} times with these steps in flight: the handler of b"
        )
        with pytest.raises(SignalRefused) as refused:
            await rig.runs.cancel(run)
        assert str(refused.value) == f"the run {run} is compensating"
        rig = await lives()
    assert world.done == ["a", "b"]
    gate.set()
    await rig.runs.resume(run)
    shown = await rig.ended(run)
    assert shown["state"] == "compensated"
    assert shown["error"]["message"] == "broken"
    assert world.done == ["a", "b", "undo b", "undo a"]


@pytest.mark.rule("4.8")
@pytest.mark.rule("9.5")
async def test_a_handler_that_kills_can_be_left_by_force(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(UNDONE)
    world.gate("undo b")
    world.fail["c"] = [PermanentError("broken")]
    run = (await rig.runs.start("undone"))["id"]
    await rig.until(lambda: world.done == ["a", "b"] and world.overlap and not world.fail["c"])
    await counted(rig, run, 0)
    for life in range(RECOVERIES_MAX):
        rig = await lives()
        await counted(rig, run, 1 + life)
    rig = await lives()
    await rig.runs.cancel(run, force=True)
    shown = await rig.runs.get(run)
    assert (shown["state"], shown["metadata"]["forced"]) == ("cancelled", True)
    assert {step["name"]: step["state"] for step in shown["steps"]} == {
        "a": "completed",
        "b": "completed",
        "c": "failed",
    }


@pytest.mark.rule("4.7")
@pytest.mark.rule("4.8")
async def test_a_run_that_is_resumed_keeps_its_idempotency_keys(
    lives: Reopen, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    async def noted(name: str, context: Any) -> str:
        keys.append(context.idempotency_key)
        if len(keys) == 1:
            raise PermanentError("wrong")  # class `fix`: it had no effect, so a retry has a key of its own
        if not over:
            await asyncio.Event().wait()
        return name

    over: list[bool] = []
    monkeypatch.setattr(world, "act", noted)
    rig = await lives()
    await rig.deploy("workflow: again\nsteps: [{name: a, python: {function: 'm:act', args: {name: a}}}]")
    run = (await rig.runs.start("again"))["id"]
    assert (await rig.ended(run))["state"] == "failed"
    await rig.runs.retry(run)
    await rig.until(lambda: len(keys) == 2)
    for life in range(RECOVERIES_MAX):
        rig = await lives()
        await rig.until(lambda life=life: len(keys) == 3 + life)
    rig = await lives()
    found = await rig.runs.get(run)
    assert (found["state"], found["error"]["code"]) == ("paused", "crash_loop")
    over.append(True)
    await rig.runs.resume(run)
    found = await rig.ended(run)
    assert (found["state"], found["error"]) == ("completed", None)
    assert len(set(keys[1:])) == 1
    assert keys[0] != keys[1]


@pytest.mark.rule("4.7")
async def test_a_run_of_a_process_that_is_gone_can_be_retried(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy("workflow: again\nsteps: [{name: a, python: {function: 'm:act', args: {name: a}}}]")
    world.fail["a"] = [PermanentError("broken")]
    run = (await rig.run("again"))["id"]
    rig = await lives()
    assert (await rig.runs.get(run))["state"] == "failed"
    await rig.runs.retry(run)
    assert (await rig.ended(run))["state"] == "completed"
    assert world.done == ["a"]
