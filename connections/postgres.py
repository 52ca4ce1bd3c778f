"""PostgreSQL: a pool of asyncpg. Source: the PostgreSQL documentation, appendix A (error codes)."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Generator
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec
from pydantic import BaseModel

from ..core.clock import SYSTEM
from ..core.depth import decoded
from ..core.errors import ConfigError, NotConnected, ReactorError, StepError, TransientError
from ..core.http import is_loopback
from ..core.limits import MIB
from .configs import PostgresConfig
from .contract import Tls
from .postgres_values import bound, legible_row
from .sql import ONCE_TABLE, Gathered, SqlRequest, Statement, left_open
from .tls import client_context

Session = Any
"""A connection of asyncpg, which has no types of its own."""

_CLOSE_S = 5.0
PORTION_BYTES = 8 * MIB  # of rows that are asked for at once
FIRST_ROWS = 16  # before it is known how large they are
MORE_ROWS = 16  # times as many as before at most: the next may be larger
_STATES = {
    "40P01": "sql.deadlock",
    "55P03": "sql.deadlock",
    "40001": "sql.serialization",
    "40003": "sql.serialization",
    "23505": "sql.unique",
    "42601": "sql.syntax",
    "42P01": "sql.undefined",
    "42703": "sql.undefined",
    "42883": "sql.undefined",
    "42704": "sql.undefined",
    "42P02": "sql.undefined",
    "3F000": "sql.undefined",
    "3D000": "missing_connection",
    "42501": "forbidden",
    "25006": "forbidden",
    "57014": "timeout",
    "P0001": "sql.data",
}
_CLASSES = {
    "08": "connection",
    "22": "sql.data",
    "23": "sql.constraint",
    "28": "unauthorized",
    "42": "sql.syntax",
    "53": "resource_limit",
    "54": "sql.data",
}
_AWAY = ("53300", "57P01", "57P02", "57P03")


class PostgresConnection:
    """One database."""

    kind: ClassVar[str] = "postgres"
    Config: ClassVar[type[BaseModel]] = PostgresConfig

    def __init__(self, name: str, config: PostgresConfig, project: str = ".") -> None:
        self.name = name
        self.config = config
        self._project = project
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._once_ready = False
        host = config.host or urlsplit(config.url or "").hostname or "localhost"
        self.title = f"PostgreSQL at {host}"

    async def open(self) -> None:
        """Open the pool and its first connections."""
        await self._opened()

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                asyncpg = _library()
                config = self.config
                with translated(self.title):
                    self._pool = await asyncpg.create_pool(
                        config.url,
                        host=config.host,
                        port=config.port if config.host is not None else None,
                        database=config.database,
                        user=config.user,
                        password=config.password,
                        ssl=self._ssl(),
                        timeout=config.timeout,
                        min_size=config.pool.min,
                        max_size=config.pool.max,
                        init=_prepare,
                        server_settings={
                            "application_name": f"reactor {self.name}",
                            "statement_timeout": str(round(config.statement_timeout * 1000)),
                        },
                    )
            return self._pool

    def _ssl(self) -> Any:
        tls = self.config.tls
        if isinstance(tls, Tls) and tls.server_name is not None:
            said = "`server_name` cannot be used with postgres: the certificate is checked by the name in `host`"
            raise ConfigError(said, path="tls.server_name")
        if isinstance(tls, Tls) or tls is True:
            return client_context(tls, self._project)
        if tls is False:
            return False
        if tls is None and self.config.url is not None and "sslmode=" in self.config.url:
            return None  # asyncpg reads it
        host = self.config.host or urlsplit(self.config.url or "").hostname or "localhost"
        return "prefer" if tls == "prefer" or is_loopback(host) or host.startswith("/") else "verify-full"

    async def close(self) -> None:
        """Close the pool; what is still running after 5 s is cut."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    async def test(self) -> str:
        """The server's version."""
        begun = SYSTEM.monotonic()
        version = await self.run(SqlRequest(("show server_version",), result="value"))
        return f"{self.title}, version {version}, answered in {round((SYSTEM.monotonic() - begun) * 1000)} ms"

    async def run(self, request: SqlRequest) -> Any:
        """As SqlConnection."""
        pool = await self._opened()
        with translated(self.title), _readable():
            async with pool.acquire(timeout=self.config.timeout) as session:
                if request.once and not self._once_ready:
                    await _make_once_table(session)
                    self._once_ready = True
                if request.plain:
                    statement, params = next(iter(request.work("postgres")))
                    gathered = Gathered(request)
                    prepared = await session.prepare(statement.text)
                    if not prepared.get_attributes():  # may be one that no transaction takes
                        await _execute(request, statement, params, prepared, gathered)
                        if session.is_in_transaction():
                            await session.execute("ROLLBACK")
                            raise left_open()
                        return gathered.output()
                async with session.transaction(isolation=request.isolation, readonly=request.read_only):
                    return await (_once(session, request) if request.once else _work(session, request))


def _library() -> Any:
    return importlib.import_module("asyncpg")


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def _prepare(session: Any) -> None:
    for name in ("json", "jsonb"):
        await session.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=_json_text,
            decoder=decoded,
        )


