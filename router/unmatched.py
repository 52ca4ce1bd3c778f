"""The log of events that matched nothing: bounded, written lazily, so that `explain` can see them (semantics 1.4)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

from ..core.clock import Clock
from ..core.errors import StoreFailed, StoreUnavailable
from ..core.limits import UNMATCHED_PER_S_MAX
from ..core.loops import LOOPS
from ..store.contract import EventRow, Store

log = logging.getLogger("reactor.router")
FLUSH_S = 0.5


class Unmatched:
    """Keeps a sample of at most UNMATCHED_PER_S_MAX events a second."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._rows: deque[EventRow] = deque()
        self._writing = asyncio.Lock()  # whoever lists events flushes too: each row is written once
        self._second = 0
        self._taken = 0
        self.left_out = 0  # events of which no row was kept
        self.listeners: list[Callable[[EventRow], None]] = []  # told of each, kept or not

    def wants(self, at: float) -> bool:
        """Is an event of this instant (Unix seconds) kept, or told to anybody? If not, it is counted as left out, and
        no row need be made of it.
        """
        second = int(at)
        if second != self._second:
            self._second, self._taken = second, 0
        if self._taken < UNMATCHED_PER_S_MAX or self.listeners:
            return True
        self.left_out += 1
        return False

    def add(self, row: EventRow) -> None:
        """Tell of an event that `wants` let through, and keep it, unless it is told alone."""
        for listener in self.listeners:
            listener(row)
        if self._taken < UNMATCHED_PER_S_MAX:
            self._taken += 1
            self._rows.append(row)
        else:
            self.left_out += 1

    def find(self, key: int) -> EventRow | None:
        """A row that is not written yet."""
        return next((row for row in self._rows if row.key == key), None)

    def recent(self) -> list[EventRow]:
        """Rows that are not written yet, newest first."""
        return list(reversed(self._rows))

    async def flush(self) -> None:
        """Write what is kept; while the store refuses, it stays in memory (bounded by the rate)."""
        async with self._writing:
            rows = list(self._rows)
            if not rows:
                return
            try:
                await self._store.log_unmatched(rows)
            except StoreUnavailable:
                while len(self._rows) > 10 * UNMATCHED_PER_S_MAX:
                    self._rows.popleft()
                    self.left_out += 1
                return
            for _ in rows:
                self._rows.popleft()

    async def close(self) -> None:
        """Write what is kept; if the store failed for good it is lost, as in a crash."""
        with contextlib.suppress(StoreFailed):
            await self.flush()

    def start(self, fatal: Callable[[StoreFailed], None]) -> asyncio.Task[None]:
        """Flush every FLUSH_S seconds, until cancelled; `fatal` hears that the store closed for good."""
        return LOOPS.start("log of unmatched events", self._run, fatal=fatal)

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_S)
            await self.flush()
