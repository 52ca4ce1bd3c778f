"""Many events through a whole App: memory flat, tables bounded, every count equal.

    python -P -m reactor.bench.soak [--events 100000] [--rate 0] [--store URL] [--leak 0] [--trace] [--json FILE]

Each event starts a run of five steps with a time limit, a durable value and a place under a concurrency key; its end
starts a second run. Retention runs every few seconds with short times, so that the tables reach a steady state.

Memory is looked at while the App rests: RESTS times nothing is sent until all runs have ended, the collector runs, and
the blocks that Python holds are counted. Under load they follow the load; at rest a leak of one object an event is one
block an event. Exits with 1 if over the last half of the rests (the caches are full by then) more than
BLOCKS_PER_EVENT_MAX blocks stay of each event, or memory beside SQLite's cache, which follows the file up to its own
bound, grows by more than GROWTH_MAX; or if a table has no bound, an event was lost, or a run was started twice.
`--rate 0` is flat out, with IN_FLIGHT events under way. `--leak N` keeps an object of N bytes of each event: it must
fail then.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from reactor import App
from reactor.bench.figures import rss_mb, show, words
from reactor.engine import upkeep
from reactor.language.loader import load_text
from reactor.language.project import Project, Retention

FLOW = """
workflow: soak
timeout: 1h
inputs: {n: integer, pad: string}
when: [{event: soak.new, with: {n: "${{ event.data.n }}", pad: "${{ event.data.pad }}"}}]
limits: {concurrency: {max: 2, key: "inputs.n % 50", overflow: queue}}
outputs: {n: "${{ steps.four.output }}"}
steps:
  - {name: one, python: {function: "reactor.bench.soak:count", args: {n: "${{ inputs.n }}", place: one}}}
  - {name: two, transform: {n: "${{ inputs.n + 1 }}"}}
  - {name: three, state: {op: increment, key: "k${{ inputs.n % 10 }}"}}
  - name: four
    python: {function: "reactor.bench.soak:count", args: {n: "${{ inputs.n }}", place: four}}
    timeout: 30s
  - name: five
    python: {function: "reactor.bench.soak:big", args: {n: "${{ inputs.n }}"}}
    retry: {attempts: 2, delay: 10ms}
