"""`publish` to HTTP for real, and what it hands to the connections of brokers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from reactor.connections.contract import OutMessage
from reactor.connections.registry import Registry
from reactor.core.errors import ReactorError
from reactor.core.event import decode
from reactor.engine.actions.publish import PublishAction
from reactor.testing.action_suite import ActionSuite, LentServices
from reactor.tests.actions.rig import KEY, Rig

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Sink:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status = 202

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.method, request.path, headers, await request.read()))
        return web.Response(status=self.status, headers={"X-Ref": "7"})


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", sink.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sink.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    yield sink
    await runner.cleanup()


class Recorder:
    """A connection that keeps what it is handed."""

    def __init__(self) -> None:
        self.messages: list[OutMessage] = []
        self.asked: list[tuple[str, str | None]] = []

    def get(self, kind: str, name: str | None) -> Any:
        self.asked.append((kind, name))
        return self

    async def send(self, message: OutMessage) -> dict[str, Any]:
        self.messages.append(message)
        return {"ok": True}


class TestContract(ActionSuite):
    action = PublishAction()

    @pytest.fixture
    def valid_with(self, sink: Any) -> Any:
        return {"to": "http", "url": sink.url, "json": 1}

    @pytest.fixture
    def failing_with(self, sink: Any) -> Any:
        return {"to": "kafka", "topic": "t", "json": 1}

    @pytest.fixture(autouse=True)
    async def closed(self) -> AsyncIterator[None]:
        yield
        await self.action.close()


async def test_http(rig: Rig, sink: Any) -> None:
    output = await rig("publish", {"to": "http", "url": f"{sink.url}/in", "json": {"a": 1}, "headers": {"X-N": 5}})
    assert output["status"] == 202
    assert output["headers"]["x-ref"] == "7"
    method, path, headers, body = sink.seen[0]
    assert (method, path, body) == ("POST", "/in", b'{"a":1}')
    assert headers["content-type"] == "application/json"
    assert (headers["idempotency-key"], headers["x-n"], headers["traceparent"]) == (KEY, "5", TRACE)
    own = {"type": "t", "traceparent": TRACE}
    for payload in ({"text": "x"}, {"event": {"type": "t"}}, {"event": own}):
        await rig("publish", {"to": "http", "url": sink.url, **payload}, tracestate="a=1")
    found = [(each[2].get("tracestate"), each[2].get("ce-tracestate")) for each in sink.seen]
    assert found == [(None, None), ("a=1", None), (None, "a=1"), (None, None)]


async def test_http_by_connection(sink: Any) -> None:
    registry = Registry({"hook": {"http": {"url": f"{sink.url}/base", "auth": {"bearer": "b"}}}})
    rig = Rig(LentServices(connections=registry))
    await rig("publish", {"to": "http", "path": "x", "text": "hé", "method": "PUT"})
    method, path, headers, body = sink.seen[0]
    assert (method, path, body.decode()) == ("PUT", "/base/x", "hé")
    assert (headers["authorization"], headers["content-type"]) == ("Bearer b", "text/plain; charset=utf-8")
    sink.status = 503
    with pytest.raises(ReactorError) as caught:
        await rig("publish", {"to": "http", "path": "x", "text": ""})
    assert (caught.value.code, str(caught.value)) == ("http.503", f"POST {sink.url}/base/x answered 503")
    await registry.close()


async def test_events_over_http(rig: Rig, sink: Any) -> None:
    event = {"type": "order.shipped", "subject": "A 1/ü", "data": {"n": 1}, "tenant": "eu"}
    await rig("publish", {"to": "http", "url": sink.url, "event": event})
    _, _, headers, body = sink.seen[0]
    assert body == b'{"n":1}'
    attributes = {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}
    assert attributes.pop("time").endswith("Z")
    assert attributes == {
        "specversion": "1.0",
        "id": KEY,
        "source": "/workflows/ship-order",
        "type": "order.shipped",
        "subject": "A%201/%C3%BC",
        "tenant": "eu",
        "traceparent": TRACE,
    }
    assert headers["content-type"] == "application/json"
    await rig("publish", {"to": "http", "url": sink.url, "event": {**event, "id": "own"}, "mode": "structured"})
    _, _, headers, body = sink.seen[1]
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    found = decode(body)
    assert (found.id, found.subject, found.data, found.extensions["tenant"]) == ("own", "A 1/ü", {"n": 1}, "eu")


async def test_private_addresses_from_an_event(rig: Rig, sink: Any) -> None:
    with pytest.raises(ReactorError) as caught:
        await rig("publish", {"to": "http", "url": sink.url, "json": 1}, event_driven=True)
    assert caught.value.code == "blocked_address"
    assert sink.seen == []


@pytest.mark.rule("4.6")
@pytest.mark.parametrize(
    ("with_", "kind", "target"),
    [
        (
            {"to": "kafka", "topic": "t", "key": "k", "partition": 3, "acks": 1, "timestamp": "2026-03-01T10:00:00Z"},
            "kafka",
            {"topic": "t", "key": "k", "partition": 3, "acks": 1, "timestamp": "2026-03-01T10:00:00Z"},
        ),
        (
            {"to": "nats", "subject": "s", "mode": "request", "timeout": "2s"},
            "nats",
            {"subject": "s", "mode": "request", "timeout": 2.0},
        ),
        ({"to": "nats", "subject": "s"}, "nats", {"subject": "s"}),
        ({"to": "jetstream", "subject": "s", "stream": "S"}, "jetstream", {"subject": "s", "stream": "S"}),
    ],
)
async def test_brokers_get_checked_messages(with_: Any, kind: str, target: Any) -> None:
    recorder = Recorder()
    rig = Rig(LentServices(connections=recorder))
    assert await rig("publish", {**with_, "connection": "main", "json": {"a": 1}, "headers": {"h": True}}) == {
        "ok": True
    }
    (message,) = recorder.messages
    assert recorder.asked == [(kind, "main")]
    assert (message.to, dict(message.target), message.key) == (with_["to"], target, KEY)
    assert (message.body, message.content_type) == (b'{"a":1}', "application/json")
    assert dict(message.headers) == {"h": "true", "traceparent": TRACE}
    await rig("publish", {**{k: v for k, v in with_.items() if k != "mode"}, "event": {"type": "a.b"}})
    event = recorder.messages[1].event
    assert event is not None
    assert (event.id, event.type, event.data) == (KEY, "a.b", msgspec.UNSET)


def test_faults_at_load(rig: Rig) -> None:
    faults = rig.catalogue.faults
    assert faults("publish", {"to": "kafka", "json": 1}) == [("", "`topic` is missing: `to: kafka` needs it")]
    assert faults("publish", {"to": "kafka", "topic": "t"}) == [
        ("", "one of `json`, `text`, `base64` or `event` is missing")
    ]
    assert faults("publish", {"to": "nats", "subject": "s", "topic": "t", "json": 1}) == [
        ("topic", "is not read by `to: nats`; one of: headers, subject, timeout")
    ]
    assert faults("publish", {"to": "redis", "json": 1, "connection": "r"}) == [
        ("to", "publishing to redis is not carried out by this version yet")
    ]
    for subject, fault in {
        "orders.*": "must not have wildcards: a message goes to one subject; found 'orders.*'",
        "a b": "must not have blanks or control characters; found 'a b'",
        "a.": "must not have empty parts: words joined by single dots; found 'a.'",
    }.items():
        assert faults("publish", {"to": "jetstream", "subject": subject, "json": 1}) == [("subject", fault)]
    assert faults("publish", {"to": "nats", "subject": "a.${{ inputs.b }}", "json": 1}) == []
    for timestamp in (-5, "1969-12-31T23:59:59Z", "yesterday", 253402300800, "2026-03-01"):
        said = f"must be an instant from 1970 to 9999, or its seconds since 1970; found {timestamp!r}"
        given = {"to": "kafka", "topic": "t", "timestamp": timestamp, "json": 1}
        assert faults("publish", given) == [("timestamp", said)]
    for timestamp in (0, 1.5, "2026-03-01T10:00:00+01:00", "${{ now }}"):
        assert faults("publish", {"to": "kafka", "topic": "t", "timestamp": timestamp, "json": 1}) == []
    assert faults("publish", {"to": "kafak", "topic": "t", "json": 1}) == [
        ("to", 'expected one of kafka, nats, jetstream, http; found "kafak"; did you mean kafka?')
    ]
    assert faults("publish", {"to": "http", "json": 1}) == [
        ("", "one of `url` or `path` is missing: `to: http` needs it")
    ]
    assert faults("publish", {"to": "kafka", "topic": "t", "json": 1, "mode": "request"}) == [
        ("mode", "`request` is of `to: nats` alone; here binary or structured")
    ]
    assert faults("publish", {"to": "kafka", "topic": "t", "json": 1, "mode": "binary"}) == [
        ("mode", "`binary` says how an `event` is written, and there is none")
    ]
    assert faults("publish", {"to": "kafka", "topic": "t", "event": {"subject": "s"}}) == [
        ("event.type", "is required and missing")
    ]


async def test_extensions_are_checked(rig: Rig) -> None:
    with pytest.raises(ReactorError) as caught:
        await rig("publish", {"to": "http", "url": "http://x", "event": {"type": "a", "Bad_Name": 1}})
    assert (caught.value.code, str(caught.value)) == (
        "invalid_input",
        "publish: the extension `Bad_Name` is not named by lower-case letters and digits alone",
    )
