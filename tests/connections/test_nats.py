"""The NATS connection and its bus, seen by an independent client."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import nats
import pytest

from reactor.connections.bus import GAP, TYPES, bus_of, subject_of, subjects
from reactor.connections.configs import NatsConfig
from reactor.connections.contract import OutMessage
from reactor.connections.nats import NatsConnection
from reactor.core.errors import NotConnected, StepError, TransientError
from reactor.core.event import Event
from reactor.tests.connections.test_kafka import run_event
from reactor.tests.engine.rig import Rig
from reactor.tests.servers.nats import NatsServer
from reactor.tests.servers.process import free_port


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[NatsConnection]:
    made = NatsConnection("main", NatsConfig(servers=[nats_server.url], timeout="3s"))
    yield made
    await made.close()


@pytest.fixture
async def outside(nats_server: NatsServer) -> AsyncIterator[Any]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


@pytest.mark.broker("nats")
async def test_a_stream_gets_messages_once(connection: NatsConnection, outside: Any, unique_name: str) -> None:
    js = outside.jetstream()
    await js.add_stream(name=unique_name, subjects=[f"{unique_name}.>"])
    target = {"subject": f"{unique_name}.a", "stream": unique_name}
    message = OutMessage("jetstream", target, b"1", content_type="text/plain", headers={"X-A": "b"}, key="idem")
    assert await connection.send(message) == {"stream": unique_name, "sequence": 1, "duplicate": False}
    assert await connection.send(message) == {"stream": unique_name, "sequence": 1, "duplicate": True}
    many = [OutMessage("jetstream", target, b"%d" % number) for number in range(20)]
    assert [out["sequence"] for out in await connection.send_many(many)] == list(range(2, 22))
    stored = await js.get_msg(unique_name, 1)
    assert stored.data == b"1"
    assert dict(stored.headers) == {
        "X-A": "b", "content-type": "text/plain", "Nats-Msg-Id": "idem", "Nats-Expected-Stream": unique_name,
    }  # fmt: skip
    with pytest.raises(StepError) as error:
        await connection.send(OutMessage("jetstream", {**target, "stream": "other"}, b"1"))
    assert error.value.code == "publish.rejected"
    await js.delete_stream(unique_name)


@pytest.mark.broker("nats")
async def test_a_subject_without_a_stream_is_worth_another_try(connection: NatsConnection, unique_name: str) -> None:
    with pytest.raises(TransientError) as error:
        await connection.send(OutMessage("jetstream", {"subject": unique_name}, b"1"))
    assert error.value.code == "publish.no_responders"
    assert str(error.value) == f"{connection.title}, subject {unique_name}: no stream takes this subject"


@pytest.mark.broker("nats")
@pytest.mark.parametrize("to", ["nats", "jetstream"])
async def test_a_message_goes_to_one_subject(
    connection: NatsConnection, outside: Any, unique_name: str, to: str
) -> None:
    """The server takes any of these without a word; nobody who listens for the subject meant would get it."""
    sub = await outside.subscribe(f"{unique_name}.>")
    for subject, fault in [
        ("*", "must not have wildcards: a message goes to one subject"),
        (">", "must not have wildcards: a message goes to one subject"),
        ("a b", "must not have blanks or control characters"),
        ("a.b\r\nPUB c 0", "must not have blanks or control characters"),
        ("", "must not have empty parts: words joined by single dots"),
        ("a..b", "must not have empty parts: words joined by single dots"),
    ]:
        with pytest.raises(StepError) as error:
            await connection.send(OutMessage(to, {"subject": f"{unique_name}.{subject}"}, b"1"))
        found = repr(f"{unique_name}.{subject}")
        said = f"{connection.title}: `subject` {fault}; found {found}"
        assert (error.value.code, str(error.value)) == ("invalid_input", said)
    if to == "nats":
        await connection.send(OutMessage(to, {"subject": f"{unique_name}.a*b"}, b"2"))
        assert (await sub.next_msg(2)).data == b"2"


@pytest.mark.broker("nats")
async def test_subscribers_get_what_is_sent_and_answer(
    connection: NatsConnection, outside: Any, unique_name: str
) -> None:
    sub = await outside.subscribe(unique_name)
    await outside.flush()
    event = Event(type="order.created", source="/shop", id="ö 1", data={"n": 1}, extensions={"flag": True})
    assert await connection.send(OutMessage("nats", {"subject": unique_name}, event=event)) == {}
    message = await sub.next_msg(2)
    assert dict(message.headers) == {
        "ce-specversion": "1.0", "ce-id": "%C3%B6%201", "ce-source": "/shop", "ce-type": "order.created",
        "ce-flag": "true", "content-type": "application/json",
    }  # fmt: skip
    assert message.data == b'{"n":1}'
    target = {"subject": unique_name, "mode": "request", "timeout": 2.0}
    asking = asyncio.ensure_future(connection.send(OutMessage("nats", target, b"?")))
    question = await sub.next_msg(2)
    await outside.publish(question.reply, b'{"yes": true}', headers={"X-By": "me"})
    answer = await asking
    assert (answer["json"], answer["text"], answer["headers"]) == ({"yes": True}, '{"yes": true}', {"x-by": "me"})
    deep = "[" * 501 + "]" * 501
    asking = asyncio.ensure_future(connection.send(OutMessage("nats", target, b"?")))
    await outside.publish((await sub.next_msg(2)).reply, deep.encode())
    answer = await asking
    assert (answer["json"], answer["text"]) == (None, deep)
    await sub.unsubscribe()
    await outside.flush()
    with pytest.raises(TransientError) as error:
        await connection.send(OutMessage("nats", target, b"?"))
    assert error.value.code == "publish.no_responders"


@pytest.mark.broker("nats")
async def test_the_test_says_who_answered(nats_server: NatsServer, connection: NatsConnection) -> None:
    text = await connection.test()
    assert text.startswith(f"NATS at {nats_server.url[7:]} answered in ")
    assert ": version 2." in text
    assert ", JetStream with " in text


@pytest.mark.broker("nats")
async def test_two_callers_at_once_open_once(connection: NatsConnection) -> None:
    first, second = await asyncio.gather(connection.session(), connection.session())
    assert first is second
    await connection.close()
    await connection.close()
    assert first.gone.is_set()
    assert (await connection.session()).client.is_connected


@pytest.mark.broker("nats")
async def test_a_server_that_was_away_is_found_again(nats_server: NatsServer, connection: NatsConnection) -> None:
    session = await connection.session()
    await asyncio.to_thread(nats_server.stop)
    assert await session.wait_gone(5)
    with pytest.raises(NotConnected):
        await connection.test()
    await asyncio.to_thread(nats_server.start)
    assert "answered" in await connection.test()


@pytest.mark.broker("nats")
async def test_the_first_server_that_answers_is_taken(nats_server: NatsServer) -> None:
    dead = f"nats://127.0.0.1:{free_port()}"
    connection = NatsConnection("main", NatsConfig(servers=[dead, nats_server.url], timeout="3s"))
    assert "answered" in await connection.test()
    await connection.close()
    nobody = NatsConnection("main", NatsConfig(servers=[dead], timeout="3s"))
    with pytest.raises(NotConnected) as error:
        await nobody.open()
    assert str(error.value).startswith(f"NATS at {dead[7:]}: ")


async def test_credentials_that_are_refused_are_a_persons_matter(tmp_path: Any) -> None:
    from reactor.tests.servers import places
    from reactor.tests.servers.process import ServerProcess

    port = free_port()
    program = places.nats_program()
    assert program is not None

    def ready() -> bool:
        import socket

        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                return sock.recv(5) == b"INFO "
        except OSError:
            return False

    command = [str(program), "-a", "127.0.0.1", "-p", str(port), "--user", "u", "--pass", "right"]
    server = ServerProcess(command, ready, tmp_path / "nats.log")
    await asyncio.to_thread(server.start)
    try:
        url = f"nats://127.0.0.1:{port}"
        wrong = NatsConnection("main", NatsConfig(servers=[url], user="u", password="wrong", timeout="3s"))
        with pytest.raises(StepError) as error:
            await wrong.open()
        assert error.value.code == "unauthorized"
        assert "wrong" not in str(error.value)
        right = NatsConnection("main", NatsConfig(servers=[url], user="u", password="right", timeout="3s"))
        assert (await right.test()).endswith(", no JetStream")
        await right.close()
    finally:
        await asyncio.to_thread(server.stop)


# -- the bus


@pytest.mark.broker("nats")
@pytest.mark.req("R-7")
@pytest.mark.rule("3.4")
async def test_the_bus_keeps_the_order_of_a_run_and_drops_repetitions(
    connection: NatsConnection, outside: Any, unique_name: str
) -> None:
    prefix = f"bus{unique_name}"
    send = bus_of("jetstream", {"stream": prefix, "max_age_s": 3600.0}, lambda kind, name: connection, [f"{prefix}.*"])
    assert send is not None
    events = [run_event(f"r{number % 7}", number).replace(type=f"{prefix}.run.completed") for number in range(140)]
    sub = await outside.subscribe(f"{prefix}.>")
    await outside.flush()
    await send(events)
    await send(events[:10])  # the outbox lost the answer, and sends again
    js = outside.jetstream()
    info = await js.stream_info(prefix)
    assert (info.state.messages, info.config.max_age) == (140, 3600)
    assert info.config.subjects == [f"{prefix}.>"]
    seen = [await sub.next_msg(2) for _ in range(150)]
    assert {message.subject for message in seen} == {f"{prefix}.run.completed.ship-order"}
    stored = [await js.get_msg(prefix, number) for number in range(1, 141)]
    for run in range(7):
        mine = [m.headers["Nats-Msg-Id"] for m in stored if m.headers["ce-runid"] == f"r{run}"]
        assert mine == [event.id for event in events if event.extensions["runid"] == f"r{run}"]
    await js.delete_stream(prefix)


@pytest.mark.broker("nats")
async def test_two_deployments_with_subjects_of_their_own_never_mix(
    connection: NatsConnection, outside: Any, unique_name: str
) -> None:
    """Not even in what they say of a gap; one of them takes all of `reactor.`."""
    js, gap = outside.jetstream(), Event(type=GAP, source="/bus", id="g", data={"events": 1})
    names = {f"{unique_name}-all": ["reactor.*"], f"{unique_name}-own": [f"{unique_name}.*"]}
    own = {f"{unique_name}-one": [f"{unique_name}2.paid", f"{unique_name}3.*"]}
    subjects_told = ("reactor.bus.gap", f"{unique_name}.reactor.bus.gap", f"{unique_name}2.paid.reactor.bus.gap")
    for (stream, types), subject in zip({**names, **own}.items(), subjects_told, strict=True):
        send = bus_of("jetstream", {"stream": stream}, lambda kind, name: connection, types)
        assert send is not None
        await send([gap])
        assert (await js.stream_info(stream)).state.messages == 1
        told = await js.get_msg(stream, 1)
        assert (told.subject, told.headers["ce-type"]) == (subject, GAP)
    for stream in (*names, *own):
        assert (await js.stream_info(stream)).state.messages == 1
        await js.delete_stream(stream)


@pytest.mark.broker("nats")
@pytest.mark.req("R-6")
@pytest.mark.req("R-7")
async def test_a_run_that_ends_is_told_on_the_bus(connection: NatsConnection, outside: Any, tmp_path: Any) -> None:
    flow = "workflow: told-by-bus\nsteps:\n  - {name: one, transform: '7'}\n"
    async with Rig(f"sqlite:///{tmp_path}/reactor.db") as rig:
        await rig.deploy(flow)
        assert rig.outbox is not None
        rig.outbox.bus = bus_of("jetstream", {"stream": f"b{tmp_path.name}"}, lambda kind, name: connection)
        rig.outbox.bus_types = TYPES
        sub = await outside.subscribe("reactor.run.completed.told-by-bus")
        await outside.flush()
        run = await rig.run("told-by-bus")
        message = await sub.next_msg(10)
    assert message.headers["ce-runid"] == run["id"]
    assert message.headers["Nats-Msg-Id"] == message.headers["ce-id"].replace("%2F", "/")
    data = msgspec.json.decode(message.data)
    assert (data["run"], data["workflow"], data["state"]) == (run["id"], "told-by-bus", "completed")
    await outside.jetstream().delete_stream(f"b{tmp_path.name}")


async def test_keys_need_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    connection = NatsConnection("main", NatsConfig(servers=["nats://127.0.0.1:1"], nkey="SUAX"))
    with pytest.raises(StepError) as error:
        await connection.open()
    assert (error.value.code, error.value.hint) == ("missing_extra", "pip install 'nats-py[nkeys]'")
    assert str(error.value) == (
        "connection `main` (nats): `credentials` and `nkey` need the library nkeys, which is not installed"
    )


def test_subjects_follow_type_and_workflow() -> None:
    assert subject_of(run_event("r", 1)) == "reactor.run.completed.ship-order"
    alert = Event(type="reactor.alert.raised", source="/alerts/x", id="1")
    assert subject_of(alert) == "reactor.alert.raised"
    odd = Event(type="a b..*", source="/workflows/x.y>", id="1")
    assert subject_of(odd) == "a_b._._.x_y_"
    assert subjects(["reactor.*"]) == ["reactor.>"]
    assert subjects(["reactor.*", "reactor.run.completed", "com.shop.order"]) == [
        "reactor.>", "com.shop.order", "com.shop.order.>",
    ]  # fmt: skip
    assert subjects(["reactor.run*", "*"]) == [">"]
