"""The parts of `make bench` that look at the engine measure what they say; how fast it is, is not tested."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reactor.bench import crowd, engine
from reactor.bench.__main__ import SECTIONS

pytestmark = [pytest.mark.uncovered, pytest.mark.alone]
SLEEPERS_MB_MAX = 20.0
"""Of 1 000 runs that sleep: about twice what they take."""


def measured(part: str, json_file: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", f"reactor.bench.{part}", "--json", str(json_file), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return json.loads(json_file.read_text())


@pytest.mark.req("H-5")
def test_the_engine_is_measured_in_all_its_parts(tmp_path: Path) -> None:
    found = measured("engine", tmp_path / "f.json", "--share", "0.01")
    assert list(found) == [
        "overhead of a step, alone, us",
        "overhead of a step, alone, CPU us",
        "overhead of a step, 100 at once, us",
        "overhead of a step, 100 at once, CPU us",
        "graph of 3 steps: check / plan, ms",
        "graph of 10 steps: check / plan, ms",
        "graph of 100 steps: check / plan, ms",
        "1 at once: workflows/s, p95 ms",
        "10 at once: workflows/s, p95 ms",
        "100 at once: workflows/s, p95 ms",
        "1000 at once: workflows/s, p95 ms",
        "memory after each fifth of 200 runs, MB",
        "state: changes/s, 50 runs at once",
        "state: a change alone, us",
        "10 sleeping runs: MB more",
        "10 sleeping runs: s until all sleep",
    ]
    assert engine.GRAPHS == (10, 100, 1_000, 10_000)
    assert engine.CROWDS == (1, 10, 100, 1_000)
    rates = [found[f"{count} at once: workflows/s, p95 ms"][0] for count in engine.CROWDS]
    assert min(rates) > 1
    assert rates[2] > rates[0], "what runs at once shares its commits"
    assert len(found["memory after each fifth of 200 runs, MB"]) == 6


@pytest.mark.req("P-11")
def test_a_thousand_sleeping_runs_add_a_bounded_amount_of_memory(tmp_path: Path) -> None:
    found = measured("engine", tmp_path / "f.json", "--only", "sleep")
    assert 0 < found["1000 sleeping runs: MB more"] < SLEEPERS_MB_MAX


@pytest.mark.req("P-11")
def test_start_and_idle_memory_are_measured_against_their_budgets() -> None:
    """`make bench` has the rows; this looks at the figures of one start."""
    startup = importlib.import_module(SECTIONS["start-up"][0])
    rows = {each.name: each for each in startup.measure(1)}
    for name in ("ready after start", "idle memory"):
        assert rows[name].floor is not None
        assert min(rows[name].values) < 3 * rows[name].floor, "a busy machine is slower, not three times heavier"


@pytest.mark.req("Q-10")
def test_many_runs_at_once_are_measured_and_a_leak_is_told(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    command = [sys.executable, "-P", "-m", "reactor.bench.crowd", "--seconds", "2", "--at-once", "20"]
    done = subprocess.run([*command, "--leak", "300000", "--json", str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1].endswith("; at most 10%")) == (1, True), done.stdout
    found = json.loads(file.read_text())
    assert found["20 at once for 2 s: runs"] > 20
    assert found["workflows/s"] > 1
    assert found["p50 / p95 ms"][0] <= found["p50 / p95 ms"][1]
    assert len(found["RSS MB, ten times"]) == 10


WARMING = [60.0 + look for look in range(20)]


@pytest.mark.req("Q-10")
@pytest.mark.parametrize(
    ("rest", "faults"),
    [
        ([80.0] * 80, []),
        ([80.0 + look % 7 for look in range(80)], []),
        ([80.0 + 7 * look / 80 for look in range(80)], []),
        ([80.0] * 79 + [200.0], []),
        (
            [80.0 + 20 * look / 80 for look in range(80)],
            ["memory ends 21.6% over what it was after the warm-up; at most 10%"],
        ),
        ([80.0] * 60 + [90.0] * 20, ["memory ends 12.5% over what it was after the warm-up; at most 10%"]),
    ],
    ids=["flat", "noise", "a little", "one outlier", "a slope", "a step"],
)
def test_memory_after_the_warm_up_is_judged(rest: list[float], faults: list[str]) -> None:
    assert crowd.wrong(WARMING + rest) == faults


def test_every_section_is_a_program() -> None:
    for command in SECTIONS.values():
        assert callable(importlib.import_module(command[0]).main)
