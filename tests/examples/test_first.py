"""The first examples of the README, each in an empty folder of its own, as `reactor dev FILE` runs them."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reactor.app import App
from reactor.tests.waiting import until
from reactor.web.server import WebServer

FIRST = Path(__file__).parents[2] / "examples" / "first"


@asynccontextmanager
async def at_work(folder: Path, name: str) -> AsyncIterator[App]:
    """The example's file as the only workflow of a project."""
    (folder / "workflows").mkdir()
    shutil.copy(FIRST / name, folder / "workflows")
    async with App(":memory:", project=folder) as app:
        result = await app.load()
        assert [each.message for each in result.diagnostics.items] == []
        await until(lambda: all(each.state == "connected" for each in app.supervisor.status()))
        yield app


async def completed(app: App, workflow: str) -> list[dict[str, Any]]:
    return (await app.runs(workflow=workflow, state="completed"))["items"]


@pytest.mark.req("EX-22")
async def test_a_dropped_file(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    async with at_work(tmp_path, "file_drop.yaml") as app:
        (tmp_path / "inbox" / "people.csv").write_text("name,age\nAda,36\nAlan,41\n")
        assert len(await until(lambda: completed(app, "file-drop"))) == 1
        assert (tmp_path / "report.txt").read_text() == "people.csv: 2 rows\n"


@pytest.mark.req("EX-22")
async def test_a_schedule_to_the_second(tmp_path: Path) -> None:
    async with at_work(tmp_path, "schedule.yaml") as app:
        (first, *_) = await until(lambda: completed(app, "clock"))
        event = await app.events_api.get((await app.get(first["id"]))["event"]["id"])
        assert event["data"]["scheduled_at"][-3:] in {f"{second:02}Z" for second in range(0, 60, 5)}


@pytest.mark.req("EX-22")
async def test_a_request(tmp_path: Path) -> None:
    async with at_work(tmp_path, "http.yaml") as app, WebServer(app, port=0) as web, aiohttp.ClientSession() as client:
        async with client.post(f"{web.url}/hooks/greet", json={"name": "Ada"}) as answer:
            assert (answer.status, await answer.json()) == (200, {"greeting": "Hello Ada!"})
        async with client.post(f"{web.url}/hooks/greet", json={"name": ""}) as answer:
            assert (await answer.json(content_type=None))["code"] == "invalid_input"
        assert len(await completed(app, "greet")) == 1
