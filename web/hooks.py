"""`* /hooks/<path>`: the front door of http triggers. Who may is their own `auth`; unwritten, it is loopback alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ..core.errors import ReactorError
from ..core.http import SLASH, HttpRequest, HttpResponse, Refused, Route
from .access import check_local
from .events_in import handshake
from .problems import problem_of
from .wire import Receive, Scope, Send, answer, headers_of, read_body, slashes_kept

if TYPE_CHECKING:
    from ..app import App

log = logging.getLogger("reactor.web")
_PAIRS_MAX = 1_000


class Hooks:
    """Finds the route of a request, reads it whole, and lets its trigger answer."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._routes = app.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        """One request; `path` is what follows `/hooks`. Raises Refused for what has no route."""
        method = scope["method"]
        headers = headers_of(scope)
        raw: bytes = scope.get("raw_path") or b""
        if b"%2F" in raw or b"%2f" in raw:
            path = slashes_kept(raw, len(scope["path"]) - len(path))
        found = self._routes.find(method, path)
        if found is None or found[0].held:
            found = await self._routes.settled(method, path)
        if found is None:
            if method == "OPTIONS" and self._routes.methods(path):
                await self._asked(send, headers, path)
                return
            raise self._missing(method, path)
        route, params = found
        origins = _admitted(route, scope, headers)
        more = _cors(headers, origins)
        try:
            peer = scope.get("client")
            body = await read_body(receive, headers, route.bytes_max)
            now = await self._routes.settled(method, path)
            if now is not None and now[0] is not route:  # it was replaced while the body came
                route, params = now
                origins = _admitted(route, scope, headers)
            asked = path.replace(SLASH, "%2F")
            request = HttpRequest(method, asked, headers, _query(scope), body, peer[0] if peer else "", params)
            response = await route.handler(request)
        except ReactorError as e:  # refusals too are for the page that asks
            problem = problem_of(e)
            response = HttpResponse(
                problem.status, problem.body, {"Content-Type": "application/problem+json", **problem.headers}
            )
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
        await answer(send, response.status, response.body, [*sent, *more])

    async def _asked(self, send: Send, headers: dict[str, str], path: str) -> None:
        """What a page's preflight and a CloudEvents sender's handshake want to know."""
        methods = self._routes.methods(path)
        answers = handshake(headers, ", ".join(("OPTIONS", *methods)))
        wanted = headers.get("access-control-request-method", "")
        found = self._routes.find(wanted, path) if wanted else None
        if found is not None:
            allowed = _cors(headers, found[0].facts.get("origins", ()))
            if len(allowed) > 1:
                names = headers.get("access-control-request-headers", "")
                allowed += [(b"access-control-allow-methods", wanted.encode("latin-1"))]
                allowed += [(b"access-control-allow-headers", names.encode("latin-1"))] if names else []
                allowed += [(b"access-control-max-age", b"600")]
            answers += allowed
        await answer(send, 200, headers=answers)

    def _missing(self, method: str, path: str) -> Refused:
        methods, shown = self._routes.methods(path), path.replace(SLASH, "%2F")
        if methods:
            listed = ", ".join(methods)
            return Refused(
                405, "method_not_allowed", f"/hooks{shown} takes {listed}; found {method}", headers={"Allow": listed}
            )
        from ..triggers.http_config import serves  # its models are for http triggers alone

        for reader in self._app.supervisor.readers.values():
            if reader.spec.kind == "http" and serves(reader.spec.config, method, path):
                return Refused(
                    503,
                    "resource_limit",
                    f"the trigger {reader.spec.name}, which serves /hooks{shown}, is {reader.state}",
                    hint="repeat the request later",
                    headers={"Retry-After": "5"},
                )
        return Refused(
            404,
            "not_found",
            f"no http trigger serves /hooks{shown}",
            hint="`reactor trigger list` shows those that are connected",
        )


def _admitted(route: Route, scope: Scope, headers: dict[str, str]) -> tuple[str, ...]:
    """The origins whose pages a route takes requests of. Raises Refused: it is for this machine alone."""
    origins: tuple[str, ...] = route.facts.get("origins", ())
    if not route.facts.get("auth"):
        check_local(scope, headers, origins)
    return origins


def _query(scope: Scope) -> tuple[tuple[str, str], ...]:
    text = scope.get("query_string", b"")
    if not text:
        return ()
    try:
        return tuple(
            parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=_PAIRS_MAX, errors="strict")
        )
    except ValueError as e:
        raise Refused(400, "invalid_request", f"the query cannot be read: {e}") from None


def _cors(headers: dict[str, str], origins: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    origin = headers.get("origin")
    if not origins or origin is None:
        return []
    found = [(b"vary", b"Origin")]
    if origin in origins or "*" in origins:
        found.append((b"access-control-allow-origin", origin.encode("latin-1")))
    return found
