"""The JetStream trigger against a real server: the suite of all triggers, and what is special about it."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.api import RetentionPolicy

from reactor.connections.configs import NatsConfig
from reactor.connections.nats import NatsConnection
from reactor.core.errors import ConfigError, NotConnected
from reactor.core.event import Delivery, Event, Settlement, Undecodable
from reactor.core.limits import CLOSE_S_MAX
from reactor.language.definition import TriggerSpec
from reactor.testing.trigger_suite import Rig, TriggerSuite
from reactor.tests.engine.rig import Rig as EngineRig
from reactor.tests.servers.nats import NatsServer
from reactor.tests.triggers.consumer_child import all_runs, consume
from reactor.tests.triggers.reading import SUITE, payloads, raised, unread
from reactor.tests.waiting import until
from reactor.triggers import jetstream, jetstream_pull
from reactor.triggers.catalogue import Kinds
from reactor.triggers.contract import Trigger, TriggerContext
from reactor.triggers.jetstream import JetStreamTrigger
from reactor.triggers.supervisor import Supervisor

pytestmark = pytest.mark.broker("nats")
_numbers = itertools.count(1)


class JetStreamRig(Rig):
    """A stream of its own, and an independent client that publishes to it."""

    def __init__(self, server: NatsServer, **stream: Any) -> None:
        super().__init__()
        self.server = server
        self.stream = f"S{os.getpid()}_{next(_numbers)}"
        self.config: dict[str, Any] = {"stream": self.stream, "ack_wait": "1s"}
        self.spec: dict[str, Any] = {"reconnect": {}}
        self.settings = stream
        self.connections: list[NatsConnection] = []
        self.context: dict[str, Any] = {}

    async def __aenter__(self) -> "JetStreamRig":
        self.outside = self.connection()
        self.js: Any = (await self.outside.session()).stream
        await self.create()
        return self

    async def create(self) -> None:
        await self.js.add_stream(name=self.stream, subjects=[f"{self.stream}.>"], **self.settings)

    async def __aexit__(self, *exc: Any) -> None:
        await super().__aexit__(*exc)
        self.js = (await self.outside.session()).stream
        await self.js.delete_stream(self.stream)
        for connection in self.connections:
            await connection.close()

    async def take_back(self, trigger: Trigger) -> None:
        await self.connections[-1].close()  # each one has its own: the last that was made

    def connection(self) -> NatsConnection:
        made = NatsConnection("main", NatsConfig(servers=[self.server.url], timeout="5s"))
        self.connections.append(made)
        return made

    async def make(self) -> Trigger:
        spec = TriggerSpec("orders", "jetstream", self.config, **self.spec)

        async def reread() -> dict[str, bytes]:
            return dict(self.marks)

        context = TriggerContext(
            name="orders", spec=spec, store_id="0123456789abcdef", marks=self.marks, reread=reread,
            connection=self.connection(), **self.context,
        )  # fmt: skip
        return JetStreamTrigger(Kinds().config("jetstream", self.config), context)

    async def emit(self, payload: bytes, subject: str = "new", **more: Any) -> None:
        self.js = (await self.outside.session()).stream
        await self.js.publish(f"{self.stream}.{subject}", payload, **more)

    def payload(self, event: Event) -> bytes:
        return str(event.data).encode()

    async def cut(self, trigger: Trigger) -> None:
        await asyncio.to_thread(self.server.stop)
        await asyncio.to_thread(self.server.start)

    async def frozen(self, trigger: Trigger, reading: asyncio.Future[Any]) -> str:
        """What ends `reading` once the server does not stir any more; it can be closed all the same."""
        self.server.process.pause()
        try:
            with pytest.raises(NotConnected) as error:
                await asyncio.wait_for(reading, 15)
            async with asyncio.timeout(CLOSE_S_MAX):
                await trigger.close()
        finally:
            self.server.process.resume()
        return str(error.value)

    async def until_floor(self, sequence: int) -> None:
        """Wait until the consumer's own floor is there: a purge is told to it a moment later."""
        async with asyncio.timeout(10):
            while (await self.info()).ack_floor.stream_seq != sequence:
                await asyncio.sleep(0.01)

    async def unread(self, *payloads: bytes) -> None:
        """A first message is read and accepted; these come when the server knows that nobody asks any more: what it
        gives to a reader that leaves counts as delivered, and a purge as done.
        """
        await unread(self)
        async with asyncio.timeout(10):
            while (await self.info()).num_waiting:
                await asyncio.sleep(0.01)
        for payload in payloads:
            await self.emit(payload)

    async def info(self) -> Any:
        self.js = (await self.outside.session()).stream
        return await self.js.consumer_info(self.stream, "reactor-01234567-orders")


