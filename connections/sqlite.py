"""SQLite: a few connections to one file, each used by one thread at a time.

Source: the SQLite documentation on result codes, transactions and PRAGMA query_only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import msgspec
from pydantic import BaseModel

from ..core.clock import SYSTEM
from ..core.errors import ReactorError, StepError, TransientError
from ..core.limits import MIB
from .configs import SqliteConfig
from .sql import ONCE_TABLE, Gathered, SqlRequest, Statement, left_open

Database = Any
"""A connection of apsw, imported at first use."""

CONNECTIONS_MAX = 4
VALUE_BYTES_MAX = 256 * MIB  # of one text or blob: the library's own limit would fill the memory


class SqliteConnection:
    """One database file."""

    kind: ClassVar[str] = "sqlite"
    Config: ClassVar[type[BaseModel]] = SqliteConfig

    def __init__(self, name: str, config: SqliteConfig, project: str = ".") -> None:
        self.name = name
        self.path = os.path.abspath(os.path.join(project, config.path))
        self._busy_ms = round(config.timeout * 1000)
        self._free: list[Database] = []
        self._threads: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Open the file once. Raises StepError `missing_connection` if it cannot be opened."""
        await self._in_thread(_nothing, [])

    async def close(self) -> None:
        """Close the file."""
        if self._threads is not None:
            threads, self._threads = self._threads, None
            await asyncio.to_thread(threads.shutdown)
        free, self._free = self._free, []
        for connection in free:
            connection.close()

    async def test(self) -> str:
        """The library's version and the file's size."""
        begun = SYSTEM.monotonic()
        query = "select sqlite_version(), page_count * page_size from pragma_page_count(), pragma_page_size()"
        row: Any = await self.run(SqlRequest((query,)))
        version, size = row["rows"][0].values()
        took = round((SYSTEM.monotonic() - begun) * 1000)
        return f"SQLite {version}, {self.path}, {size} bytes, answered in {took} ms"

    async def run(self, request: SqlRequest) -> Any:
        """As SqlConnection."""
        used: list[Database] = []
        return await self._in_thread(partial(_carry_out, request), used)

    async def _in_thread(self, function: Any, used: list[Database]) -> Any:
        """Call it with a connection, in a thread; cancelled, interrupt the statement and wait for the roll-back."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(CONNECTIONS_MAX, thread_name_prefix=f"reactor-sqlite-{self.name}")
        cancelled: list[bool] = []

        def call() -> Any:
            if cancelled:
                return None
            with translated(self.path):
                connection = self._take()
                used.append(connection)
                try:
                    return function(connection)
                finally:
                    used.clear()
                    self._free.append(connection)

        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled.append(True)
            while not future.done():
                for connection in list(used):
                    connection.interrupt()
                await asyncio.wait([future], timeout=0.05)
            if not future.cancelled():
                future.exception()
            raise

    def _take(self) -> Database:
        import apsw

        if self._free:
            return self._free.pop()
        connection = apsw.Connection(self.path)
        connection.set_busy_timeout(self._busy_ms)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
        return connection


def _nothing(connection: Database) -> None:
    return None


def _carry_out(request: SqlRequest, connection: Database) -> Any:
    if request.plain:
        try:
            output = _work(connection, request)
            if connection.in_transaction:
                raise left_open()
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return output
    if request.read_only:
        connection.execute("PRAGMA query_only = 1")
    try:
        connection.execute("BEGIN" if request.read_only else "BEGIN IMMEDIATE")
        try:
            output = _once(connection, request) if request.once else _work(connection, request)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return output
    finally:
        if request.read_only:
            connection.execute("PRAGMA query_only = 0")


def _once(connection: Database, request: SqlRequest) -> Any:
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {ONCE_TABLE} (key TEXT PRIMARY KEY, result TEXT NOT NULL, at TEXT NOT NULL)"
    )
    for (kept,) in connection.execute(f"SELECT result FROM {ONCE_TABLE} WHERE key = ?", (request.key,)):
        return msgspec.json.decode(str(kept))
    output = _work(connection, request)
    kept = msgspec.json.encode(output).decode()
    connection.execute(f"INSERT INTO {ONCE_TABLE} VALUES (?, ?, datetime('now'))", (request.key, kept))
    return output


def _work(connection: Database, request: SqlRequest) -> Any:
    gathered = Gathered(request)
    for statement, params in request.work("sqlite"):
        values = request.values(statement, params)
        bindings = tuple(_bound(name, value) for name, value in zip(statement.names, values, strict=True))
        _execute(connection, statement, bindings, gathered)
    return gathered.output()


def _execute(connection: Database, statement: Statement, bindings: tuple[Any, ...], gathered: Gathered) -> None:
    columns: list[str] = []
    reads: list[bool] = []

    def look(cursor: Any, text: str, given: Any) -> bool:
        columns[:] = [row[0] for row in cursor.get_description()]
        reads.append(cursor.is_readonly)
        return True

    before = connection.total_changes()
    cursor = connection.cursor()
    cursor.exec_trace = look
    try:
        cursor.execute(statement.text, bindings)
        rows: list[Any] = []
        for row in cursor:
            gathered.weigh((row,))
            rows.append(row)
            if len(rows) >= gathered.room:
                break
        changed = connection.changes() if connection.total_changes() != before else 0
        gathered.take(columns, rows, len(rows) if all(reads) or columns else changed)
    finally:
        cursor.close(True)


def _bound(name: str, value: Any) -> Any:
    """A JSON value as SQLite takes it: truth values as 0 and 1, lists and mappings as JSON text."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (list, dict)):
        return msgspec.json.encode(value).decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise StepError("sql.data", f"parameter `:{name}`: {value} does not fit into 64 bits")
    return value


