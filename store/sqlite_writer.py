"""The writer of an SQLite file as a thread of this process."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import apsw

from ..core.clock import Clock
from ..core.limits import GROUP_ROWS_MAX
from .contract import Unit
from .group import Result, Writer as GroupWriter
from .sqlite_transactions import Ask, Transactions, drive

SWITCH_S = 0.0001
"""Beside a busy loop each call of the writer would wait the interpreter's 5 ms for its turn: many times a commit. A
tenth of a millisecond ends 9 to 25 % more runs than half of one where the machine has other work; less gains nothing.
"""

T = TypeVar("T")
Asking = Generator[Ask, Sequence[Sequence[Any]], T]


class Writer(GroupWriter, Protocol):
    """Takes groups and questions in turn, each in a transaction of its own."""

    @property
    def seen_tables(self) -> Sequence[str]:
        """The tables of dedupe records, newest first."""
        ...

    async def ask(self, asking: Asking[T]) -> T:
        """Answer a generator's questions in a transaction between two groups. Raises StoreUnavailable, StoreFailed."""
        ...

    def forget(self, tables: Sequence[str]) -> None:
        """These tables of dedupe records were dropped."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then end."""
        ...


class ThreadWriter:
    """Implements `Writer` by a thread, which takes turns with the loop: one of them works at a time."""

    at_once = GROUP_ROWS_MAX

    def __init__(self, transactions: Transactions, clock: Clock) -> None:
        self._transactions = transactions
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        if sys.getswitchinterval() > SWITCH_S:
            sys.setswitchinterval(SWITCH_S)
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def seen_tables(self) -> Sequence[str]:
        return self._transactions.seen_tables

    def commit(self, units: Sequence[Unit], done: Callable[[Result], None]) -> None:
        """See `group.Writer`."""
        self._jobs.put(lambda: self._answer(done, self._transactions.group(units, self._clock.now())))

    async def ask(self, asking: Asking[T]) -> T:
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(result: Any) -> None:
            if future.done():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        def work(connection: apsw.Connection) -> T:
            return drive(connection, asking)

        self._jobs.put(lambda: self._answer(done, self._transactions.attempt(work)))
        return await future

    def forget(self, tables: Sequence[str]) -> None:
        self._transactions.forget(tables)

    async def close(self) -> None:
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _answer(self, done: Callable[[Any], None], result: Any) -> None:
        self._loop.call_soon_threadsafe(done, result)
