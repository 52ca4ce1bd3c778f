"""What goes when it is old (semantics 11.2), and blobs: written once, as questions to a database and what follows from
the answers.

Each generator is one small transaction: it yields statements, is sent the rows they found, and returns how many rows
went.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from ..core.ids import COUNTER_BITS
from ..core.limits import BLOB_GRACE_S, MIB, UNMATCHED_ROWS_MAX
from .days import expired
from .statements import Statement

Ask = tuple[Statement | str, Sequence[Any]]
"""A statement about rows and the rows, or SQL with `?` and its values."""
Asking = Generator[Ask, Sequence[Sequence[Any]], int]

BLOB_PART_BYTES = 1 * MIB  # one transaction's share: a large output must not stop the groups
_PAGES_MAX = 20  # of rows that one call looks at for a table

_I, _B, _T = ("bigint",), ("bytea",), ("text", "text")
_JOURNAL = Statement("DELETE FROM j WHERE run IN (SELECT column1 FROM {v})", _I)
_LABELS = Statement("DELETE FROM label WHERE run IN (SELECT column1 FROM {v})", _I)
_CANCEL_KEYS = Statement("DELETE FROM cancel_key WHERE run IN (SELECT column1 FROM {v})", _I)
_RUNS = Statement("DELETE FROM run WHERE state >= 10 AND id IN (SELECT column1 FROM {v}) RETURNING id", _I)
_WAITED = Statement("DELETE FROM waited WHERE event IN (SELECT column1 FROM {v})", _I)
_EVENTS = Statement("DELETE FROM event WHERE key IN (SELECT column1 FROM {v}) RETURNING key", _I)
# `+ 0` keeps the planner off the index of all open runs.
_NAMED = Statement(
    "SELECT event FROM run WHERE event <> 0 AND event IN (SELECT column1 FROM {v}) AND state + 0 < 10", _I
)
_AWAITED = Statement("SELECT DISTINCT event FROM waited WHERE event IN (SELECT column1 FROM {v})", _I)
_DEAD = Statement("DELETE FROM dead_letter WHERE key IN (SELECT column1 FROM {v}) RETURNING key", _I)
_BLOB_PARTS = Statement("DELETE FROM blob_part WHERE digest IN (SELECT column1 FROM {v})", _B)


class Retention:
    """Where the removal of old rows has got to; a new round begins when one has seen all."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}

    def steps(self, keep: Mapping[str, float], now: float, limit: int) -> Iterator[tuple[str, Asking]]:
        """One transaction a table, for each that `keep` (seconds, by the names of the configuration) speaks of, and
        the rest.
        """
        if "runs" in keep:
            yield "runs", self._runs(now - keep["runs"], limit)
        if "events" in keep:
            yield "events", self._events(now - keep["events"], limit)
        if "unmatched" in keep:
            yield "unmatched", _unmatched(now - keep["unmatched"], limit)
        if "dead_letters" in keep:
            yield "dead_letters", self._dead_letters(now - keep["dead_letters"], limit)
        if "ledger" in keep:
            yield "ledger", _by("ledger", "trigger, due", "due < ?", limit, now - keep["ledger"])
        yield "marks", _by("mark", "scope, key", "at > 0 AND at < ?", limit, now)
        # Rows that were made to be locked, or emptied under their lock.
        yield "empty_marks", _by("mark", "scope, key", "value IS NULL", limit)
        yield "empty_states", _by("state", "scope, key", "value IS NULL", limit)
        yield "flow", _by("flow", "policy, key", "state IS NULL", limit)
        yield "idle_flow", _idle_flows(now, limit)
        yield "blobs", _blobs(now, limit)

    def _aged(
        self, table: str, sql: str, before: float, limit: int
    ) -> Generator[Ask, Sequence[Sequence[Any]], list[int]]:
        """Numbers of rows that are to go, oldest first; `sql` gives (number, instant it was made, may go).

        Within one process's numbers, what comes after a row that is too young is younger still: the next process's are
        next.
        """
        found: list[int] = []
        at = self._at.get(table, 0)
        for _ in range(_PAGES_MAX):
            rows = yield sql, (at, limit)
            for number, made_at, may_go in rows:
                at = number + 1
                if made_at >= before:
                    at = ((number >> COUNTER_BITS) + 1) << COUNTER_BITS
                    break
                if may_go is not None and may_go < before:
                    found.append(number)
                    if len(found) == limit:
                        break
            if not rows or len(found) == limit:
                if not rows:
                    at = 0
                break
        self._at[table] = at
        return found

    def _runs(self, before: float, limit: int) -> Asking:
        sql = (
            "SELECT id, created_at, CASE WHEN state >= 10 THEN ended_at END FROM run WHERE id >= ? ORDER BY id LIMIT ?"
        )
        numbers = _one((yield from self._aged("runs", sql, before, limit)))
        if not numbers:
            return 0
        gone = yield _RUNS, numbers
        numbers = _one(row[0] for row in gone)
        for statement in (_JOURNAL, _LABELS, _CANCEL_KEYS):
            yield statement, numbers
        return len(numbers)

    def _events(self, before: float, limit: int) -> Asking:
        keys = yield from self._aged(
            "events", "SELECT key, at, at FROM event WHERE key >= ? ORDER BY key LIMIT ?", before, limit
        )
        if not keys:
            return 0
        kept = {row[0] for row in (yield _NAMED, _one(keys))}
        rows = yield "SELECT min(created_at) FROM run WHERE state < 10", ()
        if (
            rows[0][0] is not None and rows[0][0] < before
        ):  # a run that was open when it came may still look back to it (6.6)
            kept |= {row[0] for row in (yield _AWAITED, _one(keys))}
        gone = _one(key for key in keys if key not in kept)
        if not gone:
            return 0
        yield _WAITED, gone
        return len((yield _EVENTS, gone))

    def _dead_letters(self, before: float, limit: int) -> Asking:
        sql = "SELECT key, at, at FROM dead_letter WHERE key >= ? ORDER BY key LIMIT ?"
        keys = yield from self._aged("dead_letters", sql, before, limit)
        return len((yield _DEAD, _one(keys))) if keys else 0


