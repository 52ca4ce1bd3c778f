"""A process that is to be killed, forked from a server that has everything loaded; it speaks to the test by one socket.

In: `post ID`, `quiet`. Out: `ready`, `begin ID PLACE KEY RUN`, `end …` of each effect, `ack ID RUN`, `refused ID`,
`quiet`.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from reactor.core.errors import ReactorError
from reactor.tests.crash.plants import PLANTS
from reactor.tests.engine.rig import Rig

FLOW = """
workflow: job
inputs: {id: string}
when: [{event: job.new, with: {id: "${{ event.data.id }}"}}]
limits: {concurrency: {max: 3, key: "inputs.id.substring(0, 1)"}}
outputs: {id: "${{ inputs.id }}"}
steps:
  - {name: one, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: one}}}
  - name: both
    parallel:
      branches:
        a: [{name: two, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: two}}}]
        b: [{name: three, run-workflow: {workflow: inner, inputs: {id: "${{ inputs.id }}"}}}]
  - {name: count, state: {op: increment, key: all}}
  - {name: say, emit: {type: job.said, data: {id: "${{ inputs.id }}"}}}
  - {name: heard, wait: {event: {type: job.said, by: event.data.id}, timeout: 1h}}
---
workflow: inner
inputs: {id: string}
steps: [{name: three, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: three}}}]
---
workflow: followed
inputs: {id: string}
when: [{workflow: job, with: {id: "${{ event.data.outputs.id }}"}}]
steps: [{name: four, python: {function: "m:effect", args: {id: "${{ inputs.id }}", place: four}}}]
"""
PLACES = ("one", "two", "three", "four")
_OPEN = "SELECT count(*) FROM run WHERE state < 10"


async def _live(url: str, socket: str, step_s: float) -> None:
    reader, writer = await asyncio.open_unix_connection(socket)

    def say(*words: object) -> None:
        writer.write((" ".join(map(str, words)) + "\n").encode())

    async def effect(id: str, place: str, context: Any) -> str:
        about = (id, place, context.idempotency_key, context.run["id"])
        say("begin", *about)
        await writer.drain()
        await asyncio.sleep(step_s)
        say("end", *about)
        return id

    rig = Rig(url, {"m:effect": effect})
    await rig.open()
    await rig.deploy(FLOW)
    say("ready")
    tasks: set[asyncio.Task[None]] = set()

    async def post(id: str) -> None:
        try:
            receipt = await rig.emit("job.new", {"id": id}, id=id, source="/test")
        except ReactorError:
            say("refused", id)
        else:
            say("ack", id, receipt.runs[0])

    async def until_quiet() -> None:
        left = True
        while left or rig.engine.executor.runs:
            left = bool((await rig.store._all(_OPEN))[0][0] or await rig.store.outbox(3, after=0, limit=1))
            await asyncio.sleep(0.02)
        say("quiet")

    async def until_failed() -> None:
        while not rig.fatal:
            await asyncio.sleep(0.02)
        os._exit(3)

    tasks.add(asyncio.ensure_future(until_failed()))
    while line := (await reader.readline()).decode().split():
        tasks.add(asyncio.ensure_future(post(line[1]) if line[0] == "post" else until_quiet()))
    os._exit(0)


def main(url: str, socket: str, step_s: float, plant: str) -> None:
    """Live until killed, with a planted defect if one is named."""
    if plant:
        put = PLANTS[plant][1]
        assert put is not None
        put(pytest.MonkeyPatch())
    asyncio.run(_live(url, socket, step_s))
