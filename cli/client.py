"""One client for all verbs: the HTTP API, over a socket to a server, or inside this process over the store itself.

Both ways lead through the same endpoints, so that a verb is written once and answers the same.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from ..core import logs
from ..core.clock import SYSTEM
from ..core.errors import ConfigError, StoreUnavailable
from ..language.values import is_list, is_mapping
from .failures import Answered, Unreachable
from .live import Told, told
from .parsing import Given
from .place import Place, find, token
from .transport import NoStream, Reply, Transport

if TYPE_CHECKING:
    from ..app import App

API = "/api/v1"
HELD_S_MAX = 3.0  # a store that another short command has is waited for this long
_AGAIN_S = 0.05


class Client:
    """The API, as verbs use it. `where`: the server's URL, empty for the store itself, whose `app` there is then."""

    def __init__(self, transport: Transport, where: str = "", app: App | None = None) -> None:
        self._transport = transport
        self.where = where
        self.app = app

    def unserved(self) -> str:
        """Why the store itself was opened: a file says which server has it, a database may have one elsewhere."""
        file = self.app is None or self.app.project.store_url.startswith("sqlite")
        return "no server has this store" if file else "no server of this folder runs, and none is named with --server"

    async def get(self, *path: str, **query: Any) -> Any:
        """Look. Empty values of the query are left out. Raises Answered, Unreachable."""
        return await self._call("GET", path, query)

    async def post(self, *path: str, body: Any = None, **query: Any) -> Any:
        """Change something. Raises Answered, Unreachable."""
        return await self._call("POST", path, query, msgspec.json.encode(body if body is not None else {}))

    async def put(self, *path: str, text: bytes, **query: Any) -> Any:
        """Put a text in its place. Raises Answered, Unreachable."""
        return await self._call("PUT", path, query, text, "application/yaml")

    async def delete(self, *path: str) -> None:
        """Take something away. Raises Answered, Unreachable."""
        await self._call("DELETE", path, {})

    async def emit(self, event: dict[str, Any]) -> dict[str, Any]:
        """Hand in an event of the JSON format; durable when answered. Raises Answered, Unreachable."""
        body = msgspec.json.encode(event)
        return self._read(await self._transport.send("POST", "/events", "", body, "application/cloudevents+json"))

    async def stream(self, **query: str) -> AsyncGenerator[Told, None]:
        """What happens from now on, of a `workflow`, `run` or `type`. Raises Answered, Unreachable."""
        pairs = urlencode([(name, value) for name, value in query.items() if value])
        try:
            async with aclosing(told(lambda last: self._transport.stream(f"{API}/stream", pairs, last))) as all_:
                async for each in all_:
                    yield each
        except NoStream as error:
            self._read(error.reply)

    async def _call(
        self,
        method: str,
        path: tuple[str, ...],
        query: dict[str, Any],
        body: bytes = b"",
        media: str = "application/json",
    ) -> Any:
        pairs = [
            (name.rstrip("_"), _text(value)) for name, value in query.items() if value not in (None, "", [], False)
        ]
        where = API + "".join("/" + quote(part, safe="") for part in path)
        return self._read(await self._transport.send(method, where, urlencode(pairs), body, media))

    def _read(self, reply: Reply) -> Any:
        try:
            value = msgspec.json.decode(reply.body) if reply.body else None
        except msgspec.DecodeError:
            raise Unreachable(
                f"what answers at {self.where} is no Reactor (status {reply.status})", hint="check the address"
            ) from None
        if reply.status >= 400:
            raise Answered({"status": reply.status, **(value if is_mapping(value) else {})}, self.where)
        return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true"
    return ",".join(value) if is_list(value) else str(value)


Handler = Callable[[Given, Client], Awaitable[int | None]]


def speak(handler: Handler, given: Given) -> int:
    """Carry out a verb that needs a client; its exit code."""
    return asyncio.run(_speak(handler, given))


async def _speak(handler: Handler, given: Given) -> int:
    async with connect(given) as client:
        return await handler(given, client) or 0


@asynccontextmanager
async def connect(given: Given) -> AsyncGenerator[Client]:
    """The client for a command: a server that was named, the one that has the store, or the store itself.

    Raises Unreachable, ConfigError.
    """
    named = given.text("server") or os.environ.get("REACTOR_URL", "")
    if named:
        async with _served(named.rstrip("/")) as client:
            yield client
        return
    place = find(given.project, os.environ)
    server = place.server()
    if server:
        async with _served(server + place.base_path.rstrip("/")) as client:
            if await _answers(client):
                yield client
                return
    async with _opened(place, given) as client:
        yield client


@asynccontextmanager
async def _served(url: str) -> AsyncGenerator[Client]:
    from .over_http import OverHttp

    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"`{url}` is no address of a server", hint="write http://127.0.0.1:8484")
    async with OverHttp(url, token(os.environ)) as transport:
        yield Client(transport, url)


async def _answers(client: Client) -> bool:
    """Does a server answer there? One that starts, or has just ended, does not; then the store says who has it."""
    try:
        await client.get("workflows", limit=1)
    except Unreachable:
        return False
    except Answered:
        return True
    return True


@asynccontextmanager
async def _opened(place: Place, given: Given) -> AsyncGenerator[Client]:
    from .in_process import InProcess

    app = place.app(listen=False, carry_on=given.verb.speaks == "act")
    logs.start(format=app.project.server.log_format, level="warning", mask=app.secrets.mask)
    await _open(app, place)
    try:
        if given.verb.files:
            await _load(app)
        yield Client(InProcess(app), "", app)
    finally:
        await app.close()


async def _open(app: App, place: Place) -> None:
    until = SYSTEM.monotonic() + HELD_S_MAX
    while True:
        try:
            await app.open()
            return
        except StoreUnavailable as error:
            raise Unreachable(str(error), hint=error.hint) from None
        except ConfigError as error:
            if error.path != "store" or "is in use by" not in str(error):
                raise
            if SYSTEM.monotonic() > until:
                raise Unreachable(
                    str(error),
                    hint="it takes no commands: wait until it has ended, or name its server with --server",
                ) from None
            await SYSTEM.sleep(_AGAIN_S)


async def _load(app: App) -> None:
    from .output import note, relative

    result = await app.load()
    if result.failed:
        files = ", ".join(sorted(relative(file) for file in result.failed))
        note(f"warning: {files}: not loaded for its errors; `reactor validate` shows them")
