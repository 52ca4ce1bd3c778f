"""The same units leave the same receipts and the same rows in SQLite and in PostgreSQL."""

import asyncio
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings

from reactor.store import open_store
from reactor.store.contract import Committed, Store, Unit
from reactor.testing.clock import START, VirtualClock
from reactor.tests.store.test_resolve import carry_out, unit_lists

IDENTITY = ("j", "blob_part")  # their first column counts what was tried


@pytest.mark.slow
@pytest.mark.broker("postgres")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(units=unit_lists())
async def test_both_databases_keep_the_same_history(postgres_url: str, units: list[Unit]) -> None:
    receipts, tables = carry_out([[unit] for unit in units])
    store = open_store(postgres_url, clock=VirtualClock(START))
    await store.open()
    connection = await asyncpg.connect(postgres_url)
    try:
        names = [
            row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        names = sorted(set(names) - {"migration", "meta", "node", "lane"})
        await connection.execute("TRUNCATE " + ", ".join(names))
        assert await submitted(store, units) == receipts
        for name in sorted(set(names) & set(tables)):
            rows = [tuple(row) for row in await connection.fetch(f"SELECT * FROM {name}")]
            rows = [row[1:] if name in IDENTITY else row for row in rows if not empty(name, row)]
            assert sorted(map(repr, numbered(rows, store.node, name))) == sorted(
                map(repr, [row for row in tables[name] if not empty(name, row)])
            ), name
    finally:
        await connection.close()
        await store.close()


async def submitted(store: Store, units: list[Unit]) -> list[Any]:
    """Receipts, or what a refusal says; all units at once, so that they share groups."""
    results = await asyncio.gather(*[store.submit(unit) for unit in units], return_exceptions=True)
    return [result if isinstance(result, Committed) else str(result) for result in results]


def empty(name: str, row: Any) -> bool:
    """A row that was made to be locked, or emptied: it counts as none."""
    return name in ("mark", "state", "flow") and row[2] is None


def numbered(rows: list[Any], node: int, name: str) -> list[Any]:
    """As the node with number 1 would have written them."""
    if name != "run":
        return rows
    return [(*row[:-2], None if row[-2] is None else 1, row[-1]) for row in rows]
