"""What is told of a run while it runs: progress, states, who ended it and why; on both stores."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.core.durations import parse_instant
from reactor.core.errors import PermanentError
from reactor.core.event import Event

from .conftest import Reopen, World
from .rig import Rig, steps

TEN = "workflow: ten\nsteps:\n" + "".join(
    f"  s{n}: {{python: {{function: 'm:act', args: {{name: s{n}}}}}}}\n" for n in range(8)
)
SKIPPED = """  off: {if: "false", log: {message: off}}
  after: {needs: [s7], unless: "true", log: {message: off}}
"""


@pytest.mark.req("E-STAT-3")
async def test_progress_is_the_share_of_ended_steps_and_never_falls(rig: Rig, world: World) -> None:
    await rig.deploy(TEN + SKIPPED)
    gates = [world.gate(f"s{n}") for n in range(8)]
    told: list[Event] = []
    rig.engine.telling.listeners.append(told.append)
    head = await rig.runs.start("ten")
    shown: list[float] = []

    async def reaches(percent: float) -> bool:
        shown.append((await rig.runs.get(head["id"]))["progress"])
        return shown[-1] == percent

    await rig.until(lambda: reaches(10.0))
    for n, gate in enumerate(gates[:7]):
        gate.set()
        await rig.until(lambda n=n: reaches(20.0 + 10 * n))
    gates[7].set()
    run = await rig.ended(head["id"])
    assert (run["state"], run["progress"]) == ("completed", 100.0)
    assert shown == sorted(shown)
    assert set(shown) <= {10.0 * n for n in range(11)}
    ends = [e.data for e in told if e.type in ("reactor.step.completed", "reactor.step.skipped")]
    assert [data["progress"] for data in ends if isinstance(data, dict)] == [10.0 * n for n in range(1, 11)]


SOME = """
workflow: some
on_error: {on_error}
steps:
  a: {{log: {{message: a}}}}
  off: {{if: "false", log: {{message: off}}}}
  b: {{needs: [a, off, alone], python: {{function: "m:act", args: {{name: b}}}}}}
  c: {{needs: [b], log: {{message: c}}}}
  alone: {{log: {{message: d}}}}
"""


@pytest.mark.req("E-STAT-3")
@pytest.mark.parametrize("on_error", ["compensate_all", "continue"])
async def test_progress_of_a_failed_run_is_the_share_of_its_steps_that_were_done(
    on_error: str, rig: Rig, world: World
) -> None:
    await rig.deploy(SOME.format(on_error=on_error))
    told: list[Event] = []
    rig.engine.telling.listeners.append(told.append)
    world.fail["b"] = [PermanentError("no luck")]
    run = await rig.run("some")
    assert run["state"] == "failed"
    assert steps(run) == {
        "a": "completed", "off": "skipped", "b": "failed", "alone": "completed",
        "c": "pending" if on_error == "compensate_all" else "skipped",
    }  # fmt: skip
    assert run["progress"] == 60.0, "neither the step that failed nor the one that needs it was done"
    assert [line["progress"] for line in (await rig.runs.list())["items"]] == [60.0]
    shown = [e.data["progress"] for e in told if isinstance(e.data, dict) and "progress" in e.data]
    assert (shown[-1], shown) == (60.0, sorted(shown))


@pytest.mark.req("E-STAT-3")
@pytest.mark.parametrize("end", ["cancelled", "timed_out"])
async def test_progress_of_a_stopped_run_is_what_it_was(end: str, rig: Rig, world: World) -> None:
    limit = "timeout: 1s\n" if end == "timed_out" else ""
    await rig.deploy("workflow: stopped\n" + limit + "steps:\n  - {name: a, log: {message: a}}\n"
                     "  - {name: nap, wait: {for: 1h}}\n  - {name: c, log: {message: c}}\n"
                     "  - {name: d, group: {steps: [{name: in, log: {message: c}}]}}\n")  # fmt: skip
    head = await rig.runs.start("stopped")

    async def waits() -> bool:
        found = await rig.runs.get(head["id"])
        return bool(found["state"] == "waiting" and found["progress"] == 25.0)

    await rig.until(waits)
    if end == "cancelled":
        await rig.runs.cancel(head["id"])
    run = await rig.ended(head["id"])
    assert (run["state"], run["progress"]) == (end, 25.0)


@pytest.mark.req("E-STAT-3")
async def test_a_run_that_never_began_has_no_progress(rig: Rig) -> None:
    await rig.deploy("workflow: held\nlimits: {concurrency: {max: 1}}\nsteps: [{name: nap, wait: {for: 1h}}]\n")
    await rig.runs.start("held")
    held = await rig.runs.start("held")
    await rig.runs.cancel(held["id"])
    run = await rig.ended(held["id"])
    assert (run["state"], run["progress"]) == ("cancelled", 0.0)


THREE = """
workflow: three
steps:
  - name: a
    python: {function: "m:act", args: {name: a}}
    compensate: {python: {function: "m:undo", args: {name: a}}}
  - {name: b, python: {function: "m:act", args: {name: b}}}
