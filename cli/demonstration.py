"""`demo`: the demonstration that ships with Reactor."""

from __future__ import annotations

import asyncio

from .demo import run_demo
from .parsing import Given

PORT = 8484


def demo(given: Given) -> int:
    """Run it until Ctrl-C."""
    return asyncio.run(run_demo(given.word("folder") or None, port=given.number("port", PORT)))
