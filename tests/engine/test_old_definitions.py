"""Open runs keep the definition that they began with, and with it what they wait for, whatever is deployed since."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.core.errors import PermanentError

from .conftest import Reopen, World
from .rig import Rig

WAITS = """
workflow: order
version: 1.0.0
inputs: {id: string}
when: [{event: new, with: {id: "${{ event.data.id }}"}}]
cancel_on: [{event: off, by: event.data.id}]
steps:
  - {name: ready, python: {function: "m:act", args: {name: ready}}}
  - {name: paid, wait: {event: {type: paid, by: event.data.id}}}
"""
OTHER = WAITS.replace("type: paid", "type: billed").replace("event: off", "event: gone")
LATER = OTHER.replace("1.0.0", "2.0.0")


async def changed(rig: Rig, how: str) -> None:
    if how in ("removed", "switched off"):
        await rig.deploys.change("order", **{"removed": True} if how == "removed" else {"enabled": False})
    else:
        await rig.deploy(LATER if how == "a later version" else OTHER)


async def waits(rig: Rig, run: str) -> bool:
    return bool((await rig.runs.get(run))["state"] == "waiting")


@pytest.mark.rule("6.6")
@pytest.mark.rule("6.8")
@pytest.mark.rule("10.1")
@pytest.mark.rule("10.2")
@pytest.mark.rule("10.3")
@pytest.mark.parametrize("how", ["a later version", "another revision", "removed", "switched off"])
@pytest.mark.parametrize("restarted", [False, True], ids=["", "restarted"])
async def test_an_open_run_is_woken_and_cancelled_as_it_was_begun(
    lives: Reopen, world: World, how: str, restarted: bool
) -> None:
    rig = await lives()
    await rig.deploy(WAITS)
    runs = {id: (await rig.emit("new", {"id": id})).runs[0] for id in ("a", "b", "c")}
    for run in runs.values():
        await rig.until(lambda run=run: waits(rig, run))
    await changed(rig, how)
    if restarted:
        rig = await lives()
    assert (await rig.emit("gone", {"id": "c"})).verdict == (
        "unmatched" if how in ("removed", "switched off") else "accepted"
    )
    assert (await rig.emit("paid", {"id": "a"})).verdict == "accepted"
    assert (await rig.emit("off", {"id": "b"})).verdict == "accepted"
    assert (await rig.ended(runs["a"]))["state"] == "completed"
    assert (await rig.ended(runs["b"]))["state"] == "cancelled"
    assert await waits(rig, runs["c"])
    await rig.emit("paid", {"id": "c"})
    assert (await rig.ended(runs["c"]))["state"] == "completed"


@pytest.mark.rule("6.6")
async def test_an_event_that_comes_before_the_wait_of_an_older_revision_is_found(lives: Reopen, world: World) -> None:
    rig = await lives()
    gate = world.gate("ready")
    await rig.deploy(WAITS)
    run = (await rig.emit("new", {"id": "a"})).runs[0]
    await rig.until(lambda: world.overlap)
    await rig.deploy(OTHER)
    await rig.deploy(LATER)
    await rig.emit("paid", {"id": "a"})
    gate.set()
    assert (await rig.ended(run))["state"] == "completed"


@pytest.mark.rule("6.6")
async def test_a_version_that_is_not_in_force_waits_when_it_is_started(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(WAITS, LATER.replace("2.0.0", "3.0.0"))
    run = (await rig.runs.start("order@1.0.0", {"id": "a"}, event={"type": "new", "data": {"id": "a"}}))["id"]
    await rig.until(lambda: waits(rig, run))
    await rig.emit("paid", {"id": "a"})
    assert (await rig.ended(run))["state"] == "completed"


@pytest.mark.rule("6.6")
@pytest.mark.rule("4.7")
async def test_a_run_of_an_older_revision_that_is_retried_waits(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(WAITS)
    world.fail["ready"] = [PermanentError("broken")]
    run = (await rig.emit("new", {"id": "a"})).runs[0]
    assert (await rig.ended(run))["state"] == "failed"
    await rig.deploy(OTHER)
    await rig.deploy(LATER)
    rig = await lives()
    await rig.runs.retry(run)
    await rig.until(lambda: waits(rig, run))
    await rig.emit("paid", {"id": "a"})
    assert (await rig.ended(run))["state"] == "completed"


@pytest.mark.rule("10.1")
@pytest.mark.parametrize("how", ["a later version", "another revision", "removed", "switched off"])
async def test_a_held_run_begins_under_its_own_definition_after_a_restart(
    lives: Reopen, world: World, how: str
) -> None:
    one = WAITS + "limits: {concurrency: {max: 1}}\n"
    rig = await lives()
    await rig.deploy(one)
    runs = [(await rig.emit("new", {"id": id})).runs[0] for id in ("a", "b")]
    await rig.until(lambda: waits(rig, runs[0]))
    await changed(rig, how)
    rig = await lives()
    await rig.emit("paid", {"id": "a"})
    assert (await rig.ended(runs[0]))["state"] == "completed"
    await rig.emit("paid", {"id": "b"})
    assert (await rig.ended(runs[1]))["state"] == "completed"


@pytest.mark.rule("10.1")
async def test_a_held_run_of_an_older_revision_whose_place_is_free_begins_with_the_start(
    lives: Reopen, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between the end of the one and the start of the next."""
    rig = await lives()
    await rig.deploy(WAITS + "limits: {concurrency: {max: 1}}\n")
    runs = [(await rig.emit("new", {"id": id})).runs[0] for id in ("a", "b")]
    await rig.until(lambda: waits(rig, runs[0]))
    await rig.deploy(OTHER)
    monkeypatch.setattr(rig.engine.admitting, "soon", lambda key: None)
    await rig.emit("paid", {"id": "a"})
    await rig.ended(runs[0])
    rig = await lives()
    await rig.emit("paid", {"id": "b"})
    assert (await rig.ended(runs[1]))["state"] == "completed"


@pytest.mark.rule("6.6")
@pytest.mark.rule("11.4")
async def test_nothing_is_kept_of_a_revision_whose_runs_have_ended(rig: Rig, world: World) -> None:
    await rig.deploy(WAITS)
    run = (await rig.emit("new", {"id": "a"})).runs[0]
    await rig.until(lambda: waits(rig, run))
    await rig.deploy(OTHER)
    first = await rig.emit("paid", {"id": "a"})
    await rig.ended(run)
    other = "workflow: other\nwhen: [{event: x}]\nsteps: [{log: {message: hello}}]\n"
    await rig.deploy(other)
    await rig.deploy(other.replace("hello", "anew"))
    assert rig.rules.aside() == ()
    assert (await rig.emit("paid", {"id": "a"})).verdict == "unmatched"
    assert [one async for one in findings(rig, first.event)] == [("wait paid", "noted")]


async def findings(rig: Rig, event: str) -> Any:
    """What `explain` says of the workflow's waits, by the rules of then."""
    for each in (await rig.events.explain(event, workflow="order"))["findings"]:
        if each["binding"].startswith("wait") and each["finding"] != "no_match":
            yield each["binding"], each["finding"]
