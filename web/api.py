"""The API: every endpoint of the tables below `/api/v1`, and what stands beside it (health, metrics, a first page)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from msgspec import UNSET
from starlette.routing import BaseRoute, Route, Router

from ..core.http import Refused
from . import connections, events, metrics, page, runs, triggers, workflows
from .access import check, check_json
from .endpoint import Answer, Call, Endpoint, body_of, query_of
from .health import healthz, readyz
from .stream import Stream
from .tokens import Tokens
from .unavailable import UNAVAILABLE
from .wire import Receive, Scope, Send, answer, encode, headers_of, read_body

if TYPE_CHECKING:
    from ..app import App

ROOT = "/api/v1"
_BESIDE = ("/", "/healthz", "/readyz", "/metrics", "/api/openapi.json", f"{ROOT}/stream")
_PAGE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
ENDPOINTS: tuple[Endpoint, ...] = (
    *workflows.ENDPOINTS,
    *runs.ENDPOINTS,
    *events.ENDPOINTS,
    *triggers.ENDPOINTS,
    *connections.ENDPOINTS,
)


class Api:
    """Everything that is not on a fast path; errors go to the front door. Paths are found by starlette's router."""

    def __init__(self, app: App, tokens: Tokens, base: str) -> None:
        by_path: dict[str, list[Endpoint]] = {}
        for endpoint in (*ENDPOINTS, *UNAVAILABLE):
            by_path.setdefault(endpoint.path, []).append(endpoint)
        routes: list[BaseRoute] = [
            Route(ROOT + path, AtPath(app, tokens, endpoints, base)) for path, endpoints in by_path.items()
        ]
        self._app = app
        self._tokens = tokens
        self._base = base
        self._router = Router(routes, redirect_slashes=False, default=_nowhere)
        self.stream = Stream(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope["path"]
        if path not in _BESIDE:
            await self._router(scope, receive, send)
            return
        if scope["method"] not in (("GET",) if path == f"{ROOT}/stream" else ("GET", "HEAD")):
            raise Refused(
                405,
                "method_not_allowed",
                f"{path} takes GET; found {scope['method']}",
                headers={"Allow": "GET"},
            )
        if path == "/healthz":
            await healthz(scope, send)
        elif path == "/readyz":
            await readyz(self._app, scope, send)
        else:
            headers = headers_of(scope)
            check(self._tokens, scope, headers, "read")
            await self._beside(path, scope, receive, send, headers)

    async def _beside(self, path: str, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        if path == f"{ROOT}/stream":
            await self.stream(scope, receive, send, headers)
        elif path == "/metrics":
            await answer(send, 200, metrics.page(self._app), [(b"content-type", metrics.CONTENT_TYPE.encode())])
        elif path == "/":
            body = page.page(self._app, self._base)
            await answer(send, 200, body, [(b"content-type", b"text/html; charset=utf-8"), *_PAGE_HEADERS])
        else:
            from .openapi import document

            await answer(send, 200, encode(document(ENDPOINTS, self._base or "/")))


class AtPath:
    """The endpoints of one path, by method."""

    def __init__(self, app: App, tokens: Tokens, endpoints: Sequence[Endpoint], base: str) -> None:
        self._app = app
        self._base = base
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
        call = Call(self._app, caller, scope["path_params"], query, headers, body, raw, scope, self._base)
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
