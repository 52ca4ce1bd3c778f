"""PostgreSQL's groups of one statement: the line is cut as they go, and planted defects of theirs are found."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from reactor.core.clock import SYSTEM
from reactor.testing.clock import VirtualClock
from reactor.tests.crash.lives import Cut, Trial
from reactor.tests.crash.plants import LANE_PLANTS
from reactor.tests.crash.scenarios import SCENARIOS
from reactor.tests.store.proxy import Proxy

STRIDE = 1 if os.environ.get("REACTOR_SOAK") else 3
WAYS = ("after", "before")  # the answer is lost, or the statement is on its way


@pytest.fixture
async def line(postgres_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A line to the database that can be cut, and the address at its near end."""
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        yield proxy, postgres_url.replace(f":{parts.port}", f":{proxy.port}")


@pytest.mark.uncovered
@pytest.mark.broker("postgres")
@pytest.mark.rule("1.8")
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_statement_or_an_answer_that_is_lost_is_no_death(line: tuple[Proxy, str], name: str) -> None:
    """Nothing is lost and nothing is done twice: neither a run nor a step hears of it."""
    proxy, url = line
    scenario = SCENARIOS[name]
    wrong: dict[str, list[str]] = {}
    cut: set[str] = set()
    turn = list(SCENARIOS).index(name)
    for at in range(1 + turn % STRIDE, 40, STRIDE):
        clock = VirtualClock(auto=True, patience_s=0.005) if scenario.virtual else SYSTEM
        trial = Trial(scenario, url, lambda clock=clock: clock, kind="postgres")
        way = WAYS[(at // STRIDE + turn) % 2]
        faults, _ = await trial.case(f"at-{at}", Cut(proxy, at, way))
        assert proxy.cut_at_commit == "", "something else was cut"
        if not trial.died_at:
            break
        cut |= trial.died_at
        if faults:
            wrong[f"{at}, {way}"] = faults
    assert cut, "no group of it was one statement"
    assert wrong == {}


@pytest.mark.uncovered
@pytest.mark.broker("postgres")
@pytest.mark.parametrize("plant", LANE_PLANTS)
async def test_a_planted_defect_of_a_lane_is_found(
    line: tuple[Proxy, str], plant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = line
    name, put, death = LANE_PLANTS[plant]
    trial = Trial(SCENARIOS[name], url, quiet_s=0.8)
    assert (await trial.case("alive"))[0] == []  # and so the database is not made anew in the lives to come
    put(monkeypatch)
    for at in range(2, 12):
        faults, _ = await trial.case(f"at-{at}", death(proxy, at))
        if faults:
            return
    pytest.fail(f"nothing was found wrong with: {plant}")
