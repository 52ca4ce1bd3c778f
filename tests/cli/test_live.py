"""What is followed as it comes: over interruptions, restarts and gaps."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncGenerator, Iterator
from typing import Any, cast

import pytest

from reactor.cli import live
from reactor.cli.client import Client
from reactor.cli.failures import Unreachable
from reactor.cli.follow import changes
from reactor.cli.live import EVENT, OPEN, RESET, Told, blocks, told
from reactor.tests.cli.rig import NAP, Process, Project, with_server

ASKS = "workflow: asks\nsteps: [{name: gate, approval: {message: ok}}, {name: b, log: {message: hi}}]\n"


async def given(*parts: bytes) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part


async def test_blocks_are_read_however_they_are_cut() -> None:
    text = b'retry: 1000\nid: 1-0\n\nid: 1-1\ndata: {"a": "\xc3\xa9"}\n\n: still here\n\n'
    text += b"event: reset\nid: 1-9\ndata: {}\n\nid: 1"
    whole = [tuple(block) async for block in blocks(given(text))]
    assert whole == [(EVENT, "1-0", ""), (EVENT, "1-1", '{"a": "é"}'), (RESET, "1-9", "{}")]
    single = [tuple(block) async for block in blocks(given(*(text[i : i + 1] for i in range(len(text)))))]
    assert single == whole


async def test_it_comes_back_with_what_it_saw_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_AGAIN_S", 0.001)
    asked: list[str] = []
    answers = [b"id: 1-1\n\nid: 1-2\ndata: {}\n\n", None, b"", b"id: 2-7\nevent: reset\ndata: {}\n\n", b"id: 2-8\n\n"]

    async def connect(last: str) -> AsyncGenerator[bytes, None]:
        asked.append(last)
        answer = answers.pop(0)
        if answer is None:
            raise Unreachable("gone")
        yield answer

    found: list[Told] = []
    async for each in told(connect):
        found.append(each)
        if len(found) == 4:
            break
    assert [each.kind for each in found] == [OPEN, EVENT, RESET, OPEN]
    assert asked == ["", "1-2", "1-2", "1-2", "2-7"]


async def test_a_server_that_was_never_there_is_told_at_once_one_that_left_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_AGAIN_S", 0.001)
    monkeypatch.setattr(live, "AWAY_S_MAX", 0.05)
    calls = 0

    async def connect(last: str) -> AsyncGenerator[bytes, None]:
        nonlocal calls
        calls += 1
        if calls != 2:
            raise Unreachable("gone")
        yield b"id: 1-1\n\n"

    with pytest.raises(Unreachable):
        await anext(told(connect))
    assert calls == 1

    async def all_() -> list[Told]:
        return [each async for each in told(connect)]

    with pytest.raises(Unreachable):
        await asyncio.wait_for(all_(), 10)
    assert calls > 3


@pytest.fixture
def server(project: Project) -> Iterator[Process]:
    project.write(nap=NAP, asks=ASKS)
    with_server(project)
    with project.start("serve") as child:
        yield child.ready()


def test_watch_goes_on_over_a_restart_of_the_server(server: Process, project: Project) -> None:
    run = project.say("run", "asks", "--detach").out.strip()
    with project.start("watch", run) as watch:
        watch.until(lambda: any('"waiting"' in line for line in watch.out))
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        with project.start("serve") as again:
            again.ready()
            assert project.say("approve", run, "gate").code == 0
            assert watch.ended() == 0
    lines = [json.loads(line) for line in watch.out]
    assert [line["name"] for line in lines if line["kind"] == "step" and line["state"] == "completed"] == ["gate", "b"]
    assert [line["state"] for line in lines if line["kind"] == "run"][-1] == "completed"


def test_status_says_that_a_run_waits_for_its_turn(server: Process, project: Project) -> None:
    project.write(alone="workflow: alone\nlimits: {concurrency: {max: 1}}\nsteps: [{wait: {for: 1h}}]\n")
    server.signal(signal.SIGHUP)
    server.until(lambda: "alone" in project.say("list").out)
    _, second = (project.say("run", "alone", "--detach").out.strip() for _ in range(2))
    said = project.say("status", second).out
    assert "state     queued\n" in said
    assert said.endswith(
        "\n\nwaits\n  for a place under the `limits` of alone, or for its turn\n"
        "    reactor runs --workflow alone --state running\n"
    )


def test_status_says_what_a_run_waits_for_and_what_ends_that(server: Process, project: Project) -> None:
    asks, nap = (project.say("run", name, "--detach").out.strip() for name in ("asks", "nap"))
    said = project.say("status", asks).out
    assert said.endswith(f"\n\nwaits\n  gate  for an answer: ok\n    reactor approve {asks} gate\n")
    assert re.search(r"\n\nwaits\n  sleeps  until 20\d\d-\S+Z\n$", project.say("status", nap).out)


def test_watch_shows_a_run_that_ended_before(server: Process, project: Project) -> None:
    run = project.say("run", "hello", "-o", "json").json["id"]
    said = project.say("watch", run)
    assert said.code == 0
    assert json.loads(said.out.splitlines()[-1])["state"] == "completed"


def test_watch_of_a_run_that_is_not_there(server: Process, project: Project) -> None:
    address = server.out[0].rpartition(" ")[2]
    run = project.say("run", "hello", "--detach").out.strip()
    missing = run[: run.rindex("-") + 1] + "999"
    assert project.say("watch", missing) == (
        3,
        "",
        f"error: there is no run {missing}\n  --> {address}\n  = help: `reactor runs` lists them\n",
    )


def test_followed_events_have_those_that_nobody_takes_each_with_its_key(server: Process, project: Project) -> None:
    before = project.say("emit", "lonely", "--id", "first", "-o", "json").json
    with project.start("events", "--follow", "--since", "1h") as follower:
        follower.until(lambda: "waiting for events; Ctrl-C ends it" in follower.err)
        second = project.say("emit", "lonely", "--source", "/else", "--id", "second", "-o", "json").json
        third = project.say("emit", "greet", "--id", "third", "-d", '{"name": "Ada"}', "-o", "json").json
        follower.until(lambda: len(follower.out) == 3)
        found = [json.loads(line) for line in follower.out]
        assert [(each["key"], each["id"], each["trigger"]) for each in found] == [
            (before["key"], "first", "post"),
            (second["key"], "second", "post"),
            (third["key"], "third", "post"),
        ]
        assert (second["verdict"], third["verdict"]) == ("unmatched", "accepted")
        listed = project.say("events", "-o", "json").json
        assert sorted((e["key"], e["type"], e["source"]) for e in listed) == sorted(
            (e["key"], e["type"], e["source"]) for e in found
        )
        follower.interrupt()
        assert follower.ended() == 130


def test_followed_events_are_narrowed(server: Process, project: Project) -> None:
    with (
        project.start("events", "--follow", "--source", "/a") as by_source,
        project.start("events", "--follow", "--type", "reactor.run.*") as by_type,
    ):
        for each in (by_source, by_type):
            each.until(lambda each=each: "waiting for events; Ctrl-C ends it" in each.err)
        project.say("emit", "greet", "--source", "/b", "-d", '{"name": "Ada"}')
        project.say("emit", "greet", "--source", "/a", "-d", '{"name": "Ada"}')
        by_source.until(lambda: bool(by_source.out))
        by_type.until(lambda: len(by_type.out) >= 4)
        assert [json.loads(line)["source"] for line in by_source.out] == ["/a"]
        assert {json.loads(line)["type"] for line in by_type.out} == {"reactor.run.started", "reactor.run.completed"}


def test_following_has_no_pages_and_needs_a_server(server: Process, project: Project) -> None:
    address = server.out[0].rpartition(" ")[2]
    assert project.say("events", "--follow", "--limit", "3", "--server", address) == (
        2,
        "",
        "error: --follow has no pages: it takes no --cursor and no --limit\n  = help: leave them out\n",
    )


class Seen:
    """A client that reads a run as it is at one moment after the other."""

    app = None

    def __init__(self, *states: tuple[str, int]) -> None:
        self.left = list(states)

    async def get(self, *path: str) -> dict[str, Any]:
        state, attempts = self.left.pop(0)
        ended = "running" if self.left else "completed"
        step = {"name": "a", "state": state, "attempts": attempts}
        return {"id": "r-1-1", "state": ended, "progress": 0, "steps": [step]}

    async def stream(self, **query: str) -> AsyncGenerator[dict[str, Any], None]:
        while self.left:
            yield {}
            await asyncio.sleep(0)


async def test_a_step_is_told_once_for_each_attempt() -> None:
    seen = Seen(("running", 0), ("running", 1), ("retrying", 1), ("running", 2), ("completed", 2))
    shown = [each async for each in changes(cast(Client, seen), "r-1-1") if each["kind"] == "step"]
    assert [(each["state"], each["attempts"]) for each in shown] == [
        ("running", 0),
        ("retrying", 1),
        ("running", 2),
        ("completed", 2),
    ]
