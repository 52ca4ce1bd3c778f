"""A first import in a process of its own: a module that ends or kills the process that imports it, or holds it for
ever, is known before this one imports it.

What the module does short of that, raising included, is left to the import itself, which says it in full. Nothing is
kept of a trial: a module may well import here today and crash tomorrow, on another library or without its device.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

BEGUN, ENDED = b"b", b"e"


def trial(target: str, *, made: bool, limit_s: float) -> str:
    """What is wrong with importing `module:attribute` (and, if `made`, calling that), in words; empty if a process can.

    Blocks for as long as it takes, at most `limit_s`; empty too if no process can be had to try it in.
    """
    here, there = os.pipe()
    try:
        child = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                f"{__package__}.trial_child",
                target,
                str(int(made)),
                str(there),
                str(limit_s),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(there,),
            start_new_session=True,  # Ctrl-C is for us alone
        )
    except OSError:
        os.close(here)
        return ""
    finally:
        os.close(there)
    code = None
    try:
        code = child.wait(limit_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if _said(here) != BEGUN:
        return ""
    if code is None:
        return f"it has not ended after {limit_s:g} s"
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return f"it ends the process that imports it, {how}"


def _said(pipe: int) -> bytes:
    """What the child wrote, without waiting: a process that it left behind may hold the other end."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 2)
    except BlockingIOError:
        return b""
    finally:
        os.close(pipe)
