"""One heap of UTC instants and one task that sleeps until the next: every timer of the engine.

Instants survive a restart, so they are on the wall clock; the task looks at it at least once a second, so that a step
of the clock is noticed (semantics 8.1). A timer never fires early, and once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from ..core.clock import Clock
from ..core.limits import WAIT_S_MAX
from ..core.loops import LOOPS

TIDY_MIN = 1_000  # timers from which on cancelled ones are taken out
LOOK_S = 1.0  # the wall clock is read at least this often while a timer is set


class Timer:
    """A set timer; `cancel` makes it never fire."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never fire. Safe twice, and after it fired."""
        self.callback = None


class Timers:
    """The heap and its task."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._tidy_at = TIDY_MIN
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # a clock that tells of its steps need not be looked at
        told: list[Callable[[], None]] | None = getattr(clock, "on_step", None)
        self._look_s = LOOK_S if told is None else WAIT_S_MAX
        if told is not None:
            told.append(self._changed.set)

    def at(self, due: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` (in the loop) once the wall clock has reached `due`, in Unix seconds."""
        timer = Timer(due, callback)
        self._count += 1
        first = not self._heap or due < self._heap[0][0]
        if len(self._heap) >= self._tidy_at:  # cancelled ones must not stay until they are due
            self._heap = [item for item in self._heap if item[2].callback is not None]
            heapq.heapify(self._heap)
            self._tidy_at = max(TIDY_MIN, 2 * len(self._heap))
        heapq.heappush(self._heap, (due, self._count, timer))
        if self._task is None:
            self._task = LOOPS.start("timers", self._run)
        elif first:
            self._changed.set()
        return timer

    async def _run(self) -> None:
        while True:
            self._fire()
            self._changed.clear()
            if not self._heap:
                await self._changed.wait()
                continue
            wait = min(self._look_s, max(0.0, self._heap[0][0] - self._clock.now()))
            sleep = asyncio.ensure_future(self._clock.sleep(wait))
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait((sleep, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                changed.cancel()

    def _fire(self) -> None:
        now = self._clock.now()
        while self._heap and (self._heap[0][0] <= now or self._heap[0][2].callback is None):
            timer = heapq.heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                try:
                    callback()
                except Exception as e:  # noqa: BLE001  # one timer's fault must not hold up the others
                    LOOPS.failed("timers", e)

    async def close(self) -> None:
        """Drop all timers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._heap.clear()
