"""The suite that `reactor plugin check sse` runs too, and what is special about streams."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from reactor_sse.source import SseTrigger
from reactor_sse.stream import Message, Parser
from reactor_sse.suite import SseServer, TestSse

from reactor.language.definition import TriggerSpec
from reactor.triggers.contract import ConfigError, EndOfEvents, NotConnected, TriggerContext, Undecodable

__all__ = ["TestSse"]


@pytest.fixture
async def server() -> AsyncIterator[SseServer]:
    async with SseServer() as server:
        yield server


def make(server: SseServer, marks: dict[str, bytes] | None = None, **keys: object) -> SseTrigger:
    config = SseTrigger.Config.model_validate({"url": server.url, **keys})
    context = TriggerContext(name="stream", spec=TriggerSpec("stream", "sse", {}), marks=marks or {})
    return SseTrigger(config, context)


def parsed(*pieces: bytes, bytes_max: int = 1000) -> list[Message]:
    parser = Parser(bytes_max)
    return [message for piece in pieces for message in parser.feed(piece)]


STREAM = b": hello\n\nid: 1\nevent: price\ndata: {\ndata:  1}\n\ndata\n\nid: 2\ndata:a:b\nother: x\n\ndata: unfinished"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_format(end: bytes, size: int) -> None:
    body = b"\xef\xbb\xbf" + STREAM.replace(b"\n", end)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert parsed(*pieces) == [
        Message("price", "{\n 1}", "1"),
        Message("message", "", None),
        Message("message", "a:b", "2"),
    ]


def test_a_message_that_is_too_large_is_cut_and_the_next_is_whole() -> None:
    found = parsed(b"id: 1\ndata: " + b"x" * 30, b"x" * 30 + b"\n\nid: 2\ndata: y\n\n", bytes_max=20)
    assert [(message.id, message.whole) for message in found] == [("1", False), ("2", True)]


async def test_events_carry_name_id_and_json(server: SseServer) -> None:
    trigger = make(server, type="shop")
    await trigger.connect()
    await server.send('{"price": 7}', event="price")
    (event,) = (await trigger.read()).events
    assert not isinstance(event, Undecodable)
    assert (event.type, event.source, event.id, event.data) == ("shop.price", server.url, "1", {"price": 7})
    await trigger.close()


async def test_goes_on_after_the_stored_id(server: SseServer) -> None:
    for number in range(3):
        await server.send(str(number))
    trigger = make(server, {"last-event-id": b"2"})
    await trigger.connect()
    (event,) = (await trigger.read()).events
    assert (server.asked, event.id) == (["2"], "3")
    await trigger.close()


async def test_what_is_no_json_is_a_dead_letter(server: SseServer) -> None:
    trigger = make(server)
    await trigger.connect()
    await server.send("{")
    (event,) = (await trigger.read()).events
    assert isinstance(event, Undecodable)
    assert event.reason.code == "invalid_data"
    assert event.raw == b"{"
    await trigger.close()


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (web.Response(status=204), EndOfEvents, "has no more events"),
        (web.Response(status=401), ConfigError, "refuses with 401 Unauthorized"),
        (web.Response(status=404), ConfigError, "answers with 404 Not Found"),
        (web.Response(status=503, headers={"Retry-After": "7"}), NotConnected, "answers with 503 Service Unavailable"),
        (web.Response(text="<html>"), ConfigError, "answers with text/plain, not text/event-stream"),
    ],
)
async def test_what_the_server_may_answer(
    server: SseServer, answer: web.Response, error: type[Exception], message: str
) -> None:
    server.answer = answer
    trigger = make(server)
    with pytest.raises(error) as caught:
        await trigger.connect()
    assert str(caught.value) == f"sse: {server.url} {message}"
    assert getattr(caught.value, "retry_after_s", None) == (7.0 if answer.status == 503 else None)
    await trigger.close()


async def test_a_server_that_is_away(server: SseServer) -> None:
    trigger = make(server, url="http://127.0.0.1:1/events")
    with pytest.raises(NotConnected) as caught:
        await trigger.connect()
    assert str(caught.value).startswith("sse: http://127.0.0.1:1/events does not answer: ")
    await trigger.close()


async def test_silence_is_a_lost_connection(server: SseServer) -> None:
    trigger = make(server, silence="1s")
    await trigger.connect()
    async with asyncio.timeout(10):
        with pytest.raises(NotConnected) as caught:
            await trigger.read()
    assert str(caught.value).startswith(f"sse: {server.url} was lost: ")
    assert caught.value.retry_after_s == 0.01
    await trigger.close()