---
workflow: soak-after
inputs: {n: integer}
when: [{workflow: soak, with: {n: "${{ event.data.outputs.n }}"}}]
steps: [{name: six, python: {function: "reactor.bench.soak:count", args: {n: "${{ inputs.n }}", place: six}}}]
"""
PLACES = ("one", "four", "five", "six")
GROWTH_MAX = 0.10
BLOCKS_PER_EVENT_MAX = 0.25  # 0.02 in 100 000 events and 0.09 in 30 000 are the noise; one object kept is 1
RESTS = 20
REST_S_MAX = 120.0
IN_FLIGHT = 200
KEEP_S = 10.0
EVERY_S = 2.0
leaked: list[bytes] = []
leak_bytes = 0
seen: dict[str, bytearray] = {}  # how often each step was carried out for each event: one byte each, bounded


async def count(n: int, place: str) -> int:
    """A step that leaves a mark outside the store, and what was asked for in memory."""
    seen[place][n] += 1
    if leak_bytes and place == "one":
        leaked.append(bytes(leak_bytes))
    return n


async def big(n: int) -> dict[str, Any]:
    """One in a thousand results is large enough for a blob."""
    seen["five"][n] += 1
    return {"n": n, "text": "x" * (70_000 + n if n % 1000 == 0 else 100)}


class Rest(NamedTuple):
    """What is held while nothing runs: events done, blocks of Python's, MB of the process, MB of SQLite's cache."""

    done: int
    blocks: int
    mb: float
    cache_mb: float


def slope(rests: Sequence[Rest], value: Callable[[Rest], float]) -> float:
    """How much a value grows with each event: the median over all pairs (Theil and Sen), deaf to single outliers."""
    return statistics.median((value(b) - value(a)) / (b.done - a.done) for a, b in combinations(rests, 2))


def growth(rests: Sequence[Rest]) -> tuple[float, float]:
    """Over the last half: blocks that stay of each event; by what part memory beside SQLite's cache grew."""
    late = rests[len(rests) // 2 :]
    first = statistics.median(each.mb - each.cache_mb for each in late)
    grown = slope(late, lambda each: each.mb - each.cache_mb) * (late[-1].done - late[0].done)
    return slope(late, lambda each: each.blocks), grown / first


class Soak:
    """One soak: who sends, who looks."""

    def __init__(self, app: App, events: int, rate: float) -> None:
        self.app, self.events, self.rate = app, events, rate
        self.sent = 0
        self.rests: list[Rest] = []
        self.most: dict[str, int] = {}  # rows of each table

    @property
    def done(self) -> int:
        """Events whose last step was carried out."""
        return self.events - seen["six"].count(0)

    @property
    def open(self) -> int:
        """Runs that have not ended, held ones included."""
        return len(self.app.engine.executor.runs) + self.app.engine.held.counts.total()

    async def send(self) -> None:
        """Every event once, and each hundredth a second time."""
        gate = asyncio.Semaphore(IN_FLIGHT)
        begun = time.perf_counter()

        async def one(n: int) -> None:
            try:
                for _ in range(2 if n % 100 == 0 else 1):
                    await self.app.emit("soak.new", {"n": n, "pad": "p" * 600}, source="/soak", id=f"n{n}")
            finally:
                gate.release()

        posts: set[asyncio.Task[None]] = set()
        for n in range(self.events):
            await gate.acquire()
            while self.open > 4 * IN_FLIGHT:
                await asyncio.sleep(0.005)
            if self.rate and (ahead := n / self.rate - (time.perf_counter() - begun)) > 0:
                await asyncio.sleep(ahead)
            task = asyncio.ensure_future(one(n))
            posts.add(task)
            task.add_done_callback(posts.discard)
            self.sent = n + 1
            if self.sent % max(1, self.events // RESTS) == 0:
                await asyncio.gather(*posts)
                begun += await self.rest()

    async def rest(self) -> float:
        """Wait until all runs have ended, and look at what is held; the seconds that it took."""
        begun = time.perf_counter()
        async with asyncio.timeout(REST_S_MAX):
            while self.done < self.sent or self.open:
                await asyncio.sleep(0.02)
        gc.collect()
        self.rests.append(Rest(self.done, sys.getallocatedblocks(), rss_mb(), apsw.memory_used() / 1e6))
        return time.perf_counter() - begun

    async def look(self) -> None:
        """The tables every few seconds, until cancelled."""
        while True:
            sizes = await self.app.store.sizes()
            for name, rows in sizes.items():
                self.most[name] = max(rows, self.most.get(name, 0))
            print(f"{self.done:>8} done, {rss_mb():7.1f} MB, rows {sum_rows(sizes)}", flush=True)
            await asyncio.sleep(5.0)

    async def run(self) -> dict[str, Any]:
        """Send, wait until all is through, and say what was found."""
        looking = asyncio.ensure_future(self.look())
        begun = time.perf_counter()
        await self.send()
        seconds = time.perf_counter() - begun
        await asyncio.sleep(KEEP_S + 3 * EVERY_S)
        looking.cancel()
        left = await self.app.store.sizes()
        blocks, grown = growth(self.rests)
        return {
            "events": self.events,
            "events/s, rests included": round(self.events / seconds),
            "blocks that stay of an event": round(blocks, 4),
            "growth without SQLite's cache": round(grown, 4),
            "RSS at the end MB": round(rss_mb(), 1),
            "at rest (done, blocks, MB, SQLite's MB)": [
                (each.done, each.blocks, round(each.mb, 1), round(each.cache_mb, 1)) for each in self.rests
            ],
            "most rows": self.most,
            "rows left": dict(left),
            "lost": {place: seen[place].count(0) for place in PLACES},
            "twice": {place: sum(1 for n in seen[place] if n > 1) for place in PLACES},
        }


def sum_rows(sizes: Mapping[str, int]) -> int:
    """Rows of all tables but the dedupe records, which go by days."""
    return sum(n for name, n in sizes.items() if not name.startswith("seen_") and "bytes" not in name)


def wrong(found: Mapping[str, Any], events: int) -> list[str]:
    """What breaks a promise; empty if nothing does."""
    faults = [f"{n} events never came to `{place}`" for place, n in found["lost"].items() if n]
    faults += [f"{n} events came twice to `{place}`" for place, n in found["twice"].items() if n]
    if (blocks := found["blocks that stay of an event"]) > BLOCKS_PER_EVENT_MAX:
        faults.append(f"{blocks:.2f} blocks of memory stay of each event; at most {BLOCKS_PER_EVENT_MAX}")
    if (grown := found["growth without SQLite's cache"]) > GROWTH_MAX:
        faults.append(f"memory beside SQLite's cache grew by {grown:.1%} in the last half; at most {GROWTH_MAX:.0%}")
    bounded = {"outbox": 0, "held": 0, "flow": 0, "j": events // 10, "run": events // 10, "event": events // 10}
    faults += [f"{found['rows left'].get(t, 0)} rows are left in `{t}`" for t, most in bounded.items()
               if found["rows left"].get(t, 0) > most]  # fmt: skip
    return faults


async def soak(url: str, events: int, rate: float, trace: bool) -> dict[str, Any]:
    """Open an App, soak it, close it."""
    upkeep.EVERY_S = EVERY_S
    for place in PLACES:
        seen[place] = bytearray(events)
    keep = Retention(runs_s=KEEP_S, events_s=KEEP_S, unmatched_s=KEEP_S)
    async with App(project=Project(os.getcwd(), store=url, retention=keep), listen=False) as app:
        loaded = load_text(FLOW, "soak.yaml", app.vocabulary())
        loaded.diagnostics.raise_errors()
        await app.deploys.deploy(loaded.loaded)
        soaking = Soak(app, events, rate)
        if not trace:
            return await soaking.run()
        tracemalloc.start(12)
        work = asyncio.ensure_future(soaking.run())
        while soaking.done < events // 4:
            await asyncio.sleep(0.1)
        gc.collect()
        before = tracemalloc.take_snapshot()
        found = await work
        gc.collect()
        for stat in tracemalloc.take_snapshot().compare_to(before, "traceback")[:12]:
            print(f"{stat.size_diff / 1024:+.0f} KiB, {stat.count_diff:+} blocks")
            print("\n".join(stat.traceback.format(limit=6)))
        return found


def main() -> None:
    """Soak and print; the exit status says whether the promises held."""
    parser = words(__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--store", default="")
    parser.add_argument("--leak", type=int, default=0)
    parser.add_argument("--trace", action="store_true")
    said = parser.parse_args()
    import uvloop

    global leak_bytes  # the steps read it
    leak_bytes = said.leak
    folder = Path(tempfile.mkdtemp(prefix="reactor-soak-"))
    try:
        found = uvloop.run(soak(said.store or f"sqlite:///{folder}/s.db", said.events, said.rate, said.trace))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(found, said.json)
    faults = wrong(found, said.events)
    print("\n".join(faults) or "all promises held")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    from reactor.bench import soak as named  # the steps name this module: it is to be there once

    named.main()
