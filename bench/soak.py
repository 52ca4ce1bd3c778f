"""Many events through a whole App: memory flat, tables bounded, every count equal.

    python -P -m reactor.bench.soak [--events 100000] [--rate 0] [--store URL] [--trace] [--json FILE]

Each event starts a run of five steps with a time limit, a durable value and a place under a concurrency key; its end
starts a second run. Retention runs every few seconds with short times, so that the tables reach a steady state. Exits
with 1 if memory (beside SQLite's cache, which follows the file up to its own bound) in the last tenth is more than
GROWTH_MAX over that after the warm-up, a table has no bound, an event was lost, or a run was started twice. `--rate
0` is flat out, with IN_FLIGHT events under way.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw

from reactor import App
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
IN_FLIGHT = 200
KEEP_S = 10.0
EVERY_S = 2.0
seen: dict[str, bytearray] = {}  # how often each step was carried out for each event: one byte each, bounded


async def count(n: int, place: str) -> int:
    """A step that leaves a mark outside the store."""
    seen[place][n] += 1
    return n


async def big(n: int) -> dict[str, Any]:
    """One in a thousand results is large enough for a blob."""
    seen["five"][n] += 1
    return {"n": n, "text": "x" * (70_000 + n if n % 1000 == 0 else 100)}


def rss_mb() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Soak:
    """One soak: who sends, who looks."""

    def __init__(self, app: App, events: int, rate: float) -> None:
        self.app, self.events, self.rate = app, events, rate
        self.sent = 0
        self.samples: list[tuple[int, float, float]] = []  # events done, MB, of which SQLite's bounded cache
        self.tables: list[tuple[int, Mapping[str, int]]] = []

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
        await asyncio.gather(*posts)

    def sample(self) -> tuple[int, float, float]:
        """How far it is, and what the process holds."""
        return self.done, rss_mb(), apsw.memory_used() / 2**20

    async def look(self) -> None:
        """A sample every second, the tables every ten, until cancelled."""
        turn = 0
        while True:
            self.samples.append(self.sample())
            if turn % 10 == 0:
                self.tables.append((self.done, await self.app.store.sizes()))
                print(f"{self.done:>8} done, {rss_mb():7.1f} MB, rows {sum_rows(self.tables[-1][1])}", flush=True)
            turn += 1
            await asyncio.sleep(1.0)

    async def run(self) -> dict[str, Any]:
        """Send, wait until all is through, and say what was found."""
        looking = asyncio.ensure_future(self.look())
        begun = time.perf_counter()
        await self.send()
        async with asyncio.timeout(120):
            while self.done < self.events or self.open:
                await asyncio.sleep(0.05)
        seconds = time.perf_counter() - begun
        await asyncio.sleep(KEEP_S + 3 * EVERY_S)
        self.samples.append(self.sample())
        looking.cancel()
        left = await self.app.store.sizes()
        (warm, warm_cache), (late, late_cache) = self._about(0.25, 0.35), self._about(0.9, 1.0)
        return {
            "events": self.events,
            "events/s": round(self.events / seconds),
            "RSS after warm-up MB": round(warm, 1),
            "RSS in the last tenth MB": round(late, 1),
            "RSS at the end MB": round(self.samples[-1][1], 1),
            "SQLite's cache then MB": [round(warm_cache, 1), round(late_cache, 1), round(self.samples[-1][2], 1)],
            "growth": round(late / warm - 1, 4),
            "growth without the cache": round((late - late_cache) / (warm - warm_cache) - 1, 4),
            "curve (done, MB)": [(d, round(mb, 1)) for d, mb, _ in self.samples[:: max(1, len(self.samples) // 20)]],
            "most rows": {name: max(t.get(name, 0) for _, t in self.tables) for name in self.tables[-1][1]},
            "rows left": dict(left),
            "lost": {place: seen[place].count(0) for place in PLACES},
            "twice": {place: sum(1 for n in seen[place] if n > 1) for place in PLACES},
        }

    def _about(self, low: float, high: float) -> tuple[float, float]:
        picked = [s for s in self.samples if low <= s[0] / self.events <= high] or self.samples[-1:]
        return statistics.median(s[1] for s in picked), statistics.median(s[2] for s in picked)


def sum_rows(sizes: Mapping[str, int]) -> int:
    """Rows of all tables but the dedupe records, which go by days."""
    return sum(n for name, n in sizes.items() if not name.startswith("seen_") and "bytes" not in name)


def wrong(found: Mapping[str, Any], events: int) -> list[str]:
    """What breaks a promise; empty if nothing does."""
    faults = [f"{n} events never came to `{place}`" for place, n in found["lost"].items() if n]
    faults += [f"{n} events came twice to `{place}`" for place, n in found["twice"].items() if n]
    if found["growth without the cache"] > GROWTH_MAX:
        grown = found["growth without the cache"]
        faults.append(f"memory beside SQLite's cache grew by {grown:.1%}; at most {GROWTH_MAX:.0%}")
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
    words = argparse.ArgumentParser()
    words.add_argument("--events", type=int, default=100_000)
    words.add_argument("--rate", type=float, default=0.0)
    words.add_argument("--store", default="")
    words.add_argument("--trace", action="store_true")
    words.add_argument("--json")
    said = words.parse_args()
    import uvloop

    folder = Path(tempfile.mkdtemp(prefix="reactor-soak-"))
    try:
        found = uvloop.run(soak(said.store or f"sqlite:///{folder}/s.db", said.events, said.rate, said.trace))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, value in found.items():
        print(f"{name:28} {value}")
    if said.json:
        Path(said.json).write_text(json.dumps(found, indent=1))
    faults = wrong(found, said.events)
    print("\n".join(faults) or "all promises held")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    from reactor.bench import soak as named  # the steps name this module: it is to be there once

    named.main()
