"""How PostgreSQL is spoken to: the driver, statements in its dialect, and what its errors mean. A URL's password is
never shown.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from ..core.errors import ConfigError, StoreFailed, StoreUnavailable
from ..core.limits import GROUP_S_MAX
from .statements import Statement

Connection = Any
"""An asyncpg connection: the driver has no types of its own."""

STATEMENTS_KEPT = 400
_IDLE_IN_TRANSACTION_S = 2  # a node frozen between lock and write blocks nobody for longer
_CONNECT_S = 5.0
ANSWER_S = 5.0
"""The database ends a statement at its own limit. One that has not answered so long after that is not there any more:
frozen, or behind a line that nobody cut.
"""
# serialization, deadlock, lock, time, a day's table gone or there already, a stale plan, a row that another wrote first
_AGAIN = frozenset(("40001", "40P01", "55P03", "57014", "42P01", "42P07", "0A000", "23505"))
_AWAY = frozenset(
    ("08", "40", "53", "57", "58")
)  # connection, conflicts, resources (disk full), operator, system: classes
_AWAY_CODES = frozenset(("25006", "25P03", "3D000", "55P03"))  # read-only, idle too long, no such database, a lock


def driver() -> Any:
    """asyncpg, loaded at first use. Raises ConfigError naming the extra that brings it."""
    try:
        return importlib.import_module("asyncpg")
    except ImportError:
        raise ConfigError(
            "a PostgreSQL store needs the package asyncpg, which is not installed",
            path="store",
            hint="pip install 'reactor-triggers[postgres]'",
            code="missing_extra",
        ) from None


def shown(url: str) -> str:
    """A URL as people may see it: without password and parameters."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return f"postgresql://{user}{host}{parts.path}"


async def connect(url: str, *, statement_s: float = GROUP_S_MAX, synchronous: str = "") -> Connection:
    """A connection; with `synchronous` one that commits groups. Raises StoreUnavailable, ConfigError."""
    settings = {"application_name": "reactor", "statement_timeout": str(int(statement_s * 1000))}
    if synchronous:
        # A group's statements look rows up by key. Planned while a table was small they would read it whole for ever.
        settings |= {"synchronous_commit": synchronous, "plan_cache_mode": "force_generic_plan"}
        settings |= dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off")
        settings["idle_in_transaction_session_timeout"] = str(_IDLE_IN_TRANSACTION_S * 1000)
    try:
        return await driver().connect(
            url,
            timeout=_CONNECT_S,
            server_settings=settings,
            statement_cache_size=STATEMENTS_KEPT,
            command_timeout=statement_s + ANSWER_S,
        )
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the driver says of a URL, a host or a login, somebody must hear it
        raise _connecting(error, url) from None


async def hang_up(connection: Connection) -> None:
    """Let go of a connection that has nothing under way; if the other end says nothing, without it."""
    with contextlib.suppress(Exception):
        await connection.close(timeout=ANSWER_S)


def _connecting(error: Exception, url: str) -> Exception:
    state = str(getattr(error, "sqlstate", "") or "")
    if state[:2] == "28" or state == "3D000":
        return ConfigError(
            f"{shown(url)} refuses us: {_text(error, url)}", path="store", hint="correct the URL, or the rights"
        )
    if isinstance(error, (ValueError, TypeError)) and not isinstance(error, OSError) and not state:
        return ConfigError(f"{shown(url)} cannot be used: {_text(error, url)}", path="store", hint="correct the URL")
    return StoreUnavailable(
        f"the database {shown(url)} cannot be reached: {_text(error, url)}",
        hint="start it, or correct the address in `store`",
    )


def _text(error: BaseException, url: str) -> str:
    found = str(error) or ("it does not answer" if isinstance(error, TimeoutError) else type(error).__name__)
    password = urlsplit(url).password
    return found.replace(password, "…") if password else found


_texts: dict[Any, str] = {}


def text_of(statements: Sequence[Statement]) -> str:
    """One statement that does these: each about rows given as one array a column, numbered through."""
    key = statements[0].sql if len(statements) == 1 else tuple([statement.sql for statement in statements])
    text = _texts.get(key)
    if text is None:
        parts: list[str] = []
        number = 0
        for statement in statements:
            arrays = ", ".join(f"${number + i + 1}::{kind}[]" for i, kind in enumerate(statement.types))
            columns = ", ".join(f"column{i + 1}" for i in range(len(statement.types)))
            lock = " FOR UPDATE OF run" if " run" in statement.sql else " FOR UPDATE"
            parts.append(statement.sql.format(v=f"unnest({arrays}) AS v({columns})", lock=lock))
            number += len(statement.types)
        text = parts[0]
        if len(parts) > 1:
            text = "WITH " + ", ".join(f"w{i} AS ({part})" for i, part in enumerate(parts)) + " SELECT 1"
        _texts[key] = text
    return text


