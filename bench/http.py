"""HTTP in: 202 a second for 1 KiB of JSON beside the same server with an empty handler; W4: POST → durable → run ended.

    python -P -m reactor.bench.http [--seconds 5] [--connections 32,100] [--store URL] [--json FILE]

The client is a process of its own with raw connections. Every case is run on one server process, one after another.
Those that are compared take turns with empty handlers, of a second each: a machine's speed may change within seconds,
so a ratio is the median of the turns', each against the empty ones right before and after it. The empty handler is an
endpoint written with Starlette, as Reactor's API is, that does nothing but read its JSON and answer; *bare* is not even
that: a function that the server calls, without a router and without a look at the body. A hundred requests at once are
W4's, as a hundred workflows are W2's; fewer share fewer commits. The p99 at half load stands beside that of the empty
handler at the same rate: what both have is the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reactor import App
from reactor.cli.starting import uncollected
from reactor.language.loader import load_text
from reactor.web.arriving import Arriving
from reactor.web.server import WebServer

PAD = "x" * 880
TURNS = 5
_sources = itertools.count()
BODY = json.dumps({"order": 4711, "total": 99.5, "pad": PAD}).encode()
ACCEPT = "workflow: accept\ncancel_on: [{event: accept}]\nsteps: [{log: {message: never}}]\n"
STEP = '  - {name: s%d, python: {function: "reactor.bench.http:noop", args: {x: 1}}}\n'


async def noop(x: int) -> int:
    """A step that does nothing."""
    return x


def flow(steps: int) -> str:
    """A workflow of so many journaled steps."""
    head = f"workflow: w4-{steps}\nwhen: [{{event: w4-{steps}}}]\nsteps:\n"
    return head + "".join(STEP % i for i in range(steps))


HOOK = """
workflow: hook
when: [{http: {path: /in, auth: none}}]
steps: [{name: s0, python: {function: "reactor.bench.http:noop", args: {x: 1}}}]
"""


# -- the client: a process of its own
class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last has come (or when its time has come), and takes times."""

    def __init__(self, load: Load, place: int) -> None:
        self.load = load
        self.place = place
        self.number = 0
        self.began = 0.0
        self.due = 0.0
        self.got = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.load.every:
            self.due = time.perf_counter() + self.load.every * self.place / self.load.connections
            asyncio.get_running_loop().call_later(max(0.0, self.due - time.perf_counter()), self.send)
        else:
            self.send()

    def send(self) -> None:
        self.number += 1
        self.began = self.due if self.load.every else time.perf_counter()
        self.transport.write(self.load.request % (b"%08d%08d" % (self.place, self.number)))

    def data_received(self, data: bytes) -> None:
        self.got += data
        head = self.got.find(b"\r\n\r\n")
        if head < 0:
            return
        length = self.got.index(b"content-length: ") + 16
        if len(self.got) < head + 4 + int(self.got[length : self.got.index(b"\r", length)]):
            return
        data, self.got = self.got, b""
        now = time.perf_counter()
        if not data.startswith(b"HTTP/1.1 2"):
            self.load.failed.append(data[:300].decode("latin-1"))
        if now < self.load.until:
            self.load.times.append(now - self.began)
            if self.load.every:
                self.due += self.load.every
                asyncio.get_running_loop().call_later(max(0.0, self.due - now), self.send)
            else:
                self.send()
        else:
            self.transport.close()
            self.load.open -= 1
            if not self.load.open:
                self.load.done.set_result(None)


class Load:
    """One measurement; `every` is the time between two requests of a connection, 0: as fast as it goes."""

    def __init__(self, request: bytes, connections: int, seconds: float, every: float) -> None:
        self.request = request
        self.connections = self.open = connections
        self.every = every
        self.until = time.perf_counter() + seconds
        self.times: list[float] = []
        self.failed: list[str] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


async def client(wanted: dict[str, Any]) -> dict[str, Any]:
    """Carry out one measurement."""
    load = Load(wanted["request"].encode(), wanted["connections"], wanted["seconds"], wanted["every"])
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for place in range(load.connections):
        await loop.create_connection(lambda place=place: Connection(load, place), "127.0.0.1", wanted["port"])
    await load.done
    took = time.perf_counter() - began
    times = sorted(load.times)
    return {
        "rate": len(times) / took,
        "count": len(times) + load.connections,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
        "failed": load.failed[:1],
    }


