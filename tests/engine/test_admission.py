"""Which held run begins next under several limits: none that may begin is hidden by others (semantics 5.3, 5.7)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reactor.engine import admitting
from reactor.store.contract import Unit
from reactor.testing.clock import VirtualClock

from .conftest import Reopen, World
from .rig import Rig

FLOW = """
workflow: held
inputs: {n: integer, a: string, b: string}
limits:
  concurrency: [{max: 3}, {max: 1, key: inputs.a}, {max: 2, key: inputs.b}]
steps: [{name: hold, python: {function: "m:hold", args: {n: "${{ inputs.n }}"}}}]
"""


class Hall:
    """Runs that go on until they are told to end."""

    def __init__(self) -> None:
        self.inputs: dict[int, dict[str, Any]] = {}
        self.inside: dict[int, asyncio.Event] = {}
        self.entered: list[int] = []
        self.over: list[str] = []

    async def hold(self, n: int) -> None:
        """Stay until `end`."""
        self.entered.append(n)
        self.inside[n] = asyncio.Event()
        if len(self.inside) > 3 or max(self.count("a").values()) > 1 or max(self.count("b").values()) > 2:
            self.over.append(f"too many are inside: {sorted(self.inside)}")
        await self.inside[n].wait()

    def count(self, key: str) -> Counter[str]:
        """Those inside, by one of their inputs."""
        return Counter(self.inputs[n][key] for n in self.inside)

    def end(self, n: int) -> None:
        """Let one go."""
        self.inside.pop(n).set()

    def admissible(self, waiting: set[int]) -> list[int]:
        """Those who wait though nothing holds them."""
        a, b = self.count("a"), self.count("b")
        free = len(self.inside) < 3
        return [n for n in waiting if free and not a[self.inputs[n]["a"]] and b[self.inputs[n]["b"]] < 2]


@pytest.fixture
async def hall(url: str) -> AsyncIterator[tuple[Hall, Rig]]:
    hall = Hall()
    async with Rig(url, {"m:hold": hall.hold}) as rig:
        await rig.deploy(FLOW)
        yield hall, rig
        assert not rig.fatal
        assert hall.over == []


async def enter(hall: Hall, rig: Rig, **inputs: Any) -> None:
    hall.inputs[inputs["n"]] = inputs
    await rig.runs.start("held", inputs)


async def settled(hall: Hall, rig: Rig) -> None:
    """All who may begin have begun."""
    try:
        await rig.until(lambda: not hall.admissible(hall.inputs.keys() - set(hall.entered)), 5)
    except TimeoutError:
        pytest.fail(f"held, though nothing holds them: {hall.admissible(hall.inputs.keys() - set(hall.entered))}")


@pytest.mark.rule("5.3")
@pytest.mark.rule("5.7")
@pytest.mark.parametrize("seed", range(4))
async def test_no_run_that_may_begin_is_left_waiting(
    hall: tuple[Hall, Rig], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    people, rig = hall
    monkeypatch.setattr(admitting, "ADMIT_RUNS", 2)
    monkeypatch.setattr(admitting, "PAGE_ROWS_MAX", 3)
    chance = random.Random(seed)
    for n in range(60):
        await enter(people, rig, n=n, a=chance.choice("uvwxyz"), b=chance.choice("pq"))
        if chance.random() < 0.4 and people.inside:
            people.end(chance.choice(sorted(people.inside)))
        if chance.random() < 0.3:
            await settled(people, rig)
    while len(people.entered) < 60 or people.inside:
        await settled(people, rig)
        await rig.until(lambda: people.inside, 5)
        people.end(chance.choice(sorted(people.inside)))
    assert sorted(people.entered) == list(range(60))
    lanes: dict[tuple[str, str], list[int]] = {}
    for n in people.entered:
        lanes.setdefault((people.inputs[n]["a"], people.inputs[n]["b"]), []).append(n)
    assert all(lane == sorted(lane) for lane in lanes.values())  # in one lane nobody overtakes


@pytest.mark.rule("5.3")
async def test_many_that_another_limit_holds_hide_none_behind_them(hall: tuple[Hall, Rig]) -> None:
    people, rig = hall
    for n, (a, b) in enumerate((("x", "p"), ("y", "q"), ("z", "q"))):
        await enter(people, rig, n=n, a=a, b=b)
    await rig.until(lambda: len(people.inside) == 3)
    for n in range(3, 3 + admitting.ADMIT_RUNS + 6):
        await enter(people, rig, n=n, a="x", b="p")
    await enter(people, rig, n=900, a="v", b="p")
    await asyncio.sleep(0)
    people.end(2)
    await rig.until(lambda: 900 in people.inside, 5)
    assert people.entered == [0, 1, 2, 900]


BOTH = """
workflow: both
limits: {throttle: {max: 1, per: 10s}, concurrency: {max: 1}}
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
"""


@pytest.mark.rule("5.6")
async def test_a_throttle_that_is_open_again_is_not_asked_while_another_limit_holds(
    lives: Reopen, world: World, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await lives()
    await rig.deploy(BOTH)
    gate, tries = world.gate("a"), list[int]()
    await rig.runs.start("both")
    await rig.until(lambda: world.overlap == 1)
    submit = rig.store.submit

    def counted(unit: Unit) -> Any:
        if unit.admit:
            tries.append(unit.admit[0].run)
        return submit(unit)

    monkeypatch.setattr(rig.store, "submit", counted)
    second = await rig.runs.start("both")
    await clock.sleep(60)
    assert len(tries) <= 6
    gate.set()
    assert (await rig.ended(second["id"]))["state"] == "completed"
