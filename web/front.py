"""The front door: events and webhooks on the bare ASGI interface, everything else to the API.

The fast paths make no request object and import nothing more; the API (and starlette) is imported when it is first
asked for. Source: dependencies, section 10: bare ASGI carries half as many requests again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from ..core.http import Refused
from .behind import Lent
from .events_in import EventsIn
from .hooks import Hooks
from .tokens import Tokens
from .wire import Gone, Receive, Scope, Send, answer_problem, path_of

if TYPE_CHECKING:
    from ..app import App

log = logging.getLogger("reactor.web")
_STOPS = Refused(
    503,
    "connection",
    "the server stops; what was taken before is durable, and goes on",
    hint="ask again later",
    headers={"Retry-After": "5"},
)


class Front:
    """The ASGI application over one open App."""

    def __init__(self, app: App, tokens: Tokens, *, base_path: str = "") -> None:
        self.app = app
        self.tokens = tokens
        self._base = base_path.rstrip("/")
        self._events = EventsIn(app, tokens)
        self._hooks = Hooks(app)
        self._api: Any = None
        self._closing = False
        app.routes.behind = Lent(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the server."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        path = path_of(scope, self._base)
        try:
            if path is None:
                raise Refused(404, "not_found", f"there is nothing at {scope['path']}: the base path is {self._base}")
            if path == "/events":
                await self._events(scope, receive, send)
            elif path.startswith("/hooks/"):
                await self._hooks(scope, receive, send, path[6:])
            else:
                await self._rest(scope, receive, send, path)
        except asyncio.CancelledError:
            if not self._closing:
                raise
            with contextlib.suppress(RuntimeError):  # the answer had begun
                await answer_problem(send, _STOPS)
        except Gone:
            log.debug("a client went away before its request was complete")
        except Exception as e:  # noqa: BLE001  # every error has an answer; what nobody expected is logged there
            await answer_problem(send, e)

    async def _rest(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        if self._api is None:
            from .api import Api

            mounted: str = scope.get("root_path", "")
            self._api = Api(self.app, self.tokens, mounted.rstrip("/") + self._base)
        await self._api({**scope, "path": path, "root_path": ""}, receive, send)

    def close(self) -> None:
        """End the answers that would go on; what is cut from now on is told that the server stops."""
        self._closing = True
        if self._api is not None:
            self._api.stream.close()

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await receive()
        await send({"type": "websocket.close", "code": 1000})


def front(app: App, tokens: Tokens | None, base_path: str) -> Front:
    """The front door of an app, with its project's own tokens if none are given. Raises ConfigError."""
    return Front(app, tokens if tokens is not None else Tokens.of(app.project.root), base_path=base_path)
