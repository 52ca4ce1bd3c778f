"""Requests and answers as plain data, and the table of handlers between http triggers and the web server."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import Struct

from .errors import ConfigError, ReactorError
from .event import Event, Outcome


def is_loopback(host: str) -> bool:
    """Does this host name or address mean this machine?"""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost")


class HttpRequest(Struct, frozen=True):
    """A request, its body read whole. Header names are lower case; `query` keeps order and repetitions."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: bytes
    remote: str
    params: Mapping[str, str]


class HttpResponse(Struct, frozen=True):
    """An answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Refused(ReactorError):
    """A request that is refused for what it is: a status, a code, words, and headers of the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, details=details)
        self.status = status
        self.headers = dict(headers or {})


class Behind(Protocol):
    """What stands behind the handlers: events and runs, lent by the web server."""

    async def outcome(self, run: str) -> Outcome:
        """How a run ended, once it has."""
        ...

    async def run(self, run: str) -> Mapping[str, Any]:
        """A run as the API shows it."""
        ...

    async def event(self, key: str) -> Event:
        """An event by its key."""
        ...


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]

HOLD_S_MAX = 15.0
"""How long a request waits for a path that changes hands: far longer than the old handler has time to end."""

SLASH = "\udc2f"
"""Stands in a path for a slash inside a segment (`%2F`): no decoded text holds a lone surrogate."""

_SEGMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(slots=True)
class Route:
    """One registered path: its owner, its methods, its largest body in bytes."""

    owner: str
    path: str
    method: str
    handler: Handler
    bytes_max: int
    match: Callable[[str], re.Match[str] | None]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    held: bool = False


class Routes:
    """The paths under `/hooks`, by method. `{name}` takes one segment; equal shapes with one method are refused."""

    def __init__(self) -> None:
        self.exposed = False  # is the server reached from other machines?
        self.behind: Behind | None = None
        self.changes: asyncio.Future[None] | None = None
        self._routes: dict[tuple[str, str], Route] = {}
        self._plain: dict[tuple[str, str], Route] = {}

    def add(
        self,
        owner: str,
        method: str,
        path: str,
        handler: Handler,
        *,
        bytes_max: int,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Serve a path. Raises ConfigError if another owner has the same method and shape of path."""
        shape = _SEGMENT.sub("{}", path)
        found = self._routes.get((method, shape))
        if found is not None and found.owner != owner:
            raise ConfigError(
                f"{method} /hooks{path} is served by the trigger `{found.owner}` already",
                hint="give one of the two another path or method",
            )
        pattern = "".join(
            f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(_SEGMENT.split(path))
        )
        route = Route(owner, path, method, handler, bytes_max, re.compile(pattern).fullmatch, facts or {})
        self._routes[method, shape] = route
        if "{" not in path:
            self._plain[method, path] = route

    def hold(self, owner: str) -> bool:
        """Its paths may get another handler: whoever asks for them, or for none that is there, waits at the door until
        `go_on`. Had it any?
        """
        owned = [route for route in self._routes.values() if route.owner == owner]
        for route in owned:
            route.held = True
        if owned and self.changes is None:
            self.changes = asyncio.get_running_loop().create_future()
        return bool(owned)

    def go_on(self) -> None:
        """Who waits at the door finds what there is by now."""
        changes, self.changes = self.changes, None
        if changes is not None:
            changes.set_result(None)

    async def settled(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """As `find`, once no path is about to change hands; or after HOLD_S_MAX."""
        found = self.find(method, path)
        if self.changes is not None and (found is None or found[0].held):
            await asyncio.wait((self.changes,), timeout=HOLD_S_MAX)
            found = self.find(method, path)
        return found

    def remove(self, handler: Handler) -> None:
        """Serve nothing by this handler any more."""
        for table in (self._routes, self._plain):
            for key in [k for k, route in table.items() if route.handler == handler]:
                del table[key]

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route that takes a path, with its parameters; plain paths before those with parameters."""
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain, {}
        for (its_method, _), route in self._routes.items():
            if its_method == method:
                hit = route.match(path)
                if hit is not None:
                    return route, {name: value.replace(SLASH, "/") for name, value in hit.groupdict().items()}
        return None

    def methods(self, path: str) -> list[str]:
        """The methods that a path is served for: what 405 lists."""
        return sorted({m for (m, _), route in self._routes.items() if route.match(path) is not None})

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())
