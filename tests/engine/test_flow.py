"""What holds whom: shares of the inbox, fan-out, the order of admission, held runs and their bound; on both stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reactor.core.errors import StepError
from reactor.store.contract import RunFilter, Unit

from .conftest import Reopen, World
from .rig import Rig, deliver, go

PAIR = """
workflow: work
inputs: {n: integer}
when: [{event: go}]
steps: [{name: a, python: {function: "m:act", args: {name: "work ${{ inputs.n }}"}}}]
---
workflow: next
when: [{workflow: work}]
steps: [{name: a, python: {function: "m:act", args: {name: next}}}]
"""


class Held:
    """A store that keeps the units of one trigger waiting until `go` is set."""

    def __init__(self, store: Any, trigger: str) -> None:
        self._store = store
        self._trigger = trigger
        self.go = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def submit(self, unit: Unit) -> Any:
        if any(acceptance.event.trigger == self._trigger for acceptance in unit.accept):
            return asyncio.ensure_future(self._later(unit))
        return self._store.submit(unit)

    async def _later(self, unit: Unit) -> Any:
        await asyncio.wait_for(self.go.wait(), 20)
        return await self._store.submit(unit)


@pytest.mark.rule("1.9")
async def test_a_trigger_that_is_held_holds_neither_another_nor_the_outbox(
    url: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactor.router.intake.INBOX_DELIVERIES_MAX", 2)
    async with Rig(url, {"m:act": world.act}, wrap=lambda store: Held(store, "slow")) as rig:
        await rig.deploy(PAIR)

        def taken(trigger: str) -> int:
            share = rig.intake._shares.get(trigger)
            return share.open if share is not None else 0

        slow = [asyncio.ensure_future(deliver(rig, "slow", go(f"s{n}", n))) for n in range(4)]
        await rig.until(lambda: taken("slow") == 2)
        for n in range(10, 15):
            settlement = await deliver(rig, "quick", go(f"q{n}", n))
            assert settlement.receipts[0].verdict == "accepted"
        await rig.until(lambda: world.done.count("next") == 5)
        assert sorted(set(world.done)) == ["next", *(f"work {n}" for n in range(10, 15))]
        assert taken("slow") == 2, "it took no more than its share"
        rig.store.go.set()
        assert [s.receipts[0].verdict for s in await asyncio.gather(*slow)] == ["accepted"] * 4
        await rig.until(lambda: world.done.count("next") == 9)


@pytest.mark.rule("2.2")
async def test_a_fan_out_over_its_bound_starts_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactor.router.arrival.FAN_OUT_RUNS_MAX", 3)
    text = "workflow: w{}\nwhen: [{{event: go}}]\nsteps: [{{name: a, transform: 1}}]"
    await rig.deploy(*(text.format(n) for n in range(3)))
    assert len((await rig.emit("go")).runs) == 3
    await rig.deploy(text.format(3))
    receipt = await rig.emit("go", id="wide")
    assert (receipt.verdict, receipt.runs) == ("dead", ())
    (letter,) = (await rig.events.letters())["items"]
    assert (letter["event_id"], letter["code"]) == ("wide", "resource_limit")
    assert letter["error"]["message"] == "the event would start 4 runs; at most 3 are started by one"
    assert len(await rig.store.runs(RunFilter(), limit=100)) == 3


ORDER = """
workflow: order
inputs: {n: integer}
when: [{event: go, match: {data: {match: [yes]}}, if: event.data.wanted}]
unless: event.data.blocked
limits:
  throttle: {max: 2, per: 1h, overflow: drop}
  concurrency: {max: 1, overflow: skip}
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
"""


@pytest.mark.rule("5.1.1")
@pytest.mark.rule("5.1.2")
async def test_pattern_then_guards_then_throttle_then_concurrency(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(ORDER)
    gate = world.gate("a")
    good = {"match": "yes", "wanted": True, "n": 1}

    async def told(**data: Any) -> tuple[str, str, int]:
        receipt = await rig.emit("go", data)
        finding = (await rig.events.explain(receipt.event))["findings"][0]
        return receipt.verdict, finding.get("text", ""), len(receipt.runs)

    # all that would stop it is named by what comes first; what is stopped there takes no place in what comes after
    assert await told(match="no", wanted="no guard") == ("unmatched", 'data.match: expected "yes", found "no"', 0)
    for n in range(3):
        assert (await told(**good | {"wanted": False, "n": n}))[1] == ("when[0].if: event.data.wanted is false")
        assert (await told(**good | {"blocked": True, "n": n}))[1] == ("unless: event.data.blocked is true")
    verdict, text, runs = await told(**good | {"n": "no number"})
    assert (verdict, runs) == ("dead", 0)
    assert text == 'inputs of `order`: n: expected a whole number; found the text "no number"'
    first = (await rig.emit("go", good)).runs[0]
    assert await told(**good) == ("accepted", "no run: skipped", 0)
    gate.set()
    await rig.ended(first)
    gate.clear()
    assert (await told(**good))[2] == 1, "one that was skipped took no place in the throttle's window"
    assert await told(**good) == ("accepted", "no run: throttled", 0), "both would stop it"
    rig = await lives()
    assert len(await rig.store.runs(RunFilter(), limit=100)) == 2, "nothing is left that could begin later"


@pytest.mark.rule("5.1.3")
@pytest.mark.parametrize("limit", ["concurrency: {max: 1}", "throttle: {max: 1, per: 1h}"])
async def test_what_is_held_is_durable_and_settled(lives: Reopen, world: World, limit: str) -> None:
    rig = await lives()
    await rig.deploy(
        f"""
