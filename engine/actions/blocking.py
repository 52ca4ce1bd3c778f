"""Blocking calls of actions, in a thread; cancelled, they are asked to stop and waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .threads import Threads

T = TypeVar("T")
THREADS_MAX = 32  # blocking calls at once; further ones wait

_threads = Threads(THREADS_MAX, "reactor-blocking")


class Stop(Exception):
    """Raised inside a blocking call that was asked to stop: it cleans up and passes it on."""


class StopSign:
    """Looked at between two parts of blocking work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def look(self) -> None:
        """Raise Stop if asked to stop."""
        if self._event.is_set():
            raise Stop

    def raise_(self) -> None:
        """Ask to stop."""
        self._event.set()


async def blocking(function: Callable[[StopSign], T]) -> T:
    """The result of a function that runs in a thread and looks at the sign; it has ended when this raises."""
    sign = StopSign()
    future = _threads.run(partial(function, sign))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        sign.raise_()
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()
        raise
