"""The transactions that change an SQLite file, one after another: groups of units, and the few writes that are no
units.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ..core.errors import Fenced, StoreFailed
from ..core.faults import point
from .contract import Committed, Unit, UnitRefused
from .days import tables_at
from .facts import Facts, Wants, wants
from .resolve import resolve
from .sqlite_file import day_tables, fetch, meaning, run
from .statements import READ_FIRST_RUNS, Statement, fact_reads, fold, read_seen, row_writes

T = TypeVar("T")
Ask = tuple[Statement | str, Sequence[Any]]


class Transactions:
    """Belongs to the one thread that writes. Each transaction first looks whether this process still owns the file."""

    def __init__(self, connection: apsw.Connection, path: Path, node: int) -> None:
        self._connection = connection
        self._path = path
        self._node = node
        names = fetch(connection, "SELECT name FROM sqlite_schema WHERE type = 'table'")
        self.seen_tables = day_tables(row[0] for row in names)  # replaced, never changed: others read it

    def group(self, units: Sequence[Unit], now: float) -> list[Committed | UnitRefused] | BaseException:
        """Write a group at this instant (Unix seconds): a receipt for each unit, or why nothing of it is written."""
        tables = tables_at(now)
        if any(table not in self.seen_tables for table in tables):
            failed = self.attempt(lambda connection: make_days(connection, tables))
            if failed is not None:
                return failed
            self.seen_tables = sorted({*self.seen_tables, *tables}, reverse=True)
        days = self.seen_tables
        return self.attempt(lambda connection: write_group(connection, units, now, self._node, days, tables))

    def forget(self, tables: Sequence[str]) -> None:
        """These tables of dedupe records were dropped."""
        self.seen_tables = [table for table in self.seen_tables if table not in tables]

    def attempt(self, work: Callable[[apsw.Connection], T]) -> T | BaseException:
        """The result of `work`, committed; or the error that it, or the commit, ended with, rolled back."""
        connection = self._connection
        committing = False
        try:
            fetch(connection, "BEGIN IMMEDIATE")
            (owner,) = fetch(connection, "SELECT v FROM meta WHERE k = 'node'")[0]
            if owner != self._node:
                raise Fenced(
                    f"the store {self._path} was opened by another process: this one must write nothing more",
                    hint="let one process alone use the file; its lock does not reach over network file systems",
                )
            result = work(connection)
            point("store.before_commit")
            committing = True
            fetch(connection, "COMMIT")
            point("store.after_commit")
        except BaseException as error:  # noqa: BLE001  # whatever it is, the writer goes on and the waiters hear of it
            return self._undone(error, committing)
        return result

    def _undone(self, error: BaseException, committing: bool) -> BaseException:
        ours = meaning(error, self._path, committing=committing) if isinstance(error, apsw.Error) else error
        if self._connection.in_transaction and not (committing and isinstance(ours, StoreFailed)):
            try:
                fetch(self._connection, "ROLLBACK")
            except apsw.Error as second:
                return StoreFailed(f"the store {self._path} cannot roll back: {second}", hint="start again")
        return ours


def answer(connection: apsw.Connection, ask: Ask) -> Sequence[Sequence[Any]]:
    """The rows that one question finds."""
    statement, values = ask
    if isinstance(statement, Statement):
        return run(connection, statement, values)
    return fetch(connection, statement, values)


def drive(connection: apsw.Connection, asking: Generator[Ask, Sequence[Sequence[Any]], T]) -> T:
    """Answer a generator's questions until it returns."""
    found: Any = None
    while True:
        try:
            ask = asking.send(found)
        except StopIteration as ended:
            return ended.value
        found = answer(connection, ask)


def make_days(connection: apsw.Connection, tables: Sequence[str]) -> None:
    """Make tables of dedupe records, unless they are there."""
    for table in tables:
        sql = f"CREATE TABLE IF NOT EXISTS {table} (hash BLOB PRIMARY KEY, event INTEGER NOT NULL)"
        fetch(connection, f"{sql} STRICT, WITHOUT ROWID")


def write_group(
    connection: apsw.Connection, units: Sequence[Unit], now: float, node: int, days: Sequence[str], today: Sequence[str]
) -> list[Committed | UnitRefused]:
    """Write a group within the transaction that is open: read its facts, decide, write its rows; the receipts.

    `days` are all tables of dedupe records, newest first, `today` those that are written.
    """
    wanted = wants(units)
    rows, receipts, missing = resolve(units, _facts(connection, wanted, node, days), now, node)
    while missing:
        wanted.runs |= dict.fromkeys(missing)
        rows, receipts, missing = resolve(units, _facts(connection, wanted, node, days), now, node)
    for statement, cells in row_writes(rows, today):
        run(connection, statement, cells)
    return receipts


def _facts(connection: apsw.Connection, wanted: Wants, node: int, days: Sequence[str]) -> Facts:
    facts = Facts(wanted)
    if wanted.identities:
        hashes = [(identity,) for identity in wanted.identities]
        for table in days:
            for identity, event in run(connection, read_seen(table), hashes):
                facts.seen.setdefault(identity, event)
        if facts.seen:
            known = [(event,) for event in dict.fromkeys(facts.seen.values())]
            for event, number in run(connection, READ_FIRST_RUNS, known):
                facts.first_runs.setdefault(event, []).append(number)
    for name, statement, keys in fact_reads(wanted):
        fold(facts, name, run(connection, statement, keys), node, nodes=False)
    return facts
