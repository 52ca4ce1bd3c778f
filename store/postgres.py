"""The store in PostgreSQL: the same contract as SQLite's, for several processes at once (architecture §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import astuple

from ..core.clock import Clock, SystemClock
from ..core.errors import ConfigError, StoreFailed, StoreUnavailable
from ..core.ids import digest, fresh_store_id
from ..core.limits import READ_TXN_S_MAX
from .contract import Claimed, EventRow, JournalRow, RunRow
from .days import OVERLAP_S
from .group import GroupCommit, Submits
from .migrations import pending
from .postgres_days import Days
from .postgres_known import KnownRuns
from .postgres_lane import PostgresLane
from .postgres_node import Lease, bury, end_node, living_server, new_node
from .postgres_sql import ANSWER_S, STATEMENTS_KEPT, Connection, connect, driver, hang_up, meaning, numbered, run, shown
from .reads import Reads, Row
from .retention import Ask, Retention, blob_steps, bound_unmatched, expired_days
from .statements import JOURNAL_COLUMNS, RUN_COLUMNS, UNMATCHED, Statement

T = TypeVar("T")
LANES = 1  # a second one halves the groups: on a machine shared with the database it cost a third of the throughput
_READERS_MAX = 4
_SYNCHRONOUS = {"power": "on", "process": "off"}

_OWNERS = "SELECT DISTINCT node FROM run WHERE state < 10 AND node IS NOT NULL AND node <> $1"
_FREE = """SELECT id FROM run WHERE state < 10 AND state > 1 AND (node IS NULL OR node = ANY($1::bigint[]))
    ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"""
_MINE = "SELECT id FROM run WHERE id = ANY($1::bigint[]) AND node = $2 ORDER BY id FOR UPDATE"
_TAKE = f"UPDATE run SET node = $1 WHERE id = ANY($2::bigint[]) RETURNING {RUN_COLUMNS}"
_JOURNALS = Statement(
    f"SELECT {JOURNAL_COLUMNS} FROM j WHERE run IN (SELECT column1 FROM {{v}}) ORDER BY run, seq", ("bigint",)
)


class PostgresStore(Reads, Submits):
    """Implements `contract.Store`. Any number of processes may have it open, each a node of its own; one serves.

    `address`: where this process is reached if it serves; `open` refuses a second one, naming the first (ConfigError).
    """

    def __init__(self, url: str, *, durability: str, clock: Clock, address: str = "") -> None:
        self.id = ""
        self.node = 0
        self.durability = durability
        self._url = url
        self._clock = clock
        self._address = address
        self._days = Days(url)
        self._known = KnownRuns()
        self._retention = Retention()
        self._lanes: list[PostgresLane] = []
        self._lease: Lease | None = None
        self._pool: Any = None
        self._open = False
        self._one_claim = asyncio.Lock()
        self._claiming: list[int] = []  # runs of a claim that is not answered yet

    async def open(self) -> None:
        connection = await connect(self._url)
        try:
            await self._check_clock(connection)
            self.id = await _migrate(connection, f"the store {shown(self._url)}")
            self.node = await new_node(connection, self._address, LANES)
            if self._address and (address := await living_server(connection, self.node)):
                await end_node(connection, self.node)
                raise ConfigError(
                    f"the store {shown(self._url)} is in use by a process at {address}",
                    path="store",
                    hint="stop that process, or give this one a database of its own",
                )
        finally:
            await hang_up(connection)
        await self._days.refresh()
        settings = {"application_name": "reactor", "statement_timeout": str(int(READ_TXN_S_MAX * 1000))}
        self._pool = await driver().create_pool(
            self._url,
            min_size=1,
            max_size=_READERS_MAX,
            server_settings=settings,
            statement_cache_size=STATEMENTS_KEPT,
            command_timeout=READ_TXN_S_MAX + ANSWER_S,
        )
        synchronous = _SYNCHRONOUS[self.durability]
        self._lanes = [
            PostgresLane(self._url, self.node, no, self._clock, self._days, self._known, synchronous)
            for no in range(LANES)
        ]
        self._groups = GroupCommit(self._lanes, self._clock)
        self._lease = Lease(self._url, self.node, self._groups.fail)
        self._open = True

    async def _check_clock(self, connection: Connection) -> None:
        """The days of dedupe records overlap by a minute: two nodes must agree better than that on what day it is."""
        if not isinstance(self._clock, SystemClock):
            return
        ahead = self._clock.now() - await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        if abs(ahead) > OVERLAP_S / 2:
            raise ConfigError(
                f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the one of"
                f" {shown(self._url)}",
                path="store",
                hint="set both by NTP",
            )

    async def close(self) -> None:
        self._open = False
        if self._groups is not None:
            await self._groups.close()
        for lane in self._lanes:
            await lane.close()
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await asyncio.get_running_loop().run_in_executor(None, lease.stop)
            await self._leave()
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                async with asyncio.timeout(ANSWER_S):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    async def _leave(self) -> None:
        """Give the lease back; if the database is away, or read only, it runs out by itself."""
        try:
            connection = await connect(self._url)
        except StoreUnavailable:
            return
        try:
            await end_node(connection, self.node)
        except Exception as error:  # noqa: BLE001  # the driver's errors become ours here
            if not isinstance(ours := meaning(error, self._url), StoreUnavailable):
                raise ours from None
        finally:
            await hang_up(connection)

    # -- reads

    async def _all(self, sql: str, *values: Any) -> Sequence[Row]:
        if not self._open:
            raise StoreFailed("the store is closed")
        try:
            return await self._pool.fetch(numbered(sql), *values)
        except Exception as error:  # noqa: BLE001  # the driver's errors become ours here
            raise meaning(error, self._url) from None

    async def _page(self, sql: str, *values: Any) -> Sequence[Row]:
        return await self._all(sql, *values)

    async def _seen_tables(self) -> Sequence[str]:
        return self._days.tables

    async def sizes(self) -> Mapping[str, int]:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        found = {name: (await self._all(f"SELECT count(*) FROM {name}"))[0][0] for (name,) in await self._all(sql)}
        found["bytes"] = (await self._all("SELECT pg_database_size(current_database())"))[0][0]
        return found

    # -- writes that are no units

    async def _transaction(self, asking: Generator[Ask, Sequence[Sequence[Any]], T]) -> T:
        """Answer a generator's questions in one transaction, in which this node must still have its lease."""
        if self._groups is None or not self._open:
            raise StoreFailed("the store is closed")
        if self._groups.failed is not None:
            raise StoreFailed(str(self._groups.failed))
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                if await connection.fetchval("SELECT 1 FROM node WHERE id = $1 FOR KEY SHARE", self.node) is None:
                    raise StoreFailed(f"node {self.node} has lost its lease", hint="start again")
                return await _drive(connection, asking)
        except Exception as error:  # noqa: BLE001  # the driver's errors become ours here
            raise meaning(error, self._url) from None

    async def claim(self, *, runs_max: int) -> Sequence[Claimed]:
        if self._lease is not None and self._lease.good_standing:
            async with self._pool.acquire() as connection:
                await bury(connection)
        # Owners first, then the living: a node is a row before it owns a run, so who owns and does not live is dead.
        owners = {row[0] for row in await self._all(_OWNERS, self.node)}
        living = {row[0] for row in await self._all("SELECT id FROM node")} if owners else set[int]()
        async with self._one_claim:
            claimed = await self._transaction(self._claim(sorted(owners - living), runs_max))
            self._claiming = []
        return claimed

    def _claim(self, dead: Sequence[int], runs_max: int) -> Generator[Ask, Sequence[Sequence[Any]], list[Claimed]]:
        """Take free runs, and those of a claim before whose answer was lost: nobody else would ever take them."""
        found: list[int] = []
        if self._claiming:
            found = [row[0] for row in (yield _MINE, (self._claiming, self.node))]
        if len(found) < runs_max:
            found += [row[0] for row in (yield _FREE, (dead, runs_max - len(found)))]
        self._claiming = found
        taken = yield _TAKE, (self.node, found)
        journals: dict[int, list[JournalRow]] = {}
        for row in (yield _JOURNALS, [(number,) for number in found]):
            journals.setdefault(row[0], []).append(JournalRow(*row))
        return [Claimed(RunRow(*row), tuple(journals.get(row[0], ()))) for row in sorted(taken, key=_first)]

    async def log_unmatched(self, rows: Sequence[EventRow]) -> None:
        await self._transaction(_log_unmatched(rows))

    async def put_blob(self, body: bytes) -> bytes:
        name = digest(body)
        for i, step in enumerate(blob_steps(name, body, self._clock.now)):
            whole = await self._transaction(step)
            if i == 0 and whole:
                break
        return name

    async def retain(self, keep: Mapping[str, float], *, limit: int) -> Mapping[str, int]:
        gone: dict[str, int] = {}
        for table, step in self._retention.steps(keep, self._clock.now(), limit):
            gone[table] = await self._transaction(step)
        if "dedupe" in keep:
            await self._days.refresh()
            old = await self._transaction(expired_days(self._days.tables, keep["dedupe"]))
            for table in old:
                await self._transaction(_drop(table))
            await self._days.refresh()
            gone["dedupe"] = len(old)
        return gone


