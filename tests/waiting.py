"""What every test waits by: for a condition, with a limit, and never for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], limit_s: float = 20.0) -> Any:
    """What the condition, plain or async, gives once it holds. Raises TimeoutError after `limit_s` seconds."""
    async with asyncio.timeout(limit_s):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.005)
