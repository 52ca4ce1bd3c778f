"""The statements of a group, written once for both databases: reads of facts, writes of rows.

`{v}` stands for the rows that a statement is about, with columns column1, column2 …: in SQLite a list of VALUES,
padded with rows of NULL, in PostgreSQL `unnest` of one array a column. `{lock}` is a row lock in PostgreSQL, and
nothing in SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from ..core.limits import GROUP_ROWS_MAX
from .contract import FlowKey, FlowState, RunRow
from .facts import Facts, RunFact, Wants
from .rows import Rows

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode

_T, _B, _I, _F, _S = "text", "bytea", "bigint", "double precision", "integer"

EVENT_COLUMNS = "key, source, id, type, trigger, at, revision, body, correlation, notes"
JOURNAL_COLUMNS = "run, ord, kind, body, gen, name_hash"
RUN_FIELDS = RunRow.__struct_fields__
RUN_COLUMNS = ", ".join(RUN_FIELDS)
_REQUIRED = len(RUN_FIELDS) - len(RunRow.__struct_defaults__)  # columns that every run has its own value in
DEAD_COLUMNS = "key, at, trigger, source, id, code, error, raw, event, workflow, entry, meta, attempts, state"
_RUN_TYPES = {
    "id": _I, "key": _B, "workflow": _T, "version": _T, "digest": _B, "state": _S, "input": _B, "created_at": _F,
    "event": _I, "cause": _T, "correlation": _T, "hops": _S, "parent": _I, "parent_ord": _I, "depth": _S,
    "priority": _S, "actor": _T, "labels": _B, "traceparent": _T, "vars": _B, "flow": _B, "output": _B, "error": _B,
    "steps": _B, "cancel": _B, "metadata": _B, "recoveries": _S, "transitions": _I, "gen": _S, "started_at": _F,
    "ended_at": _F, "node": _I,
}  # fmt: skip


class Statement(NamedTuple):
    """SQL about a list of rows, and the types of their columns."""

    sql: str
    types: tuple[str, ...]
    after: bool = False  # it must see what the statements before it wrote: it cannot be sent as one with them
    found: bool = False  # it changes runs that may not be as they were taken to be, and says how many were


def _insert(table: str, columns: str, types: Sequence[str], conflict: str = "") -> Statement:
    values = ", ".join(f"column{i + 1}" for i in range(len(types)))
    return Statement(
        f"INSERT INTO {table} ({columns}) SELECT {values} FROM {{v}} WHERE column1 IS NOT NULL {conflict}".rstrip(),
        tuple(types),
    )


def _upsert(table: str, keys: str, rest: str, types: Sequence[str]) -> Statement:
    changes = ", ".join(f"{column} = excluded.{column}" for column in rest.split(", "))
    return _insert(table, f"{keys}, {rest}", types, f"ON CONFLICT ({keys}) DO UPDATE SET {changes}")


# -- facts

_RUN_FATE = "run.id, run.state, run.cancel IS NOT NULL, run.priority, run.created_at, run.keyed, run.node"
_TWO = "IN (SELECT column1, column2 FROM {v})"
_READ_MARKS = Statement(
    f"SELECT scope, key, value FROM mark WHERE (scope, key) {_TWO} ORDER BY scope, key{{lock}}", (_T, _T)
)
_READ_FLOWS = Statement(
    f"SELECT policy, key, state, deadline FROM flow WHERE (policy, key) {_TWO} ORDER BY policy, key{{lock}}", (_T, _T)
)
_READ_WAITING = Statement(
    "SELECT column1, column2, (SELECT count(*) FROM"
    f" (SELECT 1 FROM held WHERE policy = column1 AND key = column2 LIMIT {GROUP_ROWS_MAX + 1}) AS first)"
    " FROM {v} WHERE column1 IS NOT NULL",
    (_T, _T),
)
_READ_WHETHER_WAITING = Statement(
    "SELECT column1, column2, 1 FROM {v} WHERE EXISTS (SELECT 1 FROM held WHERE policy = column1 AND key = column2)",
    (_T, _T),
)
_READ_HELD = Statement("SELECT run, policy, key FROM held WHERE run IN (SELECT column1 FROM {v})", (_I,))
_READ_KEYS = Statement("SELECT key, id, input FROM run WHERE key IN (SELECT column1 FROM {v})", (_B,))
_READ_RUNS = Statement(
    f"SELECT {_RUN_FATE} FROM run WHERE id IN (SELECT column1 FROM {{v}}) ORDER BY id{{lock}}", (_I,)
)
_READ_CANCELS = Statement(
    f"SELECT c.binding, c.key, {_RUN_FATE} FROM cancel_key c JOIN run ON run.id = c.run"
    f" WHERE c.open = 1 AND (c.binding, c.key) {_TWO} ORDER BY run.id{{lock}}",
    (_T, _T),
)
_READ_STATES = Statement(
    f"SELECT scope, key, value, version FROM state WHERE (scope, key) {_TWO} ORDER BY scope, key{{lock}}", (_T, _T)
)
READ_FIRST_RUNS = Statement(
    "SELECT event, id FROM run WHERE event IN (SELECT column1 FROM {v}) AND event <> 0 ORDER BY id", (_I,)
)

LOCKS = {
    "marks": _insert("mark", "scope, key", (_T, _T), "ON CONFLICT DO NOTHING"),
    "flows": _insert("flow", "policy, key", (_T, _T), "ON CONFLICT DO NOTHING"),
    "states": _insert("state", "scope, key", (_T, _T), "ON CONFLICT DO NOTHING"),
}
"""A row that is not there cannot be locked: PostgreSQL makes it first, empty, in key order."""


def read_seen(table: str) -> Statement:
    """The events of known identities, from the table of one day."""
    return Statement(f"SELECT hash, event FROM {table} WHERE hash IN (SELECT column1 FROM {{v}})", (_B,))


def _one(keys: Any) -> list[tuple[Any]]:
    return [(key,) for key in keys]


def fact_reads(wants: Wants) -> Iterator[tuple[str, Statement, list[Any]]]:
    """What to read, and lock, in this order, which is the same in every group; (name, statement, rows) for `fold`."""
    if wants.marks:
        yield "marks", _READ_MARKS, sorted(wants.marks)
    if wants.flows:
        yield "flows", _READ_FLOWS, sorted(wants.flows)
    if wants.released:
        if wants.admitted:  # then the group may admit the last that waits: more than it can admit need no count
            yield "held", _READ_HELD, _one(wants.admitted)
        yield "waiting", _READ_WAITING if wants.admitted else _READ_WHETHER_WAITING, list(wants.released)
    if wants.keys:
        yield "keys", _READ_KEYS, _one(wants.keys)
    if wants.runs:
        yield "runs", _READ_RUNS, _one(sorted(wants.runs))
    if wants.cancels:
        yield "cancels", _READ_CANCELS, sorted(wants.cancels)
    if wants.states:
        yield "states", _READ_STATES, sorted(wants.states)


def fold(facts: Facts, name: str, found: Sequence[Sequence[Any]], node: int, *, nodes: bool) -> None:
    """Put what a read of `fact_reads` found into the facts. With `nodes`, other nodes may own runs."""
    if name == "runs":
        for id, state, cancelled, priority, created_at, keyed, owner in found:
            if id not in facts.runs:
                foreign = nodes and owner is not None and owner != node
                facts.runs[id] = RunFact(id, state, bool(cancelled), priority, created_at, keyed, foreign)
    elif name == "keys":
        for key, id, input in found:
            facts.keys[key] = (id, input)
    elif name == "marks":
        for scope, key, value in found:
            if value is not None:
                facts.marks[scope, key] = value
    elif name == "flows":
        for policy, key, state, deadline in found:
            if state is not None:
                facts.flows[FlowKey(policy, key)] = FlowState(_decode(state), deadline)
    elif name == "waiting":
        for policy, key, count in found:
            facts.waiting[FlowKey(policy, key)] = count
    elif name == "held":
        for run, policy, key in found:
            facts.held.setdefault(run, []).append(FlowKey(policy, key))
    elif name == "cancels":
        for row in found:
            facts.cancels.setdefault((row[0], row[1]), []).append(row[2])
            fold(facts, "runs", [row[2:]], node, nodes=nodes)
    else:
        for scope, key, value, version in found:
            if value is not None:
                facts.states[scope, key] = (value, version)


# -- rows

_JOURNAL = _insert("j", JOURNAL_COLUMNS, (_I, _I, _S, _B, _S, _I))
_EVENTS = _insert("event", EVENT_COLUMNS, (_I, _T, _T, _T, _T, _F, _I, _B, _T, _B))
UNMATCHED = _insert("unmatched", EVENT_COLUMNS, _EVENTS.types, "ON CONFLICT DO NOTHING")
_LABELS = _insert("label", "name, value, run", (_T, _T, _I))
_CANCEL_KEYS = _insert("cancel_key", "binding, key, run", (_T, _T, _I), "ON CONFLICT DO NOTHING")
_CANCEL_OPEN = Statement("UPDATE cancel_key SET open = v.column2 FROM {v} WHERE run = v.column1", (_I, _S), after=True)
_UNHELD = Statement("DELETE FROM held WHERE run IN (SELECT column1 FROM {v})", (_I,))
_HELD = _insert("held", "policy, key, rank, run, lane", (_T, _T, _F, _I, _I))
_RANKS = Statement("UPDATE held SET rank = v.column2 FROM {v} WHERE run = v.column1", (_I, _F))
_WAITED = _insert("waited", "pattern, key, event", (_T, _T, _I), "ON CONFLICT DO NOTHING")
_DEAD = _insert("dead_letter", DEAD_COLUMNS, (_I, _F, _T, _T, _T, _T, _B, _B, _I, _T, _S, _B, _S, _T))
_DEAD_CHANGES = Statement(
    "UPDATE dead_letter SET state = v.column2, attempts = v.column3 FROM {v} WHERE key = v.column1", (_I, _T, _S)
)
_OUTBOX = _insert("outbox", "key, run, body, owes", (_I, _I, _B, _S))
_OUTBOX_DONE = Statement("UPDATE outbox SET owes = owes & ~v.column2 FROM {v} WHERE key = v.column1", (_I, _S))
_OUTBOX_GONE = Statement("DELETE FROM outbox WHERE owes = 0 AND key IN (SELECT column1 FROM {v})", (_I,), after=True)
_MARKS = _upsert("mark", "scope, key", "value, at", (_T, _T, _B, _F))
_MARKS_GONE = Statement(f"DELETE FROM mark WHERE (scope, key) {_TWO}", (_T, _T))
_FLOWS = _upsert("flow", "policy, key", "state, deadline", (_T, _T, _B, _F))
_STATES = _upsert("state", "scope, key", "value, version", (_T, _T, _B, _I))
_STATES_GONE = Statement(f"DELETE FROM state WHERE (scope, key) {_TWO}", (_T, _T))
_LEDGER = _insert(
    "ledger", "trigger, due, outcome, reason, at, event", (_T, _F, _T, _T, _F, _I), "ON CONFLICT DO NOTHING"
)
_DEFINITIONS = _insert(
    "definition", "digest, workflow, version, body, at, revision", (_B, _T, _T, _B, _F, _S), "ON CONFLICT DO NOTHING"
)
_WORKFLOWS = _upsert("workflow", "workflow", "enabled, removed, pinned, origin", (_T, _S, _S, _T, _T))
_RULES = _upsert("rules", "revision", "body", (_I, _B))
_seen_inserts: dict[str, Statement] = {}
_run_inserts_known: dict[tuple[int, ...], Statement] = {}
_RUN_DEFAULTS: tuple[Any, ...] = (*([...] * _REQUIRED), *RunRow.__struct_defaults__, 0)
_run_updates: dict[tuple[tuple[str, ...], bool], Statement] = {}


def row_writes(
    rows: Rows, seen_tables: Sequence[str], *, unlocked: bool = False
) -> Iterator[tuple[Statement, Sequence[Any]]]:
    """The writes of a group; sorted by key where two groups at once could change the same rows.

    With `unlocked`, runs are changed only where they are still in the state that the group found.
    """
    if rows.unheld:
        yield _UNHELD, _one(sorted(rows.unheld))
    if rows.events:
        yield _EVENTS, rows.events
    if rows.seen:
        for table in seen_tables:
            yield _seen_insert(table), sorted(rows.seen.items())
    if rows.runs:
        yield _run_inserts(rows)
    if rows.changed:
        yield from _run_changes(rows, unlocked)
    if rows.journal:
        yield _JOURNAL, rows.journal
    if rows.outbox_done:
        yield _OUTBOX_DONE, sorted(rows.outbox_done.items())
        yield _OUTBOX_GONE, _one(sorted(rows.outbox_done))
    if rows.outbox:
        yield _OUTBOX, [astuple(row) for row in rows.outbox.values() if row.owes]
    if rows.marks:
        gone = sorted(key for key, mark in rows.marks.items() if mark.value is None)
        if gone:
            yield _MARKS_GONE, gone
        yield _MARKS, [(*key, m.value, m.at) for key, m in sorted(rows.marks.items()) if m.value is not None]
    yield from _rare_writes(rows)


def _run_inserts(rows: Rows) -> tuple[Statement, Sequence[Any]]:
    """New runs, without the columns in which all of them have what the table gives by itself: most have most."""
    columns = list(zip(*[run.row for run in rows.runs.values() if run.row is not None], strict=True))
    count = len(rows.runs)
    kept = tuple([i for i, default in enumerate(_RUN_DEFAULTS) if columns[i].count(default) < count])
    statement = _run_inserts_known.get(kept)
    if statement is None:
        names = [(*RUN_FIELDS, "keyed")[i] for i in kept]
        statement = _insert("run", ", ".join(names), [{**_RUN_TYPES, "keyed": _S}[name] for name in names])
        _run_inserts_known[kept] = statement
    return statement, list(zip(*[columns[i] for i in kept], strict=True))


def _run_changes(rows: Rows, unlocked: bool) -> Iterator[tuple[Statement, Sequence[Any]]]:
    shapes: dict[tuple[str, ...], list[Any]] = {}
    for id in sorted(rows.changed):
        run = rows.changed[id]
        if run.patch:
            before = run.before if unlocked else ()
            shapes.setdefault(tuple(run.patch), []).append((id, *run.patch.values(), *before))
    for shape, cells in shapes.items():
        yield _run_update(shape, unlocked), cells


def _run_update(shape: tuple[str, ...], unlocked: bool) -> Statement:
    statement = _run_updates.get((shape, unlocked))
    if statement is None:
        sets = ", ".join(f"{column} = v.column{i + 2}" for i, column in enumerate(shape))
        sql = f"UPDATE run SET {sets} FROM {{v}} WHERE id = v.column1"
        types = [_I, *(_RUN_TYPES[column] for column in shape)]
        if unlocked:
            sql += f" AND state = v.column{len(types) + 1}"
            sql += f" AND (cancel IS NOT NULL) = v.column{len(types) + 2} RETURNING id"
            types += [_S, "boolean"]
        statement = _run_updates[shape, unlocked] = Statement(sql, tuple(types), found=unlocked)
    return statement


def _rare_writes(rows: Rows) -> Iterator[tuple[Statement, Sequence[Any]]]:
    if rows.labels:
        yield _LABELS, rows.labels
    if rows.cancel_keys:
        yield _CANCEL_KEYS, rows.cancel_keys
    if rows.cancel_open:
        yield _CANCEL_OPEN, sorted(rows.cancel_open.items())
    if rows.held:
        yield _HELD, [row for held in rows.held.values() for row in held]
    if rows.ranks:
        yield _RANKS, sorted(rows.ranks.items())
    if rows.waited:
        yield _WAITED, rows.waited
    if rows.flows:
        yield (
            _FLOWS,
            [
                (*key, _encode(s.value) if s else None, s.deadline if s else None)
                for key, s in sorted(rows.flows.items(), key=_key)
            ],
        )
    if rows.states:
        gone = sorted(key for key, stored in rows.states.items() if stored is None)
        if gone:
            yield _STATES_GONE, gone
        yield _STATES, [(*key, *stored) for key, stored in sorted(rows.states.items(), key=_key) if stored is not None]
    if rows.dead_changes:
        yield _DEAD_CHANGES, [(key, *change) for key, change in sorted(rows.dead_changes.items())]
    if rows.dead:
        yield _DEAD, [astuple(dead) for dead in rows.dead.values()]
    if rows.ledger:
        yield _LEDGER, [astuple(entry) for entry in rows.ledger.values()]
    if rows.definitions:
        yield _DEFINITIONS, [astuple(definition) for definition in rows.definitions.values()]
    if rows.workflows:
        yield (
            _WORKFLOWS,
            [(w.workflow, int(w.enabled), int(w.removed), w.pinned, w.origin) for w in rows.workflows.values()],
        )
    if rows.rules:
        yield _RULES, sorted(rows.rules.items())


def _key(item: tuple[Any, Any]) -> Any:
    return item[0]


def _seen_insert(table: str) -> Statement:
    statement = _seen_inserts.get(table)
    if statement is None:
        _seen_inserts.clear()  # yesterday's is of no more use
        statement = _seen_inserts[table] = _insert(table, "hash, event", (_B, _I))
    return statement
