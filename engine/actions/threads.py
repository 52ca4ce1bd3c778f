"""Threads for plain functions and blocking calls: reused, bounded in number, and never in the way of the process's end.

A function that never returns cannot be ended in a thread. These are daemons, so that the process can still stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Threads:
    """At most `most` threads, started when all others are busy; further calls wait for one."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Call it in a thread; the future has its result or exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put((loop, future, function))
        if not self._idle.acquire(blocking=False) and self._started < self._most:
            self._started += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                self._idle.release()
                job = self._jobs.get()
            if job is None:
                return
            self._carry_out(job)
            del job

    @staticmethod
    def _carry_out(job: _Job) -> None:
        loop, future, function = job
        result: Any = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as e:  # noqa: BLE001  # whatever it is, it belongs to who waits for the future
            error = e
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, future, result, error)

    def close(self) -> None:
        """End the threads, each after what it does now."""
        for _ in range(self._started):
            self._jobs.put(None)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):  # a future does not take it
        future.set_exception(RuntimeError("the function raised StopIteration"))
    else:
        future.set_exception(error)