@pytest.fixture
async def rig(nats_server: NatsServer) -> AsyncIterator[JetStreamRig]:
    async with JetStreamRig(nats_server) as rig:
        yield rig


class TestSuite(TriggerSuite):
    """All that every trigger keeps."""

    trigger = JetStreamTrigger

    @pytest.fixture
    async def rig(self, nats_server: NatsServer) -> AsyncIterator[Rig]:
        async with JetStreamRig(nats_server) as rig:
            yield rig


@pytest.mark.req("T-NATS-2")
@pytest.mark.rule("1.5")
async def test_events_carry_their_coordinates(rig: JetStreamRig) -> None:
    trigger = await rig.open()
    await rig.emit(b'{"n": 1}', "eu.new", headers={"X-Tenant": "acme", "Authorization": "secret"})
    (delivery,) = await SUITE._accepted(rig, trigger, 1)
    (event,) = delivery.events
    assert isinstance(event, Event)
    assert event.data == {"n": 1}
    assert event.type == "reactor.jetstream.message"
    assert event.source == f"/jetstream/orders/{rig.stream}"
    assert event.subject == f"{rig.stream}.eu.new"
    assert event.id.startswith("1@")
    assert event.extensions == {"natsstream": rig.stream, "natssequence": 1}
    assert event.meta["trigger"] == "orders"
    assert event.meta["delivered"] == 1
    assert event.meta["headers"] == {"x-tenant": "acme"}
    assert delivery.partition == rig.stream


async def test_native_cloudevents_keep_their_attributes(rig: JetStreamRig) -> None:
    trigger = await rig.open()
    headers = {"ce-specversion": "1.0", "ce-id": "a%20b", "ce-source": "/shop", "ce-type": "order.created"}
    await rig.emit(b'{"n": 1}', headers={**headers, "content-type": "application/json"})
    structured = b'{"specversion":"1.0","id":"7","source":"/shop","type":"order.paid","data":{"n":2}}'
    await rig.emit(structured, headers={"Content-Type": "application/cloudevents+json"})
    events = SUITE._events(await SUITE._accepted(rig, trigger, 2))
    assert [(e.source, e.id, e.type, e.data) for e in events] == [
        ("/shop", "a b", "order.created", {"n": 1}),
        ("/shop", "7", "order.paid", {"n": 2}),
    ]


@pytest.mark.req("T-GEN-8")
@pytest.mark.rule("1.7")
async def test_poison_is_terminated_and_blocks_nothing(rig: JetStreamRig) -> None:
    rig.spec["format"] = "json"
    trigger = await rig.open()
    for body in (b"1", b"{broken", b"2"):
        await rig.emit(body)
    deliveries = await SUITE._accepted(rig, trigger, 3)
    events = [event for delivery in deliveries for event in delivery.events]
    assert [event.data for event in events if isinstance(event, Event)] == [1, 2]
    (bad,) = [event for event in events if isinstance(event, Undecodable)]
    assert bad.raw == b"{broken"
    assert bad.id.startswith("2@")
    assert bad.reason.code == "invalid_data"
    async with asyncio.timeout(10):
        while (await rig.info()).num_ack_pending:
            await asyncio.sleep(0.01)


async def test_delivered_too_often_is_a_dead_letter_before_decoding(rig: JetStreamRig) -> None:
    rig.config["max_deliver"] = 2
    rig.spec["format"] = "json"
    trigger = await rig.open()
    await rig.emit(b"{broken")
    for _ in range(2):
        (delivery,) = await SUITE._read(rig, trigger, 1)
        await delivery.settle(Settlement(again=True, retry_after_s=0.01))
    (delivery,) = await SUITE._accepted(rig, trigger, 1)
    (bad,) = delivery.events
    assert isinstance(bad, Undecodable)
    assert bad.reason.message == "the message was delivered 3 times; the trigger takes at most 2"
    assert bad.raw == b"{broken"
    assert (await rig.info()).config.max_deliver == -1


