"""The store in one SQLite file: a writer thread with group commit, short reads in the loop, pages of lists on another
thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import apsw
from msgspec.structs import astuple

from ..core import host
from ..core.clock import SYSTEM, Clock
from ..core.errors import StoreFailed, StoreUnavailable
from ..core.ids import digest
from ..core.limits import READ_TXN_S_MAX
from .contract import Claimed, EventRow, JournalRow, RunRow
from .group import GroupCommit, Submits
from .reads import Reads, Row
from .retention import Retention, blob_steps, bound_unmatched, expired_days
from .sqlite_file import FileLock, InUse, connect, connect_reader, fetch, meaning, path_of, prepare, private_file
from .sqlite_process import ProcessWriter
from .sqlite_transactions import Transactions
from .sqlite_writer import Asking, ThreadWriter, Writer
from .statements import JOURNAL_COLUMNS, RUN_COLUMNS, UNMATCHED, Statement

T = TypeVar("T")
SYNCHRONOUS = {"power": "FULL", "process": "NORMAL"}
_LOCK_S_MAX, _LOCK_WAIT_S = 0.3, 0.05
_ORPHAN_S_MAX = 30.0  # the writer of a process that was killed ends its last group, on a disk that may be slow
_INTERRUPT_STEPS = 100_000  # of SQLite's machine between two looks at the clock


class SqliteStore(Reads, Submits):
    """Implements `contract.Store`. One process at a time; `:memory:` is a private temporary file, gone at `close`."""

    def __init__(self, url: str, *, durability: str, clock: Clock, address: str = "", writer: str = "thread") -> None:
        self.id = ""
        self.node = 0
        self.durability = durability
        self._clock = clock
        path = path_of(url)
        self._private = path is None
        self._by_process = writer == "process" and not self._private and host.has_locks()
        self._claimed_all = False
        self._path = path or private_file()
        self._lock = FileLock(self._path, address)
        self._retention = Retention()
        self._writer: Writer | None = None  # while it is open
        self._process: ProcessWriter | None = None
        self._connection: apsw.Connection | None = None  # of a writer in this process
        self._readers: list[apsw.Connection] = []  # the loop's, and that of the pages
        self._pages = ThreadPoolExecutor(1, thread_name_prefix="store-pages")

    async def open(self) -> None:
        await self._take_lock()
        synchronous = "OFF" if self._private else SYNCHRONOUS[self.durability]
        try:
            if self._by_process:
                self._process = ProcessWriter(self._path, self._clock, self._lost)
                await self._process.begin(self._lock.descriptor)
            self._connection = connect(self._path, synchronous)
            self.id, self.node = prepare(self._connection, self._path)
            self._readers += (connect_reader(self._path), connect_reader(self._path))
            self._readers[1].set_progress_handler(self._too_long, _INTERRUPT_STEPS)
            transactions = Transactions(self._connection, self._path, self.node)
        except apsw.Error as error:
            await self._release()
            ours = meaning(error, self._path, committing=False)
            raise (
                ours if isinstance(ours, (StoreFailed, StoreUnavailable)) else StoreFailed(f"{self._path}: {error}")
            ) from None
        except BaseException:
            await self._release()
            raise
        if self._process is None:
            self._writer = ThreadWriter(transactions, self._clock)
        else:
            self._writer = self._process
            self._process.open(synchronous, self.node, transactions.seen_tables)
            self._close_connection()  # it has one of its own
        self._groups = GroupCommit([self._writer], self._clock)

    def _lost(self, error: StoreFailed) -> None:
        if self._groups is not None:
            self._groups.fail(error)

    async def _take_lock(self) -> None:
        """Take the file's lock; one that was killed a moment ago may still be letting go of it."""
        begun = SYSTEM.monotonic()
        while True:
            try:
                return self._lock.take()
            except InUse as error:
                most = _ORPHAN_S_MAX if error.by_a_dead_one else _LOCK_S_MAX
                if SYSTEM.monotonic() - begun > most:
                    raise
            await SYSTEM.sleep(_LOCK_WAIT_S)

    async def close(self) -> None:
        if self._groups is not None:
            await self._groups.close()
        writer, self._writer = self._writer, None
        self._pages.shutdown()
        self._close_readers()  # before the writer's connection, which alone checkpoints
        if isinstance(writer, ThreadWriter):
            await writer.close()
        await self._release()
        if self._private:
            shutil.rmtree(self._path.parent, ignore_errors=True)

    async def _release(self) -> None:
        self._close_readers()
        self._close_connection()
        if self._process is not None:
            process, self._process = self._process, None
            await process.close()
        self._lock.free()

    def _close_readers(self) -> None:
        while self._readers:
            with contextlib.suppress(apsw.Error):
                self._readers.pop().close()

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        # Its last checkpoint may fail: the next opening has the log all the same.
        with contextlib.suppress(apsw.Error):
            if connection is not None:
                connection.close()

    # -- reads

    def _reader(self, which: int) -> apsw.Connection:
        if self._writer is None:
            raise StoreFailed("the store is closed")
        return self._readers[which]

    async def _all(self, sql: str, *values: Any) -> Sequence[Row]:
        return self._read(0, sql, values)

    async def _page(self, sql: str, *values: Any) -> Sequence[Row]:
        return await asyncio.get_running_loop().run_in_executor(self._pages, self._read_page, sql, values)

    def _read_page(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        self._page_until = self._clock.monotonic() + READ_TXN_S_MAX
        return self._read(1, sql, values)

    def _read(self, which: int, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        try:
            return fetch(self._reader(which), sql, values)
        except apsw.InterruptError:
            raise StoreUnavailable(
                f"a read took over {READ_TXN_S_MAX:g} s and was ended",
                hint="ask for less: a narrower filter, a shorter time",
            ) from None
        except apsw.Error as error:
            raise meaning(error, self._path, committing=False) from None

    def _too_long(self) -> bool:
        return self._clock.monotonic() > self._page_until

    async def _seen_tables(self) -> Sequence[str]:
        return self._writer.seen_tables if self._writer is not None else ()

    async def sizes(self) -> Mapping[str, int]:
        names = await self._page("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        found = {name: (await self._page(f"SELECT count(*) FROM {name}"))[0][0] for (name,) in names}
        for suffix, name in (("", "bytes"), ("-wal", "wal_bytes")):
            file = self._path.with_name(self._path.name + suffix)
            found[name] = file.stat().st_size if file.exists() else 0
        return found

    # -- writes that are no units

    async def _ask(self, asking: Asking[T]) -> T:
        if self._writer is None or self._groups is None:
            raise StoreFailed("the store is closed")
        if self._groups.failed is not None:
            raise StoreFailed(str(self._groups.failed))
        try:
            return await self._writer.ask(asking)
        except StoreFailed as error:
            self._groups.fail(error)
            raise

    async def claim(self, *, runs_max: int) -> Sequence[Claimed]:
        if self._claimed_all and self._groups is not None and self._groups.failed is None:
            return ()  # nobody else writes this file: what was left by those before is taken
        claimed = await self._ask(_claim(self.node, runs_max))
        self._claimed_all = len(claimed) < runs_max
        return claimed

    async def log_unmatched(self, rows: Sequence[EventRow]) -> None:
        await self._ask(_log_unmatched([astuple(row) for row in rows]))

    async def put_blob(self, body: bytes) -> bytes:
        name = digest(body)
        for i, step in enumerate(blob_steps(name, body, self._clock.now)):
            whole = await self._ask(step)
            if i == 0 and whole:
                break
        return name

    async def retain(self, keep: Mapping[str, float], *, limit: int) -> Mapping[str, int]:
        gone: dict[str, int] = {}
        for table, step in self._retention.steps(keep, self._clock.now(), limit):
            gone[table] = await self._ask(step)
        if "dedupe" in keep:
            gone["dedupe"] = await self._drop_days(keep["dedupe"])
        return gone

    async def _drop_days(self, keep_s: float) -> int:
        assert self._writer is not None
        dropped = await self._ask(_dropped_days(self._writer.seen_tables, keep_s))
        self._writer.forget(dropped)
        return len(dropped)


def _claim(node: int, runs_max: int) -> Asking[list[Claimed]]:
    sql = "SELECT id FROM run WHERE state < 10 AND state > 1 AND (node IS NULL OR node <> ?) ORDER BY id LIMIT ?"
    numbers = yield sql, (node, runs_max)
    yield _TAKE._replace(sql=_TAKE.sql.replace("$node", str(node))), numbers
    journals: dict[int, list[JournalRow]] = {}
    for row in (yield _JOURNALS, numbers):
        journals.setdefault(row[0], []).append(JournalRow(*row))
    return [Claimed(RunRow(*row), tuple(journals.get(row[0], ()))) for row in (yield _TAKEN, numbers)]


def _log_unmatched(rows: Sequence[Row]) -> Asking[None]:
    yield UNMATCHED, rows
    yield from bound_unmatched()


def _dropped_days(tables: Sequence[str], keep_s: float) -> Asking[list[str]]:
    dropped = yield from expired_days(tables, keep_s)
    for table in dropped:
        yield f"DROP TABLE {table}", ()
    return dropped


_TAKE = Statement("UPDATE run SET node = $node WHERE id IN (SELECT column1 FROM {v})", ("bigint",))
_TAKEN = Statement(f"SELECT {RUN_COLUMNS} FROM run WHERE id IN (SELECT column1 FROM {{v}}) ORDER BY id", ("bigint",))
_JOURNALS = Statement(
    f"SELECT {JOURNAL_COLUMNS} FROM j WHERE run IN (SELECT column1 FROM {{v}}) ORDER BY run, seq", ("bigint",)
)