async def _work(session: Session, request: SqlRequest) -> Any:
    gathered = Gathered(request)
    prepared: dict[str, Any] = {}
    for statement, params in request.work("postgres"):
        ready = prepared.get(statement.text)
        if ready is None:
            ready = prepared[statement.text] = await session.prepare(statement.text)
        await _execute(request, statement, params, ready, gathered)
    return gathered.output()


async def _execute(request: SqlRequest, statement: Statement, params: Any, prepared: Any, gathered: Gathered) -> None:
    values = request.values(statement, params)
    types = prepared.get_parameters()
    if len(types) > len(values):
        raise StepError("sql.syntax", "the query has places such as `$1`", hint="name its parameters: `:name`")
    given = [bound(name, value, kind) for name, value, kind in zip(statement.names, values, types, strict=True)]
    columns = [attribute.name for attribute in prepared.get_attributes()]
    rows: list[Any] = []
    if columns:
        cursor = await prepared.cursor(*given)
        async for portion in _portions(cursor, gathered):
            rows += portion
        gathered.take(columns, rows, len(rows))
    else:
        await prepared.fetch(*given)
        last = str(prepared.get_statusmsg()).rpartition(" ")[2]
        gathered.take([], [], int(last) if last.isdigit() else 0)


async def _portions(cursor: Any, gathered: Gathered) -> AsyncIterator[list[Any]]:
    """The rows as they are given, so many at a time as have PORTION_BYTES by what came before; a few at first."""
    left, count = gathered.room, FIRST_ROWS
    while left > 0:
        wanted = min(left, count)
        rows = [legible_row(row) for row in await cursor.fetch(wanted)]
        size = gathered.weigh(rows)
        yield rows
        left -= wanted
        if len(rows) < wanted:
            return
        count = max(1, min(wanted * MORE_ROWS, wanted * PORTION_BYTES // max(1, size)))


async def _make_once_table(session: Session) -> None:
    asyncpg = _library()
    with contextlib.suppress(asyncpg.UniqueViolationError, asyncpg.DuplicateTableError):  # another made it just now
        await session.execute(
            f"CREATE TABLE IF NOT EXISTS {ONCE_TABLE} "
            "(key text PRIMARY KEY, result text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
        )


async def _once(session: Session, request: SqlRequest) -> Any:
    """The row is put in first: whoever comes with the same key meanwhile waits for it, and finds the result."""
    made = await session.execute(
        f"INSERT INTO {ONCE_TABLE} (key, result) VALUES ($1, '') ON CONFLICT DO NOTHING", request.key
    )
    if made.endswith(" 0"):
        kept: Any = await session.fetchval(f"SELECT result FROM {ONCE_TABLE} WHERE key = $1", request.key)
        return msgspec.json.decode(str(kept))
    output = await _work(session, request)
    kept = msgspec.json.encode(output).decode()
    await session.execute(f"UPDATE {ONCE_TABLE} SET result = $2 WHERE key = $1", request.key, kept)
    return output


@contextlib.contextmanager
def _readable() -> Generator[None]:
    """A value of the result that Python has no form for, such as a date before Christ; deeply nested JSON."""
    try:
        yield
    except (OverflowError, ValueError) as e:
        if isinstance(e, _library().InterfaceError):
            raise
        hint = "cast it to text in the query"
        raise StepError("sql.data", f"a value in the result cannot be read: {e}", hint=hint) from e


@contextlib.contextmanager
def translated(title: str) -> Generator[None]:
    """Errors of asyncpg and of the server as ours."""
    asyncpg = _library()
    try:
        yield
    except asyncpg.PostgresError as e:
        raise error_of(e, title) from e
    except (asyncpg.exceptions.DataError, asyncpg.InterfaceError) as e:
        if isinstance(e, (ValueError, asyncpg.exceptions.DataError)) and "closed" not in str(e):
            raise StepError("sql.data", str(e)) from e
        raise NotConnected(f"{title}: {e}") from e
    except TimeoutError as e:
        raise TransientError(f"{title} took too long to answer", code="timeout") from e
    except OSError as e:
        if "certificate" in str(e).lower():
            raise StepError("tls", f"{title}: {e}") from e
        raise NotConnected(f"{title}: {e.strerror or e}") from e


def error_of(error: Any, title: str) -> ReactorError:
    """By SQLSTATE: the exact code first, then its class; else `sql.<sqlstate>`."""
    state: str = error.sqlstate or ""
    text = str(error.args[0] if error.args else error)
    details = {"sqlstate": state}
    for name in ("constraint_name", "table_name", "column_name", "detail"):
        if getattr(error, name, None):
            details[name.removesuffix("_name")] = getattr(error, name)
    if state in _AWAY:
        return NotConnected(f"{title}: {text}", details=details)
    code = _STATES.get(state) or _CLASSES.get(state[:2]) or (f"sql.{state.lower()}" if state else "sql")
    if code == "connection":
        return NotConnected(f"{title}: {text}", details=details)
    if code == "timeout":
        return TransientError(f"{title}: {text}", code="timeout", details=details)
    if code == "unauthorized":
        return ConfigError(f"{title}: {text}", code="unauthorized", details=details)
    hint = getattr(error, "hint", None) or ""
    return StepError(code, text, hint=hint, details=details)
