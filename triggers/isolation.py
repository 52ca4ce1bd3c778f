"""The seam between our code and a plugin's: what hangs is cut off, what raises anything unexpected is named.

Libraries tie connections to the task that opened them, so everything here runs in the caller's own task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..core.clock import Clock
from ..core.errors import ReactorError, TransientError

T = TypeVar("T")


class Crashed(TransientError):
    """Code of others raised what it may not; `__cause__` has it."""

    code = "plugin_crashed"


class Hangs(TransientError):
    """Code of others did not return in time, and was cancelled."""

    code = "timeout"


async def guarded(call: Awaitable[T], whose: str) -> T:
    """Await code of others. Raises ReactorError as it is, Crashed for everything else but our own cancellation."""
    try:
        return await call
    except ReactorError:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Crashed(f"{whose} crashed: it was cancelled from inside") from error
    except (Exception, SystemExit) as error:  # the one seam: a plugin may raise anything at all
        raise Crashed(f"{whose} crashed: {type(error).__name__}: {error}") from error


async def limited(clock: Clock, seconds: float, call: Awaitable[T], whose: str, told: Callable[[Hangs], None]) -> T:
    """Await one verb; over the limit `told` hears of it and the verb is cancelled. Raises Hangs."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    expired: list[Hangs] = []

    async def expire() -> None:
        await clock.sleep(seconds)
        expired.append(Hangs(f"{whose} hangs: it took over {seconds:g} s", hint="see whether its source answers"))
        told(expired[0])
        task.cancel()

    timer = asyncio.ensure_future(expire())
    try:
        return await call
    except asyncio.CancelledError:
        if expired and task.uncancel() <= before:
            raise expired[0] from None
        raise
    finally:
        timer.cancel()


async def within(clock: Clock, seconds: float, task: asyncio.Future[Any]) -> None:
    """Wait until a task is done, at most so long; it is not cancelled, and what it raises is not raised here."""
    if not task.done():
        timer = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
