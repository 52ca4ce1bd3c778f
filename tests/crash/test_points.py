"""The process dies at every passage of every named point, once and twice in a row; what was acknowledged ends once."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import reactor
from reactor.core import companion
from reactor.core.clock import SYSTEM
from reactor.testing.clock import VirtualClock
from reactor.tests.crash.lives import Trial
from reactor.tests.crash.points import POINTS
from reactor.tests.crash.scenarios import SCENARIOS
from reactor.tests.crash.writers import Forked, Killed

PASSAGES_MIN = 20  # a scenario that passes fewer points is not carried out as it should be
DIED_AT: dict[str, set[str]] = {}  # by store
SOAK = bool(os.environ.get("REACTOR_SOAK"))


@pytest.fixture(params=["sqlite", "sqlite, its writer", "postgres"])
def trial(request: pytest.FixtureRequest, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """Of the scenario of this name, on each store, SQLite's written by a thread and by a process."""
    monkeypatch.setattr(companion, "Popen", Forked)
    scenario = SCENARIOS[name]
    clock = VirtualClock(auto=True, patience_s=0.005) if scenario.virtual else SYSTEM
    postgres = request.param == "postgres"
    url = request.getfixturevalue("postgres_url") if postgres else f"sqlite:///{tmp_path}/r.db"
    writer = "process" if request.param.endswith("writer") else "thread"
    return Trial(scenario, url, lambda: clock, writer=writer, kind=request.param)


@pytest.mark.uncovered
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.rule("1.2")
@pytest.mark.rule("4.1")
@pytest.mark.rule("4.2")
@pytest.mark.rule("7.1")
@pytest.mark.req("O-2")
async def test_a_death_at_any_point_loses_nothing_and_does_nothing_twice(trial: Trial, name: str) -> None:
    faults, alive = await trial.case("alive")
    assert faults == []
    assert alive + trial.writes >= PASSAGES_MIN
    # A life on PostgreSQL, or with a process that writes, costs several times as much: there each scenario takes every
    # fifth passage, each from another one on, and the first passage of every point that no scenario before has died at.
    died = DIED_AT.setdefault(trial.kind, set())
    turn = list(SCENARIOS).index(name)
    some = trial.kind != "sqlite" and not SOAK
    at, stride = (turn % 5 - 4, 5) if some else (0, 1)
    wrong: dict[str, list[str]] = {}
    reached = alive
    while reached >= at:
        at = max(1, at + stride)
        deaths = (at,) if at % 3 else (at, 1 + at % 11)  # each third one dies again, soon after it came back
        faults, reached = await trial.case(f"at-{at}", *deaths)
        if faults:
            wrong[f"{deaths}"] = faults
    writes = range(1 + turn % 7, trial.writes, 1 if SOAK else 7)
    kills = [(Killed(at, both=bool(at // 2 % 2)), "run.recovered") for at in writes]
    for deaths in (*((point,) for point in trial.points - trial.died_at - died), *kills):
        faults, _ = await trial.case(f"at-{deaths}", *deaths)
        if faults:
            wrong[f"{deaths}"] = faults
    assert wrong == {}
    died |= trial.died_at


@pytest.mark.uncovered
def test_every_point_of_the_package_is_in_the_table() -> None:
    assert named() == set(POINTS)


@pytest.mark.uncovered
def test_at_every_point_there_was_a_death_on_each_store() -> None:
    every, lane = set(POINTS), {point for point in POINTS if point.startswith("lane.")}
    both = {f"{point} of both" for point in POINTS if point.startswith("store.")}
    wanted = {"sqlite": every - lane, "sqlite, its writer": (every - lane) | both, "postgres": every}
    assert {store: wanted[store] - died for store, died in DIED_AT.items()} == {store: set() for store in wanted}


def named() -> set[str]:
    """The points that the package's code passes."""
    root = Path(reactor.__file__).parent
    found: set[str] = set()
    for folder in ("core", "store", "router", "engine", "triggers", "connections", "plugins", "web"):
        for file in (root / folder).rglob("*.py"):
            text = file.read_text()
            if "point(" not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and node.args and _is_point(node.func):
                    assert isinstance(node.args[0], ast.Constant), f"{file}:{node.lineno}: a point's name is a literal"
                    found.add(str(node.args[0].value))
    return found


def _is_point(func: ast.expr) -> bool:
    if isinstance(func, ast.Attribute):
        return func.attr == "point" and isinstance(func.value, ast.Name) and func.value.id == "faults"
    return isinstance(func, ast.Name) and func.id == "point"
