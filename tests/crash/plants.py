"""Defects planted on purpose: each must turn the judge of the crash tests red."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from reactor.core import faults
from reactor.core.event import Delivery, Receipt, Settlement
from reactor.engine import endings, prepare
from reactor.engine.active import ActiveRun
from reactor.engine.executor import Executor
from reactor.engine.recovery import Recovery
from reactor.router import arrival
from reactor.router.intake import Intake
from reactor.router.outbox import Outbox
from reactor.store import sqlite_transactions
from reactor.store.contract import Committed, JournalRow, Kind, StateChange, Unit
from reactor.store.postgres_lane import PostgresLane
from reactor.store.resolve import resolve
from reactor.store.sqlite_child import Child
from reactor.store.sqlite_wire import RECEIPTS, Channel, pack_receipts
from reactor.tests.crash.lives import Cut, Death, Mortal
from reactor.tests.store.proxy import Proxy

Patch = pytest.MonkeyPatch
_numbers = itertools.count(1)


def ack_before_commit(patch: Patch) -> None:
    """The sender is told as soon as the unit is handed to the store."""
    take = Intake.take

    async def eager(self: Intake, trigger: str, delivery: Delivery, settled: Any, *, done: Any = ()) -> None:
        if trigger:
            settled(Settlement(receipts=(Receipt("accepted"),)))
        await take(self, trigger, delivery, settled, done=done)

    patch.setattr(Intake, "take", eager)


def no_dedupe(patch: Patch) -> None:
    """No identity is known again, and no run's key."""
    count = itertools.count()
    identity = arrival.identity
    patch.setattr(arrival, "identity", lambda *about: identity(f"{next(count)}", *about[1:]))
    digest = prepare.digest
    patch.setattr(prepare, "digest", lambda *parts: digest(*parts, next(count)))


def no_recovery(patch: Patch) -> None:
    """What was under way is left where it was."""

    async def nothing(self: Recovery, *, page: int = 0) -> int:
        return 0

    patch.setattr(Recovery, "all", nothing)


def attempt_in_the_key(patch: Patch) -> None:
    """Every attempt has a key of its own."""
    key, count = ActiveRun.key, itertools.count()
    patch.setattr(ActiveRun, "key", lambda self, node, undo=False: f"{key(self, node, undo=undo)}{next(count)}")


def results_forgotten(patch: Patch) -> None:
    """Recovery does not read the results in the journal."""
    replay = Recovery._replay

    async def forgetful(self: Recovery, run: ActiveRun, item: JournalRow) -> None:
        if item.kind != Kind.RESULT:
            await replay(self, run, item)

    patch.setattr(Recovery, "_replay", forgetful)


def undo_forgotten(patch: Patch) -> None:
    """Recovery does not read which handlers have run."""
    replay = Recovery._replay

    async def forgetful(self: Recovery, run: ActiveRun, item: JournalRow) -> None:
        if item.kind != Kind.UNDO:
            await replay(self, run, item)

    patch.setattr(Recovery, "_replay", forgetful)


def place_kept(patch: Patch) -> None:
    """A run's end gives its place under a concurrency key to nobody."""
    patch.setattr(endings, "release", lambda row: None)


def no_intent(patch: Patch) -> None:
    """An at_most_once step is called without a word."""

    async def always(self: Executor, run: Any, node: Any) -> bool:
        return True

    patch.setattr(Executor, "_intend", always)


def back_off_in_memory(patch: Patch) -> None:
    """A back-off is not written."""

    async def nothing(self: Executor, *about: Any) -> None:
        faults.point("retry.recorded")

    patch.setattr(Executor, "record_back_off", nothing)


def outbox_not_drained_again(patch: Patch) -> None:
    """What was in the outbox when the process died stays there."""

    first = itertools.count()
    start = Outbox.start
    patch.setattr(Outbox, "start", lambda self, fatal: start(self, fatal) if next(first) % 2 == 0 else ())


def told_before_it_is_written(patch: Patch) -> None:
    """The process that writes a file answers before its commit."""
    write, point, send = sqlite_transactions.write_group, sqlite_transactions.point, Channel.send
    tell: list[Callable[[], None]] = []
    group = Child._group

    def grouping(self: Child, body: memoryview) -> None:
        def writing(*about: Any) -> Any:
            receipts = write(*about)
            tell[:] = [lambda: send(self._channel, RECEIPTS, pack_receipts(receipts))]
            return receipts

        patch.setattr(sqlite_transactions, "write_group", writing)
        group(self, body)

    def passing(name: str) -> None:
        if name == "store.before_commit" and tell:
            tell.pop()()
        point(name)

    patch.setattr(Child, "_group", grouping)
    patch.setattr(sqlite_transactions, "point", passing)
    patch.setattr(Channel, "send", lambda self, kind, body=b"": kind == RECEIPTS or send(self, kind, body))


