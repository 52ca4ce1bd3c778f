"""The client's way to a store that no server has: the same endpoints, called inside this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..web import asgi
from ..web.tokens import Tokens
from .transport import NoStream, Reply

if TYPE_CHECKING:
    from ..app import App

_HOST = (b"host", b"127.0.0.1")


class InProcess:
    """Hands requests to an open App, as a program on this machine."""

    def __init__(self, app: App) -> None:
        self._asgi = asgi(app, tokens=Tokens())

    async def send(self, method: str, path: str, query: str, body: bytes, media: str) -> Reply:
        """See Transport."""
        headers = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body))]
        status, parts = 500, list[bytes]()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        await self._asgi(_scope(method, path, query, headers), receive, send)
        return Reply(status, b"".join(parts))

    async def stream(self, path: str, query: str, last: str) -> AsyncGenerator[bytes, None]:
        """See Transport. The app is open: its stream has no end but ours."""
        sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
        headers = [(b"last-event-id", last.encode())] if last else []
        scope = _scope("GET", path, query, headers)
        answering = asyncio.ensure_future(self._asgi(scope, asyncio.Event().wait, sent.put))
        try:
            start = await sent.get()
            while True:
                message = await sent.get()
                if start["status"] != 200:
                    raise NoStream(Reply(start["status"], message["body"]))
                yield message["body"]
        finally:
            answering.cancel()
            await asyncio.wait((answering,))


def _scope(method: str, path: str, query: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [_HOST, *headers],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
