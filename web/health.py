"""`/healthz`: the process answers. `/readyz`: it takes events; 503 while the store refuses (semantics 1.8).

A loop that failed in a way that nobody foresaw is named there too, and what the bus will never get: events are taken
all the same, so it is 200.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import StoreUnavailable
from ..core.loops import LOOPS
from .wire import Scope, Send, answer_json

if TYPE_CHECKING:
    from ..app import App


async def healthz(scope: Scope, send: Send) -> None:
    """Alive."""
    await answer_json(scope, send, 200, {"status": "ok"})


async def readyz(app: App, scope: Scope, send: Send) -> None:
    """Ready; raises StoreUnavailable while the store refuses."""
    why = app.store.refusing
    if why:
        raise StoreUnavailable(
            f"the store refuses writes: {why}",
            retry_after_s=1.0,
            hint="nothing that was accepted is lost: mend the cause, it goes on by itself",
        )
    found: dict[str, Any] = {}
    if failing := LOOPS.failing():
        found["failing"] = failing
    if (gap := app.outbox.backlog.gap) is not None:
        found["bus"] = f"too many events waited for it: {gap.events} were given up, and it has not been told of the gap"
    await answer_json(scope, send, 200, {"status": "degraded" if found else "ready", **found})
