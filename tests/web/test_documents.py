"""The OpenAPI document says everything there is, and the answers are as it says; metrics, the first page, mounting."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from referencing import Registry, Resource
from starlette.applications import Starlette
from starlette.routing import Mount

import reactor
from reactor.app import App
from reactor.core import telemetry
from reactor.tests.servers.process import free_port
from reactor.tests.web.site import Site
from reactor.web import asgi
from reactor.web.api import _BESIDE, ENDPOINTS
from reactor.web.tokens import Tokens

CLOUD = {"content-type": "application/cloudevents+json"}
EVENT = json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "thing"})


async def test_the_document_is_valid_and_complete(site: Site) -> None:
    document = await site.get("/api/openapi.json")
    schema = json.loads((Path(__file__).parent / "openapi-3.1.json").read_bytes())
    jsonschema.Draft202012Validator(schema).validate(document)
    for shape in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(shape)
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    wanted = {(e.method, "/api/v1" + re.sub(r"\{(\w+)(:\w+)?\}", r"{\1}", e.path)) for e in ENDPOINTS}
    wanted |= {("GET", path) for path in _BESIDE} | {("POST", "/events"), ("OPTIONS", "/events")}
    wanted |= {(m, "/hooks/{path}") for m in ("GET", "POST", "PUT", "PATCH", "DELETE")}
    assert described == wanted
    names = [o["operationId"] for operations in document["paths"].values() for o in operations.values()]
    assert len(names) == len(set(names))
    for ref in re.findall(r'"\$ref":"#/components/schemas/(\w+)"', json.dumps(document, separators=(",", ":"))):
        assert ref in document["components"]["schemas"]


async def test_whoever_writes_what_the_document_asks_for_is_not_refused_for_its_type(site: Site) -> None:
    document = await site.get("/api/openapi.json")
    writes = [
        (method, path, operation["requestBody"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in ("post", "put") and path.startswith("/api/v1/")
    ]
    assert len(writes) > 15
    for method, path, body in writes:
        assert body["required"]
        assert "application/json" in body["content"]
        reply = await site.call(method.upper(), re.sub(r"\{\w+\}", "x", path), json={})
        assert reply.status in (400, 404, 422), path  # there is no such thing, or no such workflow
        bare = await site.call(method.upper(), re.sub(r"\{\w+\}", "x", path))
        assert bare.status == 415


async def test_what_the_document_says_of_the_query_is_all_that_is_taken(site: Site) -> None:
    document = await site.get("/api/openapi.json")
    for path, operations in document["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", ()):
            schema = parameter["schema"]
            words = schema.get("enum") or schema.get("items", {}).get("enum")
            if not words or parameter["in"] != "query":
                continue
            name = parameter["name"]
            for word in words:
                await site.get(path, params={name: word})
            assert (await site.call("GET", path, params={name: "x"})).status == 400
    asked = {p["name"] for p in document["paths"]["/api/v1/schedule/preview"]["get"]["parameters"] if p.get("required")}
    assert asked == {"spec"}
    limit = next(p for p in document["paths"]["/api/v1/runs"]["get"]["parameters"] if p["name"] == "limit")["schema"]
    await site.get("/api/v1/runs", params={"limit": limit["maximum"]})
    assert (await site.call("GET", "/api/v1/runs", params={"limit": limit["maximum"] + 1})).status == 400


async def test_answers_are_as_the_document_says(site: Site) -> None:
    document = await site.get("/api/openapi.json")
    registry = Registry().with_resource("urn:api", Resource.from_contents(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
    ))  # fmt: skip

    def check(shape: str, value: Any) -> None:
        ref = {"$ref": f"urn:api#/components/schemas/{shape}"}
        jsonschema.Draft202012Validator(ref, registry=registry).validate(value)

    check("Deployed", (await site.put_flow()).json)
    await site.put_flow("t", text="workflow: t\nwhen: [{http: /t}]\nsteps: [{fail: {message: no}}]\n")
    await site.until(lambda: list(site.app.routes))
    taken = (await site.call("POST", "/events", data=EVENT, headers=CLOUD)).json
    hooked = (await site.post("/hooks/t")).json
    batch = {"content-type": "application/cloudevents-batch+json"}
    check("Taken", (await site.call("POST", "/events", data=f"[{EVENT}]", headers=batch)).json)
    check("Taken", taken)
    check("Taken", hooked)
    await site.ended(taken["runs"][0])
    failed = await site.ended(hooked["runs"][0])
    assert failed["state"] == "failed"
    check("Run", failed)
    check("Run", await site.get(f"/api/v1/runs/{taken['runs'][0]}"))
    check("RunPage", await site.get("/api/v1/runs"))
    check("WorkflowPage", await site.get("/api/v1/workflows"))
    check("EventPage", await site.get("/api/v1/events"))
    check("Event", await site.get("/api/v1/events/1"))
    check("TriggerPage", await site.get("/api/v1/triggers"))
    check("Receipt", (await site.post("/api/v1/events/1/replay")).json)
    check("Problem", (await site.call("GET", "/api/v1/runs/1-99")).json)
    for each in ("limit=x", "cursor=x"):
        check("Problem", (await site.call("GET", f"/api/v1/runs?{each}")).json)


async def test_metrics_are_counted_under_their_names(site: Site) -> None:
    await site.put_flow()
    await site.put_flow("t", text="workflow: t\nwhen: [{http: /t}]\nsteps: [{fail: {message: no}}]\n")
    await site.until(lambda: list(site.app.routes))
    taken = (await site.call("POST", "/events", data=EVENT, headers=CLOUD)).json
    await site.ended(taken["runs"][0])
    await site.call("POST", "/events", data=EVENT.replace("thing", "other").replace('"1"', '"2"', 1), headers=CLOUD)
    await site.ended((await site.post("/hooks/t")).json["runs"][0])
    reply = await site.call("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    families = {f.name: f for f in text_string_to_metric_families(reply.body.decode())}
    trigger = site.app.supervisor.status()[0].name
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families.values() for s in f.samples}

    def value(name: str, **labels: str) -> float:
        return samples[name, tuple(sorted(labels.items()))]

    assert value(f"{telemetry.RUN_SECONDS}_count", workflow="flow", state="completed") == 1
    assert value(f"{telemetry.RUN_SECONDS}_bucket", workflow="flow", state="completed", le="+Inf") == 1
    assert value(f"{telemetry.STEP_SECONDS}_count", workflow="t", step="step1", state="failed") == 1
    assert value(telemetry.EVENTS, trigger="post", verdict="accepted") == 1
    assert value(telemetry.EVENTS, trigger="post", verdict="unmatched") == 1
    assert value(telemetry.EVENTS, trigger=trigger, verdict="accepted") == 1
    assert value(telemetry.RUNS_OPEN) == 0
    assert value(telemetry.STORE_REFUSING) == value(telemetry.BUS_REFUSING) == 0
    assert value(telemetry.BUILD, version=reactor.__version__) == 1
    assert value("process_resident_memory_bytes") > 1 << 20
    assert value("process_cpu_seconds_total") > 0
    assert value(telemetry.UNMATCHED_LEFT_OUT) == 0
    assert value(telemetry.TRIGGER_STATE, trigger=trigger, kind="http") == 1
    assert value(telemetry.TRIGGER_MISSING, trigger=trigger, kind="http") == 0
    assert value(telemetry.TRIGGER_READ, trigger=trigger, kind="http", outcome="settled") == 1
    assert value(telemetry.TRIGGER_UNSETTLED, trigger=trigger, kind="http") == 0
    assert not any(taken["runs"][0] in str(key) for key in samples)


async def test_metrics_are_named_by_convention_and_say_what_they_are(site: Site) -> None:
    page = (await site.call("GET", "/metrics")).body.decode()
    families = list(text_string_to_metric_families(page))
    written = re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE)
    assert len(families) == len(written) > 15
    for name, kind in written:
        assert re.fullmatch(r"(reactor|process)(_[a-z]+)+", name), name
        assert (kind == "counter") is name.endswith("_total"), name
        assert kind != "histogram" or name.endswith(("_seconds", "_bytes")), name
    assert [f.name for f in families if not f.documentation] == []
    constants = {value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)}
    assert {name for name, _ in written if name.startswith("reactor_")} == constants


async def test_metrics_show_who_waits_and_who_refuses(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
workflow: one
when: [{event: thing}]
limits: {concurrency: {max: 1, key: "'k'", overflow: queue}}
steps: [{wait: {for: 1h}}]
"""
    await site.put_flow("one", text=text)
    for n in "123":
        await site.call("POST", "/events", data=EVENT.replace('"1"', f'"{n}"', 1), headers=CLOUD)
    monkeypatch.setattr(type(site.app.store), "refusing", property(lambda store: "disk full"))
    monkeypatch.setattr(site.app.outbox, "bus_error", "away")
    lines = (await site.call("GET", "/metrics")).body.decode().splitlines()
    assert 'reactor_runs_held{workflow="one"} 2.0' in lines
    assert "reactor_store_refusing 1.0" in lines
    assert "reactor_bus_refusing 1.0" in lines


