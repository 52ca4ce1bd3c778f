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

_DURABLE = "workflow: durable\ninputs: {k: string}\nsteps: [{name: s, %s}]\n"
DURABLE = {
    "one": _DURABLE % 'state: {op: set, key: "${{ inputs.k }}", value: 1}',
    "several": _DURABLE % 'state: {ops: [{op: get, key: a}, {op: delete, key: "${{ inputs.k }}"}]}',
    "of a function": _DURABLE % 'python: {function: "m:changes", args: {k: "${{ inputs.k }}"}}',
    "read": _DURABLE % 'python: {function: "m:reads", args: {k: "${{ inputs.k }}"}}',
    "value": _DURABLE % 'state: {op: set, key: a, value: "${{ inputs.k }}"}',
}


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


@pytest.mark.parametrize("form", ["one", "several", "of a function", "read"])
async def test_no_key_of_a_durable_value_may_hold_one(form: str, url: str) -> None:
    async def changes(k: str, context: Any) -> None:
        context.state.set(k, 1)

    async def reads(k: str, context: Any) -> Any:
        return await context.state.get(k)

    async with Rig(url, {"m:changes": changes, "m:reads": reads}) as rig:
        await rig.deploy(DURABLE[form])
        run = await rig.run("durable", {"k": "a\0b"})
        said = "the key 'a\\x00b' of a durable value must hold no null character"
        assert (run["state"], run["error"]["code"], run["error"]["message"]) == ("failed", "invalid_input", said)


async def test_a_durable_value_itself_may_hold_one(rig: Rig) -> None:
    await rig.deploy(DURABLE["value"])
    run = await rig.run("durable", {"k": "a\0b"})
    assert (run["state"], run["outputs"]) == ("completed", {"s": {"value": "a\0b", "previous": None, "version": 1}})
