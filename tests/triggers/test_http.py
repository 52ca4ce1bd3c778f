"""The http trigger behind a real server: paths, bodies, answers, bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from reactor import WorkflowBuilder
from reactor.core.errors import ConfigError
from reactor.core.http import Routes
from reactor.language.definition import TriggerSpec
from reactor.tests.web.site import Reply, Site
from reactor.triggers.contract import TriggerContext
from reactor.triggers.http import HttpTrigger
from reactor.triggers.http_config import HttpConfig


def flow(http: Any, name: str = "flow", steps: str = "[{log: {message: hi}}]", **beside: Any) -> str:
    entry = {"http": http, **beside}
    return f"workflow: {name}\nwhen: [{json.dumps(entry)}]\nsteps: {steps}\n"


@pytest.fixture
async def site() -> Any:
    async with Site() as site:
        yield site


async def serve(site: Site, http: Any, **more: Any) -> None:
    await site.put_flow(more.get("name", "flow"), text=flow(http, **more))
    await site.until(lambda: all(s.state == "connected" for s in site.app.supervisor.status()))


async def event_of(site: Site, reply: Reply) -> dict[str, Any]:
    return await site.get(f"/api/v1/events/{reply.json['key']}")


@pytest.mark.req("T-HTTP-1")
async def test_a_request_starts_a_run_and_is_the_event(site: Site) -> None:
    await serve(site, {"path": "/orders/{id}", "method": ["POST", "PUT"]})
    reply = await site.call(
        "PUT",
        "/hooks/orders/A1?x=1&x=2&y=",
        json={"id": 1},
        headers={"X-Shop": "de", "Authorization": "Bearer s3cret", "Cookie": "a=b"},
    )
    assert reply.status == 202
    assert reply.json.keys() == {"id", "key", "verdict", "runs"}
    run = await site.ended(reply.json["runs"][0])
    assert run["state"] == "completed"
    event = await event_of(site, reply)
    meta = event["meta"]
    assert (event["source"], event["type"], event["subject"]) == (
        "/hooks/orders/A1",
        "reactor.http.request",
        "/orders/A1",
    )
    assert event["data"] == {"id": 1}
    assert (meta["method"], meta["path"], meta["params"]) == ("PUT", "/orders/A1", {"id": "A1"})
    assert (meta["query"], meta["query_all"]) == ({"x": "2", "y": ""}, {"x": ["1", "2"], "y": [""]})
    assert meta["remote"] == "127.0.0.1"
    assert meta["headers"]["x-shop"] == "de"
    assert not {"authorization", "cookie"} & meta["headers"].keys()
    wrong = await site.call("POST", "/hooks/orders", json={})
    assert wrong.problem()["detail"] == "no http trigger serves /hooks/orders"
    wrong = await site.call("GET", "/hooks/orders/A1")
    assert wrong.problem()["detail"] == "/hooks/orders/A1 takes POST, PUT; found GET"
    assert wrong.headers["allow"] == "POST, PUT"


@pytest.mark.parametrize(
    ("body", "content_type", "data"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b"[1, 2]", "application/vnd.shop+json", [1, 2]),
        (b"a=1&b=x+y&a=%C3%A9", "application/x-www-form-urlencoded", {"a": ["1", "é"], "b": "x y"}),
        ("grüß".encode("latin-1"), "text/plain; charset=latin-1", "grüß"),
        (b"", "", None),
    ],
)
async def test_takes_bodies_by_their_content_type(site: Site, body: bytes, content_type: str, data: Any) -> None:
    await serve(site, "/in")
    reply = await site.call("POST", "/hooks/in", data=body, headers={"content-type": content_type})
    assert (await event_of(site, reply)).get("data") == data


async def test_the_trace_of_the_request_is_that_of_the_event_and_of_its_run(site: Site) -> None:
    header, own = (f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b{n}-01" for n in (7, 8))
    await serve(site, "/in", subject="${{ event.traceparent }}")
    binary = {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "thing", "ce-traceparent": own}
    for body, heads, expected in (
        (b"{}", {"content-type": "application/json"}, header),
        (b"a=1", {"content-type": "application/x-www-form-urlencoded"}, header),
        (b"{}", {**binary, "ce-id": "1"}, own),
    ):
        heads["traceparent"] = header
        reply = await site.call("POST", "/hooks/in", data=body, headers=heads)
        event = await event_of(site, reply)
        assert (event["traceparent"], event["subject"]) == (expected, expected)
        assert (await site.app.runs_api.row(reply.json["runs"][0])).traceparent == expected
    wrong = await site.call("POST", "/hooks/in", data=b"{}", headers={"traceparent": header[:-1]})
    assert wrong.status == 422  # this trigger's subject wants one


async def test_json_that_is_called_a_form_is_told_so(site: Site) -> None:
    await serve(site, "/in")
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    for body in (b'{"name": "Ada"}', b" [1]"):
        refused = await site.call("POST", "/hooks/in", data=body, headers=form)
        problem = refused.problem()
        assert (problem["status"], problem["code"], problem["detail"], refused.json["hint"]) == (
            415,
            "unsupported_media_type",
            "the body is JSON, and was sent as a form (application/x-www-form-urlencoded)",
            "send `content-type: application/json`; a trigger with `format: json` takes it as it is",
        )
    assert (await site.get("/api/v1/events"))["items"] == []
    odd = await site.call("POST", "/hooks/in", data=b"{a}=1", headers=form)
    assert (await event_of(site, odd))["data"] == {"{a}": "1"}


async def test_json_that_is_called_a_form_is_taken_where_the_trigger_says_json(site: Site) -> None:
    await serve(site, "/in", format="json")
    form = {"content-type": "application/x-www-form-urlencoded"}
    reply = await site.call("POST", "/hooks/in", data=b'{"name": "Ada"}', headers=form)
    assert (await event_of(site, reply))["data"] == {"name": "Ada"}


async def test_takes_bytes_and_multipart_forms(site: Site) -> None:
    await serve(site, "/in")
    reply = await site.call("POST", "/hooks/in", data=b"\xff\x00", headers={"content-type": "image/png"})
    assert (await event_of(site, reply))["data_base64"] == "/wA="
    form = aiohttp.FormData()
    form.add_field("name", "grüß")
    form.add_field("tag", "a")
    form.add_field("tag", "b")
    form.add_field("scan", b"\x00\x01", filename="s.bin", content_type="application/octet-stream")
    reply = await site.call("POST", "/hooks/in", data=form)
    assert (await event_of(site, reply))["data"] == {
        "name": "grüß",
        "tag": ["a", "b"],
        "scan": {"name": "s.bin", "type": "application/octet-stream", "size": 2, "content": "AAE="},
    }


async def test_takes_cloudevents_as_they_are(site: Site) -> None:
    await serve(site, "/in")
    one = {"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "data": 1}
    reply = await site.call(
        "POST", "/hooks/in", data=json.dumps(one), headers={"content-type": "application/cloudevents+json"}
    )
    event = await event_of(site, reply)
    assert (event["id"], event["source"], event["type"], event["data"]) == ("7", "/s", "t", 1)
    assert event["meta"]["path"] == "/in"
    batch = [one, {**one, "id": "8"}]
    reply = await site.call(
        "POST", "/hooks/in", data=json.dumps(batch), headers={"content-type": "application/cloudevents-batch+json"}
    )
    assert (reply.json["ids"], reply.json["verdicts"]) == (["7", "8"], ["duplicate", "accepted"])


async def test_odd_requests_get_their_answers(site: Site) -> None:
    await serve(site, "/in")
    batch = {"content-type": "application/cloudevents-batch+json"}
    empty = await site.call("POST", "/hooks/in", data="[]", headers=batch)
    assert (empty.status, empty.json) == (202, {"ids": [], "keys": [], "verdicts": [], "runs": []})
    many = await site.post("/hooks/in?" + "&".join("a=1" for _ in range(1_001)))
    assert many.problem()["detail"] == "the query cannot be read: Max number of fields exceeded"
    long = await site.post("/hooks/in", headers={"Idempotency-Key": "k" * 256})
    assert long.problem()["detail"] == "an Idempotency-Key has at most 255 characters"
    form = {"content-type": "application/x-www-form-urlencoded"}
    broken = await site.call("POST", "/hooks/in", data=b"a=%ff", headers=form)
    assert broken.problem()["detail"].startswith("the form cannot be read: ")
    parts = {"content-type": "multipart/form-data"}
    unbounded = await site.call("POST", "/hooks/in", data=b"--x", headers=parts)
    assert unbounded.problem()["detail"].startswith("the multipart form cannot be read: ")
    assert [r.status for r in (many, long, broken, unbounded)] == [400] * 4
    assert (await site.get("/api/v1/events"))["items"] == []


async def test_refuses_what_cannot_be_read_and_stores_nothing(site: Site) -> None:
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    await serve(site, "/in", schema=schema, max_bytes="1KiB")
    heads = {"content-type": "application/json"}
    broken = await site.call("POST", "/hooks/in", data=b"{", headers=heads)
    assert broken.problem() == {
        "status": 400,
        "code": "invalid_data",
        "detail": "the message is not valid JSON: Input data was truncated",
        "hint": "",
    }
    wrong = await site.call("POST", "/hooks/in", data=b'{"id": "x"}', headers=heads)
    assert wrong.problem() == {
        "status": 422,
        "code": "invalid_data",
        "detail": '`data` does not satisfy the trigger\'s `schema`: id: expected a whole number; found the text "x"',
        "hint": "",
    }
    large = await site.call("POST", "/hooks/in", data=b"x" * 2000, headers=heads)
    assert large.problem()["detail"] == "the body has 2000 bytes; at most 1KiB are taken"
    assert large.status == 413
    form = await site.call(
        "POST", "/hooks/in", data=b"--x\r\nbroken", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert form.status == 400
    assert (await site.get("/api/v1/events"))["items"] == []
    assert (await site.get("/api/v1/dead-letters"))["items"] == []


def _refuses() -> None:
    raise RuntimeError("no")


async def test_an_answer_holds_no_code_of_the_project(site: Site) -> None:
    step = WorkflowBuilder("flow", when=[{"http": {"path": "/sum", "respond": "result"}}]).step("a", _refuses, retry={})
    await site.app.deploy(step.build())
    await site.until(lambda: list(site.app.routes))
    bad = await site.call("POST", "/hooks/sum", json={})
    assert (bad.status, "raised RuntimeError: no" in bad.json["message"]) == (500, True)
    assert b"traceback" not in bad.body
    assert b".py" not in bad.body
    assert bad.json["cause"]["details"] == {"exception": "RuntimeError"}
    run = await site.get(f"/api/v1/runs/{bad.json['details']['run']}")
    assert "traceback" in run["error"]["cause"]["details"], "whoever may read the run sees it"


@pytest.mark.req("T-HTTP-3")
async def test_answers_with_the_result(site: Site) -> None:
    text = """