async def test_the_server_is_kept_patient_while_a_commit_takes_long(rig: JetStreamRig) -> None:
    trigger = await rig.open()
    await rig.emit(b"A")
    (delivery,) = await SUITE._read(rig, trigger, 1)
    await asyncio.sleep(1.6)  # over `ack_wait`, during which a message that nobody speaks of is redelivered
    await SUITE._accept(rig, delivery)
    await rig.emit(b"B")
    (second,) = SUITE._events(await SUITE._accepted(rig, trigger, 1))
    assert (second.data, second.meta["delivered"]) == ("B", 1)
    assert (await rig.info()).num_redelivered == 0


async def test_asks_for_free_places_only(rig: JetStreamRig) -> None:
    rig.spec.update(fetch=4, max_in_flight=8)
    trigger = await rig.open()
    await SUITE._emit_all(rig, [b"x"] * 30)
    held = await SUITE._read(rig, trigger, 8)
    assert sum(len(d.events) for d in held) == 8
    assert all(len(d.events) <= 4 for d in held)
    reading = asyncio.ensure_future(trigger.read())
    await asyncio.wait({reading}, timeout=0.2)
    assert not reading.done()
    info = await rig.info()
    assert (info.num_ack_pending, info.num_pending) == (8, 22)
    for delivery in held:
        await SUITE._accept(rig, delivery)
    await SUITE._accept(rig, await reading)


@pytest.mark.parametrize(
    ("start", "expected"),
    [("earliest", [b"1", b"2", b"3", b"4"]), ("latest", [b"4"]), ("last", [b"3", b"4"]),
     ({"offset": 2}, [b"2", b"3", b"4"]), ({"time": "1h"}, [b"1", b"2", b"3", b"4"])],
)  # fmt: skip
async def test_start_says_where_a_new_consumer_begins(rig: JetStreamRig, start: Any, expected: list[bytes]) -> None:
    rig.spec["start"] = start
    for payload in (b"1", b"2", b"3"):
        await rig.emit(payload)
    trigger = await rig.open()
    await rig.emit(b"4")
    if expected:
        assert await payloads(rig, trigger, len(expected)) == expected
    assert await SUITE._rest(rig, trigger) == []


@pytest.mark.req("T-NATS-1")
async def test_only_the_subjects_that_are_wanted(rig: JetStreamRig) -> None:
    rig.config["subjects"] = [f"{rig.stream}.a", f"{rig.stream}.b.*"]
    trigger = await rig.open()
    for subject in ("a", "x", "b.1", "b", "b.2"):
        await rig.emit(subject.encode(), subject)
    assert await payloads(rig, trigger, 3) == [b"a", b"b.1", b"b.2"]


async def test_a_stream_that_is_not_there_is_waited_for(rig: JetStreamRig) -> None:
    rig.config["stream"] = f"{rig.stream}_later"
    trigger = await rig.make()
    with pytest.raises(NotConnected) as error:
        await trigger.connect()
    assert str(error.value) == f"there is no stream {rig.stream}_later on NATS at {rig.server.url[7:]}"


async def test_a_consumer_of_another_make_is_refused(rig: JetStreamRig) -> None:
    from nats.js.api import AckPolicy, ConsumerConfig

    await rig.js.add_consumer(rig.stream, ConsumerConfig(durable_name="theirs", ack_policy=AckPolicy.NONE))
    rig.config["durable"] = "theirs"
    trigger = await rig.make()
    with pytest.raises(ConfigError) as error:
        await trigger.connect()
    assert str(error.value) == (
        f"the consumer theirs of the stream {rig.stream} is not a pull consumer with explicit acknowledgement"
    )
    assert error.value.hint == "name another in `durable`: it is made as it must be"


