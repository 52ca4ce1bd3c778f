"""The door through which time comes in: UTC instants and monotonic seconds, so that a test can own both."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time. Instants are Unix seconds (UTC); durations are measured on the monotonic scale."""

    def now(self) -> float:
        """The wall clock's instant, in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds on a scale that never steps; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many monotonic seconds; at once (after one turn of the loop) for zero or less."""
        ...


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(max(0.0, seconds))


SYSTEM = SystemClock()
"""The clock of a process that nobody tests."""


def elapsed_s(since: float, until: float) -> float:
    """Seconds from one instant to a later one; 0 if the wall clock was set back in between."""
    return until - since if until > since else 0.0
