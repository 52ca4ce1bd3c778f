"""DBOS: a library on SQLite or PostgreSQL, in the process that starts workflows. Run in an environment of its own."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

import uvloop
import workload
from dbos import DBOS


@DBOS.step()
async def noop(x: int) -> int:
    """A step that does nothing."""
    return x


@DBOS.workflow()
async def five(n: int) -> int:
    """One step after the other."""
    for _ in range(workload.STEPS):
        n = await noop(n)
    return n


@DBOS.workflow()
async def fan(n: int) -> int:
    """All steps at once, and a join."""
    return len(await asyncio.gather(*(noop(n + i) for i in range(workload.FAN))))


async def main() -> None:
    """Measure it on the database that `url` names."""
    wanted = workload.wanted()
    DBOS(config={"name": "bench", "system_database_url": wanted["url"], "log_level": "ERROR"})
    DBOS.launch()
    workload.report(await workload.measured(five, fan, wanted), version("dbos"))


if __name__ == "__main__":
    uvloop.run(main())