@pytest.mark.rule("1.5")
async def test_a_stream_made_anew_is_a_gap_and_resume_says_where_to_go_on(rig: JetStreamRig) -> None:
    trigger = await rig.open()
    await rig.emit(b"old")
    assert await payloads(rig, trigger, 1) == [b"old"]
    await rig.js.delete_stream(rig.stream)
    await rig.create()
    await rig.emit(b"new")
    error = await raised(trigger, rig)
    assert error.code == "source_gap"
    assert "it was made anew at" in str(error)
    assert error.hint == "say where to go on: reactor trigger resume orders --start earliest (or latest)"
    await trigger.close()
    rig.context["resume"] = {"start": "earliest"}
    trigger = await rig.open()
    assert await payloads(rig, trigger, 1) == [b"new"]
    rig.context.clear()
    await trigger.close()
    trigger = await rig.open()
    await rig.emit(b"newer")
    assert await payloads(rig, trigger, 1) == [b"newer"]


@pytest.mark.rule("1.5")
async def test_messages_purged_before_they_were_read_are_a_gap(rig: JetStreamRig) -> None:
    await rig.unread(b"2", b"3", b"4")
    await rig.js.purge_stream(rig.stream, seq=4)
    await rig.js.delete_consumer(rig.stream, "reactor-01234567-orders")
    trigger = await rig.make()
    with pytest.raises(ConfigError) as error:
        await trigger.connect()
    assert error.value.code == "source_gap"
    assert str(error.value) == (
        f"the stream {rig.stream}: it has no consumer reactor-01234567-orders: that was removed, or `durable` had "
        "another name, and with it went the position"
    )


async def test_messages_that_aged_out_before_they_were_read_are_a_gap(nats_server: NatsServer) -> None:
    async with JetStreamRig(nats_server, max_msgs=3) as rig:
        await rig.unread(b"2", b"3", b"4", b"5", b"6")
        trigger = await rig.make()
        with pytest.raises(ConfigError) as error:
            await trigger.connect()
        assert str(error.value) == f"the stream {rig.stream}: the messages 2 to 3 are gone, and were not accepted"
        assert error.value.details == {"lost": {"stream": rig.stream, "from": 2, "to": 3}}


async def test_a_stream_that_is_gone_when_it_is_looked_at_is_not_connected(rig: JetStreamRig) -> None:
    trigger: Any = await rig.open()
    await trigger.close()
    await rig.js.delete_stream(rig.stream)
    session = await rig.connections[-1].session()
    with pytest.raises(NotConnected) as error:
        await trigger._look(session)  # else it would not be looked for again
    assert str(error.value) == f"the stream {rig.stream} or its consumer is gone"
    await rig.create()


@pytest.mark.rule("1.5")
async def test_a_purge_that_takes_the_consumer_along_is_a_gap(rig: JetStreamRig) -> None:
    await rig.unread(b"2", b"3", b"4")
    await rig.js.purge_stream(rig.stream)
    await rig.until_floor(4)  # the server moves the consumer on as well: its own floor says nothing of a loss
    await rig.emit(b"5")
    trigger = await rig.make()
    with pytest.raises(ConfigError) as error:
        await trigger.connect()
    assert str(error.value) == f"the stream {rig.stream}: the messages 2 to 4 are gone, and were not accepted"
    assert error.value.details == {"lost": {"stream": rig.stream, "from": 2, "to": 4}}
    rig.context["resume"] = {"start": "earliest"}
    trigger = await rig.open()
    assert await payloads(rig, trigger, 1) == [b"5"]
    rig.context.clear()
    await trigger.close()
    await rig.js.purge_stream(rig.stream)  # of what was read: nothing is lost
    await rig.emit(b"6")
    assert await payloads(rig, await rig.open(), 1) == [b"6"]


@pytest.mark.rule("1.5")
async def test_a_purge_under_a_reader_that_has_no_place_is_a_gap(rig: JetStreamRig) -> None:
    rig.spec["max_in_flight"] = 2
    trigger: Any = await rig.open()
    for payload in (b"1", b"2", b"3", b"4"):
        await rig.emit(payload)
    first = await trigger.read()
    while not first.events:  # what is known of the stream
        await SUITE._accept(rig, first)
        first = await trigger.read()
    await rig.js.purge_stream(rig.stream)
    await rig.until_floor(4)
    session = await rig.connections[-1].session()
    await trigger._look(session)  # what is done every 10 seconds: they might be on their way to us
    with pytest.raises(ConfigError) as error:
        await trigger._look(session)
    assert str(error.value) == f"the stream {rig.stream}: the messages 3 to 4 are gone, and were not accepted"


