"""The verbs of triggers, beside a server and without one."""

import asyncio
import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from reactor.tests.cli.rig import Process, Project, with_server
from reactor.tests.plugins.pack import SOURCE, install
from reactor.tests.servers.nats import NatsServer

BEAT = "workflow: beat\nwhen: [{trigger: hourly, if: event.data.n > 1}]\nsteps: [{log: {message: hi}}]\n"
FOLDER = "workflow: seen\nwhen: [{file: {path: inbox}}]\nsteps: [{log: {message: hi}}]\n"


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "site"
    points = {"reactor.triggers": {"ticker": "lab_ticker:Ticker", "broken": "lab_broken:Nothing"}}
    install(folder, "reactor-lab", points, {"lab_ticker": SOURCE, "lab_broken": "raise ValueError('no port')\n"})
    monkeypatch.syspath_prepend(str(folder))
    yield
    for name in ("lab_ticker", "lab_broken"):
        sys.modules.pop(name, None)


@pytest.mark.req("T-GEN-1")
def test_the_kinds_of_plugins_are_among_the_kinds(project: Project, packed: None) -> None:
    rows = {row["kind"]: row for row in project.say("trigger", "list", "--kinds", "-o", "json").json}
    assert rows["ticker"] == {"kind": "ticker", "state": "available", "guarantee": "at_most_once", "connection": None}
    assert rows["broken"]["guarantee"] is None
    assert "no port" in rows["broken"]["state"]
    assert rows["kafka"] == {
        "kind": "kafka",
        "state": "available",
        "guarantee": "effectively_once",
        "connection": "kafka",
    }
    assert rows["mqtt"]["state"].startswith("unavailable: ")
    table = project.say("trigger", "list", "--kinds").out.splitlines()
    assert table[0].split() == ["KIND", "STATE", "GUARANTEE", "CONNECTION"]
    assert len(table) == len(rows) + 1


def test_without_a_server_triggers_are_listed_with_what_comes_next(project: Project) -> None:
    assert project.say("trigger", "list") == (0, "", "there are no triggers that read a source\n")
    project.write(beat=BEAT, seen=FOLDER)
    with_server(project, triggers={"hourly": {"cron": "0 * * * *"}})
    said = project.say("trigger", "list", "-o", "json")
    inbox, hourly = said.json
    assert (hourly["name"], hourly["kind"], hourly["state"]) == ("hourly", "cron", "not read")
    nexts = hourly["details"]["next"]
    assert (len(nexts), nexts == sorted(nexts)) == (3, True)
    assert all(each.endswith(":00:00Z") for each in nexts)
    assert (inbox["kind"], inbox["details"]) == ("file", {"next": []})
    shown = project.say("trigger", "list")
    assert shown.err == "no server has this store: nothing reads these triggers now; `reactor serve` does\n"
    assert shown.out.splitlines()[2].split()[:4] == ["hourly", "cron", "not", "read"]


def test_a_sample_shows_what_it_would_start_and_why_not(project: Project) -> None:
    project.write(beat=BEAT)
    with_server(project, triggers={"hourly": {"cron": "0 * * * *"}})
    fits = project.say("trigger", "test", "hourly", "-d", '{"n": 2}')
    assert (fits.code, fits.out.splitlines()[0]) == (0, "it would start: beat")
    no = project.say("trigger", "test", "hourly", "-d", '{"n": 1}', "--subject", "s", "--type", "t")
    assert (no.code, no.out.splitlines()[0]) == (0, "it would start: nothing")
    assert "event.data.n > 1" in no.out
    event = project.say("trigger", "test", "hourly", "-d", '{"n": 1}', "--subject", "s", "-o", "json").json["event"]
    assert (event["subject"], event["type"]) == ("s", "reactor.cron.fired")
    assert project.say("runs").err == "there are no such runs\n"
    assert project.say("trigger", "test", "hourli") == (
        3,
        "",
        "error: there is no trigger `hourli`\n  = help: did you mean hourly?\n",
    )
    assert project.say("trigger", "test", "hourly", "-d", "{n: 1}") == (
        2,
        "",
        (
            "error: --data takes JSON or @FILE: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)\n"
            """  = help: such as '{"total": 150}'\n"""
        ),
    )


@pytest.mark.parametrize("word", ["pause", "resume"])
def test_only_a_server_can_be_told_to_pause(word: str, project: Project) -> None:
    project.write(beat=BEAT)
    with_server(project, triggers={"hourly": {"cron": "0 * * * *"}})
    assert project.say("trigger", word, "hourly") == (
        4,
        "",
        f"error: no server reads the triggers of {project.root}\n  = help: start one with `reactor serve`\n",
    )


