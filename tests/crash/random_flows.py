"""Small workflows made by chance, whose end does not hang on who is faster: what they come to without a death is what
they must come to with one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from reactor.core.clock import Clock
from reactor.core.errors import ReactorError
from reactor.core.ids import run_text
from reactor.store.contract import RunFilter, RunState
from reactor.tests.crash.lives import Life, Outside, Scenario

Step = dict[str, Any]
_CHANGES = re.compile(
    r"\b[0-9a-f]{32}\b|(?<=order\.)(s\d+)-\d\b|\b[0-9a-f]{8}-\d+-\d+\b|\be\d+-\d+\b|\d{4}-\d\d-\d\dT[\d:.]+Z"
)
_OF_A_LIFE = (
    "attempts", "attempt", "created_at", "started_at", "ended_at", "at", "execution_ms", "waited_ms",
    "metadata", "recoveries", "recovered",
    "value", "version", "previous",  # of the durable number: branches and runs raise it beside one another
    "place",  # of errors: known of the files of this process alone
    "failed_step",  # of a cancel: nothing is in flight where the process died behind it
)  # fmt: skip


@dataclass
class Flow:
    """A workflow by chance, with what the outside does to it."""

    seed: int
    steps: list[Step] = field(default_factory=list[Step])
    weak: set[str] = field(default_factory=set[str])
    fails: set[str] = field(default_factory=set[str])
    approvals: dict[str, bool] = field(default_factory=dict[str, bool])  # step → what the person says
    told: list[str] = field(default_factory=list[str])  # types of events that waits look for
    raised: int = 0  # how often the durable value is
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    runs: int = 1
    pauses: bool = False
    cancelled: bool = False

    @property
    def text(self) -> str:
        """The workflow, with those that it calls and that hear of it."""
        return self._text(self.steps)

    @property
    def changed(self) -> str:
        """Another revision of it, as a reload may bring: runs that are under way keep theirs."""
        return self._text([{"name": "other", "fail": {"message": "the run was begun under another revision"}}])

    def _text(self, steps: list[Step]) -> str:
        main = {
            "workflow": "main",
            "inputs": {"id": "string"},
            "when": [{"event": "order.new", "with": {"id": "${{ event.data.id }}"}}],
            **({"limits": self.limits} if self.limits else {}),
            "steps": steps,
        }
        return "\n---\n".join(json.dumps(each) for each in (main, *_OTHERS))


def _do(what: str, **more: Any) -> Step:
    return {"python": {"function": "m:do", "args": {"what": what}}, **more}


_ID = {"id": "string"}
_END = {"id": "${{ event.data.inputs.id }}", "state": "${{ event.type }}"}
_OTHERS: tuple[Step, ...] = (
    {
        "workflow": "child",
        "inputs": _ID,
        "outputs": {"made": "${{ steps.made.output }}"},
        "steps": [{"name": "made", **_do("made", compensate=_do("unmade"))}, {"name": "nap", "wait": {"for": "2s"}}],
    },
    {"workflow": "broken", "inputs": _ID, "steps": [{"name": "a", **_do("begun", compensate=_do("undone"))},
                                                    {"name": "b", "fail": {"message": "broken", "code": "broken"}}]},
    {
        "workflow": "hears",
        "inputs": _ID,
        "when": [{"event": "order.said", "with": {"id": "${{ event.data.id }}"}}],
        "steps": [{"name": "heard", **_do("heard")}],
    },
    {
        "workflow": "after",
        "inputs": {"id": "string", "state": "string"},
        "when": [{"workflow": "main", "state": ["completed", "failed", "cancelled", "compensated"], "with": _END}],
        "steps": [{"name": "tell", **_do("tell")}],
    },
)  # fmt: skip


class Maker:
    """Makes a flow of a seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._count = 0
        self.flow = Flow(seed)
        self._kinds: tuple[Callable[[str, int], Step], ...] = (
            self._call, self._call, self._weak, self._undone, self._computed, self._raised, self._said, self._nap,
            self._waits, self._late, self._asked, self._child, self._apart, self._skipped, self._group, self._branches,
            self._tried, self._tried,
        )  # fmt: skip

    def make(self) -> Flow:
        """A flow."""
        flow, chance = self.flow, self._chance
        flow.steps = [self._step(0) for _ in range(chance.randint(2, 5))]
        end = chance.random()
        if end < 0.3:
            flow.steps.append(self._broken())
        elif end < 0.5:
            flow.cancelled = True
            flow.steps.append({"name": "rest", "wait": {"for": "9h"}})
        flow.pauses = chance.random() < 0.3
        if chance.random() < 0.3:
            flow.runs = 2
            one = {"max": 1, "key": "inputs.id"}
            flow.limits = chance.choice([{"concurrency": one}, {"throttle": {**one, "per": "90s"}}])
        return flow

    def _name(self) -> str:
        self._count += 1
        return f"s{self._count}"

    def _step(self, depth: int) -> Step:
        kinds = self._kinds if depth < 2 else self._kinds[:10]
        name = self._name()
        return {"name": name, **self._chance.choice(kinds)(name, depth)}

    def _list(self, depth: int) -> list[Step]:
        return [self._step(depth + 1) for _ in range(self._chance.randint(1, 2))]

    def _broken(self) -> Step:
        name = self._name()
        self.flow.fails.add(name)
        return {"name": name, **_do(name)}

    def _call(self, name: str, depth: int) -> Step:
        return _do(name)

    def _weak(self, name: str, depth: int) -> Step:
        self.flow.weak.add(name)
        return _do(name, retry={"attempts": 4, "delay": "5s", "jitter": False})

    def _undone(self, name: str, depth: int) -> Step:
        return _do(name, compensate=_do(f"undo-{name}"))

    def _computed(self, name: str, depth: int) -> Step:
        return {"transform": {"of": "${{ inputs.id }}", "size": "${{ size(inputs.id) }}"}}

    def _raised(self, name: str, depth: int) -> Step:
        self.flow.raised += 1
        return {"state": {"op": "increment", "key": "${{ inputs.id }}"}}

    def _said(self, name: str, depth: int) -> Step:
        return {"emit": {"type": "order.said", "data": {"id": "${{ inputs.id }}"}}}

    def _nap(self, name: str, depth: int) -> Step:
        return {"wait": {"for": self._chance.choice(["1s", "7s"])}}

    def _waits(self, name: str, depth: int) -> Step:
        type = f"order.{name}"
        self.flow.told.append(type)
        return {"wait": {"event": {"type": type, "by": "event.data.id"}, "timeout": "5h"}}

    def _late(self, name: str, depth: int) -> Step:
        """The event never comes."""
        on_timeout = self._chance.choice(["fail", "continue"])
        wait = {
            "wait": {"event": {"type": "order.never", "by": "event.data.id"}, "timeout": "3s", "on_timeout": on_timeout}
        }
        if on_timeout == "continue":
            return wait
        return {"try": {"steps": [{"name": f"{name}-w", **wait}], "catch": [{"name": f"{name}-c", **_do(f"{name}-c")}]}}

    def _asked(self, name: str, depth: int) -> Step:
        gate = {"name": f"{name}-ok", "approval": {"message": "?", "approvers": ["ann"], "timeout": "5h"}}
        self.flow.approvals[f"{name}-ok"] = yes = self._chance.random() < 0.7
        catch = [] if yes else [{"name": f"{name}-c", **_do(f"{name}-c")}]
        return {"try": {"steps": [gate], "catch": catch}} if catch else {"group": {"steps": [gate]}}

    def _child(self, name: str, depth: int) -> Step:
        if self._chance.random() < 0.6:
            return {"run-workflow": {"workflow": "child", "inputs": {"id": "${{ inputs.id }}"}}}
        call = {"name": f"{name}-w", "run-workflow": {"workflow": "broken", "inputs": {"id": "${{ inputs.id }}"}}}
        return {"try": {"steps": [call], "catch": [{"name": f"{name}-c", **_do(f"{name}-c")}]}}

    def _apart(self, name: str, depth: int) -> Step:
        """A child nobody waits for."""
        return {"run-workflow": {"workflow": "child", "inputs": {"id": "${{ inputs.id }}"}, "mode": "detached"}}

    def _skipped(self, name: str, depth: int) -> Step:
        return _do(name, **{"if": "size(inputs.id) == 0"})

    def _group(self, name: str, depth: int) -> Step:
        return {"group": {"steps": self._list(depth)}}

    def _branches(self, name: str, depth: int) -> Step:
        return {"parallel": {"branches": {"a": self._list(depth), "b": self._list(depth)}}}

    def _tried(self, name: str, depth: int) -> Step:
        steps = self._list(depth)
        if self._chance.random() < 0.7:
            steps.append(self._broken())
        found: Step = {"steps": steps, "catch": self._list(depth)}
        if self._chance.random() < 0.4:
            found["finally"] = self._list(depth)
        return {"try": found}


