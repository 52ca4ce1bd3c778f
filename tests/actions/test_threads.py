"""Threads of actions: reused, bounded, no obstacle to the end of the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from reactor.engine.actions.threads import Threads


async def test_reuses_threads_and_bounds_them() -> None:
    threads = Threads(3, "t")
    names: set[str] = set()
    most, now = 0, 0
    lock, gate = threading.Lock(), threading.Event()

    def work() -> None:
        nonlocal most, now
        with lock:
            names.add(threading.current_thread().name)
            now += 1
            most = max(most, now)
        gate.wait(5)
        with lock:
            now -= 1

    futures = [threads.run(work) for _ in range(20)]
    async with asyncio.timeout(5):
        while most < 3:
            await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*futures)
    assert (most, names) == (3, {"t-1", "t-2", "t-3"})
    threads.close()
    one = Threads(5, "one")
    for _ in range(10):
        assert await one.run(lambda: threading.current_thread().name) == "one-1"
        await asyncio.sleep(0.01)  # the thread is idle again a moment after its result is out
    one.close()


async def test_exceptions_come_out() -> None:
    threads = Threads(1, "t")
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="the function raised StopIteration"):
        await threads.run(lambda: next(iter(())))
    assert await threads.run(lambda: 5) == 5
    threads.close()


def test_a_function_that_never_returns_does_not_hold_the_process() -> None:
    code = """
import asyncio, time
from reactor.engine.actions.threads import Threads
async def main():
    Threads(1, "t").run(lambda: time.sleep(600))
    await asyncio.sleep(0.1)
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-P", "-c", code], timeout=20).returncode == 0