workflow: held
when: [{{event: go}}]
limits: {{{limit}}}
steps: [{{name: a, python: {{function: "m:act", args: {{name: a}}}}}}]
"""
    )
    gate = world.gate("a")
    first, second = [await deliver(rig, "t", go(id)) for id in ("1", "2")]
    assert (first.again, second.again) == (False, False), "the source is told before the held run begins"
    assert [r.verdict for r in second.receipts] == ["accepted"]
    (held,) = second.receipts[0].runs
    assert (await rig.runs.get(held))["state"] == "queued"
    gate.set()
    rig = await lives()
    assert (await rig.ended(held))["state"] == "completed"
    assert (await deliver(rig, "t", go("2"))).receipts[0].verdict == "duplicate"
    assert len(await rig.store.runs(RunFilter(), limit=100)) == 2


DOWN = """
workflow: down
inputs: {n: integer}
limits: {concurrency: {max: 1, key: "'all'"}}
steps:
  - {name: a, python: {function: "m:act", args: {name: "n${{ inputs.n }}"}}}
  - name: next
    if: inputs.n > 0
    run-workflow: {workflow: down, mode: MODE, inputs: {n: "${{ inputs.n - 1 }}"}}
  - {name: z, python: {function: "m:act", args: {name: "end n${{ inputs.n }}"}}}
"""


@pytest.mark.rule("5.8.1")
async def test_a_child_needs_no_slot_that_an_ancestor_holds(rig: Rig, world: World) -> None:
    await rig.deploy(DOWN.replace("MODE", "sync"))
    run = await rig.run("down", {"n": 2})
    assert run["state"] == "completed"
    assert world.done == ["n2", "n1", "n0", "end n0", "end n1", "end n2"]
    world.done.clear()
    gate = world.gate("n0")
    await rig.runs.start("down", {"n": 1})
    await rig.until(lambda: world.overlap)
    other = await rig.runs.start("down", {"n": 0})
    assert other["state"] == "queued", "whoever is no child of the holder waits"
    gate.set()
    await rig.ended(other["id"])
    assert world.done == ["n1", "n0", "end n0", "end n1", "n0", "end n0"]


@pytest.mark.rule("5.8.1")
async def test_a_child_that_nobody_waits_for_needs_a_slot(rig: Rig, world: World) -> None:
    await rig.deploy(DOWN.replace("MODE", "async"))
    await rig.run("down", {"n": 1})
    await rig.until(lambda: len(world.done) == 4)
    assert world.done == ["n1", "end n1", "n0", "end n0"]


@pytest.mark.rule("5.8.2")
async def test_what_only_waits_takes_no_place_from_what_works(rig: Rig, world: World) -> None:
    await rig.deploy(
        """
