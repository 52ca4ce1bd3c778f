"""W1 to W5: what a five-step workflow costs, from its start to its durable end, on the public interface.

W1 one at a time · W2 100 in flight · W3 100 parallel steps and a join · W4 HTTP event → durable → end (bench/http.py) ·
W5 kill -9 with 500 started (5 × 200 ms steps), restart. Each in two forms: Python steps, and YAML with templates.
`python -P -m reactor.bench.workflows [--store URL] [--only W1,W2] [--json FILE]`

A lent machine is twice as fast one day as another. So the same commits are made without an engine as well, before and
after (bench/peers/on_bare.py), and what the engine reaches of that is said: that holds on any machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reactor import App, Workflow, step
from reactor.bench.figures import percentile, show, words
from reactor.bench.startup import COMPILED
from reactor.cli.starting import uncollected
from reactor.language.loader import load_text

FLOW_YAML = """
workflow: five-yaml
inputs: {n: integer}
outputs: {last: "${{ steps.s5.output }}"}
steps:
""" + "".join(
    f"""  - {{name: s{i}, python: {{function: "reactor.bench.workflows:noop", args: {{x: "${{{{ {source} }}}}"}}}}}}
"""
    for i, source in ((1, "inputs.n"), *((k, f"steps.s{k - 1}.output") for k in range(2, 6)))
)

BARE = Path(__file__).with_name("peers") / "on_bare.py"
FLOORS_RATE, FLOORS_ONE_MS = 20_700, 1.9
"""What a loop without an engine reached on the machine that the floors were set on: workflows a second, 100 at a time,
and one workflow's time, most of it the disk's.
"""
RATE_FLOORS = {"W2 python": 4_000, "W2 yaml": 2_500, "W4 5 steps": 2_650}
TIME_FLOORS_MS = {"W1 python": 3.3, "W1 yaml": 3.3}
W3_FLOOR_MS = 8.0
NOOP = "reactor.bench.workflows:noop"
MANY_S_MAX = 900  # then something hangs
FAN_YAML = (
    "workflow: fan\nparallel_limit: 100\nsteps:\n"
    + "".join(f'  p{i}: {{python: {{function: "{NOOP}", args: {{x: {i}}}}}}}\n' for i in range(100))
    + "  join: {needs: all, transform: {done: true}}\n"
)

SLOW = "reactor.bench.workflows:slow"
SLOW_YAML = "workflow: slow\nsteps:\n" + "".join(
    f'  - {{name: s{i}, python: {{function: "{SLOW}", args: {{place: {i}}}}}}}\n' for i in range(5)
)


async def noop(x: Any = None) -> Any:
    """A step that does nothing."""
    return x


async def slow(place: int, context: Any) -> int:
    """A step of 200 ms that writes its name in a ledger outside the product."""
    ledger = os.environ["BENCH_LEDGER"]
    fd = os.open(ledger, os.O_APPEND | os.O_WRONLY | os.O_CREAT)
    os.write(fd, f"{context.run['id']} {place} {context.idempotency_key}\n".encode())
    os.close(fd)
    await asyncio.sleep(0.2)
    return place


class FivePython(Workflow):
    """The same five steps as a class."""

    @step
    async def s1(self, n: int) -> int:
        return n

    @step
    async def s2(self, s1: int) -> int:
        return s1

    @step
    async def s3(self, s2: int) -> int:
        return s2

    @step
    async def s4(self, s3: int) -> int:
        return s3

    @step
    async def s5(self, s4: int) -> int:
        return s4


async def opened(store: str) -> App:
    """An application with the bench's workflows in force, written as by `reactor serve`."""
    with uncollected():
        app = App(store=store, project=None, writer="process")
        app.register(FivePython)
        await app.open()
        loaded = load_text(f"{FLOW_YAML}\n---\n{FAN_YAML}\n---\n{SLOW_YAML}", "bench.yaml", app.vocabulary())
        loaded.diagnostics.raise_errors()
        await app.deploys.deploy(loaded.loaded)
    return app


async def many(app: App, name: str, count: int, in_flight: int) -> tuple[float, list[float]]:
    """Run a workflow `count` times, so many at once, as the peers do (bench/peers); seconds in all, and of each."""
    numbers, each = iter(range(count)), list[float]()

    async def lane() -> None:
        for i in numbers:
            begun = time.perf_counter()
            handle = await app.start(name, {"n": i} if name != "fan" else {})
            await handle.result()
            each.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with asyncio.timeout(MANY_S_MAX):
        await asyncio.gather(*(lane() for _ in range(min(in_flight, count))))
    return time.perf_counter() - begun, each


async def flows(store: str, only: set[str]) -> dict[str, Any]:
    """W1, W2 and W3 on one store."""
    app = await opened(store)
    found: dict[str, Any] = {}
    try:
        for form, name in (("python", "five-python"), ("yaml", "five-yaml")):
            await many(app, name, 300, 50)
            if "W1" in only:
                _, each = await many(app, name, 300, 1)
                shown = (statistics.median(each), percentile(each, 0.99))
                found[f"W1 {form} p50/p99 ms"] = [round(value * 1e3, 2) for value in shown]
            if "W2" in only:
                rates: list[float] = []
                cpu: list[float] = []
                for _ in range(3):
                    used = time.process_time()
                    seconds, _ = await many(app, name, 3000, 100)
                    rates.append(3000 / seconds)
                    cpu.append((time.process_time() - used) / 3000 * 1e6)
                found[f"W2 {form} workflows/s"] = round(statistics.median(rates))
                found[f"W2 {form} CPU us/workflow"] = round(statistics.median(cpu))
        if "W3" in only:
            _, each = await many(app, "fan", 50, 1)
            found["W3 p50 ms"] = round(statistics.median(each) * 1e3, 2)
    finally:
        await app.close()
    return found


