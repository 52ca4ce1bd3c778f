"""Runs that another has started and waits for: found, cancelled, ended before it (semantics 9.4)."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ..core.limits import PAGE_ROWS_MAX
from ..store.contract import RunFilter, RunRow, RunState
from .active import ActiveRun
from .patience import patiently
from .run import CancelRequest

if TYPE_CHECKING:
    from .executor import Executor


async def children_of(x: Executor, run: ActiveRun) -> AsyncIterator[RunRow]:
    """All that a run has started in `sync` and `async`, ended ones too, newest first."""
    before, wanted = 0, RunFilter(parent=run.row.id)
    while True:
        page = functools.partial(x.store.runs, wanted, before=before, limit=PAGE_ROWS_MAX)
        rows = await patiently(x.clock, page)
        for row in rows:
            yield row
        if len(rows) < PAGE_ROWS_MAX:
            return
        before = rows[-1].id


async def end_child(x: Executor, number: int, request: CancelRequest) -> RunRow | None:
    """Cancel a child if it is open; its row once it has ended."""
    with x.telling.watching(number) as future:
        if await x.owner.cancel_child(number, request):
            return await future
    return await patiently(x.clock, lambda: x.store.run(number))


async def end_children(x: Executor, run: ActiveRun, request: CancelRequest) -> None:
    """Cancel all that are open, at once, and wait until they have ended."""
    numbers = [row.id async for row in children_of(x, run) if not RunState(row.state).ended]
    await asyncio.gather(*(end_child(x, number, request) for number in numbers))