async def test_the_first_page_says_what_is_here(site: Site) -> None:
    reply = await site.call("GET", "/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert b'href="/api/openapi.json"' in reply.body
    assert "default-src 'none'" in reply.headers["content-security-policy"]


@pytest.mark.parametrize("kind", ["fastapi", "starlette"])
async def test_is_mounted_in_another_program(site: Site, kind: str) -> None:
    inner = asgi(site.app, tokens=Tokens())
    if kind == "fastapi":
        outer: Any = FastAPI()
        outer.mount("/reactor", inner)
    else:
        outer = Starlette(routes=[Mount("/reactor", app=inner)])
    await site.put_flow("t", text="workflow: t\nwhen: [{http: /t}]\nsteps: [{log: {message: no}}]\n")
    await site.until(lambda: list(site.app.routes))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(outer, port=port, log_config=None))
    serving = asyncio.ensure_future(server._serve())
    await site.until(lambda: server.started)
    url = f"http://127.0.0.1:{port}/reactor"
    try:
        async with aiohttp.ClientSession() as client:
            async with client.post(f"{url}/events", data=EVENT, headers=CLOUD) as r:
                assert (r.status, (await r.json())["verdict"]) == (202, "unmatched")
            async with client.post(f"{url}/hooks/t", json={"a": 1}) as r:
                assert (r.status, len((await r.json())["runs"])) == (202, 1)
            async with client.get(f"{url}/api/v1/workflows") as r:
                assert [w["name"] for w in (await r.json())["items"]] == ["t"]
            async with client.post(f"{url}/api/v1/runs", json={"workflow": "t"}) as r:
                run = await r.json()
                assert (r.status, r.headers["location"]) == (201, f"/reactor/api/v1/runs/{run['id']}")
            async with client.get(f"{url}/") as r:
                assert 'href="/reactor/api/openapi.json"' in await r.text()
            async with client.get(f"{url}/api/openapi.json") as r:
                assert (await r.json())["servers"] == [{"url": "/reactor"}]
    finally:
        server.should_exit = True
        await serving


