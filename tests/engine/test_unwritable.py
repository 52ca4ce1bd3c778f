"""What one event brings cannot be written: it alone is a dead letter, and what came with it is taken."""

from __future__ import annotations

import asyncio
import random

import pytest

from reactor.core.errors import ErrorInfo
from reactor.core.event import Event, Mark, Undecodable, decode_stored
from reactor.store.contract import RunFilter

from .rig import Rig, deliver

FLOW = """
workflow: keyed
inputs: {k: string}
when: [{event: go, with: {k: "${{ event.data.k }}"}}]
limits: {concurrency: {max: 1, key: inputs.k}}
outputs: {k: "${{ inputs.k }}"}
steps: [{name: a, transform: {n: 1}}]
"""
LONG = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=9000))
"""No index of PostgreSQL's takes it as a key."""


def event(id: str, k: str) -> Event:
    return Event(type="go", source="/s", id=id, data={"k": k})


@pytest.mark.broker("postgres")
@pytest.mark.rule("1.2")
@pytest.mark.rule("1.7")
@pytest.mark.parametrize("positioned", [False, True])
async def test_an_event_that_cannot_be_written_costs_those_beside_it_nothing(
    postgres_url: str, positioned: bool
) -> None:
    async with Rig(postgres_url) as rig:
        await rig.deploy(FLOW)
        poison = Undecodable(b"{", ErrorInfo("invalid_data", "no JSON", "park"), "/s", "0")
        mark = Mark("t", "0", b"4")
        given = (event("1", "x"), poison, event("2", LONG), event("3", "y"))
        settled = await deliver(rig, "t", *given, marks=(mark,), positioned=positioned)
        assert [receipt.verdict for receipt in settled.receipts] == ["accepted", "dead", "dead", "accepted"]
        ended = [await rig.ended(run) for receipt in settled.receipts for run in receipt.runs]
        assert [(run["state"], run["outputs"]) for run in ended] == [
            ("completed", {"k": "x"}),
            ("completed", {"k": "y"}),
        ]
        letters = {letter.id: letter for letter in await rig.store.dead_letters(state="open", before=0, limit=9)}
        assert letters.keys() == {"0", "2"}
        assert decode_stored(letters["2"].raw or b"").data == {"k": LONG}
        assert await rig.store.marks("t") == {"0": b"4"}
        again = await deliver(rig, "t", *given, positioned=positioned)  # as after a death before the position moved
        assert [receipt.runs for receipt in again.receipts] == [receipt.runs for receipt in settled.receipts]
        assert len(await rig.store.runs(RunFilter(), limit=9)) == 2


@pytest.mark.broker("postgres")
@pytest.mark.rule("3.1")
async def test_one_that_lost_its_position_meanwhile_leaves_no_dead_letter(postgres_url: str) -> None:
    """Nor is its source told that there is one: who moved the position has it."""
    async with Rig(postgres_url) as rig:
        await rig.deploy(FLOW)
        assert not (await deliver(rig, "t", event("1", "x"), marks=(Mark("t", "0", b"1"),))).again
        late, other = await asyncio.gather(
            deliver(rig, "t", event("2", LONG), marks=(Mark("t", "0", b"2", expected=b"1"),)),
            deliver(rig, "t", event("2", "y"), marks=(Mark("t", "0", b"3", expected=b"1"),)),
        )
        assert (late.again, other.again) == (True, False)
        assert await rig.store.dead_letters(state="open", before=0, limit=9) == []
