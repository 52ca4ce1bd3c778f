"""Large values live as long as the last run that names them, and no longer (semantics 11.1, 11.2)."""

from __future__ import annotations

import pytest

from reactor.core.ids import digest
from reactor.core.limits import BLOB_GRACE_S, INLINE_BYTES_MAX
from reactor.engine.records import read_record
from reactor.store.contract import RunFilter, Unit
from reactor.testing.clock import VirtualClock
from reactor.testing.store_units import end, start

from .conftest import Reopen, World
from .rig import Rig

DAY_S = 86_400.0
LARGE = "x" * 70_000
MADE = digest(f'"{LARGE}"'.encode())
HANDED_UP = digest(f'{{"text":"{LARGE}"}}'.encode())
FLOWS = """
workflow: child
outputs: {text: "${{ steps.make.output }}"}
steps: [{name: make, python: {function: "m:act", args: {name: make, value: LARGE}}}]
---
workflow: parent
outputs: {size: "${{ size(steps.inner.output.text) }}"}
steps:
  - {name: inner, run-workflow: {workflow: child}}
  - {name: told, wait: {event: {type: go.on}}}
""".replace("LARGE", LARGE)

FORGED = """
workflow: forged
inputs: {values: array}
outputs: {all: "${{ [steps.a.output, steps.b.output, steps.c.output] }}"}
steps:
  - {name: a, python: {function: "m:act", args: {name: a, value: "${{ inputs.values[0] }}"}}}
  - {name: b, python: {function: "m:act", args: {name: b, value: "${{ inputs.values[1] }}"}}}
  - {name: c, python: {function: "m:act", args: {name: c, value: "${{ inputs.values[2] }}"}}}
  - {name: told, needs: [a, b, c], wait: {event: {type: go.on}}}
"""


async def retained(rig: Rig, days: float) -> None:
    """Remove what is older than so many days, and the blobs that nothing names then."""
    for _ in range(2):
        await rig.store.retain({"runs": days * DAY_S, "events": days * DAY_S}, limit=100)


async def workflows(rig: Rig) -> list[str]:
    return sorted(row.workflow for row in await rig.store.runs(RunFilter(), limit=100))


@pytest.mark.rule("11.1")
@pytest.mark.rule("11.2")
async def test_a_value_that_a_child_handed_up_outlives_the_child(
    lives: Reopen, world: World, clock: VirtualClock
) -> None:
    rig = await lives()
    await rig.deploy(FLOWS)
    run = (await rig.runs.start("parent"))["id"]

    async def waits() -> bool:
        return [s["state"] for s in (await rig.runs.get(run))["steps"]] == ["completed", "waiting"]

    await rig.until(waits)
    clock.step(40 * DAY_S)
    await retained(rig, 30)
    assert await workflows(rig) == ["parent"]
    assert await rig.store.blob(HANDED_UP) is not None
    rig = await lives()
    await rig.emit("go.on")
    shown = await rig.ended(run)
    assert (shown["state"], shown["outputs"]) == ("completed", {"size": len(LARGE)})
    clock.step(31 * DAY_S)
    await retained(rig, 30)
    assert await workflows(rig) == []
    assert [await rig.store.blob(name) for name in (MADE, HANDED_UP)] == [None, None]


@pytest.mark.rule("11.1")
async def test_a_value_that_a_rerun_made_again_outlives_the_first(
    lives: Reopen, world: World, clock: VirtualClock
) -> None:
    rig = await lives()
    await rig.deploy(FLOWS)
    first = (await rig.run("child"))["id"]
    clock.step(25 * DAY_S)
    second = (await rig.runs.rerun(first))["id"]
    await rig.ended(second)
    clock.step(10 * DAY_S)
    await retained(rig, 30)
    assert len(await rig.store.runs(RunFilter(), limit=9)) == 1
    assert (await rig.runs.get(second))["steps"][0]["output"] == LARGE
    clock.step(30 * DAY_S)
    await retained(rig, 30)
    assert await rig.store.blob(MADE) is None


@pytest.mark.rule("11.1")
async def test_a_value_that_no_row_came_to_name_is_collected(lives: Reopen, clock: VirtualClock) -> None:
    rig = await lives()
    name = await rig.store.put_blob(LARGE.encode())
    await retained(rig, 30)
    assert await rig.store.blob(name) is not None
    clock.step(BLOB_GRACE_S + 60)
    await retained(rig, 30)
    assert await rig.store.blob(name) is None


