"""What all SQL databases share: named parameters, requests, results as JSON, doing something once.

Source: actions.md, section 3 (sql).
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, cast, runtime_checkable

import msgspec
from msgspec import Struct, field

from ..core.durations import format_size
from ..core.errors import StepError
from ..core.keys import distinct
from ..core.limits import OUTPUT_BYTES_MAX
from ..language.diagnostics import did_you_mean
from .contract import Connection

Dialect = Literal["postgres", "sqlite"]
DIALECTS: tuple[Dialect, ...] = ("postgres", "sqlite")
Isolation = Literal["read_committed", "repeatable_read", "serializable"]
KEY_PARAMETER = "idempotency_key"
ONCE_TABLE = "reactor_once"
SMALL_BYTES = 8  # of a number, an instant, a truth value

_TOKENS = r"""
      (?P<skip> %s
        | '(?:[^']|'')*'                           # a string
        | "(?:[^"]|"")*"                           # a quoted name
        | ::                                       # a cast
        | :=
      )
    | (?P<line>--[^\n]*)
    | (?P<comment>/\*)
    | (?<![:\w\\]):(?P<name>[A-Za-z_]\w*)          # after a word it is an array slice
    | (?P<end>;)
"""
_FLAGS = re.VERBOSE | re.DOTALL | re.ASCII
_SCANNERS = {
    "postgres": re.compile(
        _TOKENS % r"(?<!\w)[eE]'(?:[^'\\]|''|\\.)*' | \$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?(tag)(?P=tag))\$", _FLAGS
    ),
    "sqlite": re.compile(_TOKENS % r"\[[^\]]*\] | `[^`]*`", _FLAGS),
}


class Statement(Struct, frozen=True):
    """A query with numbered places (`$1`, `?1`) and the names that belong there, in order."""

    text: str
    names: tuple[str, ...]


def scan(query: str, dialect: Dialect) -> Statement:
    """Replace `:name` outside of quotes, comments, casts and array slices.

    Raises StepError `sql.syntax` for a second statement.
    """
    parts: list[str] = []
    names: dict[str, int] = {}
    mark = "?" if dialect == "sqlite" else "$"
    at, ended = 0, False
    while found := _SCANNERS[dialect].search(query, at):
        start, stop = found.span()
        if ended and (query[at:start].strip() or found["skip"] or found["name"]):
            raise _several()
        text = query[start:stop]
        if found["comment"]:
            stop = _comment_end(query, start, nested=dialect == "postgres")
            text = query[start:stop]
        elif found["name"]:
            text = f"{mark}{names.setdefault(found['name'], len(names) + 1)}"
        elif found["end"]:
            ended, text = True, ""
        parts += [query[at:start], text]
        at = stop
    if ended and query[at:].strip():
        raise _several()
    return Statement("".join(parts) + query[at:], tuple(names))


def left_open() -> StepError:
    """The refusal of a query that begins a transaction: it is rolled back, or those who come next would be in it."""
    said = "the query begins a transaction and does not end it: it is rolled back"
    return StepError("sql.syntax", said, hint="the list `queries` is one transaction")


def _several() -> StepError:
    said = "the query holds more than one statement"
    return StepError("sql.syntax", said, hint="write several as a list under `queries`")


def _comment_end(query: str, start: int, *, nested: bool) -> int:
    depth, at = 1, start + 2
    while depth and at < len(query):
        closes, opens = query.find("*/", at), query.find("/*", at)
        if closes < 0:
            return len(query)
        if nested and 0 <= opens < closes:
            depth, at = depth + 1, opens + 2
        else:
            depth, at = depth - 1, closes + 2
    return at


class SqlRequest(Struct, frozen=True):
    """What to carry out in one transaction."""

    queries: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    each: tuple[Any, ...] | None = None
    result: Literal["rows", "one", "value", "none"] = "rows"
    max_rows: int = 1_000
    isolation: Isolation | None = None
    read_only: bool = False
    once: bool = False
    key: str = ""
    bytes_max: int = OUTPUT_BYTES_MAX  # of what is read

    @property
    def plain(self) -> bool:
        """One statement that needs no transaction of ours."""
        return len(self.queries) == 1 and self.each is None and not (self.isolation or self.read_only or self.once)

    def work(self, dialect: Dialect) -> Iterator[tuple[Statement, Mapping[str, Any]]]:
        """The statements and the parameters of each, in order."""
        base = {**self.params, KEY_PARAMETER: self.key}
        statements = [scan(query, dialect) for query in self.queries]
        for item in (None,) if self.each is None else self.each:
            params = base
            if isinstance(item, Mapping):
                params = {**base, **cast("Mapping[str, Any]", item)}
            elif self.each is not None:
                params = {**base, "item": item}
            for statement in statements:
                yield statement, params

    def values(self, statement: Statement, params: Mapping[str, Any]) -> list[Any]:
        """What belongs in a statement's places. Raises StepError `invalid_input` for a name that nobody gives."""
        for name in statement.names:
            if name not in params:
                known = [other for other in params if other != KEY_PARAMETER]
                hint = did_you_mean(name, known)
                raise StepError("invalid_input", f"the query names `:{name}`, which `params` does not give", hint=hint)
        return [params[name] for name in statement.names]


