"""The process that test_kill.py kills: an engine on a file, told by stdin what to accept; its effects are outside."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from .rig import Rig

FLOW = """
workflow: job
inputs: {id: string}
when: [{event: job.new, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: one, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: one}}}
  - name: both
    parallel:
      branches:
        a: [{name: two, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: two}}}]
        b: [{name: three, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: three}}}]
  - {name: four, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: four}}}
---
workflow: followed
inputs: {id: string}
when: [{workflow: job, with: {id: "${{ event.data.outputs.four }}"}}]
steps: [{name: five, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: five}}}]
"""


async def live(url: str, ledger: str) -> None:
    reader, writer = await asyncio.open_unix_connection(ledger)

    async def effect(id: str, place: str, context: Any) -> str:
        writer.write(f"{id} {place} {context.idempotency_key} {context.run['id']}\n".encode())
        await writer.drain()
        await asyncio.sleep(0.003)
        return id

    async with Rig(url, {"m:effect": effect}) as rig:
        await rig.deploy(FLOW)
        print("ready", flush=True)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        posts: set[asyncio.Task[None]] = set()

        async def post(id: str) -> None:
            receipt = await rig.emit("job.new", {"id": id}, id=id, source="/test")
            print(f"ack {id} {receipt.runs[0]}", flush=True)

        while line := (await lines.readline()).decode().strip():
            if line == "quiet":
                await rig.until(lambda: _quiet(rig), 60)
                break
            task = asyncio.ensure_future(post(line))
            posts.add(task)
            task.add_done_callback(posts.discard)
        await asyncio.gather(*posts)
        print("end", flush=True)
    del reader


async def _quiet(rig: Rig) -> bool:
    return not rig.engine.executor.runs and not await rig.store.outbox(1, after=0, limit=1)


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], sys.argv[2]))