@pytest.mark.rule("4.4")
@pytest.mark.rule("11.1")
async def test_vars_of_a_process_that_lived_long_outlive_it(url: str, world: World, clock: VirtualClock) -> None:
    """A run that ended badly can be retried with the `vars` of its start, as long as it has its row."""
    text = """
workflow: told
steps:
  - {name: a, python: {function: "m:act", args: {name: a}}}
  - {name: b, python: {function: "m:act", args: {name: "rate ${{ vars.rate }}"}}}
"""
    world.fail["a"] = [ValueError("broken")]
    old = Rig(url, {"m:act": world.act}, clock=clock, vars={"rate": 3})
    await old.open()
    await old.deploy(text)
    clock.step(60 * DAY_S)
    name = old.engine.prepare.vars_digest
    await old.until(lambda: old.engine._vars_named == clock.now())
    run = (await old.run("told"))["id"]
    await old.close()
    clock.step(10 * DAY_S)
    new = Rig(url, {"m:act": world.act}, clock=clock, vars={"rate": 4})
    await new.open()
    numbers = [new.engine.numbers.draw() for _ in range(1_001)]  # so many that the run is none of the newest
    made_at = clock.now()
    await new.store.submit(Unit(runs=tuple(start(number, created_at=made_at) for number in numbers)))
    for number in numbers:
        await new.store.submit(end(number, at=made_at))
    await retained(new, 30)
    assert await new.store.blob(name) is not None
    await new.runs.retry(run)
    shown = await new.ended(run)
    assert (shown["state"], world.done) == ("completed", ["a", "rate 3"])
    await new.close()


@pytest.mark.rule("11.1.1")
@pytest.mark.parametrize(("bytes_", "apart"), [(INLINE_BYTES_MAX, False), (INLINE_BYTES_MAX + 1, True)])
async def test_a_value_is_apart_from_its_row_only_over_the_limit(
    lives: Reopen, clock: VirtualClock, bytes_: int, apart: bool
) -> None:
    """As JSON: the quotes count."""
    rig = await lives()
    text = "x" * (bytes_ - 2)
    await rig.deploy(
        f"""
workflow: make
outputs: {{size: "${{{{ size(steps.make.output) }}}}"}}
steps: [{{name: make, python: {{function: "m:act", args: {{name: make, value: {text}}}}}}}]
"""
    )
    assert (await rig.run("make"))["outputs"] == {"size": bytes_ - 2}
    assert (await rig.store.blob(digest(f'"{text}"'.encode())) is not None) == apart


@pytest.mark.rule("11.1")
async def test_an_output_that_looks_like_a_reference_is_the_value_it_is(
    lives: Reopen, world: World, clock: VirtualClock
) -> None:
    """In answers, after a crash, beside a real reference, and if it names a blob that there is."""
    rig = await lives()
    await rig.store.put_blob(LARGE.encode())
    forged = {"$blob": digest(LARGE.encode()).hex(), "size": len(LARGE)}
    odd = {"$blob": "no digest"}
    large = {"$blob": LARGE}
    await rig.deploy(FORGED)
    run = (await rig.runs.start("forged", {"values": [forged, odd, large]}))["id"]

    async def waits() -> bool:
        return [s["state"] for s in (await rig.runs.get(run))["steps"]] == ["completed"] * 3 + ["waiting"]

    await rig.until(waits)
    rig = await lives()
    await rig.emit("go.on")
    shown = await rig.ended(run)
    assert (shown["state"], shown["outputs"]) == ("completed", {"all": [forged, odd, large]})
    assert [step["output"] for step in shown["steps"][:3]] == [forged, odd, large]


@pytest.mark.rule("11.1")
async def test_a_reference_that_an_earlier_release_wrote_is_one(rig: Rig, world: World) -> None:
    name = await rig.store.put_blob(f'"{LARGE}"'.encode())
    body = f'{{"state":"completed","output":{{"$blob":"{name.hex()}","size":{len(LARGE) + 2}}}}}'
    assert (await read_record(rig.store, body.encode())).output == LARGE
