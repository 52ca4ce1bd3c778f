"""Which runs an accepted event woke or cancelled: found when `explain` asks, so that no run pays for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from ..core.ids import event_text, run_text
from ..core.limits import EXPLAIN_RUNS_MAX, PAGE_ROWS_MAX
from ..store.contract import EventRow, Heard, Kind, RunFilter, RunRow, Store
from .plan import Plan
from .run import CancelRequest

SLACK_S = 1.0  # a run may look back at what was accepted as it was made

PlanOf = Callable[[bytes], Awaitable[Plan | None]]


class _Taken(Struct):
    """Of a StepRecord what is asked for."""

    taken: int = 0


_taken = msgspec.json.Decoder(_Taken).decode
_cancel = msgspec.json.Decoder(CancelRequest).decode


async def heard(
    store: Store, plan_of: PlanOf, state_of: Callable[[RunRow], str], workflow: str, event: EventRow
) -> tuple[list[Heard], bool]:
    """The runs of a workflow that were open when the event came and heard of it, newest first; were all looked at?

    At most EXPLAIN_RUNS_MAX are looked at, the newest.
    """
    found: list[Heard] = []
    before = looked = 0
    wanted = RunFilter(workflow=workflow, until=event.at + SLACK_S)
    while looked < EXPLAIN_RUNS_MAX:
        limit = min(PAGE_ROWS_MAX, EXPLAIN_RUNS_MAX - looked)
        rows = await store.runs(wanted, before=before, limit=limit)
        for row in rows:
            if row.ended_at is None or row.ended_at >= event.at:
                found += await _by(store, plan_of, state_of(row), row, event)
        if len(rows) < limit:
            return found, True
        before, looked = rows[-1].id, looked + len(rows)
    return found, False


async def _by(store: Store, plan_of: PlanOf, state: str, row: RunRow, event: EventRow) -> list[Heard]:
    run = run_text(store.id, row.id)
    definition = f"{row.digest.hex()[:12]}/"
    found: list[Heard] = []
    for item in await store.journal(row.id):
        if item.kind == Kind.RESULT and _taken(item.body).taken == event.key:
            plan = await plan_of(row.digest)
            if plan is not None:
                found.append(Heard(run, state, definition + plan.nodes[item.ord >> 40].path))
    if row.cancel and _cancel(row.cancel).event == event_text(event.key):
        found.append(Heard(run, state, definition))
    return found