@pytest.mark.rule("1.5")
async def test_what_was_delivered_and_not_accepted_before_a_purge_is_a_gap(rig: JetStreamRig) -> None:
    await rig.unread(b"2", b"3")
    leaving = await rig.js.pull_subscribe_bind("reactor-01234567-orders", rig.stream)
    assert [message.data for message in await leaving.fetch(1)] == [b"2"]
    await rig.js.purge_stream(rig.stream)
    await rig.until_floor(3)
    trigger = await rig.make()
    with pytest.raises(ConfigError) as error:
        await trigger.connect()
    assert str(error.value) == f"the stream {rig.stream}: the messages 2 to 3 are gone, and were not accepted"


@pytest.mark.rule("1.5")
async def test_a_message_that_the_store_refused_is_not_accepted_by_those_behind_it(rig: JetStreamRig) -> None:
    """Not for a moment: they are refused as well, so that a crash in between leaves no mark that tells of it."""
    rig.spec["fetch"] = 1
    trigger: Any = await rig.open()
    for payload in (b"1", b"2", b"3", b"4"):
        await rig.emit(payload)
    first, second, third, _ = await SUITE._read(rig, trigger, 4)
    await SUITE._accept(rig, first)
    await second.settle(Settlement(again=True, retry_after_s=60))
    await SUITE._accept(rig, third)
    await trigger.close()  # it dies here
    left = dict(rig.marks)
    await rig.js.purge_stream(rig.stream)
    await rig.emit(b"5")
    with pytest.raises(ConfigError) as error:
        await (await rig.make()).connect()
    assert str(error.value) == f"the stream {rig.stream}: the messages 2 to 4 are gone, and were not accepted"
    assert error.value.details == {"lost": {"stream": rig.stream, "from": 2, "to": 4}}
    assert rig.marks == left


@pytest.mark.rule("1.5")
async def test_what_was_refused_with_those_behind_it_comes_again_and_is_accepted(rig: JetStreamRig) -> None:
    rig.spec["fetch"] = 1
    trigger: Any = await rig.open()
    for payload in (b"1", b"2", b"3", b"4"):
        await rig.emit(payload)
    first, second, third, fourth = await SUITE._read(rig, trigger, 4)
    await SUITE._accept(rig, first)
    await second.settle(Settlement(again=True, retry_after_s=0.1))
    await SUITE._accept(rig, third)
    await SUITE._accept(rig, fourth)
    assert sorted(await payloads(rig, trigger, 3)) == [b"2", b"3", b"4"]
    assert msgspec.json.decode(rig.marks[f"{rig.stream}/0"]) == [[1, 4]]
    await rig.until_floor(4)


@pytest.mark.rule("1.5")
async def test_what_a_node_before_accepted_is_no_gap_and_its_mark_goes(rig: JetStreamRig) -> None:
    """A process has another number after each start."""
    for node in (1, 2):
        rig.context["node"] = node
        await rig.unread()
    assert sorted(rig.marks) == [rig.stream, f"{rig.stream}/1", f"{rig.stream}/2"]
    await rig.js.purge_stream(rig.stream)
    await rig.emit(b"3")
    rig.context["node"] = 3
    trigger: Any = await rig.open()
    session = await rig.connections[-1].session()
    assert await payloads(rig, trigger, 1) == [b"3"]
    await rig.until_floor(3)
    for _ in range(3):
        await trigger._look(session)
        assert await SUITE._rest(rig, trigger) == []
    assert sorted(rig.marks) == [rig.stream, f"{rig.stream}/3"]
    assert msgspec.json.decode(rig.marks[rig.stream])["floor"] == 3


@pytest.mark.rule("1.5")
async def test_a_mark_that_its_node_moved_meanwhile_stays(rig: JetStreamRig) -> None:
    rig.context["node"] = 1
    first: Any = await rig.open()
    await rig.emit(b"1")
    assert await payloads(rig, first, 1) == [b"1"]
    await rig.until_floor(1)
    rig.context["node"] = 2
    second: Any = await rig.open()
    session = await rig.connections[-1].session()
    moved = rig.marks[f"{rig.stream}/1"] = b"[[1,1],[9,9]]"
    for _ in range(3):
        await second._look(session)
        assert await SUITE._rest(rig, second) == []
    assert rig.marks[f"{rig.stream}/1"] == moved
    assert msgspec.json.decode(rig.marks[rig.stream])["floor"] == 1