async def call(port: int, request: str, connections: int, seconds: float, every: float = 0.0) -> dict[str, Any]:
    """A client process's figures."""
    source = f"{next(_sources):06d}"  # the same length as the word: events of two measurements are no repetitions
    wanted = {
        "port": port,
        "request": request.replace("SOURCE", source),
        "connections": connections,
        "seconds": seconds,
        "every": every,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "reactor.bench.http",
        "--client",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(wanted).encode())
    found: dict[str, Any] = json.loads(out)
    assert not found["failed"], found["failed"]
    return found


def request(path: str, body: bytes, content_type: str) -> str:
    """A request's text with a place (%s) for the number of the event."""
    length = len(body.replace(b"%s", b"0" * 16))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    return head + body.decode()


def event(type: str) -> bytes:
    """A CloudEvent of 1 KiB."""
    head = f'{{"specversion":"1.0","id":"%s","source":"/bench/SOURCE","type":"{type}","data":'
    return head.encode() + BODY + b"}"


# -- the servers
async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The same server's least work: the body is read, an answer of the same size is sent."""
    await receive()
    body = b'{"id":"0000000000000000","key":"e1-100000","verdict":"accepted","runs":["00000000-1-100001"]}'
    heads = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 202, "headers": heads})
    await send({"type": "http.response.body", "body": body})


async def framed(request: Request) -> Response:
    """The least that an endpoint does which is written with a web framework, and reads JSON."""
    await request.json()
    return JSONResponse({"verdict": "accepted"}, 202)


FRAMEWORK = Starlette(routes=[Route("/", framed, methods=["POST"])])


