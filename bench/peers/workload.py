"""The work that every peer is given, and how its time is taken. The standard library alone: each peer runs this file in
an environment of its own, where Reactor is not installed.

W1 one five-step workflow at a time · W2 100 of them in flight · W3 100 parallel steps and a join · W4 posted by HTTP on
32 connections, taken as soon as it is durable, until the last has ended. Steps do nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

STEPS = 5
FAN = 100
IN_FLIGHT = 100
START_S = 60

Start = Callable[[int], Awaitable[Any]]


def wanted() -> dict[str, Any]:
    """What the caller asks for: `folder`, `url`, `server`, numbers `warm`, `w1`, `w2`, `w3` (and `w4` of one that
    takes work by HTTP), and `seconds` for each.
    """
    return json.loads(sys.argv[1])


def report(found: dict[str, Any], version: str) -> None:
    """Hand the figures back: the last line of the output. Ends the process: some peers leave threads behind."""
    print(json.dumps({**found, "version": version}), flush=True)
    os._exit(0)


async def several(start: Start, count: int, in_flight: int, seconds: float) -> tuple[float, list[float]]:
    """Run up to `count` workflows, and start none after `seconds`: seconds in all until the last ended, and of each.

    Raises TimeoutError when some have not ended after three times that time, and the first error of a workflow.
    """
    numbers, each = iter(range(count)), list[float]()
    first = time.perf_counter()

    async def lane() -> None:
        for number in numbers:
            began = time.perf_counter()
            if began - first > seconds:
                return
            await start(number)
            each.append(time.perf_counter() - began)

    try:
        async with asyncio.timeout(3 * seconds):
            await asyncio.gather(*(lane() for _ in range(min(in_flight, count))))
    except TimeoutError:
        raise TimeoutError(f"{len(each)} of {count} had ended after {3 * seconds:g} s") from None
    return time.perf_counter() - first, each


async def measured(
    five: Start, fan: Start, wanted: dict[str, Any], post: Start | None = None, ended: Collection[int] = ()
) -> dict[str, Any]:
    """W1, W2 and W3, and W4 of a peer that has `post`, which puts the numbers of workflows that have ended in `ended`.

    What a peer refuses to do is told in `failed`, and the rest is measured all the same.
    """
    found: dict[str, Any] = {"counts": {}, "failed": {}}
    seconds = wanted["seconds"]

    async def w1() -> None:
        _, each = await several(five, wanted["w1"], 1, seconds)
        each.sort()
        found["counts"]["W1"] = len(each)
        found["W1 p50 ms"] = statistics.median(each) * 1e3
        found["W1 p99 ms"] = each[min(len(each) - 1, int(len(each) * 0.99))] * 1e3

    async def w2() -> None:
        took, each = await several(five, wanted["w2"], IN_FLIGHT, seconds)
        found["counts"]["W2"] = len(each)
        found["W2 workflows/s"] = len(each) / took

    async def w3() -> None:
        _, each = await several(fan, wanted["w3"], 1, seconds)
        found["counts"]["W3"] = len(each)
        found["W3 p50 ms"] = statistics.median(each) * 1e3

    async def w4() -> None:
        assert post is not None
        began, before = time.perf_counter(), len(ended)
        _, each = await several(post, wanted["w4"], IN_FLIGHT, seconds)
        async with asyncio.timeout(3 * seconds):
            while len(ended) - before < len(each):
                await asyncio.sleep(0.01)
        found["counts"]["W4"] = len(each)
        found["W4 runs/s"] = len(each) / (time.perf_counter() - began)

    await several(five, wanted["warm"], 10, seconds)
    for name, measure in (("W1", w1), ("W3", w3), ("W2", w2), *((("W4", w4),) if post is not None else ())):
        try:
            await measure()
        except Exception as error:
            found["failed"][name] = f"{type(error).__name__}: {error}"[:300]
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.asynccontextmanager
async def server(command: Sequence[str], port: int, log: Path, **env: str) -> AsyncIterator[None]:
    """A server while the block runs: entered when the port answers; raises RuntimeError with the end of its log."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **env}, cwd=log.parent)
    try:
        until = time.monotonic() + START_S
        while not await answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-1500:]}")
            await asyncio.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


async def answers(port: int) -> bool:
    """Is somebody listening there?"""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
