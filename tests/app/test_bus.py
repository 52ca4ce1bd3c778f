"""Events of our own on the project's bus, read by a client of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nats
import pytest

from reactor import App
from reactor.language.loader import load_text
from reactor.tests.servers.nats import NatsServer

FLOW = """
workflow: told
steps:
  - {name: a, transform: 1}
  - {name: b, log: {message: hello}}
"""


@pytest.mark.req("R-6")
@pytest.mark.req("R-7")
@pytest.mark.rule("3.4")
@pytest.mark.rule("7.4.1")
@pytest.mark.rule("7.4.2")
async def test_jetstream_gets_a_runs_events_in_order(tmp_path: Path, nats_server: NatsServer, unique_name: str) -> None:
    stream = unique_name.replace("_", "-")
    project = {
        "store": f"sqlite:///{tmp_path}/r.db",
        "bus": {"jetstream": {"connection": "main", "stream": stream}},
        "connections": {"main": {"nats": {"servers": [nats_server.url]}}},
    }
    (tmp_path / "reactor.json").write_text(json.dumps(project))
    seen: list[dict[str, Any]] = []
    client = await nats.connect(nats_server.url)
    subscription = await client.subscribe("reactor.>")
    async with App(project=tmp_path) as app:
        await app.deploys.deploy(load_text(FLOW, "f.yaml", app.vocabulary()).loaded)
        run = await app.start("told")
        await run.result(10)
        async with asyncio.timeout(15):
            while not seen or seen[-1]["type"] != "reactor.run.completed":
                message = await subscription.next_msg(10)
                headers = {k.lower(): v for k, v in (message.headers or {}).items()}
                seen.append({"type": headers["ce-type"], "id": headers["ce-id"], "subject": message.subject})
    await client.jetstream().delete_stream(stream)  # its subjects are in the way of other tests
    await client.close()
    assert [e["type"] for e in seen if e["type"].startswith("reactor.run.")] == [
        "reactor.run.started",
        "reactor.run.completed",
    ]
    assert {"reactor.step.started", "reactor.step.completed"} <= {e["type"] for e in seen}
    assert seen[-1]["subject"] == "reactor.run.completed.told"
    assert seen[-1]["id"] == f"{run.id}/2"
