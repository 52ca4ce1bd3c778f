"""A run in the memory of the node that carries it out: its row, its plan, how far it is, and what is under way."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from ..core.durations import format_instant
from ..core.errors import ErrorInfo
from ..core.event import Event
from ..core.ids import run_text
from ..language.cel import Activation
from ..store.contract import RunRow, RunState
from . import temp_dirs
from .plan import Node, Plan
from .progress import Progress
from .run import CancelRequest, Cause, Overrun, StepRecord, StepState
from .timers import Timer

_decode = msgspec.json.Decoder().decode
_EMPTY: Mapping[str, Any] = {}
_STATES = {int(state): state for state in RunState}  # a look-up costs a tenth of what `RunState(…)` does


class ActiveRun:
    """One open run. Everything that must survive is in the store; this is rebuilt from there."""

    __slots__ = (
        "again",
        "backing_off",
        "begun",
        "blocks",
        "busy",
        "by_hand",
        "cancel",
        "cause",
        "ending",
        "error",
        "event",
        "gate",
        "has_folder",
        "id",
        "inputs",
        "intents",
        "keys",
        "labels",
        "logs",
        "metadata",
        "overs",
        "parked",
        "paused_at",
        "paused_s",
        "plan",
        "position",
        "progress",
        "queue",
        "recorded",
        "refound",
        "repetitions",
        "roots",
        "row",
        "sequence",
        "signals",
        "started",
        "state",
        "store_id",
        "taken",
        "tasks",
        "timeout",
        "timers_due",
        "undo_failed",
        "undone",
        "url",
        "values",
        "view",
    )

    def __init__(
        self,
        row: RunRow,
        plan: Plan,
        store_id: str,
        event: Event | None,
        vars_: Mapping[str, Any],
        *,
        url: str = "",
    ) -> None:
        self.url = url  # of the server, as the outside sees it
        self.row = row
        self.plan = plan
        self.store_id = store_id
        self.id = run_text(store_id, row.id)
        self.inputs: Any = _decode(row.input)
        self.event = event
        # what every expression sees: `vars` and `env` as of the start; the views of event and run are made when read
        self.roots: dict[str, Any] = {**vars_, "inputs": self.inputs, "event": None, "run": None, "steps": _EMPTY}
        self.progress = Progress(plan)
        self.state = _STATES[row.state]
        self.cause: Cause | None = None
        self.cancel: CancelRequest | None = None
        self.error: ErrorInfo | None = None
        self.queue: deque[int] = deque()  # ready actions that wait for a place under `parallel_limit`
        self.busy = 0  # actions under way
        self.tasks: dict[int, asyncio.Task[None]] = {}  # by the step each is at
        self.again = False  # brought back out of its journal
        self.by_hand = False  # by a person's retry: it had ended, and nothing of it was in flight
        self.overs: dict[int, tuple[int, Overrun]] = {}  # at recovery: blocks over their limit, since when as a rank
        self.position: dict[int, int] = {}  # then: place -> when its end became durable, as a rank
        self.paused_s = 0.0
        self.paused_at = 0.0
        self.parked: dict[int, Any] = {}  # waits, by step
        self.values: dict[int, StepRecord] = {}  # how each step ended
        self.started: dict[int, tuple[float, int]] = {}  # of steps under way: when, and which attempt
        self.recorded: dict[int, StepRecord] = {}  # at recovery: what the journal has and the walk has not come to
        self.undone: dict[int, StepRecord] = {}
        self.undo_failed: list[int] = []
        self.intents: set[tuple[int, int]] = set()  # (step, kind) of intents without a result, at recovery
        self.timers_due: dict[int, Any] = {}  # at recovery: TIMER rows without a result
        self.signals: dict[int, Any] = {}  # answers from outside that a step has not taken
        self.taken: dict[int, int] = {}  # events that waits of this run took, and how many were taken before
        self.logs: dict[int, list[tuple[float, str, str, dict[str, Any]]]] = {}
        self.blocks: list[Timer] = []  # the time limits of open blocks
        self.backing_off: set[int] = set()  # steps between two attempts
        self.gate: asyncio.Event | None = None  # of a paused run: opens when it goes on
        self.repetitions = 0  # over the whole run, against `retry.limit`
        self.begun: set[int] = set()  # at recovery: steps that had begun and not ended, waits and back-offs among them
        self.refound: set[int] = set()  # steps that were in flight when the process before died
        self.ending = False
        self.sequence = 0  # of events that leave from memory
        self.timeout: Timer | None = None
        self.has_folder = False  # was its temporary folder made?
        self.metadata: dict[str, Any] = _decode(row.metadata) if row.metadata else {}
        self.labels: Mapping[str, Any] = _decode(row.labels) if row.labels else _EMPTY
        self.keys: Any = None  # the hash that idempotency keys begin with
        self.view: dict[str, Any] | None = None

    async def going_on(self) -> None:
        """Return at the end of the pause."""
        self.gate = self.gate or asyncio.Event()
        await self.gate.wait()

    def come(self) -> tuple[int, int]:
        """How far it has come: steps that ended, handlers that did."""
        return len(self.values), len(self.undone)

    def run_view(self) -> dict[str, Any]:
        """`run` as expressions see it."""
        if self.view is None:
            row = self.row
            self.view = {
                "id": self.id,
                "workflow": row.workflow,
                "version": row.version,
                "created_at": format_instant(row.created_at),
                "started_at": format_instant(row.started_at) if row.started_at is not None else None,
                "event": self.event.view() if self.event is not None else None,
                "labels": self.labels,
                "correlation": row.correlation,
                "temp_dir": temp_dirs.path_of(self.id),
                "url": f"{self.url.rstrip('/')}/api/v1/runs/{self.id}",
            }
            if self.plan.names_folder:
                self.folder()
        return self.view

    def folder(self) -> str:
        """The run's own temporary folder, made at its first use. Raises ConfigError."""
        if not self.has_folder:
            temp_dirs.made(self.id)
            self.has_folder = True
        return temp_dirs.path_of(self.id)

    def activation(self, reads: tuple[tuple[str, int], ...], more: Mapping[str, Any] = _EMPTY) -> Activation:
        """The values in scope for one step: `reads` names the steps that it looks at, `more` what only it sees."""
        roots = self.roots.copy()
        roots["event"], roots["run"] = self.event_view, self.run_view
        if reads:
            roots["steps"] = {name: self.step_view(place) for name, place in reads}
        if more:
            roots.update(more)
        return Activation(roots, vouched=True)

    def event_view(self) -> Any:
        """`event` as expressions see it; null in a direct start."""
        return self.event.view() if self.event is not None else None

    def step_view(self, place: int) -> dict[str, Any]:
        """`steps.<name>` as expressions see it."""
        record = self.values.get(place)
        error = self.progress.errors[place]
        return {
            "output": self.progress.outputs[place],
            "state": record.state if record is not None else self.progress.states[place].value,
            "error": msgspec.to_builtins(error) if error is not None else None,
            "attempts": record.attempts if record is not None else 0,
        }

    def key(self, node: Node, *, undo: bool = False) -> str:
        """The idempotency key of a step (semantics 4.6): no attempt and no node in it."""
        if self.keys is None:
            generation = self.metadata.get("generation", 0)
            self.keys = hashlib.blake2b(f"{self.store_id}/{self.row.id}/{generation}/".encode(), digest_size=16)
        key = self.keys.copy()
        key.update(f"{'undo' if undo else 'do'}/0/{node.path}".encode())
        return key.hexdigest()

    def recorded_at(self, place: int) -> float:
        """When the end of a step became durable, as a rank; after all others if it did not."""
        if place < 0:  # the block of that complement is over its limit
            return self.overs[~place][0]
        return self.position.get(place, math.inf) if place in self.recorded else math.inf

    def beside(self) -> set[int]:
        """At recovery: the steps that were under way when another failed, or a block was over its limit."""
        failed = (record for record in self.values.values() if record.state == "failed")
        return {place for one in (*failed, *(over for _, over in self.overs.values())) for place in one.in_flight}

    def found_again(self) -> None:
        """After the walk over the journal: which steps were in flight, and in which order the others completed.

        Where a step had failed, its record names those that ran beside it; else it is all that is ready, but for what
        became so after the run was stopped.
        """
        if not self.by_hand:
            beside, frames, nodes = self.beside(), self.progress.frames, self.plan.nodes
            known: dict[int, float] = {}
            stopped_at = min(self.cancel.at if self.cancel is not None else math.inf, self.paused_at or math.inf)
            for place in self.queue:
                frame = frames[nodes[place].part]
                failing = frame is not None and frame.stopping
                if place in beside if failing else self._ready_at(nodes[place], known) <= stopped_at:
                    self.begun.add(place)
            self.refound = self.begun - self.timers_due.keys()
        self.progress.completed.sort(key=self._rank)

    def _ready_at(self, node: Node, known: dict[int, float]) -> float:
        """When the last of the steps that a step waits for ended, as far as their rows tell; `known`: of blocks and
        steps without a row.
        """
        owner = self.plan.parts[node.part].owner
        before = [self._ended_at(self.plan.nodes[place], known) for place in node.deps]
        if owner >= 0:
            before.append(self._ready_at(self.plan.nodes[owner], known))
        return max(before, default=0.0)

    def _ended_at(self, node: Node, known: dict[int, float]) -> float:
        record = self.values.get(node.index)
        if record is not None and node.index in self.position:  # what has no row, a skip say, ended in this life
            return record.ended_at
        if node.index not in known:
            inside = [self.plan.nodes[inner] for part in node.parts for inner in self.plan.parts[part].nodes]
            ends = [self._ended_at(inner, known) for inner in inside if inner.parts or inner.index in self.values]
            known[node.index] = max(ends) if ends else self._ready_at(node, known)
        return known[node.index]

    def _rank(self, place: int) -> int:
        node = self.plan.nodes[place]
        inside = [inner for part in node.parts for inner in self.plan.parts[part].nodes]
        if place in self.position or not (inside or node.deps):
            return self.position.get(place, -1)
        return max(self._rank(other) for other in inside or node.deps)

    def has_room(self, node: Node) -> bool:
        """May one more action start beside others under `parallel_limit`, and does a step that runs alone allow it?"""
        if self.busy >= self.plan.definition.parallel_limit or not node.step.parallel:
            return False
        return not self.plan.loners or all(self.plan.nodes[i].step.parallel for i in self.tasks)

    @property
    def waiting(self) -> bool:
        """Are only waits open?"""
        return not self.tasks and bool(self.parked) and self.state is RunState.RUNNING

    def under_way(self) -> tuple[int, ...]:
        """Places of the actions under way, those that wait among them."""
        begun = (StepState.RUNNING, StepState.WAITING)
        queued, nodes = set(self.queue) - self.begun, self.plan.nodes
        return tuple(
            i for i, s in enumerate(self.progress.states) if s in begun and not nodes[i].parts and i not in queued
        )
