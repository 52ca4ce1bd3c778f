"""`sql`: statements with bound parameters, in one transaction. Source: actions.md, section 3 (sql)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

from pydantic import BaseModel, Field

from ...connections.fields import Fault, Keys, has_template
from ...connections.sql import DIALECTS, KEY_PARAMETER, Isolation, SqlConnection, SqlRequest, scan
from ...language.diagnostics import did_you_mean, nearest, path_text
from .contract import ActionBase, Call, StepError

MAX_ROWS_DEFAULT = 1_000
MAX_ROWS_MAX = 100_000
QUERIES_MAX = 100
EACH_MAX = 100_000


class Transaction(Keys):
    """How the transaction runs."""

    isolation: Isolation | None = None
    read_only: bool = False


class SqlInput(Keys):
    """`with` of `sql`."""

    exactly_one: ClassVar = (("query", "queries"),)

    connection: str | None = Field(default=None, min_length=1)
    query: str | None = Field(default=None, min_length=1)
    queries: list[str] | None = Field(default=None, min_length=1, max_length=QUERIES_MAX)
    params: dict[str, Any] = Field(default_factory=dict)
    each: list[Any] | None = Field(default=None, max_length=EACH_MAX)
    result: Literal["rows", "one", "value", "none"] = "rows"
    max_rows: int = Field(default=MAX_ROWS_DEFAULT, ge=1, le=MAX_ROWS_MAX)
    transaction: Transaction = Transaction()
    once: bool = False


class SqlAction(ActionBase):
    """Carries out SQL."""

    name: ClassVar[str] = "sql"
    Input: ClassVar[type[BaseModel] | None] = SqlInput
    timeout_s: ClassVar[float | None] = 30.0
    errors: ClassVar[tuple[str, ...]] = (
        *("sql", "connection", "timeout", "tls", "unauthorized", "forbidden", "too_large", "resource_limit"),
        *("invalid_input", "missing_connection", "missing_extra"),
    )
    key_goes: ClassVar[str] = "parameter `:idempotency_key`; with `once: true` into table reactor_once"
    output: ClassVar[Mapping[str, Any]] = {
        "description": "`rows`: {rows, columns, row_count}; `one`: the first row or null; `value`: its first column; "
        "`none`: null. Of several `queries` the last one's; of `each` all rows together"
    }

    def check(self, with_: Any) -> list[Fault]:
        """Templates in a query, parameters that nobody gives, `once` of what only reads."""
        if not isinstance(with_, Mapping):
            return []
        keys = cast("Mapping[str, Any]", with_)
        listed: Any = keys.get("queries")
        queries = [("query", keys.get("query"))]
        if isinstance(listed, list):
            queries += [(f"queries[{i}]", query) for i, query in enumerate(cast("list[Any]", listed))]
        faults: list[Fault] = []
        for path, query in queries:
            if isinstance(query, str):
                faults += [(path, message) for message in _query_faults(query, keys)]
        faults += _unread([query for _, query in queries if query is not None], keys.get("params"))
        transaction = keys.get("transaction")
        reads = isinstance(transaction, Mapping) and cast("Mapping[str, Any]", transaction).get("read_only") is True
        if keys.get("once") is True and reads:
            faults.append(("once", "stores its result: it cannot stand beside `transaction.read_only`"))
        return faults

    async def execute(self, call: Call) -> Any:
        """Carry it out; the output as `result` says."""
        given: SqlInput = call.inputs
        if call.services is None:
            raise StepError("missing_connection", "no connection of kind `sql` is declared")
        connection: SqlConnection = call.services.connection("sql", given.connection)
        queries = tuple(given.queries) if given.queries is not None else (given.query or "",)
        request = SqlRequest(
            queries=queries,
            params=given.params,
            each=tuple(given.each) if given.each is not None else None,
            result=given.result,
            max_rows=given.max_rows,
            isolation=given.transaction.isolation,
            read_only=given.transaction.read_only,
            once=given.once,
            key=call.key,
            bytes_max=call.services.output_bytes_max,
        )
        return await connection.run(request)


def _unread(queries: list[Any], params: Any) -> list[Fault]:
    """Parameters that no query names. What is text in one database may be a name in the other: both are asked."""
    if not isinstance(params, Mapping):
        return []
    try:
        named = {name for query in queries for dialect in DIALECTS for name in scan(str(query), dialect).names}
    except StepError:
        return []
    given = cast("Mapping[str, Any]", params)
    misspelt = {nearest(name, given) for name in named if name not in given}  # told where the query names it
    unread = [name for name in given if name not in named and name not in misspelt]
    near = {name: did_you_mean(name, named) or "take it out" for name in unread}
    return [(path_text(("params", name)), f"no query names `:{name}`; {near[name]}") for name in unread]


def _query_faults(query: str, keys: Mapping[str, Any]) -> list[str]:
    if "${{" in query:
        return ["`${{ }}` is refused here, where a value could become code: write `:name` and give it under `params`"]
    try:
        names = scan(query, "postgres").names
    except StepError as e:
        return [f"{e}; {e.hint}"]
    params = keys.get("params", {})
    if "each" in keys or has_template(keys.get("each")) or not isinstance(params, Mapping):
        return []
    given = [*cast("Mapping[str, Any]", params), KEY_PARAMETER]
    missing = [name for name in names if name not in given]
    return [f"names `:{name}`, which `params` does not give; {did_you_mean(name, given)}" for name in missing]
