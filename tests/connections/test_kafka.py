"""The Kafka connection and its bus, seen by an independent client."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from reactor.connections.bus import bus_of, run_of
from reactor.connections.configs import KafkaConfig
from reactor.connections.contract import OutMessage
from reactor.connections.kafka import KafkaConnection
from reactor.core.errors import ConfigError, NotConnected, StepError, TransientError
from reactor.core.event import Event
from reactor.tests.servers.kafka import KafkaServer
from reactor.tests.servers.process import free_port


@pytest.fixture
async def connection(kafka_server: KafkaServer) -> AsyncIterator[KafkaConnection]:
    made = KafkaConnection("main", KafkaConfig(servers=[kafka_server.bootstrap]))
    yield made
    await made.close()


async def received(server: KafkaServer, topic: str, count: int, partitions: int = 1) -> list[Any]:
    """What an independent client reads."""
    consumer = AIOKafkaConsumer(bootstrap_servers=server.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
        found: list[Any] = []
        async with asyncio.timeout(10):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    found += records
        return found
    finally:
        await consumer.stop()


def run_event(run: str, number: int, data: Any = None) -> Event:
    return Event(
        type="reactor.run.completed", source="/workflows/ship-order", id=f"{run}/{number}", subject="ship-order",
        time="2026-01-01T00:00:00Z", datacontenttype="application/json", data=data or {"n": number},
        extensions={"runid": run, "hops": 1},
    )  # fmt: skip


@pytest.mark.broker("kafka")
async def test_messages_arrive_whole_and_in_order(
    kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str
) -> None:
    await kafka_server.create_topic(unique_name)
    messages = [
        OutMessage(
            "kafka", {"topic": unique_name, "key": f"k{number}", "timestamp": "2026-01-01T00:00:00.5Z"},
            body=b'{"n": %d}' % number, content_type="application/json", headers={"X-A": "ü"}, key=f"idem-{number}",
        )
        for number in range(100)
    ]  # fmt: skip
    outputs = await connection.send_many(messages)
    assert outputs == [{"topic": unique_name, "partition": 0, "offset": number} for number in range(100)]
    records = await received(kafka_server, unique_name, 100)
    assert [msgspec.json.decode(record.value)["n"] for record in records] == list(range(100))
    first = records[0]
    assert (first.key, first.timestamp) == (b"k0", 1_767_225_600_500)
    assert dict(first.headers) == {
        "X-A": "ü".encode(), "content-type": b"application/json", "idempotency-key": b"idem-0",
    }  # fmt: skip


@pytest.mark.broker("kafka")
async def test_events_leave_by_the_binding(
    kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str
) -> None:
    await kafka_server.create_topic(unique_name)
    event = Event(
        type="order.created", source="/shop", id="ö 1", subject="s", time="2026-01-01T00:00:00Z", data={"n": 1},
        extensions={"partitionkey": "p", "flag": True, "number": 7},
    )  # fmt: skip
    for mode in ("binary", "structured"):
        await connection.send(OutMessage("kafka", {"topic": unique_name}, event=event, mode=mode, key="idem"))
    binary, structured = await received(kafka_server, unique_name, 2)
    assert {name: value.decode() for name, value in binary.headers} == {
        "ce_specversion": "1.0", "ce_id": "ö 1", "ce_source": "/shop", "ce_type": "order.created", "ce_subject": "s",
        "ce_time": "2026-01-01T00:00:00Z", "ce_partitionkey": "p", "ce_flag": "true", "ce_number": "7",
        "content-type": "application/json", "idempotency-key": "idem",
    }  # fmt: skip
    assert (binary.key, binary.value) == (b"p", b'{"n":1}')
    assert dict(structured.headers)["content-type"] == b"application/cloudevents+json; charset=utf-8"
    assert msgspec.json.decode(structured.value)["id"] == "ö 1"


@pytest.mark.broker("kafka")
async def test_acks_are_as_asked(kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str) -> None:
    await kafka_server.create_topic(unique_name)
    outputs = [
        await connection.send(OutMessage("kafka", {"topic": unique_name, "acks": acks}, body=b"1"))
        for acks in ("all", 1, 0)
    ]
    assert [output["offset"] for output in outputs] == [0, 1, None]
    with pytest.raises(StepError) as error:
        await connection.send(OutMessage("kafka", {"topic": unique_name, "acks": 2}, body=b"1"))
    assert (error.value.code, str(error.value)) == ("invalid_input", "`acks` is all, 1 or 0; found 2")
    for timestamp in (-5, float("inf"), "1969-12-31T23:59:59Z"):
        with pytest.raises(StepError) as error:
            await connection.send(OutMessage("kafka", {"topic": unique_name, "timestamp": timestamp}, body=b"1"))
        said = f"`timestamp` must be an instant from 1970 to 9999, or its seconds since 1970; found {timestamp!r}"
        assert (error.value.code, str(error.value)) == ("invalid_input", said)


@pytest.mark.broker("kafka")
async def test_what_is_too_large_is_refused(
    kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str
) -> None:
    await kafka_server.create_topic(unique_name)
    with pytest.raises(StepError) as error:
        await connection.send(OutMessage("kafka", {"topic": unique_name}, body=bytes(2_000_000)))
    assert error.value.code == "too_large"
    await connection.send(OutMessage("kafka", {"topic": unique_name}, body=b"small"))


@pytest.mark.broker("kafka")
async def test_a_topic_or_partition_that_is_not_there_is_named(
    kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str
) -> None:
    title = f"Kafka at {kafka_server.bootstrap}"
    async with asyncio.timeout(9):  # a step has 10 s
        with pytest.raises(TransientError) as missing:
            await connection.send(OutMessage("kafka", {"topic": unique_name}, body=b"1"))
    assert (missing.value.code, str(missing.value)) == (
        "publish.no_topic",
        f"there is no topic {unique_name} on {title}",
    )
    assert missing.value.hint == "make it, or correct `topic`"
    await kafka_server.create_topic(unique_name, 2)
    with pytest.raises(StepError) as absent:
        await connection.send(OutMessage("kafka", {"topic": unique_name, "partition": 2}, body=b"1"))
    assert (absent.value.code, str(absent.value), absent.value.hint) == (
        "invalid_input",
        f"the topic {unique_name} on {title} has no partition 2",
        "it has those from 0 to 1",
    )
    sent = await connection.send(OutMessage("kafka", {"topic": unique_name, "partition": 1}, body=b"1"))
    assert sent == {"topic": unique_name, "partition": 1, "offset": 0}


@pytest.mark.broker("kafka")
async def test_an_event_without_data_and_key_is_sent(
    kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str
) -> None:
    await kafka_server.create_topic(unique_name)
    event = Event(type="shop.opened", source="/shop", id="1")
    await connection.send(OutMessage("kafka", {"topic": unique_name}, event=event))
    (record,) = await received(kafka_server, unique_name, 1)
    assert (record.key, record.value, dict(record.headers)["ce_type"]) == (None, b"", b"shop.opened")


@pytest.mark.broker("kafka")
async def test_the_test_says_who_answered(kafka_server: KafkaServer, connection: KafkaConnection) -> None:
    text = await connection.test()
    assert text.startswith(f"Kafka at {kafka_server.bootstrap} answered in ")
    assert " ms: 1 broker, " in text


async def test_nobody_there_is_said_at_once() -> None:
    server = f"127.0.0.1:{free_port()}"
    connection = KafkaConnection("main", KafkaConfig(servers=[server]))
    with pytest.raises(NotConnected) as error:
        await connection.test()
    assert str(error.value).startswith(f"Kafka at {server}: ")
    assert "refused" in str(error.value) or "Connect call failed" in str(error.value)
    await connection.close()
    await connection.close()


@pytest.mark.broker("kafka")
async def test_credentials_that_the_broker_does_not_take_are_a_persons_matter(kafka_server: KafkaServer) -> None:
    sasl = {"mechanism": "PLAIN", "username": "u", "password": "p"}
    connection = KafkaConnection("main", KafkaConfig(servers=[kafka_server.bootstrap], sasl=sasl, timeout="3s"))
    with pytest.raises((StepError, TransientError)) as error:
        await connection.open()
    assert not isinstance(error.value, StepError) or error.value.code == "unauthorized"
    await connection.close()


def test_the_security_protocol_follows_from_tls_and_sasl() -> None:
    def options(**keys: Any) -> dict[str, Any]:
        return KafkaConnection("main", KafkaConfig(servers=["a:1"], **keys)).options()

    scram = {"mechanism": "SCRAM-SHA-256", "username": "u", "password": "p"}
    assert options()["security_protocol"] == "PLAINTEXT"
    assert options(tls=True)["security_protocol"] == "SSL"
    secure = options(tls=True, sasl=scram, client_id="c")
    assert secure["security_protocol"] == "SASL_SSL"
    assert secure["ssl_context"].check_hostname
    assert (secure["sasl_mechanism"], secure["sasl_plain_username"], secure["client_id"]) == ("SCRAM-SHA-256", "u", "c")
    assert options(sasl=scram)["security_protocol"] == "SASL_PLAINTEXT"
    with pytest.raises(ConfigError) as error:
        options(sasl={"mechanism": "PLAIN", "username": "u"})
    assert str(error.value) == "`sasl` with PLAIN needs `username` and `password`"
    with pytest.raises(ConfigError) as error:
        options(sasl={"mechanism": "OAUTHBEARER", "client_id": "c"})
    assert str(error.value) == "`sasl` with OAUTHBEARER needs `token_url`, `client_id` and `client_secret`"


async def test_a_token_is_fetched_with_the_clients_credentials() -> None:
    from aiohttp import web

    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers["Authorization"], dict(await request.post())))
        return web.json_response({"access_token": "t1"} if len(seen) == 1 else {})

    application = web.Application()
    application.router.add_post("/token", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    url = f"http://127.0.0.1:{port}/token"
    sasl = {"mechanism": "OAUTHBEARER", "token_url": url, "client_id": "c", "client_secret": "s", "scope": "kafka"}
    provider = KafkaConnection("main", KafkaConfig(servers=["a:1"], sasl=sasl)).options()["sasl_oauth_token_provider"]
    assert await provider.token() == "t1"
    assert seen == [("Basic Yzpz", {"grant_type": "client_credentials", "scope": "kafka"})]
    with pytest.raises(StepError) as error:
        await provider.token()
    assert str(error.value) == f"{url} gave no token: it answered 200"
    await runner.cleanup()


# -- the bus


@pytest.mark.broker("kafka")
@pytest.mark.req("R-6")
@pytest.mark.rule("3.4")
async def test_the_bus_keeps_the_order_of_a_run_and_its_ids(
    kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str
) -> None:
    await kafka_server.create_topic(unique_name, 4)
    send = bus_of("kafka", {"topic": unique_name, "connection": "main"}, lambda kind, name: connection)
    assert send is not None
    events = [run_event(f"r{number % 7}", number) for number in range(140)]
    await send(events)
    await send(events[:3])  # the outbox lost the answer, and sends again
    records = await received(kafka_server, unique_name, 143, 4)
    heads = [{name: value.decode() for name, value in record.headers} for record in records]
    first_seen = list(dict.fromkeys(head["ce_id"] for head in heads))
    for run in range(7):
        mine = [id for id in first_seen if id.startswith(f"r{run}/")]
        assert mine == [event.id for event in events if event.extensions["runid"] == f"r{run}"]
    assert {record.key for record in records if record.partition == records[0].partition}
    assert all(record.key.decode() == head["ce_runid"] for record, head in zip(records, heads, strict=True))
    assert len({(head["ce_id"], head["idempotency-key"]) for head in heads}) == 140


@pytest.mark.broker("kafka")
async def test_the_bus_makes_its_topic_if_it_may(
    kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str
) -> None:
    send = bus_of("kafka", {"topic": unique_name, "create": True}, lambda kind, name: connection)
    assert send is not None
    await send([run_event("r", 1)])
    again = bus_of("kafka", {"topic": unique_name, "create": True}, lambda kind, name: connection)
    assert again is not None
    await again([run_event("r", 2)])
    assert len(await received(kafka_server, unique_name, 2)) == 2


async def test_brokers_without_a_controller_are_away_for_the_moment(
    monkeypatch: pytest.MonkeyPatch, connection: KafkaConnection
) -> None:
    async def none_yet(self: AIOKafkaAdminClient, topics: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'nodeId'")

    monkeypatch.setattr(AIOKafkaAdminClient, "create_topics", none_yet)
    with pytest.raises(NotConnected) as raised:
        await connection.create_topic("any")
    assert str(raised.value) == f"{connection.title}: the brokers have no controller at the moment"


@pytest.mark.broker("kafka")
async def test_an_event_that_the_bus_never_takes_holds_nothing_back(
    kafka_server: KafkaServer, connection: KafkaConnection, unique_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    await kafka_server.create_topic(unique_name)
    send = bus_of("kafka", {"topic": unique_name}, lambda kind, name: connection)
    assert send is not None
    await send([run_event("r", 1), run_event("r", 2, data={"x": "y" * 2_000_000}), run_event("r", 3)])
    ids = [dict(record.headers)["ce_id"] for record in await received(kafka_server, unique_name, 2)]
    assert list(dict.fromkeys(ids)) == [b"r/1", b"r/3"]
    assert "the event r/2 (reactor.run.completed) does not leave by the bus" in caplog.text


@pytest.mark.broker("kafka")
@pytest.mark.slow
async def test_a_broker_that_was_away_gets_everything_in_order(kafka_server: KafkaServer, unique_name: str) -> None:
    await kafka_server.create_topic(unique_name)
    connection = KafkaConnection("main", KafkaConfig(servers=[kafka_server.bootstrap], request_timeout="1s"))
    send = bus_of("kafka", {"topic": unique_name}, lambda kind, name: connection)
    assert send is not None
    events = [run_event("r", number) for number in range(10)]
    await send(events[:3])
    await asyncio.to_thread(kafka_server.stop)
    with pytest.raises(TransientError):
        await send(events[3:])
    await asyncio.to_thread(kafka_server.start)
    async with asyncio.timeout(20):
        while True:
            try:
                await send(events[3:])
                break
            except TransientError:
                await asyncio.sleep(0.05)
    records = await received(kafka_server, unique_name, 10)
    ids = [dict(record.headers)["ce_id"].decode() for record in records]
    assert list(dict.fromkeys(ids)) == [event.id for event in events]
    await connection.close()


def test_other_buses_are_refused_in_words() -> None:
    assert bus_of("local", {}, lambda kind, name: None) is None
    with pytest.raises(ConfigError) as error:
        bus_of("redis", {}, lambda kind, name: None)
    assert (error.value.code, str(error.value)) == ("unavailable", "the bus redis is not available in this version")
    assert run_of(Event(type="t", source="/s", id="7")) == "7"


def test_the_module_loads_no_library_before_it_is_used() -> None:
    code = (
        "import sys, reactor.connections.kafka, reactor.connections.nats, reactor.connections.bus, "
        "reactor.triggers.kafka, reactor.triggers.jetstream; "
        "print(sorted({'aiokafka', 'nats', 'aiohttp'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    import sys

    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
