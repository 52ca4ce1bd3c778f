"""No engine at all: the commits that the workflows need, joined in groups by one thread that writes SQLite.

No definition, no retry, no recovery, no event: what is left is the interpreter and the disk. What an engine of this
kind costs is how far it stays below this, and that holds on a slow machine as on a fast one. The rows are as durable as
Reactor's (`synchronous=FULL`), and as many: a start, a result for each step, the end together with the last of them.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import uvloop
import workload

TABLES = """
CREATE TABLE run (id INTEGER PRIMARY KEY, key BLOB UNIQUE, input BLOB, state INTEGER, output BLOB);
CREATE TABLE result (seq INTEGER PRIMARY KEY, run INTEGER, place INTEGER, body BLOB, UNIQUE (run, place));
"""
START = "INSERT INTO run (id, key, input, state) VALUES (?, ?, ?, 0)"
STEP = "INSERT INTO result (run, place, body) VALUES (?, ?, ?)"
END = "UPDATE run SET state = 1, output = ? WHERE id = ?"

Row = tuple[str, tuple[Any, ...]]


class Journal:
    """A group is everything that came while the one before it was being committed."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._came: list[tuple[tuple[Row, ...], asyncio.Future[None]]] = []
        self._busy = False
        self._groups: SimpleQueue[Any] = SimpleQueue()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "cache_size=-65536"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(TABLES)
        threading.Thread(target=self._write, daemon=True).start()

    def add(self, *rows: Row) -> asyncio.Future[None]:
        """Rows to commit together; the future is done when they are durable."""
        future = self._loop.create_future()
        self._came.append((rows, future))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._ship)
        return future

    def _ship(self) -> None:
        self._busy = bool(self._came)
        if self._came:
            group, self._came = self._came, []
            self._groups.put(group)

    def _write(self) -> None:
        execute = self._database.execute
        while True:
            group = self._groups.get()
            by_statement: dict[str, list[tuple[Any, ...]]] = {}
            for rows, _ in group:
                for statement, row in rows:
                    by_statement.setdefault(statement, []).append(row)
            execute("BEGIN IMMEDIATE")
            for statement, rows in by_statement.items():
                self._database.executemany(statement, rows)
            execute("COMMIT")
            self._loop.call_soon_threadsafe(self._done, group)

    def _done(self, group: list[tuple[tuple[Row, ...], asyncio.Future[None]]]) -> None:
        for _, future in group:
            future.set_result(None)
        self._loop.call_soon(self._ship)  # what the woken steps add belongs to the next group


async def noop(x: int) -> int:
    """A step that does nothing."""
    return x


def body(value: Any) -> bytes:
    """A value as it is stored."""
    return json.dumps(value).encode()


class Bare:
    """The two workflows."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._runs = 0

    async def _start(self, n: int) -> int:
        self._runs += 1
        run = self._runs
        await self._journal.add((START, (run, b"%016d" % run, body({"n": n}))))
        return run

    async def five(self, n: int) -> None:
        """One step after the other."""
        run = await self._start(n)
        for place in range(workload.STEPS - 1):
            n = await noop(n)
            await self._journal.add((STEP, (run, place, body(n))))
        n = await noop(n)
        await self._journal.add((STEP, (run, workload.STEPS - 1, body(n))), (END, (body(n), run)))

    async def fan(self, n: int) -> None:
        """All steps at once, and a join."""
        run = await self._start(n)

        async def one(place: int) -> None:
            await self._journal.add((STEP, (run, place, body(await noop(n + place)))))

        await asyncio.gather(*(one(place) for place in range(workload.FAN)))
        await self._journal.add((END, (body(workload.FAN), run)))


async def main() -> None:
    """Measure it."""
    wanted = workload.wanted()
    bare = Bare(Journal(Path(wanted["folder"]) / "bare.db"))
    workload.report(await workload.measured(bare.five, bare.fan, wanted), sqlite3.sqlite_version)


if __name__ == "__main__":
    uvloop.run(main())
