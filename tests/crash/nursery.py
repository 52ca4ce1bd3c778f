"""Processes that are to be killed, forked from a server that has everything loaded."""

from __future__ import annotations

import multiprocessing

NURSERY = multiprocessing.get_context("forkserver")
NURSERY.set_forkserver_preload(
    ["reactor.tests.crash.child", "reactor.tests.crash.writers", "reactor.store.sqlite", "reactor.store.postgres",
     "asyncpg"]
)  # fmt: skip
