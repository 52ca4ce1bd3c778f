"""A real PostgreSQL that refuses: full, read only, away. Input is given back in time, what is under way is written."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from reactor.core.errors import StoreUnavailable
from reactor.core.event import Mark
from reactor.store import open_store, postgres, postgres_lane, postgres_sql
from reactor.store.contract import Committed, Unit
from reactor.store.postgres_lane import PostgresLane
from reactor.store.postgres_sql import shown
from reactor.testing.clock import VirtualClock
from reactor.testing.store_units import accept, start
from reactor.tests.store.proxy import Proxy

pytestmark = [pytest.mark.broker("postgres"), pytest.mark.rule("1.8")]

FULL = """
CREATE SCHEMA aside;
CREATE TABLE aside.disk (is_full boolean);
INSERT INTO aside.disk VALUES (false);
CREATE FUNCTION aside.room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT is_full FROM aside.disk) THEN
        RAISE EXCEPTION 'could not extend file "base/1/2"' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER room BEFORE UPDATE ON lane FOR EACH STATEMENT EXECUTE FUNCTION aside.room();
"""
OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
INPUT: dict[str, Callable[[], Unit]] = {
    "a run": lambda: Unit(runs=(start(1),)),
    "an event": lambda: Unit(accept=(accept(1, start(1, event=1)),)),
}


class Database:
    """The database of a test, behind a proxy; what is done to it goes past that."""

    def __init__(self, url: str, proxy: Proxy, trouble: str) -> None:
        self.url = url.replace(f":{urlsplit(url).port}", f":{proxy.port}")
        self._direct = url
        self._proxy = proxy
        self._trouble = trouble
        self.told = (
            f"the database {shown(self.url)} "
            + {
                "full": 'refuses: could not extend file "base/1/2"',
                "read only": "refuses: cannot execute {statement} in a read-only transaction",
                "away": f"cannot be reached: [Errno 111] Connect call failed ('127.0.0.1', {proxy.port})",
            }[trouble]
        )

    @property
    def answers(self) -> bool:
        """Does it say itself that it refuses? Else lines break, and who is connected must notice that first."""
        return self._trouble == "full"

    async def _execute(self, *statements: str) -> None:
        settings = {"default_transaction_read_only": "off"}
        connection = await asyncpg.connect(self._direct, server_settings=settings)
        for statement in statements:
            await connection.execute(statement.replace("%s", "pg_backend_pid()"))
        await connection.close()

    async def prepare(self) -> None:
        if self._trouble == "full":
            await self._execute(FULL)

    async def refuse(self, refusing: bool) -> None:
        """Begin, or end, to refuse; who is connected is not told beforehand."""
        name = urlsplit(self._direct).path[1:]
        if self._trouble == "full":
            await self._execute(f"UPDATE aside.disk SET is_full = {refusing}")
        elif self._trouble == "read only":
            await self._execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {refusing}', OTHERS)
        elif refusing:
            await self._proxy.close()
        else:
            await self._proxy.open()


@pytest.fixture(params=["full", "read only", "away"])
async def database(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[Database]:
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        yield Database(postgres_url, proxy, request.param)


def _noticed(lane: PostgresLane) -> bool:
    return lane._connection is None or lane._connection.is_closed()


@pytest.mark.parametrize("what", INPUT)
async def test_input_is_given_back_and_what_is_under_way_is_written(database: Database, what: str) -> None:
    clock = VirtualClock()
    store: Any = open_store(database.url, clock=clock)
    await store.open()

    async def until(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await clock.advance(1)
                await asyncio.sleep(0.01)

    try:
        await database.prepare()
        await store.submit(Unit(marks=(Mark("s", "before", b"v"),)))
        await database.refuse(True)
        await until(lambda: database.answers or all(_noticed(lane) for lane in store._lanes))
        given = asyncio.ensure_future(store.submit(INPUT[what]()))
        kept = asyncio.ensure_future(store.submit(Unit(marks=(Mark("s", "k", b"v"),))))
        await until(given.done)
        error = given.exception()
        assert isinstance(error, StoreUnavailable)
        told = {database.told.format(statement=each) for each in ("SELECT", "UPDATE")}  # in one round trip, or several
        assert (str(error) in told, error.in_doubt) == (True, False), error
        assert (kept.done(), store.refusing in told) == (False, True)
        await database.refuse(False)
        await until(kept.done)
        assert await kept == Committed()
        await until(lambda: not store.refusing)
        assert (await store.event(1), await store.run(1)) == (None, None)
        again = await store.submit(INPUT[what]())
        assert [each.verdict for each in again.started] or [each.new for each in again.accepted] == [True]
        assert (await store.run(1)).id == 1
        assert sorted(await store.marks("s")) == ["before", "k"]
    finally:
        await store.close()


async def test_a_store_closes_while_its_database_refuses(database: Database) -> None:
    store = open_store(database.url, clock=VirtualClock())
    await store.open()
    await database.prepare()
    await store.submit(Unit(runs=(start(1),)))
    await database.refuse(True)
    async with asyncio.timeout(20):
        await store.close()


SILENCE_S = 0.5  # of a database that has a limit of half a second for its statements


@pytest.fixture
async def silenced(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, Proxy]]:
    """A database whose line is kept, and says nothing any more when its proxy is told so."""
    for module in (postgres, postgres_sql):
        monkeypatch.setattr(module, "ANSWER_S", SILENCE_S)
    monkeypatch.setattr(postgres_lane, "connect", functools.partial(postgres_sql.connect, statement_s=SILENCE_S))
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        yield postgres_url.replace(f":{parts.port}", f":{proxy.port}"), proxy


async def test_a_silent_database_refuses_input_and_has_what_was_under_way_written_once(
    silenced: tuple[str, Proxy],
) -> None:
    url, proxy = silenced
    clock = VirtualClock()
    store: Any = open_store(url, clock=clock)
    await store.open()
    try:
        await store.submit(Unit(marks=(Mark("s", "before", b"v"),)))
        proxy.silence()
        asked = asyncio.ensure_future(store.submit(INPUT["a run"]()))
        async with asyncio.timeout(20):
            while not store.refusing:
                await asyncio.sleep(0.01)
        assert store.refusing == f"the database {shown(url)} cannot be reached: it does not answer"
        with pytest.raises(StoreUnavailable) as refused:
            await store.submit(INPUT["an event"]())
        assert str(refused.value) == store.refusing
        assert not asked.done()  # nobody can say yet whether it was written
        proxy.speak()
        async with asyncio.timeout(20):
            while not asked.done():
                await clock.advance(1)
                await asyncio.sleep(0.01)
        assert [each.verdict for each in (await asked).started] == ["begun"]
        assert (await store.run(1)).id == 1
        assert not store.refusing
    finally:
        proxy.speak()
        await store.close()


async def test_a_store_closes_while_its_database_is_silent(silenced: tuple[str, Proxy]) -> None:
    url, proxy = silenced
    store = open_store(url, clock=VirtualClock())
    await store.open()
    await store.submit(Unit(runs=(start(1),)))
    proxy.silence()
    try:
        async with asyncio.timeout(20):
            await store.close()
    finally:
        proxy.speak()
