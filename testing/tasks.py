"""Which tasks are begun by a piece of code, and by all that it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_here: ContextVar[bool] = ContextVar("_here", default=False)


@contextmanager
def tasks_begun() -> Generator[list[asyncio.Task[Any]]]:
    """The tasks that are begun from here; not those of the rig's own servers, which answer from elsewhere."""
    loop = asyncio.get_running_loop()
    earlier = loop.get_task_factory()
    mark = _here.set(True)
    found: list[asyncio.Task[Any]] = []

    def begin(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> Any:
        task: Any = earlier(loop, coro, **more) if earlier is not None else asyncio.Task(coro, loop=loop, **more)
        if _here.get():
            found.append(task)
        return task

    loop.set_task_factory(begin)
    try:
        yield found
    finally:
        loop.set_task_factory(earlier)
        _here.reset(mark)
