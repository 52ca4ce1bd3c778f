"""What not every operating system has: locks of files, the life and the bounds of a process. It is imported here alone.

Reactor is tested on Linux. Elsewhere it can be imported, and does without: a lock is taken by nobody (`has_locks`), and
bounds that cannot be kept are refused (`has_bounds`).
"""

from __future__ import annotations

import contextlib
import math
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import resource
except ImportError:  # Windows
    resource = None


def has_locks() -> bool:
    """Can a file be locked here?"""
    return fcntl is not None


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
    """Lock an open file against other processes until it is closed; without `wait` OSError if another one has it.

    Nothing happens where there are no locks.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def is_locked(descriptor: int) -> bool:
    """Does another process hold a lock on this open file, of either kind (flock or POSIX)?"""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def lives(process: int) -> bool:
    """Is there a process of this number? Where that cannot be asked without harm: yes."""
    if fcntl is None:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def has_bounds() -> bool:
    """Can the memory and the CPU time of another process be bounded? On Linux alone."""
    return resource is not None and hasattr(resource, "prlimit")


def bound(pid: int, *, memory: int | None = None, cpu_s: float | None = None, core: bool = True) -> None:
    """Bound the bytes that a process may write to and its CPU time (seconds); without `core` it leaves no core file.

    Over the soft CPU limit comes SIGXCPU, which tells why; over the hard one, a second later, SIGKILL, which does not.
    A process that has ended is left alone. Nothing happens where there are no bounds: ask `has_bounds` before.
    """
    if resource is None or not has_bounds():
        return
    bounds: dict[int, tuple[int, int]] = {}
    if not core:
        bounds[resource.RLIMIT_CORE] = (0, 0)
    if memory is not None:
        bounds[resource.RLIMIT_DATA] = (memory, memory)
    if cpu_s is not None:
        bounds[resource.RLIMIT_CPU] = (math.ceil(cpu_s), math.ceil(cpu_s) + 1)
    for kind, both in bounds.items():
        with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
            resource.prlimit(pid, kind, both)
