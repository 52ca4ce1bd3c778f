"""`sql` on real SQLite and PostgreSQL: parameters, results, transactions, once, error codes."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reactor.connections.registry import Registry
from reactor.connections.sql import scan
from reactor.core.errors import StepError
from reactor.core.limits import MIB
from reactor.engine.actions.sql import SqlAction
from reactor.testing.action_suite import ActionSuite, LentServices
from reactor.tests.actions.rig import KEY, Rig, failed

SLOW_SQLITE = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def lent(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LentServices]:
    if kind == "sqlite":
        config: dict[str, Any] = {"path": "shop.db"}
    else:
        config = {"url": request.getfixturevalue("postgres_url"), "pool": {"max": 5}}
    registry = Registry({"db": {kind: config}}, project=str(tmp_path))
    yield LentServices(str(tmp_path), connections=registry)
    await registry.close()


@pytest.fixture
async def db(lent: LentServices) -> Rig:
    rig = Rig(lent)
    await rig("sql", {"query": "CREATE TABLE orders (id int PRIMARY KEY, total float NOT NULL, note text)"})
    return rig


failure = partial(failed, "sql")


class TestContract(ActionSuite):
    action = SqlAction()

    @pytest.fixture
    def services(self, lent: LentServices) -> Any:
        return lent

    @pytest.fixture
    def valid_with(self) -> Any:
        return {"query": "SELECT 1 AS n"}

    @pytest.fixture
    def failing_with(self) -> Any:
        return {"query": "SELECT x FROM nowhere"}

    @pytest.fixture
    def slow_with(self, kind: str) -> Any:
        return {"query": SLOW_SQLITE if kind == "sqlite" else "SELECT pg_sleep(60)"}


@pytest.mark.req("E-ACT-6")
async def test_binds_parameters_and_shapes_results(db: Rig) -> None:
    note = "Robert'); DROP TABLE orders;--"
    insert = {"query": "INSERT INTO orders VALUES (:id, :total, :note)", "params": {"id": 1, "total": 2, "note": note}}
    assert await db("sql", insert) == {"rows": [], "columns": [], "row_count": 1}
    await db("sql", {**insert, "params": {"id": 2, "total": 2.5, "note": None}})
    query = "SELECT id, total, note FROM orders ORDER BY id"
    assert await db("sql", {"query": query}) == {
        "rows": [{"id": 1, "total": 2.0, "note": note}, {"id": 2, "total": 2.5, "note": None}],
        "columns": ["id", "total", "note"],
        "row_count": 2,
    }
    assert await db("sql", {"query": query, "result": "one"}) == {"id": 1, "total": 2.0, "note": note}
    assert await db("sql", {"query": query, "result": "value"}) == 1
    assert await db("sql", {"query": query, "result": "none"}) is None
    nothing = {"query": "SELECT id FROM orders WHERE id > :id", "params": {"id": 7}}
    assert await db("sql", nothing) == {"rows": [], "columns": ["id"], "row_count": 0}
    assert await db("sql", {**nothing, "result": "one"}) is None
    assert await db("sql", {**nothing, "result": "value"}) is None
    assert (await db("sql", {"query": "UPDATE orders SET note = 'x'"}))["row_count"] == 2
    returning = {"query": "DELETE FROM orders RETURNING id"}
    output = await db("sql", returning)
    assert sorted(row["id"] for row in output["rows"]) == [1, 2]
    assert output["row_count"] == 2


async def test_key_and_same_names(db: Rig) -> None:
    await db(
        "sql", {"query": "INSERT INTO orders VALUES (:id, CAST(:id AS int), :idempotency_key)", "params": {"id": 3}}
    )
    assert await db("sql", {"query": "SELECT note FROM orders", "result": "value"}) == KEY
    output = await db("sql", {"query": "SELECT id, id FROM orders"})
    assert output["rows"] == [{"id": 3, "id_2": 3}]


async def test_each_is_one_transaction(db: Rig) -> None:
    insert = {"query": "INSERT INTO orders VALUES (:id, :total, :note)", "params": {"note": "n"}}
    items = [{"id": i, "total": i} for i in range(50)]
    assert (await db("sql", {**insert, "each": items}))["row_count"] == 50
    error = await failure(db, {**insert, "each": [{"id": 100, "total": 1}, {"id": 7, "total": 1}]})
    assert error.code == "sql.unique"
    count = {"query": "SELECT count(*) FROM orders", "result": "value"}
    assert await db("sql", count) == 50
    assert (await db("sql", {"query": "SELECT CAST(:item AS int) AS n", "each": [1, 2]}))["rows"] == [
        {"n": 1},
        {"n": 2},
    ]
    assert (await db("sql", {**insert, "each": []}))["row_count"] == 0


async def test_queries_are_one_transaction(db: Rig) -> None:
    queries = ["INSERT INTO orders VALUES (1, 1, 'a')", "SELECT count(*) AS n FROM orders"]
    assert (await db("sql", {"queries": queries}))["rows"] == [{"n": 1}]
    error = await failure(db, {"queries": ["DELETE FROM orders", "INSERT INTO orders VALUES (2, NULL, '')"]})
    assert error.code == "sql.constraint"
    assert await db("sql", {"query": "SELECT count(*) FROM orders", "result": "value"}) == 1


async def test_max_rows(db: Rig) -> None:
    await db("sql", {"query": "INSERT INTO orders VALUES (:item, 0, '')", "each": list(range(30))})
    query = {"query": "SELECT id FROM orders", "max_rows": 29}
    error = await failure(db, query)
    assert (error.code, str(error), error.hint) == (
        "too_large",
        "the query gives more than 29 rows",
        "add LIMIT, or raise `max_rows` (at most 100000)",
    )
    assert (await db("sql", {**query, "max_rows": 30}))["row_count"] == 30


async def test_large_values_do_not_fill_the_memory(db: Rig, kind: str) -> None:
    """A hundred rows of 4 MiB: of them no more are read than an output may have, and a portion."""
    large = "zeroblob(4194304)" if kind == "sqlite" else "repeat('x', 4194304)"
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
    tracemalloc.start()
    try:
        error = await failure(db, {"query": f"{rows} SELECT i, {large} FROM n"})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (error.code, str(error), error.hint) == (
        "too_large",
        "the query gives more than 64MiB",
        "select fewer rows or columns, or a part of each value: substr(…)",
    )
    assert peak < 160 * MIB
    output = await db("sql", {"query": f"{rows} SELECT i, {large} AS l FROM n LIMIT 14"})
    assert [row["i"] for row in output["rows"]] == list(range(1, 15))


async def test_many_rows_come_in_order_and_whole(db: Rig) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i FROM n"
    for wanted in (1, 15, 16, 17, 271, 272, 273, 900):
        output = await db("sql", {"query": f"{rows} LIMIT {wanted}"})
        assert [row["i"] for row in output["rows"]] == list(range(1, wanted + 1))
        assert output["row_count"] == wanted


async def test_each_adds_up_what_it_gives(db: Rig, kind: str) -> None:
    large = "CAST(zeroblob(20000000) AS text)" if kind == "sqlite" else "repeat('x', 20000000)"
    error = await failure(db, {"query": f"SELECT {large}, :item", "each": ["a", "b", "c", "d"]})
    assert (error.code, str(error)) == ("too_large", "the query gives more than 64MiB")
    output = await db("sql", {"queries": [f"SELECT {large}"] * 4, "result": "none"})
    assert output is None


async def test_read_only(db: Rig) -> None:
    insert = {"query": "INSERT INTO orders VALUES (1, 1, '')", "transaction": {"read_only": True}}
    error = await failure(db, insert)
    assert error.code == "forbidden"
    levels = ["read_committed", "repeatable_read", "serializable"]
    for level in levels:
        assert (
            await db(
                "sql", {"query": "SELECT 5", "result": "value", "transaction": {"isolation": level, "read_only": True}}
            )
            == 5
        )
    await db("sql", {**insert, "transaction": {"read_only": False}})


@pytest.mark.rule("4.6")
async def test_once(db: Rig) -> None:
    insert = {"query": "INSERT INTO orders VALUES (:id, 1, '') RETURNING id", "params": {"id": 1}, "once": True}
    first = await db("sql", insert)
    assert await db("sql", insert) == first  # would be sql.unique
    assert first["rows"] == [{"id": 1}]
    other = {**insert, "params": {"id": 2}}
    assert await db("sql", other, key="another") == {**first, "rows": [{"id": 2}]}
    failing = {"query": "INSERT INTO orders VALUES (1, 1, '')", "once": True}
    assert (await failure(db, failing, key="k3")).code == "sql.unique"
    await db("sql", {"query": "DELETE FROM orders"})
    await db("sql", failing, key="k3")  # a failure is not kept
    assert await db("sql", {"query": "SELECT count(*) FROM orders", "result": "value"}) == 1


@pytest.mark.rule("4.6")
async def test_once_by_several_at_the_same_time(db: Rig) -> None:
    insert = {"query": "INSERT INTO orders VALUES (:id, 1, '') RETURNING id", "once": True}
    outputs = await asyncio.gather(*(db("sql", {**insert, "params": {"id": i}}) for i in range(5)))
    assert all(output == outputs[0] for output in outputs)
    assert await db("sql", {"query": "SELECT count(*) FROM orders", "result": "value"}) == 1


@pytest.mark.parametrize(
    ("query", "code", "class_"),
    [
        ("SELEC 1", "sql.syntax", "fix"),
        ("SELECT x FROM nowhere", "sql.undefined", "fix"),
        ("SELECT absent FROM orders", "sql.undefined", "fix"),
        ("INSERT INTO orders VALUES (1, NULL, '')", "sql.constraint", "park"),
        ("INSERT INTO orders VALUES (1, 1, ''), (1, 1, '')", "sql.unique", "park"),
        ("SELECT 1; SELECT 2", "sql.syntax", "fix"),
    ],
)
async def test_error_codes(db: Rig, query: str, code: str, class_: str) -> None:
    error = await failure(db, {"query": query})
    assert (error.code, error.class_) == (code, class_), str(error)


async def test_missing_parameters(db: Rig) -> None:
    error = await failure(db, {"query": "SELECT :totl", "params": {"total": 1}})
    assert (error.code, str(error), error.hint) == (
        "invalid_input",
        "the query names `:totl`, which `params` does not give",
        "did you mean total?",
    )


async def test_in_words(db: Rig, kind: str) -> None:
    words = await db.services._connections.test("db")
    assert words.startswith("SQLite 3." if kind == "sqlite" else "PostgreSQL at 127.0.0.1, version 1")
    assert words.endswith(" ms")


async def test_many_at_once(db: Rig) -> None:
    await asyncio.gather(
        *(db("sql", {"query": "INSERT INTO orders VALUES (:id, 0, '')", "params": {"id": i}}) for i in range(40))
    )
    assert await db("sql", {"query": "SELECT count(*) FROM orders", "result": "value"}) == 40


# -- what only one of them has


@pytest.fixture
async def postgres(postgres_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    registry = Registry({"db": {"postgres": {"url": postgres_url}}}, project=str(tmp_path))
    yield Rig(LentServices(str(tmp_path), connections=registry))
    await registry.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Rig]:
    registry = Registry({"db": {"sqlite": {"path": "x.db", "timeout": "100ms"}}}, project=str(tmp_path))
    yield Rig(LentServices(str(tmp_path), connections=registry))
    await registry.close()


async def test_postgres_types(postgres: Rig) -> None:
    query = """
        SELECT :ts::timestamptz AS ts, :plain::timestamp AS plain, :d::date AS d, :t::time AS t, :i::interval AS i,
               :n::numeric AS n, :big::numeric AS big, :u::uuid AS u, :b::bytea AS b, :j::jsonb AS j, :a::int[] AS a,
               :texts::text[] AS texts, :bool::bool AS bool, :f::float8 AS f, :s::text AS s, :null::int AS null,
               (ARRAY[1, 2, 3])[1:2] AS slice, 'NaN'::float8 AS nan, :l::int8 AS l
    """
    params = {
        "ts": "2026-03-01T10:00:00+01:00",
        "plain": "2026-03-01T10:00:00",
        "d": "2026-03-01",
        "t": "10:30:00",
        "i": "1h30m",
        "n": 12.5,
        "big": "12345678901234567890.123456789",
        "u": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "b": "AP8=",
        "j": {"a": [1, None]},
        "a": [1, 2],
        "texts": ["x", "y"],
        "bool": True,
        "f": 3,
        "s": 42,
        "null": None,
        "l": 2**40,
    }
    row = await postgres("sql", {"query": query, "params": params, "result": "one"})
    assert row == {
        "ts": "2026-03-01T09:00:00Z",
        "plain": "2026-03-01T10:00:00",
        "d": "2026-03-01",
        "t": "10:30:00",
        "i": 5400.0,
        "n": 12.5,
        "big": "12345678901234567890.123456789",
        "u": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "b": "AP8=",
        "j": {"a": [1, None]},
        "a": [1, 2],
        "texts": ["x", "y"],
        "bool": True,
        "f": 3.0,
        "s": "42",
        "null": None,
        "slice": [1, 2],
        "nan": "nan",
        "l": 2**40,
    }
    error = await failure(postgres, {"query": "SELECT :d::date", "params": {"d": "yesterday"}})
    assert (error.code, str(error)) == (
        "sql.data",
        "parameter `:d`: \"yesterday\" is no date: Invalid isoformat string: 'yesterday'",
    )
    error = await failure(postgres, {"query": "SELECT :n::int", "params": {"n": "x"}})
    assert error.code == "sql.data"
    assert (await failure(postgres, {"query": "SELECT 1/0"})).code == "sql.data"


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT int4range(1, 5)", "[1,5)"),
        ("SELECT daterange('2024-01-01', NULL, '(]')", "[2024-01-02,)"),
        ("SELECT 'empty'::int4range", "empty"),
        ("SELECT '10100000'::bit(8)", "10100000"),
        ("SELECT ARRAY[[1, 2], [3, NULL]]", [[1, 2], [3, None]]),
        ("SELECT 'infinity'::timestamptz > now()", True),
        ("SELECT ROW(1, 'a')", [1, "a"]),
        ("SELECT '10.0.0.1/24'::inet", "10.0.0.1/24"),
    ],
)
async def test_postgres_values_as_json(postgres: Rig, query: str, value: Any) -> None:
    assert await postgres("sql", {"query": query, "result": "value"}) == value


@pytest.mark.parametrize(
    ("with_", "code", "text"),
    [
        (
            {"query": "SELECT '0044-03-15 BC'::date"},
            "sql.data",
            "a value in the result cannot be read: ordinal must be >= 1",
        ),
        (
            {"query": "SELECT (repeat('[', 5000) || repeat(']', 5000))::json"},
            "sql.data",
            "a value in the result cannot be read: it is nested over 500 deep",
        ),
        ({"query": "SELECT $1"}, "sql.syntax", "the query has places such as `$1`"),
        (
            {"query": "SELECT :n::int", "params": {"n": 5.5}},
            "sql.data",
            "parameter `:n`: 5.5 is no int4: it is no whole number",
        ),
    ],
)
async def test_postgres_values_that_cannot_be(postgres: Rig, with_: Any, code: str, text: str) -> None:
    error = await failure(postgres, with_)
    assert (error.code, str(error)) == (code, text)
    assert await postgres("sql", {"query": "SELECT :n::int", "params": {"n": 5.0}, "result": "value"}) == 5


@pytest.mark.parametrize("query", ["BEGIN", "SAVEPOINT a"])
async def test_a_query_that_leaves_a_transaction_open_takes_nobody_with_it(db: Rig, kind: str, query: str) -> None:
    """What others wrote into it would have been lost, without a word, at the end."""
    if (kind, query) == ("postgres", "SAVEPOINT a"):
        query = "START TRANSACTION"  # the other one is refused outside of a transaction there
    error = await failure(db, {"query": query})
    assert (error.code, str(error), error.hint) == (
        "sql.syntax",
        "the query begins a transaction and does not end it: it is rolled back",
        "the list `queries` is one transaction",
    )
    await db("sql", {"query": "CREATE TABLE later (a integer)"})
    await db("sql", {"query": "INSERT INTO later VALUES (1)", "once": True})
    await db.services._connections.close()
    assert await db("sql", {"query": "SELECT count(*) FROM later", "result": "value"}) == 1


async def test_postgres_statements_that_no_transaction_takes(postgres: Rig) -> None:
    await postgres("sql", {"query": "CREATE TABLE t (a int)"})
    await postgres("sql", {"query": "VACUUM t"})
    await postgres("sql", {"query": "CREATE INDEX CONCURRENTLY ON t (a)"})


async def test_postgres_serialization_and_deadlock(postgres: Rig) -> None:
    await postgres("sql", {"query": "CREATE TABLE t (id int PRIMARY KEY, n int)"})
    await postgres("sql", {"query": "INSERT INTO t VALUES (1, 0), (2, 0)"})

    async def both(first: int, second: int) -> Any:
        update = "UPDATE t SET n = n + 1 WHERE id = "
        return await postgres("sql", {"queries": [f"{update}{first}", "SELECT pg_sleep(0.3)", f"{update}{second}"]})

    results = await asyncio.gather(both(1, 2), both(2, 1), return_exceptions=True)
    (error,) = [result for result in results if isinstance(result, BaseException)]
    assert isinstance(error, StepError)
    assert (error.code, error.class_) == ("sql.deadlock", "retry")

    async def add() -> Any:
        queries = ["SELECT n FROM t", "SELECT pg_sleep(0.3)", "UPDATE t SET n = n + 1 WHERE id = 1"]
        return await postgres("sql", {"queries": queries, "transaction": {"isolation": "serializable"}})

    results = await asyncio.gather(add(), add(), return_exceptions=True)
    (error,) = [result for result in results if isinstance(result, BaseException)]
    assert isinstance(error, StepError)
    assert (error.code, error.class_) == ("sql.serialization", "retry")


@pytest.mark.broker("postgres")
async def test_postgres_away_and_back(postgres: Rig, postgres_server: Any) -> None:
    assert await postgres("sql", {"query": "SELECT 1", "result": "value"}) == 1
    postgres_server.stop()
    try:
        error = await failure(postgres, {"query": "SELECT 1"})
        assert (error.code, error.class_) == ("connection", "retry")
        error = await failure(postgres, {"query": "SELECT 1"})
        assert (error.code, error.class_) == ("connection", "retry")
    finally:
        postgres_server.start()
    assert await postgres("sql", {"query": "SELECT 1", "result": "value"}) == 1


async def test_postgres_statement_timeout(postgres_url: str, tmp_path: Path) -> None:
    config = {"url": postgres_url, "statement_timeout": "200ms"}
    registry = Registry({"db": {"postgres": config}}, project=str(tmp_path))
    error = await failure(Rig(LentServices(connections=registry)), {"query": "SELECT pg_sleep(30)"})
    assert (error.code, str(error)) == (
        "timeout",
        "PostgreSQL at 127.0.0.1: canceling statement due to statement timeout",
    )
    await registry.close()


async def test_postgres_wrong_database(postgres_url: str) -> None:
    registry = Registry({"db": {"postgres": {"url": postgres_url + "_none"}}})
    error = await failure(Rig(LentServices(connections=registry)), {"query": "SELECT 1"})
    assert (error.code, error.class_) == ("missing_connection", "fix")
    await registry.close()


async def test_sqlite_values(sqlite: Rig) -> None:
    params = {"list": [1, 2], "map": {"a": None}, "yes": True, "nothing": None, "n": 2**62}
    row = await sqlite(
        "sql",
        {"query": "SELECT :list AS l, :map AS m, :yes AS y, :nothing AS x, :n AS n, x'00ff' AS b"}
        | {"params": params, "result": "one"},
    )
    assert row == {"l": "[1,2]", "m": '{"a":null}', "y": 1, "x": None, "n": 2**62, "b": "AP8="}
    error = await failure(sqlite, {"query": "SELECT :n", "params": {"n": 2**64}})
    assert str(error) == "parameter `:n`: 18446744073709551616 does not fit into 64 bits"


async def test_sqlite_values_that_cannot_be(sqlite: Rig) -> None:
    error = await failure(sqlite, {"query": "SELECT CAST(x'ff' AS text)"})
    assert (error.code, str(error)) == ("sql.data", "a text in the result is not UTF-8")
    error = await failure(sqlite, {"query": "SELECT zeroblob(300000000)"})
    assert (error.code, str(error)) == ("too_large", "string or blob too big")


async def test_sqlite_locked_by_another(sqlite: Rig, tmp_path: Path) -> None:
    import apsw

    other = apsw.Connection(str(tmp_path / "x.db"))
    other.execute("CREATE TABLE t (a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
    error = await failure(sqlite, {"query": "INSERT INTO t VALUES (2)"})
    assert (error.code, error.class_) == ("sql.deadlock", "retry")
    assert str(error) == "the database is locked by another: database is locked"
    other.execute("COMMIT")
    other.close()
    await sqlite("sql", {"query": "INSERT INTO t VALUES (2)"})


async def test_sqlite_cancelled_rolls_back(sqlite: Rig) -> None:
    await sqlite("sql", {"query": "CREATE TABLE t (a)"})
    task = asyncio.ensure_future(sqlite("sql", {"queries": ["INSERT INTO t VALUES (1)", SLOW_SQLITE]}))
    await asyncio.wait([task], timeout=0.2)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert await sqlite("sql", {"query": "SELECT count(*) FROM t", "result": "value"}) == 0


async def test_sqlite_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("this is no database, but long enough to look at " * 50)
    for path, text in [("a.db", "file is not a database"), ("no/b.db", "unable to open database file")]:
        registry = Registry({"db": {"sqlite": {"path": path}}}, project=str(tmp_path))
        error = await failure(Rig(LentServices(connections=registry)), {"query": "SELECT * FROM t"})
        assert (error.code, error.class_) == ("missing_connection", "fix")
        assert str(error) == f"{tmp_path}/{path} cannot be opened as a database: {text}"
        await registry.close()


@pytest.mark.parametrize(
    ("query", "text", "names"),
    [
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT ':a' || \":b\" || :c::text", "SELECT ':a' || \":b\" || $1::text", ("c",)),
        ("SELECT 'it''s :a', :b", "SELECT 'it''s :a', $1", ("b",)),
        ("SELECT E'\\':a', :b", "SELECT E'\\':a', $1", ("b",)),
        ("SELECT 1 -- :a\n, :b", "SELECT 1 -- :a\n, $1", ("b",)),
        ("SELECT 1 /* :a /* :b */ :c */, :d", "SELECT 1 /* :a /* :b */ :c */, $1", ("d",)),
        ("SELECT $$ :a $$, $x$ :b $$ $x$, :c", "SELECT $$ :a $$, $x$ :b $$ $x$, $1", ("c",)),
        ("SELECT a[1:n], a[:n], b[lo:hi]", "SELECT a[1:n], a[$1], b[lo:hi]", ("n",)),
        ("SELECT x::int, :y::int", "SELECT x::int, $1::int", ("y",)),
        ("f(a := :b)", "f(a := $1)", ("b",)),
        ("SELECT ':", "SELECT ':", ()),
        ("SELECT :a; -- done\n", "SELECT $1 -- done\n", ("a",)),
    ],
)
def test_named_parameters(query: str, text: str, names: tuple[str, ...]) -> None:
    found = scan(query, "postgres")
    assert (found.text, found.names) == (text, names)


def test_named_parameters_of_sqlite() -> None:
    found = scan("SELECT [a:b], `:c`, :d /* :x /* */ + :e", "sqlite")
    assert (found.text, found.names) == ("SELECT [a:b], `:c`, ?1 /* :x /* */ + ?2", ("d", "e"))


def test_faults_at_load() -> None:
    faults = Rig().catalogue.faults
    assert faults("sql", {"query": "SELECT ${{ inputs.id }}"}) == [
        ("query", "`${{ }}` is refused here, where a value could become code: write `:name` and give it under `params`")
    ]
    assert faults("sql", {"queries": ["SELECT 1", "SELECT '${{ inputs.id }}'"]})[0][0] == "queries[1]"
    assert faults("sql", {"query": "SELECT :totl", "params": {"total": "${{ inputs.total }}"}}) == [
        ("query", "names `:totl`, which `params` does not give; did you mean total?")
    ]
    assert faults("sql", {"query": "SELECT :a", "each": "${{ inputs.rows }}"}) == []
    assert faults("sql", {"query": "SELECT :idempotency_key"}) == []
    unread = {"queries": ["SELECT :id", "SELECT ':from', :name -- :y"], "params": {"id": 1, "name": 2}}
    assert faults("sql", unread) == []
    assert faults("sql", {**unread, "params": {"id": 1, "name": 2, "nam": 3, "from": 4, "ü-ü": 5}}) == [
        ("params.nam", "no query names `:nam`; did you mean name?"),
        ("params.from", "no query names `:from`; one of: id, name"),
        ('params["ü-ü"]', "no query names `:ü-ü`; one of: id, name"),
    ]
    assert faults("sql", {"query": "SELECT 1", "params": {"a": 1}}) == [
        ("params.a", "no query names `:a`; take it out")
    ]
    assert faults("sql", {"query": "SELECT :a", "each": [{"a": 1}], "params": {"other": 1}}) == [
        ("params.other", "no query names `:other`; one of: a")
    ]
    for quoted in ("SELECT $$ :a $$", "SELECT [:a]"):
        assert faults("sql", {"query": quoted, "params": {"a": 1}})[1:] == []
    assert faults("sql", {"query": "SELECT :a", "params": "${{ inputs.all }}"}) == []
    assert faults("sql", {"query": "SELECT 1; SELECT 2", "params": {"a": 1}}) == [
        ("query", "the query holds more than one statement; write several as a list under `queries`")
    ]
    assert faults("sql", {"query": "SELECT 1; SELECT 2"}) == [
        ("query", "the query holds more than one statement; write several as a list under `queries`")
    ]
    assert faults("sql", {"query": "SELECT 1", "once": True, "transaction": {"read_only": True}}) == [
        ("once", "stores its result: it cannot stand beside `transaction.read_only`")
    ]
    assert faults("sql", {"query": "SELECT 1", "max_rows": 100_001}) == [
        ("max_rows", "must be at most 100000; found 100001")
    ]
