"""Temporal: its development server with a database file, one worker, all defaults. Run in an environment of its own.

The worker's sandbox is off: it costs time and changes nothing about what is durable.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import uvloop
import workload
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

LIMIT = timedelta(seconds=60)


@activity.defn
async def noop(x: int) -> int:
    """A step that does nothing."""
    return x


@workflow.defn
class Five:
    """One step after the other."""

    @workflow.run
    async def run(self, n: int) -> int:
        for _ in range(workload.STEPS):
            n = await workflow.execute_activity(noop, n, start_to_close_timeout=LIMIT)
        return n


@workflow.defn
class Fan:
    """All steps at once, and a join."""

    @workflow.run
    async def run(self, n: int) -> int:
        all_of_them = (
            workflow.execute_activity(noop, n + i, start_to_close_timeout=LIMIT) for i in range(workload.FAN)
        )
        return len(await asyncio.gather(*all_of_them))


async def connected(port: int) -> Client:
    """A client, once the server knows its namespace."""
    until = time.monotonic() + workload.START_S
    while True:
        try:
            client = await Client.connect(f"127.0.0.1:{port}")
            await client.count_workflows()
            return client
        except Exception:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(0.2)


async def main() -> None:
    """Start the server and measure it."""
    wanted = workload.wanted()
    folder, port = Path(wanted["folder"]), workload.free_port()
    command = [wanted["server"], "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--db-filename", str(folder / "temporal.db"), "--log-level", "error"]
    async with workload.server(command, port, folder / "server.log"):
        client = await connected(port)
        runner = UnsandboxedWorkflowRunner()
        async with Worker(client, task_queue="bench", workflows=[Five, Fan], activities=[noop], workflow_runner=runner):

            async def five(n: int) -> None:
                await client.execute_workflow(Five.run, n, id=str(uuid.uuid4()), task_queue="bench")

            async def fan(n: int) -> None:
                await client.execute_workflow(Fan.run, n, id=str(uuid.uuid4()), task_queue="bench")

            found = await workload.measured(five, fan, wanted)
    workload.report(found, version("temporalio"))


if __name__ == "__main__":
    uvloop.run(main())
