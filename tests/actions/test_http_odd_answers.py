"""`http` and servers that answer wrongly, by halves or never: what is told, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from reactor.core.errors import ReactorError
from reactor.engine.actions import http
from reactor.testing.action_suite import LentServices
from reactor.tests.actions.rig import Rig, failed

ANSWERS = {
    "/waits": b"HTTP/1.1 503 X\r\nContent-Length: 10\r\n\r\n",
    "/torn": b"HTTP/1.1 404 X\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\nhello",
    "/half": b"HTTP/1.1 500 X\r\nContent-Length: 50\r\n\r\nhello",
    "/mangled": b"HTTP/1.1 200 X\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\nhello",
    "/cut": b"HTTP/1.1 200 X\r\nContent-Length: 50\r\n\r\nhello",
    "/ssh": b"SSH-2.0-OpenSSH\r\n\r\n",
    "/denied": b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n",
    "/ok": b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok",
}


class Raw:
    """Answers each path with the bytes that are written here, and hangs up unless they `wait`."""

    def __init__(self) -> None:
        self.heads: list[list[str]] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            self.heads.append(head)
            path = head[0].split(" ")[1]
            if path == "/away":
                location = f"http://localhost:{self.port}/ok"
                writer.write(f"HTTP/1.1 307 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
            else:
                writer.write(ANSWERS[path])
            await writer.drain()
            if path == "/waits":
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    raw = Raw()
    server = await asyncio.start_server(raw.answer, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    yield raw
    server.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig(LentServices())
    yield rig
    await rig.catalogue.close()


def told(error: ReactorError, raw: Raw) -> tuple[str, str]:
    return error.code, str(error).replace(f"127.0.0.1:{raw.port}", "HOST")


@pytest.mark.parametrize(
    ("path", "code"), [("waits", "http.503"), ("torn", "http.404"), ("half", "http.500"), ("denied", "unauthorized")]
)
async def test_a_refusal_is_told_whatever_becomes_of_its_body(
    rig: Rig, raw: Raw, path: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "DETAIL_S_MAX", 0.2)
    error = await failed("http", rig, {"url": f"http://127.0.0.1:{raw.port}/{path}"}, timeout_s=20.0)
    status = ANSWERS[f"/{path}"].split(b" ")[1].decode()
    assert told(error, raw) == (code, f"GET http://HOST/{path} answered {status}")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("mangled", "the connection broke: Can not decode content-encoding: gzip"),
        ("cut", "the connection broke: Response payload is not completed"),
        ("ssh", "Bad status line: Expected HTTP/, RTSP/ or ICE/: b'SSH-2.0-OpenSSH' ^"),
    ],
)
async def test_an_answer_that_is_none_is_told_without_a_status(rig: Rig, raw: Raw, path: str, why: str) -> None:
    """The library's own number for what it cannot read, 400, looks like one that the server sent."""
    error = await failed("http", rig, {"url": f"http://127.0.0.1:{raw.port}/{path}"})
    assert told(error, raw) == ("connection", f"GET http://HOST/{path}: {why}")


@pytest.mark.parametrize("path", ["denied", "cut", "half"])
async def test_a_password_in_an_address_is_told_nobody(rig: Rig, raw: Raw, path: str) -> None:
    for action, with_ in (("http", {}), ("publish", {"to": "http", "json": 1})):
        url = f"http://bob:hunter2@127.0.0.1:{raw.port}/{path}?token=s3"
        if action == "publish" and path == "cut":
            continue  # it reads no body
        error = await failed(action, rig, {"url": url, **with_})
        assert "hunter2" not in str(error.info()), error.info()
        assert "s3" not in str(error.info()), error.info()
    assert any(line.startswith("Authorization: Basic ") for line in raw.heads[0])


async def test_headers_that_are_credentials_by_their_name_stay_with_the_host(rig: Rig, raw: Raw) -> None:
    secret = ("X-Auth-Token", "X-Api-Key", "apikey", "X-Session-Id", "X-Hub-Signature-256", "Client-Secret", "Cookie")
    plain = ("X-Mine", "Accept-Language")
    headers = dict.fromkeys((*secret, *plain), "1")
    await rig("http", {"url": f"http://127.0.0.1:{raw.port}/away", "method": "POST", "headers": headers})
    names = [{line.partition(":")[0] for line in head} for head in raw.heads]
    assert [name for name in headers if name in names[0]] == [*secret, *plain]
    assert [name for name in headers if name in names[1]] == [*plain]
    assert "Idempotency-Key" in names[1]
