"""A thousand runs at once for minutes: how fast, how long each takes, and whether memory stays where it is.

    python -P -m reactor.bench.crowd [--seconds 300] [--at-once 1000] [--store URL] [--leak 0] [--json FILE]

Each of the lanes starts a workflow of five steps, waits for its end, and starts the next. The resident set is looked at
a hundred times. The first WARM of the time is warm-up; what is held in the tenth after it is compared with what is held
in the last tenth. Exits with 1 if that is more than GROWTH_MAX over it. `--leak N` keeps N bytes of each run: it must
fail then.

SQLite's cache grows with its file up to a bound of its own, which 50 000 runs reach: a look shorter than that sees it
grow, and says so.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from reactor import App
from reactor.bench.engine import deployed
from reactor.bench.figures import percentile, rss_mb, show, words
from reactor.bench.workflows import FLOW_YAML

WARM = 0.2
GROWTH_MAX = 0.10
LOOKS = 100
CURVE = 10  # of the looks, so many are printed


def growth(curve: Sequence[float]) -> float:
    """By what part the last tenth of a curve is over the tenth after the warm-up: medians, deaf to single outliers."""
    tenth = max(1, len(curve) // 10)
    warm = int(len(curve) * WARM)
    first = statistics.median(curve[warm : warm + tenth])
    return statistics.median(curve[-tenth:]) / first - 1


def wrong(curve: Sequence[float]) -> list[str]:
    """What breaks the promise; empty if nothing does."""
    grown = growth(curve)
    if grown <= GROWTH_MAX:
        return []
    return [f"memory ends {grown:.1%} over what it was after the warm-up; at most {GROWTH_MAX:.0%}"]


async def crowded(store: str, seconds: float, at_once: int, leak: int) -> tuple[dict[str, Any], list[float]]:
    """Keep so many runs open for so long; the figures, and the whole curve of memory in MB."""
    took, kept, curve = array("d"), list[bytes](), list[float]()
    async with App(store, listen=False, writer="process") as app:
        await deployed(app, FLOW_YAML)
        begun = time.perf_counter()
        over = begun + seconds

        async def lane() -> None:
            while (started := time.perf_counter()) < over:
                run = await app.start("five-yaml", {"n": len(took)})
                await run.result(60)
                took.append(time.perf_counter() - started)
                if leak:
                    kept.append(b"x" * leak)

        lanes = asyncio.gather(*(lane() for _ in range(at_once)))
        for look in range(1, LOOKS + 1):
            await asyncio.sleep(max(0.0, begun + look * seconds / LOOKS - time.perf_counter()))
            curve.append(rss_mb())
        await lanes
        spent = time.perf_counter() - begun
        cache = apsw.memory_used()
    found: dict[str, Any] = {
        f"{at_once} at once for {seconds:g} s: runs": len(took),
        "workflows/s": round(len(took) / spent),
        "p50 / p95 ms": [round(percentile(list(took), share) * 1e3, 1) for share in (0.5, 0.95)],
        "RSS MB, ten times": [round(each, 1) for each in curve[LOOKS // CURVE - 1 :: LOOKS // CURVE]],
        "SQLite's cache of it, MB": round(cache / 1e6, 1),
        "growth after the warm-up": round(growth(curve), 3),
    }
    return found, curve


def main() -> int:
    """Measure and print; the status says whether memory stayed."""
    import uvloop

    parser = words(__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--at-once", type=int, default=1_000)
    parser.add_argument("--store", default="")
    parser.add_argument("--leak", type=int, default=0)
    said = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="reactor-bench-"))
    try:
        store = said.store or f"sqlite:///{folder}/c.db"
        found, curve = uvloop.run(crowded(store, said.seconds, said.at_once, said.leak))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(found, said.json)
    faults = wrong(curve)
    print("\n".join(faults) or "memory stayed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
