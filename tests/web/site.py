"""An App behind a real server on a free port, and a client: what the tests of the web run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from reactor.app import App
from reactor.tests.waiting import until
from reactor.web.server import WebServer
from reactor.web.tokens import Token, Tokens

FLOW = "workflow: {name}\nwhen: [{{event: {type}}}]\nsteps: [{{log: {{message: hello}}}}]\n"
TOKEN = "t" * 20
TOKENS = (
    Token("all", ("read", "emit", "operate", "deploy"), token=TOKEN),
    Token("reader", ("read",), token="r" * 20),
    Token("sender", ("emit",), token="e" * 20),
)


class Reply:
    """An answer, read whole."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def problem(self) -> dict[str, Any]:
        """The document of a refusal: its words, checked for its form."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        found = self.json
        assert found["status"] == self.status
        assert found["type"] == f"/errors/{found['code']}"
        assert found["detail"] == found["message"]
        assert found["title"]
        return {k: found[k] for k in ("status", "code", "detail", "hint")}


class Site:
    """`async with Site(**options of App) as site`."""

    def __init__(self, *, tokens: Tokens | None = None, store: str = ":memory:", **options: Any) -> None:
        self.app = App(store, **options)
        self.tokens = tokens if tokens is not None else Tokens(TOKENS)
        self.web = WebServer(self.app, port=0, tokens=self.tokens)

    async def __aenter__(self) -> Site:
        await self.app.open()
        await self.web.start()
        self.client = aiohttp.ClientSession(auto_decompress=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.close()
        await self.web.stop()
        await self.app.close()

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        async with self.client.request(method, self.web.url + path, allow_redirects=False, **options) as r:
            return Reply(r.status, await r.read(), {k.lower(): v for k, v in r.headers.items()})

    async def get(self, path: str, **options: Any) -> Any:
        """A 200 answer's JSON."""
        reply = await self.call("GET", path, **options)
        assert reply.status == 200, reply.body
        return reply.json

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        return await self.call("POST", path, json=body if body is not None else {}, **options)

    async def put_flow(self, name: str = "flow", type: str = "thing", text: str = "") -> Reply:
        """Put a workflow in force that takes events of a type."""
        body = (text or FLOW.format(name=name, type=type)).encode()
        reply = await self.call(
            "PUT", f"/api/v1/workflows/{name}", data=body, headers={"content-type": "application/yaml"}
        )
        assert reply.status in (200, 201), reply.body
        return reply

    async def ended(self, run: str) -> dict[str, Any]:
        """A run, once it has ended."""
        await asyncio.wait_for(self.app.runs_api.outcome(run), 20)
        return await self.get(f"/api/v1/runs/{run}")

    async def raw(self, text: bytes) -> bytes:
        """What the server answers to these very bytes, until it closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.web.port)
        writer.write(text)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()

    async def until(self, condition: Callable[[], Any], limit_s: float = 10.0) -> Any:
        """Wait for a condition (plain or async) with a limit."""
        return await until(condition, limit_s)
