"""A store that refuses is no step's error and no attempt: what works for a run waits for it (semantics 1.8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..core.backoff import Backoff
from ..core.clock import Clock
from ..core.errors import StoreUnavailable

T = TypeVar("T")
AGAIN_S_MIN = 0.05
AGAIN_S_MAX = 1.0


async def patiently(clock: Clock, ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` answers, asked again while the store refuses; so it must do no harm when it is asked twice."""
    backoff = Backoff(AGAIN_S_MIN, max_delay_s=AGAIN_S_MAX)
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            await clock.sleep(backoff.next_s())