workflow: sleeper
steps: [{name: w, wait: {event: {type: bell}}}]
---
workflow: mixed
parallel_limit: 1
steps:
  w1: {wait: {event: {type: bell}}}
  w2: {approval: {message: "go?"}}
  w3: {run-workflow: {workflow: sleeper}}
  a: {python: {function: "m:act", args: {name: a}}}
  b: {needs: [a], python: {function: "m:act", args: {name: b}}}
"""
    )
    heads = [await rig.runs.start("sleeper") for _ in range(50)]
    mixed = await rig.runs.start("mixed")
    await rig.until(lambda: world.done == ["a", "b"])
    active = rig.engine.executor.runs
    await rig.until(lambda: len(active) == 52 and all(run.parked for run in active.values()))
    await rig.until(lambda: not [task for run in active.values() for task in run.tasks.values()])
    assert sum(run.busy for run in active.values()) == 0
    await rig.emit("bell")
    for head in heads:
        await rig.ended(head["id"])
    await rig.runs.answer(mixed["id"], "w2", approve=True, by="ann")
    assert (await rig.ended(mixed["id"]))["state"] == "completed"


FULL = """
workflow: full
inputs: {n: {type: integer, default: 0}}
when: [{event: go}, {event: reactor.run.completed, match: {subject: [other]}}]
limits: {concurrency: {max: 1}}
steps:
  - {name: a, python: {function: "m:act", args: {name: "full ${{ inputs.n }}"}}}
  - {name: rung, wait: {event: {type: bell}}}
---
workflow: other
when: [{event: ask}]
steps: [{name: a, python: {function: "m:act", args: {name: other}}}]
---
workflow: follower
when: [{event: reactor.run.completed, match: {subject: [other]}}]
steps: [{name: a, python: {function: "m:act", args: {name: follower}}}]
---
workflow: ringer
when: [{event: ring}]
steps: [{name: a, emit: {type: bell}}]
---
workflow: parent
steps: [{name: c, run-workflow: {workflow: full, mode: async, inputs: {n: 9}}}]
"""


@pytest.mark.rule("5.9")
async def test_a_workflow_with_as_many_held_runs_as_may_takes_no_more(
    rig: Rig, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactor.engine.held.PENDING_RUNS_MAX", 2)
    await rig.deploy(FULL)
    for n in range(3):
        await deliver(rig, "t", go(f"g{n}", n))
    assert set(rig.engine.full) == {"full"}

    # its triggers are held, whatever else they bring is not, and no other trigger is
    held = asyncio.ensure_future(deliver(rig, "t", go("late", 4)))
    assert (await deliver(rig, "t", go("ask1", type="ask"))).receipts[0].verdict == "accepted"
    # the rows of completion events that would start it wait, those behind them pass
    await rig.until(lambda: world.done == ["full 0", "other"])
    await deliver(rig, "u", go("ask2", type="ask"))
    await rig.until(lambda: world.done.count("other") == 2)
    assert not held.done()
    assert "follower" not in world.done

    # who asks directly is told to come again
    message = "`full` has 2 runs that wait to begin; no more are taken"
    with pytest.raises(StepError) as refused:
        await rig.runs.start("full")
    assert (refused.value.code, str(refused.value)) == ("rate_limited", message)
    with pytest.raises(StepError) as refused:
        await rig.emit("go", {"n": 5})
    assert (refused.value.code, str(refused.value)) == (
        "rate_limited",
        "the event would start a run of a workflow that has as many waiting runs as it may; nothing was taken",
    )
    # children pass
    assert (await rig.run("parent"))["state"] == "completed"
    assert rig.engine.held.counts["full"] == 3

    # an event that its own run waits for is not behind those that start it: as runs end, all that was held goes in
    async def through() -> bool:
        await rig.emit("ring")
        return len([name for name in world.done if name.startswith("full")]) == 7

    await rig.until(through, 30)
    assert (await held).receipts[0].verdict == "accepted"
    assert world.done.count("follower") == 2
    assert not rig.engine.full
