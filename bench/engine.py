"""What the engine costs: a step, a plan of up to 10 000 steps, many runs at once, memory, durable values, sleep.

    python -P -m reactor.bench.engine [--share 1.0] [--only steps,plans,crowd,memory,state,sleep] [--json FILE]

*Overhead of a step*: what 20 more steps that do nothing add to a run, a twentieth of it, each step's result durable
before the next begins. *Plan*: from the text of a graph, each step reading the two before it, to what a run walks.
*Memory*: of this process after each fifth of the runs, and what 1 000 runs add that wait for an hour.
`--share` is the part of the work that is done: less for a look, and for the test of this file.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from reactor import App
from reactor.bench.figures import percentile, rss_mb, show, words
from reactor.bench.workflows import FLOW_YAML, many
from reactor.cli.starting import uncollected
from reactor.engine.plan import Plan
from reactor.language.loader import load_text

NOOP = "reactor.bench.workflows:noop"
GRAPHS = (10, 100, 1_000, 10_000)
CROWDS = (1, 10, 100, 1_000)
SLEEPERS = 1_000
SLEEP = "workflow: sleep\nsteps: [{wait: {for: 1h}}]\n"
CHANGES = 20
STATE = "workflow: state\ninputs: {n: integer}\nsteps:\n" + "".join(
    f'  - {{state: {{op: increment, key: "k{n}-${{{{ inputs.n }}}}"}}}}\n' for n in range(CHANGES)
)


def chain(name: str, count: int) -> str:
    """A list of steps that do nothing."""
    steps = "".join(f'  - {{python: {{function: "{NOOP}", args: {{x: {n}}}}}}}\n' for n in range(count))
    return f"workflow: {name}\ninputs: {{n: integer}}\nsteps:\n{steps}"


def graph(count: int) -> str:
    """A graph in which each step reads the two before it."""
    lines = [f"workflow: graph{count}", "steps:"]
    for n in range(count):
        read = " ".join(f"${{{{ steps.s{m}.output }}}}" for m in (n - 2, n - 1) if m >= 0)
        lines.append(f'  s{n}: {{transform: "{read or "x"}"}}')
    return "\n".join(lines)


async def deployed(app: App, *texts: str) -> None:
    """Put workflows in force."""
    with uncollected():
        loaded = load_text("\n---\n".join(texts), "bench.yaml", app.vocabulary())
        loaded.diagnostics.raise_errors()
        await app.deploys.deploy(loaded.loaded)


async def steps(store: str, share: float) -> dict[str, Any]:
    """The overhead of one step, one run at a time and with 100 at once."""
    found: dict[str, Any] = {}
    async with App(store, listen=False) as app:
        await deployed(app, chain("one", 1), chain("twenty-one", 21))
        for shown, count, at_once in (("alone", 200, 1), ("100 at once", 1_000, 100)):
            took: dict[str, tuple[float, float]] = {}
            for name in ("one", "twenty-one"):
                await many(app, name, max(3, int(count * share / 4)), at_once)
                used, runs = time.process_time(), max(5, int(count * share))
                seconds, each = await many(app, name, runs, at_once)
                wall = statistics.median(each) if at_once == 1 else seconds / runs
                took[name] = (wall, (time.process_time() - used) / runs)
            wall, cpu = ((took["twenty-one"][n] - took["one"][n]) / 20 for n in (0, 1))
            found[f"overhead of a step, {shown}, us"] = round(wall * 1e6)
            found[f"overhead of a step, {shown}, CPU us"] = round(cpu * 1e6)
    return found


async def plans(store: str, share: float) -> dict[str, Any]:
    """Time to check and to plan a graph."""
    found: dict[str, Any] = {}
    known = App(listen=False).vocabulary()
    for count in GRAPHS:
        size = max(3, int(count * share))
        begun = time.perf_counter()
        loaded = load_text(graph(size), "bench.yaml", known)
        loaded.diagnostics.raise_errors()
        read = time.perf_counter()
        plan = Plan(loaded.definitions[0])
        found[f"graph of {size} steps: check / plan, ms"] = [
            round((read - begun) * 1e3, 1),
            round((time.perf_counter() - read) * 1e3, 1),
        ]
        assert len(plan.nodes) == size
    return found


async def crowd(store: str, share: float) -> dict[str, Any]:
    """Five-step workflows a second with so many at once."""
    found: dict[str, Any] = {}
    async with App(store, listen=False) as app:
        await deployed(app, FLOW_YAML)
        await many(app, "five-yaml", max(5, int(300 * share)), 50)
        for at_once in CROWDS:
            count = max(at_once, int(min(5_000, 500 * at_once) * share))
            seconds, each = await many(app, "five-yaml", count, at_once)
            found[f"{at_once} at once: workflows/s, p95 ms"] = [
                round(count / seconds),
                round(percentile(each, 0.95) * 1e3, 1),
            ]
    return found


async def memory(store: str, share: float) -> dict[str, Any]:
    """What the process holds as more and more runs have ended."""
    curve, count = list[float](), max(5, int(4_000 * share))
    async with App(store, listen=False) as app:
        await deployed(app, FLOW_YAML)
        for _ in range(6):
            gc.collect()
            curve.append(round(rss_mb(), 1))
            await many(app, "five-yaml", count, 100)
    return {f"memory after each fifth of {5 * count} runs, MB": curve}


async def state(store: str, share: float) -> dict[str, Any]:
    """Durable changes of values a second, each a step of its own."""
    async with App(store, listen=False) as app:
        await deployed(app, STATE)
        await many(app, "state", max(3, int(50 * share)), 50)
        count = max(5, int(500 * share))
        seconds, _ = await many(app, "state", count, 50)
        _, alone = await many(app, "state", max(3, int(20 * share)), 1)
    return {
        "state: changes/s, 50 runs at once": round(count * CHANGES / seconds),
        "state: a change alone, us": round(statistics.median(alone) / CHANGES * 1e6),
    }


async def sleep(store: str, share: float) -> dict[str, Any]:
    """What runs add that wait for an hour."""
    async with App(store, listen=False) as app:
        await deployed(app, SLEEP)
        count = max(10, int(SLEEPERS * share))
        await asleep(app, count // 5)
        before, began = held(), time.perf_counter()
        await asleep(app, count)
        return {
            f"{count} sleeping runs: MB more": round(held() - before, 2),
            f"{count} sleeping runs: s until all sleep": round(time.perf_counter() - began, 2),
        }


async def asleep(app: App, count: int) -> None:
    """Start so many runs that wait, until all of them do."""
    wanted = len(app.engine.executor.runs) + count
    runs = await asyncio.gather(*(app.start("sleep") for _ in range(count)))
    async with asyncio.timeout(60):
        for run in runs:
            while (await run.status())["state"] != "waiting":
                await asyncio.sleep(0.01)
    assert len(app.engine.executor.runs) <= wanted


def held() -> float:
    """MB that this process holds when nothing is left to collect."""
    gc.collect()
    return rss_mb()


PARTS: dict[str, Callable[[str, float], Awaitable[dict[str, Any]]]] = {
    "steps": steps,
    "plans": plans,
    "crowd": crowd,
    "memory": memory,
    "state": state,
    "sleep": sleep,
}


def main() -> None:
    """Measure and print."""
    import uvloop

    parser = words(__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--only", default=",".join(PARTS))
    said = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="reactor-bench-"))
    found: dict[str, Any] = {}
    try:
        for name in said.only.split(","):
            found |= uvloop.run(PARTS[name](f"sqlite:///{folder}/{name}.db", said.share))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(found, said.json)


if __name__ == "__main__":
    main()
