"""The Kafka trigger against a real broker: the suite of all triggers, and what is special about it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from reactor.connections.configs import KafkaConfig as KafkaConnectionConfig
from reactor.connections.kafka import KafkaConnection
from reactor.core.errors import ConfigError, NotConnected, ReactorError
from reactor.core.event import Delivery, Event, Settlement, Undecodable
from reactor.core.limits import CLOSE_S_MAX
from reactor.language.definition import TriggerSpec
from reactor.testing.trigger_suite import Rig, TriggerSuite, connect
from reactor.tests.engine.rig import Rig as EngineRig
from reactor.tests.servers.kafka import KafkaServer
from reactor.tests.triggers.consumer_child import all_runs, consume
from reactor.tests.triggers.kafka_rig import KafkaRig
from reactor.tests.triggers.reading import SUITE, payloads, raised, unread
from reactor.tests.waiting import until
from reactor.triggers import kafka
from reactor.triggers.contract import Trigger, TriggerContext
from reactor.triggers.supervisor import Supervisor

pytestmark = pytest.mark.broker("kafka")


class TestSuite(TriggerSuite):
    """All that every trigger keeps."""

    trigger = kafka.KafkaTrigger

    @pytest.fixture
    async def rig(self, kafka_server: KafkaServer) -> AsyncIterator[Rig]:
        async with KafkaRig(kafka_server, partitions=2) as rig:
            yield rig


@pytest.fixture
async def rig(kafka_server: KafkaServer) -> AsyncIterator[KafkaRig]:
    async with KafkaRig(kafka_server) as rig:
        rig.spec["start"] = "earliest"
        yield rig


def counter(rig: KafkaRig, into: list[bytes]) -> Any:
    """A task that reads and accepts into a list, as the supervisor and a store would."""

    async def read(trigger: Trigger) -> None:
        while True:
            delivery = await SUITE._next(rig, trigger)
            before = dict(rig.marks)
            await SUITE._accept(rig, delivery)
            if rig.marks != before:
                into.extend(rig.payload(event) for event in SUITE._events([delivery]))

    return read


# -- events


@pytest.mark.req("T-KAFKA-3")
@pytest.mark.rule("1.5")
async def test_events_carry_their_coordinates(rig: KafkaRig) -> None:
    trigger = await rig.open()
    headers = [("X-Tenant", b"acme"), ("Authorization", b"secret")]
    await rig.emit(b'{"n": 1}', key=b"k1", headers=headers, timestamp_ms=1_767_225_600_250)
    (delivery,) = await SUITE._accepted(rig, trigger, 1)
    (event,) = delivery.events
    assert isinstance(event, Event)
    assert event.data == {"n": 1}
    assert event.type == "reactor.kafka.message"
    assert event.source == f"/kafka/orders/{rig.topic}"
    assert event.id == "0/0@1767225600250"
    assert event.subject == "k1"
    assert event.time == "2026-01-01T00:00:00.25Z"
    assert event.extensions == {
        "partitionkey": "k1", "kafkatopic": rig.topic, "kafkapartition": 0, "kafkaoffset": 0,
    }  # fmt: skip
    assert event.meta == {
        "trigger": "orders", "timestamp_type": "create", "key": "k1", "headers": {"x-tenant": "acme"},
    }  # fmt: skip
    assert delivery.partition == f"{rig.topic}/0"
    assert delivery.positioned
    assert rig.marks == {f"{rig.topic}/0": b'{"offset":1,"timestamp":1767225600250}'}


async def test_payloads_are_what_they_are(rig: KafkaRig) -> None:
    trigger = await rig.open()
    for body in (b'{"a": [1]}', b"plain", b"\xff\x00", None, b""):
        await rig.emit(body, key=b"k")
    events = SUITE._events(await SUITE._accepted(rig, trigger, 5))
    assert [event.data for event in events[:4]] == [{"a": [1]}, "plain", b"\xff\x00", None]
    assert events[4].data is msgspec.UNSET


async def test_native_cloudevents_keep_their_attributes_and_are_deduplicated(rig: KafkaRig) -> None:
    trigger = await rig.open()
    binary = {"ce_specversion": "1.0", "ce_id": "a b", "ce_source": "/shop", "ce_type": "order.created"}
    headers = [(name, value.encode()) for name, value in {**binary, "content-type": "application/json"}.items()]
    await rig.emit(b'{"n": 1}', headers=headers, key=b"k")
    structured = b'{"specversion":"1.0","id":"7","source":"/shop","type":"order.paid","data":{"n":2}}'
    await rig.emit(structured, headers=[("content-type", b"application/cloudevents+json; charset=utf-8")])
    deliveries = await SUITE._accepted(rig, trigger, 2)
    events = SUITE._events(deliveries)
    assert [(e.source, e.id, e.type, e.data) for e in events] == [
        ("/shop", "a b", "order.created", {"n": 1}),
        ("/shop", "7", "order.paid", {"n": 2}),
    ]
    assert events[0].extensions["partitionkey"] == "k"
    assert not any(delivery.positioned for delivery in deliveries)


async def test_an_id_of_the_payload_is_deduplicated(rig: KafkaRig) -> None:
    rig.spec["id"] = "event.data.order"
    trigger = await rig.open()
    await rig.emit(b'{"order": "o1"}')
    (delivery,) = await SUITE._accepted(rig, trigger, 1)
    assert (SUITE._events([delivery])[0].id, delivery.positioned) == ("o1", False)


@pytest.mark.req("T-GEN-8")
@pytest.mark.rule("1.7")
async def test_poison_between_good_ones_is_a_dead_letter_and_blocks_nothing(rig: KafkaRig) -> None:
    rig.spec["format"] = "json"
    trigger = await rig.open()
    for body, key in ((b"1", b"k"), (b"{broken", b"k"), (b"2", b"\xff"), (b"3", b"k")):
        await rig.emit(body, key=key)
    items = [item for delivery in await SUITE._accepted(rig, trigger, 4) for item in delivery.events]
    assert [item.data if isinstance(item, Event) else item.raw for item in items] == [1, b"{broken", b"2", 3]
    broken, no_key = items[1], items[2]
    assert isinstance(broken, Undecodable)
    assert isinstance(no_key, Undecodable)
    assert broken.id.startswith("0/1@")
    assert broken.reason.code == "invalid_data"
    assert no_key.reason.message == (
        "the record's key is not text in UTF-8: 'utf-8' codec can't decode byte 0xff in position 0: "
        "invalid start byte; see `key_format`"
    )
    assert no_key.meta is not None
    assert no_key.meta["kafkaoffset"] == 2


@pytest.mark.parametrize(
    ("form", "key", "subject", "shown"),
    [("json", b'{"a":1}', '{"a":1}', {"a": 1}), ("binary", b"\xff", "/w==", "/w==")],
)
async def test_keys_are_read_as_told(rig: KafkaRig, form: str, key: bytes, subject: str, shown: Any) -> None:
    rig.config["key_format"] = form
    trigger = await rig.open()
    await rig.emit(b"1", key=key)
    (event,) = SUITE._events(await SUITE._accepted(rig, trigger, 1))
    assert (event.subject, event.meta["key"], event.extensions["partitionkey"]) == (subject, shown, subject)


# -- where to begin


@pytest.mark.req("T-KAFKA-3")
@pytest.mark.parametrize(
    ("start", "expected"),
    [("earliest", [b"1", b"2", b"3", b"4"]), ("latest", [b"4"]), ({"offset": {"0": 2}}, [b"3", b"4"]),
     ({"time": "2026-01-01T00:00:01Z"}, [b"2", b"3", b"4"]), ({"time": "2099-01-01T00:00:00Z"}, [b"4"])],
)  # fmt: skip
async def test_start_says_where_a_new_reader_begins(rig: KafkaRig, start: Any, expected: list[bytes]) -> None:
    rig.spec["start"] = start
    for second, payload in enumerate((b"1", b"2", b"3")):
        await rig.emit(payload, timestamp_ms=1_767_225_600_000 + 1000 * second)
    trigger = await rig.open()
    await rig.emit(b"4")
    assert await payloads(rig, trigger, len(expected)) == expected


async def test_latest_is_fixed_at_the_first_connect(rig: KafkaRig) -> None:
    rig.spec["start"] = "latest"
    await rig.emit(b"old")
    trigger = await rig.open()
    first = await trigger.read()
    assert not first.events
    await SUITE._accept(rig, first)
    await trigger.close()
    await rig.emit(b"new")
    assert await payloads(rig, await rig.open(), 1) == [b"new"]


async def test_where_to_begin_is_stored_although_the_store_refused_at_first(rig: KafkaRig) -> None:
    rig.spec["start"] = "latest"
    await rig.emit(b"old")
    trigger = await rig.open()
    await (await trigger.read()).settle(Settlement(again=True))
    await rig.emit(b"new")
    assert await payloads(rig, trigger, 1) == [b"new"]
    assert msgspec.json.decode(rig.marks[f"{rig.topic}/0"])["offset"] == 2


@pytest.mark.req("T-KAFKA-2")
async def test_a_pattern_takes_up_topics_that_come_later(rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "PATTERN_AGE_S", 0.3)
    rig.spec["start"] = "latest"
    del rig.config["topic"]
    rig.config["pattern"] = rf"{rig.topic}(\.\w+)?"
    await rig.emit(b"old")
    await rig.server.create_topic(f"{rig.topic}-not")
    trigger = await rig.open()
    await rig.emit(b"1")
    assert await payloads(rig, trigger, 1) == [b"1"]
    assert rig.marks["started"] == b'{"offset":0,"timestamp":null}'
    await rig.server.create_topic(f"{rig.topic}.later")
    await rig.emit(b"2", topic=f"{rig.topic}.later")
    await rig.emit(b"x", topic=f"{rig.topic}-not")
    (event,) = SUITE._events(await SUITE._accepted(rig, trigger, 1))
    assert (event.data, event.extensions["kafkatopic"]) == (2, f"{rig.topic}.later")


async def test_partitions_that_come_later_are_read_from_their_beginning(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "TOPIC_AGE_S", 0.3)
    rig.spec["start"] = "latest"
    trigger = await rig.open()
    await rig.emit(b"1")
    assert await payloads(rig, trigger, 1) == [b"1"]
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.server.bootstrap)
    await admin.start()
    await admin.create_partitions({rig.topic: NewPartitions(2)})
    await admin.close()
    await rig.producer.client.force_metadata_update()
    await rig.emit(b"2", partition=1)
    assert await payloads(rig, trigger, 1) == [b"2"]


async def test_a_topic_that_is_not_there_is_waited_for(rig: KafkaRig) -> None:
    rig.spec["start"] = "latest"
    later = rig.config["topic"] = f"{rig.topic}-later"
    trigger = await rig.make()
    rig._made.append(trigger)
    with pytest.raises(NotConnected) as error:
        await trigger.connect()
    assert str(error.value) == f"there is no topic {later} on Kafka at {rig.server.bootstrap}"
    await rig.server.create_topic(later)
    await rig.emit(b"first", topic=later)
    await connect(trigger, 10)
    assert await payloads(rig, trigger, 1) == [b"first"]


async def test_a_pattern_that_is_none_is_refused(rig: KafkaRig) -> None:
    from reactor.triggers.catalogue import Kinds

    (fault,) = Kinds().faults("kafka", {"pattern": "orders(", "connection": "main"})
    assert fault.path == "pattern"
    assert "is not a regular expression" in fault.message


# -- the position


@pytest.mark.rule("3.1")
@pytest.mark.req("T-KAFKA-1")
async def test_the_group_follows_what_is_durable(rig: KafkaRig) -> None:
    trigger = await rig.open()
    for payload in (b"1", b"2", b"3"):
        await rig.emit(payload)
    delivered = await SUITE._read(rig, trigger, 3)
    consumer = trigger._reader.consumer
    assert await consumer.committed(TopicPartition(rig.topic, 0)) is None
    for delivery in delivered:
        await SUITE._accept(rig, delivery)
    async with asyncio.timeout(5):
        while await consumer.committed(TopicPartition(rig.topic, 0)) != 3:
            await asyncio.sleep(0.02)


@pytest.mark.req("T-KAFKA-1")
@pytest.mark.rule("3.1")
async def test_two_readers_of_one_group_share_and_nothing_comes_twice(kafka_server: KafkaServer) -> None:
    async with KafkaRig(kafka_server, partitions=4) as rig:
        rig.spec.update(start="earliest", fetch=8)
        got: list[bytes] = []
        sent = [b"%d" % number for number in range(400)]
        first = await rig.open()
        reading = [asyncio.ensure_future(counter(rig, got)(first))]
        await SUITE._emit_all(rig, sent[:100])
        second = await rig.open()  # a rebalance while it goes on
        reading.append(asyncio.ensure_future(counter(rig, got)(second)))
        await SUITE._emit_all(rig, sent[100:300])
        await until(lambda: len(first._reader.parts) == len(second._reader.parts) == 2)
        await until(lambda: len(got) == 300)
        await second.close()  # and another
        await SUITE._emit_all(rig, sent[300:])
        await until(lambda: len(got) >= 400)
        for task in reading:
            task.cancel()
        assert Counter(got) == Counter(sent)


@pytest.mark.rule("3.1")
async def test_a_reader_that_lost_its_partition_doubles_nothing(rig: KafkaRig) -> None:
    trigger = await rig.open()
    for payload in (b"1", b"2", b"3", b"4"):
        await rig.emit(payload)
    held = await SUITE._read(rig, trigger, 4)
    # another reader, of which this one knows nothing, accepted the first two meanwhile
    first = SUITE._events(held)[0]
    rig.marks[f"{rig.topic}/0"] = msgspec.json.encode(
        {"offset": 2, "timestamp": int(SUITE._events(held)[1].id.partition("@")[2])}
    )
    got: list[bytes] = []
    for delivery in held:
        before = dict(rig.marks)
        await SUITE._accept(rig, delivery)
        if rig.marks != before:
            got += [rig.payload(event) for event in SUITE._events([delivery])]
    assert first.data == 1
    assert got == []
    assert await payloads(rig, trigger, 2) == [b"3", b"4"]


async def test_two_stores_share_a_written_group(kafka_server: KafkaServer) -> None:
    async with KafkaRig(kafka_server) as rig, KafkaRig(kafka_server) as other:
        for one in (rig, other):
            one.config.update(topic=rig.topic, group=f"g-{rig.topic}")
            one.spec["start"] = "latest"
        await rig.emit(b"old")
        trigger = await rig.open()
        await rig.emit(b"1")
        assert await payloads(rig, trigger, 1) == [b"1"]
        await trigger.close()
        await rig.emit(b"2")
        second = await other.open()
        assert await payloads(other, second, 1) == [b"2"]
        await second.close()
        await rig.emit(b"3")
        assert await payloads(rig, await rig.open(), 1) == [b"3"]


@pytest.mark.req("T-KAFKA-1")
async def test_two_stores_hand_partitions_over_without_doubling(kafka_server: KafkaServer) -> None:
    async with KafkaRig(kafka_server, partitions=4) as rig, KafkaRig(kafka_server) as other:
        for one in (rig, other):
            one.config.update(topic=rig.topic, group=f"g-{rig.topic}")
            one.spec.update(start="earliest", fetch=8)
        got: list[bytes] = []
        sent = [b"%d" % number for number in range(600)]
        first = await rig.open()
        reading = [asyncio.ensure_future(counter(rig, got)(first))]
        await SUITE._emit_all(rig, sent[:200])
        second = await other.open()
        reading.append(asyncio.ensure_future(counter(other, got)(second)))
        await SUITE._emit_all(rig, sent[200:400])
        await until(lambda: len(first._reader.parts) == len(second._reader.parts) == 2)
        reading[1].cancel()
        await asyncio.gather(reading[1], return_exceptions=True)
        await second.close()
        await SUITE._emit_all(rig, sent[400:])
        await until(lambda: len(got) >= 600)
        reading[0].cancel()
        assert Counter(got) == Counter(sent)


def test_a_start_that_kafka_does_not_know_is_refused() -> None:
    def make(start: Any) -> Any:
        spec = TriggerSpec("orders", "kafka", {"topic": "orders"}, start=start)
        connection = KafkaConnection("main", KafkaConnectionConfig(servers=["a:1"]))
        context = TriggerContext(name="orders", spec=spec, connection=connection)
        return kafka.KafkaTrigger(kafka.KafkaConfig(topic="orders"), context)

    make({"offset": {"0": 5, 1: 6}})
    with pytest.raises(ConfigError) as error:
        make("last")
    assert str(error.value) == "`start: last` means nothing here: write earliest, latest, a time or an offset"
    with pytest.raises(ConfigError) as error:
        make({"offset": 7})
    assert str(error.value) == "`start.offset` of kafka is a mapping of partitions to offsets: {0: 4711}"


# -- gaps


@pytest.mark.rule("1.5")
async def test_a_topic_made_anew_is_a_gap_and_resume_says_where_to_go_on(rig: KafkaRig) -> None:
    trigger = await rig.open()
    for payload in (b"1", b"2"):
        await rig.emit(payload)
    assert await payloads(rig, trigger, 2) == [b"1", b"2"]
    await trigger.close()
    await rig.remake()
    for payload in (b"new 1", b"new 2", b"new 3"):
        await rig.emit(payload)
    trigger = await rig.make()
    rig._made.append(trigger)
    with pytest.raises(ConfigError) as error:
        await trigger.connect()
    assert error.value.code == "source_gap"
    assert str(error.value) == (
        f"partition 0 of the topic {rig.topic}: the record at 1 is another than the one that was read there"
    )
    assert error.value.hint == "say where to go on: reactor trigger resume orders --start earliest (or latest)"
    rig.context["resume"] = {"start": "earliest"}
    trigger = await rig.open()
    assert await payloads(rig, trigger, 3) == [b"new 1", b"new 2", b"new 3"]


@pytest.mark.rule("1.5")
async def test_a_topic_made_anew_under_a_reader_is_a_gap(rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "CHECK_S", 0.5)
    monkeypatch.setattr(kafka, "TICK_S", 0.2)
    trigger = await rig.open()
    for payload in (b"1", b"2"):
        await rig.emit(payload)
    assert await payloads(rig, trigger, 2) == [b"1", b"2"]
    await rig.remake()
    await rig.emit(b"new")
    error = await raised(trigger, rig)
    assert error.code == "source_gap"
    assert str(error) == f"partition 0 of the topic {rig.topic}: it ends at 1, but was read up to 2"


@pytest.mark.rule("1.5")
async def test_where_nothing_is_assigned_a_removed_topic_is_told_and_a_gap_once_it_is_made_anew(rig: KafkaRig) -> None:
    trigger: Any = await rig.open()
    await rig.emit(b"1")
    assert await payloads(rig, trigger, 1) == [b"1"]
    await trigger._rest()
    trigger._reader.parts.clear()  # the group does that once it knows that there is no such topic

    async def told(other: type[ReactorError]) -> ReactorError:
        """What comes of looking, as is done every 10 seconds; the broker needs a moment for what is asked of it."""
        async with asyncio.timeout(10):
            while True:
                try:
                    await trigger._check(trigger._reader, trigger._log)
                except ReactorError as error:
                    if not isinstance(error, other):
                        return error

    await rig.remove()
    assert str(await told(ConfigError)) == f"there is no topic {rig.topic} on Kafka at {rig.server.bootstrap}"
    await rig.create()
    error = await told(NotConnected)
    assert error.code == "source_gap"
    assert str(error) == f"partition 0 of the topic {rig.topic}: it ends at 0, but was read up to 1"


async def two_topics(rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    """A trigger that has read one message of each of two topics, and the other one's name."""
    monkeypatch.setattr(kafka, "CHECK_S", 0.5)
    monkeypatch.setattr(kafka, "TICK_S", 0.2)
    other = f"{rig.topic}-other"
    await rig.server.create_topic(other)
    rig.config = {"topics": [rig.topic, other], "session_timeout": "6s"}
    trigger: Any = await rig.open()
    await rig.emit(b"1")
    await rig.emit(b"2", topic=other)
    assert sorted(await payloads(rig, trigger, 2)) == [b"1", b"2"]
    return trigger, other


