"""Workflows made by chance come to the same end with deaths as without, on both stores.

REACTOR_CRASH_SEEDS says how many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactor.testing.clock import VirtualClock
from reactor.tests.crash.lives import Trial
from reactor.tests.crash.random_flows import Maker
from reactor.tests.crash.random_lives import Seen, in_small_steps, scenario

SEEDS = int(os.environ.get("REACTOR_CRASH_SEEDS", "0")) or (400 if os.environ.get("REACTOR_SOAK") else 12)
DEATHS = 5  # lives that are cut short, of each workflow
UNFORESEEN = "a task failed in a way that nobody foresaw"
QUIET_S = 30.0  # other work on this machine slows the virtual clock down


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgres":
        yield str(request.getfixturevalue("postgres_url"))
    else:
        yield f"sqlite:///{tmp_path}/r.db"


@pytest.mark.uncovered
@pytest.mark.rule("4.1")
@pytest.mark.rule("4.2")
@pytest.mark.rule("4.5")
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_workflow_by_chance_ends_alike_wherever_its_process_dies(
    url: str, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    flow, found = Maker(seed).make(), list[Seen]()
    clock = VirtualClock(auto=True, patience_s=0.005)
    async with in_small_steps(clock) as ticks:
        calm = Trial(scenario(flow, found, ticks), url, lambda: clock, quiet_s=QUIET_S)
        _, reached = await calm.case("case0000")
        assert len(found) == 1, "it did not come to its end without a death"
        (wanted,) = found
        chance = random.Random(seed)
        wrong: dict[str, object] = {}
        for number in range(1, 1 + DEATHS):
            deaths = tuple(chance.randint(1, reached) for _ in range(chance.choice((1, 1, 2, 3))))
            found.clear()
            trial = Trial(scenario(flow, found, ticks), url, lambda: clock, quiet_s=QUIET_S)
            trial.scenario.wanted, trial.scenario.runs = wanted.done, wanted.workflows
            faults, _ = await trial.case(f"case{number:04}", *deaths)
            if faults or found != [wanted]:
                wrong[f"{deaths}"] = faults or [
                    (a, b) for a, b in zip(found[0].runs, wanted.runs, strict=False) if a != b
                ]
    assert wrong == {}, flow
    assert [record.getMessage() for record in caplog.records if record.getMessage() == UNFORESEEN] == [], flow
