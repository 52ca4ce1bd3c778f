"""That a run waits is shown wherever runs are, and asked for."""

import json

import pytest

from reactor.engine import runs_api
from reactor.tests.web.site import Site

PARKED = "workflow: parked\nwhen: [{event: park}]\nsteps: {rest: {wait: {for: 1h}}}\n"
BUSY = "workflow: busy\nwhen: [{event: park}]\nsteps: {work: {command: {argv: [sleep, '60']}}}\n"


@pytest.mark.req("C-2")
@pytest.mark.req("C-3")
async def test_a_run_that_waits_is_shown_so_wherever_runs_are_listed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.put_flow("parked", text=PARKED)
    await site.put_flow("busy", text=BUSY)
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "park"}
    headers = {"content-type": "application/cloudevents+json"}
    taken = (await site.call("POST", "/events", data=json.dumps(event), headers=headers)).json
    again = (await site.post("/api/v1/runs", {"workflow": "parked"})).json["id"]

    async def listed(query: str = "") -> list[tuple[str, str]]:
        return [(r["workflow"], r["state"]) for r in (await site.get(f"/api/v1/runs{query}"))["items"]]

    waits, works = ("parked", "waiting"), ("busy", "running")

    async def both_wait() -> bool:
        return sorted(await listed()) == [works, waits, waits]

    await site.until(both_wait)
    found = {line["name"]: line["last_run"]["state"] for line in (await site.get("/api/v1/workflows"))["items"]}
    assert found == {"parked": "waiting", "busy": "running"}
    shown = (await site.get("/api/v1/workflows/parked"))["last_runs"]
    assert [run["state"] for run in shown] == ["waiting", "waiting"]
    why = await site.get(f"/api/v1/events/{taken['key']}/explain")
    assert {each["workflow"]: each["state"] for each in why["findings"]} == {"parked": "waiting", "busy": "running"}
    for rows in (1, 500):
        monkeypatch.setattr(runs_api, "PAGE_ROWS_MAX", rows)
        assert await listed("?state=waiting") == [waits, waits]
        assert await listed("?state=running") == [works]
        assert sorted(await listed("?state=running,waiting")) == [works, waits, waits]
        page = await site.get("/api/v1/runs?state=waiting&limit=1")
        assert (page["items"][0]["id"], page["next"]) == (again, again)
        rest = await site.get(f"/api/v1/runs?state=waiting&limit=1&cursor={again}")
        assert (rest["items"][0]["workflow"], rest["next"]) == ("parked", None)
