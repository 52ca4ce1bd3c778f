"""Runs that are started together with the event that they are to see, and started anew."""

import asyncio
from pathlib import Path
from typing import Any

from reactor.tests.web.site import Site

SEES = """\
workflow: sees
inputs: {order: {type: string}, total: {type: number, default: 0}}
labels: {kind: "${{ event.type }}"}
outputs: {saw: "${{ steps.look.output }}"}
steps:
  - {name: nap, wait: {for: 200ms}}
  - {name: look, transform: {id: "${{ event.id }}", order: "${{ inputs.order }}", total: "${{ inputs.total }}"}}
"""
EVENT = {"type": "order.paid", "id": "o1", "source": "/shop", "data": {"order": "A1", "total": 3}, "team": "eu"}


async def test_a_run_sees_the_event_it_is_started_with(site: Site) -> None:
    await site.put_flow("sees", text=SEES)
    body = {"workflow": "sees", "event": EVENT, "inputs": {"total": 5}}
    started = await site.post("/api/v1/runs", body)
    assert started.status == 201, started.body
    run = await site.ended(started.json["id"])
    assert run["outputs"] == {"saw": {"id": "o1", "order": "A1", "total": 5}}
    assert run["labels"] == {"kind": "order.paid"}
    assert {k: run["event"][k] for k in ("id", "source", "type")} == {
        "id": "o1",
        "source": "/shop",
        "type": "order.paid",
    }
    stored = await site.get(f"/api/v1/events/{run['event']['key']}")
    assert (stored["trigger"], stored["team"], stored["runs"]) == ("manual", "eu", [run["id"]])
    assert [r["id"] for r in (await site.get("/api/v1/runs?event=o1"))["items"]] == [run["id"]]


async def test_an_event_needs_no_more_than_a_type(site: Site) -> None:
    await site.put_flow("sees", text=SEES)
    started = await site.post("/api/v1/runs", {"workflow": "sees", "event": {"type": "t", "data": {"order": "B"}}})
    run = await site.ended(started.json["id"])
    assert (run["event"]["source"], run["outputs"]["saw"]["order"]) == ("/reactor", "B")


async def test_what_is_no_event_is_refused_before_anything_is_stored(site: Site) -> None:
    await site.put_flow("sees", text=SEES)
    for event, status, detail in (
        ({}, 400, "the event has no `type`: CloudEvents require specversion, id, source and type"),
        ({"type": 7}, 400, "`type` must be text; found 7"),
        ([], 400, "the body is not what this takes: Expected `object | null`, got `array` - at `$.event`"),
        ({"type": "t"}, 422, "inputs of `sees`: order: `order` is missing"),
    ):
        found = (await site.post("/api/v1/runs", {"workflow": "sees", "event": event})).problem()
        assert (found["status"], found["detail"]) == (status, detail)
    assert (await site.get("/api/v1/events"))["items"] == []
    assert (await site.get("/api/v1/runs"))["items"] == []


async def test_the_event_outlives_the_process(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 's.db'}"
    async with Site(store=store) as site:
        text = SEES.replace("wait: {for: 200ms}", "wait: {event: {type: go}}")
        await site.put_flow("sees", text=text)
        run = (await site.post("/api/v1/runs", {"workflow": "sees", "event": EVENT})).json["id"]
    async with Site(store=store) as site:
        await site.call(
            "POST", "/events", json={"specversion": "1.0", "type": "go", "id": "g", "source": "/t"},
            headers={"content-type": "application/cloudevents+json"},
        )  # fmt: skip
        assert (await site.ended(run))["outputs"]["saw"]["id"] == "o1"


async def test_the_same_key_is_the_same_start(site: Site) -> None:
    await site.put_flow("sees", text=SEES)
    key = {"Idempotency-Key": "k"}
    starts = [await site.post("/api/v1/runs", {"workflow": "sees", "event": EVENT}, headers=key) for _ in range(3)]
    assert len({each.json["id"] for each in starts}) == 1
    assert len((await site.get("/api/v1/events"))["items"]) == 1