@contextlib.contextmanager
def translated(path: str) -> Generator[None]:
    """Errors of SQLite as ours, by their result code."""
    import apsw

    try:
        yield
    except ReactorError:
        raise
    except apsw.Error as e:
        raise error_of(e, path) from e
    except UnicodeDecodeError as e:
        hint = "cast it to a blob: it is given as base64 then"
        raise StepError("sql.data", "a text in the result is not UTF-8", hint=hint) from e


def error_of(error: Exception, path: str) -> ReactorError:
    """`sql.*` and the others, from the primary and the extended result code."""
    import apsw

    text = str(error).strip()
    primary: int = getattr(error, "result", 1)
    extended: int = getattr(error, "extendedresult", primary)
    details = {"sqlite": apsw.mapping_extended_result_codes.get(extended) or apsw.mapping_result_codes.get(primary)}
    unique = (apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID)
    if primary == apsw.SQLITE_BUSY:
        code = "sql.serialization" if extended == apsw.SQLITE_BUSY_SNAPSHOT else "sql.deadlock"
        return TransientError(f"the database is locked by another: {text}", code=code, details=details)
    if primary == apsw.SQLITE_INTERRUPT:
        return TransientError("the query was interrupted", code="timeout", details=details)
    if primary == apsw.SQLITE_IOERR:
        return TransientError(f"{path}: {text}", code="connection", details=details)
    if primary in (apsw.SQLITE_CANTOPEN, apsw.SQLITE_NOTADB, apsw.SQLITE_CORRUPT):
        return StepError("missing_connection", f"{path} cannot be opened as a database: {text}", details=details)
    codes: dict[int, str] = {
        apsw.SQLITE_LOCKED: "sql.deadlock",
        apsw.SQLITE_CONSTRAINT: "sql.unique" if extended in unique else "sql.constraint",
        apsw.SQLITE_MISMATCH: "sql.data",
        apsw.SQLITE_RANGE: "sql.data",
        apsw.SQLITE_TOOBIG: "too_large",
        apsw.SQLITE_READONLY: "forbidden",
        apsw.SQLITE_PERM: "forbidden",
        apsw.SQLITE_AUTH: "forbidden",
        apsw.SQLITE_FULL: "resource_limit",
        apsw.SQLITE_NOMEM: "resource_limit",
    }
    code = codes.get(primary, "sql.syntax")
    if code == "sql.syntax" and any(words in text for words in ("no such ", "unknown database")):
        code = "sql.undefined"
    return StepError(code, text, details=details)
