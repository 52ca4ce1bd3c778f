"""One SQLite file: where it is, who holds it, how its connections are set, and what its errors mean.

Source: SQLite, "Write-Ahead Logging" and "Result and Error Codes"; flock(2).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import apsw

from ..core import host
from ..core.errors import ConfigError, StoreFailed, StoreUnavailable
from ..core.ids import fresh_store_id
from .migrations import pending
from .statements import Statement

BUSY_MS_MAX = 1_000  # another program's lock is waited for this long, then the store refuses
CHECKPOINT_PAGES = 4_000  # WAL of about 15 MiB; the writer's own checkpoint, which alone resets the log under load
_WAL_BYTES_KEPT = 64 << 20
_OURS = frozenset(("migration", "meta", "run"))  # the first opening makes all of them at once
_SQL_CHARS_MAX = 16_000  # apsw keeps no longer statement prepared
_STATEMENTS_KEPT = 512


def path_of(url: str) -> Path | None:
    """The file that a `sqlite:///…` URL names; None for a private temporary one (`:memory:`). Raises ConfigError."""
    name = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else url
    if name in (":memory:", "sqlite://", "sqlite://:memory:"):
        return None
    if not name or "://" in name:
        raise ConfigError(
            f"`{url}` names no SQLite file",
            path="store",
            hint="write sqlite:///reactor.db, sqlite:////var/lib/reactor/reactor.db, or postgresql://user@host/db",
        )
    return Path(name)


class InUse(ConfigError):
    """Another process has the file: `holder`, whose number is 0 if it has not said it yet."""

    holder = 0

    @property
    def by_a_dead_one(self) -> bool:
        """Has it ended? What it started to write for it ends as well, after its last group."""
        return self.holder > 0 and not host.lives(self.holder)


class FileLock:
    """An exclusive lock beside a database, held by the process: kill -9 frees it, spawned children do not inherit
    it.
    """

    def __init__(self, database: Path, address: str) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._database = database
        self._address = address
        self._descriptor = -1

    def take(self) -> None:
        """Raises InUse naming the holder's pid and address if another process has it, ConfigError if it cannot be
        opened.
        """
        if self._database.is_dir():
            raise ConfigError(
                f"the store {self._database} is a folder", path="store", hint="name a file in it, such as reactor.db"
            )
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(
                f"the store {self._database} cannot be opened: {error.strerror or error}",
                path="store",
                hint="name a file in a folder that exists and that this user may write",
            ) from None
        try:
            host.lock(descriptor)
        except OSError:
            number, holder = _holder(descriptor)
            os.close(descriptor)
            in_use = InUse(
                f"the store {self._database} is in use by {holder}",
                path="store",
                hint="stop that process, or give this one a store of its own",
            )
            in_use.holder = number
            raise in_use from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "address": self._address}).encode(), 0)
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        """Of the open file that is locked; a process that inherits it holds the lock as well."""
        return self._descriptor

    def free(self) -> None:
        """Let others have it; the file stays, so that two who come at once lock the same one."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def _holder(descriptor: int) -> tuple[int, str]:
    """Number and name of the process that has the lock."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        number = int(found["pid"])
        return number, f"process {number}" + (f" at {found['address']}" if found["address"] else "")
    except (ValueError, KeyError, TypeError):
        return 0, "another process that has not said its name yet"


def private_file() -> Path:
    """A database that nobody else sees, in a folder of its own."""
    return Path(tempfile.mkdtemp(prefix="reactor-")) / "private.db"


def connect(path: Path, synchronous: str) -> apsw.Connection:
    """The connection that writes: the only one that does, checkpoints included.

    Raises ConfigError for a database of another program; it is left as it is.
    """
    connection = apsw.Connection(str(path), statementcachesize=_STATEMENTS_KEPT)
    connection.set_busy_timeout(BUSY_MS_MAX)
    tables = [name for (name,) in fetch(connection, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    if tables and not _OURS.issubset(tables):
        connection.close()
        shown = ", ".join(sorted(tables)[:3]) + (", …" if len(tables) > 3 else "")
        raise ConfigError(
            f"{path} is the database of another program: it has the tables {shown}, and none of Reactor's",
            path="store",
            hint="give Reactor a file of its own",
        )
    for pragma in (
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"journal_size_limit={_WAL_BYTES_KEPT}",
        "cache_size=-65536",
        "temp_store=MEMORY",
    ):
        fetch(connection, f"PRAGMA {pragma}")
    return connection


def connect_reader(path: Path) -> apsw.Connection:
    """A connection that reads, and neither writes nor checkpoints."""
    connection = apsw.Connection(str(path), statementcachesize=_STATEMENTS_KEPT)
    connection.set_busy_timeout(BUSY_MS_MAX)
    for pragma in ("wal_autocheckpoint=0", "query_only=ON", "cache_size=-16384", "temp_store=MEMORY"):
        fetch(connection, f"PRAGMA {pragma}")
    return connection


def prepare(connection: apsw.Connection, path: Path) -> tuple[str, int]:
    """Bring the file to today's shape, and draw this opening's node number; the store's id and that number."""
    fetch(connection, "BEGIN IMMEDIATE")
    with connection:
        fetch(
            connection,
            "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, checksum TEXT NOT NULL) STRICT",
        )
        applied = dict(fetch(connection, "SELECT number, checksum FROM migration"))
        for migration in pending("sqlite", applied, f"the store {path}"):
            fetch(connection, migration.sql)
            fetch(connection, "INSERT INTO migration VALUES (?, ?)", (migration.number, migration.checksum))
        fetch(connection, "INSERT OR IGNORE INTO meta VALUES ('id', ?), ('node', 0)", (fresh_store_id(),))
        fetch(connection, "UPDATE meta SET v = v + 1 WHERE k = 'node'")
    fetch(connection, "COMMIT")
    found = dict(fetch(connection, "SELECT k, v FROM meta"))
    return found["id"], found["node"]