@pytest.mark.rule("1.5")
async def test_of_several_topics_the_others_are_read_while_one_is_not_there(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trigger, other = await two_topics(rig, monkeypatch)
    assert "missing" not in trigger.details()
    title = f"Kafka at {rig.server.bootstrap}, group reactor-01234567-orders"

    async def told() -> str:
        async with asyncio.timeout(20):
            with pytest.raises(NotConnected) as error:
                await trigger.read()
        return str(error.value)

    await rig.remove()
    assert await told() == f"{title}: there is no topic {rig.topic} any more; the consumer is made anew"
    for _ in range(2):
        await connect(trigger, 10)
        assert trigger.details()["missing"] == [rig.topic]
    await rig.emit(b"3", topic=other)
    assert await payloads(rig, trigger, 1) == [b"3"]
    await rig.create()
    assert await told() == f"{title}: there is a topic {rig.topic} again; the consumer is made anew"
    with pytest.raises(ConfigError) as gap:
        await connect(trigger, 10)
    assert str(gap.value) == f"partition 0 of the topic {rig.topic}: it ends at 0, but was read up to 1"
    rig.context["resume"] = {"start": "earliest"}
    await trigger.close()
    trigger = await rig.open()
    assert "missing" not in trigger.details()
    await rig.emit(b"new")
    await rig.emit(b"4", topic=other)
    assert sorted(await payloads(rig, trigger, 2)) == [b"4", b"new"]
    assert [each.getMessage() for each in caplog.records if each.name == "reactor.triggers"] == [
        f"trigger orders (kafka): there is no topic {rig.topic} on Kafka at {rig.server.bootstrap}: it reads the others"
    ]


@pytest.mark.rule("1.5")
async def test_one_of_several_topics_made_anew_is_a_gap_although_the_group_let_go_of_it(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger, _ = await two_topics(rig, monkeypatch)
    trigger._reader.parts.pop(TopicPartition(rig.topic, 0))  # as a rebalance does that finds no such topic
    await rig.remake()
    error = await raised(trigger, rig)
    assert str(error) == f"partition 0 of the topic {rig.topic}: it ends at 0, but was read up to 1"


@pytest.mark.rule("1.5")
async def test_offsets_removed_before_they_were_read_are_a_gap(rig: KafkaRig) -> None:
    await unread(rig, b"2", b"3", b"4")
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.server.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(rig.topic, 0): RecordsToDelete(3)})
    await admin.close()
    trigger = await rig.make()
    rig._made.append(trigger)
    with pytest.raises(ConfigError) as error:
        await trigger.connect()
    assert str(error.value) == (
        f"partition 0 of the topic {rig.topic}: the offsets 1 to 2 are gone, and were not accepted"
    )
    assert error.value.details == {"lost": {"topic": rig.topic, "partition": 0, "from": 1, "to": 2}}
    rig.context["resume"] = {"start": "earliest"}
    assert await payloads(rig, await rig.open(), 1) == [b"4"]


