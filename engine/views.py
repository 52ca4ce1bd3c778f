"""Runs as the API shows them (language §7), open or ended, and their histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..core.clock import elapsed_s
from ..core.durations import format_instant
from ..core.ids import event_text, run_text
from ..store.contract import JournalRow, Kind, RunRow, RunState, Store
from .active import ActiveRun
from .plan import Node, Plan
from .progress import percent_of
from .pure import shown_output
from .records import read_record
from .run import StepState, StepSummary, Transition, name
from .waits import Parked

_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_summary = msgspec.json.Decoder(list[StepSummary]).decode
_transition = msgspec.json.Decoder(Transition).decode
_ROWLESS = ("", "transform")  # the `uses` of blocks and computed steps: nothing is journaled of them
_KINDS = {
    Kind.RESULT: "step",
    Kind.INTENT: "intent",
    Kind.TIMER: "timer",
    Kind.UNDO: "compensation",
    Kind.UNDO_INTENT: "intent",
    Kind.SIGNAL: "signal",
    Kind.DECISION: "decision",
    Kind.TRANSITION: "transition",
}


def instant(seconds: float | None) -> str | None:
    """RFC 3339 text, or null."""
    return format_instant(seconds) if seconds is not None else None


def _cancelled(body: bytes) -> dict[str, Any]:
    """Who cancelled a run, when and why; not the key of the request."""
    said: dict[str, Any] = _any(body)
    return {word: instant(value) if word == "at" else value for word, value in said.items() if word != "key"}


def state_of(row: RunRow, active: ActiveRun | None) -> str:
    """A run's state as faces show it: `waiting`, where only waits are open, is not stored."""
    if active is None:
        return name(row.state)
    return "waiting" if active.waiting else name(active.state)


def _progress(row: RunRow, active: ActiveRun | None) -> float:
    if row.ended_at is None:
        return round(active.progress.percent(), 3) if active is not None else 0.0
    if row.state == RunState.COMPLETED:
        return 100.0
    return round(percent_of(_summary(row.steps)), 3) if row.steps else 0.0