def fetch(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[Any]:
    """All rows of a statement. (apsw's own annotations are not whole: here its rows become ours.)"""
    return cast("Any", connection).execute(sql, values).fetchall()


_texts: dict[tuple[str, int, int], str] = {}


def run(connection: apsw.Connection, statement: Statement, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Carry out a statement about rows, in as few calls as can be: each lets go of the interpreter's lock, and a busy
    loop may keep it for its whole switch interval before it gives it back.
    """
    width = len(statement.types)
    most = _size(_SQL_CHARS_MAX // (2 * width + 3) // 2 + 1)
    found: list[Any] = []
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        size = _size(len(part))
        text = _texts.get((statement.sql, width, size))
        if text is None:
            row = "(" + ",".join("?" * width) + ")"
            text = statement.sql.format(v=f"(VALUES {','.join([row] * size)}) AS v", lock="")
            if len(_texts) > 4 * _STATEMENTS_KEPT:
                _texts.clear()
            _texts[statement.sql, width, size] = text
        cells: list[Any] = list(chain.from_iterable(part))
        if size > len(part):
            cells += [None] * (width * (size - len(part)))
        found += fetch(connection, text, cells)
    return found


def _size(rows: int) -> int:
    """The power of two from `rows` on: few sizes, so that statements stay prepared."""
    return 1 << (rows - 1).bit_length()


def meaning(error: apsw.Error, path: Path, *, committing: bool) -> BaseException:
    """A database error as ours: StoreUnavailable (rolled back, wait), StoreFailed (close for good), or itself (a
    unit's fault).
    """
    if isinstance(error, apsw.IOError) and committing:
        return StoreFailed(
            f"the disk failed while {path} was being committed, and whether that commit stands is unknown: {error}",
            hint="start again: the next opening reads what stands; look at the disk",
        )
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return StoreFailed(f"the store {path} is damaged: {error}", hint="stop, and restore the newest backup")
    if isinstance(error, apsw.FullError):
        return StoreUnavailable(f"the disk that holds {path} is full", hint="free some space: it goes on by itself")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreUnavailable(f"another program has locked {path}", hint="end its transaction: it goes on by itself")
    if isinstance(
        error, (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.NoMemError)
    ):
        return StoreUnavailable(
            f"the store {path} cannot be written now: {error}",
            hint="see that this user may write the file and its folder: it goes on by itself",
        )
    return error


def day_tables(names: Iterable[str]) -> list[str]:
    """The tables of dedupe records among these, newest first."""
    return sorted((name for name in names if name.startswith("seen_")), reverse=True)
