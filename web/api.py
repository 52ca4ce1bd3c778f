"""The API: every endpoint of the tables below `/api/v1`, and what stands beside it (health, metrics, a first page)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from msgspec import UNSET
from starlette.routing import BaseRoute, Route, Router

from ..core.http import Refused
from . import events, runs, workflows
from .access import check, check_json
from .endpoint import Answer, Call, Endpoint, body_of, query_of
from .health import healthz, readyz
from .tokens import Tokens
from .wire import Receive, Scope, Send, answer, encode, headers_of, read_body

if TYPE_CHECKING:
    from ..app import App

ROOT = "/api/v1"
ENDPOINTS: tuple[Endpoint, ...] = (*workflows.ENDPOINTS, *runs.ENDPOINTS, *events.ENDPOINTS)


def make_api(app: App, tokens: Tokens) -> Any:
    """The ASGI application of everything that is not on a fast path. Its errors go to the front door."""
    return Api(app, tokens)


class Api:
    """Routes a request to its path, by starlette's router."""

    def __init__(self, app: App, tokens: Tokens) -> None:
        by_path: dict[str, list[Endpoint]] = {}
        for endpoint in ENDPOINTS:
            by_path.setdefault(endpoint.path, []).append(endpoint)
        routes: list[BaseRoute] = [
            Route(ROOT + path, AtPath(app, tokens, endpoints)) for path, endpoints in by_path.items()
        ]
        self._app = app
        self._router = Router(routes, redirect_slashes=False, default=_nowhere)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope["path"]
        if path == "/healthz":
            await healthz(send)
        elif path == "/readyz":
            await readyz(self._app, send)
        else:
            await self._router(scope, receive, send)


class AtPath:
    """The endpoints of one path, by method."""

    def __init__(self, app: App, tokens: Tokens, endpoints: Sequence[Endpoint]) -> None:
        self._app = app
        self._tokens = tokens
        self._endpoints = {endpoint.method: endpoint for endpoint in endpoints}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check who asks, read, call, answer."""
        headers = headers_of(scope)
        method: Any = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = self._endpoints.get(method)
        if endpoint is None:
            allowed = ", ".join(sorted(self._endpoints))
            raise Refused(
                405,
                "method_not_allowed",
                f"{scope['path']} takes {allowed}; found {scope['method']}",
                headers={"Allow": allowed},
            )
        caller = check(self._tokens, scope, headers, endpoint.need)
        raw = b""
        if method in ("POST", "PUT"):
            check_json(headers, yaml=endpoint.text)
            raw = await read_body(receive, headers, self._app.project.server.body_bytes_max)
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query, body = query_of(endpoint, pairs), body_of(endpoint, raw)
        call = Call(self._app, caller, scope["path_params"], query, headers, body, raw, scope)
        found = await endpoint.handler(call)
        if not isinstance(found, Answer):
            found = Answer(found, endpoint.status)
        sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in found.headers.items()]
        if found.value is UNSET:
            await answer(send, found.status, headers=sent)
        else:
            await answer(send, found.status, encode(found.value), [(b"content-type", b"application/json"), *sent])


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refused(
        404,
        "not_found",
        f"there is nothing at {scope['path']}",
        hint="/api/openapi.json lists everything there is below /api",
    )
