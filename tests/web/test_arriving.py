"""Requests that come slowly, in parts, or never: over real sockets."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from reactor.tests.web.site import Site
from reactor.web import arriving

HEAD = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\n"
EVENT = json.dumps({"specversion": "1.0", "type": "t", "id": "1", "source": "/t"}).encode()
LIMIT_S = 0.3
SLOW = {
    "type": "/errors/timeout",
    "title": "Timeout",
    "status": 408,
    "detail": "the request did not arrive within 0.3 s",
    "code": "timeout",
    "message": "the request did not arrive within 0.3 s",
    "class": "retry",
    "step": None,
    "attempt": None,
    "cause": None,
    "place": None,
    "hint": "send it whole, or at 32KiB a second at least",
    "details": {},
}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "REQUEST_S_MAX", LIMIT_S)


class Line:
    """A connection, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await asyncio.wait_for(self.reader.readexactly(int(headers["content-length"])), 10)
        return int(head[0].split(" ")[1]), headers, body

    async def rest(self) -> bytes:
        """What comes until the server closes the connection."""
        return await asyncio.wait_for(self.reader.read(), 10)

    async def drip(self, byte: Callable[[], bytes]) -> None:
        """Send a byte at a time, until the other side has enough."""
        with contextlib.suppress(ConnectionError):
            while not self.reader.at_eof():
                await self.send(byte())
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def line(site: Site) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.web.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


def problem(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str, Any]:
    status, headers, body = answer
    assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
    return status, headers["connection"], json.loads(body)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HEAD + b"Content-Length: 100\r\n\r\n", id="no body"),
        pytest.param(HEAD + b"Content-Length: 100\r\n\r\n{", id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", id="chunks without an end"),
        pytest.param(b"POST /hooks/x HTTP/1.1\r\nHost: localhost\r\n", id="half a head"),
        pytest.param(b"P", id="one byte"),
        pytest.param(b"PUT /api/v1/workflows/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 5\r\n\r\n", id="the api"),
    ],
)  # fmt: skip
async def test_what_does_not_arrive_is_408_and_the_end(sent: bytes, site: Site) -> None:
    async with line(site) as one:
        await one.send(sent)
        assert problem(await one.answer()) == (408, "close", SLOW)
        assert await one.rest() == b""
    assert (await site.get("/api/v1/events"))["items"] == []


@pytest.mark.parametrize(
    ("head", "byte"), [(HEAD, b"X-A: b\r\n"), (HEAD + b"Content-Length: 100000\r\n\r\n", b" ")], ids=["head", "body"]
)
async def test_whoever_drips_has_no_more_time_than_whoever_stops(head: bytes, byte: bytes, site: Site) -> None:
    async with line(site) as one:
        begun = asyncio.get_running_loop().time()
        await one.send(head)
        dripping = asyncio.ensure_future(one.drip(lambda: byte))
        assert problem(await one.answer())[0] == 408
        assert asyncio.get_running_loop().time() - begun < LIMIT_S + 5
        dripping.cancel()


async def test_many_slow_clients_hold_nobody_up_and_are_all_cut(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        slow: list[Line] = []
        for _ in range(200):
            slow.append(await stack.enter_async_context(line(site)))
            await slow[-1].send(HEAD + b"Content-Length: 100\r\n\r\n{")
        reply = await site.call("POST", "/events", data=EVENT, headers={"content-type": "application/cloudevents+json"})
        assert reply.status == 202
        assert {(await one.answer())[0] for one in slow} == {408}


async def test_who_sent_while_the_server_was_busy_is_heard(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.web.port)) as client:
        await asyncio.sleep(LIMIT_S / 3)  # it is accepted, and its time runs
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT)
        time.sleep(2 * LIMIT_S)  # the loop does nothing meanwhile
        answer = await asyncio.to_thread(client.recv, 100)
    assert answer.startswith(b"HTTP/1.1 202 ")


async def test_who_sends_steadily_may_take_longer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "REQUEST_BYTES_PER_S_MIN", 10)
    async with line(site) as one:
        await one.send(HEAD + b"Content-Length: %d\r\n\r\n" % (len(EVENT) + 60))
        loop = asyncio.get_running_loop()
        until = loop.time() + 2 * LIMIT_S
        sent = 0
        while loop.time() < until:
            await one.send(b" ")
            sent += 1
            await asyncio.sleep(LIMIT_S / 20)
        await one.send(b" " * (60 - sent) + EVENT)
        assert (await one.answer())[0] == 202


async def test_a_connection_that_says_nothing_is_closed_without_a_word(site: Site) -> None:
    async with line(site) as one:
        assert await one.rest() == b""
    async with line(site) as one:  # and one that says nothing more, but line ends
        await one.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await one.answer())[0] == 200
        await one.send(b"\r\n")
        assert await one.rest() == b""


