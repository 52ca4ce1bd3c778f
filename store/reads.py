"""The reads of the contract, written once: a database supplies `_all`, which runs SQL with `?` for its parameters."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from ..core.clock import Clock
from ..core.ids import id_prefix
from ..core.limits import PAGE_ROWS_MAX
from .contract import (
    DeadLetter,
    Definition,
    EventRow,
    FlowKey,
    FlowState,
    HeldLane,
    JournalRow,
    LedgerRow,
    OutboxRow,
    RunFilter,
    RunRow,
    StateResult,
    WorkflowState,
)
from .statements import DEAD_COLUMNS, EVENT_COLUMNS, JOURNAL_COLUMNS, RUN_FIELDS

_decode = msgspec.json.Decoder().decode
_RUN = "SELECT " + ", ".join(f"run.{field}" for field in RUN_FIELDS) + " FROM run"
_EVENT = f"SELECT {EVENT_COLUMNS} FROM"
_HELD = "held.policy = ? AND held.key = ? AND held.lane"
_LANE_0 = (
    f"SELECT held.lane, held.rank, held.run, run.flow FROM held JOIN run ON run.id = held.run WHERE {_HELD} = 0"
    " ORDER BY held.rank, held.run LIMIT 1"
)
# from lane to lane by the index `held_lane`, however many runs stand in each
_LANES = f"""
WITH RECURSIVE lanes (lane) AS (
    SELECT (SELECT min(held.lane) FROM held WHERE {_HELD} > ? AND held.lane > 0)
    UNION ALL
    SELECT (SELECT min(held.lane) FROM held WHERE {_HELD} > lanes.lane AND held.lane > 0)
    FROM lanes WHERE lanes.lane IS NOT NULL
), heads (run) AS (
    SELECT (SELECT held.run FROM held WHERE {_HELD} = lanes.lane AND held.lane > 0 ORDER BY held.rank, held.run LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL LIMIT ?
)
SELECT held.lane, held.rank, held.run, run.flow FROM heads JOIN run ON run.id = heads.run
JOIN held ON held.run = heads.run AND {_HELD} > 0 ORDER BY held.lane
"""
Row = Sequence[Any]


class Reads(abc.ABC):
    """Everything a store answers without writing."""

    _clock: Clock

    @abc.abstractmethod
    async def _all(self, sql: str, *values: Any) -> Sequence[Row]:
        """All rows of a short read."""

    @abc.abstractmethod
    async def _page(self, sql: str, *values: Any) -> Sequence[Row]:
        """All rows of a read that may look at many: off the loop."""

    @abc.abstractmethod
    async def _seen_tables(self) -> Sequence[str]:
        """The tables of dedupe records, newest first."""

    # -- runs

    async def run(self, number: int) -> RunRow | None:
        return _first(RunRow, await self._all(f"{_RUN} WHERE id = ?", number))

    async def run_by_key(self, key: bytes) -> RunRow | None:
        return _first(RunRow, await self._all(f"{_RUN} WHERE key = ?", key))

    async def journal(self, run: int) -> Sequence[JournalRow]:
        rows = await self._all(f"SELECT {JOURNAL_COLUMNS} FROM j WHERE run = ? ORDER BY seq", run)
        return [JournalRow(*row) for row in rows]

    async def runs(self, wanted: RunFilter, *, before: int = 0, limit: int = 50) -> Sequence[RunRow]:
        where, values = _run_where(wanted)
        source = _RUN
        if wanted.label is not None:
            source += " JOIN label ON label.run = run.id"
            where += ["label.name = ?", "label.value = ?"]
            values += wanted.label
        if before:
            where.append("run.id < ?")
            values.append(before)
        condition = " WHERE " + " AND ".join(where) if where else ""
        sql = f"{source}{condition} ORDER BY run.id DESC LIMIT {_limit(limit)}"
        return [RunRow(*row) for row in await self._page(sql, *values)]

    async def held(self, key: FlowKey, *, lane: int | None = None, limit: int) -> Sequence[RunRow]:
        sql = f"{_RUN} JOIN held ON held.run = run.id WHERE held.policy = ? AND held.key = ?"
        if lane is not None:
            sql += f" AND held.lane = {int(lane)}" + (" AND held.lane > 0" if lane else "")
        return [
            RunRow(*row) for row in await self._all(f"{sql} ORDER BY held.rank, held.run LIMIT {_limit(limit)}", *key)
        ]

    async def held_lanes(self, key: FlowKey, *, after: int = -1, limit: int) -> Sequence[HeldLane]:
        found: list[Row] = []
        if after < 0:
            found += await self._all(_LANE_0, *key)
        found += await self._page(_LANES, *key, max(after, 0), *key, *key, _limit(limit) - len(found), *key)
        return [HeldLane(*row) for row in found]

    async def flows(self, keys: Sequence[FlowKey]) -> Mapping[FlowKey, FlowState]:
        if not keys:
            return {}
        wanted = ", ".join(["(?, ?)"] * len(keys))
        sql = f"SELECT policy, key, state, deadline FROM flow WHERE (policy, key) IN (VALUES {wanted})"
        found: dict[FlowKey, FlowState] = {}
        for policy, name, state, deadline in await self._all(sql, *(part for key in keys for part in key)):
            if state is not None:
                found[FlowKey(policy, name)] = FlowState(_decode(state), deadline)
        return found

    async def held_counts(self) -> Mapping[str, int]:
        return dict(_pairs(await self._page("SELECT workflow, count(*) FROM run WHERE state < 2 GROUP BY workflow")))

    async def correlated(self, correlation: str, *, most: int) -> int:
        found = f"SELECT 1 FROM run WHERE correlation = ? AND correlation <> '' LIMIT {int(most)}"
        return (await self._all(f"SELECT count(*) FROM ({found}) AS found", correlation))[0][0]

    async def flow_due(self, *, until: float, limit: int) -> Sequence[tuple[FlowKey, float]]:
        sql = "SELECT policy, key, deadline FROM flow WHERE deadline IS NOT NULL AND deadline <= ? ORDER BY deadline"
        return [(FlowKey(row[0], row[1]), row[2]) for row in await self._all(f"{sql} LIMIT {_limit(limit)}", until)]

    async def flow_waiting(self, *, limit: int) -> Sequence[FlowKey]:
        sql = f"SELECT DISTINCT policy, key FROM held ORDER BY policy, key LIMIT {int(limit)}"
        return [FlowKey(*row) for row in await self._page(sql)]

    # -- events

    async def event(self, key: int) -> EventRow | None:
        found = await self._all(f"{_EVENT} event WHERE key = ?", key)
        return _first(EventRow, found or await self._all(f"{_EVENT} unmatched WHERE key = ?", key))

    async def events_by_id(self, id: str) -> Sequence[EventRow]:
        """Those accepted by position alone (without a dedupe record) are not found by their id."""
        low = id_prefix(id)
        keys: dict[int, None] = {}
        for table in await self._seen_tables():
            sql = f"SELECT event FROM {table} WHERE hash >= ? AND hash <= ?"
            keys |= dict.fromkeys(row[0] for row in await self._all(sql, low + bytes(8), low + b"\xff" * 8))
        found = [event for key in keys if (event := await self.event(key)) is not None and event.id == id]
        found += [EventRow(*row) for row in await self._all(f"{_EVENT} unmatched WHERE id = ?", id)]
        return sorted(found, key=lambda event: event.key)

    async def events(
        self, *, type: str = "", source: str = "", since: float | None = None, before: int = 0, limit: int = 50
    ) -> Sequence[EventRow]:
        where, values = ["key > 0"], cast("list[Any]", [])
        for condition, value in (("type = ?", type), ("source = ?", source), ("at >= ?", since), ("key < ?", before)):
            if value:
                where.append(condition)
                values.append(value)
        part = f"WHERE {' AND '.join(where)} ORDER BY key DESC LIMIT {_limit(limit)}"
        sql = f"SELECT * FROM ({_EVENT} event {part}) AS e UNION ALL SELECT * FROM ({_EVENT} unmatched {part}) AS u"
        rows = await self._page(f"{sql} ORDER BY 1 DESC LIMIT {_limit(limit)}", *values, *values)
        return [EventRow(*row) for row in rows]

    async def waited(self, pattern: str, key: str, *, after: int, limit: int) -> Sequence[EventRow]:
        columns = ", ".join(f"event.{column}" for column in EVENT_COLUMNS.split(", "))
        sql = f"SELECT {columns} FROM waited JOIN event ON event.key = waited.event"
        sql += " WHERE waited.pattern = ? AND waited.key = ? AND waited.event > ? ORDER BY waited.event"
        return [EventRow(*row) for row in await self._all(f"{sql} LIMIT {_limit(limit)}", pattern, key, after)]

    # -- the rest

    async def dead_letters(
        self, *, state: str = "open", event: int = 0, before: int = 0, limit: int = 50
    ) -> Sequence[DeadLetter]:
        wanted = [pair for pair in (("state = ?", state), ("event = ?", event), ("key < ?", before)) if pair[1]]
        where = f" WHERE {' AND '.join(test for test, _ in wanted)}" if wanted else ""
        sql = f"SELECT {DEAD_COLUMNS} FROM dead_letter{where} ORDER BY key DESC LIMIT {_limit(limit)}"
        rows = await self._all(sql, *(value for _, value in wanted))
        return [DeadLetter(*row) for row in rows]

    async def dead_letter(self, key: int) -> DeadLetter | None:
        return _first(DeadLetter, await self._all(f"SELECT {DEAD_COLUMNS} FROM dead_letter WHERE key = ?", key))

    async def marks(self, scope: str) -> Mapping[str, bytes]:
        sql = "SELECT key, value FROM mark WHERE scope = ? AND value IS NOT NULL"
        return dict(_pairs(await self._page(sql, scope)))

    async def ledger(self, trigger: str, *, since: float, until: float, limit: int) -> Sequence[LedgerRow]:
        """Oldest first; `until` is included."""
        sql = "SELECT trigger, due, outcome, reason, at, event FROM ledger WHERE trigger = ? AND due >= ? AND due <= ?"
        return [
            LedgerRow(*row)
            for row in await self._all(f"{sql} ORDER BY due LIMIT {_limit(limit)}", trigger, since, until)
        ]

    async def outbox(self, owes: int, *, after: int, limit: int) -> Sequence[OutboxRow]:
        sql = f"SELECT key, run, body, owes FROM outbox WHERE owes & {int(owes)} <> 0 AND key > ? ORDER BY key"
        return [OutboxRow(*row) for row in await self._all(f"{sql} LIMIT {int(limit)}", after)]

    async def outbox_over(self, owes: int, most: int) -> int:
        sql = f"SELECT key FROM outbox WHERE owes & {int(owes)} <> 0 ORDER BY key DESC LIMIT 1 OFFSET {int(most)}"
        rows = await self._page(sql)
        return rows[0][0] if rows else 0

    async def state(self, scope: str, key: str) -> StateResult | None:
        sql = "SELECT value, version FROM state WHERE scope = ? AND key = ? AND value IS NOT NULL"
        for value, version in await self._all(sql, scope, key):
            decoded = _decode(value)
            return StateResult(decoded, decoded, version)
        return None

    async def definitions(self) -> Sequence[Definition]:
        rows = await self._page(
            "SELECT digest, workflow, version, body, at, revision FROM definition ORDER BY workflow, at"
        )
        return [Definition(*row) for row in rows]

    async def definition(self, digest: bytes) -> Definition | None:
        sql = "SELECT digest, workflow, version, body, at, revision FROM definition WHERE digest = ?"
        return _first(Definition, await self._all(sql, digest))

    async def open_digests(self) -> Sequence[bytes]:
        rows = await self._page("SELECT DISTINCT digest FROM run WHERE state < 10 ORDER BY digest")
        return [bytes(row[0]) for row in rows]

    async def workflows(self) -> Mapping[str, WorkflowState]:
        rows = await self._all("SELECT workflow, enabled, removed, pinned, origin FROM workflow ORDER BY workflow")
        return {name: WorkflowState(name, bool(on), bool(gone), pin, origin) for name, on, gone, pin, origin in rows}

    async def rules(self, revision: int) -> bytes | None:
        if revision:
            rows = await self._all("SELECT body FROM rules WHERE revision = ?", revision)
        else:
            rows = await self._all("SELECT body FROM rules ORDER BY revision DESC LIMIT 1")
        return rows[0][0] if rows else None

    async def blob(self, digest: bytes) -> bytes | None:
        whole = await self._all("SELECT whole FROM blob WHERE digest = ?", digest)
        if not whole or not whole[0][0]:
            return None
        return b"".join(
            [row[0] for row in await self._page("SELECT body FROM blob_part WHERE digest = ? ORDER BY no", digest)]
        )


def _run_where(wanted: RunFilter) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    for condition, value in (
        ("run.workflow = ?", wanted.workflow),
        ("run.event = ?", wanted.event),
        ("run.parent = ?", wanted.parent),
        ("run.correlation = ?", wanted.correlation),
    ):
        if value:
            where += [condition, condition.replace("= ?", "<> " + ("''" if isinstance(value, str) else "0"))]
            values.append(value)
    for condition, value in (
        ("run.priority = ?", wanted.priority),
        ("run.created_at >= ?", wanted.since),
        ("run.created_at < ?", wanted.until),
    ):
        if value is not None:
            where.append(condition)
            values.append(value)
    if wanted.workflows:
        where.append(f"run.workflow IN ({', '.join('?' * len(wanted.workflows))})")
        values += wanted.workflows
    if wanted.states:
        where.append("run.state IN (" + ", ".join(str(int(state)) for state in wanted.states) + ")")
        if max(wanted.states) < 10:
            where.append("run.state < 10")  # for the small index on the open ones, and for no other
            where = [condition.replace("run.workflow =", "run.workflow || '' =") for condition in where]
        elif min(wanted.states) > 10:
            where.append("run.state > 10")
    return where, values


def _limit(limit: int) -> int:
    return max(1, min(int(limit), PAGE_ROWS_MAX + 1))  # the one more tells that there is another page


def _pairs(rows: Sequence[Row]) -> list[tuple[Any, Any]]:
    return [(row[0], row[1]) for row in rows]


def _first(kind: type[Any], rows: Sequence[Row]) -> Any:
    return kind(*rows[0]) if rows else None
