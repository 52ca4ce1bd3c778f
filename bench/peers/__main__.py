"""Reactor beside DBOS, Restate, Temporal and Prefect: the same workflows in one run, as ratios: `make bench-peers`.

    python -P -m reactor.bench.peers [PEER ...] [--scale 1.0] [--seconds 15] [--json FILE]

Peers: bare (no engine: what the machine allows), dbos-sqlite, dbos-postgres, restate, temporal, prefect. Each runs its
durable default in processes of its own, for about a minute at most; what cannot be had here is named with the reason.
Reactor is measured first and last, by `bench/workflows.py` and `bench/http.py`, and the means of the two are compared.
On a busy machine the ratios mean little: look at the load.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from reactor.bench.http import w4
from reactor.bench.peers import install, report
from reactor.bench.workflows import flows
from reactor.tests.servers import postgres
from reactor.tests.servers.process import GivenServer, ServerError

SECONDS = 15  # for each of W1, W2 and W3: no workflow is started later
ENDED = 12  # a peer that takes so many times longer is ended; on a machine of its own each takes about a third of it
BOTH = ("SQLite", "PostgreSQL")


@dataclass(frozen=True)
class Peer:
    """What to install, which file measures it, how much of each, and which of Reactor's stores it is compared with."""

    label: str
    install: str
    script: str
    amounts: dict[str, int]
    stores: tuple[str, ...]


PEERS = {
    "bare": Peer(
        "no engine, SQLite alone", "bare", "on_bare.py", {"warm": 300, "w1": 300, "w2": 10_000, "w3": 50}, ("SQLite",)
    ),
    "dbos-sqlite": Peer("DBOS, SQLite", "dbos", "on_dbos.py", {"warm": 20, "w1": 200, "w2": 500, "w3": 5}, ("SQLite",)),
    "dbos-postgres": Peer(
        "DBOS, PostgreSQL", "dbos", "on_dbos.py", {"warm": 20, "w1": 200, "w2": 500, "w3": 10}, ("PostgreSQL",)
    ),
    "restate": Peer(
        "Restate", "restate", "on_restate.py", {"warm": 100, "w1": 300, "w2": 3000, "w3": 50, "w4": 3000}, BOTH
    ),
    "temporal": Peer(
        "Temporal dev, file", "temporal", "on_temporal.py", {"warm": 5, "w1": 15, "w2": 200, "w3": 3}, BOTH
    ),
    "prefect": Peer("Prefect, SQLite", "prefect", "on_prefect.py", {"warm": 1, "w1": 5, "w2": 100, "w3": 1}, BOTH),
}


@contextlib.contextmanager
def database() -> Iterator[postgres.PostgresServer]:
    """A PostgreSQL that keeps what it has committed even if the machine stops; raises ServerError."""
    postgres.SETTINGS |= {"fsync": "on", "full_page_writes": "on"}
    with tempfile.TemporaryDirectory(prefix="reactor-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        server = postgres.open_postgres(Path(name) / "server")
        try:
            yield server
        finally:
            if not isinstance(server.process, GivenServer):
                server.process.stop()


async def durable(url: str) -> None:
    """Raises ServerError unless a commit there waits for the disk: a server that is given may be set otherwise."""
    connection = await asyncpg.connect(url)
    try:
        for name in ("fsync", "synchronous_commit"):
            if (value := await connection.fetchval(f"SHOW {name}")) != "on":
                raise ServerError(f"{name} is {value} in the server that {postgres.VARIABLE} names: set it to on")
    finally:
        await connection.close()


def measured(peer: Peer, url: str, scale: float, seconds: float) -> dict[str, Any]:
    """A peer's figures; raises Missing when it cannot be installed, or ends without any."""
    programs = install.installed(peer.install)
    with tempfile.TemporaryDirectory(prefix="reactor-bench-", ignore_cleanup_errors=True) as folder:
        wanted: dict[str, Any] = {"folder": folder, "server": programs.get("server", "")}
        wanted["url"] = url or f"sqlite:///{folder}/peer.db"
        wanted["seconds"] = seconds
        wanted |= {name: max(1, round(count * scale)) for name, count in peer.amounts.items()}
        command = [programs["python"], str(Path(__file__).with_name(peer.script)), json.dumps(wanted)]
        with open(Path(folder) / "errors.log", "w+") as errors:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, start_new_session=True
            )
            try:
                out, _ = process.communicate(timeout=ENDED * seconds)
            except subprocess.TimeoutExpired:
                raise install.Missing(f"it was not ready after {ENDED * seconds:g} s") from None
            finally:
                with contextlib.suppress(ProcessLookupError):  # its servers are of its group
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.returncode:
                errors.seek(0)
                raise install.Missing(f"it ended with status {process.returncode}: {errors.read()[-1000:]}")
    found = json.loads(out.splitlines()[-1])
    if release := programs.get("release"):
        found["version"] = f"server {release}, SDK {found['version']}"
    return {**found, "stores": peer.stores}


