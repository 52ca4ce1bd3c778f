"""Starting up (docs/budgets.md): `reactor --help`, the import, ready after start, idle memory; each a fresh process.

    python -P -m reactor.bench.startup [--runs 20] [--json FILE]

The modules' bytecode is written before the first figure, as an installation's is, whatever PYTHONDONTWRITEBYTECODE
says: without it every start compiles the whole package. Medians, with the least beside them: on a busy machine the
least is nearer to what it costs. Bare Python stands beside as the ground.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from reactor.core.clock import SYSTEM

REACTOR = shutil.which("reactor", path=str(Path(sys.executable).parent)) or "reactor"
FLOW = "workflow: hello\nwhen: [{event: greet}]\nsteps: [{log: {message: hello}}]\n"
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of a process whose modules' bytecode is kept, as an installation's is."""
IDLE_S = 2.0  # memory is looked at so long after it is ready


class Figure(NamedTuple):
    """What was measured: its unit, floor and goal by the budgets (None: there is none), and the values."""

    name: str
    unit: str
    floor: float | None
    goal: float | None
    values: list[float]


def timed(*command: str) -> float:
    """Seconds until a command has ended well."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=COMPILED)
    return time.perf_counter() - began


def python(code: str) -> Callable[[], float]:
    """Measures a fresh interpreter with this code."""
    return lambda: timed(sys.executable, "-P", "-c", code)


def served(folder: Path) -> tuple[float, float]:
    """Seconds until `reactor serve` is ready, and MB that it holds while idle."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [REACTOR, "serve"], cwd=folder, env=COMPILED, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if line.strip() == "ready":
                break
        ready = time.perf_counter() - began
        time.sleep(IDLE_S)
        return ready, resident(child.pid)
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()


def resident(pid: int) -> float:
    """MB of memory that a process and its children hold, what they share counted once (Pss)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024 + sum(resident(int(child)) for child in children)
    raise ValueError(f"process {pid} says nothing of its memory")


def measure(runs: int) -> list[Figure]:
    """All figures, their processes taken in turn, so that a busy moment meets all of them."""
    singles: dict[str, Callable[[], float]] = {
        "bare python": python("pass"),
        "import of reactor": python("import reactor"),
        "reactor --help": lambda: timed(REACTOR, "--help"),
        "reactor run --help": lambda: timed(REACTOR, "run", "--help"),
        "reactor --version": lambda: timed(REACTOR, "--version"),
    }
    found: dict[str, list[float]] = {name: [] for name in singles}
    for once in singles.values():
        once()
    for _ in range(runs):
        for name, once in singles.items():
            found[name].append(once())
    ready: list[float] = []
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "workflows").mkdir()
        (folder / "workflows" / "hello.yaml").write_text(FLOW)
        (folder / "reactor.yaml").write_text("server: {port: 0}\n")
        served(folder)  # writes what bytecode is missing
        for _ in range(max(3, runs // 4)):
            seconds, megabytes = served(folder)
            ready.append(seconds)
            memory.append(megabytes)
    limits = {
        "import of reactor": (0.15, 0.08),
        "reactor --help": (0.2, 0.1),
        "reactor run --help": (0.2, 0.1),
    }
    figures = [Figure(name, "s", *limits.get(name, (None, None)), values) for name, values in found.items()]
    return [*figures, Figure("ready after start", "s", 0.6, 0.3, ready), Figure("idle memory", "MB", 70, 45, memory)]


def main() -> None:
    """Measure, print a table, and write JSON if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", default="")
    wanted = parser.parse_args()
    figures = measure(wanted.runs)
    print(f"{'':24}{'median':>10}{'least':>10}{'floor':>10}{'goal':>10}")
    for each in figures:
        digits = 3 if each.unit == "s" else 0
        cells = [statistics.median(each.values), min(each.values), each.floor, each.goal]
        shown = "".join(f"{'-' if cell is None else f'{cell:.{digits}f} {each.unit}':>10}" for cell in cells)
        print(f"{each.name:24}{shown}")
    if wanted.json:
        body = {"at": SYSTEM.now(), "figures": [each._asdict() for each in figures]}
        Path(wanted.json).write_text(json.dumps(body, indent=2))


if __name__ == "__main__":
    main()
