"""A clock that a test owns: time stands still until the test, or the lack of anything else to do, moves it.

Works with asyncio's own event loop, whose queue of ready callbacks tells when all tasks wait.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from ..core.durations import parse_duration

START = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""

_QUIET_TURNS = 3  # turns of the loop with nothing else ready: I/O that is there already has been taken in


class VirtualClock:
    """Implements `core.clock.Clock`.

    `advance` moves time from one sleeper to the next and lets each run before the next wakes. With `auto`, time jumps
    to the next sleeper by itself whenever all tasks wait, `patience_s` (real seconds) after the last one went to wait:
    give it some where threads or sockets work meanwhile.
    """

    def __init__(self, start: float = START, *, auto: bool = False, patience_s: float = 0.0) -> None:
        self._now = start
        self._monotonic = 1_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0
        self._auto = auto
        self._patience_s = patience_s
        self._looking = False
        self.on_step: list[Callable[[], None]] = []
        """Called after each `step`: who would look at the wall clock every second need not do so in a test."""

    def now(self) -> float:
        """The wall clock, Unix seconds."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never step."""
        return self._monotonic

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a person or NTP would; no sleeper wakes by it."""
        self._now += seconds
        for told in self.on_step:
            told()

    async def sleep(self, seconds: float) -> None:
        """Return when this clock has moved so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._number, future))
        if self._auto and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look, 0)
        await future

    async def advance(self, by: float | str) -> None:
        """Move time on, by seconds or by a duration such as `3d`; sleepers wake in order, and whatever they start has
        come to wait before the next one wakes. Raises ValueError: time does not go back.
        """
        seconds = parse_duration(by) if isinstance(by, str) else by
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock is moved on by 0 s or more, not by {seconds:g}: `step` sets the wall clock back")
        until = self._monotonic + seconds
        await self.settle()
        while (due := self._next()) is not None and due <= until:
            self._jump(due)
            await self.settle()
        self._now += until - self._monotonic
        self._monotonic = until

    async def settle(self) -> None:
        """Return when every other task waits for time, I/O or a thread."""
        ready = _ready()
        quiet = 0
        while quiet < _QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = 0 if ready else quiet + 1

    def _next(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():  # cancelled
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _jump(self, to: float) -> None:
        self._now += to - self._monotonic
        self._monotonic = to
        while (due := self._next()) is not None and due <= to:
            heapq.heappop(self._sleepers)[2].set_result(None)

    def _look(self, quiet: int) -> None:
        """With `auto`: jump if nothing else has been ready for a while."""
        loop = asyncio.get_running_loop()
        due = self._next()
        if due is None:
            self._looking = False
        elif _ready():
            loop.call_soon(self._look, 0)
        elif quiet < _QUIET_TURNS:
            loop.call_soon(self._look, quiet + 1)
        elif self._patience_s and quiet == _QUIET_TURNS:
            loop.call_later(self._patience_s, self._look, quiet + 1)
        else:
            self._jump(due)
            loop.call_soon(self._look, 0)


def _ready() -> deque[Any]:
    """Callbacks that the running loop is about to call."""
    return cast("deque[Any]", getattr(asyncio.get_running_loop(), "_ready"))  # noqa: B009  # private, hence by name
