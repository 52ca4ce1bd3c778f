"""A store that fails while it writes what a request brought: its sender hears that nobody knows if it was taken."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from reactor.tests.web.site import Site

FLOW = """
workflow: flow
when: [{event: thing}, {http: {path: /orders%s}}]
outputs: {n: "${{ steps.n.output.n }}"}
steps: [{name: n, transform: {n: 1}}]
"""
EVENT = {"specversion": "1.0", "id": "a", "source": "/shop", "type": "thing", "data": {"n": 1}}
ONE = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
PLAIN = {"content-type": "application/json", "idempotency-key": "a"}


@pytest.mark.rule("1.2")
@pytest.mark.parametrize(
    ("path", "respond", "body", "headers"),
    [
        ("/events", "", EVENT, ONE),
        ("/events", "", [EVENT, EVENT | {"id": "b"}], BATCH),
        ("/hooks/orders", "", EVENT, ONE),
        ("/hooks/orders", "", {"n": 1}, PLAIN),
        ("/hooks/orders", ", respond: result", {"n": 1}, PLAIN),
        ("/hooks/orders", ", respond: {status: 200, body: 'took ${{ event.id }}'}", {"n": 1}, PLAIN),
        ("/hooks/orders", ", respond: {on: result, json: '${{ outputs.n }}'}", {"n": 1}, PLAIN),
    ],
    ids=["events", "events in a batch", "hook", "accepted", "result", "made", "made of the result"],
)
async def test_the_sender_hears_that_nobody_knows_and_sends_it_again(
    path: str, respond: str, body: Any, headers: dict[str, str], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"store": f"sqlite:///{tmp_path}/r.db", "writer": "process"}
    async with Site(**options) as site:
        await site.put_flow(text=FLOW % respond)
        await site.until(lambda: [each.state for each in site.app.supervisor.status()] == ["connected"])
        store: Any = site.app.store
        writer = store._writer._process.pid
        os.kill(writer, signal.SIGSTOP)
        sending = asyncio.ensure_future(site.call("POST", path, data=json.dumps(body), headers=headers))
        await site.until(lambda: store._groups._only._busy)
        os.kill(writer, signal.SIGKILL)
        reply = await asyncio.wait_for(sending, 20)
        assert reply.problem() == {
            "status": 503,
            "code": "store_unavailable",
            "detail": "the store failed, and whether the event was taken is unknown",
            "hint": "send it again under the same id: what was taken is not taken twice",
        }
        assert int(reply.headers["retry-after"]) >= 1
    async with Site(**options) as again:
        await again.put_flow(text=FLOW % respond)
        await again.until(lambda: [each.state for each in again.app.supervisor.status()] == ["connected"])
        for _ in range(2):
            assert (await again.call("POST", path, data=json.dumps(body), headers=headers)).status in (200, 202)
        events = len(body) if isinstance(body, list) else 1
        assert len((await again.app.runs())["items"]) == events