def at_once(statements: Sequence[Statement]) -> str:
    """A whole group as one statement, its own transaction: $1 node, $2 lane and $3 count are its fence, $4 is one more
    than the runs that it changes. If the fence or one of the runs is not as it was taken to be, it divides by zero,
    and nothing is written.
    """
    key = ("at once", *[statement.sql for statement in statements])
    text = _texts.get(key)
    if text is None:
        parts = ["f AS (UPDATE lane SET grp = grp + 1 WHERE node = $1 AND no = $2 AND grp = $3 RETURNING 1 AS mine)"]
        number = 4
        found = "(SELECT count(*) FROM f)"
        for i, statement in enumerate(statements):
            arrays = ", ".join(f"${number + k + 1}::{kind}[]" for k, kind in enumerate(statement.types))
            columns = ", ".join(f"column{k + 1}" for k in range(len(statement.types)))
            parts.append(f"w{i} AS ({statement.sql.format(v=f'f, unnest({arrays}) AS v({columns})', lock='')})")
            number += len(statement.types)
            if statement.found:
                found += f" + (SELECT count(*) FROM w{i})"
        text = f"WITH {', '.join(parts)} SELECT CASE WHEN {found} <> $4::bigint THEN 1 / ($4::bigint - $4::bigint) END"
        _texts[key] = text
    return text


def not_as_taken(error: BaseException) -> bool:
    """Did `at_once` find something else than was taken for granted?"""
    return getattr(error, "sqlstate", None) == "22012"


def arrays_of(rows: Sequence[Sequence[Any]], width: int) -> list[Any]:
    """Rows as one array a column."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


async def run(connection: Connection, statement: Statement, rows: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """Carry out a statement about rows."""
    return await connection.fetch(text_of((statement,)), *arrays_of(rows, len(statement.types)))


_numbered: dict[str, str] = {}


def numbered(sql: str) -> str:
    """SQL with `?` for its parameters, in PostgreSQL's way of counting them."""
    text = _numbered.get(sql)
    if text is None:
        parts = sql.split("?")
        text = "".join(part + (f"${i + 1}" if i < len(parts) - 1 else "") for i, part in enumerate(parts))
        _numbered[sql] = text
    return text


def meaning(error: BaseException, url: str) -> BaseException:
    """A driver's error as ours: StoreUnavailable (wait, and go again), or itself (something in the group cannot be
    written).
    """
    if isinstance(error, (StoreUnavailable, StoreFailed)):
        return error
    state = str(getattr(error, "sqlstate", "") or "")
    if state:
        if state[:2] in _AWAY or state in _AWAY_CODES:
            return StoreUnavailable(f"the database {shown(url)} refuses: {_text(error, url)}")
        return error
    gone = (OSError, EOFError, TimeoutError, driver().InterfaceError, driver().InternalClientError)
    if isinstance(error, gone) and not isinstance(error, ValueError):  # a value that cannot be sent is both
        return StoreUnavailable(
            f"the database {shown(url)} cannot be reached: {_text(error, url)}",
            hint="start it, or correct the address in `store`",
        )
    return error


def taken_back(error: BaseException) -> bool:
    """Does the server itself say that the statement failed? Then nothing of it is written.

    Of a line that broke, and of a server that ends it (FATAL), nobody knows.
    """
    return bool(getattr(error, "sqlstate", None)) and getattr(error, "severity_en", None) == "ERROR"


def lacks_table(error: BaseException) -> bool:
    """A table is gone, or one of its columns: somebody else dropped the day."""
    return getattr(error, "sqlstate", None) == "42P01"


def exists_already(error: BaseException) -> bool:
    """A row with this key is there."""
    return getattr(error, "sqlstate", None) == "23505"


def goes_again(error: BaseException) -> bool:
    """Another session was faster, or in the way: the same group may succeed at once."""
    return getattr(error, "sqlstate", None) in _AGAIN