@dataclass
class Seen:
    """What a life came to."""

    runs: list[str]
    done: dict[str, int]  # what was done → under how many keys
    workflows: dict[str, int]
    value: str | None


def scenario(flow: Flow, found: list[Seen]) -> Scenario:
    """The flow as a scenario without wishes; what each life that came to its end came to is added to `found`."""

    async def drive(life: Life, id: str) -> None:
        rig = life.rig
        for n in range(flow.runs):
            await life.post(id if not n else f"{id}-{n}", "order.new", {"id": id})
        if life.outside.deaths and flow.seed % 2:
            await rig.deploy(flow.changed)
        elif life.outside.deaths:
            await rig.deploys.change("main", removed=True)
        for type in flow.told:
            for n in range(flow.runs):
                await life.post(f"{id}-{type}-{n}", type, {"id": id})
        runs = [
            run for n in range(flow.runs) for run in life.outside.acknowledged.get(id if not n else f"{id}-{n}", ())
        ]
        paused = not flow.pauses
        while not await life.quiet() and not life.dead:
            for run in runs:
                paused = await _meddle(life, run, flow, paused)
            await asyncio.sleep(0.004)

    async def judge(life: Life, id: str, outside: Outside) -> list[str]:
        found.append(await _seen(life, id, outside))
        return []

    def prepare(outside: Outside) -> None:
        outside.weak |= flow.weak
        outside.fails |= flow.fails

    return Scenario(f"seed {flow.seed}", flow.text, drive, {}, {}, prepare, judge, virtual=True)


