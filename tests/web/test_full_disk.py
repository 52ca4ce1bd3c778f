"""A request that met a full disk before anybody knew of it: answered in time, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reactor.store import group
from reactor.tests.store.disk import Disk
from reactor.tests.web.site import Site

FLOW = """
workflow: flow
when: [{event: thing}, {http: {path: /orders}}]
steps: [{log: {message: hello}}]
"""
HEADERS = {"content-type": "application/cloudevents+json"}


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.unregister()


@pytest.mark.rule("1.8")
@pytest.mark.parametrize(
    ("path", "detail", "hint"),
    [
        (
            "/events",
            "the store refuses writes now; nothing was taken",
            "repeat it later: it goes on by itself once the store can write",
        ),
        (
            "/hooks/orders",
            "nothing was taken: the store refuses writes now, or the trigger stops",
            "repeat the request",
        ),
    ],
)
async def test_a_request_is_answered_and_starts_nothing(
    disk: Disk, path: str, detail: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "REFUSED_INPUT_S_MAX", 0.3)

    def body(id: str) -> str:
        return json.dumps({"specversion": "1.0", "id": id, "source": "/shop", "type": "thing", "data": {"n": 1}})

    async with Site(store=f"sqlite:///{tmp_path}/r.db") as site:
        await site.put_flow(text=FLOW)
        await site.until(lambda: [each.state for each in site.app.supervisor.status()] == ["connected"])
        disk.full = True
        sent = (site.call("POST", path, data=body(id), headers=HEADERS) for id in "abc")
        found: list[dict[str, Any]] = []
        for reply in await asyncio.wait_for(asyncio.gather(*sent), 20):
            assert int(reply.headers["retry-after"]) >= 1
            found.append(reply.problem())  # of some the store was known to refuse already
        assert {"status": 503, "code": "store_unavailable", "detail": detail, "hint": hint} in found
        disk.full = False
        await site.until(lambda: not site.app.store.refusing)
        assert (await site.app.runs())["items"] == []

        async def taken(id: str) -> bool:  # a trigger goes on a moment later
            return (await site.call("POST", path, data=body(id), headers=HEADERS)).status == 202

        for id in "abca":
            await site.until(functools.partial(taken, id))
        assert len((await site.app.runs())["items"]) == 3


@pytest.mark.rule("1.8")
async def test_a_server_ends_whose_last_write_finds_the_disk_full(disk: Disk, tmp_path: Path) -> None:
    """The next start takes it for one that was killed, and loses nothing by that."""
    site = Site(store=f"sqlite:///{tmp_path}/r.db")
    async with asyncio.timeout(20):
        async with site:
            assert not site.app.store.refusing
            disk.full = True
        disk.full = False
        async with Site(store=f"sqlite:///{tmp_path}/r.db") as again:
            assert again.app.engine.unclean