class Gathered:
    """The result of a request as it grows, bounded by `max_rows` and by what an output may have."""

    def __init__(self, request: SqlRequest) -> None:
        self._request = request
        self._columns: list[str] = []
        self._rows: list[list[Any]] = []
        self._count = 0
        self._bytes = 0

    @property
    def room(self) -> int:
        """How many rows to fetch at most: one more than fits, to see that there are more."""
        kept = len(self._rows) if self._request.each is not None else 0
        return self._request.max_rows - kept + 1

    def weigh(self, rows: Iterable[Iterable[Any]]) -> int:
        """Count rows as they are read, before the next ones are; about how many bytes they have. Raises StepError
        `too_large`.
        """
        size = sum(weight(value) for row in rows for value in row)
        self._bytes += size
        if self._bytes > self._request.bytes_max:
            said = f"the query gives more than {format_size(self._request.bytes_max)}"
            raise StepError("too_large", said, hint="select fewer rows or columns, or a part of each value: substr(…)")
        return size

    def take(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], count: int) -> None:
        """The result of one statement. Raises StepError `too_large`."""
        if self._request.each is None:
            self._rows, self._count, self._bytes = [], 0, 0
        if columns:
            self._columns = distinct(columns)
        self._rows += [[plain(value) for value in row] for row in rows]
        self._count += count
        if len(self._rows) > self._request.max_rows:
            said = f"the query gives more than {self._request.max_rows} rows"
            raise StepError("too_large", said, hint="add LIMIT, or raise `max_rows` (at most 100000)")

    def output(self) -> Any:
        """As `result` says."""
        wanted = self._request.result
        if wanted == "none":
            return None
        if wanted == "value":
            return self._rows[0][0] if self._rows and self._rows[0] else None
        named = [dict(zip(self._columns, row, strict=True)) for row in self._rows]
        if wanted == "one":
            return named[0] if named else None
        return {"rows": named, "columns": self._columns, "row_count": self._count}


def weight(value: Any) -> int:
    """About how many bytes a database's value has."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(key)) + weight(part) for key, part in cast("dict[Any, Any]", value).items())
    if isinstance(value, (list, tuple)):
        return sum(weight(part) for part in cast("Sequence[Any]", value))
    return SMALL_BYTES


def plain(value: Any) -> Any:
    """A database's value as JSON: instants as RFC 3339, bytes as base64, decimals as numbers where that is exact."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, decimal.Decimal):
        return _decimal(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time, uuid.UUID)):
        return msgspec.to_builtins(value)
    if isinstance(value, Mapping) or hasattr(value, "keys"):
        return {str(key): plain(part) for key, part in dict(cast("Mapping[Any, Any]", value)).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(part) for part in cast("Sequence[Any]", value)]
    return str(value)


def _decimal(value: decimal.Decimal) -> int | float | str:
    if value.is_finite():
        if value == value.to_integral_value() and value.as_tuple().exponent == 0 and abs(value) < 2**63:
            return int(value)
        near = float(value)
        if math.isfinite(near) and decimal.Decimal(repr(near)) == value:
            return near
    return str(value)


@runtime_checkable
class SqlConnection(Connection, Protocol):
    """A database that carries out requests."""

    async def run(self, request: SqlRequest) -> Any:
        """Carry it out in one transaction; the output as `result` says.

        Raises StepError (`sql.*`, `invalid_input`, `too_large`, `resource_limit`, `forbidden`), TransientError
        (`connection`, `timeout`). With `once` and a key that was used before: the result of then, and nothing happens.
        """
        ...