class Views:
    """Makes the views of one store's runs."""

    def __init__(self, store: Store, mask: Callable[[bytes], bytes]) -> None:
        self._store = store
        self._mask = mask

    def head(self, row: RunRow, active: ActiveRun | None = None) -> dict[str, Any]:
        """A run as lists show it: without steps, inputs masked by nobody (they hold references to secrets, no
        secrets).
        """
        ended = row.ended_at
        started = row.started_at
        return {
            "id": run_text(self._store.id, row.id),
            "workflow": row.workflow,
            "version": row.version,
            "state": state_of(row, active),
            "priority": row.priority,
            "inputs": _any(row.input),
            "outputs": _any(row.output) if row.output is not None else None,
            "error": _any(row.error) if row.error is not None else None,
            "cause": row.cause or None,
            "parent": run_text(self._store.id, row.parent) if row.parent else None,
            "correlation": row.correlation or None,
            "actor": row.actor or None,
            "cancel": _cancelled(row.cancel) if row.cancel is not None else None,
            "created_at": instant(row.created_at),
            "started_at": instant(started),
            "ended_at": instant(ended),
            "execution_ms": round(elapsed_s(started, ended) * 1000, 3)
            if ended is not None and started is not None
            else None,
            "progress": _progress(row, active),
            "labels": _any(row.labels) if row.labels else {},
            "metadata": _any(row.metadata) if row.metadata else {},
            "recoveries": row.recoveries,
        }

    async def full(self, row: RunRow, plan: Plan | None, active: ActiveRun | None) -> dict[str, Any]:
        """A run with its event and steps, outputs among them."""
        view = self.head(row, active)
        view["event"] = None
        if row.event:
            event = await self._store.event(row.event)
            view["event"] = {"key": event_text(row.event)}
            if event is not None:
                view["event"] |= {"id": event.id, "source": event.source, "type": event.type}
        if active is not None:
            view["steps"] = self._live_steps(active)
        else:
            view["steps"] = await self._ended_steps(row, plan)
        return view

    def _live_steps(self, run: ActiveRun) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for node in run.plan.nodes:
            record = run.values.get(node.index)
            started, attempt = run.started.get(node.index, (None, 0))
            parked = run.parked.get(node.index)
            state = run.progress.states[node.index]
            if state is StepState.RUNNING and node.index in run.queue:
                state = StepState.PENDING
            elif state is StepState.RUNNING and node.index in run.backing_off:
                state = StepState.RETRYING
            error = run.progress.errors[node.index]
            output = run.progress.outputs[node.index]
            undone, skipped = run.undone.get(node.index), run.progress.skip_causes.get(node.index)
            found.append(
                {
                    "name": node.path,
                    "state": state.value,
                    "attempts": record.attempts if record is not None else attempt,
                    "started_at": instant(
                        record.started_at if record is not None else parked.started if parked is not None else started
                    ),
                    "ended_at": instant(record.ended_at if record is not None else None),
                    "output": output if node.uses not in _ROWLESS else shown_output(node, output, self._mask),
                    "error": msgspec.to_builtins(error) if error is not None else None,
                    "recovered": record.recovered if record is not None else False,
                    "preserved": run.cause is not None and state is StepState.COMPLETED,
                    "compensated": undone.state if undone is not None else None,
                    "cause": skipped.message if skipped is not None else None,
                    "waiting": self._waiting(node, parked) if state is StepState.WAITING else None,
                }
            )
        return found

    def _waiting(self, node: Node, parked: Parked | None) -> dict[str, Any] | None:
        """What a parked step waits for, and until when; null for the moment before that is known."""
        if parked is None or not parked.inputs:
            return None
        inputs = parked.inputs
        until = instant(parked.timer.due if parked.timer is not None else None)
        if node.uses == "approval":
            shown = self._mask(_encode({"message": inputs["message"]}))
            return {"for": "answer", **_any(shown), "until": until}
        if parked.child:
            return {"for": "run", "run": run_text(self._store.id, parked.child), "until": until}
        if "event" in inputs:
            return {"for": "event", "type": inputs["event"].type, "key": parked.key or None, "until": until}
        return {"for": "time", "until": until}

    async def _ended_steps(self, row: RunRow, plan: Plan | None) -> list[dict[str, Any]]:
        outputs: dict[str, Any] = {}
        if plan is not None:
            for item in await self._store.journal(row.id):
                if item.kind == Kind.RESULT and item.ord >> 40 < len(plan.nodes):
                    outputs[plan.nodes[item.ord >> 40].path] = (await read_record(self._store, item.body)).output
        found: list[dict[str, Any]] = []
        for line in _summary(row.steps) if row.steps else []:
            shown = msgspec.to_builtins(line)
            found.append(
                {
                    "name": line.name,
                    "state": line.state,
                    "attempts": line.attempts,
                    "started_at": instant(line.started_at),
                    "ended_at": instant(line.ended_at),
                    "output": outputs.get(line.name, line.output),
                    "error": shown.get("error"),
                    "recovered": line.recovered,
                    "preserved": RunState(row.state) is not RunState.COMPLETED and line.state == "completed",
                    "compensated": line.compensated or None,
                    "cause": line.cause or None,
                    "waiting": None,
                }
            )
        return found

    def history(self, rows: Sequence[JournalRow], plan: Plan | None) -> list[dict[str, Any]]:
        """The journal in words: one entry a row, in order."""
        found: list[dict[str, Any]] = []
        for row in rows:
            entry: dict[str, Any] = {"kind": _KINDS[Kind(row.kind)], "generation": row.gen}
            if row.kind == Kind.TRANSITION:
                move = _transition(row.body)
                found.append(entry | {"number": row.ord, **msgspec.to_builtins(move), "at": instant(move.at)})
                continue
            place = row.ord >> 40
            entry["step"] = plan.nodes[place].path if plan is not None and place < len(plan.nodes) else str(place)
            found.append(entry | {"body": _any(row.body)})
        return found

    def logs(self, rows: Sequence[JournalRow], plan: Plan | None) -> list[dict[str, Any]]:
        """The lines that steps logged, in order of time."""
        found: list[dict[str, Any]] = []
        for row in rows:
            if row.kind in (Kind.RESULT, Kind.UNDO):
                place = row.ord >> 40
                step = plan.nodes[place].path if plan is not None and place < len(plan.nodes) else str(place)
                for at, level, message, fields in _any(row.body).get("logs", ()):
                    found.append(
                        {"at": instant(at), "level": level, "step": step, "message": message, "fields": fields}
                    )
        found.sort(key=lambda line: line["at"])
        return found