async def test_the_second_request_of_a_connection_has_the_same_limit(site: Site) -> None:
    async with line(site) as one:
        await one.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT)
        assert (await one.answer())[0] == 202
        await one.send(HEAD + b"Content-Length: 100\r\n\r\n{")
        assert problem(await one.answer())[0] == 408


async def test_a_long_answer_is_not_cut_nor_the_request_behind_it(site: Site) -> None:
    text = (
        "workflow: slow\nwhen: [{http: {path: /slow, respond: result}}]\n"
        "steps: [{wait: {for: 1s}}, {name: b, transform: 7}]\n"
    )
    await site.put_flow("slow", text=text)
    await site.until(lambda: site.app.routes.find("POST", "/slow"))
    ask = b"POST /hooks/slow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    async with line(site) as one:
        await one.send(ask + b"{}" + ask[:40])
        assert (await one.answer())[0] == 200
        await one.send(ask[40:] + b"{}")
        assert (await one.answer())[0] == 200


async def test_an_early_answer_is_the_only_one(site: Site) -> None:
    async with line(site) as one:
        await one.send(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert (await one.answer())[0] == 404
        assert await one.rest() == b""


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (HEAD, b"X-Long: " + b"x" * 8_000 + b"\r\n"),
        (HEAD + b"X-One: ", b"x" * 8_000),
        (b"GET /", b"x" * 8_000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: " + b"x" * 8_000 + b"\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 8_000),
    ],
    ids=["headers", "one header", "the address", "trailers", "a chunk's words"],
)
async def test_a_head_without_an_end_is_bounded(
    head: bytes, more: bytes, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "REQUEST_S_MAX", 30.0)
    async with line(site) as one:
        await one.send(head)
        for _ in range(9):  # 72 000 bytes: what followed could cost us the answer
            await one.send(more)
            await asyncio.sleep(0)
        answered = problem(await one.answer())
        assert (answered[0], answered[2]["detail"]) == (431, "the request's head has more than 64KiB")


async def test_what_is_no_http_gets_a_problem_too(site: Site) -> None:
    async with line(site) as one:
        await one.send(b"hello\r\n\r\n")
        answered = problem(await one.answer())
        assert (answered[0], answered[2]["detail"]) == (400, "what was sent is no HTTP request")


async def test_small_chunks_are_no_endless_head(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "REQUEST_S_MAX", 30.0)
    async with line(site) as one:
        await one.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            await one.send(b"1\r\n \r\n" * 1_000)
        await one.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT), EVENT))
        assert (await one.answer())[0] == 202


async def answered_in_turn(site: Site, behind: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """What follows the answers to two events that `behind` came right after; the first is held till all is here."""
    publish, go = site.app.events_api.publish, asyncio.Event()

    async def held(events: Any, **more: Any) -> Any:
        await go.wait()
        return await publish(events, **more)

    monkeypatch.setattr(site.app.events_api, "publish", held)
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT
    async with line(site) as one:
        await one.send(whole + whole + behind)
        await site.until(lambda: any(c._refused for c in site.web._server.server_state.connections))
        go.set()
        assert [(await one.answer())[0] for _ in range(2)] == [202, 202]
        last = problem(await one.answer())
        assert await one.rest() == b""
    return last[0], last[2]["detail"]


@pytest.mark.parametrize(
    ("behind", "status", "detail"),
    [
        (b"hello\r\n\r\n", 400, "what was sent is no HTTP request"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "what was sent is no HTTP request"),
        (HEAD + b"X-A: " + b"x" * 70_000, 431, "the request's head has more than 64KiB"),
    ],
    ids=["no request", "a broken body", "a head without an end"],
)
async def test_what_is_refused_behind_requests_is_told_after_their_answers(
    behind: bytes,
    status: int,
    detail: str,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(arriving, "REQUEST_S_MAX", 30.0)
    assert await answered_in_turn(site, behind, monkeypatch) == (status, detail)
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.parametrize("requests", [1, 3])
async def test_a_client_that_sends_nothing_more_is_answered(site: Site, requests: int) -> None:
    """Some shut their side down once the request is out, and read then; the connection ends with the last answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.web.port)
    line = Line(reader, writer)
    await line.send((HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT) * requests)
    writer.write_eof()
    assert [(await line.answer())[0] for _ in range(requests)] == [202] * requests
    assert await line.rest() == b""
    writer.close()


async def test_a_stream_ends_with_its_client(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.web.port)
    line = Line(reader, writer)
    await line.send(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"retry: 1000"), 10)
    writer.write_eof()
    await line.rest()
    writer.close()
