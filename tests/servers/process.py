"""A server process that the tests start, cut and start again, and that never outlives them."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
UNASKED = (20_000, 32_768)
"""From the first on, below the second: Linux gives away 32768 and above, where nobody changed it."""


class ServerError(Exception):
    """A test server did not do what it was told; the text ends with its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now.

    It is none of those that the system gives away by itself: a server that a test stops finds its port free when it
    starts again, whatever other tests connected meanwhile.
    """
    chance = random.SystemRandom()  # hypothesis seeds the other: all processes of tests would draw the same
    while True:
        port = chance.randrange(*UNASKED)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def family(pid: int) -> list[int]:
    """A process and all below it: PostgreSQL gives each of its children a session of its own."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, []))
    return found


class ServerProcess:
    """One program with its readiness check. All methods block: in a coroutine use `asyncio.to_thread(server.stop)`."""

    def __init__(
        self,
        command: Sequence[str],
        ready: Callable[[], bool],
        log: Path,
        *,
        stop_signal: str = "SIGTERM",
        grace_s: float = 10,
        start_s: float = 60,
    ) -> None:
        self._command = list(command)
        self._ready = ready
        self._log = log
        self._stop_signal = stop_signal
        self._grace_s = grace_s
        self._start_s = start_s
        self._guard: subprocess.Popen[str] | None = None
        self.pid = 0

    def start(self) -> None:
        """Start it and wait until it answers; raises ServerError with the log when it does not."""
        assert self._guard is None, "it runs already"
        with self._log.open("a") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), self._stop_signal, str(self._grace_s), *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._guard.stdout is not None
        self.pid = int(self._guard.stdout.readline())
        deadline = time.monotonic() + self._start_s
        while not self._ready():
            if self._guard.poll() is not None or time.monotonic() > deadline:
                ended = self._guard.poll()
                self.stop()
                state = f"ended with status {ended}" if ended is not None else f"gave no answer in {self._start_s:g} s"
                raise ServerError(f"{self._command[0]} {state}:\n{self.log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in good order, or by force after its grace time. Safe twice."""
        if self._guard is None:
            return
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(self._grace_s + 10)
        if self._guard.stdout is not None:
            self._guard.stdout.close()
        self._guard = None

    def kill(self) -> None:
        """End it and its children at once, as kill -9 does. Safe twice."""
        if self._guard is not None:
            self._signal(signal.SIGKILL)
            self.stop()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last 3000 characters that it wrote."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else "(no log)"

    def _signal(self, number: signal.Signals) -> None:
        for each in family(self.pid):
            try:
                os.kill(each, number)
            except ProcessLookupError:
                continue


class GivenServer:
    """Stands for a process when a variable names a server that runs already: it cannot be cut."""

    pid = 0

    def __init__(self, variable: str) -> None:
        self._variable = variable

    def _refuse(self) -> None:
        raise ServerError(f"{self._variable} names a server that is not ours to stop: run this test without it")

    start = stop = kill = pause = resume = _refuse

    def log_tail(self) -> str:
        """Its log is elsewhere."""
        return f"(the log of the server that {self._variable} names is not here)"


Process = ServerProcess | GivenServer


class Cuttable:
    """A server of the session, which a test may cut; it comes back on the same port with all its data."""

    process: Process

    def stop(self) -> None:
        """Cut it: connections break, new ones are refused."""
        self.process.stop()

    def start(self) -> None:
        """Bring it back."""
        self.process.start()
