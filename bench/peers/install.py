"""Sets up the peers, each in a folder of its own below the cache, by the ordinary clients of the package registries.

    python -P -m reactor.bench.peers.install [PEER ...]

What is there already is left alone. REACTOR_BENCH_PEERS_CACHE moves the cache (~/.cache/reactor-bench-peers).
Each function returns the programs of one peer, and raises Missing with the reason when it cannot be had here.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from reactor.tests.servers.install import Missing, run
from reactor.tests.servers.places import go_program

RESTATE_SERVER = "1.7.12"
TEMPORAL_CLI = "1.5.1"  # the newest that `go install` takes: later ones replace a module by a folder of theirs
FASTAPI = "fastapi>=0.139,<0.140"  # a later one refuses an argument that the server of Prefect 3.8 gives it

Programs = dict[str, str]


def cache() -> Path:
    """The folder kept between runs."""
    chosen = os.environ.get("REACTOR_BENCH_PEERS_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "reactor-bench-peers"


def once(name: str, content: str, install: Callable[[Path], None]) -> Path:
    """The folder `name` with what `install` puts there; made anew when it is not complete, or holds something else."""
    folder = cache() / name
    complete = folder / "complete"
    if not complete.exists() or complete.read_text() != content:
        print(f"Installing {name} ({content}) ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder)
        complete.write_text(content)
    return folder


def environment(name: str, *requirements: str) -> str:
    """The Python of a virtual environment with these packages in it."""

    def install(folder: Path) -> None:
        run(sys.executable, "-m", "venv", str(folder))
        run(str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *requirements)

    return str(once(name, " ".join(requirements), install) / "bin" / "python")


def dbos() -> Programs:
    """DBOS from PyPI."""
    return {"python": environment("dbos", "dbos>=3,<4", "uvloop")}


def restate() -> Programs:
    """The SDK from PyPI, the server from npm's package with its binary."""
    python = environment("restate", "restate-sdk>=1.3,<2", "hypercorn", "aiohttp", "uvloop")
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"@restatedev/restate-server-{sys.platform}-{machine}"

    def install(folder: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise Missing("there is no npm here to fetch its server with")
        run(npm, "install", "--silent", "--no-save", "--prefix", str(folder), f"{package}@{RESTATE_SERVER}")

    folder = once("restate-server", RESTATE_SERVER, install)
    return {
        "python": python,
        "server": str(folder / "node_modules" / package / "bin" / "restate-server"),
        "release": RESTATE_SERVER,
    }


def temporal() -> Programs:
    """The SDK from PyPI, the development server built from the Go module of its command line, whose release counts."""
    python = environment("temporal", "temporalio>=1.35,<2", "uvloop")

    def install(folder: Path) -> None:
        go = go_program()
        if go is None:
            raise Missing("there is no Go here to build its server with")
        module = f"github.com/temporalio/cli/cmd/temporal@v{TEMPORAL_CLI}"
        run(go, "install", "-trimpath", module, env={"GOBIN": str(folder), "GOFLAGS": "-mod=mod"})

    return {
        "python": python,
        "server": str(once("temporal-server", TEMPORAL_CLI, install) / "temporal"),
        "release": TEMPORAL_CLI,
    }


def prefect() -> Programs:
    """Prefect from PyPI, server included."""
    return {"python": environment("prefect", "prefect>=3,<4", FASTAPI)}


def bare() -> Programs:
    """Nothing to install."""
    return {"python": sys.executable}


def rule_engine() -> Programs:
    """A matcher of rules from PyPI, for bench/routing.py."""
    return {"python": environment("rule-engine", "rule-engine>=4,<5")}


INSTALL: dict[str, Callable[[], Programs]] = {
    "bare": bare,
    "dbos": dbos,
    "restate": restate,
    "temporal": temporal,
    "prefect": prefect,
    "rule-engine": rule_engine,
}


def installed(name: str) -> Programs:
    """The programs of a peer, installed now if need be, by one process at a time; raises Missing."""
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return INSTALL[name]()


def main() -> int:
    """Install what is named, or all; 1 when one cannot be had."""
    status = 0
    for name in sys.argv[1:] or INSTALL:
        try:
            print(name, installed(name))
        except Missing as why:
            print(f"{name}: not installed: {why}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