def no_engine(seconds: float = 3.0) -> dict[str, float]:
    """W1 and W2 of the same commits without an engine."""
    with tempfile.TemporaryDirectory(prefix="reactor-bench-") as folder:
        wanted = {"folder": folder, "seconds": seconds, "warm": 300, "w1": 300, "w2": 20_000, "w3": 1}
        done = subprocess.run([sys.executable, BARE, json.dumps(wanted)], capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])


def beside(found: dict[str, Any], bare: list[dict[str, float]]) -> dict[str, Any]:
    """What the figures are beside those without an engine, the mean of before and after.

    A rate is a share of that loop's. A time may be longer by as much as the loop is slower here than where the floors
    were set; of one workflow, which waits for the disk most of the time whatever the engine does, what the engine adds.
    """
    one = statistics.mean(each["W1 p50 ms"] for each in bare)
    rate = statistics.mean(each["W2 workflows/s"] for each in bare)
    more: dict[str, Any] = {"no engine: W1 p50 ms / W2 workflows/s": [round(one, 2), round(rate)]}
    for name, floor in RATE_FLOORS.items():
        for unit in (" workflows/s", " runs/s"):
            if name + unit in found:
                wanted = floor / FLOORS_RATE
                more[f"{name} of no engine, at least {wanted:.2f}"] = round(found[name + unit] / rate, 2)
    slower = FLOORS_RATE / rate
    for name, floor in TIME_FLOORS_MS.items():
        if f"{name} p50/p99 ms" in found:
            wanted = (floor - FLOORS_ONE_MS) * slower
            added = found[f"{name} p50/p99 ms"][0] - one
            more[f"{name} added to no engine, ms, at most {wanted:.1f}"] = round(added, 2)
    if "W3 p50 ms" in found:
        more[f"W3 ms here, at most {W3_FLOOR_MS * slower:.1f}"] = found["W3 p50 ms"]
    return more


async def serve_slow(store: str) -> None:
    """The child of W5: starts what stdin says, tells when it is ready, and when all runs have ended."""
    begun = time.perf_counter()
    app = await opened(store)
    print(f"ready {time.perf_counter() - begun:.3f}", flush=True)
    count = int(sys.stdin.readline())
    if count:
        await asyncio.gather(*(app.start("slow") for _ in range(count)))
        print("started", flush=True)
    while app.engine.executor.runs:
        await asyncio.sleep(0.01)
    print("done", flush=True)


async def killed(folder: Path, count: int = 500) -> dict[str, Any]:
    """W5."""
    ledger = folder / "ledger"
    env = {**COMPILED, "BENCH_LEDGER": str(ledger)}
    command = [sys.executable, "-P", "-m", "reactor.bench.workflows", "--slow", f"sqlite:///{folder}/w5.db"]

    async def child() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=env
        )

    first = await child()
    assert first.stdout is not None
    assert first.stdin is not None
    await first.stdout.readline()
    first.stdin.write(f"{count}\n".encode())
    await first.stdout.readline()
    await asyncio.sleep(0.5)
    first.send_signal(signal.SIGKILL)
    await first.wait()
    begun = time.perf_counter()
    second = await child()
    assert second.stdout is not None
    assert second.stdin is not None
    ready = (await second.stdout.readline()).decode().split()[1]
    second.stdin.write(b"0\n")
    await second.stdout.readline()
    seconds = time.perf_counter() - begun
    await second.wait()
    lines = ledger.read_text().split("\n")[:-1]
    keys = {line.split()[2] for line in lines}
    return {
        "W5 ready s": float(ready),
        "W5 all done s (process start included)": round(seconds, 2),
        "W5 lost": count * 5 - len(keys),
        "W5 executed again": len(lines) - len(keys),
    }


def main() -> None:
    """Measure and print."""
    parser = words(__doc__)
    parser.add_argument("--store", default="sqlite")
    parser.add_argument("--only", default="W1,W2,W3,W4,W5")
    parser.add_argument("--slow")
    said = parser.parse_args()
    import uvloop

    if said.slow:
        uvloop.run(serve_slow(said.slow))
        return
    folder = Path(tempfile.mkdtemp(prefix="reactor-bench-"))
    try:
        only = set(said.only.split(","))
        url = f"sqlite:///{folder}/w.db" if said.store == "sqlite" else said.store
        bare = [no_engine()]
        found = uvloop.run(flows(url, only))
        if "W4" in only:
            from reactor.bench.http import w4

            found["W4 5 steps runs/s"] = round(uvloop.run(w4("" if said.store == "sqlite" else said.store)))
        bare.append(no_engine())
        found |= beside(found, bare)
        if "W5" in only:
            found |= uvloop.run(killed(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(found, said.json)


if __name__ == "__main__":
    main()