def told_before_its_statement(patch: Patch) -> None:
    """Who waits for an intent or a result hears that it is written before its statement is sent."""
    commit, at_once = PostgresLane._commit, PostgresLane._at_once
    waiting: list[list[asyncio.Future[Committed]]] = []

    async def committing(self: PostgresLane, units: Any, done: Any) -> None:
        waiting[:] = [done.__self__._now[1]]
        await commit(self, units, done)

    async def early(self: PostgresLane, connection: Any, units: Any, wanted: Any, now: float) -> Any:
        facts = self._known.facts(wanted)
        if facts is not None and not any(unit.changes for unit in units):
            for future, receipt in zip(waiting[0], resolve(units, facts, now, self._node)[1], strict=True):
                if isinstance(receipt, Committed) and not future.done():
                    future.set_result(receipt)
            await asyncio.sleep(0.05)  # until what they do next has an effect
        return await at_once(self, connection, units, wanted, now)

    patch.setattr(PostgresLane, "_commit", committing)
    patch.setattr(PostgresLane, "_at_once", early)


def lost_answer_is_a_refusal(patch: Patch) -> None:
    """A group whose answer was lost is told as one that cannot be written."""
    failed = PostgresLane._failed

    async def refused(self: PostgresLane, error: Exception) -> BaseException:
        doubt, self._sent = self._sent is not None, None
        found = await failed(self, error)
        if doubt:
            self._count += 1
        return error if doubt else found

    patch.setattr(PostgresLane, "_failed", refused)


def lost_answer_is_no_answer(patch: Patch) -> None:
    """A group whose answer was lost is written again, as if the first were not."""

    async def again(self: PostgresLane) -> None:
        mine = f"WHERE node = {self._node} AND no = {self._no}"
        self._count, self._sent = await self._connection.fetchval(f"SELECT grp FROM lane {mine}"), None

    patch.setattr(PostgresLane, "_found", again)


def lost_statement_is_written(patch: Patch) -> None:
    """A group whose statement was lost is told as written."""
    failed = PostgresLane._failed

    async def written(self: PostgresLane, error: Exception) -> Any:
        sent, self._sent = self._sent, None
        found = await failed(self, error)
        return sent[0] if sent is not None else found

    patch.setattr(PostgresLane, "_failed", written)


class EventApart(Mortal):
    """The completion event, and that of an `emit`, is not in the unit of what it tells of."""

    def submit(self, unit: Unit) -> asyncio.Future[Committed]:
        """First what happened, then the event of it."""
        write = super().submit
        if not unit.outbox:
            return write(unit)

        async def both() -> Committed:
            committed = await write(msgspec.structs.replace(unit, outbox=()))
            await write(Unit(outbox=unit.outbox))
            return committed

        return asyncio.ensure_future(both())


class StateApart(Mortal):
    """A durable value is changed before the result of its step is written."""

    def submit(self, unit: Unit) -> asyncio.Future[Committed]:
        """First the value, then the result."""
        write, change = super().submit, unit.state
        if change is None:
            return write(unit)

        async def both() -> Committed:
            rows: list[JournalRow] = []

            def row(results: Any) -> JournalRow:
                rows[:] = [change.row(results)]
                return msgspec.structs.replace(rows[0], kind=Kind.SIGNAL, ord=rows[0].ord | next(_numbers))

            committed = await write(Unit(state=StateChange(change.ops, row)))
            await write(Unit(journal=tuple(rows)))
            return committed

        return asyncio.ensure_future(both())


class NoLookBack(Mortal):
    """A wait does not look back."""

    async def waited(self, *about: Any, **more: Any) -> tuple[()]:
        """Nothing ever came before."""
        return ()


PLANTS: dict[str, tuple[str, Callable[[Patch], None] | None, type[Mortal]]] = {
    "ack before commit": ("completes", ack_before_commit, Mortal),
    "no dedupe": ("completes", no_dedupe, Mortal),
    "no recovery": ("completes", no_recovery, Mortal),
    "attempt in the key": ("completes", attempt_in_the_key, Mortal),
    "results forgotten": ("completes", results_forgotten, Mortal),
    "handlers forgotten": ("compensates", undo_forgotten, Mortal),
    "completion event in a unit of its own": ("completes", None, EventApart),
    "emitted event in a unit of its own": ("emit", None, EventApart),
    "durable value in a unit of its own": ("state", None, StateApart),
    "outbox not drained after a death": ("emit", outbox_not_drained_again, Mortal),
    "place never given back": ("held", place_kept, Mortal),
    "no look-back": ("wait", None, NoLookBack),
    "at_most_once without an intent": ("at_most_once", no_intent, Mortal),
    "back-off in memory": ("retry", back_off_in_memory, Mortal),
}

Deaths = Callable[[Proxy, int], Death]
LANE_PLANTS: dict[str, tuple[str, Callable[[Patch], None], Deaths]] = {
    "told before its statement is sent": (
        "at_most_once",
        told_before_its_statement,
        lambda line, at: ("lane.before_statement", at),
    ),
    "results forgotten": ("completes", results_forgotten, lambda line, at: ("lane.after_statement", at)),
    "a lost answer is a refusal": ("completes", lost_answer_is_a_refusal, lambda line, at: Cut(line, at, "after")),
    "a lost answer is no answer": ("completes", lost_answer_is_no_answer, lambda line, at: Cut(line, at, "after")),
    "a lost statement is written": ("completes", lost_statement_is_written, lambda line, at: Cut(line, at, "before")),
}
"""Of PostgreSQL's groups of one statement: scenario, defect, and where it shows at the latest at some passage."""
