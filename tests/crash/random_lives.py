"""A flow by chance, lived through: what the outside does to it, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from reactor.core.clock import Clock
from reactor.core.errors import ReactorError
from reactor.core.ids import run_text
from reactor.engine.active import ActiveRun
from reactor.store.contract import RunFilter, RunState
from reactor.tests.crash.lives import Life, Outside, Scenario
from reactor.tests.crash.random_flows import Flow

_CHANGES = re.compile(
    r"\b[0-9a-f]{32}\b|(?<=order\.)(s\d+)-\d\b|\b[0-9a-f]{8}-\d+-\d+\b|\be\d+-\d+\b|\d{4}-\d\d-\d\dT[\d:.]+Z"
)
_OF_A_LIFE = frozenset((
    "attempts", "attempt", "created_at", "started_at", "ended_at", "at", "execution_ms", "waited_ms",
    "metadata", "recoveries", "recovered", "taken", "due", "started", "errors", "in_flight", "number", "key",
    "value", "version", "previous",  # of the durable number: branches and runs raise it beside one another
    "place",  # of errors: known of the files of this process alone
))  # fmt: skip
_BAD_ENDS = (RunState.FAILED, RunState.COMPENSATED, RunState.COMPENSATION_FAILED)
TICK_S = 10.0
STRIDE_S = 3600.0  # while all that is left waits for a time limit


@dataclass
class Seen:
    """What a life came to."""

    runs: list[str]
    done: dict[str, int] = field(compare=False)  # what was done → under how many keys; the judge of lives looks at it
    workflows: dict[str, int]
    values: list[str]


class Ticks:
    """How far time goes at once while nobody is slower than it."""

    step_s = TICK_S


@contextlib.asynccontextmanager
async def in_small_steps(clock: Clock) -> AsyncIterator[Ticks]:
    """Let a clock that jumps take small steps: hours pass for nobody who is answered, or gets what it waits for."""
    ticks = Ticks()

    async def tick() -> None:
        while True:
            await clock.sleep(ticks.step_s)

    ticking = asyncio.ensure_future(tick())
    try:
        yield ticks
    finally:
        ticking.cancel()


def scenario(flow: Flow, found: list[Seen], ticks: Ticks) -> Scenario:
    """The flow as a scenario without wishes; what each life that came to its end came to is added to `found`."""

    async def drive(life: Life, id: str) -> None:
        await _Driver(life, id, flow, ticks).drive()

    async def judge(life: Life, id: str, outside: Outside) -> list[str]:
        found.append(await _seen(life, id, outside, flow))
        return []

    def prepare(outside: Outside) -> None:
        outside.weak |= flow.weak
        outside.tired |= flow.tired
        outside.hangs |= flow.hangs
        outside.fails |= flow.fails

    once = tuple(name for name in flow.once if name.endswith("-o"))
    return Scenario(
        f"seed {flow.seed}", flow.text, drive, {}, {}, prepare, judge, virtual=True, at_most_once=once, maybe=once,
        again=int(flow.retried) + int(flow.replayed),
    )  # fmt: skip


class _Driver:
    """What the outside does in one life."""

    def __init__(self, life: Life, id: str, flow: Flow, ticks: Ticks) -> None:
        self._life = life
        self._id = id
        self._flow = flow
        self._ticks = ticks
        self._paused = not flow.pauses

    async def drive(self) -> None:
        life, flow = self._life, self._flow
        self._ticks.step_s = TICK_S
        await self._send()
        if life.outside.deaths and flow.seed % 2:
            await life.rig.deploy(flow.changed)
        elif life.outside.deaths:
            await life.rig.deploys.change("main", removed=True)
        await self._tell(range(flow.runs))
        await self._until_quiet()
        if flow.replayed and not life.dead:
            if life.outside.deaths:
                await life.rig.deploy(flow.text)
            await life.rig.events.replay(self._id, key="again")
            await self._tell(range(flow.runs, flow.runs + 1))
            await self._until_quiet()
        if flow.retried and not life.dead:
            await self._retry()

    async def _send(self) -> None:
        life, flow = self._life, self._flow
        for n in range(flow.runs):
            id = self._id if not n else f"{self._id}-{n}"
            if n and flow.gated and id not in life.outside.acknowledged:
                await life.rig.until(lambda: life.dead or any(self._at(run, "gate") for run in self._active()))
            before = life.outside.acknowledged.get(id)
            await life.post(id, "order.new", {"id": self._id})
            if before is not None and flow.repeats and not life.dead:
                receipt = await life.rig.emit("order.new", {"id": self._id}, id=id, source="/outside")
                if not life.dead and receipt.runs != before:
                    life.outside.faults.append(f"{id}, said again, gave {receipt.runs}, not {before}")

    async def _tell(self, numbers: range) -> None:
        for type in self._flow.told:
            for n in numbers:
                await self._life.post(f"{self._id}-{type}-{n}", type, {"id": self._id})
        if self._flow.gated:  # one word for all: a wait in its look back may take a newer one that comes meanwhile
            if self._flow.superseded:
                await self._life.rig.until(self._may_go)
            await self._life.post(f"{self._id}-go", "order.go", {"id": self._id})

    def _may_go(self) -> bool:
        """Is nobody at the gate who is to be cancelled there?"""
        last = self._life.outside.acknowledged.get(f"{self._id}-1", ())
        return self._life.dead or all(run.id in last for run in self._active())

    async def _until_quiet(self) -> None:
        life = self._life
        while not await life.quiet() and not life.dead:
            active = self._active()
            limit = self._flow.stop == "limit" and active and all(map(self._rests, active))
            self._ticks.step_s = STRIDE_S if limit else TICK_S
            for run in active:
                await self._meddle(run)
            await asyncio.sleep(0.004)

    async def _retry(self) -> None:
        life = self._life
        rows = [row for row in await _rows(life, self._id) if row.workflow == "main"]
        again = [row for row in rows if row.state in _BAD_ENDS and not row.gen]
        life.outside.fails.clear()
        for row in again:
            if not life.dead:
                await life.rig.runs.retry(run_text(life.rig.store.id, row.id))
        await self._until_quiet()

    def _active(self) -> list[ActiveRun]:
        runs = self._life.rig.engine.executor.runs.values()
        return [run for run in runs if run.row.workflow == "main" and run.inputs["id"] == self._id]

    def _at(self, run: ActiveRun, name: str) -> bool:
        return any(run.plan.nodes[index].name == name for index in run.parked)

    def _rests(self, run: ActiveRun) -> bool:
        """Has all that rests come to rest?"""
        flow, life = self._flow, self._life
        nodes = {node.name: node.index for node in run.plan.nodes}
        for name, kind in flow.rests.items():
            if kind in ("wait", "event", "asked"):
                rests = self._at(run, name)
            elif kind == "child":
                children = life.rig.engine.executor.runs.values()
                rests = any(c.row.parent == run.row.id and self._at(c, "inner-rest") for c in children)
            elif kind == "backoff":
                rests = nodes[name] in run.backing_off
            else:
                rests = nodes[name] in run.started and any(
                    c.what == name and c.run == run.id for c in life.outside.calls
                )
            if not rests:
                return False
        return bool(flow.rests) and all(run.values.get(nodes[name]) for name in ("p1",) if name in nodes)

    async def _meddle(self, run: ActiveRun) -> None:
        """Answer what is asked, pause and resume once a life, stop what rests."""
        flow, life = self._flow, self._life
        if life.dead:
            return
        api = life.rig.runs
        calls: list[Any] = [
            (lambda step=step, yes=yes: api.answer(run.id, step, approve=yes, by="ann"))
            for step, yes in flow.approvals.items()
            if run.parked
        ]
        if not self._paused and run.parked:
            self._paused = True
            calls.append(lambda: api.pause(run.id))
        if flow.pauses and run.state is RunState.PAUSED:  # perhaps since a life before
            calls.append(lambda: api.resume(run.id))
        if flow.stop and run.state is RunState.RUNNING and self._rests(run):
            if flow.stop == "person":
                calls.append(lambda: api.cancel(run.id, reason="a test"))
            if flow.stop == "event":
                calls.append(lambda: life.post(f"{self._id}-off", "order.off", {"id": self._id}))
        for call in calls:
            try:
                await call()
            except ReactorError:
                pass  # it is not asked yet, or was answered before


async def _rows(life: Life, id: str) -> list[Any]:
    return [row for row in await life.rig.store.runs(RunFilter(), limit=500) if f'"{id}"'.encode() in row.input]


async def _seen(life: Life, id: str, outside: Outside, flow: Flow) -> Seen:
    rows = await _rows(life, id)
    runs: list[str] = []
    for row in rows:
        name = run_text(life.rig.store.id, row.id)
        history = sorted(
            _shown(entry, id, flow) for entry in await _history(life, name) if not _is_once(entry, flow.once)
        )
        runs.append("\n".join((_shown(await life.rig.runs.get(name), id, flow), *history)))
    keys: dict[str, set[str]] = {}
    for call in outside.calls:
        keys.setdefault(call.what, set()).add(call.key)
    found = await life.rig.store._all("SELECT key, value FROM state")
    values = [
        f"{key.replace(id, '*')}: {bytes(value).decode()}"
        for key, value in found
        if key.startswith(id) and value is not None
    ]
    done = {what: len(each) for what, each in keys.items()}
    return Seen(sorted(runs), done, dict(Counter(row.workflow for row in rows)), sorted(values))


def _shown(value: Any, id: str, flow: Flow) -> str:
    return _CHANGES.sub("*", json.dumps(_plain(value, flow.once), sort_keys=True)).replace(id, "*")


async def _history(life: Life, run: str) -> list[dict[str, Any]]:
    """The journal, but for what hangs on the life: pauses, and the notes of back-offs that a death made needless."""
    return [
        entry
        for entry in await life.rig.runs.history(run)
        if entry.get("state") not in ("paused", "running") and entry["kind"] not in ("timer", "intent")
    ]


def _plain(value: Any, once: set[str]) -> Any:
    """Without what hangs on the life it was done in, and on who came first."""
    if isinstance(value, dict):
        return {key: _plain(each, once) for key, each in value.items() if key not in _OF_A_LIFE and key not in once}
    if isinstance(value, list):
        if all(isinstance(each, str) for each in value):
            return sorted(each for each in value if each.split("/")[-1] not in once)
        return [_plain(each, once) for each in value if not _is_once(each, once)]
    return value


def _is_once(value: Any, once: set[str]) -> bool:
    name = value.get("name") or value.get("step") or "" if isinstance(value, dict) else ""
    return isinstance(name, str) and name.split("/")[-1] in once
