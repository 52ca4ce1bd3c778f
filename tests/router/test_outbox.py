"""The outbox: what it holds that nobody can read holds up nobody (semantics 1.7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from reactor.core.event import Event, encode
from reactor.core.ids import run_text
from reactor.store.contract import BUS, ROUTER, OutboxRow, Unit
from reactor.tests.engine.conftest import World
from reactor.tests.engine.rig import Rig

FOLLOWS = """
workflow: follows
when: [{event: told}]
steps: [{name: a, python: {function: "m:act", args: {name: followed}}}]
"""
BROKEN = b'{"specversion":"1.0","type":"told",'


@pytest.fixture(params=["sqlite", "postgres"])
async def rig(request: pytest.FixtureRequest, tmp_path: object) -> AsyncIterator[Rig]:
    postgres = request.param == "postgres"
    url = str(request.getfixturevalue("postgres_url")) if postgres else f"sqlite:///{tmp_path}/r.db"
    world = World()
    async with Rig(url, {"m:act": world.act}) as rig:
        yield rig
        assert not rig.fatal


@pytest.mark.rule("1.7")
async def test_an_event_that_cannot_be_read_is_a_dead_letter_and_holds_up_no_other(rig: Rig) -> None:
    """Toward the router and toward the bus alike."""
    left: list[str] = []

    async def bus(events: Sequence[Event]) -> None:
        left.extend(event.id for event in events)

    await rig.deploy(FOLLOWS)
    rig.outbox.bus = bus
    good = encode(Event(type="told", source="/test", id="good"))
    keys = [rig.engine.numbers.draw() for _ in range(2)]
    rows = (OutboxRow(keys[0], keys[0], BROKEN, ROUTER | BUS), OutboxRow(keys[1], keys[1], good, ROUTER | BUS))
    await rig.store.submit(Unit(outbox=rows))
    rig.outbox.sent()

    async def empty() -> bool:
        return not await rig.store.outbox(ROUTER | BUS, after=0, limit=9)

    await rig.until(empty)
    assert left == ["good"]
    assert [run["workflow"] for run in (await rig.runs.list())["items"]] == ["follows"]
    run = run_text(rig.store.id, keys[0])
    letters = (await rig.events.letters())["items"]
    assert sorted(letter["error"]["message"] for letter in letters) == [
        f"an event of the run {run}, on its way to the {who}, cannot be read: the event is not valid JSON: "
        "Input data was truncated"
        for who in ("bus", "router")
    ]
    assert {(letter["source"], letter["event_id"], letter["raw"]) for letter in letters} == {
        ("/outbox", run, BROKEN.decode())
    }
    await rig.until(lambda: not rig.engine.executor.runs)