# -- what goes on beside reading


@pytest.mark.req("T-GEN-4")
async def test_nobody_reads_and_the_partitions_are_paused_but_stay_ours(rig: KafkaRig) -> None:
    rig.spec.update(fetch=10)
    trigger = await rig.open()
    sent = [b"%d" % number for number in range(200)]
    await SUITE._emit_all(rig, sent)
    await until(lambda: trigger._reader.paused)
    assert trigger._reader._count <= 30
    assert await payloads(rig, trigger, 200) == sent
    await until(lambda: not trigger._reader.paused)
    await rig.emit(b"more")
    assert await payloads(rig, trigger, 1) == [b"more"]


@pytest.mark.req("T-KAFKA-2")
async def test_lag_and_position_are_shown(rig: KafkaRig) -> None:
    trigger = await rig.open()
    for payload in (b"1", b"2", b"3"):
        await rig.emit(payload)
    rig.spec["fetch"] = 1
    await SUITE._accept(rig, (await SUITE._read(rig, trigger, 1))[0])
    await until(lambda: trigger.details()["partitions"])
    read = trigger.details()["partitions"][f"{rig.topic}/0"]["position"]
    await until(lambda: trigger.details()["lag"] == 3 - read)
    assert trigger.details()["group"] == "reactor-01234567-orders"