@contextlib.asynccontextmanager
async def in_small_steps(clock: Clock) -> AsyncIterator[Clock]:
    """Let a clock that jumps take small steps: hours pass for nobody who is answered, or gets what it waits for."""

    async def tick() -> None:
        while True:
            await clock.sleep(10.0)

    ticking = asyncio.ensure_future(tick())
    try:
        yield clock
    finally:
        ticking.cancel()


async def _meddle(life: Life, run: str, flow: Flow, paused: bool) -> bool:
    """Answer what is asked, pause and resume once a life, cancel what rests."""
    api, active = life.rig.runs, life.rig.engine.executor.runs.get(life.rig.runs.number(run))
    if active is None or life.dead:
        return paused
    calls: list[Any] = [
        (lambda step=step, yes=yes: api.answer(run, step, approve=yes, by="ann"))
        for step, yes in flow.approvals.items()
        if active.parked
    ]
    if not paused and active.parked:
        paused = True
        calls.append(lambda: api.pause(run))
    if flow.pauses and active.state is RunState.PAUSED:  # perhaps since a life before
        calls.append(lambda: api.resume(run))
    if flow.cancelled and active.state is RunState.RUNNING:
        rest = active.plan.by_name.get("rest")
        if rest is not None and rest in active.parked:
            calls.append(lambda: api.cancel(run, reason="a test"))
    for call in calls:
        try:
            await call()
        except ReactorError:
            pass  # it is not asked yet, or was answered before
    return paused


async def _seen(life: Life, id: str, outside: Outside) -> Seen:
    rows = [row for row in await life.rig.store.runs(RunFilter(), limit=500) if f'"{id}"'.encode() in row.input]
    runs = [await life.rig.runs.get(run_text(life.rig.store.id, row.id)) for row in rows]
    keys: dict[str, set[str]] = {}
    for call in outside.calls:
        keys.setdefault(call.what, set()).add(call.key)
    found = await life.rig.store._all("SELECT value FROM state WHERE key = ?", id)
    values = [bytes(row[0]).decode() for row in found if row[0] is not None]
    return Seen(
        sorted(_CHANGES.sub("*", json.dumps(_plain(run), sort_keys=True)).replace(id, "*") for run in runs),
        {what: len(each) for what, each in keys.items()},
        dict(Counter(row.workflow for row in rows)),
        values[0] if values else None,
    )


def _plain(value: Any) -> Any:
    """Without what hangs on the life it was done in, and on who came first."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in _OF_A_LIFE}
    if isinstance(value, list):
        if all(isinstance(each, str) for each in value):
            return sorted(value)
        return [_plain(each) for each in value if not (isinstance(each, dict) and each.get("name") == "rest")]
    return value
