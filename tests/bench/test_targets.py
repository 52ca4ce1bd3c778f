"""The limits of time that are requirements: far from what is measured, so that a busy machine keeps them too."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reactor import App
from reactor.bench.language import steps_text
from reactor.language.loader import load_text
from reactor.tests.examples.rig import folder

pytestmark = [pytest.mark.uncovered, pytest.mark.alone]
__all__ = ["folder"]


def percentile_ms(call: Callable[[int], Any], number: int, share: float) -> float:
    """What so many of a hundred calls stay under."""
    times: list[float] = []
    for n in range(number):
        begun = time.perf_counter()
        call(n)
        times.append((time.perf_counter() - begun) * 1e3)
    return sorted(times)[int(number * share) - 1]


@pytest.mark.req("Q-1")
async def test_a_definition_is_found_in_less_than_a_millisecond() -> None:
    async with App(listen=False) as app:
        text = "\n---\n".join(
            f"workflow: w{n}\nversion: 1.{n % 3}.0\nsteps: [{{transform: {n}}}]" for n in range(10_000)
        )
        loaded = load_text(text, "many.yaml", app.vocabulary())
        assert len(loaded.loaded) == 10_000
        await app.deploys.deploy(loaded.loaded)
        workflows = app.engine.workflows
        for reference in ("w{}", "w{}@1.{}.0"):
            spent = percentile_ms(
                lambda n, r=reference: workflows.find(r.format(n % 10_000, n % 10_000 % 3)), 50_000, 0.99
            )
            assert spent < 1.0


@pytest.mark.req("Q-2")
def test_a_usual_workflow_is_checked_in_less_than_fifty_milliseconds() -> None:
    words = App(listen=False).vocabulary()
    text = steps_text(20)

    def check(n: int) -> None:
        assert load_text(text.replace("many", f"many{n}"), "many.yaml", words).loaded

    assert percentile_ms(check, 60, 0.95) < 50


@pytest.mark.req("Q-3")
async def test_a_small_workflow_ends_in_less_than_a_hundred_milliseconds(folder: Path) -> None:
    async with App(f"sqlite:///{folder}/r.db", project=folder, listen=False) as app:
        await app.load()
        times: list[float] = []
        for _ in range(60):
            begun = time.perf_counter()
            assert await (await app.start("small")).result(timeout=30) == {"sum": 6}
            times.append((time.perf_counter() - begun) * 1e3)
        assert sorted(times)[int(60 * 0.95) - 1] < 100
