"""Every endpoint that the language names is there, or says that it is not; who may, and what it takes, is as written.

The tables are typed from the language, section 7: they are not made of the code that they judge.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from reactor.core.pages import BadPage
from reactor.tests.web.site import TOKEN, Site
from reactor.web.api import _BESIDE, ENDPOINTS
from reactor.web.unavailable import UNAVAILABLE

API = "/api/v1"
# method, path, scope, status of a success
WRITTEN = """
GET    /workflows                           read     200
GET    /workflows/{name}                    read     200
PUT    /workflows/{name}                    deploy   200
DELETE /workflows/{name}                    deploy   204
POST   /workflows/{name}/enable             operate  200
POST   /workflows/{name}/disable            operate  200
GET    /runs                                read     200
POST   /runs                                operate  201
GET    /runs/{id}                           read     200
GET    /runs/{id}/history                   read     200
GET    /runs/{id}/logs                      read     200
POST   /runs/{id}/cancel                    operate  202
POST   /runs/{id}/pause                     operate  202
POST   /runs/{id}/resume                    operate  202
POST   /runs/{id}/retry                     operate  202
POST   /runs/{id}/rerun                     operate  202
POST   /runs/{id}/steps/{step}/approve      operate  202
POST   /runs/{id}/steps/{step}/reject       operate  202
GET    /events                              read     200
GET    /events/{id}                         read     200
GET    /events/{id}/explain                 read     200
POST   /events/{id}/replay                  operate  202
GET    /triggers                            read     200
GET    /triggers/{name}                     read     200
POST   /triggers/{name}/pause               operate  202
POST   /triggers/{name}/resume              operate  202
POST   /triggers/{name}/test                read     200
GET    /connections                         read     200
GET    /connections/{name}                  read     200
POST   /connections/{name}/test             operate  200
GET    /dead-letters                        read     200
POST   /dead-letters/{id}/retry             operate  202
POST   /dead-letters/{id}/drop              operate  202
GET    /schedule/preview                    read     200
"""
REFUSED = """
GET  /jobs
POST /jobs
GET  /templates
GET  /alerts
POST /triggers
POST /runs/{id}/migrate
"""
FILTERS = {
    "/workflows": {"tag", "limit", "cursor"},
    "/runs": {"workflow", "state", "event", "label", "priority", "since", "until", "limit", "cursor"},
    "/events": {"type", "source", "since", "limit", "cursor"},
    "/dead-letters": {"state", "limit", "cursor"},
}
SIGNALS = ("cancel", "pause", "resume", "retry", "steps/{step:path}/approve", "steps/{step:path}/reject")
KEYED = {("POST", "/runs"), *(("POST", f"/runs/{{id}}/{word}") for word in ("rerun", *SIGNALS))}
KEYED |= {("POST", path) for path in ("/events/{id:path}/replay", "/triggers/{name}/pause", "/triggers/{name}/resume")}
BESIDE = {"/", "/healthz", "/readyz", "/metrics", "/api/openapi.json", f"{API}/stream"}
START = {"workflow", "version", "inputs", "labels", "priority", "event"}


def plain(path: str) -> str:
    return re.sub(r"\{(\w+)(:\w+)?\}", r"{\1}", path)


def test_every_endpoint_of_the_language_is_there_and_no_other() -> None:
    written = {
        (m, p, scope, int(status)) for m, p, scope, status in (line.split() for line in WRITTEN.strip().split("\n"))
    }
    assert {(e.method, plain(e.path), e.need, e.status) for e in ENDPOINTS} == written
    assert set(_BESIDE) == BESIDE
    refused = {tuple(line.split()) for line in REFUSED.strip().split("\n")}
    assert {(e.method, e.path) for e in UNAVAILABLE} == refused


def test_every_filter_and_key_of_the_language_is_taken() -> None:
    for path, names in FILTERS.items():
        (found,) = [e for e in ENDPOINTS if e.method == "GET" and e.path == path]
        assert {param.name for param in found.query} >= names, path
    assert {(e.method, e.path) for e in ENDPOINTS if e.keyed} == KEYED
    (start,) = [e for e in ENDPOINTS if (e.method, e.path) == ("POST", "/runs")]
    assert set(start.body.__struct_fields__) == START


@pytest.mark.parametrize("line", REFUSED.strip().split("\n"))
async def test_what_is_not_carried_out_says_so_with_what_there_is(line: str, site: Site) -> None:
    method, path = line.split()
    asked = API + path.replace("{id}", "x")
    options: dict[str, Any] = {"json": {}} if method == "POST" else {}
    found = (await site.call(method, asked, **options)).problem()
    assert found.pop("hint")
    assert found == {
        "status": 501,
        "code": "unavailable",
        "detail": f"{method} {asked} is not available in this version",
    }
    document = await site.get("/api/openapi.json")
    assert method.lower() not in document["paths"].get(API + path, {})


async def test_every_endpoint_needs_a_token_with_its_scope(site: Site) -> None:
    """Whoever has none of it is refused before anything is looked at."""
    for endpoint in (*ENDPOINTS, *UNAVAILABLE):
        path = API + re.sub(r"\{\w+(:\w+)?\}", "x", endpoint.path)
        for token, status in (("e" * 20, 403), ("nobody" * 5, 401)):
            reply = await site.call(endpoint.method, path, headers={"authorization": f"Bearer {token}"})
            assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json"), path
        if endpoint.need == "read":
            reply = await site.call(endpoint.method, path, headers={"authorization": f"Bearer {TOKEN}"})
            assert reply.status not in (401, 403), path


async def test_every_list_goes_on_by_its_cursor(site: Site) -> None:
    for number in range(5):
        await site.put_flow(f"flow{number}", type="thing")
    runs: list[str] = []
    for number in range(5):
        event = {"specversion": "1.0", "id": str(number), "source": "/s", "type": "lonely"}
        await site.call("POST", "/events", json=event, headers={"content-type": "application/cloudevents+json"})
        runs.append((await site.post("/api/v1/runs", {"workflow": f"flow{number}"})).json["id"])
    for path, name in (("workflows", "name"), ("runs", "id"), ("events", "key")):
        found: list[str] = []
        cursor = ""
        for _ in range(3):
            page = await site.get(f"{API}/{path}?limit=2" + (f"&cursor={cursor}" if cursor else ""))
            found += [item[name] for item in page["items"]]
            cursor = page["next"] or ""
        assert (len(found), len(set(found)), cursor) == (5, 5, ""), path
    assert runs


PAGED = [e.path for e in ENDPOINTS if e.method == "GET" and any(p.name == "cursor" for p in e.query)]
OTHERS = {"/runs": "e1-2", "/events": "1-2", "/dead-letters": "0a0a0a0a-1-2", "/workflows": "1-2"}


@pytest.mark.parametrize("path", PAGED)
async def test_a_page_that_means_nothing_is_refused_by_every_list_alike(path: str, site: Site) -> None:
    """Its cursor is nobody's, or another list's; it has no row."""

    def refused(detail: str, hint: str = "") -> dict[str, Any]:
        return {"status": 400, "code": "invalid_request", "detail": detail, "hint": hint}

    for cursor in ("!", "0a0a0a0a-1-2-3", "a b", OTHERS[path]):
        found = (await site.call("GET", API + path, params={"cursor": cursor})).problem()
        assert found == refused(f"`{cursor}` is no cursor: pass on the `next` of the page before")
    for limit in ("0", "-1", "many"):
        found = (await site.call("GET", API + path, params={"limit": limit})).problem()
        assert found == refused(f"`limit` must be a whole number of at least 1; found `{limit}`")


def test_the_lists_with_pages_are_these() -> None:
    assert sorted(PAGED) == sorted(OTHERS)


async def test_programs_are_refused_a_page_in_the_same_words(site: Site) -> None:
    for page in (site.app.runs, site.app.events_api.list, site.app.events_api.letters):
        for limit in (0, -1):
            with pytest.raises(BadPage) as raised:
                await page(limit=limit)
            assert (str(raised.value), raised.value.hint) == (
                f"`limit` must be at least 1; found {limit}",
                "1 to 500 rows are a page",
            )


async def test_a_state_that_dead_letters_do_not_have_is_refused(site: Site) -> None:
    found = (await site.call("GET", f"{API}/dead-letters?state=nope")).problem()
    assert (found["status"], found["code"], found["detail"]) == (
        400,
        "invalid_request",
        "a dead letter is open, retried or dropped; found `nope`",
    )


async def test_a_priority_is_asked_for_as_the_language_writes_it(site: Site) -> None:
    await site.put_flow("flow")
    ids = {
        priority: (await site.post(f"{API}/runs", {"workflow": "flow", "priority": priority})).json["id"]
        for priority in (2, "medium", 7, "critical")
    }
    for asked, found in (("low", 2), ("2", 2), ("5", "medium"), ("medium", "medium"), ("high", 7), ("9", "critical")):
        assert [run["id"] for run in (await site.get(f"{API}/runs?priority={asked}"))["items"]] == [ids[found]], asked
        assert [run["id"] for run in (await site.app.runs(priority=asked))["items"]] == [ids[found]], asked
    for asked in ("urgent", "10", "-1", "2.5", ""):
        found = (await site.call("GET", f"{API}/runs", params={"priority": asked})).problem()
        assert found == {
            "status": 400,
            "code": "invalid_request",
            "detail": f"a priority is 0 to 9, or low, medium, high, critical; found `{asked}`",
            "hint": "",
        }
