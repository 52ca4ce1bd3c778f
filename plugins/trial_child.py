"""The process of `trial`, started with TARGET MADE PIPE LIMIT: it says that it begins, and that it came to an end."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys

from .trial import BEGUN, ENDED


def main(target: str, made: str, pipe: str, limit_s: str) -> None:
    """Import and, if asked, call; never returns."""
    signal.alarm(int(float(limit_s)) + 2)  # if who started us is gone by then
    os.write(int(pipe), BEGUN)
    with contextlib.suppress(BaseException):  # raising is said by the import itself
        module, _, attribute = target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if made == "1":
            found()
    os.write(int(pipe), ENDED)
    os._exit(0)  # whatever threads it has begun


if __name__ == "__main__":
    main(*sys.argv[1:])
