"""The client's way to a store that no server has: the same endpoints, called inside this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..web import asgi
from ..web.tokens import Tokens
from .client import Reply

if TYPE_CHECKING:
    from ..app import App

_HOST = (b"host", b"127.0.0.1")


class InProcess:
    """Hands requests to an open App, as a program on this machine."""

    def __init__(self, app: App) -> None:
        self._asgi = asgi(app, tokens=Tokens())

    async def send(self, method: str, path: str, query: str, body: bytes, media: str) -> Reply:
        """See Transport."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [_HOST, (b"content-type", media.encode()), (b"content-length", b"%d" % len(body))],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
        }
        status, parts = 500, list[bytes]()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        await self._asgi(scope, receive, send)
        return Reply(status, b"".join(parts))
