"""What waits for a bus is bounded, and the bus is told what it never gets, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import nats
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from reactor import App
from reactor.core.clock import SYSTEM
from reactor.core.errors import TransientError
from reactor.core.event import Event, encode
from reactor.language.loader import load_text
from reactor.router import backlog, outbox
from reactor.router.backlog import Backlog
from reactor.store import open_store
from reactor.store.contract import BUS, ROUTER, OutboxRow, Unit
from reactor.tests.app.bus_child import FLOW
from reactor.tests.engine.rig import Rig
from reactor.tests.servers.kafka import KafkaServer
from reactor.tests.servers.nats import NatsServer
from reactor.tests.waiting import until
from reactor.web import metrics

MOST = 6


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/r.db"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "OUTBOX_ROWS_MAX", MOST)
    monkeypatch.setattr(backlog, "STEP_ROWS", 4)
    for module in (backlog, outbox):
        monkeypatch.setattr(module, "LOOK_S", 0.1)


class JetStream:
    """A bus of its own on the session's nats-server."""

    keeps_trying = False

    def __init__(self, server: NatsServer, name: str) -> None:
        self.server = server
        self._stream = name.replace("_", "-")
        self.keys = {"jetstream": {"connection": "main", "stream": self._stream}}

    def connection(self, *, away: bool = False) -> dict[str, Any]:
        return {"nats": {"servers": ["nats://127.0.0.1:9" if away else self.server.url], "timeout": "1s"}}

    async def left(self) -> list[dict[str, Any]]:
        """All that is in the stream, which goes: its subjects are in the way of other tests."""
        client = await nats.connect(self.server.url)
        jetstream, found = client.jetstream(), list[dict[str, Any]]()
        for sequence in range(1, (await jetstream.stream_info(self._stream)).state.messages + 1):
            message = await jetstream.get_msg(self._stream, sequence)
            headers = {k.lower(): v for k, v in (message.headers or {}).items()}
            found.append({"type": headers["ce-type"], "id": headers["ce-id"], "data": json.loads(message.data or b"")})
        await jetstream.delete_stream(self._stream)
        await client.close()
        return found


class Kafka:
    """The same as a topic on the session's Kafka."""

    keeps_trying = True  # its client holds what it was handed, so that the order stays: some of it comes all the same

    def __init__(self, server: KafkaServer, name: str) -> None:
        self.server = server
        self._topic = name
        self.keys = {"kafka": {"connection": "main", "topic": name, "create": True}}

    def connection(self, *, away: bool = False) -> dict[str, Any]:
        servers = ["127.0.0.1:9" if away else self.server.bootstrap]
        return {"kafka": {"servers": servers, "timeout": "3s", "request_timeout": "3s"}}

    async def left(self) -> list[dict[str, Any]]:
        """All that is in the topic; what was sent again, for the first answer was lost, once."""
        found: dict[str, dict[str, Any]] = {}
        async with AIOKafkaConsumer(bootstrap_servers=self.server.bootstrap, auto_offset_reset="earliest") as reader:
            place = TopicPartition(self._topic, 0)
            reader.assign([place])
            await reader.seek_to_beginning(place)
            end = (await reader.end_offsets([place]))[place]
            while await reader.position(place) < end:
                for record in (await reader.getmany(place, timeout_ms=1000)).get(place, ()):
                    headers = {key: value.decode() for key, value in record.headers}
                    one = {"type": headers["ce_type"], "id": headers["ce_id"], "data": json.loads(record.value)}
                    found.setdefault(one["id"], one)
        return list(found.values())


Bus = JetStream | Kafka


@pytest.fixture(params=["jetstream", "kafka"])
def bus(request: pytest.FixtureRequest, unique_name: str) -> Bus:
    if request.param == "kafka":
        return Kafka(request.getfixturevalue("kafka_server"), unique_name)
    return JetStream(request.getfixturevalue("nats_server"), unique_name)


def project(folder: Path, store: str, bus: Bus, events: list[str], *, away: bool = False) -> None:
    connections = {"main": bus.connection(away=away)}
    keys = {"store": store, "bus": {**bus.keys, "events": events}, "connections": connections}
    (folder / "reactor.json").write_text(json.dumps(keys))


