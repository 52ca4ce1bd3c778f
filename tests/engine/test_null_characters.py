"""A null character, which JSON can hold and PostgreSQL's text cannot: the same on both stores, and no event waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reactor.core.event import Event, InvalidEvent

from .rig import Rig

KEYED = """
workflow: keyed
inputs: {k: string}
when: [{event: order.placed, with: {k: "${{ event.data.k }}"}}]
labels: {k: "${{ inputs.k }}"}
limits:
  concurrency: {max: 1, key: inputs.k}
  throttle: {max: 5, per: 1m, key: inputs.k}
cancel_on: [{event: order.cancelled, by: event.data.k}]
outputs: {woken: "${{ steps.w.output.data.k }}"}
steps:
  - {name: w, wait: {event: {type: go, by: event.data.k, equals: inputs.k}}}
"""


async def test_keys_and_labels_may_hold_one(rig: Rig) -> None:
    await rig.deploy(KEYED)
    key = "a\0b"
    more = {"correlationid": key, "hops": 1, "runid": key}
    event = Event(type="order.placed", source="/s", id="1", data={"k": key}, extensions=more)
    (receipt,) = await asyncio.wait_for(rig.events.publish([event]), 10)
    await rig.until(lambda: any(r.parked for r in rig.engine.executor.runs.values()))
    await rig.emit("go", {"k": key})
    run = await rig.ended(receipt.runs[0])
    assert (run["state"], run["outputs"], run["labels"]) == ("completed", {"woken": key}, {"k": "a\u2400b"})
    head = await rig.runs.start("keyed", {"k": key}, labels={"more": key})
    assert head["labels"] == {"k": "a\u2400b", "more": "a\u2400b"}


@pytest.mark.parametrize("name", ["id", "source", "type"])
async def test_what_names_an_event_may_not_hold_one(rig: Rig, name: str) -> None:
    values: dict[str, Any] = {"id": "1", "source": "/s", "type": "t", name: "a\0b"}
    event = Event(**values)
    with pytest.raises(InvalidEvent) as caught:
        await asyncio.wait_for(rig.events.publish([event]), 10)
    said = "`id`, `source` and `type` hold no null characters: a store of text cannot keep them"
    assert str(caught.value) == said
