"""A run that has ended is gone at once: nothing of it waits for the collector, which would stop the loop for it."""

from __future__ import annotations

import asyncio
import gc

from .rig import Rig, go

FLOW = """
workflow: one
inputs: {n: integer}
when: [{event: go, if: event.data.n > 0, with: {n: "${{ event.data.n }}"}}]
outputs: {n: "${{ steps.b.output.n }}"}
steps:
  - {name: a, python: {function: "m:act", args: {name: "${{ inputs.n }} of ${{ run.id }} by ${{ event.id }}"}}}
  - {name: b, transform: {n: "${{ inputs.n + 1 }}"}}
"""


async def test_a_run_leaves_no_reference_cycles(rig: Rig) -> None:
    await rig.deploy(FLOW)

    async def runs(first: int) -> None:
        for n in range(first, first + 5):
            (receipt,) = await rig.events.publish([go(str(n), n)])
            assert (await rig.ended(receipt.runs[0]))["state"] == "completed"
            await asyncio.sleep(0.01)

    await runs(1)  # what is made once
    gc.collect()
    gc.disable()
    try:
        await runs(100)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("reactor.")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