async def test_a_consumer_that_stands_still_is_made_anew(rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "STUCK_S", 0.6)
    monkeypatch.setattr(kafka, "TICK_S", 0.1)
    trigger = await rig.open()
    await rig.emit(b"1")
    assert await payloads(rig, trigger, 1) == [b"1"]
    stuck = trigger._reader.consumer
    stuck.pause(TopicPartition(rig.topic, 0))  # behind its back
    trigger._patience_s = 0.6
    await rig.emit(b"2")
    with pytest.raises(NotConnected) as error:
        await asyncio.wait_for(trigger.read(), 10)
    assert "has stood at 1 of 2 for 1 s; the consumer is made anew" in str(error.value)
    await connect(trigger, 10)
    assert trigger._reader.consumer is not stuck
    assert await payloads(rig, trigger, 1) == [b"2"]


@pytest.mark.rule("1.6")
async def test_completed_settles_each_by_itself_and_the_group_waits_for_the_oldest(rig: KafkaRig) -> None:
    rig.spec["settle"] = "completed"
    trigger = await rig.open()
    for payload in (b"1", b"2", b"3"):
        await rig.emit(payload)
    first, second, third = await SUITE._read(rig, trigger, 3)
    assert [len(delivery.events) for delivery in (first, second, third)] == [1, 1, 1]
    await SUITE._accept(rig, second.__class__((), marks=first.marks))  # the first is durable, its run goes on
    await SUITE._accept(rig, second)
    (part,) = trigger._reader.parts.values()
    assert (part.durable.offset, part.to_commit) == (2, 0)
    await first.settle(Settlement())
    assert part.to_commit == 2
    await SUITE._accept(rig, third)
    assert part.to_commit == 3