def _by(table: str, key: str, condition: str, limit: int, *values: float) -> Asking:
    sql = f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {condition} LIMIT ?) RETURNING 1"
    return len((yield sql, (*values, limit)))


def _idle_flows(now: float, limit: int) -> Asking:
    """Rows past their deadline that hold nothing: a throttle's whose window is empty. Who locked one meanwhile has
    moved its deadline, so it is judged again in the deleting statement.
    """
    sql = (
        "DELETE FROM flow WHERE deadline < ? AND (policy, key) IN (SELECT policy, key FROM flow WHERE deadline < ?"
        " AND NOT EXISTS (SELECT 1 FROM held WHERE held.policy = flow.policy AND held.key = flow.key) LIMIT ?)"
        " RETURNING 1"
    )
    return len((yield sql, (now, now, limit)))


def _unmatched(before: float, limit: int) -> Asking:
    sql = "DELETE FROM unmatched WHERE key IN (SELECT key FROM unmatched WHERE at < ? LIMIT ?) RETURNING 1"
    return len((yield sql, (before, limit)))


def bound_unmatched() -> Asking:
    """Keep the newest UNMATCHED_ROWS_MAX of the unmatched log."""
    sql = (
        "DELETE FROM unmatched WHERE key <= (SELECT key FROM unmatched ORDER BY key DESC LIMIT 1 OFFSET ?) RETURNING 1"
    )
    return len((yield sql, (UNMATCHED_ROWS_MAX,)))


def _blobs(now: float, limit: int) -> Asking:
    """Blobs that nothing can name any more: older by BLOB_GRACE_S than every run there is, and no recent or open run's
    `vars`.
    """
    oldest, at = now, 0
    while rows := (yield "SELECT id, created_at FROM run WHERE id >= ? ORDER BY id LIMIT 1", (at,)):
        oldest = min(oldest, rows[0][1])
        at = ((rows[0][0] >> COUNTER_BITS) + 1) << COUNTER_BITS
    sql = (
        "DELETE FROM blob WHERE digest IN (SELECT digest FROM blob WHERE named_at < ? LIMIT ?) AND named_at < ?"
        " AND digest NOT IN (SELECT vars FROM run WHERE state < 10)"
        " AND digest NOT IN (SELECT vars FROM (SELECT vars FROM run ORDER BY id DESC LIMIT 1000) AS newest)"
        " RETURNING digest"
    )
    before = oldest - BLOB_GRACE_S
    gone = yield sql, (before, limit, before)
    if gone:
        yield _BLOB_PARTS, gone
    return len(gone)


def expired_days(tables: Sequence[str], keep_s: float) -> Generator[Ask, Sequence[Sequence[Any]], list[str]]:
    """Which tables of dedupe records (newest first) are to be dropped."""
    filled: list[str] = []
    for table in tables:
        if (yield f"SELECT 1 FROM {table} LIMIT 1", ()):
            filled.append(table)
    return expired(filled, keep_s)


def blob_steps(digest: bytes, body: bytes, clock_now: Callable[[], float]) -> Iterator[Asking]:
    """The transactions that store a blob; the first returns 1 if it is there whole already: its time is renewed
    then.
    """
    yield _name_blob(digest, len(body), clock_now())
    for no, start in enumerate(range(0, len(body), BLOB_PART_BYTES)):
        yield _blob_part(digest, no, body[start : start + BLOB_PART_BYTES])
    yield _whole_blob(digest)


def _name_blob(digest: bytes, size: int, now: float) -> Asking:
    sql = (
        "INSERT INTO blob (digest, size, named_at, whole) VALUES (?, ?, ?, 0)"
        " ON CONFLICT (digest) DO UPDATE SET named_at = excluded.named_at RETURNING whole"
    )
    rows = yield sql, (digest, size, now)
    return rows[0][0]


def _blob_part(digest: bytes, no: int, body: bytes) -> Asking:
    yield "INSERT INTO blob_part (digest, no, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (digest, no, body)
    return 0


def _whole_blob(digest: bytes) -> Asking:
    yield "UPDATE blob SET whole = 1 WHERE digest = ?", (digest,)
    return 0


def _one(numbers: Any) -> list[tuple[int]]:
    return [(number,) for number in numbers]
