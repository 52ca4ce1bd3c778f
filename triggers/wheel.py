"""Where all schedules of a process wait: one heap of instants, one task, however many there are.

It sleeps to the next instant, but never longer than a second, so that a step of the wall clock is noticed within one
(semantics 8.1).
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import cast

from ..core.clock import Clock
from ..core.loops import LOOPS

LOOK_S_MAX = 1.0
_SWEEP_EVERY = 5_000  # waits, after which those of readers that went away are dropped


class Wheel:
    """Wakes whoever waits for an instant (Unix seconds) once the wall clock has reached it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0
        self._task: asyncio.Task[None] | None = None
        self._sleep: asyncio.Future[None] | None = None
        self._look_s = LOOK_S_MAX
        told = cast("list[Callable[[], None]] | None", getattr(clock, "on_step", None))
        if told is not None:  # a test's clock says when it is set
            told.append(self._look)
            self._look_s = math.inf

    def at(self, instant: float) -> asyncio.Future[None]:
        """Done when it is time, never before. Whoever no longer waits cancels it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._heap, (instant, self._number, future))
        if self._task is None:
            self._task = LOOPS.start("schedules", self._turn)
        elif instant <= self._heap[0][0]:
            self._look()  # not later than what it sleeps for
        if self._number % _SWEEP_EVERY == 0:
            self._sweep()
        return future

    def _look(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()

    def _sweep(self) -> None:
        """Forget those whose reader went away."""
        self._heap = [entry for entry in self._heap if not entry[2].done()]
        heapq.heapify(self._heap)

    async def _turn(self) -> None:
        task = asyncio.current_task()
        while self._heap:
            instant, _, future = self._heap[0]
            wait = 0.0 if future.done() else instant - self._clock.now()
            if wait <= 0:
                heapq.heappop(self._heap)
                if not future.done():
                    future.set_result(None)
                continue
            self._sleep = asyncio.ensure_future(self._clock.sleep(min(wait, self._look_s)))
            try:
                await self._sleep
            except asyncio.CancelledError:
                if task is not None and task.cancelling():
                    raise
        self._task = None


_wheels: dict[tuple[int, int], tuple[asyncio.AbstractEventLoop, Clock, Wheel]] = {}


def wheel(clock: Clock) -> Wheel:
    """The wheel of the running loop and this clock."""
    loop = asyncio.get_running_loop()
    for key, (other, _, _) in list(_wheels.items()):
        if other.is_closed():
            del _wheels[key]
    key = (id(loop), id(clock))
    if key not in _wheels:
        _wheels[key] = (loop, clock, Wheel(clock))
    return _wheels[key][2]
