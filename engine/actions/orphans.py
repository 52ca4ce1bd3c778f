"""No program outlives the process that started it, however that ends: its step runs again at the next start.

Who is killed can end nothing more. So a small process of its own (warden.py) is told of each program, over a pipe that
closes with us. It starts with the first program, and costs the others a few microseconds.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import subprocess
import sys

from . import warden
from .process_watch import kill_session

_log = logging.getLogger("reactor.command")


class Ticket:
    """One program: take it before the start, tell the session when there is one, give it back when all has ended."""

    def __init__(self, wards: Wards, number: int, key: str) -> None:
        self._wards = wards
        self._number = number
        self._key = key
        self.session: int | None = None

    def lines(self) -> str:
        """What the warden must know of it."""
        started = f"={self._number} {self.session}\n" if self.session is not None else ""
        return f"+{self._number} {self._key}\n{started}"

    def started(self, session: int) -> None:
        """It runs, in this session."""
        self.session = session
        self._wards.tell(f"={self._number} {session}\n")

    def over(self) -> None:
        """Nothing of it runs any more, or it never did. Safe twice."""
        if self._wards.open.pop(self._number, None) is not None:
            self._wards.tell(f"-{self._number}\n")


class Wards:
    """The programs of this process that have not ended, and the warden that is told of them."""

    def __init__(self) -> None:
        self.open: dict[int, Ticket] = {}
        self._numbers = itertools.count(1)
        self._warden: subprocess.Popen[bytes] | None = None
        self._pipe = -1  # our end of it
        self._failed = False
        if hasattr(os, "register_at_fork"):  # Windows has no fork
            os.register_at_fork(after_in_child=self.close)  # a child that is no program of ours must not hold it open

    @property
    def pid(self) -> int | None:
        """Of the warden, if there is one."""
        return None if self._warden is None else self._warden.pid

    def take(self, key: str) -> Ticket:
        """A ticket for a program that is about to start with this idempotency key in its environment."""
        number = next(self._numbers)
        ticket = self.open[number] = Ticket(self, number, key)
        self.tell(f"+{number} {key}\n")
        return ticket

    def tell(self, line: str) -> None:
        """Write a line; a warden that is gone, or does not read, is replaced by one that is told all anew."""
        with contextlib.suppress(OSError):
            if self._pipe >= 0 and os.write(self._pipe, line.encode()) == len(line):
                return
        self.close()
        if self.open:
            self._begin()

    def _begin(self) -> None:
        theirs, self._pipe = os.pipe()
        try:
            self._warden = subprocess.Popen(
                (sys.executable, "-I", "-S", warden.__file__),
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
            os.set_blocking(self._pipe, False)
            for ticket in self.open.values():
                os.write(self._pipe, ticket.lines().encode())
        except OSError as error:
            self.close()
            if not self._failed:
                _log.warning("a kill of this process will not end programs of `command`: %s", error)
            self._failed = True
        finally:
            os.close(theirs)

    def end_all(self) -> None:
        """SIGKILL for every program and what it started; for who ends at once, without a word to anybody."""
        for ticket in self.open.values():
            if ticket.session is not None:
                kill_session(ticket.session)

    def close(self) -> None:
        """Let go of the warden: it ends what is open, and then itself."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self._warden is not None:
            self._warden.poll()
            self._warden = None


WARDS = Wards()
"""Of this process."""
