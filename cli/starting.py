"""Starting without the collector of reference cycles: imports and set-up make much and drop nothing."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

COLLECT_AFTER = 10_000
"""Objects that are made and not dropped between two collections. With Python's own 700 the collector takes a tenth of
the time of a busy server, for what the runs in flight hold is looked at again and again.
"""


@contextmanager
def uncollected() -> Generator[None]:
    """No collection inside; what exists at its end stays for good, and no later collection walks through it.

    From then on a collection is rarer than Python would have it.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
        if was:
            gc.enable()