@pytest.mark.rule("1.5")
@pytest.mark.parametrize("reads", [True, False])
async def test_a_purge_of_some_subjects_is_a_gap(rig: JetStreamRig, reads: bool) -> None:
    rig.config["subject"] = f"{rig.stream}.ours"
    rig.spec["max_in_flight"] = 1
    trigger: Any = await rig.open()
    await rig.emit(b"1", "ours")
    first = await SUITE._next(rig, trigger)
    await SUITE._accept(rig, first)
    if not reads:
        await trigger.close()
    for number in range(2, 5):
        await rig.emit(b"x", "theirs")
        await rig.emit(b"%d" % number, "ours")
    if reads:
        session = await rig.connections[-1].session()
        await trigger._look(session)
    await rig.js.purge_stream(rig.stream)
    await rig.until_floor(7)
    with pytest.raises(ConfigError) as error:
        await (trigger._look(session) if reads else (await rig.make()).connect())
    first_lost = 4 if reads else 2  # the next one was in our hands
    assert str(error.value) == (
        f"the stream {rig.stream}: the messages {first_lost} to 7 are gone (some may have other subjects), and were "
        "not accepted"
    )


async def test_what_was_read_and_delivered_again_may_age_out(nats_server: NatsServer) -> None:
    async with JetStreamRig(nats_server, max_msgs=3) as rig:
        trigger: Any = await rig.open()
        for turn in range(3):
            for number in range(5):
                await rig.emit(b"%d" % number)
                delivery = await SUITE._next(rig, trigger)
                await delivery.settle(Settlement(again=True, retry_after_s=0.0))
                assert await payloads(rig, trigger, 1) == [b"%d" % number]
            await rig.until_floor(5 * (turn + 1))
            session = await rig.connections[-1].session()
            for _ in range(2):  # the second stores what the first found
                await trigger._look(session)
            assert await SUITE._rest(rig, trigger) == []
            assert msgspec.json.decode(rig.marks[rig.stream])["floor"] == 5 * (turn + 1)
            if turn:
                await trigger.close()
                trigger = await rig.open()


async def test_other_subjects_that_age_out_are_no_gap(nats_server: NatsServer) -> None:
    async with JetStreamRig(nats_server, max_msgs=3) as rig:
        rig.config["subject"] = f"{rig.stream}.ours"
        trigger = await rig.open()
        await rig.emit(b"1", "ours")
        assert await payloads(rig, trigger, 1) == [b"1"]
        for _ in range(10):
            await rig.emit(b"x", "theirs")
        session = await rig.connections[-1].session()
        await trigger._look(session)  # what is done every 10 seconds
        assert await SUITE._rest(rig, trigger) == []
        await trigger.close()
        trigger = await rig.open()
        await rig.emit(b"2", "ours")
        assert await payloads(rig, trigger, 1) == [b"2"]


async def test_work_queues_let_go_of_what_was_read(nats_server: NatsServer) -> None:
    async with JetStreamRig(nats_server, retention=RetentionPolicy.WORK_QUEUE) as rig:
        trigger = await rig.open()
        for turn in range(3):
            await rig.emit(b"%d" % turn)
            assert await payloads(rig, trigger, 1) == [b"%d" % turn]
            await trigger.close()
            trigger = await rig.open()


@pytest.mark.req("T-NATS-1")
async def test_two_readers_share_one_consumer(rig: JetStreamRig) -> None:
    first = await rig.open()
    rig.context["node"] = 1
    second = await rig.open()
    sent = [b"%d" % number for number in range(200)]
    got: dict[int, list[bytes]] = {0: [], 1: []}

    async def read(index: int, trigger: Trigger) -> None:
        while True:
            delivery = await SUITE._next(rig, trigger)
            got[index] += [rig.payload(event) for event in SUITE._events([delivery])]
            await SUITE._accept(rig, delivery)

    tasks = [asyncio.ensure_future(read(0, first)), asyncio.ensure_future(read(1, second))]
    await SUITE._emit_all(rig, sent)
    async with asyncio.timeout(10):
        while len(got[0]) + len(got[1]) < 200:
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    assert sorted(got[0] + got[1]) == sorted(sent)
    assert got[0]
    assert got[1]


