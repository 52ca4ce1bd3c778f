"""Sources without a server under load (docs/budgets.md): how late schedules fire, their cost, how fast files are seen.

    python -P -m reactor.bench.triggers_local [--seconds 30] [--schedules 10000] [--folders 200] [--files 50] [--json]

Each through the supervisor with a publish that accepts at once: the trigger's own share of the way, without the store.
Memory is the growth of a fresh process, specs included.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reactor.bench.figures import rss_mb
from reactor.core.clock import SYSTEM
from reactor.core.durations import parse_instant
from reactor.core.event import Delivery, Event, Settlement
from reactor.language.definition import TriggerSpec
from reactor.triggers.supervisor import Supervisor


async def no_marks(scope: str) -> Mapping[str, bytes]:
    """A new store."""
    return {}


def supervised(seen: Callable[[Event], None]) -> Supervisor:
    """A supervisor whose publish accepts at once."""

    async def publish(trigger: str, delivery: Delivery) -> None:
        for event in delivery.events:
            seen(event)
        await delivery.settle(Settlement())

    return Supervisor(publish, read_marks=no_marks, connections=lambda kind, name: None)


async def lateness(seconds: int) -> dict[str, Any]:
    """Milliseconds after the due instant at which an event of a per-second schedule is published."""
    late: list[float] = []
    supervisor = supervised(lambda event: late.append((SYSTEM.now() - parse_instant(str(event.time))) * 1000))
    config = {"schedule": "* * * * * *"}
    specs = {f"s{i}": TriggerSpec(name=f"s{i}", kind="cron", config=config) for i in range(10)}
    await supervisor.apply(specs)
    await asyncio.sleep(seconds)
    await supervisor.close()
    late.sort()
    p99, p50 = late[int(len(late) * 0.99)], late[len(late) // 2]
    return {"row": "late fire, per second", "fires": len(late), "p50 ms": round(p50, 2), "p99 ms": round(p99, 2)}


async def crowd(count: int) -> dict[str, Any]:
    """Memory and start of many different schedules."""
    supervisor = supervised(lambda event: None)
    # what any schedule needs is loaded before the measurement
    await supervisor.apply({"one": TriggerSpec(name="one", kind="cron", config={"schedule": "0 0 1 1 *"})})
    await asyncio.sleep(0.1)
    gc.collect()
    before, began = rss_mb(), time.perf_counter()
    specs = {
        f"s{i}": TriggerSpec(
            name=f"s{i}", kind="cron", config={"schedule": f"{i % 60} {i // 60 % 24} {i // 1440 + 1} * *"}
        )
        for i in range(count)
    }
    await supervisor.apply(specs)
    while any(reader.state != "connected" for reader in supervisor.readers.values()):
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    await asyncio.sleep(0.2)
    gc.collect()
    grown = rss_mb() - before
    await supervisor.close()
    return {"row": f"{count} schedules", "MB": round(grown, 1), "start s": round(took, 2)}


def make_files(root: str, folders: int, files: int) -> None:
    """Each folder is made and filled at once."""
    for folder in range(folders):
        path = Path(root) / f"d{folder}"
        path.mkdir()
        for number in range(files):
            (path / f"f{number}").write_bytes(b"x")


async def burst(folders: int, files: int) -> dict[str, Any]:
    """Files in new folders, made by another process: how many are seen, and when the last of them is."""
    with tempfile.TemporaryDirectory() as root:
        seen: set[str] = set()
        supervisor = supervised(lambda event: seen.add(str(event.subject)))
        config = {"path": root, "recursive": True, "ready": {"stable": "0s"}}
        await supervisor.apply({"inbox": TriggerSpec(name="inbox", kind="file", config=config)})
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        maker = multiprocessing.get_context("spawn").Process(target=make_files, args=(root, folders, files))
        maker.start()
        last = began
        count = 0
        while len(seen) < folders * files and time.perf_counter() - last < 15:
            await asyncio.sleep(0.01)
            if len(seen) != count:
                count, last = len(seen), time.perf_counter()
        maker.join()
        await supervisor.close()
        return {
            "row": f"{folders * files} files in {folders} new folders",
            "seen %": round(100 * len(seen) / (folders * files), 2),
            "s": round(last - began, 2),
        }


def main() -> None:
    """Run all rows and print them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=30)
    options.add_argument("--schedules", type=int, default=10_000)
    options.add_argument("--folders", type=int, default=200)
    options.add_argument("--files", type=int, default=50)
    options.add_argument("--json", action="store_true")
    wanted = options.parse_args()
    rows = [
        asyncio.run(crowd(wanted.schedules)),
        asyncio.run(lateness(wanted.seconds)),
        asyncio.run(burst(wanted.folders, wanted.files)),
    ]
    if wanted.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" if name != "row" else f"{value}:" for name, value in row.items()))


if __name__ == "__main__":
    main()
