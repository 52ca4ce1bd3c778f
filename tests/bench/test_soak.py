"""What the soak says of memory: deaf to noise and to SQLite's cache, not to what stays of each event."""

import random
from typing import Any

import pytest

from reactor.bench.soak import PLACES, Rest, growth, wrong

FOUND: dict[str, Any] = {
    "blocks that stay of an event": 0.0,
    "growth without SQLite's cache": 0.0,
    "rows left": {},
    "lost": dict.fromkeys(PLACES, 0),
    "twice": dict.fromkeys(PLACES, 0),
}


def rests(blocks_each: float = 0.0, mb_each: float = 0.0) -> list[Rest]:
    """Twenty rests in 100 000 events: a warm-up, a growing cache of SQLite, noise, and one outlier."""
    chance = random.Random(7)
    found: list[Rest] = []
    for n in range(5_000, 100_001, 5_000):
        cache = 10 + n / 2_000
        warm = min(n / 20_000, 1.0)
        blocks = 200_000 + 20_000 * warm + chance.uniform(-1_500, 1_500) + blocks_each * n
        found.append(Rest(n, round(blocks), 60 + 15 * warm + chance.uniform(-2, 2) + mb_each * n + cache, cache))
    found[12] = found[12]._replace(blocks=300_000, mb=200.0)
    return found


def judged(found: list[Rest]) -> list[str]:
    blocks, grown = growth(found)
    return wrong(
        FOUND | {"blocks that stay of an event": blocks, "growth without SQLite's cache": grown}, events=100_000
    )


def test_noise_warm_up_and_the_cache_are_no_leak() -> None:
    assert judged(rests()) == []


@pytest.mark.parametrize("blocks", [0.5, 1.0, 4.0])
def test_an_object_that_stays_of_each_event_is_one(blocks: float) -> None:
    (said,) = judged(rests(blocks_each=blocks))
    assert said.endswith(" blocks of memory stay of each event; at most 0.25")
    assert float(said.split()[0]) == pytest.approx(blocks, abs=0.1)


def test_memory_that_python_does_not_count_is_one_too() -> None:
    (said,) = judged(rests(mb_each=0.0003))
    assert said.startswith("memory beside SQLite's cache grew by 1")
    assert said.endswith(" in the last half; at most 10%")
