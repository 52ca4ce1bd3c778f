"""What brokers do to batches: compression, transactions and their marks, tombstones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from msgspec import UNSET

from reactor.core.errors import NotConnected
from reactor.core.event import Event
from reactor.testing.trigger_suite import connect
from reactor.tests.servers.kafka import KafkaServer
from reactor.tests.triggers.kafka_rig import KafkaRig
from reactor.tests.triggers.reading import SUITE, payloads
from reactor.tests.waiting import until
from reactor.triggers.contract import Trigger


@pytest.fixture
async def rig(kafka_server: KafkaServer) -> AsyncIterator[KafkaRig]:
    async with KafkaRig(kafka_server) as rig:
        rig.spec["start"] = "earliest"
        yield rig


async def reader(rig: KafkaRig, into: list[Any]) -> tuple[Trigger, asyncio.Task[None]]:
    """A trigger, connected, and a task that reads and accepts what comes, marks alone too."""
    trigger = await rig.make()
    await connect(trigger, 15)

    async def read() -> None:
        while True:
            try:
                delivery = await trigger.read()
            except NotConnected:  # the broker may come from a test that restarted it
                await connect(trigger, 15)
                continue
            await SUITE._accept(rig, delivery)
            into.extend(event for event in delivery.events if isinstance(event, Event))

    return trigger, asyncio.ensure_future(read())


@pytest.mark.req("T-KAFKA-1")
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_batches_are_read_however_they_are_compressed(kafka_server: KafkaServer, codec: str) -> None:
    rig = KafkaRig(kafka_server)
    rig.config["topic"] = rig.topic = f"{rig.topic}-{codec}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(rig.topic, 1, 1, topic_configs={"compression.type": codec})])
    await admin.close()
    async with rig:
        rig.spec["start"] = "earliest"
        await rig.emit(b"hello " * 100)  # the broker compresses it anew
        trigger = await rig.make()
        await connect(trigger, 15)
        assert await payloads(rig, trigger, 1) == [b"hello " * 100]


async def test_a_tombstone_has_null_as_data_and_an_empty_value_none(rig: KafkaRig) -> None:
    await rig.emit(None, key=b"gone")
    await rig.emit(b"")
    events: list[Any] = []
    _, reading = await reader(rig, events)
    await until(lambda: len(events) == 2)
    reading.cancel()
    assert [(event.subject, event.data) for event in events] == [("gone", None), (None, UNSET)]


@pytest.mark.req("T-KAFKA-3")
async def test_marks_of_transactions_are_no_lag_and_no_gap_once_they_are_removed(rig: KafkaRig) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=rig.server.bootstrap, transactional_id=f"t-{rig.topic}")
    await producer.start()
    async with producer.transaction():
        await producer.send(rig.topic, b"kept")
    await producer.begin_transaction()
    await producer.send_and_wait(rig.topic, b"aborted")
    await producer.abort_transaction()
    events: list[Any] = []
    trigger, reading = await reader(rig, events)
    end = 4  # kept, its mark, aborted, its mark
    await until(lambda: trigger.details()["partitions"] == {f"{rig.topic}/0": {"position": end, "lag": 0}})
    assert [event.data for event in events] == ["kept"]
    reading.cancel()
    await trigger.close()

    admin = AIOKafkaAdminClient(bootstrap_servers=rig.server.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(rig.topic, 0): RecordsToDelete(before_offset=end)})
    await admin.close()
    trigger, reading = await reader(rig, events)
    async with producer.transaction():
        await producer.send(rig.topic, b"next")
    await producer.stop()
    await until(lambda: len(events) == 2)
    reading.cancel()
    assert [event.data for event in events] == ["kept", "next"]
