"""Positions in Kafka's logs: how they are stored, where a reader begins, and whether the log still is the one it was.

Source: triggers.md section 1 (`start`, Gap); journal.md, ack path of Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka import TopicPartition
from msgspec import Struct

from ..connections.kafka import KafkaConnection, stop
from ..connections.kafka_errors import reading
from .starts import Start, offsets_of

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

LOOK_S_MAX = 2.0  # to read one record of each partition: without an answer nothing is concluded
OFFSETS_S_MAX = 4.0


class Position(Struct, frozen=True):
    """The value of a partition's mark: the next offset, and the timestamp (ms) of the record before it, if known."""

    offset: int
    timestamp: int | None = None


def key_of(partition: TopicPartition) -> str:
    """The key of a partition's mark."""
    return f"{partition.topic}/{partition.partition}"


def encoded(position: Position) -> bytes:
    """The value of a mark."""
    return msgspec.json.encode(position)


def decoded(value: bytes) -> Position:
    """The position of a mark."""
    return msgspec.json.decode(value, type=Position)


class Bounds(Struct, frozen=True):
    """What a partition's log holds: the first offset, and the one after the last."""

    begin: int
    end: int


class Log:
    """Looks at logs beside the group: metadata, bounds, single records. Not for two tasks at once."""

    def __init__(self, connection: KafkaConnection, isolation: str) -> None:
        self._connection = connection
        self._isolation: Any = isolation
        self._consumer: AIOKafkaConsumer | None = None

    async def open(self) -> None:
        """Connect. Raises as KafkaConnection.start."""
        consumer = self._connection.consumer(
            group_id=None, isolation_level=self._isolation, auto_offset_reset="none", enable_auto_commit=False,
            max_partition_fetch_bytes=1024, fetch_max_wait_ms=100, metadata_max_age_ms=30_000,
        )  # fmt: skip
        await self._connection.start(consumer)
        self._consumer = consumer

    async def close(self) -> None:
        """Let go. Safe twice."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)

    async def partitions(self) -> Mapping[str, frozenset[int]]:
        """Every topic with its partitions, asked anew; asking makes no topic. Raises NotConnected."""
        client: Any = getattr(self._open, "_client")  # noqa: B009  # the consumer itself only lists names
        with reading(self._connection.title):
            async with asyncio.timeout(OFFSETS_S_MAX):
                cluster = await client.fetch_all_metadata()
        return {name: frozenset(cluster.partitions_for_topic(name) or ()) for name in cluster.topics()}

    async def is_spare(self, group: str, takes: Callable[[str], bool]) -> bool:
        """Has the group more members than the topics that it `takes` have partitions? Raises NotConnected."""
        from aiokafka.admin import AIOKafkaAdminClient

        every = await self.partitions()
        partitions = sum(len(numbers) for name, numbers in every.items() if takes(name))
        with reading(f"{self._connection.title}, group {group}"):
            async with asyncio.timeout(self._connection.config.timeout):
                admin = AIOKafkaAdminClient(**self._connection.options())
                await admin.start()
                try:
                    (response,) = await admin.describe_consumer_groups([group])
                finally:
                    await admin.close()
        members = sum(len(one[5]) for one in response.groups)
        return members > partitions or not partitions

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """What each holds. Raises NotConnected."""
        if not partitions:
            return {}
        with reading(self._connection.title):
            async with asyncio.timeout(OFFSETS_S_MAX):
                begins = await self._open.beginning_offsets(partitions)
                ends = await self._open.end_offsets(partitions)
        return {one: Bounds(begins[one], ends[one]) for one in partitions}

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last of each; also the proof that the brokers answer. Raises NotConnected."""
        with reading(self._connection.title):
            async with asyncio.timeout(OFFSETS_S_MAX):
                return await self._open.end_offsets(partitions) if partitions else {}

    async def at(self, start: Start, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offsets that `start` means now. Raises NotConnected, ConfigError."""
        bounds = await self.bounds(partitions)
        if start.at == "latest":
            return {one: bounds[one].end for one in partitions}
        if start.at == "time":
            moment = round(start.time_s * 1000)
            with reading(self._connection.title):
                async with asyncio.timeout(OFFSETS_S_MAX):
                    found = await self._open.offsets_for_times(dict.fromkeys(partitions, moment)) if partitions else {}
            after = {one: answer.offset for one, answer in found.items() if answer is not None}
            return {one: after.get(one, bounds[one].end) for one in partitions}
        if start.at == "offset":
            wanted = offsets_of(start.offset)
            return {
                one: min(max(wanted.get(one.partition, 0), bounds[one].begin), bounds[one].end) for one in partitions
            }
        return {one: bounds[one].begin for one in partitions}

    async def lost(
        self, positions: Mapping[TopicPartition, Position]
    ) -> tuple[dict[TopicPartition, tuple[str, dict[str, Any]]], dict[TopicPartition, Bounds]]:
        """Those positions that the log no longer has: why, in words, and what is lost; and the bounds of all."""
        bounds = await self.bounds(positions.keys())
        lost: dict[TopicPartition, tuple[str, dict[str, Any]]] = {}
        look: dict[TopicPartition, int] = {}
        for one, position in positions.items():
            begin, end = bounds[one].begin, bounds[one].end
            place = {"topic": one.topic, "partition": one.partition}
            if position.offset > end:
                lost[one] = (f"it ends at {end}, but was read up to {position.offset}", {**place, "end": end})
            elif position.offset < begin:
                gone = {**place, "from": position.offset, "to": begin - 1}
                lost[one] = (f"the offsets {position.offset} to {begin - 1} are gone, and were not accepted", gone)
            elif position.timestamp is not None and begin < position.offset:
                look[one] = position.offset - 1
        for one, timestamp in (await self._timestamps(look)).items():
            known = positions[one].timestamp
            if timestamp != known:
                place = {"topic": one.topic, "partition": one.partition, "timestamp": timestamp, "known": known}
                lost[one] = (f"the record at {look[one]} is another than the one that was read there", place)
        return lost, bounds

    async def _timestamps(self, wanted: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The timestamps of the records at these offsets; compacted ones, and those that do not come, are left out."""
        found: dict[TopicPartition, int] = {}
        if not wanted:
            return found
        consumer = self._open
        missing = set(wanted)
        with reading(self._connection.title):
            consumer.assign(list(wanted))
            for one, offset in wanted.items():
                consumer.seek(one, offset)
            loop = asyncio.get_running_loop()
            until = loop.time() + LOOK_S_MAX
            while missing and (left := until - loop.time()) > 0:
                batch = await consumer.getmany(timeout_ms=max(1, round(left * 1000)))
                for one, records in batch.items():
                    if one in missing and records:
                        missing.discard(one)
                        consumer.pause(one)
                        if records[0].offset == wanted[one]:
                            found[one] = records[0].timestamp
            consumer.pause(*missing)
        return found

    @property
    def _open(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "it is open"
        return self._consumer