async def test_a_rerun_sees_the_same_event_and_is_one_for_its_key(site: Site) -> None:
    await site.put_flow("sees", text=SEES)
    first = (await site.post("/api/v1/runs", {"workflow": "sees", "event": EVENT})).json["id"]
    old = await site.ended(first)
    key = {"Idempotency-Key": "k"}
    path = f"/api/v1/runs/{first}/rerun"
    made = await asyncio.gather(*(site.post(path, headers=key) for _ in range(5)))
    assert {each.status for each in made} == {202}
    assert len({each.json["id"] for each in made}) == 1
    again = await site.ended(made[0].json["id"])
    assert again["id"] != first
    assert (again["event"], again["inputs"], again["outputs"]) == (old["event"], old["inputs"], old["outputs"])
    without = await site.post(path)
    assert without.json["id"] not in (first, again["id"])
    assert len((await site.get("/api/v1/events"))["items"]) == 1


HELD = """
workflow: held
steps:
  ok: {approval: {message: ship?}}
  bad: {needs: [ok], fail: {message: "no"}}
"""


async def test_a_signal_with_the_same_key_is_carried_out_once_and_answered_alike(site: Site) -> None:
    await site.put_flow("held", text=HELD)
    run = (await site.post("/api/v1/runs", {"workflow": "held"})).json["id"]
    path = f"/api/v1/runs/{run}/"

    async def send(word: str, key: str, status: int = 202, body: Any = None) -> str:
        heads = {"Idempotency-Key": key} if key else {}
        reply = await site.call("POST", path + word, json=body or {}, headers=heads)
        assert reply.status == status, reply.body
        return reply.json["state"] if status == 202 else ""

    async def open_() -> bool:
        return (await site.get(path[:-1]))["state"] == "waiting"

    await site.until(open_)
    assert [await send("pause", "k"), await send("resume", "k")] == ["paused", "waiting"]
    assert [await send("resume", "k"), await send("pause", "k")] == ["waiting", "waiting"], "neither a second time"
    await send("resume", "", 409)
    await send("resume", "other", 409)
    assert await send("pause", "next") == "paused"
    assert len({await each for each in asyncio.as_completed([send("resume", "both") for _ in range(5)])}) == 1
    said = {"by": "ada", "reason": "fine"}
    await send("steps/ok/approve", "a", body=said)
    await site.ended(run)
    assert await send("steps/ok/approve", "a", body=said) == "failed"
    await send("steps/ok/approve", "a", 409, {**said, "reason": "other"})
    await send("steps/ok/reject", "a", 409, said)
    await send("steps/ok/approve", "", 409, said)
    for _ in range(2):
        await send("retry", "r")
        await site.ended(run)
    moves = [e for e in (await site.get(path + "history"))["items"] if e["kind"] == "transition"]
    assert [(move["state"], move["key"]) for move in moves] == [
        ("paused", "pause k"),
        ("running", "resume k"),
        ("paused", "pause next"),
        ("running", "resume both"),
        ("running", "retry r"),
    ]


async def test_a_cancel_with_the_same_key_does_not_cancel_what_was_retried(site: Site) -> None:
    await site.put_flow("slow", text="workflow: slow\nsteps: {rest: {wait: {for: 1h}}}\n")
    run = (await site.post("/api/v1/runs", {"workflow": "slow"})).json["id"]
    key = {"Idempotency-Key": "k"}
    for _ in range(2):
        assert (await site.post(f"/api/v1/runs/{run}/cancel", headers=key)).status == 202
        assert (await site.ended(run))["state"] == "cancelled"
    assert (await site.post(f"/api/v1/runs/{run}/retry", headers=key)).status == 202
    assert (await site.post(f"/api/v1/runs/{run}/cancel", headers=key)).status == 202
    assert (await site.get(f"/api/v1/runs/{run}"))["cancel"] is None
