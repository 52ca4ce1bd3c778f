"""Executing a Python file in a thread of its own, so that one that hangs costs its time limit once, and is named.

What a thread cannot contain is code that ends the process or never gives the interpreter's lock back.
"""

from __future__ import annotations

import sys
import threading
from types import CodeType, ModuleType

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
        self._before = sys.modules.get(module.__name__)
        self._error: BaseException | None = None
        sys.modules[module.__name__] = module
        self._thread = threading.Thread(target=self._work, name=f"import {module.__name__}", daemon=True)
        self._thread.start()
        self._thread.join(limit_s)

    def ended(self) -> ModuleType:
        """The module. Raises Slow while it is being imported, and at its end what its code raised."""
        if self._thread.is_alive():
            self._put_back()
            raise Slow(f"it takes over {self._limit_s:g} s and has not ended")
        if self._error is not None:
            self._put_back()
            raise self._error
        sys.modules[self._module.__name__] = self._module
        return self._module

    def _put_back(self) -> None:
        """What was there before, whose workflows are in force, is there again."""
        name = self._module.__name__
        if sys.modules.get(name) is self._module:
            if self._before is not None:
                sys.modules[name] = self._before
            elif not self._thread.is_alive():  # code that is slow, not more, may still look its module up
                del sys.modules[name]

    def _work(self) -> None:
        try:
            exec(self._code, self._module.__dict__)  # noqa: S102  # whoever may write a workflow may run code
        except BaseException as error:  # noqa: BLE001  # whatever it raises, SystemExit too, is its own failure
            self._error = error
