"""Watches over groups of processes: their memory, CPU time and number against limits. One look at /proc serves all.

Every process that a command starts stays in its session, so the limits hold for all of them together.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from msgspec import Struct

from ...core import host
from ...core.clock import SYSTEM
from ...core.durations import format_size
from ...core.errors import StepError
from ...core.loops import LOOPS

LOOK_EVERY_S = 0.1

_PAGE, _TICKS = (os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")) if hasattr(os, "sysconf") else (4096, 100)


class Usage(Struct):
    """What the processes of one session use now: bytes in memory, CPU seconds (with those of ended children), their
    ids.
    """

    memory: int = 0
    cpu_s: float = 0.0
    pids: tuple[int, ...] = ()


class Watched(Struct):
    """A session (named by its leader's id), its limits, and, once it went over one, which (`exceeded`) and by how
    much.
    """

    session: int
    memory: int | None = None
    cpu_s: float | None = None
    processes: int | None = None
    exceeded: str = ""
    found: str = ""


def usages(sessions: Sequence[int]) -> dict[int, Usage]:
    """What the living processes of these sessions use. Those with a lower id than every leader are older, and passed
    over.
    """
    oldest = min(sessions)
    found = {session: Usage() for session in sessions}
    try:
        names = os.listdir("/proc")
    except OSError:  # not Linux: then only the limits of the kernel hold
        return found
    for name in names:
        if not name.isdigit() or int(name) < oldest:
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:  # it has just ended
            continue
        usage = found.get(int(fields[3]))
        if usage is not None and fields[0] not in (b"Z", b"X"):
            usage.memory += int(fields[21]) * _PAGE
            usage.cpu_s += sum(int(fields[i]) for i in (11, 12, 13, 14)) / _TICKS
            usage.pids += (int(name),)
    return found


def check_bounds(memory: int | None, cpu_s: float | None) -> None:
    """Raises StepError `config` where a bound is asked for that this system cannot keep."""
    if (memory is not None or cpu_s is not None) and not host.has_bounds():
        said = "this system cannot bound the memory or the CPU time of another process"
        raise StepError("config", f"`limits`: {said}", hint="run it on Linux, or leave `memory` and `cpu` out")


def kill_group(leader: int, number: int) -> bool:
    """Send a signal to a whole process group; False if nobody is left in it."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_session(leader: int) -> None:
    """SIGKILL for all of a session, also those that left the leader's group."""
    kill_group(leader, signal.SIGKILL)
    for pid in usages([leader])[leader].pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


class Watch:
    """Looks while anything is watched."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, watched: Watched) -> None:
        """Watch a session until `remove`; over a limit all of it is killed."""
        self._watched.append(watched)
        if self._task is None or self._task.done():
            self._task = LOOPS.start("limits of processes", self._look)

    def remove(self, watched: Watched) -> None:
        """Watch it no longer."""
        self._watched = [other for other in self._watched if other is not watched]
        if not self._watched and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look(self) -> None:
        while True:
            await SYSTEM.sleep(LOOK_EVERY_S)
            found = await asyncio.to_thread(usages, [watched.session for watched in self._watched])
            for watched in self._watched:
                judge(watched, found.get(watched.session, Usage()))
                if watched.exceeded:
                    kill_session(watched.session)


def judge(watched: Watched, usage: Usage) -> None:
    """Note the first limit that is exceeded."""
    if watched.exceeded:
        return
    if watched.memory is not None and usage.memory > watched.memory:
        watched.exceeded, watched.found = "memory", format_size(usage.memory)
    elif watched.cpu_s is not None and usage.cpu_s > watched.cpu_s:
        watched.exceeded, watched.found = "cpu", f"{usage.cpu_s:.1f}s"
    elif watched.processes is not None and len(usage.pids) > watched.processes:
        watched.exceeded, watched.found = "processes", str(len(usage.pids))
