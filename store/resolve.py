"""The heart that both databases share: units and facts in, rows and receipts out. Pure, and in the order of the units.

A unit sees what the units before it in its group did, so that a group of a thousand leaves the same rows and receipts
as a thousand groups of one. A unit that is refused leaves nothing (semantics 1.2). What a unit does, in this order:
marks, release, admissions, changes of runs, `state`, acceptances, starts, the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from ..core.event import Mark
from .contract import (
    Acceptance,
    Accepted,
    Admit,
    Committed,
    DeadLetter,
    EventRow,
    Flow,
    FlowDecision,
    FlowKey,
    JournalRow,
    RunChange,
    RunRow,
    RunStart,
    RunState,
    Started,
    StateChange,
    Unit,
    UnitRefused,
)
from .facts import Facts, RunFact, lane_of
from .records import rank
from .rows import Rows
from .state_ops import Conflict, apply

_NOTHING = Committed()
_ENDED = int(RunState.COMPLETED)
_HELD = int(RunState.QUEUED)
_FIELDS = RunRow.__struct_fields__
_STATE, _STARTED_AT, _NODE = (_FIELDS.index(name) for name in ("state", "started_at", "node"))
_COLUMN = {name: i for i, name in enumerate(_FIELDS)}
_CHANGED = tuple(name for name in RunChange.__struct_fields__ if name not in ("run", "guard", "mend", "reopen"))
_ABSENT: Any = object()
_labels = msgspec.json.Decoder(dict[str, Any]).decode


class _Refused(Exception):
    """A rule of the contract refuses the unit: (which, detail)."""


def resolve(
    units: Sequence[Unit], facts: Facts, now: float, node: int
) -> tuple[Rows, list[Committed | UnitRefused], list[int]]:
    """Decide a group: the rows to write, a receipt (or the refusal) for each unit, and runs whose facts are missing
    still.

    If any are missing, read them, and resolve anew with the same units and fresh facts. `now` is in Unix seconds.
    """
    resolver = _Resolver(facts, now, node)
    journal = resolver.rows.journal
    receipts: list[Committed | UnitRefused] = []
    for unit, plain in zip(units, facts.wanted.plain, strict=True):
        if plain:
            for row in unit.journal:
                journal.append(astuple(row))
            receipts.append(_NOTHING)
        else:
            receipts.append(resolver.unit(unit))
    return resolver.rows, receipts, list(resolver.missing)


class _Resolver:
    """The state of one group on its way: facts that change as units are decided, rows, and how to take the last unit
    back.
    """

    def __init__(self, facts: Facts, now: float, node: int) -> None:
        self.facts = facts
        self.now = now
        self.node = node
        self.rows = Rows()
        self.missing: dict[int, None] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._runs_before: list[tuple[RunFact, tuple[Any, ...]]] = []

    def unit(self, unit: Unit) -> Committed | UnitRefused:
        """Decide one unit: all of it, or nothing."""
        self._undo.clear()
        self._runs_before.clear()
        lengths = self.rows.lengths()
        try:
            return self._unit(unit)
        except _Refused as refused:
            self._take_back(lengths)
            return Committed(refused.args[0], refused.args[1])
        except Exception as error:  # noqa: BLE001  # `decide` and `row` are the caller's: they harm their own unit alone
            self._take_back(lengths)
            return unit_refused(error)

    def _unit(self, unit: Unit) -> Committed:
        for mark in unit.marks:
            self._mark(mark)
        superseded: list[int] = []
        freed: tuple[FlowKey, ...] = ()
        if unit.release is not None:
            self._decide(unit.release, superseded)
            freed = tuple(key for key in unit.release.keys if self.facts.waiting.get(key))
        admitted = tuple([self._admit(admit, superseded) for admit in unit.admit]) if unit.admit else ()
        for change in unit.changes:
            self._change(change)
        for row in unit.journal:
            self.rows.journal.append(astuple(row))
        if unit.state is not None:
            self._state(unit.state)
        accepted = tuple([self._accept(accept, superseded) for accept in unit.accept]) if unit.accept else ()
        started = tuple([self._start(start, superseded) for start in unit.runs]) if unit.runs else ()
        self._rest(unit)
        if accepted or started or admitted or superseded or freed:
            return Committed("", "", accepted, started, admitted, tuple(superseded), freed)
        return _NOTHING

    # -- taking a unit back

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def _touch(self, run: RunFact) -> None:
        row, patch = run.row, run.patch
        self._runs_before.append(
            (run, (run.state, run.cancelled, run.priority, row and row[:], patch and patch.copy()))
        )

    def _take_back(self, lengths: Sequence[int]) -> None:
        for table, key, old in reversed(self._undo):
            if old is _ABSENT:
                del table[key]
            else:
                table[key] = old
        for run, (state, cancelled, priority, row, patch) in reversed(self._runs_before):
            run.state, run.cancelled, run.priority, run.patch = state, cancelled, priority, patch
            if run.row is not None:
                run.row[:] = row
            if patch is None:
                self.rows.changed.pop(run.id, None)
        self.rows.cut(lengths)

    # -- marks, flow keys, runs

    def _mark(self, mark: Mark) -> None:
        key = (mark.scope, mark.key)
        if mark.expected is not UNSET and self.facts.marks.get(key) != mark.expected:
            raise _Refused("position", f"the mark `{mark.key}` of `{mark.scope}` stands elsewhere")
        self._put(self.rows.marks, key, mark)
        self._put(self.facts.marks, key, mark.value)

    def _decide(self, flow: Flow, superseded: list[int]) -> FlowDecision:
        """Call `decide` with the keys' states as they are now, and keep what it makes of them."""
        facts = self.facts
        decision = flow.decide({key: facts.flows.get(key) for key in flow.keys}, self.now)
        for key, state in decision.states.items():
            if key not in flow.keys:
                raise ValueError(f"the decision changes the flow key {key}, which the unit does not name")
            self._put(self.rows.flows, key, state)
            self._put(facts.flows, key, state)
        for number in decision.cancel:
            run = facts.runs.get(number)
            if run is None:
                if number not in facts.wanted.runs:
                    self.missing[number] = None
            elif run.cancellable:
                self._cancel(run, decision.cancel_with)
                superseded.append(number)
        return decision

    def _cancel(self, run: RunFact, cancel: bytes) -> None:
        self._touch(run)
        run.cancelled = True
        self._write(run, "cancel", cancel)

    def _write(self, run: RunFact, column: str, value: object) -> None:
        if run.row is not None:
            run.row[_COLUMN[column]] = value
            return
        if run.patch is None:
            run.patch = {}
            self.rows.changed[run.id] = run
        run.patch[column] = value

    def _start(self, start: RunStart, superseded: list[int], born: list[int] | None = None) -> Started:
        run = start.run
        facts = self.facts
        known = facts.keys.get(run.key)
        if known is not None:
            return Started("foreign", known[0], "", known[1])
        verdict, reason = "begun", ""
        if start.flow is not None:
            decision = self._decide(start.flow, superseded)
            reason = decision.reason
            if decision.verdict == "refuse":
                return Started("refused", 0, reason)
            if decision.verdict == "hold":
                verdict = "held"
        cells: list[object] = list(astuple(run))
        if verdict == "begun":
            cells[_STATE] = state = int(RunState.RUNNING)
            cells[_NODE] = self.node
            if run.started_at is None:
                cells[_STARTED_AT] = self.now
        else:
            assert start.flow is not None
            cells[_STARTED_AT] = None
            cells[_STATE] = state = int(RunState.QUEUED if start.flow.keys else RunState.PENDING)
            cells[_NODE] = None
            self._hold(run, start.flow.keys)
        fact = RunFact(
            run.id, state, run.cancel is not None, run.priority, run.created_at, 1 if start.keys else 0, False
        )
        cells.append(fact.keyed)
        fact.row = cells
        self._put(self.rows.runs, run.id, fact)
        self._put(facts.runs, run.id, fact)
        self._put(facts.keys, run.key, (run.id, run.input))
        if verdict == "begun":
            for out in start.outbox:
                self._put(self.rows.outbox, out.key, out)
        for binding, key in start.keys:
            self.rows.cancel_keys.append((binding, key, run.id))
            self._put(facts.cancels, (binding, key), [*facts.cancels.get((binding, key), ()), run.id])
        if run.labels:
            for name, value in _labels(run.labels).items():
                self.rows.labels.append((name, str(value), run.id))
        if born is not None and run.event:
            born.append(run.id)
        return Started(cast("Any", verdict), run.id, reason)

    def _hold(self, run: RunRow, keys: Sequence[FlowKey]) -> None:
        at, lane = run.rank, lane_of(keys)
        self._put(self.rows.held, run.id, [(key.policy, key.key, at, run.id, lane) for key in keys])
        self._put(self.facts.held, run.id, list(keys))
        self._count(keys, 1)

    def _count(self, keys: Sequence[FlowKey], change: int) -> None:
        """So many held runs more wait for these keys."""
        waiting = self.facts.waiting
        for key in keys:
            self._put(waiting, key, waiting.get(key, 0) + change)

    def _admit(self, admit: Admit, superseded: list[int]) -> Started:
        run = self.facts.runs.get(admit.run)
        if run is None or run.state > _HELD or (run.cancelled and not admit.release):
            raise _Refused("state", f"run {admit.run} is held no longer")
        decision = self._decide(admit.flow, superseded)
        if admit.release:
            self._unhold(run)
            return Started("refused", admit.run, decision.reason)
        if decision.verdict != "begin":
            raise _Refused("flow", decision.reason)
        self._touch(run)
        run.state = int(RunState.RUNNING)
        self._write(run, "state", run.state)
        self._write(run, "node", self.node)
        self._write(run, "started_at", admit.started_at)
        self._write(run, "transitions", admit.transitions)
        self._unhold(run)
        return Started("begun", admit.run, decision.reason)

    def _unhold(self, run: RunFact) -> None:
        self._count(self.facts.held.get(run.id, ()), -1)
        self._put(self.facts.held, run.id, [])
        if run.row is None:
            self._put(self.rows.unheld, run.id, None)
        else:
            self._put(self.rows.held, run.id, [])

    def _change(self, change: RunChange) -> None:
        run = self.facts.runs.get(change.run)
        if run is None:
            raise _Refused("state", f"run {change.run} does not exist")
        if not run.meets(change.guard):
            raise _Refused("state", f"run {change.run} is {RunState(run.state).name.lower()}, not {change.guard}")
        if run.foreign and change.state is not None and not change.reopen:  # one that has ended is stepped by nobody
            raise _Refused("state", f"run {change.run} belongs to another node")
        self._touch(run)
        if change.reopen:
            run.cancelled = run.foreign = False
            for column in ("ended_at", "output", "error", "cancel"):
                self._write(run, column, None)
            self._write(run, "node", self.node)
        elif change.mend:
            self._write(run, "error", None)
        for column in _CHANGED:
            value = getattr(change, column)
            if value is not None:
                self._write(run, column, value)
        if change.cancel is not None:
            run.cancelled = True
        if change.state is not None:
            if run.keyed and (change.state >= _ENDED) != (run.state >= _ENDED):
                self._put(self.rows.cancel_open, run.id, int(change.state < _ENDED))
            run.state = change.state
        if change.priority is not None and change.priority != run.priority:
            run.priority = change.priority
            if run.state <= _HELD:
                self._rank(run)

    def _rank(self, run: RunFact) -> None:
        at = rank(run.created_at, run.priority)
        if run.row is None:
            self._put(self.rows.ranks, run.id, at)
        else:
            held = self.rows.held.get(run.id, [])
            self._put(self.rows.held, run.id, [(policy, key, at, id, lane) for policy, key, _, id, lane in held])

    # -- events, and the rest

    def _accept(self, accept: Acceptance, superseded: list[int]) -> Accepted:
        facts, rows, event = self.facts, self.rows, accept.event
        if accept.identity is not None:
            known = facts.seen.get(accept.identity)
            if known is not None:
                first = facts.first_runs.get(known, ())
                return Accepted(False, known, tuple([Started("foreign", run) for run in first]))
            self._put(facts.seen, accept.identity, event.key)
            self._put(rows.seen, accept.identity, event.key)
        cancelled: list[int] = []
        for binding, key, cancel in accept.cancels:
            for number in facts.cancels.get((binding, key), ()):
                run = facts.runs[number]
                if run.cancellable:
                    self._cancel(run, cancel)
                    cancelled.append(number)
        started: tuple[Started, ...] = ()
        if accept.runs:
            born: list[int] = []
            started = tuple([self._start(start, superseded, born) for start in accept.runs])
            if born and accept.identity is not None:
                self._put(facts.first_runs, event.key, sorted(born))
            event = _noted(event, accept.runs, started)
        rows.events.append(astuple(event))
        for pattern, key in accept.waits:
            rows.waited.append((pattern, key, event.key))
        for dead in accept.dead:
            self._dead(dead)
        return Accepted(True, event.key, started, tuple(cancelled))

    def _state(self, change: StateChange) -> None:
        results: list[Any] = []
        for op in change.ops:
            key = (op.scope, op.key)
            try:
                stored, result = apply(op, self.facts.states.get(key))
            except Conflict as conflict:
                raise _Refused("conflict", str(conflict)) from None
            if op.op != "get":
                self._put(self.rows.states, key, stored)
                self._put(self.facts.states, key, stored)
            results.append(result)
        row: JournalRow = change.row(results)
        self.rows.journal.append(astuple(row))

    def _dead(self, dead: DeadLetter) -> None:
        self._put(self.rows.dead, dead.key, dead)

    def _rest(self, unit: Unit) -> None:
        rows = self.rows
        for out in unit.outbox:
            self._put(rows.outbox, out.key, out)
        for number, owed in unit.outbox_done:
            out = rows.outbox.get(number)
            if out is not None:
                self._put(rows.outbox, number, msgspec.structs.replace(out, owes=out.owes & ~owed))
            else:
                self._put(rows.outbox_done, number, rows.outbox_done.get(number, 0) | owed)
        for entry in unit.ledger:
            if (entry.trigger, entry.due) not in rows.ledger:
                self._put(rows.ledger, (entry.trigger, entry.due), entry)
        for dead in unit.dead:
            self._dead(dead)
        for number, state, attempts in unit.dead_changes:
            letter = rows.dead.get(number)
            if letter is not None:
                self._put(
                    rows.dead, number, msgspec.structs.replace(letter, state=cast("Any", state), attempts=attempts)
                )
            else:
                self._put(rows.dead_changes, number, (state, attempts))
        for definition in unit.definitions:
            if definition.digest not in rows.definitions:
                self._put(rows.definitions, definition.digest, definition)
        for workflow in unit.workflows:
            self._put(rows.workflows, workflow.workflow, workflow)
        if unit.rules is not None:
            self._put(rows.rules, unit.rules[0], unit.rules[1])


def _noted(event: EventRow, starts: Sequence[RunStart], started: Sequence[Started]) -> EventRow:
    """The event with what cannot be recomputed: why a workflow got no run of it (semantics 11.4)."""
    notes = {
        start.run.workflow: each.reason
        for start, each in zip(starts, started, strict=True)
        if each.verdict == "refused"
    }
    return msgspec.structs.replace(event, notes=msgspec.json.encode(notes)) if notes else event


def unit_refused(error: BaseException) -> UnitRefused:
    """The refusal of one unit for what its writing raised."""
    refused = UnitRefused(f"the unit cannot be written: {type(error).__name__}: {error}")
    refused.__cause__ = error
    return refused
