"""Group commit, written once for both databases: who waits joins, who fails fails alone, who cannot be written waits.

A group is everything that arrived while the group before it was being committed: no timer, no least size. A small one
leaves when the loop's turn ends, so that the steps which the results before it have woken still join it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from ..core.clock import Clock
from ..core.errors import StoreFailed, StoreUnavailable
from ..core.event import Mark
from ..core.limits import GROUP_BYTES_MAX, GROUP_ROWS_MAX, KIB, REFUSED_INPUT_S_MAX
from .contract import Committed, Unit, UnitRefused
from .resolve import unit_refused

_log = logging.getLogger("reactor.store")

RETRY_S_MIN = 0.05  # a refusing store is asked again after this, doubling …
RETRY_S_MAX = 1.0  # … up to this
FILLER = ("store", "filler")  # the mark that takes the room of input that was given back
FILLER_BYTES_MAX = 256 * KIB
UNIT_BYTES = 1 * KIB  # of a unit beside what it says that it writes

Result = list[Committed | UnitRefused] | BaseException


class Writer(Protocol):
    """What commits the groups of one lane, one at a time.

    `at_once`: so many units are worth a group of their own, while the loop goes on with what they left to do. It pays
    where the writer does not take turns with the loop.
    """

    at_once: int

    def commit(self, units: Sequence[Unit], done: Callable[[Result], None]) -> None:
        """Write a group whole or not at all, and call `done` in the loop, once, with a receipt for each unit or an
        error.

        StoreUnavailable: nothing is written, the same group may go again, or a part of it; if the error is `in_doubt`
        it may be written, and exactly the same group must go again. StoreFailed: nothing may be written any more.
        Any other error: something in the group cannot be written, nothing of it is.
        """
        ...


class GroupCommit:
    """Joins units into groups, on one lane or several, and gives everyone their own answer."""

    def __init__(self, writers: Sequence[Writer], clock: Clock) -> None:
        self._lanes = [_Lane(writer, clock, self) for writer in writers]
        self._only = self._lanes[0] if len(self._lanes) == 1 else None
        self._loop = asyncio.get_running_loop()
        self.refusing = ""
        self.failed: StoreFailed | None = None
        self.groups = 0
        self.units = 0

    def submit(self, unit: Unit) -> asyncio.Future[Committed]:
        """Put a unit in the next group. Its future fails at once if the store is closed, or refuses and this is new
        input.
        """
        future: asyncio.Future[Committed] = self._loop.create_future()
        if self.failed is not None:
            future.set_exception(_fresh(self.failed))
        elif self.refusing and is_input(unit):
            future.set_exception(StoreUnavailable(self.refusing, retry_after_s=RETRY_S_MAX))
        else:
            lane = self._only or self._lanes[_spread(unit) % len(self._lanes)]
            lane.add(unit, future)
        return future

    def fail(self, error: StoreFailed) -> None:
        """Close for good: whoever waits hears why, and so does everyone who comes."""
        if self.failed is None:
            self.failed = error
        for lane in self._lanes:
            lane.fail(error)

    async def close(self) -> None:
        """Wait until everything submitted is written; what a refusing store cannot take fails with StoreUnavailable."""
        closed = StoreFailed("the store is closed")
        for lane in self._lanes:
            await lane.drained()
        self.fail(closed)


class _Lane:
    """One queue, and the group of it that is under way."""

    def __init__(self, writer: Writer, clock: Clock, owner: GroupCommit) -> None:
        self._writer = writer
        self._clock = clock
        self._owner = owner
        self._queue: deque[tuple[Unit, asyncio.Future[Committed], int]] = deque()
        self._rows = 0  # in the queue
        self._bytes = 0
        self._pieces: list[
            tuple[list[Unit], list[asyncio.Future[Committed]]]
        ] = []  # of a group that was split; last first
        self._now: tuple[list[Unit], list[asyncio.Future[Committed]]] | None = None
        self._busy = False  # the writer has a group
        self._due = False  # the queue is looked at when this turn of the loop ends
        self._loop = asyncio.get_running_loop()
        self._retry_s = RETRY_S_MIN
        self._refused_at: float | None = None  # when the store began to refuse, on the monotonic clock
        self._filled = False  # the last group that went was filler: its row is to go
        self._retry: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None

    def add(self, unit: Unit, future: asyncio.Future[Committed]) -> None:
        rows = 1 + len(unit.journal)
        for accept in unit.accept:
            rows += 2 + len(accept.runs)
        if unit.runs:
            rows += len(unit.runs)
        self._rows += rows
        self._bytes += unit.bytes_
        self._queue.append((unit, future, rows))
        if not self._busy:
            self._soon()

    def _soon(self) -> None:
        """Ship at once what is worth it, the rest when this turn of the loop ends: others may join it."""
        if len(self._queue) >= self._writer.at_once:
            self._ship()
        elif not self._due:
            self._due = True
            self._loop.call_soon(self._turned)

    def _turned(self) -> None:
        self._due = False
        if not self._busy:
            self._ship()

    def _ship(self) -> None:
        if self._pieces:
            group = self._pieces.pop()
        elif self._queue:
            group = self._take()
        else:
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        self._busy = True
        self._now = group
        self._writer.commit(group[0], self._done)

    def _take(self) -> tuple[list[Unit], list[asyncio.Future[Committed]]]:
        queue = self._queue
        units: list[Unit] = []
        futures: list[asyncio.Future[Committed]] = []
        if self._rows <= GROUP_ROWS_MAX and self._bytes <= GROUP_BYTES_MAX:
            for unit, future, _ in queue:
                units.append(unit)
                futures.append(future)
            queue.clear()
            self._rows = self._bytes = 0
            return units, futures
        rows = size = 0
        while queue:
            unit, future, its_rows = queue[0]
            rows += its_rows
            size += unit.bytes_
            if units and (rows > GROUP_ROWS_MAX or size > GROUP_BYTES_MAX):
                break
            queue.popleft()
            self._rows -= its_rows
            self._bytes -= unit.bytes_
            units.append(unit)
            futures.append(future)
        return units, futures

    def _done(self, result: Result) -> None:
        if self._now is None:
            return  # the store failed meanwhile, on another lane
        units, futures = self._now
        if isinstance(result, list):
            self._now = None
            if self._owner.refusing:
                self._owner.refusing = ""
                _log.warning("the store takes writes again")
            self._retry_s, self._refused_at = RETRY_S_MIN, None
            if self._filled:
                self._filled = False
                self.add(Unit(marks=(Mark(*FILLER, None),)), self._unheard())
            self._owner.groups += 1
            self._owner.units += len(units)
            for future, receipt in zip(futures, result, strict=True):
                if future.done():
                    continue  # who waited was cancelled: the unit is written all the same
                if isinstance(receipt, Committed):
                    future.set_result(receipt)
                else:
                    future.set_exception(receipt)
        elif isinstance(result, StoreUnavailable):
            if not self._owner.refusing:
                _log.error("the store refuses writes, and so new input: %s", result)
            self._owner.refusing = str(result)
            if self._idle is not None:
                self.fail(_closed_while(result))
                return
            self._give_back(result)
            self._retry = self._loop.create_task(self._go_again(), name="store-retry")
            return
        elif isinstance(result, StoreFailed):
            self._owner.fail(result)
        else:
            self._split(units, futures, result)
        self._busy = False
        self._soon()

    def _split(self, units: list[Unit], futures: list[asyncio.Future[Committed]], error: BaseException) -> None:
        """Halve a group that cannot be written until the unit that is to blame stands alone; the order stays."""
        self._now = None
        if len(units) == 1:
            if not futures[0].done():
                futures[0].set_exception(unit_refused(error))
            return
        half = len(units) // 2
        self._pieces.append((units[half:], futures[half:]))
        self._pieces.append((units[:half], futures[:half]))

    def _give_back(self, error: StoreUnavailable) -> None:
        """New input that has waited for REFUSED_INPUT_S_MAX is written no more, and whoever sent it hears so.

        A group in doubt is left as it is: nobody can say yet whether it was taken. A group of input alone leaves a
        filler of its size in its place, so that the store is asked again for as much room.
        """
        now = self._clock.monotonic()
        if self._refused_at is None:
            self._refused_at = now
        if now - self._refused_at < REFUSED_INPUT_S_MAX:
            return
        given: list[asyncio.Future[Committed]] = []
        if self._now is not None and not error.in_doubt:
            size = sum(unit.bytes_ + UNIT_BYTES for unit in self._now[0])
            self._now = _kept(self._now, given)
            if not self._now[0]:
                self._filled = True
                filler = Mark(*FILLER, bytes(min(size, FILLER_BYTES_MAX)))
                self._now = ([Unit(marks=(filler,))], [self._unheard()])
        self._pieces = [piece for each in self._pieces if (piece := _kept(each, given))[0]]
        queue, self._queue, self._rows, self._bytes = self._queue, deque(), 0, 0
        for each in queue:
            if is_input(each[0]):
                given.append(each[1])
            else:
                self._queue.append(each)
                self._rows += each[2]
                self._bytes += each[0].bytes_
        for future in given:
            if not future.done():
                future.set_exception(StoreUnavailable(str(error), retry_after_s=RETRY_S_MAX, hint=error.hint))

    def _unheard(self) -> asyncio.Future[Committed]:
        """For a unit of our own, whose fate nobody asks for."""
        future: asyncio.Future[Committed] = self._loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    async def _go_again(self) -> None:
        wait, self._retry_s = self._retry_s, min(self._retry_s * 2, RETRY_S_MAX)
        await self._clock.sleep(wait)
        if self._now is not None:
            self._writer.commit(self._now[0], self._done)

    def fail(self, error: StoreFailed | StoreUnavailable) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        groups = [self._now[1]] if self._now is not None else []
        groups += [futures for _, futures in self._pieces]
        groups.append([future for _, future, _ in self._queue])
        self._now = None
        self._pieces.clear()
        self._queue.clear()
        self._rows = self._bytes = 0
        for future in (future for futures in groups for future in futures):
            if not future.done():
                future.set_exception(_fresh(error))
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def drained(self) -> None:
        """Return when nothing waits here any more; a store that refuses at that moment is not waited for."""
        while (self._busy or self._due) and self._owner.failed is None:
            if self._owner.refusing:
                self.fail(_closed_while(self._owner.refusing))
                return
            self._idle = self._loop.create_future()
            await self._idle


def is_input(unit: Unit) -> bool:
    """Does it bring something new in? A store that refuses takes none, so that what is under way has the room."""
    return bool(unit.accept or unit.runs)


def _kept(
    group: tuple[list[Unit], list[asyncio.Future[Committed]]], given: list[asyncio.Future[Committed]]
) -> tuple[list[Unit], list[asyncio.Future[Committed]]]:
    """A group without its new input, whose futures are added to `given`."""
    units: list[Unit] = []
    futures: list[asyncio.Future[Committed]] = []
    for unit, future in zip(*group, strict=True):
        if is_input(unit):
            given.append(future)
        else:
            units.append(unit)
            futures.append(future)
    return units, futures


def _fresh(error: StoreFailed | StoreUnavailable) -> StoreFailed | StoreUnavailable:
    """One exception object for each who hears it: raising adds to an exception's traceback."""
    return type(error)(str(error), hint=error.hint)


def _closed_while(refusing: object) -> StoreUnavailable:
    return StoreUnavailable(f"the store was closed while it could not write: {refusing}")


def _spread(unit: Unit) -> int:
    """Which lane: a source's marks and a run each stay on one, so that their units keep their order."""
    if unit.marks:
        return hash(unit.marks[0].scope)
    if unit.journal:
        return unit.journal[0].run
    if unit.changes:
        return unit.changes[0].run
    if unit.runs:
        return unit.runs[0].run.id
    return unit.accept[0].event.key if unit.accept else 0


class Submits:
    """The writing half of a store: its group commit, there while it is open."""

    _groups: GroupCommit | None = None

    def submit(self, unit: Unit) -> asyncio.Future[Committed]:
        """See Store. Raises StoreFailed while the store is closed."""
        if self._groups is None:
            raise StoreFailed("the store is not open")
        return self._groups.submit(unit)

    @property
    def refusing(self) -> str:
        """See Store."""
        return self._groups.refusing if self._groups is not None else ""
