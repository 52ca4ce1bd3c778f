"""The one thread that writes an SQLite file: groups of units, and in between the few writes that are no units."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw

from ..core.clock import Clock
from ..core.errors import Fenced, StoreFailed
from ..core.faults import point
from .contract import Committed, Unit, UnitRefused
from .days import tables_at
from .facts import Facts, Wants, wants
from .group import Result
from .resolve import resolve
from .sqlite_file import day_tables, fetch, meaning, run
from .statements import READ_FIRST_RUNS, fact_reads, fold, read_seen, row_writes

SWITCH_S = 0.0001
"""Beside a busy loop each call of the writer would wait the interpreter's 5 ms for its turn: many times a commit. A
tenth of a millisecond ends 9 to 25 % more runs than half of one where the machine has other work; less gains nothing.
"""

T = TypeVar("T")


class SqliteWriter:
    """Takes groups and calls in turn, each in a transaction of its own that first looks whether this process still
    owns the file.
    """

    def __init__(self, connection: apsw.Connection, path: Path, node: int, clock: Clock) -> None:
        self._connection = connection
        self._path = path
        self._node = node
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        names = fetch(connection, "SELECT name FROM sqlite_schema WHERE type = 'table'")
        self.seen_tables = day_tables(row[0] for row in names)  # replaced, never changed: the loop reads it
        if sys.getswitchinterval() > SWITCH_S:
            sys.setswitchinterval(SWITCH_S)
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def commit(self, units: Sequence[Unit], done: Callable[[Result], None]) -> None:
        """See `group.Writer`."""
        self._jobs.put(lambda: self._answer(done, self._group(units)))

    async def call(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do something in a transaction between two groups. Raises StoreUnavailable, StoreFailed."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(result: Any) -> None:
            if future.done():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        self._jobs.put(lambda: self._answer(done, self._attempt(lambda: work(self._connection))))
        return await future

    def forget(self, tables: Sequence[str]) -> None:
        """These tables of dedupe records were dropped."""
        self.seen_tables = [table for table in self.seen_tables if table not in tables]

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _answer(self, done: Callable[[Any], None], result: Any) -> None:
        self._loop.call_soon_threadsafe(done, result)

    def _attempt(self, work: Callable[[], Any]) -> Any:
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
            result = work()
            point("store.before_commit")
            committing = True
            fetch(connection, "COMMIT")
            point("store.after_commit")
        except BaseException as error:  # noqa: BLE001  # whatever it is, the thread goes on and the waiters hear of it
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

    def _group(self, units: Sequence[Unit]) -> Result:
        now = self._clock.now()
        tables = tables_at(now)
        if any(table not in self.seen_tables for table in tables):
            failed = self._attempt(lambda: make_days(self._connection, tables))
            if failed is not None:
                return failed
            self.seen_tables = sorted({*self.seen_tables, *tables}, reverse=True)
        days = self.seen_tables
        return self._attempt(lambda: write_group(self._connection, units, now, self._node, days, tables))


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
