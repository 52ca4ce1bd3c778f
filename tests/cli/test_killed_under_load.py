"""`reactor serve` as it is started, under load, killed again and again: the server, or the process that writes its
file. Effects are counted in a file of the steps' own, runs in the store that is left.
"""

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from reactor.core.clock import SYSTEM
from reactor.store import open_store
from reactor.store.contract import RunFilter, RunState
from reactor.tests.cli.rig import Process, Project, with_server
from reactor.tests.store.kills import SOAK

FLOW = """
workflow: order
inputs: {n: integer}
when: [{event: order.placed, with: {n: "${{ event.data.n }}"}}]
steps:
  - {name: reserve, python: {function: "effects:note", args: {n: "${{ inputs.n }}"}}}
  - {name: charge, python: {function: "effects:note", args: {n: "${{ inputs.n }}"}}}
"""
EFFECTS = """
import os

async def note(n: int, context) -> int:
    line = f"{n} {context.step} {context.run['id']} {context.idempotency_key}\\n"
    file = os.open("effects", os.O_APPEND | os.O_WRONLY | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)
    return n
"""
LIVES = 40 if SOAK else 4
CLIENTS = 4
END_S_MAX = 60.0


class Clients:
    """Post numbered events one after another, each until somebody has taken it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = iter(range(1_000_000))
        self._lock = threading.Lock()
        self.taken: set[int] = set()
        self.begun: set[int] = set()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while not self._over.is_set():
            with self._lock:
                number = next(self._numbers)
                self.begun.add(number)
            while not self._taken(number):
                time.sleep(0.02)  # nobody is there, or it refuses

    def _taken(self, number: int) -> bool:
        event = {"specversion": "1.0", "id": f"o-{number}", "source": "/shop", "type": "order.placed"}
        body = json.dumps({**event, "data": {"n": number}})
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("POST", "/events", body, {"content-type": "application/cloudevents+json"})
            answer = connection.getresponse()
            answer.read()
        except OSError:
            return False
        except http.client.HTTPException:
            return False
        finally:
            connection.close()
        if answer.status != 202:
            assert answer.status == 503, answer.status
            return False
        self.taken.add(number)
        return True

    def end(self) -> None:
        """Stop when what was begun is taken."""
        self._over.set()
        for thread in self._threads:
            thread.join(END_S_MAX)
            assert not thread.is_alive()


def effects(root: Path) -> list[list[str]]:
    file = root / "effects"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def writer_of(server: Process) -> int:
    """The process that writes for this server."""
    (child,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return int(child)


def kill(server: Process, *, writer: bool) -> None:
    if not writer:
        server.signal(signal.SIGKILL)
        server.ended()
        return
    os.kill(writer_of(server), signal.SIGKILL)
    assert server.ended() == 4
    assert any("has ended by signal 9; whether it wrote its last group is unknown" in line for line in server.err)


async def left(url: str) -> list[tuple[int, int]]:
    """Of each run that the store has: what it was asked for, and its state."""
    store = open_store(url, clock=SYSTEM)
    await store.open()
    found: list[tuple[int, int]] = []
    before = 0
    while page := await store.runs(RunFilter(workflow="order"), before=before, limit=500):
        found += [(json.loads(row.input)["n"], row.state) for row in page]
        before = page[-1].id
    await store.close()
    return found


@pytest.fixture(params=["sqlite", "sqlite, its writer", "postgresql"])
def case(request: pytest.FixtureRequest, project: Project) -> tuple[str, bool]:
    """A store, and whether its writer is what is killed."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url"), False
    return f"sqlite:///{project.root}/reactor.db", request.param.endswith("writer")


@pytest.mark.uncovered
@pytest.mark.rule("1.1")
@pytest.mark.rule("1.2")
async def test_what_was_taken_is_done_once(project: Project, case: tuple[str, bool]) -> None:
    url, writer = case
    chance = random.Random(11)
    project.write(order=FLOW)
    (project.root / "effects.py").write_text(EFFECTS)
    clients = Clients(with_server(project, store=url))
    for _ in range(LIVES):
        with project.start("serve") as server:
            server.ready()
            time.sleep(chance.uniform(0.2, 1.2))
            kill(server, writer=writer)
    with project.start("serve") as server:
        server.ready()
        clients.end()
        assert len(clients.taken) > 20 * LIVES
        assert clients.taken == clients.begun
        charged: set[int] = set()
        until = time.monotonic() + END_S_MAX
        while charged != clients.taken and time.monotonic() < until:
            time.sleep(0.1)
            charged = {int(n) for n, step, _, _ in effects(project.root) if step == "charge"}
        server.interrupt()
        assert server.ended() == 0
    runs = await left(url)
    assert Counter(n for n, _ in runs) == Counter(clients.taken)  # each has one run, and none two
    assert {state for _, state in runs} == {int(RunState.COMPLETED)}
    keys: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for n, step, run, key in effects(project.root):
        keys.setdefault((n, step), set()).add((run, key))
    assert {len(each) for each in keys.values()} == {1}  # one that was in flight is called again under the same key
    assert len(keys) == 2 * len(clients.taken)
