"""Restate: its server with its default log (RocksDB, synced), its Python SDK for the steps, starts by its ingress.

Client and service share one process and one loop, as they do in Reactor. Run in an environment of its own.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path

import aiohttp
import hypercorn.asyncio
import restate
import uvloop
import workload
from hypercorn.config import Config

service = restate.Service("Bench")
ended: set[int] = set()  # numbers of workflows that were posted, and have ended


async def noop(x: int) -> int:
    """A step that does nothing."""
    return x


@service.handler()
async def five(ctx: restate.Context, n: int) -> int:
    """One step after the other."""
    for i in range(workload.STEPS):
        n = await ctx.run_typed(f"s{i}", noop, x=n)
    return n


@service.handler()
async def posted(ctx: restate.Context, n: int) -> int:
    """The same for one that nobody waits for."""
    for i in range(workload.STEPS):
        await ctx.run_typed(f"s{i}", noop, x=n)
    ended.add(n)
    return n


@service.handler()
async def fan(ctx: restate.Context, n: int) -> int:
    """All steps at once, and a join."""
    return len(await restate.gather(*(ctx.run_typed(f"p{i}", noop, x=n + i) for i in range(workload.FAN))))


async def measured(wanted: dict, admin: int, ingress: int) -> dict:
    """Serve the handlers, make them known, and measure."""
    config, port, done = Config(), workload.free_port(), asyncio.Event()
    config.bind, config.errorlog = [f"127.0.0.1:{port}"], None
    serving = asyncio.ensure_future(hypercorn.asyncio.serve(restate.app([service]), config, shutdown_trigger=done.wait))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        while not await workload.answers(port):
            await asyncio.sleep(0.05)
        known = {"uri": f"http://127.0.0.1:{port}"}
        for left in range(100, -1, -1):  # the port is open before the server can take a deployment
            async with http.post(f"http://127.0.0.1:{admin}/deployments", json=known) as answer:
                if answer.ok:
                    break
                if not left:
                    answer.raise_for_status()
            await asyncio.sleep(0.2)

        def calls(handler: str) -> workload.Start:
            async def call(n: int) -> None:
                async with http.post(f"http://127.0.0.1:{ingress}/Bench/{handler}", json=n) as answer:
                    answer.raise_for_status()
                    await answer.read()

            return call

        found = await workload.measured(calls("five"), calls("fan"), wanted, calls("posted/send"), ended)
    done.set()
    await serving
    return found


async def main() -> None:
    """Start the server and measure it."""
    wanted = workload.wanted()
    folder = Path(wanted["folder"])
    admin, ingress, fabric = (workload.free_port() for _ in range(3))
    env = {
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{fabric}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_DISABLE_TELEMETRY": "true",
    }
    command = [wanted["server"], "--base-dir", str(folder / "data")]
    async with workload.server(command, admin, folder / "server.log", **env):
        found = await measured(wanted, admin, ingress)
    workload.report(found, version("restate_sdk"))


if __name__ == "__main__":
    uvloop.run(main())
