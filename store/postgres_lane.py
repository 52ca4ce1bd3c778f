"""One writer of a PostgreSQL store: a connection and a row of `lane`, which every group counts up.

The row is the fence: without it nothing is written. It also tells what became of a commit whose answer was lost: the
same group goes again, and if its count has been taken already, then by itself (journal.md, "Unknown outcome").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ..core.clock import Clock
from ..core.errors import StoreFailed, StoreUnavailable
from ..core.faults import point
from ..core.limits import GROUP_ROWS_MAX
from .contract import Committed, Unit, UnitRefused
from .days import tables_at
from .facts import Facts, Wants, wants
from .group import Result
from .postgres_days import Days
from .postgres_known import KnownRuns
from .postgres_node import fenced
from .postgres_sql import (
    Connection,
    arrays_of,
    at_once,
    connect,
    exists_already,
    goes_again,
    lacks_table,
    meaning,
    not_as_taken,
    run,
    taken_back,
    text_of,
)
from .resolve import resolve
from .rows import Rows
from .statements import LOCKS, READ_FIRST_RUNS, Statement, fact_reads, fold, read_seen, row_writes

TRIES_MAX = 4  # of one group, when other sessions were faster
DOUBTS = 100  # groups after a conflict that ask first which run keys exist; the others find it out by the conflict


class PostgresLane:
    """Writes groups, one at a time, each in one transaction."""

    at_once = GROUP_ROWS_MAX  # two lanes overlap already, and much of a group's work is the loop's own

    def __init__(
        self, url: str, node: int, no: int, clock: Clock, days: Days, known: KnownRuns, synchronous: str
    ) -> None:
        self._url = url
        self._node = node
        self._no = no
        self._clock = clock
        self._days = days
        self._known = known
        self._synchronous = synchronous
        self._loop = asyncio.get_running_loop()
        self._connection: Connection = None
        self._count = 0  # groups that are known to have committed
        self._doubts = 0  # groups for which run keys are looked up first: there was one that existed
        self._days_doubted = False
        self._sent: tuple[list[Committed | UnitRefused], Rows] | None = None
        """What a group comes to that was sent whole and not answered."""
        self._task: asyncio.Task[None] | None = None

    def commit(self, units: Sequence[Unit], done: Callable[[Result], None]) -> None:
        """See `group.Writer`."""
        self._task = self._loop.create_task(self._commit(units, done), name=f"store-lane-{self._no}")

    async def close(self) -> None:
        """Let go of the connection."""
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._drop()

    async def _commit(self, units: Sequence[Unit], done: Callable[[Result], None]) -> None:
        tries = 0
        while True:
            tries += 1
            try:
                result: Result = await self._attempt(units)
            except asyncio.CancelledError:
                await self._drop()
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the waiters hear of it
                if self._sent is None and goes_again(error) and tries < self._tries_max(error, len(units)):
                    self._doubts = DOUBTS  # some row was there already: perhaps a run's key
                    self._days_doubted = lacks_table(error)
                    await self._take_back()
                    continue
                result = await self._failed(error)
            done(result)
            return

    def _tries_max(self, error: Exception, units: int) -> int:
        """A row that is there already, though all was asked that can be, is some unit's fault: the group is split."""
        return 1 if self._doubts and units > 1 and exists_already(error) else TRIES_MAX

    async def _failed(self, error: Exception) -> BaseException:
        """What a group's error means, once the group is taken back."""
        ours = meaning(error, self._url)
        if isinstance(ours, StoreFailed):
            await self._drop()
        elif self._sent is not None or isinstance(ours, StoreUnavailable):
            await self._drop()  # and if COMMIT was sent, the same group asks what became of it
            if not isinstance(ours, StoreUnavailable):
                ours = StoreUnavailable(f"the database did not say whether it has written: {error}")
            ours.in_doubt = self._sent is not None
        else:
            await self._take_back()
        return ours

    async def _take_back(self) -> None:
        try:
            if self._connection is not None and self._connection.is_in_transaction():
                await self._connection.execute("ROLLBACK")
        except Exception:  # noqa: BLE001  # then the connection is gone, and the transaction with it
            await self._drop()

    async def _attempt(self, units: Sequence[Unit]) -> Result:
        if self._connection is not None and self._connection.is_closed():  # known before anything is sent: no doubt
            await self._drop()
        if self._connection is None:
            self._connection = await connect(self._url, synchronous=self._synchronous)
        connection = self._connection
        now = self._clock.now()
        today = tables_at(now)
        if self._days_doubted:
            await self._days.refresh()
            self._days_doubted = False
        await self._days.make(today)
        wanted = wants(units)
        receipts = await (self._at_once(connection, units, wanted, now) if self._sent is None else self._found())
        if receipts is not None:
            return receipts
        taken = await connection.execute(
            "BEGIN; UPDATE lane SET grp = grp + 1"
            f" WHERE node = {self._node} AND no = {self._no} AND grp = {self._count}"
        )
        if taken != "UPDATE 1":
            raise await self._not_mine(connection)
        rows, receipts, missing = resolve(units, await self._facts(connection, wanted), now, self._node)
        while missing:
            wanted.runs |= dict.fromkeys(missing)
            rows, receipts, missing = resolve(units, await self._facts(connection, wanted), now, self._node)
        await _write(connection, row_writes(rows, today))
        point("store.before_commit")
        self._sent = receipts, rows
        try:
            await connection.execute("COMMIT")
        except Exception as error:
            if taken_back(error):
                self._sent = None
            raise
        point("store.after_commit")
        self._committed(rows)
        return receipts

    async def _at_once(
        self, connection: Connection, units: Sequence[Unit], wanted: Wants, now: float
    ) -> list[Committed | UnitRefused] | None:
        """Write a group in one round trip, if all that it must know of is runs that this process began and knows the
        state of.

        What is taken for granted is checked as it is written; None: it was not so, or more must be known.
        """
        facts = self._known.facts(wanted)
        if facts is None or (wanted.keys and self._doubts):
            return None
        rows, receipts, missing = resolve(units, facts, now, self._node)
        writes = [(statement, cells) for statement, cells in row_writes(rows, (), unlocked=True) if cells]
        if missing or any(statement.after for statement, _ in writes):
            return None
        arrays = [array for statement, cells in writes for array in arrays_of(cells, len(statement.types))]
        changed = sum(1 for run in rows.changed.values() if run.patch)
        text = at_once([statement for statement, _ in writes])
        point("lane.before_statement")
        self._sent = receipts, rows
        try:
            await connection.fetch(text, self._node, self._no, self._count, changed + 1, *arrays)
        except Exception as error:
            if taken_back(error) or not isinstance(meaning(error, self._url), StoreUnavailable):
                self._sent = None
            if not not_as_taken(error):
                raise
            self._known.forget(rows.changed)
            return None
        point("lane.after_statement")
        self._committed(rows)
        return receipts

    def _committed(self, rows: Rows) -> None:
        self._count += 1
        self._doubts = max(0, self._doubts - 1)
        self._sent = None
        self._known.learn(rows)

    async def _found(self) -> list[Committed | UnitRefused] | None:
        """What became of the group that was sent and not answered; None: it is not written, and never will be.

        What was sent may be on its way still: only a count that it does not expect keeps it out for good. That is two
        on, for one on is its own.
        """
        assert self._sent is not None
        mine = f"WHERE node = {self._node} AND no = {self._no}"
        await self._connection.execute(f"UPDATE lane SET grp = grp + 2 {mine} AND grp = {self._count}")
        count = await self._connection.fetchval(f"SELECT grp FROM lane {mine}")
        if count == self._count + 2:
            self._count, self._sent = count, None
            return None
        if count != self._count + 1:
            raise await self._not_mine(self._connection)
        receipts, rows = self._sent
        self._committed(rows)
        return receipts

    async def _not_mine(self, connection: Connection) -> StoreFailed:
        """The lane's row is not as it was left, or gone."""
        await self._take_back()
        count = await connection.fetchval("SELECT grp FROM lane WHERE node = $1 AND no = $2", self._node, self._no)
        if count is None:
            return fenced(self._node)
        stands = f"lane {self._no} of node {self._node} stands at {count}, not at {self._count}"
        return StoreFailed(stands, hint="start again")

    async def _facts(self, connection: Connection, wanted: Wants) -> Facts:
        facts = Facts(wanted)
        if wanted.identities:
            hashes = [(identity,) for identity in wanted.identities]
            for table in self._days.tables:
                for identity, event in await run(connection, read_seen(table), hashes):
                    facts.seen.setdefault(identity, event)
            if facts.seen:
                known = [(event,) for event in dict.fromkeys(facts.seen.values())]
                for event, number in await run(connection, READ_FIRST_RUNS, known):
                    facts.first_runs.setdefault(event, []).append(number)
        for name, statement, keys in fact_reads(wanted):
            if name == "keys" and not self._doubts:
                continue
            found = await run(connection, statement, keys)
            while name in LOCKS and len(found) < len(keys):  # made, so that they can be locked
                await run(connection, LOCKS[name], keys)
                found = await run(connection, statement, keys)
            fold(facts, name, found, self._node, nodes=True)
        return facts

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _write(connection: Connection, writes: Any) -> None:
    """All rows of a group, in as few round trips as can be."""
    together: list[Statement] = []
    arrays: list[Any] = []
    for statement, rows in writes:
        if not rows:
            continue
        if statement.after and together:
            await connection.fetch(text_of(together), *arrays)
            together, arrays = [], []
        together.append(statement)
        arrays += arrays_of(rows, len(statement.types))
    if together:
        await connection.fetch(text_of(together), *arrays)
