"""The stream: what happens as it happens, resumable within a bound, a gap told, a slow client nobody's trouble."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from reactor.core.event import Event
from reactor.tests.web.site import Site
from reactor.web.stream import Buffer


class Client:
    """A reader of the stream: `async with Client(site) as client`, then `next()`."""

    def __init__(self, site: Site, query: str = "", last: str = "") -> None:
        self.site = site
        self.path = f"/api/v1/stream{query}"
        self.headers = {"Last-Event-ID": last} if last else {}
        self.last = last

    async def __aenter__(self) -> Client:
        timeout = aiohttp.ClientTimeout(total=None)
        url = self.site.web.url + self.path
        self.answer = await self.site.client.get(url, headers=self.headers, timeout=timeout)
        assert self.answer.status == 200
        assert self.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        self.first = await self.block()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.answer.close()

    async def block(self) -> dict[str, str]:
        """One block of lines, as fields; comments under `:`."""
        found: dict[str, str] = {}
        async with asyncio.timeout(10):
            while line := (await self.answer.content.readline()).decode():
                if line == "\n":
                    break
                name, _, value = line.rstrip("\n").partition(": ")
                found[name or ":"] = value
        self.last = found.get("id", self.last)
        return found

    async def next(self) -> dict[str, Any]:
        """The next CloudEvent."""
        while "data" not in (found := await self.block()):
            assert found, "the stream ended"
        assert "event" not in found, found
        return json.loads(found["data"])

    async def types(self, until: str) -> list[str]:
        found: list[str] = []
        while not found or found[-1] != until:
            found.append((await self.next())["type"])
        return found


async def run(site: Site, id: str, type: str = "thing") -> str:
    event = {"specversion": "1.0", "id": id, "source": "/s", "type": type}
    headers = {"content-type": "application/cloudevents+json"}
    reply = await site.call("POST", "/events", data=json.dumps(event), headers=headers)
    found: str = reply.json["runs"][0]
    await site.ended(found)
    return found


def stream_of(site: Site) -> Any:
    front: Any = site.web._front
    return front._api.stream


@pytest.mark.req("E-STAT-3")
async def test_tells_events_runs_and_steps_in_order(site: Site) -> None:
    await site.put_flow()
    async with Client(site) as client:
        id = await run(site, "1")
        found = [await client.next()]
        while found[-1]["type"] != "reactor.run.completed":
            found.append(await client.next())
        types = [e["type"] for e in found]
        assert types[0] == "thing"
        assert types.index("reactor.step.started") < types.index("reactor.step.completed")
        assert found[-1]["data"]["run"] == found[-1]["runid"] == id
        shares = [
            e["data"]["progress"] for e in found if e["type"] in ("reactor.step.completed", "reactor.step.skipped")
        ]
        assert shares == sorted(shares)
        assert shares[-1] == 100.0


async def test_filters_by_workflow_run_and_type(site: Site) -> None:
    await site.put_flow("a")
    await site.put_flow("b", "other")
    async with Client(site, "?workflow=b") as one, Client(site, "?type=reactor.run.*") as two:
        await run(site, "1")
        second = await run(site, "2", "other")
        assert {(await one.next())["subject"] for _ in range(4)} == {"b"}
        while (found := await two.next())["data"]["run"] != second:
            assert found["type"].startswith("reactor.run.")


async def test_goes_on_where_a_client_was_cut(site: Site) -> None:
    await site.put_flow()
    async with Client(site) as client:
        await run(site, "1")
        await client.types("reactor.run.completed")
        last = client.last
    await run(site, "2")
    async with Client(site, last=last) as client:
        assert (await client.types("reactor.run.completed"))[0] == "thing"
        await run(site, "3")
        assert (await client.types("reactor.run.completed"))[0] == "thing"


async def test_resumes_by_the_query_too(site: Site) -> None:
    await site.put_flow()
    async with Client(site) as client:
        last = client.last
        await run(site, "1")
        await client.types("reactor.run.completed")
        async with Client(site, f"?last_event_id={last}") as other:
            assert (await other.next())["type"] == "thing"


@pytest.mark.parametrize("last", ["0-1", "garbage", "1-99999"])
async def test_a_gap_is_a_reset_and_never_silence(site: Site, last: str) -> None:
    await site.put_flow()
    async with Client(site) as client:
        assert "event" not in client.first
        async with Client(site, last=last) as other:
            assert other.first["event"] == "reset"
            await run(site, "1")
            assert (await other.next())["type"] == "thing"


async def test_what_nobody_saw_is_a_gap(site: Site) -> None:
    await site.put_flow()
    async with Client(site) as client:
        last = client.last
    stream = stream_of(site)
    await site.until(lambda: not stream._clients)
    stream._stop_listening()  # as after the time that it lingers
    assert site.app.engine.telling.listeners == []
    assert site.app.intake.listeners == []
    await run(site, "1")
    async with Client(site, last=last) as client:
        assert client.first["event"] == "reset"


async def test_a_slow_client_slows_no_run_and_is_told_of_its_gap(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactor.web.stream.STREAM_BUFFER_EVENTS", 50)
    await site.put_flow()
    async with Client(site) as slow:
        stream = stream_of(site)
        big = Event(type="big", source="/s", id="x", data="x" * 200_000, meta={"trigger": "t"})
        for _ in range(400):  # 80 MB: far more than any socket holds; the client reads nothing
            stream._told(big)
        async with asyncio.timeout(10):
            await run(site, "1")
        assert len(stream._buffer._entries) <= 50
        seen: list[str] = []
        while "reset" not in seen:
            block = await slow.block()
            seen.append(block.get("event", "data"))
        assert len(seen) < 400
        await run(site, "2")
        assert (await slow.next())["type"] in ("big", "thing", "reactor.run.started", "reactor.step.started")


def test_the_buffer_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactor.web.stream.BUFFER_BYTES_MAX", 10_000)
    buffer = Buffer()
    for i in range(100):
        buffer.add(Event(type="t", source="/s", id=str(i), data="x" * 1_000))
    assert (buffer.first, buffer.last) == (92, 100)
    assert [e.number for e in buffer.after(97)] == [98, 99, 100]
    assert [e.number for e in buffer.after(0)] == list(range(92, 101))


async def test_a_heartbeat_keeps_the_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactor.web.stream.HEARTBEAT_S", 0.01)
    async with Client(site) as client:
        assert [await client.block() for _ in range(2)] == [{":": "still here"}] * 2


async def test_ends_when_the_server_stops() -> None:
    async with Site() as site:
        async with Client(site) as client:
            async with asyncio.timeout(5):
                await site.web.stop()
            assert await client.answer.content.read() == b""
        await site.web.start()


async def test_says_which_keys_there_are(site: Site) -> None:
    found = (await site.call("GET", "/api/v1/stream?workflw=a")).problem()
    assert (found["status"], found["detail"]) == (400, "unknown key `workflw` in the query")
    assert found["hint"] == "there are: workflow, run, type, last_event_id"


async def test_tells_events_that_nobody_takes_with_their_keys(site: Site) -> None:
    await site.put_flow()
    async with Client(site) as client:
        headers = {"content-type": "application/cloudevents+json"}
        for type in ("lonely", "thing"):
            event = {"specversion": "1.0", "id": type, "source": "/s", "type": type, "data": {"n": 1}}
            taken = (await site.call("POST", "/events", data=json.dumps(event), headers=headers)).json
            told = await client.next()
            assert (told["id"], told["data"]) == (type, {"n": 1})
            assert {k: told["meta"][k] for k in ("key", "verdict", "trigger")} == {
                "key": taken["key"],
                "verdict": taken["verdict"],
                "trigger": "post",
            }
            listed = await site.get(f"/api/v1/events/{taken['key']}")
            assert set(listed["meta"]) == set(told["meta"]) - {"key", "verdict", "accepted_at"}


async def test_what_nobody_looks_at_is_heard_by_nobody(site: Site) -> None:
    async with Client(site):
        stream = stream_of(site)
        assert site.app.unmatched.listeners
    await site.until(lambda: not stream._clients)
    stream._stop_listening()
    assert (site.app.unmatched.listeners, site.app.intake.keyed) == ([], [])
