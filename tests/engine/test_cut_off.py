"""The line to PostgreSQL is cut between an event's commit and what is asked next: who waits is told all the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from reactor.core import faults
from reactor.core.errors import StoreUnavailable
from reactor.core.event import Delivery, Settlement
from reactor.tests.engine.rig import Rig, go
from reactor.tests.store.proxy import Proxy

HELD = """
workflow: held
when: [{event: go}]
limits: {concurrency: {max: 1}}
steps: [{name: news, wait: {event: {type: news}}}]
"""


@pytest.fixture
async def line(postgres_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    parts = urlsplit(postgres_url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        yield proxy, postgres_url.replace(f":{parts.port}", f":{proxy.port}")


@pytest.mark.broker("postgres")
@pytest.mark.rule("1.6")
async def test_who_settles_when_runs_have_ended_is_told_although_the_store_did_not_answer(
    line: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is held is looked for in the store."""
    proxy, url = line
    async with Rig(url) as rig:
        await rig.deploy(HELD)
        rig.intake.completes = lambda trigger: True
        settled: dict[str, Settlement] = {}

        async def given(id: str) -> None:
            async def settle(settlement: Settlement) -> None:
                settled[id] = settlement

            await rig.intake.publish("t", Delivery((go(id),), settle))

        await given("1")
        await rig.until(lambda: any(run.parked for run in rig.engine.executor.runs.values()))
        cuts: list[asyncio.Task[None]] = []

        async def cut() -> None:
            await proxy.close()
            await proxy.open()

        def hook(name: str) -> None:
            if name == "intake.durable" and not cuts:
                cuts.append(asyncio.ensure_future(cut()))

        monkeypatch.setattr(faults, "hook", hook)
        await given("2")
        await rig.until(lambda: cuts and cuts[0].done())
        monkeypatch.setattr(faults, "hook", None)

        async def woken() -> bool:
            with contextlib.suppress(StoreUnavailable):  # the line is back, and this may be the first to use it
                await rig.emit("news", {})
            return len(settled) == 2

        await rig.until(woken, 30)
        assert {id: [outcome.state for outcome in each.outcomes] for id, each in settled.items()} == {
            "1": ["completed"],
            "2": ["completed"],
        }
