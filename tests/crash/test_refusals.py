"""A store that goes away under load and comes back: nothing acknowledged is lost, and no step hears of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import StoreUnavailable
from reactor.engine import admitting, endings, records, recovery, signals, waits
from reactor.store.contract import BUS, ROUTER, RunFilter, RunState
from reactor.tests.crash.lives import Life, Mortal, Outside
from reactor.tests.servers.postgres import PostgresServer
from reactor.tests.store.disk import Disk

FLOWS = """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
limits: {concurrency: {max: 2, key: "inputs.id.substring(0, 1)"}}
outputs: {id: "${{ inputs.id }}"}
steps:
  - {name: large, python: {function: "m:do", args: {what: large, value: 70000}}}
  - {name: inner, run-workflow: {workflow: child, inputs: {id: "${{ inputs.id }}"}}}
  - {name: paid, wait: {event: {type: order.paid, by: event.data.id}, timeout: 1h}}
  - {name: count, state: {op: increment, key: all}}
  - {name: say, emit: {type: order.said, data: {id: "${{ inputs.id }}"}}}
---
workflow: child
inputs: {id: string}
steps: [{name: make, python: {function: "m:do", args: {what: make}}}]
---
workflow: said
inputs: {id: string}
when: [{event: order.said, with: {id: "${{ event.data.id }}"}}]
steps: [{name: hear, python: {function: "m:do", args: {what: hear}}}]
---
workflow: after
inputs: {id: string}
when: [{workflow: order, with: {id: "${{ event.data.outputs.id }}"}}]
steps: [{name: tell, python: {function: "m:do", args: {what: tell}}}]
"""


class Held(Outside):
    """Calls that make something large can be held up on their way, so that they come back while the store is away."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = 0

    async def do(self, life: Life, what: str, context: Any, value: Any = None) -> Any:
        """Take effect, once the way is open."""
        if what == "large" and not self.open.is_set():
            self.waiting += 1
            await self.open.wait()
        return await super().do(life, what, context, value)


class Heard(Mortal):
    """A store that counts how often a large result was refused."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.refusals = 0

    async def put_blob(self, body: bytes) -> bytes:
        """As the store does."""
        try:
            name: bytes = await self._store.put_blob(body)
        except StoreUnavailable:
            self.refusals += 1
            raise
        return name


class Load:
    """Senders that repeat what was refused, as long as they are told to go on."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.refused: list[StoreUnavailable] = []
        self.stopping = False
        self.sent = 0

    async def send(self, lane: int) -> None:
        """One sender: an order, then its payment."""
        number = 0
        while not self.stopping:
            number += 1
            id = f"{lane}-{number}"
            for name, type in ((id, "order.new"), (f"{id}-paid", "order.paid")):
                while name not in self.life.outside.acknowledged:
                    try:
                        async with asyncio.timeout(20):
                            await self.life.post(name, type, {"id": id})
                    except StoreUnavailable as e:
                        self.refused.append(e)
                        await asyncio.sleep(0.02)
            self.sent += 1
            await asyncio.sleep(0.01)


async def endured(
    url: str,
    cut: Callable[[], Awaitable[None]],
    mend: Callable[[], Awaitable[None]],
    *,
    limit_s: float = 30.0,
    lanes: int = 4,
) -> tuple[list[str], list[StoreUnavailable]]:
    """What is wrong after the store was away under load, and how it refused meanwhile.

    A step is certainly in flight when the store goes, and its result is certainly refused before the store is back.
    """
    outside = Held()
    life = Life(url, outside, wrap=Heard)
    rig = life.rig
    await rig.open()
    await rig.deploy(FLOWS)
    load = Load(life)
    senders = [asyncio.ensure_future(load.send(lane)) for lane in range(lanes)]
    await rig.until(lambda: load.sent >= 12)
    outside.open.clear()
    await rig.until(lambda: outside.waiting)
    await cut()
    await rig.until(lambda: rig.store.refusing)
    for number in range(5):  # what came before waits for its answer; what comes now is refused at once
        with pytest.raises(StoreUnavailable):
            await life.post(f"refused-{number}", "order.new", {"id": "refused"})
    outside.open.set()
    await rig.until(lambda: rig.store.refusals)
    sent = load.sent
    await mend()
    found: list[str] = []
    try:
        await rig.until(lambda: load.sent >= sent + 12, limit_s)
        load.stopping = True
        await asyncio.gather(*senders)
        await rig.until(life.quiet, limit_s)
    except TimeoutError:
        found.append(f"it has not gone on after {limit_s:g} s")
    found += [f"the store failed: {e}" for e in rig.fatal]
    rows = await rig.store.runs(RunFilter(), limit=500)
    found += [f"a run of {r.workflow} ended {RunState(r.state).name}: {r.error!r}" for r in rows
              if r.state != RunState.COMPLETED]  # fmt: skip
    found += [f"{count} runs of {workflow}, not {load.sent}" for workflow, count in
              Counter(r.workflow for r in rows).items() if count != load.sent]  # fmt: skip
    done = Counter(what for what, _ in {(c.what, c.key) for c in outside.calls})
    found += [f"{what} was done under {count} keys, not {load.sent}" for what, count in done.items()
              if count != load.sent]  # fmt: skip
    repeated = len(outside.calls) - len({c.key for c in outside.calls})
    found += [f"{repeated} steps were carried out again, though no process died"] if repeated else []
    counted = await rig.store._all("SELECT value FROM state WHERE key = 'all'")
    found += [] if bytes(counted[0][0]) == b"%d" % load.sent else [f"the durable value is {counted}"]
    left = await rig.store.outbox(ROUTER | BUS, after=0, limit=5)
    found += [f"{len(left)} rows are left in the outbox"] if left else []
    await rig.close()
    return found + outside.faults, load.refused


@pytest.mark.uncovered
@pytest.mark.rule("1.8")
@pytest.mark.broker("postgres")
async def test_postgresql_is_cut_off_under_load_and_comes_back(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    found, refused = await endured(
        postgres_url,
        lambda: asyncio.to_thread(postgres_server.stop),
        lambda: asyncio.to_thread(postgres_server.start),
    )
    assert found == []
    assert all(str(e).startswith("the store refuses writes") for e in refused)


@pytest.mark.uncovered
@pytest.mark.rule("1.8")
async def test_the_disk_is_full_under_load_and_room_is_made(tmp_path: Path) -> None:
    disk = Disk()

    async def fill(full: bool) -> None:
        disk.full = full

    try:
        found, refused = await endured(f"sqlite:///{tmp_path}/r.db", lambda: fill(True), lambda: fill(False))
    finally:
        disk.unregister()
    assert found == []
    full = f"the disk that holds {tmp_path}/r.db is full"
    said: set[Any] = {str(e) for e in refused}
    assert said <= {f"the store refuses writes: {full}", "the store refuses writes now; nothing was taken"}


@pytest.mark.uncovered
async def test_a_step_that_hears_of_the_refusal_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the test above: without patience, a large result that is refused stops its run."""
    for module in (admitting, endings, records, recovery, signals, waits):
        monkeypatch.setattr(module, "patiently", lambda clock, ask: ask())
    disk = Disk()

    async def fill(full: bool) -> None:
        disk.full = full

    try:
        url = f"sqlite:///{tmp_path}/r.db"
        found, _ = await endured(url, lambda: fill(True), lambda: fill(False), limit_s=3.0)
    finally:
        disk.unregister()
    assert any(line.startswith("a run of order ended PAUSED: ") for line in found)