def reactor(places: dict[str, str], when: str) -> dict[str, dict[str, report.Figures]]:
    """Reactor's own figures, by store and form."""
    found = {}
    for store, url in places.items():
        print(f"Reactor, {store}, {when} (load {os.getloadavg()[0]:.1f}) ...", flush=True)
        with tempfile.TemporaryDirectory(prefix="reactor-bench-") as folder:
            target = url or f"sqlite:///{folder}/w.db"
            figures = uvloop.run(flows(target, {"W1", "W2", "W3"}))
            figures["W4 runs/s"] = uvloop.run(w4(target))
            found[store] = report.reactor_figures(figures)
    return found


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", default=list(PEERS))
    parser.add_argument("--scale", type=float, default=1.0, help="the share of the work that the peers are given")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="more for a slow machine: for each of W1 to W3")
    parser.add_argument("--json")
    said = parser.parse_args()
    if unknown := [name for name in said.peers if name not in PEERS]:
        parser.error(f"no such peer: {', '.join(unknown)}; there are: {', '.join(PEERS)}")
    for name in dict.fromkeys(PEERS[each].install for each in said.peers):  # before anything is measured
        with contextlib.suppress(install.Missing):
            install.installed(name)
    started = os.getloadavg()
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {started}")
    not_measured: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        server = None
        try:
            server = stack.enter_context(database())
            asyncio.run(durable(server.url))
        except ServerError as why:
            server, not_measured["Reactor, PostgreSQL"] = None, str(why)
        result = compare(said, server, not_measured)
    result["load"] = [started, os.getloadavg()]
    print()
    print("\n".join(report.table(result["reactor"], result["peers"], not_measured)))
    print("\n" + "\n".join(report.verdicts(result["ratios"])))
    place, factor = max(result["apart"].items(), key=lambda each: each[1])
    if factor > report.UNSTEADY:
        print(f"\nReactor's own two measurements are up to {factor:.2f}x apart ({place}): the machine was not steady")
    if said.json:
        Path(said.json).write_text(json.dumps(result, indent=1))
    return 0


def compare(
    said: argparse.Namespace, server: postgres.PostgresServer | None, not_measured: dict[str, str]
) -> dict[str, Any]:
    """Reactor, every peer, Reactor again."""

    def places(when: str) -> dict[str, str]:
        urls = {"SQLite": ""}
        return urls if server is None else urls | {"PostgreSQL": server.create_database(f"reactor_{when}")}

    first = reactor(places("first"), "first")
    peers: dict[str, report.Figures] = {}
    for name in said.peers:
        peer, url = PEERS[name], ""
        print(f"{peer.label} (load {os.getloadavg()[0]:.1f}) ...", flush=True)
        try:
            if peer.stores == ("PostgreSQL",):
                if server is None:
                    raise install.Missing("it needs PostgreSQL")
                url = server.create_database("peer")
            peers[peer.label] = measured(peer, url, said.scale, said.seconds)
        except install.Missing as why:
            not_measured[peer.label] = str(why)
    last = reactor(places("last"), "last")
    both = {
        store: {form: report.mean(first[store][form], last[store][form]) for form in report.FORMS} for store in first
    }
    apart = {
        f"{store}, {form}": report.apart(first[store][form], last[store][form])
        for store in first
        for form in report.FORMS
    }
    return {
        "reactor": both,
        "first": first,
        "last": last,
        "apart": apart,
        "peers": peers,
        "ratios": report.compared(both, peers),
        "not measured": not_measured,
    }


if __name__ == "__main__":
    sys.exit(main())