"""


@pytest.mark.req("E-STAT-4")
@pytest.mark.req("E-CANC-3")
async def test_every_change_of_state_is_told_in_order_with_reason_and_actor(rig: Rig, world: World) -> None:
    told: list[Event] = []
    rig.engine.telling.listeners.append(told.append)
    await rig.deploy(THREE)

    async def changes(id: str) -> tuple[list[str], list[str]]:
        """As they were told, and as the run's own record has them."""
        heard = [e.type.removeprefix("reactor.run.") for e in told if e.type.startswith("reactor.run.")]
        told.clear()
        moves = [entry["state"] for entry in await rig.runs.history(id) if entry["kind"] == "transition"]
        moves = [state if state != "running" else "resumed" for state in moves]
        return heard, ["started", *moves, (await rig.runs.get(id))["state"]]

    heard, recorded = await changes((await rig.run("three"))["id"])
    assert heard == recorded == ["started", "completed"]
    world.fail["b"] = [ValueError("x")]
    heard, recorded = await changes((await rig.run("three"))["id"])
    assert heard == recorded == ["started", "compensating", "compensated"]

    gate = world.gate("b")
    head = await rig.runs.start("three")
    await rig.until(lambda: world.overlap)
    await rig.runs.pause(head["id"], reason="lunch", actor="bob")
    await rig.runs.resume(head["id"])
    await rig.runs.cancel(head["id"], reason="bad data", actor="ann")
    run = await rig.ended(head["id"])
    end: Any = next(e.data for e in told if e.type == "reactor.run.cancelled")
    heard, recorded = await changes(head["id"])
    assert heard == recorded == ["started", "paused", "resumed", "cancelling", "compensating", "cancelled"]

    # who, why and when: in the run, in its history, in its event
    assert (run["cancel"]["reason"], run["cancel"]["actor"]) == ("bad data", "ann")
    started, ended = (rig.engine.clock.now() - 60, rig.engine.clock.now())
    assert started <= parse_instant(run["cancel"]["at"]) <= ended
    assert end["error"]["message"] == run["error"]["message"] == "cancelled by ann: bad data"
    moves = {e["state"]: e for e in await rig.runs.history(head["id"]) if e["kind"] == "transition"}
    assert (moves["paused"]["reason"], moves["paused"]["actor"]) == ("lunch", "bob")
    assert (moves["cancelling"]["reason"], moves["cancelling"]["actor"]) == ("bad data", "ann")
    gate.set()


FOLLOWED = """
workflow: watcher
inputs: {what: string}
when: [{event: reactor.run.resumed, with: {what: "${{ event.data.state }} ${{ event.id }}"}}]
steps: [{name: w, python: {function: "m:act", args: {name: "${{ inputs.what }}"}}}]
"""


@pytest.mark.req("E-STAT-4")
async def test_going_on_after_a_restart_and_by_hand_is_told_too(lives: Reopen, world: World) -> None:
    rig = await lives()
    await rig.deploy(THREE.replace("workflow: three", "workflow: three\non_error: fail_fast"), FOLLOWED)
    gate = world.gate("a")
    id = (await rig.runs.start("three"))["id"]
    await rig.until(lambda: world.overlap)
    await rig.runs.pause(id)
    rig = await lives()
    told: list[Event] = []
    rig.engine.telling.listeners.append(told.append)
    world.fail["b"] = [ValueError("x")]
    gate.set()
    await rig.runs.resume(id)
    await rig.ended(id)
    await rig.runs.retry(id)
    await rig.ended(id)
    heard = [(e.type, e.id) for e in told if e.type.startswith("reactor.run.") and e.subject == "three"]
    assert heard == [
        ("reactor.run.resumed", f"{id}/3"),
        ("reactor.run.failed", f"{id}/4"),
        ("reactor.run.resumed", f"{id}/5"),
        ("reactor.run.completed", f"{id}/6"),
    ]
    await rig.until(lambda: {f"running {id}/3", f"running {id}/5"} <= set(world.done))


SENDS = """
workflow: sends
when: [{event: asked}]
steps:
  - {name: say, emit: {type: said}}
  - {name: inner, run-workflow: {workflow: below}}
---
workflow: below
steps: [{name: tell, emit: {type: told}}]
---
workflow: listens
when: [{event: said}, {event: told}, {event: reactor.run.completed, match: {subject: [sends, below]}}]
steps: [{name: a, transform: 1}]
"""


async def test_the_trace_that_came_goes_on_with_all_that_the_run_sends(rig: Rig) -> None:
    await rig.deploy(SENDS)
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=1,b=2"}
    event = Event(type="asked", source="/test", id="1", extensions=trace)
    (receipt,) = await rig.events.publish([event])
    assert (await rig.ended(receipt.runs[0]))["state"] == "completed"

    async def sent() -> list[dict[str, Any]]:
        found = (await rig.events.list(limit=100))["items"]
        return [each for each in found if each["type"] in ("said", "told", "reactor.run.completed")]

    async def all_() -> bool:
        return len(await sent()) == 4

    await rig.until(all_)
    assert {tuple(each.get(name) for name in trace) for each in await sent()} == {tuple(trace.values())}
