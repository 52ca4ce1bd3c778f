"""`overlap`: what becomes of a schedule's fire that finds the run before it still open (triggers.md, section 3)."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.core.event import Event
from reactor.language.built_in import BUILT_IN
from reactor.language.loader import load_text

from .conftest import World
from .rig import Rig, definitions, deliver

FLOW = """
workflow: sweep
when: [{every: {interval: 1m, overlap: OVERLAP}}]
steps: [{name: a, python: {function: "m:act", args: {name: a}}}]
"""


def test_a_schedule_has_nobody_to_settle_with() -> None:
    """Its fires would wait for the end of the runs, and `overlap` never see two of them."""
    text = FLOW.replace("OVERLAP}}", "skip}, settle: completed}")
    found = load_text(text, "w.yaml", BUILT_IN).diagnostics.items
    assert [(each.message, each.hint) for each in found] == [
        ("`settle` means nothing to a trigger of kind every", "remove it")
    ]


async def fire(rig: Rig, trigger: str, minute: int) -> Any:
    """The receipt of one fire."""
    at = f"2026-03-01T10:{minute:02d}:00Z"
    event = Event(type="reactor.every.fired", source=f"/triggers/{trigger}", id=f"{trigger}@{at}", data={})
    return (await deliver(rig, trigger, event)).receipts[0]


@pytest.mark.req("T-CRON-3")
@pytest.mark.rule("5.7")
@pytest.mark.parametrize(
    ("overlap", "while_open", "at_last"),
    [
        ("allow", ["running", "running"], ["completed", "completed"]),
        ("skip", ["running"], ["completed"]),
        ("queue", ["queued", "running"], ["completed", "completed"]),
        ("cancel_running", ["cancelled", "running"], ["cancelled", "completed"]),
    ],
)
async def test_a_fire_that_finds_another_open(
    rig: Rig, world: World, overlap: str, while_open: list[str], at_last: list[str]
) -> None:
    text = FLOW.replace("OVERLAP", overlap)
    await rig.deploy(text)
    trigger = definitions(text)[0].definition.when[0].trigger
    assert trigger
    gate = world.gate("a")
    await fire(rig, trigger, 1)
    await rig.until(lambda: world.overlap == 1)
    second = await fire(rig, trigger, 2)

    async def states() -> list[str]:
        return sorted(run["state"] for run in (await rig.runs.list())["items"])

    async def reached(expected: list[str]) -> bool:
        return await states() == expected

    await rig.until(lambda: reached(while_open))
    assert (second.verdict, bool(second.runs)) == ("accepted", overlap != "skip")
    gate.set()
    await rig.until(lambda: reached(at_last))
    third = await fire(rig, trigger, 3)
    assert len(third.runs) == 1, "a run that has ended is no overlap"
    await rig.until(lambda: reached(sorted([*at_last, "completed"])))
