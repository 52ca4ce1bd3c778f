"""What a disk may do to a store: lose what was not synced, be full, fail."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactor.core.errors import StoreFailed, StoreUnavailable
from reactor.core.event import Mark
from reactor.store import open_store, sqlite
from reactor.store.contract import Committed, Store, Unit
from reactor.testing.clock import VirtualClock
from reactor.testing.store_units import accept, end, start, step
from reactor.tests.store.disk import Disk


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.unregister()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def opened(folder: Path, clock: VirtualClock, durability: str = "power") -> Store:
    store = open_store(f"sqlite:///{folder}/reactor.db", clock=clock, durability=durability)
    await store.open()
    return store


async def lost_in_a_power_cut(disk: Disk, folder: Path, clock: VirtualClock, durability: str) -> set[int]:
    """Runs that were acknowledged, and are gone or half there after a cut right then."""
    store = await opened(folder, clock, durability)
    lost: set[int] = set()
    for number in range(1, 9):
        await store.submit(Unit(runs=(start(number),), journal=step(number).journal))
        left = folder / f"left{number}"
        disk.after_power_cut(folder, left)
        again = await opened(left, clock)
        for each in range(1, number + 1):
            if await again.run(each) is None or len(await again.journal(each)) != 1:
                lost.add(each)
        await again.close()
    await store.close()
    return lost


async def test_what_is_acknowledged_was_synced(disk: Disk, tmp_path: Path, clock: VirtualClock) -> None:
    assert await lost_in_a_power_cut(disk, tmp_path, clock, "power") == set()


async def test_the_check_of_syncs_can_fail(
    disk: Disk, tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sqlite.SYNCHRONOUS, "power", "OFF")
    assert await lost_in_a_power_cut(disk, tmp_path, clock, "power") == set(range(1, 9))


@pytest.mark.rule("1.8")
async def test_a_full_disk_is_waited_out(disk: Disk, tmp_path: Path, clock: VirtualClock) -> None:
    store = await opened(tmp_path, clock)
    await store.submit(Unit(runs=(start(1),)))
    disk.full = True
    waiting = [asyncio.ensure_future(store.submit(step(1, ord))) for ord in range(3)]
    async with asyncio.timeout(10):
        while not store.refusing:
            await asyncio.sleep(0)
    assert store.refusing == f"the disk that holds {tmp_path}/reactor.db is full"
    with pytest.raises(StoreUnavailable) as caught:
        await store.submit(Unit(runs=(start(2),)))
    assert str(caught.value) == f"the disk that holds {tmp_path}/reactor.db is full"
    waiting.append(asyncio.ensure_future(store.submit(end(1))))
    for _ in range(3):
        await clock.advance(1)
        assert not any(future.done() for future in waiting)
    assert (await store.run(1)) is not None
    disk.full = False
    async with asyncio.timeout(10):
        while not all(future.done() for future in waiting):
            await clock.advance(1)
            await asyncio.sleep(0.01)
    assert [await future for future in waiting] == [Committed()] * 4
    assert store.refusing == ""
    assert (await store.submit(Unit(runs=(start(2),)))).refused == ""
    assert len(await store.journal(1)) == 3
    await store.close()


@pytest.mark.rule("1.8")
async def test_input_of_a_full_disk_is_given_back_and_not_written(
    disk: Disk, tmp_path: Path, clock: VirtualClock
) -> None:
    store = await opened(tmp_path, clock)
    disk.full = True
    given = asyncio.ensure_future(store.submit(Unit(accept=(accept(1, start(1, event=1)),))))
    kept = asyncio.ensure_future(store.submit(Unit(marks=(Mark("s", "k", b"v"),))))
    async with asyncio.timeout(20):
        while not given.done():
            await clock.advance(1)
            await asyncio.sleep(0.01)
    assert str(given.exception()) == f"the disk that holds {tmp_path}/reactor.db is full"
    assert not kept.done()
    disk.full = False
    async with asyncio.timeout(20):
        while not kept.done():
            await clock.advance(1)
            await asyncio.sleep(0.01)
    assert (await store.event(1), await store.run(1)) == (None, None)
    again = await store.submit(Unit(accept=(accept(1, start(1, event=1)),)))
    assert again.accepted[0].new
    await store.close()


@pytest.mark.rule("1.8")
async def test_a_full_disk_with_nothing_but_input_is_found_to_have_room_again(
    disk: Disk, tmp_path: Path, clock: VirtualClock
) -> None:
    store = await opened(tmp_path, clock)
    disk.full = True
    given = asyncio.ensure_future(store.submit(Unit(runs=(start(1),))))
    async with asyncio.timeout(20):
        while not given.done():
            await clock.advance(1)
            await asyncio.sleep(0.01)
    for _ in range(3):
        await clock.advance(1)
        await asyncio.sleep(0.01)
    assert store.refusing
    disk.full = False
    async with asyncio.timeout(20):
        while store.refusing:
            await clock.advance(1)
            await asyncio.sleep(0.01)
    assert await store.run(1) is None
    assert [each.verdict for each in (await store.submit(Unit(runs=(start(1),)))).started] == ["begun"]
    assert await store.marks("store") == {}
    await store.close()
    assert isinstance(given.exception(), StoreUnavailable)


async def test_a_store_that_is_closed_while_full_says_so(disk: Disk, tmp_path: Path, clock: VirtualClock) -> None:
    store = await opened(tmp_path, clock)
    await store.submit(Unit(runs=(start(1),)))
    disk.full = True
    waiting = asyncio.ensure_future(store.submit(step(1)))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreUnavailable) as caught:
        await waiting
    full = f"the disk that holds {tmp_path}/reactor.db is full"
    assert str(caught.value) == f"the store was closed while it could not write: {full}"
    disk.full = False
    again = await opened(tmp_path, clock)
    assert await again.run(1) is not None
    assert list(await again.journal(1)) == []
    await again.close()


async def test_a_failed_sync_at_commit_closes_for_good(disk: Disk, tmp_path: Path, clock: VirtualClock) -> None:
    store = await opened(tmp_path, clock)
    await store.submit(Unit(runs=(start(1),)))
    disk.broken_sync = True
    units = [store.submit(step(1, ord)) for ord in range(3)]
    results = await asyncio.gather(*units, return_exceptions=True)
    said = f"the disk failed while {tmp_path}/reactor.db was being committed, and whether that commit stands is unknown"
    assert all(isinstance(result, StoreFailed) and str(result).startswith(said) for result in results)
    disk.broken_sync = False
    with pytest.raises(StoreFailed):
        await store.submit(step(1, 9))
    with pytest.raises(StoreFailed):
        await store.claim(runs_max=1)
    await store.close()
    again = await opened(tmp_path, clock)
    assert len(await again.journal(1)) in (0, 3)
    assert (await again.submit(step(1, 9))).refused == ""
    await again.close()
