"""The process that writes an SQLite file, killed by SIGKILL where it passes a point."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from subprocess import TimeoutExpired
from typing import Any, NamedTuple

import pytest

from reactor.core import faults
from reactor.store import sqlite_child
from reactor.tests.crash.nursery import NURSERY


class Killed(NamedTuple):
    """How a life ends: its writer is killed at this passage of any point of its own; with `both` the server is, too."""

    passage: int
    both: bool


class Forked:
    """Stands in for Popen: the same program, started in a tenth of the time, and killed where `next_at` says."""

    next_at = 0
    plant: Callable[[pytest.MonkeyPatch], None] | None = None
    last: Forked

    def __init__(self, command: list[str], *, pass_fds: tuple[int, ...], **_: Any) -> None:
        self._told, telling = socket.socketpair()
        with socket.socket(fileno=os.dup(pass_fds[0])) as end, telling:
            self._process = NURSERY.Process(target=main, args=(end, telling, Forked.next_at, Forked.plant), daemon=True)
            self._process.start()
        self._passed = b""
        Forked.last = self

    @property
    def passed(self) -> list[str]:
        """The points that it passed, killed or not; to be asked for when it has ended."""
        self.wait()
        while more := self._told.recv(65_536):
            self._passed += more
        return self._passed.decode().split()

    def wait(self, timeout: float | None = None) -> int:
        """As Popen does."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired("the writer", timeout or 0.0)
        return self._process.exitcode


def main(end: socket.socket, telling: socket.socket, dies_at: int, plant: Callable[..., None] | None) -> None:
    """Be that process, with a defect if one is planted; each passage is told before anything comes of it."""
    if plant is not None:
        plant(pytest.MonkeyPatch())
    passed = 0

    def hook(name: str) -> None:
        nonlocal passed
        passed += 1
        telling.sendall(f"{name}\n".encode())
        if passed == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    faults.hook = hook
    sqlite_child.main(end.detach())