@pytest.mark.rule("7.4.3")
async def test_the_oldest_go_and_the_gap_is_named_when_the_bus_is_back(
    url: str, tmp_path: Path, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where `events` names other types than that of the gap."""
    project(tmp_path, url, bus, ["reactor.run.*"])
    async with App(project=tmp_path) as app:
        await app.deploys.deploy(load_text(FLOW, "f.yaml", app.vocabulary()).loaded)
        first = await app.start("told")
        await first.result(10)

        async def sent() -> bool:
            return not await app.store.outbox(BUS, after=0, limit=1)

        await until(sent, 20)
        told: list[str] = []
        bus.server.stop()
        try:
            for _ in range(10):
                run = await app.start("told")
                await run.result(10)  # a bus that is down stops nothing inside
                told += [f"{run.id}/1", f"{run.id}/2"]
            await until(lambda: app.outbox.backlog.given_up == 20 - MOST, 30)
            gone, kept = told[:-MOST], told[-MOST:]
            assert [json.loads(row.body)["id"] for row in await app.store.outbox(BUS, after=0, limit=99)] == kept
            assert f"reactor_bus_given_up_total {len(gone)}.0" in metrics.page(app).decode().splitlines()
        finally:
            bus.server.start()
        await until(lambda: app.outbox.backlog.gap is None, 60)
        assert await app.store.marks("outbox") == {}
        seen = await bus.left()
        before = {f"{first.id}/1", f"{first.id}/2"}
        came = {one["id"] for one in seen if one["type"] != "reactor.bus.gap"}
        assert came >= {*before, *kept}
        assert came - {*before, *kept} <= set(gone if bus.keeps_trying else ())
        (gap,) = (one["data"] for one in seen if one["type"] == "reactor.bus.gap")
        assert (gap["events"], gap["limit"]) == (len(gone), MOST)
        assert (gap["first"]["id"], gap["last"]["id"]) == (gone[0], gone[-1])
        assert (gap["first"]["type"], gap["last"]["type"]) == ("reactor.run.started", "reactor.run.completed")
        assert gap["first"]["time"] <= gap["last"]["time"]
    grave = [r.getMessage() for r in caplog.records if r.name == "reactor.outbox" and r.levelno >= logging.ERROR]
    assert grave == ["more than 6 events wait for the bus: the oldest are given up, and it will be told of the gap"]


@pytest.mark.rule("7.4.3")
async def test_a_gap_outlives_a_kill_before_it_is_named(url: str, tmp_path: Path, bus: Bus) -> None:
    project(tmp_path, url, bus, ["reactor.*"], away=True)
    command = (sys.executable, "-P", "-m", "reactor.tests.app.bus_child", str(tmp_path), str(MOST), "8")
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    try:
        gone = int(await asyncio.wait_for(child.stdout.readline(), 60))
    finally:
        child.send_signal(signal.SIGKILL)
        await child.wait()
    assert gone == 16 - MOST
    project(tmp_path, url, bus, ["reactor.*"])
    async with App(project=tmp_path) as app:

        async def named() -> bool:
            return not await app.store.marks("outbox")

        await until(named, 30)
        seen = await bus.left()
    assert [one["data"]["events"] for one in seen if one["type"] == "reactor.bus.gap"] == [gone]
    assert len(seen) == MOST + 1


@pytest.mark.rule("7.4.3")
async def test_what_the_router_is_owed_is_never_given_up(url: str) -> None:
    """The bound is exact at its edge; the bus's debts above it go, oldest first, unreadable ones too."""
    store = open_store(url, clock=SYSTEM)
    await store.open()
    try:
        bound = Backlog(store, SYSTEM)
        body = [encode(Event(type="t", source="/s", id=str(n), time="2026-01-02T03:04:05Z")) for n in range(20)]
        await store.submit(Unit(outbox=tuple(OutboxRow(n, 1, body[n], BUS) for n in range(1, MOST + 1))))
        await bound.look()
        assert (bound.given_up, bound.event()) == (0, None)
        await store.submit(Unit(outbox=(OutboxRow(7, 1, b"broken", BUS), OutboxRow(8, 1, body[8], BUS | ROUTER))))
        rows = tuple(OutboxRow(n, 1, body[n], BUS | ROUTER) for n in range(9, 20))
        await store.submit(Unit(outbox=rows))
        other = Backlog(store, SYSTEM)
        await other.look()
        assert [row.key for row in await store.outbox(BUS, after=0, limit=99)] == list(range(14, 20))
        assert [row.key for row in await store.outbox(ROUTER, after=0, limit=99)] == list(range(8, 20))
        event = other.event()
        assert event is not None
        place = {"type": "t", "time": "2026-01-02T03:04:05Z"}
        ends = {"first": {"id": "1", **place}, "last": {"id": "13", **place}}
        assert event.data == {"events": 13, **ends, "limit": MOST}
        await bound.named()  # of a gap that it does not know: nothing happens to it
        assert await store.marks("outbox")
        await other.named()
        assert (await store.marks("outbox"), other.event()) == ({}, None)
    finally:
        await store.close()


async def test_a_bus_that_refuses_the_gap_takes_all_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left: list[str] = []
    down = True

    async def bus(events: Any) -> None:
        if down or any(event.type == "reactor.bus.gap" for event in events):
            raise TransientError("no stream takes this", code="publish.no_responders")
        left.extend(event.id for event in events)

    async with Rig(f"sqlite:///{tmp_path}/r.db") as rig:
        rig.outbox.bus = bus
        keys = [rig.engine.numbers.draw() for _ in range(2 * MOST)]
        body = encode(Event(type="t", source="/s", id="1"))
        await rig.store.submit(Unit(outbox=tuple(OutboxRow(key, key, body, BUS) for key in keys)))
        await rig.until(lambda: rig.outbox.backlog.given_up == MOST)
        down = False
        await rig.until(lambda: len(left) == MOST)
        await rig.until(lambda: "names events that it never gets" in caplog.text)
        assert rig.outbox.backlog.gap is not None  # and it is tried again, and shown
    assert not rig.fatal
