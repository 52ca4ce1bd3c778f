"""A part of the process that fails is seen from outside; a server that ends by itself ends its process."""

from __future__ import annotations

import asyncio
import logging

import pytest

from reactor.core.loops import LOOPS, Loops
from reactor.router.backlog import Gap
from reactor.tests.web.site import Site
from reactor.web import health, metrics


async def test_a_loop_that_fails_is_named_by_readyz_and_counted_by_the_metrics(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loops = Loops()
    monkeypatch.setattr(health, "LOOPS", loops)
    monkeypatch.setattr(metrics, "LOOPS", loops)
    assert await site.get("/readyz") == {"status": "ready"}
    loops.failed("outbox to the router", ValueError("nobody foresaw this"), again_s=1.0)
    assert await site.get("/readyz") == {
        "status": "degraded",
        "failing": {"outbox to the router": "ValueError: nobody foresaw this"},
    }
    page = (await site.call("GET", "/metrics")).body.decode()
    assert 'reactor_loop_failures_total{loop="outbox to the router"} 1.0' in page.splitlines()


async def test_a_gap_of_the_bus_is_named_by_readyz(site: Site) -> None:
    site.app.outbox.backlog.gap = Gap(3, 1, 3, None, None, 0.0)
    assert await site.get("/readyz") == {
        "status": "degraded",
        "bus": "too many events waited for it: 3 were given up, and it has not been told of the gap",
    }


async def test_every_loop_of_the_app_is_kept(site: Site) -> None:
    running = {task.get_name() for task in asyncio.all_tasks()}
    assert {
        "outbox to the router",
        "outbox to the bus",
        "log of unmatched events",
        "upkeep of the store",
        "sweep",
    } <= running


async def test_the_log_of_unmatched_events_begins_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    flush, failures = site.app.unmatched.flush, [ValueError("nobody foresaw this")]
    turns: list[int] = []

    async def weak() -> None:
        if failures:
            raise failures.pop()
        turns.append(1)
        await flush()

    before = LOOPS.failures["log of unmatched events"]
    monkeypatch.setattr(site.app.unmatched, "flush", weak)
    await site.until(lambda: turns)
    assert LOOPS.failures["log of unmatched events"] == before + 1


async def test_a_server_that_ends_by_itself_ends_its_process(caplog: pytest.LogCaptureFixture) -> None:
    async with Site() as site:
        assert site.app.failed is not None
        assert not site.app.failed.done()
        server = site.web._server
        assert server is not None
        with caplog.at_level(logging.CRITICAL, "reactor.serve"):
            server.should_exit = True
            error = await asyncio.wait_for(site.app.failed, 10)
    assert str(error) == "the HTTP server ended by itself"
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.CRITICAL] == [
        "the HTTP server ended by itself"
    ]


async def test_a_server_that_is_stopped_in_order_is_no_failure() -> None:
    async with Site() as site:
        pass
    assert site.app.failed is not None
    assert not site.app.failed.done()
