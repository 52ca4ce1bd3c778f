"""`/healthz`: the process answers. `/readyz`: it takes events; 503 while the store refuses (semantics 1.8).

A loop that failed in a way that nobody foresaw is named there too: events are taken all the same, so it is 200.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import StoreUnavailable
from ..core.loops import LOOPS
from .wire import Send, answer_json

if TYPE_CHECKING:
    from ..app import App


async def healthz(send: Send) -> None:
    """Alive."""
    await answer_json(send, 200, {"status": "ok"})


async def readyz(app: App, send: Send) -> None:
    """Ready; raises StoreUnavailable while the store refuses."""
    why = app.store.refusing
    if why:
        raise StoreUnavailable(
            f"the store refuses writes: {why}",
            retry_after_s=1.0,
            hint="nothing that was accepted is lost: mend the cause, it goes on by itself",
        )
    failing = LOOPS.failing()
    await answer_json(send, 200, {"status": "degraded", "failing": failing} if failing else {"status": "ready"})
