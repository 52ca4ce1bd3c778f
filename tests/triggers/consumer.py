"""A process that reads the sources of the project in a folder (its argument) until it is killed."""

import asyncio
import sys

from reactor.app import App


async def serve(folder: str) -> None:
    """Read the folder's triggers for ever; says `ready` once they are connected."""
    async with App(project=folder) as app:
        loaded = await app.load()
        assert not loaded.failed, loaded.diagnostics.render()
        await app.supervisor.tried(10)
        print("ready", flush=True)
        await asyncio.Event().wait()


asyncio.run(serve(sys.argv[1]))
