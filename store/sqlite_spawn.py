"""The process that will write an SQLite file, started before anybody knows which: it imports what it needs while this
one does. Few imports here, for the same reason.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from subprocess import DEVNULL, Popen

_PROGRAM = "import sys; sys.path[:] = {path!r}; from {package}.sqlite_child import main; main({end})"


class WriterProcess:
    """A process of the same interpreter that finds the same modules, and our end of the socket pair over which it hears
    the rest. It is not waited for, and ends when that end is closed.

    Raises OSError if the machine does not let us start one.
    """

    def __init__(self) -> None:
        self.end, theirs = socket.socketpair()
        with theirs:
            program = _PROGRAM.format(path=sys.path, package=__package__, end=theirs.fileno())
            command = [sys.executable, "-P", "-c", program]
            try:
                self.process: Popen[bytes] = Popen(command, stdin=DEVNULL, stdout=DEVNULL, pass_fds=(theirs.fileno(),))
            except OSError:
                self.end.close()
                raise


_ahead: list[WriterProcess] = []


def start_ahead() -> None:
    """Start one for the store that is opened next; where that cannot be, its opening says so."""
    with contextlib.suppress(OSError):
        _ahead.append(WriterProcess())


def taken() -> WriterProcess:
    """The one that was started ahead, else a new one. Raises OSError."""
    return _ahead.pop() if _ahead else WriterProcess()


def drop() -> None:
    """End what was started ahead and nobody took."""
    while _ahead:
        unused = _ahead.pop()
        unused.end.close()
        unused.process.wait()
