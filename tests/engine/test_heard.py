"""`explain` says which runs an event woke, and which it cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.engine import heard
from reactor.router import explain

from .rig import Rig

ORDER = """
workflow: order
inputs: {id: string}
when: [{event: new, with: {id: "${{ event.data.id }}"}}]
cancel_on: [{event: off, by: event.data.id, if: event.data.sure}]
steps:
  - name: risky
    group:
      steps: [{name: paid, wait: {event: {type: paid, by: event.data.id}}}]
  - {name: shipped, wait: {event: {type: shipped, by: event.data.id}}}
"""


async def noted(rig: Rig, event: str) -> list[dict[str, Any]]:
    """What the bindings say that the event did not start anything by."""
    found = (await rig.events.explain(event))["findings"]
    return [one for one in found if one["finding"] != "no_match"]


async def waits(rig: Rig, runs: list[str], step: str) -> None:
    async def there() -> bool:
        views = [await rig.runs.get(run) for run in runs]
        return all({each["name"]: each["state"] for each in view["steps"]}[step] == "waiting" for view in views)

    await rig.until(there)


@pytest.mark.rule("11.4")
@pytest.mark.req("R-1")
async def test_who_heard_is_named(rig: Rig) -> None:
    await rig.deploy(ORDER)
    runs = [(await rig.emit("new", {"id": id})).runs[0] for id in ("a", "b", "a")]
    await waits(rig, runs, "risky/paid")
    paid = await rig.emit("paid", {"id": "a"})
    early = await rig.emit("shipped", {"id": "b"})
    await waits(rig, [runs[0], runs[2]], "shipped")
    woken = [{"run": runs[2], "state": "waiting"}, {"run": runs[0], "state": "waiting"}]
    assert await noted(rig, paid.event) == [
        {"workflow": "order", "binding": "wait risky/paid", "finding": "noted", "runs": woken}
        | {"text": f"woke {runs[2]}, {runs[0]}"}
    ]
    nobody = "no run has taken it; one that is open may, when it waits"
    assert [(one["runs"], one["text"]) for one in await noted(rig, early.event)] == [([], nobody)]
    await rig.emit("paid", {"id": "b"})
    assert (await rig.ended(runs[1]))["state"] == "completed"
    assert [one["text"] for one in await noted(rig, early.event)] == [f"woke {runs[1]}"]

    unsure = await rig.emit("off", {"id": "a", "sure": False})
    assert [(one["binding"], one["text"]) for one in await noted(rig, unsure.event)] == [
        ("cancel_on[0]", "if: event.data.sure is false")
    ]
    for id, text in (("a", f"cancelled {runs[2]}, {runs[0]}"), ("c", "no run that was open has its key")):
        off = await rig.emit("off", {"id": id, "sure": True})
        assert [one["text"] for one in await noted(rig, off.event)] == [text]
    assert {(await rig.ended(run))["state"] for run in (runs[0], runs[2])} == {"cancelled"}


@pytest.mark.rule("11.4")
async def test_of_many_runs_the_newest_are_looked_at(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (heard, explain):
        monkeypatch.setattr(module, "EXPLAIN_RUNS_MAX", 4)
    monkeypatch.setattr(heard, "PAGE_ROWS_MAX", 3)
    await rig.deploy(ORDER)
    runs = [(await rig.emit("new", {"id": "a"})).runs[0] for _ in range(5)]
    await waits(rig, runs, "risky/paid")
    paid = await rig.emit("paid", {"id": "a"})
    await waits(rig, runs, "shipped")
    (one,) = await noted(rig, paid.event)
    assert [each["run"] for each in one["runs"]] == runs[:0:-1]
    assert one["text"] == f"woke {runs[4]}, {runs[3]}, {runs[2]} and 1 more"
    off = await rig.emit("off", {"id": "b", "sure": True})
    assert [one["text"] for one in await noted(rig, off.event)] == [
        "no run that was open has its key (of the newest 4 runs)"
    ]