workflow: flow
when:
  - http: {path: /sum, respond: result}
    with: {a: "${{ event.data.a }}"}
inputs: {a: integer}
outputs: {twice: "${{ inputs.a * 2 }}"}
steps:
  - {name: check, fail: {code: odd, message: "${{ string(inputs.a) }} is odd"}, if: inputs.a % 2 == 1}
"""
    await site.put_flow(text=text)
    await site.until(lambda: list(site.app.routes))
    good = await site.call("POST", "/hooks/sum", json={"a": 4})
    assert (good.status, good.json) == (200, {"twice": 8})
    bad = await site.call("POST", "/hooks/sum", json={"a": 3})
    assert (bad.status, bad.problem()["code"]) == (500, "odd")
    assert bad.json["details"]["state"] == "failed"
    assert (await site.get(f"/api/v1/runs/{bad.json['details']['run']}"))["state"] == "failed"
    none = await site.call("POST", "/hooks/sum", json={"b": 3})
    assert none.status == 422  # the mapping finds no such field: a dead letter
    assert none.problem()["code"] == "expression"


async def test_a_run_that_takes_longer_than_wait_is_504_with_its_id(site: Site) -> None:
    await serve(site, {"path": "/slow", "respond": "result", "wait": "50ms"}, steps="[{wait: {for: 1h}}]")
    reply = await site.call("POST", "/hooks/slow", json={})
    found = reply.problem()
    run = reply.json["details"]["run"]
    assert found == {
        "status": 504,
        "code": "timeout",
        "detail": f"the run {run} has not ended in 50ms; it goes on",
        "hint": f"GET /api/v1/runs/{run} shows how it ends",
    }
    assert (await site.get(f"/api/v1/runs/{run}"))["state"] in ("running", "waiting")


async def test_no_run_is_404_and_a_run_held_back_429(site: Site) -> None:
    await serve(site, {"path": "/some", "respond": "result"}, match={"data": {"go": [True]}})
    none = await site.call("POST", "/hooks/some", json={"go": False})
    assert (none.status, none.problem()["detail"]) == (404, "no workflow took the request")
    text = (
        "workflow: busy\nwhen: [{http: {path: /busy, respond: result, wait: 10ms}}]\n"
        "limits: {concurrency: {max: 1, overflow: skip}}\nsteps: [{wait: {for: 1h}}]\n"
    )
    await site.put_flow("busy", text=text)
    await site.until(lambda: len(list(site.app.routes)) == 2)
    assert (await site.call("POST", "/hooks/busy", json={})).status == 504
    held = await site.call("POST", "/hooks/busy", json={})
    assert (held.status, held.problem()["detail"]) == (429, "a limit of the workflow left no run")
    assert held.headers["retry-after"] == "1"


async def test_answers_by_a_template(site: Site) -> None:
    respond = {
        "status": 201,
        "headers": {"Location": "/orders/${{ event.data.id }}"},
        "json": {"order": "${{ event.data.id }}", "by": "${{ inputs.who }}"},
    }
    text = flow({"path": "/o", "respond": respond}, **{"with": {"who": "${{ event.data.who }}"}})
    await site.put_flow(text=text + "inputs: {who: string}\n")
    await site.until(lambda: list(site.app.routes))
    reply = await site.call("POST", "/hooks/o", json={"id": 7, "who": "ada"})
    assert (reply.status, reply.headers["location"], reply.json) == (201, "/orders/7", {"order": 7, "by": "ada"})
    said = {"on": "result", "body": "run ${{ run.workflow }} says ${{ outputs.step1 == {} }}"}
    await serve(site, {"path": "/t", "respond": said}, name="told")
    reply = await site.call("POST", "/hooks/t", json={})
    assert (reply.status, reply.body) == (200, b"run told says true")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


async def test_over_the_rate_is_429_with_retry_after(site: Site) -> None:
    await serve(site, {"path": "/r", "rate": {"max": 2, "per": "1m"}})
    got = [await site.call("POST", "/hooks/r", json={}) for _ in range(3)]
    assert [r.status for r in got] == [202, 202, 429]
    assert got[2].problem()["detail"] == "more requests than the trigger's `rate` allows"
    assert 1 <= int(got[2].headers["retry-after"]) <= 30


async def test_an_idempotency_key_is_the_id(site: Site) -> None:
    await serve(site, "/k")
    heads = {"Idempotency-Key": "k1"}
    first = await site.call("POST", "/hooks/k", json={"a": 1}, headers=heads)
    again = await site.call("POST", "/hooks/k", json={"a": 1}, headers=heads)
    other = await site.call("POST", "/hooks/k", json={"a": 2}, headers=heads)
    assert (first.status, again.status, other.status) == (202, 202, 422)
    assert first.json["id"] == "k1"
    assert again.json == {**first.json, "verdict": "duplicate"}
    assert other.problem() == {
        "status": 422,
        "code": "invalid_input",
        "detail": f"the Idempotency-Key k1 came before with another body, as the event {first.json['key']}",
        "hint": "use a new key for a new request",
    }
    plain = [await site.call("POST", "/hooks/k", json={"a": 1}) for _ in range(2)]
    assert plain[0].json["id"] != plain[1].json["id"]


async def test_one_path_has_one_trigger(site: Site) -> None:
    await serve(site, "/a/{x}")
    text, headers = flow({"path": "/a/{y}", "wait": "3s"}, "two"), {"content-type": "application/yaml"}
    refused = await site.call("PUT", "/api/v1/workflows/two", data=text, headers=headers)
    assert refused.status == 422
    (found,) = refused.json["details"]["diagnostics"]
    assert found["message"] == "POST /hooks/a/{} is served by the trigger of `flow` already"
    assert found["hint"] == "give one of the two another path or method, or write their keys alike"
    assert (await site.call("POST", "/hooks/a/1", json={})).status == 202


async def test_a_path_of_another_owner_is_refused_when_it_connects() -> None:
    routes = Routes()
    for name, path in (("one", "/a/{x}"), ("two", "/a/{y}")):
        spec = TriggerSpec(name, "http", {"path": path})
        trigger = HttpTrigger(HttpConfig.model_validate(spec.config), TriggerContext(name, spec, routes=routes))
        if name == "one":
            await trigger.connect()
            continue
        with pytest.raises(ConfigError) as caught:
            await trigger.connect()
        assert str(caught.value) == "POST /hooks/a/{y} is served by the trigger `one` already"
        assert caught.value.hint == "give one of the two another path or method"
        await trigger.close()
    assert [route.owner for route in routes] == ["one"]


async def test_without_a_web_server_it_says_so() -> None:
    spec = TriggerSpec("one", "http", {"path": "/a"})
    trigger = HttpTrigger(HttpConfig.model_validate(spec.config), TriggerContext("one", spec))
    with pytest.raises(ConfigError) as caught:
        await trigger.connect()
    assert str(caught.value) == "the trigger one needs a web server, and there is none in this process"
    await trigger.close()


@pytest.mark.req("T-GEN-7")
async def test_a_paused_trigger_tells_senders_to_come_again(site: Site) -> None:
    await serve(site, "/p")
    name = site.app.supervisor.status()[0].name
    await site.app.supervisor.pause(name)
    held = await site.call("POST", "/hooks/p", json={})
    assert held.problem() == {
        "status": 503,
        "code": "resource_limit",
        "detail": f"the trigger {name}, which serves /hooks/p, is paused",
        "hint": "repeat the request later",
    }
    assert held.headers["retry-after"] == "5"
    await site.app.supervisor.resume(name)
    await site.until(lambda: list(site.app.routes))
    assert (await site.call("POST", "/hooks/p", json={})).status == 202
    await site.call("DELETE", "/api/v1/workflows/flow")
    assert (await site.call("POST", "/hooks/p", json={})).status == 404


async def test_cors_is_for_the_named_origins_alone(site: Site) -> None:
    await serve(site, {"path": "/c", "cors": ["https://shop.example"], "auth": "none"})
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    preflight = await site.call("OPTIONS", "/hooks/c", headers={**asked, "Access-Control-Request-Headers": "x-a"})
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"] == "x-a"
    sent = await site.call("POST", "/hooks/c", json={}, headers={"Origin": "https://shop.example"})
    assert (sent.status, sent.headers["access-control-allow-origin"]) == (202, "https://shop.example")
    foreign = await site.call("OPTIONS", "/hooks/c", headers={**asked, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers


async def test_answers_the_webhook_handshake(site: Site) -> None:
    await serve(site, {"path": "/w", "auth": {"token": "t0ken"}})
    reply = await site.call("OPTIONS", "/hooks/w", headers={"WebHook-Request-Origin": "events.example"})
    assert (reply.status, reply.headers["webhook-allowed-origin"]) == (200, "events.example")


async def test_without_auth_only_this_machine_is_served(site: Site) -> None:
    await serve(site, "/l")
    foreign = await site.call("POST", "/hooks/l", json={}, headers={"Origin": "https://evil.example"})
    assert foreign.status == 403
    rebound = await site.call("POST", "/hooks/l", json={}, headers={"Host": "evil.example"})
    assert rebound.status == 403
    proxied = await site.call("POST", "/hooks/l", json={}, headers={"X-Forwarded-For": "10.1.1.1"})
    assert proxied.status == 401
    assert (await site.get("/api/v1/events"))["items"] == []


async def test_too_many_open_requests_are_told_to_come_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await serve(site, "/m", max_in_flight=1)
    monkeypatch.setattr("reactor.triggers.http.INBOX_DELIVERIES_MAX", 2)
    hold = asyncio.Event()
    submit = site.app.store.submit

    async def later(unit: Any) -> Any:
        await hold.wait()
        return await submit(unit)

    monkeypatch.setattr(site.app.store, "submit", lambda unit: asyncio.ensure_future(later(unit)))
    calls = [asyncio.ensure_future(site.call("POST", "/hooks/m", json={})) for _ in range(8)]
    await site.until(lambda: sum(c.done() for c in calls) >= 1)
    hold.set()
    got = await asyncio.gather(*calls)
    assert {r.status for r in got} == {202, 503}
    refused = next(r for r in got if r.status == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.problem()["detail"].endswith("has too many open requests")


async def test_off_loopback_auth_must_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Site() as site:
        site.app.routes.exposed = True
        await site.put_flow(text=flow("/x"))
        failed = await site.until(lambda: next((s for s in site.app.supervisor.status() if s.state == "failed"), None))
        assert failed.error.message == (
            f"the http trigger {failed.name} is reached from other machines and does not say who may"
        )
        assert failed.error.hint == "write `auth`; if anybody may, `auth: none`"
        await site.put_flow("open", text=flow({"path": "/y", "auth": "none"}, "open"))
        await site.until(lambda: list(site.app.routes))
        assert (await site.call("POST", "/hooks/y", json={}, headers={"Host": "shop.example"})).status == 202


async def test_a_secret_of_auth_is_resolved_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTOR_SECRET_HOOK", "resolved-secret")
    async with Site() as site:
        await serve(site, {"path": "/s", "auth": {"token": ["old", "${{ secrets.hook }}"]}})
        good = await site.call("POST", "/hooks/s", json={}, headers={"Authorization": "Bearer resolved-secret"})
        bad = await site.call("POST", "/hooks/s", json={}, headers={"Authorization": "Bearer ${{ secrets.hook }}"})
        assert (good.status, bad.status) == (202, 401)
        assert "authorization" not in (await event_of(site, good))["meta"]["headers"]


KEYS: list[tuple[Any, str]] = [
    ({"path": "x"}, "a path begins with / and has segments of plain text or {name}, as /orders/{id}; found x"),
    ({"path": "/{a}/{a}"}, "each {name} stands once in a path; found /{a}/{a}"),
    ({"path": "/x", "method": []}, "at least one method is needed, such as POST"),
    ({"path": "/x", "method": "post"}, "expected one of GET, POST, PUT, PATCH, DELETE, HEAD"),
    ({"path": "/x", "wait": "10m"}, "must be at most 5m; found 10m"),
    ({"path": "/x", "cors": ["shop"]}, "an origin is scheme and host, such as https://shop.example; found shop"),
    ({"path": "/x", "respond": {"body": "${{ outputs.a }}"}}, "there is no name outputs here"),
    ({"path": "/x", "respond": {"body": "a", "json": 1}}, "only one of `body` or `json` may be given"),
    (
        {"path": "/x", "auth": {"preset": "gitlab", "secret": "x"}},
        "expected one of github, stripe, slack, standard",
    ),
    ({"path": "/x", "rate": {"max": 0}}, "must be at least 1"),
    ({"path": "/x", "respnd": "result"}, "did you mean respond?"),
]


async def test_says_what_is_wrong_with_its_keys(site: Site) -> None:
    for http, message in KEYS:
        body, headers = flow(http), {"content-type": "application/yaml"}
        found = await site.call("PUT", "/api/v1/workflows/flow", data=body, headers=headers)
        assert found.status == 422
        assert message in found.problem()["detail"]