async def _migrate(connection: Connection, where: str) -> str:
    """Bring the database to today's shape; two processes may come at once. The store's id."""
    await connection.execute(
        "DO $$ BEGIN CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY, checksum text NOT NULL);"
        " EXCEPTION WHEN unique_violation OR duplicate_table THEN NULL; END $$"
    )
    async with connection.transaction():
        await connection.execute("LOCK TABLE migration IN ACCESS EXCLUSIVE MODE")
        applied = dict(await connection.fetch("SELECT number, checksum FROM migration"))
        for migration in pending("postgres", applied, where):
            await connection.execute(migration.sql)
            await connection.execute("INSERT INTO migration VALUES ($1, $2)", migration.number, migration.checksum)
        await connection.execute("INSERT INTO meta VALUES ('id', $1) ON CONFLICT DO NOTHING", fresh_store_id())
        return await connection.fetchval("SELECT v FROM meta WHERE k = 'id'")


async def _drive(connection: Connection, asking: Generator[Ask, Sequence[Sequence[Any]], T]) -> T:
    answer: Any = None
    while True:
        try:
            statement, values = asking.send(answer)
        except StopIteration as ended:
            return ended.value
        if isinstance(statement, Statement):
            answer = await run(connection, statement, values)
        else:
            answer = await connection.fetch(numbered(statement), *values)


def _log_unmatched(rows: Sequence[EventRow]) -> Generator[Ask, Sequence[Sequence[Any]], int]:
    yield UNMATCHED, [astuple(row) for row in rows]
    return (yield from bound_unmatched())


def _drop(table: str) -> Generator[Ask, Sequence[Sequence[Any]], None]:
    yield f"DROP TABLE IF EXISTS {table}", ()


def _first(row: Sequence[Any]) -> Any:
    return row[0]
