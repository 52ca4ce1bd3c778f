"""Kafka topics, by a consumer group -> events.

Promise: effectively once (the offset is stored with what it started, by compare-and-set, and rules); in the order of
each partition; any offset or time that is retained. All nodes read, the group shares the partitions out.
Source: triggers.md sections 1 to 3; journal.md, ack path of Kafka; semantics 1.5 to 1.8, 3.1; dependencies.md section
8.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from ..connections.kafka import KafkaConnection
from ..connections.kafka_errors import reading
from ..core.errors import ConfigError, NotConnected, ReactorError
from ..core.event import Delivery, Event, InvalidEvent, Mark, Settlement, Undecodable
from .contract import Traits, TriggerContext
from .kafka_config import KafkaConfig
from .shape import Shaper
from .starts import gap, offsets_of, start_of
from .tasks import end

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord, TopicPartition

    from .kafka_positions import Log, Position
    from .kafka_reader import Batch, Part, Reader

_log = logging.getLogger("reactor.triggers")

TICK_S = 1.0
CHECK_S = 10.0
STUCK_S = 30.0
EMPTY_S = 60.0
REBUILD_S_MAX = 600.0
COMMITTED_S_MAX = 5.0
PATTERN_AGE_S = 10.0  # new topics and partitions are looked for so often
TOPIC_AGE_S = 60.0
STARTED = "started"
"""The mark of a pattern that says: topics that appear now are read from their beginning."""


class First(Struct, frozen=True):
    """Where a partition begins (or, after a gap, goes on) that finds this in its mark."""

    expected: bytes | None
    position: Any


class KafkaTrigger:
    """Reads as a member of a group."""

    Config = KafkaConfig
    traits: ClassVar[Traits] = Traits(acknowledges=True, stable_ids=True, ordered=True, replays=True, shared=True)

    def __init__(self, config: KafkaConfig, context: TriggerContext) -> None:
        self._config = config
        self._context = context
        self._connection: KafkaConnection = context.connection
        self._group = config.group or context.own
        self._title = f"{self._connection.title}, group {self._group}"
        self._shaper = Shaper(context.spec, clock=context.clock)
        self._start = start_of(context.spec.start, "latest", context.clock)
        if self._start.at == "offset":
            offsets_of(self._start.offset)  # its faults are found before anything is connected
        self._log: Log | None = None
        self._looking = asyncio.Lock()  # the log is for one at a time
        self._reader: Reader | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._failure: ReactorError | None = None
        self._rebuild = False
        self._patience_s = STUCK_S
        self._wake = asyncio.Event()
        self._first: dict[str, First] = {}
        self._starts: Literal["", "queued", "refused"] = ""
        self._absent: set[str] = set()  # topics that were not there when they were looked for: read from the beginning
        self._missing: list[str] = []  # those that are not there now, while others are read
        self._count = 0
        self._rate = 0.0

    # -- the contract
    async def connect(self) -> None:
        """Reach the brokers, check that the logs are those that were read, fix where to begin, and join the group.

        Raises NotConnected (also while there is no such topic), ConfigError (`source_gap` among them), StepErrors.
        """
        from .kafka_positions import Log

        await self._rest()
        if self._rebuild or self._reader is None or self._log is None:
            await self._discard()
            self._log = Log(self._connection, self._config.isolation_level)
            await self._log.open()
            self._reader = await self._member()
        reader = self._reader
        async with self._looking:
            await self._look_at_all(self._log, reader)
        self._join(reader)
        self._failure = None
        reader.start()
        self._keeper = asyncio.ensure_future(self._keep(reader, self._log))
        self._keeper.add_done_callback(self._kept)

    async def read(self) -> Delivery:
        """The next records of one partition, as one unit. Raises NotConnected, ConfigError `source_gap`, StepErrors."""
        while True:
            reader = self._reader
            failure = self._failure or (reader.failure if reader is not None else None)
            if failure is not None:
                raise failure
            if reader is None:
                raise NotConnected(f"{self._title}: not connected")
            self._wake.clear()
            if self._first and self._starts != "queued":
                delivery = await self._first_marks()
                if delivery is not None:
                    return delivery
            batch = reader.take()
            if batch is not None:
                return self._delivery(reader, batch)
            await self._wake.wait()

    async def close(self) -> None:
        """Tell the broker what is durable, leave the group, and close."""
        reader = self._reader
        await self._rest()
        if reader is not None:
            await reader.commit([part for part in reader.parts.values() if not part.gone])
        await self._discard()

    def details(self) -> Mapping[str, Any]:
        """Lag and position of every partition that is read here, and events a second."""
        parts = sorted(self._reader.parts.values(), key=lambda part: part.tp) if self._reader is not None else []
        shown = {
            part.key: {"position": part.durable.offset, "lag": max(0, part.end - part.durable.offset)}
            for part in parts
            if part.durable is not None
        }
        lag = sum(one["lag"] for one in shown.values())
        found = {"group": self._group, "partitions": shown, "lag": lag, "rate": round(self._rate, 1)}
        return {**found, "missing": list(self._missing)} if self._missing else found

    # -- connecting
    async def _rest(self) -> None:
        """Nothing moves any more; the group still counts us in."""
        keeper, self._keeper = self._keeper, None
        await end(keeper)
        if self._reader is not None:
            self._rebuild = self._rebuild or self._reader.broken
            await self._reader.halt()

    async def _discard(self) -> None:
        from ..connections.kafka import stop

        reader, self._reader = self._reader, None
        log, self._log = self._log, None
        self._rebuild = False
        await asyncio.gather(
            *([stop(reader.consumer)] if reader is not None else []), *([log.close()] if log is not None else [])
        )

    async def _look_at_all(self, log: Log, reader: Reader) -> None:
        """Topics, gaps, and where to begin: of every partition, whoever will read it."""
        from .kafka_positions import key_of

        partitions, marks = await self._found(log)
        lost = await self._lost(log, partitions, marks)
        if self._context.resume:
            begin = start_of(self._context.resume.get("start"), "earliest", self._context.clock)
            moved = list(lost) or partitions
            for one, offset in (await log.at(begin, moved)).items():
                self._first[key_of(one)] = First(marks.get(key_of(one)), _position(offset))
        elif lost:
            raise self._gap(lost)
        await self._fix(log, reader, partitions, marks)

    async def _found(self, log: Log) -> tuple[list[TopicPartition], Mapping[str, bytes]]:
        """Every partition of ours, and what is stored; topics that are not there are left out.

        Raises NotConnected where there is none of them.
        """
        from aiokafka import TopicPartition

        every = await log.partitions()
        found = {name: numbers for name, numbers in every.items() if self._config.takes(name)}
        absent = self._not_there(found)
        self._absent.update(absent)
        if absent and not any(found.values()):
            raise NotConnected(f"there is no topic {', '.join(absent)} on {self._connection.title}")
        if absent and absent != self._missing:
            told = ", ".join(absent), self._connection.title
            _log.warning(
                "trigger %s (kafka): there is no topic %s on %s: it reads the others", self._context.name, *told
            )
        self._missing = absent
        partitions = [TopicPartition(name, number) for name, numbers in sorted(found.items()) for number in numbers]
        return partitions, await self._context.reread()

    def _not_there(self, every: Mapping[str, Collection[int]]) -> list[str]:
        return [name for name in self._config.names() if not every.get(name)]

    async def _lost(
        self, log: Log, partitions: list[TopicPartition], marks: Mapping[str, bytes]
    ) -> Mapping[TopicPartition, tuple[str, dict[str, Any]]]:
        """Those whose log no longer has the position that is stored."""
        from .kafka_positions import decoded, key_of

        keys = {key_of(one): one for one in partitions}
        lost, _ = await log.lost({keys[key]: decoded(value) for key, value in marks.items() if key in keys})
        return lost

    async def _fix(
        self, log: Log, reader: Reader, partitions: list[TopicPartition], marks: Mapping[str, bytes]
    ) -> None:
        """At the first connect, `start` becomes offsets; what appears later begins at its beginning anyway."""
        from .kafka_positions import key_of

        if self._start.at == "earliest":
            return
        if self._config.pattern is not None:
            fresh = [] if marks else partitions
            if not marks:
                self._first.setdefault(STARTED, First(None, _position(0)))
        else:
            known = {key.rpartition("/")[0] for key in marks} | self._absent
            fresh = [one for one in partitions if one.topic not in known]
        fresh = [one for one in fresh if key_of(one) not in self._first]
        if self._config.group is not None:  # others may have read for this group: then it goes on where they were
            fresh = [one for one in fresh if await self._committed(reader, one) is None]
        for one, offset in (await log.at(self._start, fresh)).items():
            self._first[key_of(one)] = First(None, _position(offset))

    async def _first_marks(self) -> Delivery | None:
        """What makes the beginnings durable; None if all are."""
        from .kafka_positions import encoded

        marks = await self._context.reread()
        self._first = {
            key: first
            for key, first in self._first.items()
            if marks.get(key) == first.expected and encoded(first.position) != first.expected
        }
        if not self._first:
            self._starts = ""
            return None
        self._starts = "queued"
        first = dict(self._first)

        async def settle(settlement: Settlement) -> None:
            self._starts = "refused" if settlement.again else ""
            if settlement.again:
                return
            for key, one in first.items():
                if self._first.get(key) is one:
                    del self._first[key]
            for part in self._reader.parts.values() if self._reader is not None else ():
                if part.durable is None and part.key in first:
                    part.durable = first[part.key].position

        scope = self._context.name
        wanted = tuple(
            Mark(scope, key, encoded(one.position), expected=one.expected) for key, one in sorted(first.items())
        )
        return Delivery((), settle, marks=wanted)

    async def _committed(self, reader: Reader, partition: TopicPartition) -> int | None:
        with reading(self._title):
            async with asyncio.timeout(COMMITTED_S_MAX):
                return await reader.consumer.committed(partition)

    async def _member(self) -> Reader:
        """A consumer that may join the group. Raises as KafkaConnection.start."""
        from .kafka_reader import Reader

        config, spec = self._config, self._context.spec
        session_ms = round(config.session_timeout * 1000)
        consumer = self._connection.consumer(
            group_id=self._group,
            group_instance_id=config.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=config.isolation_level,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(3000, session_ms // 3),
            max_poll_interval_ms=round(config.max_poll_interval * 1000),
            rebalance_timeout_ms=max(session_ms, 10_000),
            max_partition_fetch_bytes=config.max_partition_fetch_bytes,
            metadata_max_age_ms=round(1000 * (PATTERN_AGE_S if config.pattern is not None else TOPIC_AGE_S)),
        )
        await self._connection.start(consumer)
        reader = Reader(
            consumer, self._title, self._place, self._context.clock, fetch=spec.fetch, single=spec.settle == "completed"
        )
        reader.arrived = self._wake.set
        return reader

    def _join(self, reader: Reader) -> None:
        """Join the group, if that is not done."""
        config, consumer = self._config, reader.consumer
        if reader.joined:
            return
        reader.joined = True
        if config.pattern is not None:
            consumer.subscribe(pattern=f"(?:{config.pattern})\\Z", listener=reader)
        else:
            there = [name for name in config.names() if name not in self._missing]  # else the broker may make it
            consumer.subscribe(topics=there, listener=reader)

    async def _place(self, parts: list[Part]) -> Mapping[Part, int]:
        """Where the reader of these partitions stands: at what is stored, else where the group was, else the start."""
        from .kafka_positions import Position, decoded, encoded

        log, reader = self._log, self._reader
        if log is None or reader is None:
            return {}
        async with self._looking:
            marks = await self._context.reread()
            at: dict[Part, Position | None] = {}
            for part in parts:
                stored, first = marks.get(part.key), self._first.get(part.key)
                part.head, part.durable, at[part] = stored, None, None
                if first is not None and stored == first.expected:
                    at[part], part.head = first.position, encoded(first.position)
                    continue
                if stored is not None:
                    at[part] = part.durable = decoded(stored)
                if stored is None or self._config.group is not None:  # a written group may be shared with other stores
                    committed = await self._committed(reader, part.tp)
                    known = at[part]
                    if committed is not None and (known is None or committed > known.offset):
                        at[part] = Position(committed)
            lost, _ = await log.lost({part.tp: position for part, position in at.items() if position is not None})
            if lost:
                raise self._gap(lost)
            begins = await log.bounds([part.tp for part, position in at.items() if position is None])
        for part, position in at.items():
            part.position = position if position is not None else Position(begins[part.tp].begin)
        return {part: part.position.offset for part in parts}

    def _gap(self, lost: Mapping[TopicPartition, tuple[str, dict[str, Any]]]) -> ConfigError:
        one, (what, details) = next(iter(sorted(lost.items())))
        more = f" (and {len(lost) - 1} more partitions)" if len(lost) > 1 else ""
        return gap(self._context, f"partition {one.partition} of the topic {one.topic}: {what}{more}", details)

    # -- messages
    def _delivery(self, reader: Reader, batch: Batch) -> Delivery:
        expected, value, settled = reader.handed_on(batch)
        events: list[Event | Undecodable] = []
        positioned = True
        for record in batch.records:
            id = f"{record.partition}/{record.offset}@{record.timestamp}"
            event = self._event(record, id)
            events.append(event)
            positioned = positioned and event.id == id and event.source.startswith("/kafka/")
        self._count += len(events)

        async def settle(settlement: Settlement) -> None:
            settled(settlement)

        mark = Mark(self._context.name, batch.part.key, value, expected=expected)
        return Delivery(tuple(events), settle, partition=batch.part.key, marks=(mark,), positioned=positioned)

    def _event(self, record: ConsumerRecord, id: str) -> Event | Undecodable:
        source = f"/kafka/{self._context.name}/{record.topic}"
        headers = {
            name: value.decode("utf-8", "backslashreplace") if value is not None else ""
            for name, value in record.headers
        }
        meta: dict[str, Any] = {"timestamp_type": "append" if record.timestamp_type == 1 else "create"}
        extensions: dict[str, str | int | bool] = {
            "kafkatopic": record.topic, "kafkapartition": record.partition, "kafkaoffset": record.offset,
        }  # fmt: skip
        subject = None
        if record.key is not None:
            try:
                subject, meta["key"] = self._key(record.key)
            except InvalidEvent as error:
                about = {**meta, **extensions, "headers": headers}
                return self._shaper.refused(error, record.value or b"", source=source, id=id, meta=about)
            extensions["partitionkey"] = subject
        return self._shaper.message(
            record.value, source=source, type="reactor.kafka.message", id=id, subject=subject,
            time=record.timestamp / 1000 if record.timestamp >= 0 else None, headers=headers, prefix="ce_",
            percent=False, extensions=extensions, meta=meta,
        )  # fmt: skip

    def _key(self, key: bytes) -> tuple[str, Any]:
        """The key as text, and as `meta.key`."""
        if self._config.key_format == "binary":
            text = base64.b64encode(key).decode()
            return text, text
        try:
            text = key.decode()
            return text, text if self._config.key_format == "text" else msgspec.json.decode(key)
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            form = "text in UTF-8" if self._config.key_format == "text" else "JSON"
            raise InvalidEvent(f"the record's key is not {form}: {error}; see `key_format`") from None

    # -- what goes on beside reading
    async def _keep(self, reader: Reader, log: Log) -> None:
        """Notice brokers that are gone, a reader that stands still, and gaps."""
        clock = self._context.clock
        checked_at, count, before = clock.monotonic(), self._count, clock.monotonic()
        while True:
            await clock.sleep(TICK_S)
            now = clock.monotonic()
            self._rate = (self._count - count) / max(now - before, 0.001)
            count, before = self._count, now
            if self._starts == "refused":
                self._starts = ""
                self._wake.set()
            async with self._looking:
                if now - checked_at >= CHECK_S:
                    checked_at = now
                    await self._check(reader, log)
                await self._measure(reader, log)
            await self._stands_still(reader, log, now)

    async def _measure(self, reader: Reader, log: Log) -> None:
        parts = [part for part in reader.parts.values() if part.ready]
        if not parts:
            await log.partitions()
        for tp, last in (await log.ends([part.tp for part in parts])).items():
            if tp in reader.parts:
                reader.parts[tp].end = last

    async def _check(self, reader: Reader, log: Log) -> None:
        await self._check_topics(reader, log)
        durable = {part.tp: part.durable for part in reader.parts.values() if part.ready and part.durable is not None}
        lost, bounds = await log.lost(durable)
        # what was removed after it was read is in our hands: it is lost only if it was not read
        real = {
            tp: why for tp, why in lost.items()
            if tp in reader.parts
            and not ("from" in why[1] and bounds[tp].begin <= reader.parts[tp].position.offset)
        }  # fmt: skip
        if real:
            raise self._gap(real)

    async def _check_topics(self, reader: Reader, log: Log) -> None:
        """Was a topic removed, or made anew? The group lets go of it without a word, and looks for it much later."""
        before = self._missing
        try:
            partitions, marks = await self._found(log)
        except NotConnected:
            self._rebuild = True  # a consumer that knows of no topic would not notice soon that it is back
            raise
        if self._missing != before:
            self._rebuild = True
            gone = [f"there is no topic {name} any more" for name in self._missing if name not in before]
            back = [f"there is a topic {name} again" for name in before if name not in self._missing]
            raise NotConnected(f"{self._title}: {', '.join(gone + back)}; the consumer is made anew")
        read = {tp.topic for tp in reader.parts}
        lost = await self._lost(log, [one for one in partitions if one.topic not in read], marks)
        if lost:
            raise self._gap(lost)

    async def _stands_still(self, reader: Reader, log: Log, now: float) -> None:
        """A consumer may stop without a word after a broker's restart or a rebalance: then it is made anew."""
        for part in list(reader.parts.values()):
            if not part.ready or part.gone or reader.paused:
                part.moved_at = now
                continue
            with reading(self._title):
                position = await reader.consumer.position(part.tp)
            if position != part.seen or position >= part.end:
                part.seen, part.moved_at = position, now
                self._patience_s = STUCK_S if position < part.end else self._patience_s
            elif now - part.moved_at > self._patience_s:
                self._give_up(f"{part.key} has stood at {position} of {part.end} for {round(now - part.moved_at)} s")
        if not reader.parts and now - reader.assigned_at > max(EMPTY_S, self._patience_s):
            if not await log.is_spare(self._group, self._config.takes):
                self._give_up("no partition is assigned, although there are more than members")
            reader.assigned_at = now

    def _give_up(self, why: str) -> None:
        self._rebuild = True
        self._patience_s = min(self._patience_s * 2, REBUILD_S_MAX)
        raise NotConnected(f"{self._title}: {why}; the consumer is made anew")

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        error = None if keeper.cancelled() else keeper.exception()
        if error is not None:
            ours = isinstance(error, ReactorError)
            self._failure = self._failure or (error if ours else NotConnected(f"{self._title}: {error!r}"))
            self._wake.set()


def _position(offset: int) -> Position:
    from .kafka_positions import Position

    return Position(offset)
