"""A process whose bus is away: it runs workflows until some of their events are given up, and then waits to be killed.

Run as `python -P -m reactor.tests.app.bus_child FOLDER MOST RUNS`; it writes how many events went, as a line.
"""

from __future__ import annotations

import asyncio
import sys
from unittest import mock

from reactor import App
from reactor.language.loader import load_text
from reactor.router import backlog
from reactor.tests.waiting import until

FLOW = """
workflow: told
steps: [{name: a, transform: 1}]
"""


async def work(folder: str, most: int, runs: int) -> None:
    """Give up what is over `most`, then hang."""
    async with App(project=folder) as app:
        with mock.patch.object(backlog, "OUTBOX_ROWS_MAX", most), mock.patch.object(backlog, "LOOK_S", 0.1):
            await app.deploys.deploy(load_text(FLOW, "f.yaml", app.vocabulary()).loaded)
            for _ in range(runs):
                await (await app.start("told")).result(10)
            expected = 2 * runs - most  # each run tells of its start and its end
            await until(lambda: app.outbox.backlog.given_up == expected, 30)
            print(expected, flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
