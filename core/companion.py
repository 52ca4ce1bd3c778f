"""A second process of this program, at the other end of a socket pair, started before it is needed: it imports what it
needs while this one does. Few imports here, for the same reason.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from subprocess import DEVNULL, Popen

_PACKAGE = __name__.removesuffix(".core.companion")
_PROGRAM = "import sys; sys.path[:] = {path!r}; from {module} import main; main({end})"
WRITER = "store.sqlite_child"
"""The module of the process that writes an SQLite file."""


class Companion:
    """A process of the same interpreter that finds the same modules, and calls a module's `main` with the descriptor of
    its end. It is not waited for, and is to end when our end is closed.

    `module`: below the package. Raises OSError if the machine does not let us start one.
    """

    def __init__(self, module: str) -> None:
        self.end, theirs = socket.socketpair()
        with theirs:
            program = _PROGRAM.format(path=sys.path, module=f"{_PACKAGE}.{module}", end=theirs.fileno())
            command = [sys.executable, "-P", "-c", program]
            try:
                self.process: Popen[bytes] = Popen(command, stdin=DEVNULL, stdout=DEVNULL, pass_fds=(theirs.fileno(),))
            except OSError:
                self.end.close()
                raise


_ahead: dict[str, Companion] = {}


def start_ahead(module: str) -> None:
    """Start one for who asks for it next; where that cannot be, who asks is told."""
    drop(module)
    with contextlib.suppress(OSError):
        _ahead[module] = Companion(module)


def taken(module: str) -> Companion:
    """The one that was started ahead, else a new one. Raises OSError."""
    return _ahead.pop(module, None) or Companion(module)


def drop(module: str) -> None:
    """End what was started ahead and nobody took."""
    unused = _ahead.pop(module, None)
    if unused is not None:
        unused.end.close()
        unused.process.wait()
