"""One member of a consumer group: polls, keeps the order of each partition, and follows the stored position.

A partition that is assigned is paused, placed (stored position read anew, log checked, sought), then read. Everything
that is read names in its mark where this reader stood; if the store refuses that, another reader was there, or the
store was away: what is buffered is dropped and the partition placed anew. Source: journal.md, ack path of Kafka;
semantics 3.1; dependencies.md section 8.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from ..connections.kafka_errors import reading
from ..core.clock import Clock
from ..core.errors import NotConnected, ReactorError
from ..core.event import Settlement
from .kafka_positions import Position, encoded, key_of
from .tasks import end

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, ConsumerRecord

POLL_MS = 200
DRAIN_S_MAX = 3.0
COMMIT_S = 1.0
COMMIT_S_MAX = 1.5
PAUSE_AFTER_S = 0.5  # a full buffer is mostly emptied at once: only then are the partitions paused
PASSED_AFTER_S = 1.0  # without a record: then what the library passed over is looked at
BUFFER_BYTES_MAX = 16 * 1024 * 1024

_log = logging.getLogger("reactor.triggers")


class Part:
    """One assigned partition."""

    __slots__ = (
        "committed", "durable", "end", "flights", "gone", "head", "key", "moved_at", "number", "position",
        "read_at", "ready", "refused", "seen", "tp",
    )  # fmt: skip

    def __init__(self, tp: TopicPartition, now: float) -> None:
        self.tp = tp
        self.key = key_of(tp)
        self.ready = False  # placed: what comes is read
        self.gone = False  # revoked
        self.position = Position(0)  # where this reader stands: what it read, settled or not
        self.head: bytes | None = None  # the mark that says so: what the next one expects to find
        self.durable: Position | None = None
        self.committed = -1
        self.flights: dict[int, int] = {}  # number of an unsettled delivery → its first offset; oldest first
        self.number = 0
        self.refused: int | None = None  # the first delivery that was refused
        self.read_at = now  # when a record last came
        self.end = 0
        self.seen = -1  # the library's position when it was last seen to move, …
        self.moved_at = now  # … and when that was

    @property
    def to_commit(self) -> int:
        """The offset that the broker may be told: all before it is settled. -1: there is none yet."""
        for offset in self.flights.values():
            return min(offset, self.durable.offset) if self.durable is not None else -1
        return self.durable.offset if self.durable is not None else -1


class Batch:
    """Records of one partition, in order, that were read and not handed on; without records, a position alone."""

    __slots__ = ("first", "part", "position", "records", "size")

    def __init__(self, part: Part, records: list[ConsumerRecord], first: int, position: Position) -> None:
        self.part = part
        self.records = records
        self.first = first
        self.position = position  # where the reader stands after it
        self.size = sum(len(record.value) if record.value is not None else 0 for record in records)


Place = Callable[[list[Part]], Awaitable[Mapping[Part, int]]]
"""Sets `position`, `head`, `durable` of these partitions from what is stored; where to seek. Raises ReactorErrors."""


class Reader(ConsumerRebalanceListener):
    """Owns a started consumer. `arrived` is called when `take` or `failure` have something new."""

    def __init__(
        self, consumer: AIOKafkaConsumer, title: str, place: Place, clock: Clock, *, fetch: int, single: bool
    ) -> None:
        self.consumer = consumer
        self.parts: dict[TopicPartition, Part] = {}
        self.failure: ReactorError | None = None
        self.joined = False  # it was told what to read
        self.broken = False  # the library gave up: this consumer is of no more use
        self.arrived: Callable[[], None] = lambda: None
        self.assigned_at = clock.monotonic()  # when partitions were last given or taken
        self.paused = False
        self._title = title
        self._place = place
        self._clock = clock
        self._fetch = fetch
        self._single = single
        self._buffer: deque[Batch] = deque()
        self._size = 0
        self._count = 0
        self._room = asyncio.Event()
        self._settled = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Poll and commit from now on; after `halt`, again."""
        self.failure = None
        self._tasks = [asyncio.ensure_future(loop) for loop in (self._poll(), self._commit_now_and_then())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def halt(self) -> None:
        """Stop polling; the consumer stays a member of its group as long as the brokers let it. All is placed anew."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.remove_done_callback(self._ended)
            await end(task)
        self._drop()
        for part in self.parts.values():
            part.ready = False

    # -- what the trigger takes
    def take(self) -> Batch | None:
        """The next records in order, if there are any."""
        while self._buffer:
            batch = self._buffer[0]
            part = batch.part
            if part.gone or not part.ready or part.refused is not None:
                self._left(self._buffer.popleft())
                continue
            self._left(self._buffer.popleft())
            return batch
        return None

    def handed_on(self, batch: Batch) -> tuple[bytes | None, bytes, Callable[[Settlement], None]]:
        """A batch becomes a delivery: the mark it expects to find, the mark it leaves, and how it is settled."""
        part, position = batch.part, batch.position
        expected, part.head = part.head, encoded(position)
        part.number += 1
        number = part.number
        part.flights[number] = batch.first

        def settled(settlement: Settlement) -> None:
            part.flights.pop(number, None)
            self._settled.set()
            if settlement.again:
                part.refused = number if part.refused is None else min(part.refused, number)
            elif part.durable is None or part.durable.offset < position.offset:
                part.durable = position

        return expected, part.head, settled

    # -- the group's decisions: called by the library, which waits for them
    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish what is under way, tell the broker, and let go."""
        self.assigned_at = self._clock.monotonic()
        lost = [part for tp in revoked if (part := self.parts.get(tp)) is not None]
        for part in lost:
            part.gone = True
        self._drop()
        try:
            async with asyncio.timeout(DRAIN_S_MAX):
                while any(part.flights for part in lost):
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            _log.info("%s: partitions are given up while events of theirs are under way", self._title)
        await self.commit(lost)
        for part in lost:
            if self.parts.get(part.tp) is part:
                del self.parts[part.tp]

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Keep them still until they are placed."""
        now = self.assigned_at = self._clock.monotonic()
        for tp in assigned:
            self.consumer.seek(tp, 0)  # else the library asks for the group's own position, or fails without one
            self.consumer.pause(tp)
            self.parts[tp] = Part(tp, now)

    # -- polling
    async def _poll(self) -> None:
        while True:
            await self._place_those_who_wait()
            full_since = 0.0
            while self._count >= 2 * self._fetch or self._size >= BUFFER_BYTES_MAX:
                full_since = full_since or self._clock.monotonic()
                await self._wait_for_room(self._clock.monotonic() - full_since >= PAUSE_AFTER_S)
            if self.paused:
                self.paused = False
                self.consumer.resume(*(part.tp for part in self.parts.values() if part.ready))
            with reading(self._title):
                batches = await self._getmany()
            for tp, records in batches.items():
                self._took(tp, records)
            if not batches:
                await self._pass_over()

    async def _getmany(self) -> Mapping[TopicPartition, list[ConsumerRecord]]:
        from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

        try:
            return await self.consumer.getmany(timeout_ms=POLL_MS, max_records=self._fetch)
        except NoOffsetForPartitionError:  # asked for before it was placed
            return {}
        except OffsetOutOfRangeError as error:  # the log was cut off or made anew: placing finds out
            for tp in _partitions(error):
                part = self.parts.get(tp)
                if part is not None and part.ready:
                    self._refuse(part)
            return {}
        except KafkaError:
            self.broken = True
            raise

    async def _wait_for_room(self, pause: bool) -> None:
        """Until somebody takes what is buffered; polling goes on, so that the group does not take us for dead."""
        self._room.clear()
        if not pause:
            try:
                async with asyncio.timeout(PAUSE_AFTER_S):
                    await self._room.wait()
            except TimeoutError:
                return
            return
        if not self.paused:
            self.paused = True
            self.consumer.pause(*self.parts)
        with reading(self._title):
            await self._getmany()
        await self._place_those_who_wait()

    def _took(self, tp: TopicPartition, records: list[ConsumerRecord]) -> None:
        part = self.parts.get(tp)
        if part is None or part.gone or not part.ready or part.refused is not None:
            return
        records = [record for record in records if record.offset >= part.position.offset]
        if not records:
            return
        part.position = Position(records[-1].offset + 1, records[-1].timestamp)
        part.read_at = self._clock.monotonic()
        for few in [[record] for record in records] if self._single else [records]:
            batch = Batch(part, few, few[0].offset, Position(few[-1].offset + 1, few[-1].timestamp))
            self._buffer.append(batch)
            self._size += batch.size
        self._count += len(records)
        self.arrived()

    async def _pass_over(self) -> None:
        """Follow the library over what it never hands out: the marks of transactions, and what was aborted.

        A position before them would be lost, for nothing, once they are removed. Only the task that polls may ask: so
        all before the library's position is in our hands.
        """
        quiet_since = self._clock.monotonic() - PASSED_AFTER_S
        for part in list(self.parts.values()):
            if part.gone or not part.ready or part.refused is not None or part.read_at > quiet_since or self.paused:
                continue
            with reading(self._title):
                offset = await self.consumer.position(part.tp)
            before = part.position
            if offset > before.offset and part.durable == before and part.ready and not part.gone:
                part.position = Position(offset, before.timestamp)
                self._buffer.append(Batch(part, [], before.offset, part.position))
                self.arrived()

    def _left(self, batch: Batch) -> None:
        self._size -= batch.size
        self._count -= len(batch.records)
        self._room.set()

    def _drop(self) -> None:
        """Forget what nobody may have any more."""
        kept = [b for b in self._buffer if b.part.ready and not b.part.gone and b.part.refused is None]
        self._buffer = deque(kept)
        self._size = sum(batch.size for batch in kept)
        self._count = sum(len(batch.records) for batch in kept)
        self._room.set()

    def _refuse(self, part: Part) -> None:
        part.refused = part.number + 1 if part.refused is None else part.refused

    async def _place_those_who_wait(self) -> None:
        """Place new partitions, and those refused of which nothing later is under way."""
        waiting: list[Part] = []
        for part in self.parts.values():
            if part.gone:
                continue
            refused = part.refused
            if not part.ready if refused is None else not any(number > refused for number in part.flights):
                waiting.append(part)
        if not waiting:
            return
        for part in waiting:
            part.ready = False
            part.refused = None
        self._drop()
        offsets = await self._place(waiting)
        now = self._clock.monotonic()
        for part, offset in offsets.items():
            if not part.gone and self.parts.get(part.tp) is part:
                self.consumer.seek(part.tp, offset)
                if not self.paused:
                    self.consumer.resume(part.tp)
                part.ready, part.moved_at = True, now
        self.arrived()

    # -- the group's own commit follows what is durable
    async def _commit_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(COMMIT_S)
            await self.commit([part for part in self.parts.values() if not part.gone])

    async def commit(self, parts: Collection[Part]) -> None:
        """Tell the broker what is durable; if it does not take it, the next time will do."""
        offsets = {part.tp: part.to_commit for part in parts if part.to_commit > part.committed}
        if not offsets:
            return
        try:
            with reading(self._title):
                async with asyncio.timeout(COMMIT_S_MAX):
                    await self.consumer.commit(offsets)
        except ReactorError as error:
            _log.debug("%s: the group's offsets could not be committed: %s", self._title, error)
            return
        for part in parts:
            part.committed = offsets.get(part.tp, part.committed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        self.fail(
            error if isinstance(error, ReactorError) else NotConnected(f"{self._title}: reading failed: {error!r}")
        )

    def fail(self, error: ReactorError) -> None:
        """What `read` raises next."""
        self.failure = self.failure or error
        self.arrived()


def _partitions(error: BaseException) -> list[TopicPartition]:
    """Those that the library's error names."""
    given: Any = error.args[0] if error.args else ()
    return [tp for tp in given if isinstance(tp, TopicPartition)]