def serving(app: App, **changes: Any) -> None:
    """Change keys of `server`."""
    app.project = dataclasses.replace(app.project, server=dataclasses.replace(app.project.server, **changes))


async def test_stands_below_a_base_path() -> None:
    async with Site() as site:
        serving(site.app, base_path="/base")
        await site.web.stop()
        await site.web.start()
        assert site.web.url.endswith("/base")
        assert (await site.call("GET", "/healthz")).status == 200
        root = site.web.url.removesuffix("/base")
        async with site.client.get(f"{root}/healthz") as r:
            assert (r.status, (await r.json())["detail"]) == (
                404,
                "there is nothing at /healthz: the base path is /base",
            )


async def test_stopping_cuts_what_outlasts_the_drain(site: Site) -> None:
    await site.web.stop()
    serving(site.app, drain_s=0.5)
    await site.web.start()
    text = "workflow: s\nwhen: [{http: {path: /s, respond: result}}]\nsteps: [{wait: {for: 1h}}]\n"
    await site.put_flow("s", text=text)
    await site.until(lambda: list(site.app.routes))
    asked = asyncio.ensure_future(site.post("/hooks/s"))
    await site.until(lambda: len(site.app.engine.executor.runs) == 1)
    async with asyncio.timeout(5):
        await site.web.stop()
    cut = await asked
    assert (cut.status, cut.headers["retry-after"]) == (503, "5")
    assert cut.problem()["detail"] == "the server stops; what was taken before is durable, and goes on"
    assert len(site.app.engine.executor.runs) == 1  # the run is durable, and goes on


async def test_answers_lifespan_and_refuses_websockets(site: Site) -> None:
    front, sent = asgi(site.app, tokens=Tokens()), list[str]()

    async def talk(kind: str, *said: str) -> None:
        messages = iter(said)

        async def receive() -> Any:
            return {"type": next(messages)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await front({"type": kind, "path": "/"}, receive, send)

    await talk("lifespan", "lifespan.startup", "lifespan.shutdown")
    await talk("websocket", "websocket.connect")
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


async def test_stopping_lets_open_requests_finish(site: Site) -> None:
    text = "workflow: s\nwhen: [{http: {path: /s, respond: result}}]\nsteps: [{wait: {for: 300ms}}]\n"
    await site.put_flow("s", text=text)
    await site.until(lambda: list(site.app.routes))
    asked = asyncio.ensure_future(site.post("/hooks/s"))
    await site.until(lambda: len(site.app.engine.executor.runs) == 1)
    await site.web.stop()
    assert (await asked).status == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await site.call("GET", "/healthz")
    await site.web.stop()