async def test_closing_is_done_in_time_although_the_broker_is_frozen(rig: KafkaRig) -> None:
    trigger = await rig.open()
    await rig.emit(b"1")
    await SUITE._accepted(rig, trigger, 1)
    rig.server.process.pause()
    try:
        async with asyncio.timeout(CLOSE_S_MAX):
            await trigger.close()
    finally:
        rig.server.process.resume()


@pytest.mark.req("T-GEN-2")
async def test_a_broker_that_restarts_shows_down_and_loses_nothing(rig: KafkaRig) -> None:
    taken: list[Any] = []
    states: list[str] = []

    async def publish(trigger: str, delivery: Delivery) -> None:
        for mark in delivery.marks:
            if rig.marks.get(mark.key) != mark.expected:
                return await delivery.settle(Settlement(again=True))
        for mark in delivery.marks:
            rig.marks[mark.key] = mark.value or b""
        taken.extend(event.data for event in delivery.events if isinstance(event, Event))
        return await delivery.settle(Settlement())

    async def marks(scope: str) -> dict[str, bytes]:
        return dict(rig.marks)

    connection = rig.connection()
    reconnect = {"delay_s": 0.05, "factor": 2.0, "max_delay_s": 0.5, "jitter": False}
    supervisor = Supervisor(
        publish, read_marks=marks, connections=lambda kind, name: connection, changed=lambda s: states.append(s.state)
    )
    await supervisor.apply(
        {"orders": TriggerSpec("orders", "kafka", rig.config, start="earliest", reconnect=reconnect)}
    )
    await rig.emit(b"1")
    await until(lambda: taken == [1])
    await asyncio.to_thread(rig.server.stop)
    await until(lambda: states.count("down") >= 3)
    await asyncio.to_thread(rig.server.start)
    await rig.emit(b"2")
    await until(lambda: taken == [1, 2], 30)
    assert supervisor.status()[0].state == "connected"
    await supervisor.close()


@pytest.mark.req("T-GEN-3")
@pytest.mark.req("T-KAFKA-1")
@pytest.mark.rule("1.2")
async def test_killed_at_any_moment_nothing_is_lost_and_nothing_runs_twice(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    async with KafkaRig(kafka_server, partitions=2) as rig:
        url = f"sqlite:///{tmp_path}/reactor.db"
        sent = [f"k{number}" for number in range(600)]
        sending = asyncio.ensure_future(SUITE._emit_all(rig, [msgspec.json.encode({"id": each}) for each in sent]))
        spec = {
            "name": "orders", "kind": "kafka", "start": "earliest",
            "config": {**rig.config, "group": f"g-{rig.topic}", "group_instance_id": "one"},
        }  # fmt: skip
        for kill_after in (150, 200, None):
            await consume(url, spec, {"servers": [kafka_server.bootstrap]}, kill_after, len(sent))
        await sending
        async with EngineRig(url) as engine:
            inputs = sorted([msgspec.json.decode(run.input)["id"] for run in await all_runs(engine.store)])
        assert inputs == sorted(sent)
