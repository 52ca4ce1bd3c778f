"""kill -9, and files cut at any byte: what was acknowledged is there whole, and nothing is half there."""

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from reactor.core.clock import SYSTEM
from reactor.store import open_store
from reactor.store.contract import RunFilter, Unit
from reactor.testing.store_units import start, step
from reactor.tests.store.child import half_there
from reactor.tests.store.kills import SOAK, afters, killed


@pytest.mark.uncovered
@pytest.mark.rule("1.2")
@pytest.mark.parametrize("writer", ["thread", "process"])
async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, writer: str) -> None:
    url = f"sqlite:///{tmp_path}/reactor.db"
    acknowledged: set[int] = set()
    submitted: list[int] = []
    for after in afters(6):
        acked, tried = await killed(url, after=after, lanes=16, writer=writer)
        acknowledged |= acked
        submitted += tried
    store = open_store(url, clock=SYSTEM)
    await store.open()
    assert await half_there(store, acknowledged, submitted) == {}
    assert {each.run.id for each in await store.claim(runs_max=100_000)} >= acknowledged
    await store.close()


@pytest.mark.uncovered
async def test_the_check_of_kills_can_fail(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/reactor.db"
    wrong: dict[int, list[bool]] = {}
    for _ in range(5):
        acked, tried = await killed(url, after=64, lanes=64, lying=True)
        store = open_store(url, clock=SYSTEM)
        await store.open()
        wrong |= await half_there(store, acked, tried)
        await store.close()
    assert wrong


@pytest.mark.uncovered
async def test_a_log_cut_anywhere_leaves_a_prefix_of_the_groups(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/reactor.db", clock=SYSTEM)
    await store.open()
    for group in range(30):
        units = [Unit(runs=(start(group * 5 + n),), journal=step(group * 5 + n).journal) for n in range(1, 6)]
        await asyncio.gather(*[store.submit(unit) for unit in units])
    seeded = random.Random(7)
    log = tmp_path / "reactor.db-wal"
    lengths: set[int] = set()
    for cut in range(400 if SOAK else 40):
        folder = tmp_path / f"cut{cut}"
        folder.mkdir()
        shutil.copy(tmp_path / "reactor.db", folder)
        (folder / "reactor.db-wal").write_bytes(log.read_bytes()[: seeded.randint(250_000, log.stat().st_size)])
        left = open_store(f"sqlite:///{folder}/reactor.db", clock=SYSTEM)
        await left.open()
        found = sorted([run.id for run in await left.runs(RunFilter(), limit=500)])
        assert len(found) % 5 == 0
        assert found == list(range(1, len(found) + 1))
        assert [len(await left.journal(number)) for number in found] == [1] * len(found)
        lengths.add(len(found))
        await left.close()
    await store.close()
    assert len(lengths) > 10
