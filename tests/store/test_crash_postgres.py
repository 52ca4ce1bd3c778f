"""kill -9 of a process that writes to PostgreSQL, and of PostgreSQL itself."""

import asyncio

import pytest

from reactor.core.clock import SYSTEM
from reactor.store import open_store
from reactor.store.contract import Committed, Unit
from reactor.testing.store_units import start, step
from reactor.tests.servers.postgres import PostgresServer
from reactor.tests.store.child import half_there
from reactor.tests.store.kills import afters, killed


@pytest.mark.uncovered
@pytest.mark.broker("postgres")
@pytest.mark.rule("1.2")
async def test_kill_9_loses_nothing_that_was_acknowledged(postgres_url: str) -> None:
    acknowledged: set[int] = set()
    submitted: list[int] = []
    for after in afters(4):
        acked, tried = await killed(postgres_url, after=after, lanes=16)
        acknowledged |= acked
        submitted += tried
    store = open_store(postgres_url, clock=SYSTEM)
    await store.open()
    assert await half_there(store, acknowledged, submitted) == {}
    claimed: set[int] = set()
    async with asyncio.timeout(30):  # until the leases of the dead have run out, and its own is old enough to say so
        while not claimed >= acknowledged:
            claimed |= {each.run.id for each in await store.claim(runs_max=10_000)}
            await asyncio.sleep(0.1)
    await store.close()


@pytest.mark.uncovered
@pytest.mark.broker("postgres")
@pytest.mark.rule("1.8")
async def test_a_crash_of_the_server_is_waited_out(postgres_url: str, postgres_server: PostgresServer) -> None:
    store = open_store(postgres_url, clock=SYSTEM)
    await store.open()
    await store.submit(Unit(runs=(start(1),)))
    waiting: list[asyncio.Future[Committed]] = []

    async def write() -> None:
        for ord in range(2_000):
            waiting.append(asyncio.ensure_future(store.submit(step(1, ord))))
            await asyncio.sleep(0)

    writing = asyncio.ensure_future(write())
    async with asyncio.timeout(10):
        while len(waiting) < 200:
            await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, postgres_server.stop)
    await loop.run_in_executor(None, postgres_server.start)
    await writing
    async with asyncio.timeout(30):
        assert await asyncio.gather(*waiting) == [Committed()] * 2_000
    rows = await store.journal(1)
    assert sorted(row.ord >> 40 for row in rows) == list(range(2_000))
    await store.close()
