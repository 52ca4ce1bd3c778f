"""Executing a Python file in a thread of its own, so that one that hangs costs its time limit once, and is named.

What a thread cannot contain is code that ends the process or never gives the interpreter's lock back.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import Future, wait
from types import CodeType, ModuleType

from ..core.clock import SYSTEM
from ..core.errors import TransientError


class Slow(TransientError):
    """An import has not ended; it may yet."""

    code = "timeout"


class Importing:
    """One import of one file: `sys.modules` has the new module while it lasts, and keeps it if it ends well."""

    def __init__(self, module: ModuleType, code: CodeType, *, limit_s: float) -> None:
        self._module = module
        self._code = code
        self._limit_s = limit_s
        self._until = SYSTEM.monotonic() + limit_s
        self._before = sys.modules.get(module.__name__)
        self._through: Future[BaseException | None] = Future()  # what its code raised, at its end
        sys.modules[module.__name__] = module
        threading.Thread(target=self._work, name=f"import {module.__name__}", daemon=True).start()

    @property
    def is_through(self) -> bool:
        """Has its code ended, well or not?"""
        return self._through.done()

    async def through(self) -> None:
        """Wait for its end, at most as long as it may take; others have their turn."""
        left = self._until - SYSTEM.monotonic()
        if left > 0 and not self._through.done():
            await asyncio.wait((asyncio.wrap_future(self._through),), timeout=left)

    def ended(self) -> ModuleType:
        """The module; blocks for what is left of its time. Raises Slow while it is being imported, and at its end what
        its code raised.
        """
        wait((self._through,), timeout=max(0.0, self._until - SYSTEM.monotonic()))
        if not self._through.done():
            self._put_back()
            raise Slow(f"it takes over {self._limit_s:g} s and has not ended")
        error = self._through.result()
        if error is not None:
            self._put_back()
            raise error
        sys.modules[self._module.__name__] = self._module
        return self._module

    def _put_back(self) -> None:
        """What was there before, whose workflows are in force, is there again."""
        name = self._module.__name__
        if sys.modules.get(name) is self._module:
            if self._before is not None:
                sys.modules[name] = self._before
            elif self._through.done():  # code that is slow, not more, may still look its module up
                del sys.modules[name]

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            exec(self._code, self._module.__dict__)  # noqa: S102  # whoever may write a workflow may run code
        except BaseException as raised:  # noqa: BLE001  # whatever it raises, SystemExit too, is its own failure
            error = raised
        self._through.set_result(error)
