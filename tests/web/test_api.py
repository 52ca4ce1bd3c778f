"""The API: workflows, runs, events, dead letters, triggers; and what it says to what it does not take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reactor.core import pages
from reactor.store import reads
from reactor.store.contract import UnitRefused
from reactor.tests.web.site import Site

YAML = {"content-type": "application/yaml"}
CLOUD = {"content-type": "application/cloudevents+json"}
WAITING = "workflow: slow\ntags: [a, b]\ninputs: {n: integer}\nsteps: {rest: {wait: {for: 1h}}}\n"
UNFIT = "workflow: flow\nwhen: [{event: unfit}]\ninputs: {n: integer}\nsteps: {one: {log: {message: x}}}\n"
APPROVAL = "workflow: ask\nsteps: {ok: {approval: {message: ship?}}}\n"


async def emit(site: Site, type: str = "thing", id: str = "1", data: Any = None) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": id, "source": "/s", "type": type, "data": data}
    reply = await site.call("POST", "/events", data=json.dumps(event), headers=CLOUD)
    assert reply.status == 202
    return reply.json


# -- workflows
async def test_a_workflow_is_put_shown_switched_and_removed(site: Site) -> None:
    assert (await site.put_flow("a")).status == 201
    again = await site.put_flow("a")
    assert (again.status, again.json["changed"]) == (200, False)
    as_json = {"workflow": "b", "version": "1.2.0", "tags": ["eu"], "steps": [{"log": {"message": "x"}}]}
    made = await site.call("PUT", "/api/v1/workflows/b", json=as_json)
    assert (made.status, made.json["version"]) == (201, "1.2.0")
    assert [w["name"] for w in (await site.get("/api/v1/workflows"))["items"]] == ["a", "b"]
    assert [w["name"] for w in (await site.get("/api/v1/workflows?tag=eu"))["items"]] == ["b"]
    page = await site.get("/api/v1/workflows?limit=1")
    assert page["next"] == "a"
    assert [w["name"] for w in (await site.get("/api/v1/workflows?limit=1&cursor=a"))["items"]] == ["b"]
    assert (await site.get("/api/v1/workflows/b@^1"))["version"] == "1.2.0"
    assert (await site.post("/api/v1/workflows/a/disable")).json == {"name": "a", "enabled": False}
    assert (await emit(site))["runs"] == []
    assert (await site.post("/api/v1/workflows/a/enable")).json == {"name": "a", "enabled": True}
    assert len((await emit(site, id="2"))["runs"]) == 1
    assert (await site.call("DELETE", "/api/v1/workflows/a")).status == 204
    missing = await site.call("GET", "/api/v1/workflows/a")
    assert missing.problem() == {
        "status": 404,
        "code": "unknown_workflow",
        "detail": "there is no workflow `a`",
        "hint": "did you mean `b`?",
    }


@pytest.mark.req("V-5")
async def test_a_faulty_definition_is_refused_with_every_fault(site: Site) -> None:
    text = "workflow: a\nwhen: [{evnt: t}]\nsteps: {x: {uses: nope}, y: {log: {message: x}, needs: [z]}}\n"
    reply = await site.call("PUT", "/api/v1/workflows/a", data=text, headers=YAML)
    found = reply.json["details"]["diagnostics"]
    assert (reply.status, reply.problem()["code"]) == (422, "invalid_definition")
    assert [(d["code"], d["line"], d["column"]) for d in found] == [
        ("unknown_kind", 2, 9),
        ("unknown_action", 3, 19),
        ("unknown_step", 3, 57),
    ]
    assert site.app.engine.workflows.names() == []


async def test_a_definition_stands_at_its_own_address(site: Site) -> None:
    reply = await site.call("PUT", "/api/v1/workflows/b", data=WAITING, headers=YAML)
    assert reply.problem() == {
        "status": 422,
        "code": "config",
        "detail": "the text must define the workflow `b` and no other; it defines `slow`",
        "hint": "send each workflow to its own address",
    }
    tried = await site.call("PUT", "/api/v1/workflows/slow?dry_run=true", data=WAITING, headers=YAML)
    assert (tried.status, tried.json["changed"]) == (200, False)
    assert site.app.engine.workflows.names() == []


async def test_a_definition_is_judged_beside_those_in_force(site: Site) -> None:
    async def put(name: str, text: str) -> Any:
        reply = await site.call("PUT", f"/api/v1/workflows/{name}", data=text, headers=YAML)
        return reply.status, [d["message"] for d in reply.json.get("details", reply.json).get("diagnostics", [])]

    call = "workflow: {0}\nsteps: [{{run-workflow: {{workflow: {1}}}}}]\n"
    assert await put("a", call.format("a", "b")) == (422, ["there is no workflow `b`"])
    assert await put("b", "workflow: b\nsteps: [{log: {message: x}}]\n") == (201, [])
    assert await put("a", call.format("a", "b@^0")) == (201, [])
    assert (await put("b", call.format("b", "a")))[0] == 422
    answer = "workflow: {0}\nwhen: [{{http: {{path: /r, respond: result}}}}]\nsteps: [{{log: {{message: x}}}}]\n"
    assert await put("c", answer.format("c")) == (201, [])
    assert await put("c", answer.format("c") + "tags: [x]\n") == (200, [])
    assert await put("d", answer.format("d")) == (422, ["`c` answers this path with its result already"])


# -- runs
@pytest.mark.rule("2.3")
async def test_a_run_is_started_once_for_a_key(site: Site) -> None:
    await site.put_flow("slow", text=WAITING)
    key = {"Idempotency-Key": "k"}
    first = await site.post("/api/v1/runs", {"workflow": "slow", "inputs": {"n": 1}}, headers=key)
    again = await site.post("/api/v1/runs", {"workflow": "slow", "inputs": {"n": 1}}, headers=key)
    other = await site.post("/api/v1/runs", {"workflow": "slow", "inputs": {"n": 2}}, headers=key)
    assert (first.status, again.status, other.status) == (201, 201, 422)
    assert first.headers["location"] == f"/api/v1/runs/{first.json['id']}"
    assert again.json["id"] == first.json["id"]
    assert other.problem() == {
        "status": 422,
        "code": "conflict",
        "detail": f"the key `k` started the run {first.json['id']} with other inputs",
        "hint": "use a new Idempotency-Key for a new run",
    }
    assert len((await site.get("/api/v1/runs"))["items"]) == 1


@pytest.mark.req("V-5")
async def test_what_a_start_refuses(site: Site) -> None:
    await site.put_flow("slow", text=WAITING)
    for body, status, code in (
        ({"workflow": "slow", "inputs": {"n": "x"}}, 422, "invalid_input"),
        ({"workflow": "slow"}, 422, "invalid_input"),
        ({"workflow": "nope"}, 404, "unknown_workflow"),
        ({"workflow": "slow", "inputs": {"n": 1}, "priority": 12}, 422, "invalid_input"),
        ({"workflow": "slow", "input": {"n": 1}}, 400, "invalid_request"),
        ({"workflow": 7}, 400, "invalid_request"),
        ([], 400, "invalid_request"),
    ):
        found = (await site.post("/api/v1/runs", body)).problem()
        assert (found["status"], found["code"]) == (status, code), body
    said = (await site.post("/api/v1/runs", {"workflow": "slow", "input": 1})).problem()["detail"]
    assert said == "the body is not what this takes: Object contains unknown field `input`"
    broken = await site.call("POST", "/api/v1/runs", data="{", headers={"content-type": "application/json"})
    assert broken.problem()["detail"] == "the body is not valid JSON: Input data was truncated"
    assert (await site.get("/api/v1/runs"))["items"] == []


@pytest.mark.req("E-CANC-3")
async def test_signals_are_taken_and_refused_in_words(site: Site) -> None:
    await site.put_flow("slow", text=WAITING)
    run = (await site.post("/api/v1/runs", {"workflow": "slow", "inputs": {"n": 1}, "labels": {"a": "b"}})).json["id"]
    await site.until(lambda: is_state(site, run, "waiting"))
    assert (await site.post(f"/api/v1/runs/{run}/pause", {"reason": "lunch"})).status == 202
    assert (await site.get(f"/api/v1/runs/{run}"))["state"] == "paused"
    assert (await site.post(f"/api/v1/runs/{run}/resume")).status == 202
    cancelled = await site.post(f"/api/v1/runs/{run}/cancel", {"reason": "enough"})
    assert cancelled.status == 202
    ended = await site.ended(run)
    assert ended["state"] == "cancelled"
    assert ended["cancel"]["reason"] == "enough"
    assert ended["cancel"]["actor"] == "api:local"
    assert (await site.post(f"/api/v1/runs/{run}/cancel")).status == 202  # asked twice it is one
    late = (await site.post(f"/api/v1/runs/{run}/pause")).problem()
    assert late == {
        "status": 409,
        "code": "conflict",
        "detail": f"the run {run}: a run that is cancelled does not take `pause`; it takes: retry",
        "hint": "",
    }
    new = await site.post(f"/api/v1/runs/{run}/rerun")
    assert (new.status, new.json["inputs"]) == (202, {"n": 1})
    assert [h["kind"] for h in (await site.get(f"/api/v1/runs/{run}/history"))["items"]].count("transition") >= 3
    assert (await site.get(f"/api/v1/runs/{run}/logs")) == {"items": [], "next": None}
    assert (await site.post(f"/api/v1/runs/{new.json['id']}/cancel", {"force": True})).status == 202


async def test_a_run_that_completed_is_not_retried_and_the_refusal_says_what_is_meant(site: Site) -> None:
    await site.put_flow("say", text="workflow: say\nsteps: [{log: {message: x}}]\n")
    run = (await site.post("/api/v1/runs", {"workflow": "say"})).json["id"]
    await site.ended(run)
    for word in ("retry", "resume"):
        assert (await site.post(f"/api/v1/runs/{run}/{word}")).problem() == {
            "status": 409,
            "code": "conflict",
            "detail": f"the run {run}: a run that is completed does not take `{word}`",
            "hint": "`reactor rerun` starts a new run with its inputs",
        }


async def is_state(site: Site, run: str, state: str) -> bool:
    return (await site.get(f"/api/v1/runs/{run}"))["state"] == state


async def test_a_failed_run_is_retried(site: Site) -> None:
    text = "workflow: bad\nsteps: [{fail: {message: no}}]\n"
    await site.put_flow("bad", text=text)
    run = (await site.post("/api/v1/runs", {"workflow": "bad"})).json["id"]
    assert (await site.ended(run))["state"] == "failed"
    assert (await site.post(f"/api/v1/runs/{run}/retry", {"reason": "again"})).status == 202
    refused = (await site.post(f"/api/v1/runs/{run}/retry", {"compensation": True})).problem()
    assert refused["status"] == 409


async def test_an_approval_is_answered_once_by_name(site: Site) -> None:
    await site.put_flow("ask", text=APPROVAL)
    run = (await site.post("/api/v1/runs", {"workflow": "ask"})).json["id"]
    await site.until(lambda: is_state(site, run, "waiting"))

    async def answered(verb: str, body: dict[str, str], **more: Any) -> bool:
        """It waits a moment before its request is durable and may be answered."""
        return (await site.post(f"/api/v1/runs/{run}/steps/ok/{verb}", body, **more)).status == 202

    await site.until(lambda: answered("approve", {"by": "ada", "reason": "fine"}))
    step = (await site.ended(run))["steps"][0]
    assert (step["output"]["approved"], step["output"]["by"], step["output"]["via"]) == (True, "ada", "api")
    assert (await site.post(f"/api/v1/runs/{run}/steps/ok/reject")).status == 409
    run = (await site.post("/api/v1/runs", {"workflow": "ask"})).json["id"]
    await site.until(lambda: is_state(site, run, "waiting"))
    token = {"Authorization": f"Bearer {'t' * 20}"}
    await site.until(lambda: answered("reject", {"by": "somebody else"}, headers=token))
    ended = await site.ended(run)
    assert (ended["state"], ended["error"]["details"]["answer"]["by"]) == ("failed", "all")


@pytest.mark.req("E-DEF-24")
async def test_runs_are_listed_by_filters_and_pages(site: Site) -> None:
    await site.put_flow("slow", text=WAITING)
    await site.put_flow("quick")
    runs = [
        (await site.post("/api/v1/runs", {"workflow": "slow", "inputs": {"n": n}, "labels": {"n": str(n)}})).json["id"]
        for n in range(3)
    ]
    taken = await emit(site)
    await site.ended(taken["runs"][0])

    async def ids(query: str) -> list[str]:
        return [r["id"] for r in (await site.get(f"/api/v1/runs?{query}"))["items"]]

    assert await ids("workflow=slow") == runs[::-1]
    assert await ids("label=n=1") == [runs[1]]
    assert await ids("tag=a") == await ids("tag=a,b") == await ids("tag=a&workflow=slow") == runs[::-1]
    assert await ids("tag=c") == await ids("tag=a,c") == await ids("tag=a&workflow=quick") == []
    assert await ids("state=completed,failed") == taken["runs"]
    assert await ids("state=completed&state=failed") == taken["runs"]
    assert await ids("event=1") == taken["runs"]
    assert await ids("event=" + taken["key"]) == taken["runs"]
    assert await ids("since=2100-01-01T00:00:00Z") == []
    page = await site.get("/api/v1/runs?workflow=slow&limit=2")
    assert [r["id"] for r in page["items"]] == runs[:0:-1]
    rest = await site.get(f"/api/v1/runs?workflow=slow&limit=2&cursor={page['next']}")
    assert ([r["id"] for r in rest["items"]], rest["next"]) == ([runs[0]], None)


async def test_the_largest_page_tells_that_there_is_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reads, pages):
        monkeypatch.setattr(module, "PAGE_ROWS_MAX", 2)
    await site.put_flow("flow", text=UNFIT)
    for number in range(3):
        await emit(site, "unfit", id=str(number))
        await site.post("/api/v1/runs", {"workflow": "flow", "inputs": {"n": number}})
    for path, name in (("runs", "id"), ("events", "key"), ("dead-letters", "id")):
        page = await site.get(f"/api/v1/{path}?limit=500")
        rest = await site.get(f"/api/v1/{path}?limit=500&cursor={page['next']}")
        assert (len(page["items"]), len(rest["items"]), rest["next"]) == (2, 1, None), path
        assert len({item[name] for item in (*page["items"], *rest["items"])}) == 3


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("stat=x", "unknown key `stat` in the query"),
        ("limit=many", "`limit` must be a whole number of at least 1; found `many`"),
        ("limit=1&limit=2", "`limit` is given twice in the query"),
        ("since=now", "`since`: 'now' is not an instant"),
        ("cursor=x", "`x` is no cursor: pass on the `next` of the page before"),
        ("label=x", "a label is asked for as key=value; found `x`"),
    ],
)
async def test_a_query_is_judged_to_the_letter(site: Site, query: str, detail: str) -> None:
    found = (await site.call("GET", f"/api/v1/runs?{query}")).problem()
    assert (found["status"], found["detail"]) == (400, detail)


# -- events and dead letters
async def test_events_are_shown_explained_and_replayed(site: Site) -> None:
    await site.put_flow("a")
    taken = await emit(site, id="one/two")
    shown = await site.get("/api/v1/events/one%2Ftwo")
    assert (shown["key"], shown["runs"]) == (taken["key"], taken["runs"])
    why = await site.get(f"/api/v1/events/{taken['key']}/explain?workflow=a")
    assert why["findings"][0]["finding"] == "matched"
    nobody = (await site.call("GET", f"/api/v1/events/{taken['key']}/explain?workflow=aa")).problem()
    assert (nobody["status"], nobody["code"], nobody["detail"], nobody["hint"]) == (
        404,
        "unknown_workflow",
        "there is no workflow `aa`",
        "did you mean `a`?",
    )
    replayed = await site.post(f"/api/v1/events/{taken['key']}/replay")
    assert (replayed.status, replayed.json["verdict"], len(replayed.json["runs"])) == (202, "accepted", 1)
    assert [e["id"] for e in (await site.get("/api/v1/events?type=thing"))["items"]] == ["one/two", "one/two"]
    missing = (await site.call("GET", "/api/v1/events/nope")).problem()
    assert missing == {
        "status": 404,
        "code": "not_found",
        "detail": "there is no event `nope`",
        "hint": "`reactor events` lists them; unmatched ones are kept for a while only",
    }


async def test_a_dead_letter_is_retried_once_its_mapping_is_mended(site: Site) -> None:
    text = (
        "workflow: m\nwhen: [{{event: thing, with: {{n: '${{{{ event.data.{0} }}}}'}}}}]\ninputs: {{n: integer}}\n"
        "steps: [{{log: {{message: x}}}}]\n"
    )
    await site.put_flow("m", text=text.format("nope"))
    taken = await emit(site, data={"n": 1})
    assert (taken["runs"], taken["error"]["code"]) == ([], "expression")
    letters = (await site.get("/api/v1/dead-letters"))["items"]
    assert [(x["event"], x["workflow"], x["code"]) for x in letters] == [(taken["key"], "m", "expression")]
    early = await site.post(f"/api/v1/dead-letters/{letters[0]['id']}/retry")
    assert early.status == 422
    await site.put_flow("m", text=text.format("n"))
    retried = await site.post(f"/api/v1/dead-letters/{letters[0]['id']}/retry")
    assert (retried.status, len(retried.json["runs"])) == (202, 1)
    assert (await site.get("/api/v1/dead-letters"))["items"] == []
    again = await site.post(f"/api/v1/dead-letters/{letters[0]['id']}/retry")
    assert (again.status, again.json) == (202, retried.json)
    assert len((await site.get("/api/v1/runs"))["items"]) == 1
    for _ in range(2):
        dropped = await site.post(f"/api/v1/dead-letters/{letters[0]['id']}/drop")
        assert (dropped.status, dropped.json) == (202, {"id": letters[0]["id"], "state": "dropped"})
    assert len((await site.get("/api/v1/dead-letters?state=dropped"))["items"]) == 1


async def test_a_replay_by_key_that_is_sent_again_starts_nothing_more(site: Site) -> None:
    await site.put_flow()
    first = await emit(site)
    replays = [await site.post(f"/api/v1/events/{first['key']}/replay") for _ in range(2)]
    assert [(each.status, each.json["verdict"]) for each in replays] == [(202, "accepted"), (202, "duplicate")]
    assert replays[1].json == {**replays[0].json, "verdict": "duplicate"}
    assert len((await site.get("/api/v1/runs"))["items"]) == 2


@pytest.mark.rule("1.11")
async def test_a_replay_by_id_is_made_once_for_an_idempotency_key(site: Site) -> None:
    await site.put_flow()
    first = await emit(site)

    async def replay(key: str) -> tuple[str, list[str]]:
        reply = await site.post(f"/api/v1/events/{first['id']}/replay", headers={"Idempotency-Key": key} if key else {})
        assert reply.status == 202
        return reply.json["verdict"], reply.json["runs"]

    verdict, runs = await replay("k")
    assert (verdict, len(runs)) == ("accepted", 1)
    assert await replay("k") == ("duplicate", runs)
    assert [(await replay(key))[0] for key in ("other", "", "")] == ["accepted"] * 3, "each is a replay of its own"
    assert await replay("k") == ("duplicate", runs), "whatever was replayed since"
    assert len((await site.get("/api/v1/runs"))["items"]) == 5


async def test_a_replay_of_what_nobody_takes_keeps_its_number_for_a_key(site: Site) -> None:
    first = await emit(site)
    for _ in range(2):
        await site.post(f"/api/v1/events/{first['id']}/replay", headers={"Idempotency-Key": "k"})
    await site.put_flow()  # from now on somebody takes it
    replies = [
        await site.post(f"/api/v1/events/{first['id']}/replay", headers={"Idempotency-Key": key}) for key in "kkl"
    ]
    assert [(each.json["verdict"], len(each.json["runs"])) for each in replies] == [
        ("accepted", 1),
        ("duplicate", 1),
        ("accepted", 1),
    ]


# -- triggers
@pytest.mark.req("T-GEN-7")
async def test_triggers_are_listed_paused_resumed_and_tested(site: Site) -> None:
    text = (
        "workflow: t\nwhen: [{http: /t, match: {data: {go: [true]}}}, {every: 1h}]\n"
        "if: event.data.n > 1\nsteps: [{log: {message: x}}]\n"
    )
    await site.put_flow("t", text=text)
    await site.until(lambda: all(s.state == "connected" for s in site.app.supervisor.status()))
    found = (await site.get("/api/v1/triggers"))["items"]
    assert [(t["kind"], t["guarantee"]) for t in found] == [
        ("every", "effectively_once"),
        ("http", "at_least_once"),
    ]
    name = found[1]["name"]
    assert found[1]["details"] == {"serves": "POST /hooks/t", "open": 0}
    assert (await site.post(f"/api/v1/triggers/{name}/pause")).json["state"] == "paused"
    resumed = await site.post(f"/api/v1/triggers/{name}/resume")
    assert (resumed.status, resumed.json["state"]) == (202, "connecting")
    await site.until(lambda: list(site.app.routes))
    tested = await site.post(f"/api/v1/triggers/{name}/test", {"data": {"go": True, "n": 2}})
    assert tested.json["matches"] == ["t"]
    tested = await site.post(f"/api/v1/triggers/{name}/test", {"data": {"go": True, "n": 1}})
    assert tested.json["matches"] == []
    assert "guard" in [f["finding"] for f in tested.json["findings"]]
    assert (await site.get("/api/v1/runs"))["items"] == []
    missing = (await site.post("/api/v1/triggers/nope/test")).problem()
    assert missing["detail"] == "there is no trigger `nope`"


@pytest.mark.parametrize("start", ["foo", "earliest", {"offset": 3}])
async def test_a_start_that_a_trigger_cannot_go_on_from_is_refused(site: Site, start: Any) -> None:
    await site.put_flow("t", text="workflow: t\nwhen: [{every: 1h}]\nsteps: [{log: {message: x}}]\n")
    await site.until(lambda: [s.state for s in site.app.supervisor.status()] == ["connected"])
    (name,) = site.app.supervisor.readers
    refused = await site.post(f"/api/v1/triggers/{name}/resume", {"start": start})
    problem = refused.problem()
    assert refused.status == 422
    assert problem["detail"] == "a trigger of kind every goes on where it stopped: `start` means nothing to its resume"
    assert problem["hint"] == f"leave it out: reactor trigger resume {name}"
    assert site.app.supervisor.readers[name].state == "connected", "nothing was switched"


async def test_a_trigger_is_switched_once_for_an_idempotency_key(site: Site) -> None:
    await site.put_flow("t", text="workflow: t\nwhen: [{every: 1h}]\nsteps: [{log: {message: x}}]\n")
    await site.until(lambda: [s.state for s in site.app.supervisor.status()] == ["connected"])
    (name,) = site.app.supervisor.readers

    async def switch(word: str, key: str) -> str:
        headers = {"Idempotency-Key": key} if key else {}
        return (await site.post(f"/api/v1/triggers/{name}/{word}", headers=headers)).json["state"]

    assert await switch("pause", "k") == "paused"
    assert await switch("resume", "k") == "connecting"
    await site.until(lambda: site.app.supervisor.readers[name].state == "connected")
    assert [await switch("pause", "k"), await switch("resume", "k")] == ["connected", "connected"], "not again"
    assert [await switch("resume", "l"), await switch("pause", "l"), await switch("pause", "")] == [
        "connecting",
        "paused",
        "paused",
    ]


async def test_a_workflow_that_is_put_or_switched_again_is_as_it_was(site: Site) -> None:
    """These take no key: what they ask for is a state, and whoever asks again gets the same one."""
    for word in ("disable", "enable"):
        await site.put_flow("a")
        answers = [await site.post(f"/api/v1/workflows/a/{word}") for _ in range(2)]
        assert (answers[0].status, answers[0].json) == (answers[1].status, answers[1].json)
    shown = await site.get("/api/v1/workflows/a")
    again = await site.put_flow("a")
    assert (again.status, again.json["changed"]) == (200, False)
    assert await site.get("/api/v1/workflows/a") == shown
    assert [(await site.call("DELETE", "/api/v1/workflows/a")).status for _ in range(2)] == [204, 404]


async def test_a_schedule_is_shown_before_it_is_written(site: Site) -> None:
    asked = {"spec": "0 9 * * MON", "timezone": "Europe/Berlin", "from": "2026-03-20T00:00:00Z", "count": "3"}
    found = await site.get("/api/v1/schedule/preview", params=asked)
    assert found["items"] == ["2026-03-23T08:00:00Z", "2026-03-30T07:00:00Z", "2026-04-06T07:00:00Z"]
    every = await site.get(
        "/api/v1/schedule/preview", params={"spec": "90s", "from": "2026-03-20T00:00:00Z", "count": "2"}
    )
    assert every["items"] == ["2026-03-20T00:01:30Z", "2026-03-20T00:03:00Z"]
    none = (await site.call("GET", "/api/v1/schedule/preview", params={"spec": "90s", "count": "0"})).problem()
    assert none["detail"] == "`count` must be a whole number of at least 1; found `0`"
    bad = (await site.call("GET", "/api/v1/schedule/preview", params={"spec": "61 * * * *"})).problem()
    assert (bad["status"], bad["detail"]) == (
        422,
        "cron: schedule: the schedule '61 * * * *' has 61 as minute; minute is 0 to 59",
    )


@pytest.mark.parametrize("spec", ["* * * * *", "30s", "@yearly"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
async def test_a_schedule_ends_with_the_last_year_that_can_be_written(site: Site, spec: str, zone: str) -> None:
    for start in ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9999999Z"):
        asked = {"spec": spec, "from": start, "timezone": zone}
        assert await site.get("/api/v1/schedule/preview", params=asked) == {"items": [], "next": None}
    refused = await site.call("GET", "/api/v1/runs", params={"since": "9999-12-31T23:59:59-01:00"})
    assert refused.problem()["detail"] == (
        "`since`: the instant '9999-12-31T23:59:59-01:00' does not exist: in UTC its year is not one of 1 to 9999"
    )


# -- the rest
async def test_unknown_places_and_methods(site: Site) -> None:
    nowhere = (await site.call("GET", "/api/v1/nothing")).problem()
    assert nowhere["detail"] == "there is nothing at /api/v1/nothing"
    wrong = await site.call("DELETE", "/api/v1/runs")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, POST")
    assert wrong.problem()["detail"] == "/api/v1/runs takes GET, POST; found DELETE"


async def test_a_defect_says_nothing_of_the_inside(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(**_: Any) -> None:
        raise KeyError("secret detail")

    monkeypatch.setattr(site.app.runs_api, "list", broken)
    found = (await site.call("GET", "/api/v1/runs")).problem()
    assert found == {
        "status": 500,
        "code": "internal",
        "detail": "the request failed by a defect of Reactor; its log has the details",
        "hint": "",
    }


async def test_what_the_store_cannot_keep_is_the_senders_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: Any, **__: Any) -> None:
        raise UnitRefused("a text has a null character")

    monkeypatch.setattr(site.app.runs_api, "start", refused)
    found = (await site.post("/api/v1/runs", {"workflow": "a"})).problem()
    assert (found["status"], found["code"]) == (422, "invalid_input")
    assert found["detail"] == "the store cannot keep this: a text has a null character"


async def test_a_head_request_has_no_body(site: Site) -> None:
    for path in ("/healthz", "/api/v1/runs", "/"):
        reply = await site.call("HEAD", path)
        assert (reply.status, reply.body) == (200, b"")
    assert (await site.call("HEAD", "/api/v1/stream")).status == 405