@contextlib.asynccontextmanager
async def beside(handler: Any) -> AsyncIterator[int]:
    """The port of a server with another application, and nothing else."""
    config = uvicorn.Config(
        handler, port=0, http=Arriving, ws="none", lifespan="off", log_config=None, access_log=False,
        proxy_headers=False, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def until_quiet(app: App) -> None:
    """Every run has ended."""
    while app.engine.executor.runs:
        await asyncio.sleep(0.002)


async def measured(run: Callable[[], Awaitable[dict[str, Any]]], app: App) -> dict[str, Any]:
    """A case's figures, with the rate at which its runs ended."""
    before = sum(h.count for h in app.telemetry.runs.values())
    cpu, began = time.process_time(), time.perf_counter()
    found = await run()
    await until_quiet(app)
    took = time.perf_counter() - began
    ended = sum(h.count for h in app.telemetry.runs.values()) - before
    found["runs_per_s"] = ended / took
    found["cpu_us"] = (time.process_time() - cpu) / found["count"] * 1e6
    return found


def show(results: dict[str, Any], connections: int) -> None:
    """Print the table of one number of connections."""
    for name in EMPTY:
        found = results[name]
        print(
            f"{name:13} {found['rate']:8,.0f} requests/s ({found['least']:,.0f} to {found['most']:,.0f}), "
            f"{found['cpu_us']:.0f} us CPU each; {connections} connections"
        )
    for name in CASES:
        found = results[name]
        half, empty = found["half"], found["half_empty"]
        ratios = ", ".join(f"{ratio:4.2f}x the {each}" for each, ratio in found.get("ratios", {}).items())
        print(
            f"{name:13} {found['rate']:8,.0f} 202/s{f' ({ratios})' if ratios else ''}  p99 {found['p99_ms']:6.1f} ms  "
            f"{found['runs_per_s']:7,.0f} runs ended/s  {found['cpu_us']:5.0f} us CPU  "
            f"half load: p50 {half['p50_ms']:5.1f} p99 {half['p99_ms']:5.1f} ms; of the empty handler at that rate "
            f"{empty['p50_ms']:.1f} and {empty['p99_ms']:.1f}"
        )


def middle(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of several measurements, with the least and the highest rate."""
    names = [name for name, value in turns[0].items() if isinstance(value, (int, float))]
    found: dict[str, Any] = {name: statistics.median(turn[name] for turn in turns) for name in names}
    rates = [turn["rate"] for turn in turns]
    return found | {"least": min(rates), "most": max(rates)}


CLOUD = "application/cloudevents+json"
FIVE = "W4, 5 steps"
EMPTY = ("empty handler", "bare")
BESIDE = ("unmatched", "accepted")
CASES = {
    "unmatched": request("/events", event("nobody"), CLOUD),
    "accepted": request("/events", event("accept"), CLOUD),
    "W4, 1 step": request("/events", event("w4-1"), CLOUD),
    FIVE: request("/events", event("w4-5"), CLOUD),
    "hook, 1 step": request("/hooks/in", b'{"id":"%s",' + BODY[1:], "application/json"),
}
PLAIN = request("/", BODY[:-18] + b'%s"}', "application/json")


@contextlib.asynccontextmanager
async def serving(store: str) -> AsyncIterator[tuple[App, WebServer]]:
    """A server with the bench's workflows in force; on SQLite in a folder of its own if no store is named."""
    with tempfile.TemporaryDirectory() as folder:
        async with App(store or f"sqlite:///{folder}/bench.db", writer="process") as app, WebServer(app, port=0) as web:
            with uncollected():
                for text in (ACCEPT, flow(1), flow(5), HOOK):
                    loaded = load_text(text, "bench.yaml", app.vocabulary())
                    loaded.diagnostics.raise_errors()
                    await app.deploys.deploy(loaded.loaded)
                while not list(app.routes):
                    await asyncio.sleep(0.01)
            yield app, web


async def w4(store: str, *, seconds: float = 5.0, connections: int = 100) -> float:
    """W4 alone: workflows of five steps that ended, a second, posted as fast as they are taken."""
    async with serving(store) as (app, web):
        found = await measured(lambda: call(web.port, CASES[FIVE], connections, seconds), app)
    return float(found["runs_per_s"])


async def every_case(store: str, connections: int, seconds: float) -> dict[str, Any]:
    """The figures by case; of those in BESIDE with what they are of the empty handlers."""
    empty: dict[str, list[dict[str, Any]]] = {name: [] for name in EMPTY}
    results: dict[str, Any] = {}
    async with serving(store) as (app, web), beside(bare) as bare_port, beside(FRAMEWORK) as framed_port:
        ports = dict(zip(EMPTY, (framed_port, bare_port), strict=True))

        async def once(port: int, text: str, seconds: float, every: float = 0.0) -> dict[str, Any]:
            return await measured(lambda: call(port, text, connections, seconds, every), app)

        async def nothing() -> dict[str, float]:
            for name, port in ports.items():
                empty[name].append(await once(port, PLAIN, seconds / TURNS))
            return {name: found[-1]["rate"] for name, found in empty.items()}

        async def in_turn(text: str) -> dict[str, Any]:
            turns, shares, before = list[Any](), list[Any](), await nothing()
            for _ in range(TURNS):
                turns.append(await once(web.port, text, seconds / TURNS))
                after = await nothing()
                shares.append({name: 2 * turns[-1]["rate"] / (before[name] + after[name]) for name in EMPTY})
                before = after
            return middle(turns) | {"ratios": {name: statistics.median(s[name] for s in shares) for name in EMPTY}}

        for name, text in CASES.items():
            found = await (in_turn(text) if name in BESIDE else once(web.port, text, seconds))
            every = connections / ((found["runs_per_s"] or found["rate"]) / 2)
            halves = [await once(port, each, seconds, every) for port, each in ((web.port, text), (framed_port, PLAIN))]
            half, half_empty = ({k: half[k] for k in ("rate", "p50_ms", "p99_ms")} for half in halves)
            results[name] = found | {"half": half, "half_empty": half_empty}
    return results | {name: middle(found) for name, found in empty.items()}


async def main() -> None:
    """Measure every case, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", default="32,100")
    parser.add_argument("--store", default="")
    parser.add_argument("--json", default="")
    parser.add_argument("--client", action="store_true", help="be the client: what to send comes by stdin")
    wanted = parser.parse_args()
    if wanted.client:
        print(json.dumps(await client(json.load(sys.stdin))))
        return
    results: dict[str, Any] = {}
    for connections in map(int, wanted.connections.split(",")):
        results[f"{connections} connections"] = await every_case(wanted.store, connections, wanted.seconds)
        show(results[f"{connections} connections"], connections)
    if wanted.json:
        with open(wanted.json, "w") as out:
            json.dump(results, out, indent=2)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
