"""The store suite on SQLite, and what is special about a file: its lock, its owner, its errors."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from reactor.core.errors import ConfigError, Fenced, StoreFailed, StoreUnavailable
from reactor.store import open_store, retention, sqlite, statements
from reactor.store.contract import Committed, Flow, FlowDecision, FlowKey, RunStart, Store, Unit
from reactor.store.sqlite import SqliteStore
from reactor.store.sqlite_file import prepare
from reactor.store.statements import Statement
from reactor.testing.clock import VirtualClock
from reactor.testing.store_suite import Reopen, StoreSuite
from reactor.testing.store_units import KEY, run_row, slots, start, step


class TestSqlite(StoreSuite):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/reactor.db"

    @pytest.fixture
    async def opened(self) -> AsyncIterator[list[Store]]:
        stores: list[Store] = []
        yield stores
        for store in stores:
            await store.close()

    @pytest.fixture
    async def store(self, url: str, clock: VirtualClock, opened: list[Store]) -> Store:
        opened.append(open_store(url, clock=clock))
        await opened[0].open()
        return opened[0]

    @pytest.fixture
    def reopen(self, store: Store, url: str, clock: VirtualClock, opened: list[Store]) -> Reopen:
        async def reopen() -> Store:
            await store.close()
            opened.append(open_store(url, clock=clock))
            await opened[-1].open()
            return opened[-1]

        return reopen

    async def test_a_second_process_is_refused_by_name(
        self, store: Store, url: str, tmp_path: Path, clock: VirtualClock
    ) -> None:
        await store.close()
        mine = open_store(url, clock=clock, address="http://127.0.0.1:8000")
        await mine.open()
        with pytest.raises(ConfigError) as caught:
            await open_store(url, clock=clock).open()
        file = tmp_path / "reactor.db"
        assert str(caught.value) == f"the store {file} is in use by process {os.getpid()} at http://127.0.0.1:8000"
        assert caught.value.hint == "stop that process, or give this one a store of its own"
        await mine.close()
        then = open_store(url, clock=clock)
        await then.open()
        await then.close()

    async def test_children_do_not_inherit_the_lock(self, store: Store, url: str, clock: VirtualClock) -> None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
        try:
            await store.close()
            second = open_store(url, clock=clock)
            await second.open()
            await second.close()
        finally:
            child.communicate(b"\n", timeout=10)

    async def test_a_file_that_another_process_took_over_is_not_written(self, store: Store, tmp_path: Path) -> None:
        other = apsw.Connection(str(tmp_path / "reactor.db"))
        other.execute("UPDATE meta SET v = v + 1 WHERE k = 'node'")
        message = f"the store {tmp_path / 'reactor.db'} was opened by another process: this one must write nothing more"
        with pytest.raises(Fenced) as caught:
            await store.submit(Unit(runs=(start(1),)))
        assert str(caught.value) == message
        with pytest.raises(Fenced):
            await store.submit(step(1))
        with pytest.raises(StoreFailed):
            await store.put_blob(b"x")
        assert other.execute("SELECT count(*) FROM run").fetchall() == [(0,)]

    async def test_a_locked_file_is_waited_for(self, store: Store, tmp_path: Path, clock: VirtualClock) -> None:
        await store.submit(Unit(runs=(start(1),)))
        other = apsw.Connection(str(tmp_path / "reactor.db"))
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(store.submit(step(1)))
        async with asyncio.timeout(10):
            while not store.refusing:
                await asyncio.sleep(0.01)
        assert store.refusing == f"another program has locked {tmp_path / 'reactor.db'}"
        with pytest.raises(StoreUnavailable):
            await store.submit(Unit(runs=(start(2),)))
        other.execute("ROLLBACK")
        async with asyncio.timeout(10):
            while not waiting.done():
                await clock.advance(1)
                await asyncio.sleep(0.01)
        assert await waiting == Committed()
        assert store.refusing == ""

    async def test_held_runs_of_a_file_without_lanes_are_in_lanes_of_their_own(
        self, store: Store, url: str, tmp_path: Path, clock: VirtualClock
    ) -> None:
        other = FlowKey("throttle/ship/0", "")
        both = Flow((KEY, other), lambda states, now: FlowDecision("hold", {}))
        starts = [RunStart(run_row(1), both), RunStart(run_row(2), both), RunStart(run_row(3), slots(0))]
        await store.submit(Unit(runs=tuple(starts)))
        await store.close()
        file = apsw.Connection(str(tmp_path / "reactor.db"))
        for sql in (
            "DROP INDEX held_lane",
            "ALTER TABLE held DROP COLUMN lane",
            "DELETE FROM migration WHERE number = 2",
        ):
            file.execute(sql)
        file.close()
        later = open_store(url, clock=clock)
        await later.open()
        assert [(head.lane, head.run) for head in await later.held_lanes(KEY, limit=9)] == [(0, 3), (1, 1), (2, 2)]
        await later.close()

    async def test_a_newer_file_is_refused(self, store: Store, url: str, tmp_path: Path, clock: VirtualClock) -> None:
        await store.close()
        apsw.Connection(str(tmp_path / "reactor.db")).execute("INSERT INTO migration VALUES (9999, 'x')")
        with pytest.raises(ConfigError) as caught:
            await open_store(url, clock=clock).open()
        assert str(caught.value) == (
            f"the store {tmp_path / 'reactor.db'} was written by a newer Reactor:"
            " it has migration 9999, this one knows up to 2"
        )

    async def test_a_migration_that_was_edited_is_refused(
        self, store: Store, url: str, tmp_path: Path, clock: VirtualClock
    ) -> None:
        await store.close()
        apsw.Connection(str(tmp_path / "reactor.db")).execute("UPDATE migration SET checksum = 'x'")
        with pytest.raises(ConfigError) as caught:
            await open_store(url, clock=clock).open()
        assert str(caught.value) == (
            f"the store {tmp_path / 'reactor.db'} is of another build of Reactor: its migration 1 (`first`) is not ours"
        )

    async def test_a_damaged_file_fails_and_says_so(
        self, store: Store, url: str, tmp_path: Path, clock: VirtualClock
    ) -> None:
        await store.close()
        (tmp_path / "reactor.db").write_bytes(b"no database" * 1_000)
        with pytest.raises(StoreFailed) as caught:
            await open_store(url, clock=clock).open()
        assert str(caught.value).startswith(f"the store {tmp_path / 'reactor.db'} is damaged: ")

    async def test_reads_after_close_fail(self, store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(StoreFailed, match=r"^the store is closed$"):
            await store.run(1)

    async def test_sizes_are_told(self, store: Store) -> None:
        await store.submit(Unit(runs=(start(1),)))
        sizes = await store.sizes()
        assert sizes["run"] == 1
        assert sizes["bytes"] > 0


def test_no_statement_reads_a_whole_table() -> None:
    connection = apsw.Connection(":memory:")
    prepare(connection, Path("memory"))
    known = [vars(module).items() for module in (statements, retention, sqlite)]
    found = [(name, each) for items in known for name, each in items if isinstance(each, Statement)]
    assert len(found) > 30
    for name, statement in found:
        rows = "(VALUES " + ", ".join(["(" + ", ".join("?" * len(statement.types)) + ")"] * 8) + ") AS v"
        sql = statement.sql.replace("$node", "1").format(v=rows, lock="")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * 8 * len(statement.types))]
        bounded = ("SCAN v", "SCAN first")  # the rows that are given; the first rows of a search
        scans = [step for step in plan if "SCAN" in step and "VALUES" not in step and step not in bounded]
        assert scans == [], name


async def test_a_private_store_leaves_nothing(clock: VirtualClock) -> None:
    store = open_store(":memory:", clock=clock)
    assert isinstance(store, SqliteStore)
    await store.open()
    folder = store._path.parent
    await store.submit(Unit(runs=(start(1),)))
    assert await store.run(1) is not None
    await store.close()
    assert not folder.exists()


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path, clock: VirtualClock) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_store(f"sqlite:///{tmp_path}/no/reactor.db", clock=clock).open()
    assert str(caught.value) == f"the store {tmp_path}/no/reactor.db cannot be opened: No such file or directory"


async def test_a_folder_is_no_store(tmp_path: Path, clock: VirtualClock) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigError) as caught:
        await open_store(f"sqlite:///{tmp_path}/data", clock=clock).open()
    assert str(caught.value) == f"the store {tmp_path}/data is a folder"
    assert (caught.value.path, caught.value.hint) == ("store", "name a file in it, such as reactor.db")
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("tables", "shown"),
    [(["a"], "a"), (["migration", "orders"], "migration, orders"), (["d", "c", "b", "a"], "a, b, c, …")],
)
async def test_a_database_of_another_program_is_left_as_it_is(
    tmp_path: Path, clock: VirtualClock, tables: list[str], shown: str
) -> None:
    path = tmp_path / "shop.db"
    with apsw.Connection(str(path)) as other:
        for table in tables:
            other.execute(f"CREATE TABLE {table} (n)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        await open_store(f"sqlite:///{path}", clock=clock).open()
    assert str(caught.value) == (
        f"{path} is the database of another program: it has the tables {shown}, and none of Reactor's"
    )
    assert (caught.value.path, caught.value.hint) == ("store", "give Reactor a file of its own")
    assert path.read_bytes() == before


@pytest.mark.parametrize("url", ["mysql://host/db", ""])
def test_a_url_of_no_store_is_refused(url: str, clock: VirtualClock) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url, clock=clock)
    assert str(caught.value) == f"`{url}` names no SQLite file"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()
