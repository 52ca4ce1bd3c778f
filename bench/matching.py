"""How many events a CPU-second matches, JSON decoding included, at 1 000, 10 000 and 100 000 rules.

  python -P bench/matching.py [--rules 1000 10000 100000] [--events 20000] [--rounds 5] [--json FILE]

CPU time of this process (process_time), the collector on, medians of the rounds. Memory is what the index adds to the
resident set of a fresh process.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from reactor.bench.figures import rss_mb
from reactor.bench.matching_workload import Vocab, event, rule
from reactor.router import RuleIndex

BUDGETS = {  # name -> rules -> floor, goal
    "events_per_s": {1_000: (50_000, 100_000), 10_000: (45_000, 90_000), 100_000: (22_000, 60_000)},
    "build_s": {10_000: (1.0, 0.3)},
    "memory_mb": {10_000: (40, 20)},
    "add_ms": {10_000: (1.0, 0.1)},
    "remove_ms": {10_000: (1.0, 0.1)},
    "explain_all_ms": {10_000: (200, 50)},
}
SEED = 20


def workload(events: int, rules: int) -> tuple[list[bytes], list[tuple[str, dict[str, Any]]]]:
    """The lines that `matching_workload.py` writes, from memory."""
    vocabulary = Vocab(SEED)
    chance = random.Random(SEED + 1)
    lines = [json.dumps(event(chance, vocabulary, number), separators=(",", ":")).encode() for number in range(events)]
    chance = random.Random(SEED + 2)
    drawn = [rule(chance, vocabulary, number) for number in range(rules)]
    return lines, [(one["id"], one["pattern"]) for one in drawn]


def cpu_s(work: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def each(work: Callable[[Any], Any], items: Iterable[Any]) -> Callable[[], None]:
    """All items, one call each."""

    def run() -> None:
        for item in items:
            work(item)

    return run


def measure(rules: int, events: int, rounds: int) -> dict[str, float]:
    """All figures at one number of rules; call it in a process of its own."""
    lines, patterns = workload(events, rules + 300)
    patterns, more = patterns[:rules], patterns[rules:]
    gc.collect()
    before_mb = rss_mb()
    index = RuleIndex()
    build_s = cpu_s(lambda: index.change(add=patterns))
    gc.collect()
    memory_mb = rss_mb() - before_mb
    decode = msgspec.json.Decoder().decode
    hits = sum(len(index.match(line)) for line in lines)
    per_event: list[float] = []
    decoded: list[float] = []
    for _ in range(rounds):
        per_event.append(cpu_s(each(index.match, lines)) / events)
        decoded.append(cpu_s(each(lambda line: index.match(decode(line)), lines)) / events)
    add_s = [cpu_s(lambda pair=pair: index.add(*pair)) for pair in more]
    remove_s = [cpu_s(lambda pair=pair: index.remove(pair[0])) for pair in more]
    explain_s = [cpu_s(lambda line=line: list(index.explain_all(line))) for line in lines[:7]]
    return {
        "rules": rules,
        "events_per_s": 1 / statistics.median(per_event),
        "events_per_s_decoded_to_dict": 1 / statistics.median(decoded),
        "matches_per_event": hits / events,
        "build_s": build_s,
        "memory_mb": memory_mb,
        "add_ms": statistics.median(add_s) * 1e3,
        "add_ms_p99": sorted(add_s)[len(add_s) * 99 // 100] * 1e3,
        "remove_ms": statistics.median(remove_s) * 1e3,
        "remove_ms_p99": sorted(remove_s)[len(remove_s) * 99 // 100] * 1e3,
        "explain_all_ms": statistics.median(explain_s) * 1e3,
    }


def table(rows: list[dict[str, float]]) -> str:
    """The figures, a line each, with their budgets."""
    lines = [f"{'':30}" + "".join(f"{row['rules']:>14,.0f}" for row in rows) + "   floor / goal"]
    for name in rows[0]:
        if name == "rules":
            continue
        budgets = "  ".join(
            f"{floor:g} / {goal:g} at {rules:,}" for rules, (floor, goal) in BUDGETS.get(name, {}).items()
        )
        lines.append(f"{name:30}" + "".join(f"{row[name]:>14,.3f}" for row in rows) + f"   {budgets}")
    costs = {row["rules"]: 1 / row["events_per_s"] for row in rows}
    if 1_000 in costs and 10_000 in costs:
        lines.append(f"{'cost at 10,000 / at 1,000':30}{costs[10_000] / costs[1_000]:>14.3f}   floor 1.4, goal 1.1")
    return "\n".join(lines)


def main() -> None:
    """Measure each size in a fresh process, print a table, write JSON."""
    parser = argparse.ArgumentParser(description="Events matched per CPU-second")
    parser.add_argument("--rules", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    rows: list[dict[str, float]] = []
    for rules in options.rules:
        with spawn.Pool(1) as pool:
            rows.append(pool.apply(measure, (rules, options.events, options.rounds)))
    print(table(rows))
    text = json.dumps({"benchmark": "matching", "seed": SEED, "events": options.events, "rows": rows}, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
