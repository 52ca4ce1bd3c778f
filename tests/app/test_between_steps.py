"""Steps of one run that speak to each other, and to people outside, over subjects of a real JetStream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import nats
import pytest

from reactor import App
from reactor.language.loader import load_text
from reactor.tests.servers.nats import NatsServer
from reactor.tests.waiting import until

TALK = """
workflow: talk
inputs: {n: integer}
outputs: {heard: "${{ steps.hear.output.data }}"}
steps:
  say:
    publish:
      {to: jetstream, connection: main, subject: STREAM.between, json: {run: "${{ run.id }}", n: "${{ inputs.n }}"}}
  hear:
    wait: {event: {type: between.said, by: event.data.run, equals: run.id}, timeout: 20s}
"""
ASK = """
workflow: ask
inputs: {order: string}
outputs: {answer: "${{ steps.answer.output.data.answer }}"}
steps:
  - name: question
    publish: {to: jetstream, connection: main, subject: STREAM.asked, json: {order: "${{ inputs.order }}"}}
  - name: answer
    wait: {event: {type: between.said, by: event.data.order, equals: inputs.order}, timeout: 20s}
"""


class Talking(NamedTuple):
    app: App
    client: Any
    stream: str


@pytest.fixture
async def talking(tmp_path: Path, nats_server: NatsServer, unique_name: str) -> AsyncIterator[Talking]:
    """Its trigger reads two of the subjects of a stream: what is asked on the third is for people."""
    stream = unique_name.replace("_", "-")
    project = {
        "store": f"sqlite:///{tmp_path}/r.db",
        "connections": {"main": {"nats": {"servers": [nats_server.url]}}},
        "triggers": {
            "between": {
                "jetstream": {
                    "connection": "main",
                    "stream": stream,
                    "subjects": [f"{stream}.between", f"{stream}.answered"],
                },
                "type": "between.said",
            }
        },
    }
    (tmp_path / "reactor.json").write_text(json.dumps(project))
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name=stream, subjects=[f"{stream}.>"])
    async with App(project=tmp_path) as app:
        found = load_text(f"{TALK}\n---\n{ASK}".replace("STREAM", stream), "f.yaml", app.vocabulary())
        assert found.diagnostics.errors == []
        await app.deploys.deploy(found.loaded)
        await until(lambda: all(each.state == "connected" for each in app.supervisor.status()))
        yield Talking(app, client, stream)
    await client.jetstream().delete_stream(stream)
    await client.close()


@pytest.mark.req("T-NATS-3")
@pytest.mark.broker("nats")
async def test_what_one_step_publishes_the_next_of_its_run_waits_for(talking: Talking) -> None:
    """Ten runs at once: each hears what it said itself, and nothing that another one said."""
    runs = [await talking.app.start("talk", {"n": n}) for n in range(10)]
    outputs = await asyncio.gather(*(run.result(30) for run in runs))
    assert [each["heard"] for each in outputs] == [{"run": run.id, "n": n} for n, run in enumerate(runs)]


@pytest.mark.req("T-NATS-3")
@pytest.mark.broker("nats")
async def test_somebody_outside_answers_the_run_that_asked(talking: Talking) -> None:
    asked = await talking.client.subscribe(f"{talking.stream}.asked")
    runs = {order: await talking.app.start("ask", {"order": order}) for order in ("A1", "B2")}
    orders = {json.loads((await asked.next_msg(20)).data)["order"] for _ in runs}
    assert orders == set(runs)
    for order, answer in (("B2", "no"), ("A1", "yes")):
        said = json.dumps({"order": order, "answer": answer}).encode()
        await talking.client.jetstream().publish(f"{talking.stream}.answered", said)
    assert [await run.result(30) for run in runs.values()] == [{"answer": "yes"}, {"answer": "no"}]