@pytest.mark.rule("1.6")
async def test_completed_settles_each_by_itself(rig: JetStreamRig) -> None:
    rig.spec["settle"] = "completed"
    trigger = await rig.open()
    for payload in (b"1", b"2"):
        await rig.emit(payload)
    first, second = await SUITE._read(rig, trigger, 2)
    assert [len(delivery.events) for delivery in (first, second)] == [1, 1]
    await SUITE._accept(rig, second)
    await SUITE._accept(rig, first)


async def test_a_server_that_is_frozen_is_noticed_by_its_silence(
    rig: JetStreamRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream_pull, "HEARTBEAT_S", 0.3)
    monkeypatch.setattr(jetstream, "TICK_S", 0.1)
    trigger = await rig.open()
    await rig.emit(b"1")
    assert await payloads(rig, trigger, 1) == [b"1"]
    await until(lambda: "lag" in trigger.details())  # nothing is asked for the next 10 s
    reading = asyncio.ensure_future(trigger.read())
    await asyncio.sleep(0)
    assert await rig.frozen(trigger, reading) == (
        f"the consumer reactor-01234567-orders of the stream {rig.stream} is silent: not even heartbeats come"
    )


async def test_a_server_that_is_frozen_while_it_is_asked_is_not_connected(
    rig: JetStreamRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream_pull, "HEARTBEAT_S", 30.0)
    monkeypatch.setattr(jetstream, "CHECK_S", 0.0)
    monkeypatch.setattr(jetstream, "TICK_S", 0.05)
    trigger = await rig.open()

    async def read() -> None:
        while True:
            await SUITE._accept(rig, await trigger.read())

    reading = asyncio.ensure_future(read())
    await until(lambda: "lag" in trigger.details())
    assert await rig.frozen(trigger, reading) == f"the stream {rig.stream} gave no answer in time"


@pytest.mark.req("T-GEN-2")
async def test_the_supervisor_shows_down_and_reconnects(rig: JetStreamRig) -> None:
    taken: list[Event] = []

    async def publish(trigger: str, delivery: Delivery) -> None:
        taken.extend(event for event in delivery.events if isinstance(event, Event))
        for mark in delivery.marks:
            rig.marks[mark.key] = mark.value or b""
        await delivery.settle(Settlement())

    async def marks(scope: str) -> dict[str, bytes]:
        return dict(rig.marks)

    states: list[str] = []
    connection = rig.connection()
    reconnect = {"delay_s": 0.02, "factor": 2.0, "max_delay_s": 0.3, "jitter": False}
    supervisor = Supervisor(
        publish, read_marks=marks, connections=lambda kind, name: connection, changed=lambda s: states.append(s.state)
    )
    spec = TriggerSpec("orders", "jetstream", rig.config, reconnect=reconnect)
    await supervisor.apply({"orders": spec})
    await rig.emit(b"1")
    await until(lambda: len(taken) == 1)
    await asyncio.to_thread(rig.server.stop)
    await until(lambda: states.count("down") >= 3)
    await asyncio.to_thread(rig.server.start)
    await rig.emit(b"2")
    await until(lambda: len(taken) == 2)
    assert supervisor.status()[0].state == "connected"
    assert supervisor.status()[0].details["stream"] == rig.stream
    await supervisor.close()
    assert [event.data for event in taken] == [1, 2]


@pytest.mark.req("T-GEN-3")
@pytest.mark.req("T-NATS-2")
@pytest.mark.rule("1.2")
async def test_killed_at_any_moment_nothing_is_lost_and_nothing_runs_twice(rig: JetStreamRig, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/reactor.db"
    sent = [f"k{number}" for number in range(600)]
    sending = asyncio.ensure_future(SUITE._emit_all(rig, [msgspec.json.encode({"id": each}) for each in sent]))
    spec = {"name": "orders", "kind": "jetstream", "config": {**rig.config, "durable": "reactor-01234567-orders"}}
    for kill_after in (150, 150, None):
        await consume(url, spec, {"servers": [rig.server.url]}, kill_after, len(sent))
    await sending
    async with EngineRig(url) as engine:
        inputs = sorted([msgspec.json.decode(run.input)["id"] for run in await all_runs(engine.store)])
    assert inputs == sorted(sent)
    info = await rig.info()
    assert (info.num_ack_pending, info.num_pending) == (0, 0)
