"""How long one waits: a large event among small ones, `explain` over many bindings, an end on its way to the bus.

    python -P -m reactor.bench.latency [--json FILE]

*Stall*: the longest time in which the loop did nothing else, seen by a task that asks for its turn every millisecond.
The bus is a real JetStream; what is measured is the time from the instant in the completion event to its arrival at a
client of its own, while five-step workflows are run as fast as they go.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from reactor import App
from reactor.bench.figures import percentile, show, words
from reactor.bench.http import call, request
from reactor.bench.workflows import FLOW_YAML, many
from reactor.cli.starting import uncollected
from reactor.connections.configs import NatsConfig
from reactor.connections.nats import NatsConnection
from reactor.core.durations import parse_instant
from reactor.core.event import Event
from reactor.language.loader import load_text
from reactor.tests.servers.nats import open_nats
from reactor.web.server import WebServer

LARGE = 1024 * 1024 - 4096  # with its envelope it is just below what is taken
TAKES = """
workflow: large-%s
inputs: {id: integer}
when: [{event: large-%s, if: "%s", with: {id: "${{ event.data.id }}"}}]
steps: [{transform: {id: "${{ inputs.id }}"}}]
"""
GUARDS = {
    "field": "event.data.id > 0",
    "each": "event.data.rows.exists(row, row.count > 5) || event.data.id == 1",
    "whole": "event.data.rows[event.data.id].count == 3",
}
"""What is asked of the event: one of its fields; one field of each of its 8 000 rows; all of them, as which one is
read is not known before."""
SMALL = "workflow: small\nwhen: [{event: small}]\nsteps: [{transform: {x: 1}}]\n"
ONE_OF_MANY = """
workflow: rule-%d
when: [{event: order.paid, match: {data: {customer: [c%d], total: [{numeric: [">", %d]}]}}}]
steps: [{transform: {x: 1}}]
"""


class Stalls:
    """The longest times that the loop did not come back."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.ensure_future(self._beat())

    async def _beat(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last - 0.001)
            last = now

    def taken(self) -> float:
        """The longest since the last call, in seconds."""
        longest, self.longest = self.longest, 0.0
        return longest

    def stop(self) -> None:
        """Look no longer."""
        self._task.cancel()


async def deployed(app: App, text: str) -> None:
    """Put workflows in force."""
    loaded = load_text(text, "bench.yaml", app.vocabulary())
    loaded.diagnostics.raise_errors()
    await app.deploys.deploy(loaded.loaded)


def large_event(type: str) -> str:
    """A structured CloudEvent of 1 MiB: a list of orders."""
    row = {"sku": "abcdefgh", "count": 3, "price": 12.5, "tags": ["a", "b"], "note": "x" * 40}
    count = LARGE // (len(json.dumps(row)) + 2)
    data = json.dumps({"id": 1, "rows": [row] * count}).replace("%", "%%")
    return f'{{"specversion":"1.0","id":"%s","source":"/bench/SOURCE","type":"{type}","data":{data}}}'


async def stalls(folder: Path) -> dict[str, Any]:
    """One event of 1 MiB at a time by HTTP, while small ones flow."""
    found: dict[str, Any] = {}
    async with App(f"sqlite:///{folder}/stall.db") as app, WebServer(app, port=0) as web:
        with uncollected():
            takes = [TAKES % (name, name, guard) for name, guard in GUARDS.items()]
            await deployed(app, "\n---\n".join((*takes, SMALL)))
        going = True

        async def small() -> None:
            while going:
                await app.events_api.publish([Event(type="small", source="/bench", data={"x": 1})])

        flow = [asyncio.ensure_future(small()) for _ in range(8)]
        await asyncio.sleep(0.5)
        looking = Stalls()
        await asyncio.sleep(1.0)
        found["longest stall without it, ms"] = round(looking.taken() * 1e3, 1)
        try:
            for name in GUARDS:
                text = request("/events", large_event(f"large-{name}").encode(), "application/cloudevents+json")
                worst: list[float] = []
                for _ in range(5):
                    looking.taken()
                    await call(web.port, text, 1, 0.3)
                    worst.append(looking.taken())
                found[f"event of 1 MiB, guard reads {name}, ms"] = round(statistics.median(worst) * 1e3, 1)
        finally:
            going = False
            looking.stop()
            await asyncio.gather(*flow)
    return found


async def explained(folder: Path, bindings: int = 10_000) -> dict[str, Any]:
    """`explain` of one stored event."""
    async with App(f"sqlite:///{folder}/explain.db") as app:
        with uncollected():
            texts = [ONE_OF_MANY % (i, i % 997, i % 89) for i in range(bindings)]
            for first in range(0, bindings, 1_000):
                await deployed(app, "\n---\n".join(texts[first : first + 1_000]))
        receipt = (
            await app.events_api.publish(
                [Event(type="order.paid", source="/bench", data={"customer": "c12", "total": 1_000})]
            )
        )[0]
        times: list[float] = []
        looking = Stalls()
        await asyncio.sleep(0.01)
        for _ in range(5):
            looking.taken()
            begun = time.perf_counter()
            answer = await app.events_api.explain(receipt.event)
            times.append(time.perf_counter() - begun)
            assert len(answer["findings"]) == bindings
        await asyncio.sleep(0.01)
        stalled = looking.taken()
        looking.stop()
    return {
        f"explain over {bindings} bindings, ms": round(statistics.median(times) * 1e3, 1),
        "… its longest stall, ms": round(stalled * 1e3, 1),
    }


async def to_bus(folder: Path) -> dict[str, Any]:
    """From a run's end to a client of the bus."""
    server = open_nats(folder)
    connection = NatsConnection("main", NatsConfig(servers=[server.url]))
    try:
        client: Any = (await connection.session()).client
        (folder / "project").mkdir()
        (folder / "project" / "reactor.yaml").write_text(
            f"connections: {{main: {{nats: {{servers: ['{server.url}']}}}}}}\n"
            f"store: sqlite:///{folder}/bus.db\n"
            "bus: {jetstream: {connection: main, stream: ends}, events: [reactor.run.completed]}\n"
        )
        late: list[float] = []
        arrived = asyncio.Event()
        wanted = 4_000

        async def take(message: Any) -> None:
            headers = {name.lower(): value for name, value in message.headers.items()}
            late.append(time.time() - parse_instant(headers["ce-time"]))
            if len(late) >= wanted:
                arrived.set()

        async with App(project=folder / "project") as app:
            with uncollected():
                await deployed(app, FLOW_YAML)
            await many(app, "five-yaml", 300, 50)
            await client.subscribe("reactor.run.completed.>", cb=take)
            await client.flush()
            seconds, _ = await many(app, "five-yaml", wanted, 100)
            await asyncio.wait_for(arrived.wait(), 60)
        return {
            "end → external bus, p50 / p99 ms": [round(percentile(late, p) * 1e3, 1) for p in (0.5, 0.99)],
            "… while workflows/s": round(wanted / seconds),
        }
    finally:
        await connection.close()
        server.stop()


async def main() -> None:
    """Measure and print."""
    said = words(__doc__).parse_args()
    folder = Path(tempfile.mkdtemp(prefix="reactor-bench-"))
    try:
        found = {**await stalls(folder), **await explained(folder), **await to_bus(folder)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(found, said.json)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