def test_a_pause_lasts_until_it_is_resumed(project: Project) -> None:
    project.write(beat=BEAT)
    with_server(project, triggers={"hourly": {"cron": "0 * * * *"}})
    with project.start("serve") as server:
        assert isinstance(server.ready(), Process)
        assert project.say("trigger", "pause", "hourly") == (0, "hourly  paused\n", "")
        assert project.say("trigger", "list", "-o", "json").json[0]["state"] == "paused"
    with project.start("serve") as server:  # which may have been stopped for what it was paused for
        assert isinstance(server.ready(), Process)
        assert project.say("trigger", "list", "-o", "json").json[0]["state"] == "paused"
        assert project.say("trigger", "resume", "hourly").out == "hourly  connected\n"
    with project.start("serve") as server:
        assert isinstance(server.ready(), Process)
        assert project.say("trigger", "list", "-o", "json").json[0]["state"] == "connected"
        address = server.out[0].rpartition(" ")[2]
        assert project.say("trigger", "pause", "hourli") == (
            3,
            "",
            f"error: there is no trigger `hourli`\n  --> {address}\n  = help: did you mean hourly?\n",
        )


def test_it_is_ready_when_its_triggers_have_tried_to_connect(project: Project) -> None:
    """What happens after `ready` is not missed: a file that is dropped then is new."""
    patient = "jetstream: {connection: main, stream: orders}, reconnect: {delay: 20s, max_delay: 20s}"
    project.write(beat=BEAT.replace("trigger: hourly", patient))
    with slow_server(0.3) as (port, cut):  # well below what is waited for, however slowly a busy machine connects
        nats = {"main": {"nats": {"servers": [f"nats://127.0.0.1:{port}"]}}}
        with_server(project, connections=nats)
        with project.start("serve") as server:
            server.ready()
            assert cut.is_set()
            assert project.say("trigger", "list", "-o", "json").json[0]["state"] == "down"


@contextlib.contextmanager
def slow_server(seconds: float) -> Iterator[tuple[int, threading.Event]]:
    """A port where every connection is cut after so long, and what is set by the first cut."""
    cut = threading.Event()

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                time.sleep(seconds)
                cut.set()
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1]), cut
        listener.shutdown(socket.SHUT_RDWR)


async def _on_stream(server: str, stream: str, *, messages: int = 0, purge: bool = False) -> None:
    client = await nats.connect(server)
    try:
        js = client.jetstream()
        await js.add_stream(name=stream, subjects=[stream])
        for number in range(messages):
            await js.publish(stream, str(number).encode())
        if purge:
            await js.purge_stream(stream)
    finally:
        await client.close()


def test_a_resume_that_a_gap_stops_says_what_to_do(project: Project, nats_server: NatsServer, unique_name: str) -> None:
    """The command did not do what it was asked to: it says how to, and its exit code tells."""
    asyncio.run(_on_stream(nats_server.url, unique_name))
    project.write(beat=BEAT.replace("trigger: hourly", "trigger: orders"))
    with_server(
        project,
        connections={"main": {"nats": {"servers": [nats_server.url]}}},
        triggers={"orders": {"jetstream": {"connection": "main", "stream": unique_name}}},
    )
    with project.start("serve") as server:
        server.ready()
        assert project.say("trigger", "pause", "orders").out == "orders  paused\n"
        asyncio.run(_on_stream(nats_server.url, unique_name, messages=3, purge=True))
        said = project.say("trigger", "resume", "orders")
        found = project.say("trigger", "list", "-o", "json").json[0]["error"]
        assert found["code"] == "source_gap"
        help_ = "say where to go on: reactor trigger resume orders --start earliest (or latest)"
        assert said == (2, "orders  gap\n", f"error: {found['message']}\n  = help: {help_}\n")
        said = project.say("trigger", "resume", "orders", "-o", "json")
        assert (said.code, said.json["state"]) == (2, "gap")
        assert project.say("trigger", "resume", "orders", "--start", "earliest") == (0, "orders  connected\n", "")


def test_a_resume_whose_source_is_away_says_so_and_goes_on_trying(project: Project) -> None:
    project.write(beat=BEAT.replace("trigger: hourly", "jetstream: {connection: main, stream: orders}"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with_server(
            project, connections={"main": {"nats": {"servers": [f"nats://127.0.0.1:{taken.getsockname()[1]}"]}}}
        )
        with project.start("serve") as server:
            server.ready()
            [found] = project.say("trigger", "list", "-o", "json").json
            said = project.say("trigger", "resume", found["name"])
            assert said == (0, f"{found['name']}  down\n", f"error: {found['error']['message']}\n")
