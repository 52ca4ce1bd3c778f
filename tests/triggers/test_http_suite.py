"""The http trigger against the public suite: a sender that repeats whatever was not answered with 2xx."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reactor.core.errors import StoreUnavailable
from reactor.core.event import Event
from reactor.core.http import HttpRequest, Routes
from reactor.language.definition import TriggerSpec
from reactor.testing.trigger_suite import Rig, TriggerSuite
from reactor.triggers.contract import Trigger, TriggerContext
from reactor.triggers.http import HttpTrigger
from reactor.triggers.http_config import HttpConfig

SPEC = TriggerSpec("in", "http", {"path": "/in"})


class HttpRig(Rig):
    """Senders in front of the table of routes."""

    def __init__(self) -> None:
        super().__init__()
        self.routes = Routes()
        self.senders: set[asyncio.Task[None]] = set()
        self.keys = itertools.count()

    async def make(self) -> Trigger:
        context = TriggerContext("in", SPEC, routes=self.routes)
        return HttpTrigger(HttpConfig.model_validate(SPEC.config), context)

    async def emit(self, payload: bytes) -> None:
        sender = asyncio.ensure_future(self._send(payload, f"k{next(self.keys)}"))
        self.senders.add(sender)
        await asyncio.sleep(0)

    async def _send(self, payload: bytes, key: str) -> None:
        headers = {"content-type": "text/plain", "idempotency-key": key}
        while True:
            found = self.routes.find("POST", "/in")
            if found is not None:
                try:
                    answer = await found[0].handler(HttpRequest("POST", "/in", headers, (), payload, "127.0.0.1", {}))
                except StoreUnavailable:
                    continue
                assert answer.status == 202
                return
            await asyncio.sleep(0.001)

    def payload(self, event: Event) -> bytes:
        return event.data.encode()

    async def cut(self, trigger: Trigger) -> None:
        pass

    async def __aexit__(self, *exc: Any) -> None:
        for sender in self.senders:
            sender.cancel()
        done = await asyncio.gather(*self.senders, return_exceptions=True)
        await super().__aexit__(*exc)
        assert not [d for d in done if isinstance(d, Exception)]


class TestHttp(TriggerSuite):
    trigger = HttpTrigger

    @pytest.fixture
    async def rig(self) -> AsyncIterator[Rig]:
        async with HttpRig() as rig:
            yield rig
