"""The public suite over `sse`, on a local server: what `reactor plugin check sse` runs."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import pytest
from aiohttp import web

from reactor.language.definition import TriggerSpec
from reactor.testing import Rig, TriggerSuite
from reactor.triggers.contract import Event, Trigger, TriggerContext

from .source import SseTrigger


class SseServer:
    """Sends every message to whoever is connected, numbered; a client that says what it saw last gets the rest."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.asked: list[str | None] = []  # the Last-Event-ID of each request
        self.answer: web.Response | None = None  # given in place of the stream
        self.url = ""
        self._changed = asyncio.Condition()
        self._open: list[web.Request] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/events", self._stream)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/events"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def send(self, data: str, *, event: str = "") -> None:
        """Let one message happen."""
        named = f"event: {event}\n" if event else ""
        lines = "".join(f"data: {line}\n" for line in data.split("\n"))
        async with self._changed:
            self.messages.append(f"id: {len(self.messages) + 1}\n{named}{lines}\n")
            self._changed.notify_all()

    def cut(self) -> None:
        """Break every connection as the network would."""
        for request in self._open:
            if request.transport is not None:
                request.transport.abort()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        last = request.headers.get("Last-Event-ID")
        self.asked.append(last)
        if self.answer is not None:
            return self.answer
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"retry: 10\n\n: hello\n\n")
        self._open.append(request)
        sent = int(last or 0)
        try:
            while True:
                async with self._changed:
                    while len(self.messages) == sent:
                        await self._changed.wait()
                    coming = self.messages[sent:]
                    sent = len(self.messages)
                await response.write("".join(coming).encode())
        finally:
            self._open.remove(request)


class SseRig(Rig):
    """A server, and triggers that read it."""

    async def __aenter__(self) -> Self:
        self.server = await SseServer().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        await self.server.__aexit__()

    async def make(self) -> Trigger:
        config = SseTrigger.Config(url=self.server.url, format="text")
        spec = TriggerSpec("stream", "sse", {"url": self.server.url})
        return SseTrigger(config, TriggerContext(name="stream", spec=spec, marks=self.marks))

    async def emit(self, payload: bytes) -> None:
        await self.server.send(payload.decode())

    def payload(self, event: Event) -> bytes:
        return str(event.data).encode()

    async def cut(self, trigger: Trigger) -> None:
        self.server.cut()


class TestSse(TriggerSuite):
    """The contract, test by test."""

    trigger = SseTrigger

    @pytest.fixture
    async def rig(self) -> AsyncIterator[Rig]:
        async with SseRig() as rig:
            yield rig
