"""Prefect: its server on SQLite, flows and tasks in the process that starts them. Run in an environment of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.metadata import version
from pathlib import Path

import workload


async def measured(wanted: dict) -> dict:
    """Measure against the server that the environment names. Prefect reads its settings when it is imported."""
    from prefect import flow, task

    @task
    async def noop(x: int) -> int:
        return x

    @flow
    async def five(n: int) -> int:
        for _ in range(workload.STEPS):
            n = await noop(n)
        return n

    @flow
    async def fan(n: int) -> int:
        return len(await asyncio.gather(*(noop(n + i) for i in range(workload.FAN))))

    return await workload.measured(five, fan, wanted)


async def main() -> None:
    """Start the server and measure it."""
    wanted = workload.wanted()
    folder, port = Path(wanted["folder"]), workload.free_port()
    os.environ |= {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_UI_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    async with workload.server(command, port, folder / "server.log"):
        found = await measured(wanted)
    workload.report(found, version("prefect"))


if __name__ == "__main__":
    asyncio.run(main())
