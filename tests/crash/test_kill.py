"""kill -9, and a freeze, of real processes under load, again and again; effects are counted in this process."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import defaultdict
from pathlib import Path

import pytest

from reactor.tests.crash import child
from reactor.tests.crash.nursery import NURSERY

SOAK = bool(os.environ.get("REACTOR_SOAK"))
KILLS_SQLITE = 45 * (20 if SOAK else 1)
KILLS_POSTGRES = 15 * (20 if SOAK else 1)


class World:
    """What all lives did, as this process saw it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.socket = str(folder / "world")
        self.acknowledged: dict[str, str] = {}
        self.runs: dict[tuple[str, str], set[str]] = defaultdict(set)  # (event, place) → runs that did it
        self.keys: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.begun: dict[str, int] = defaultdict(int)  # key → how often
        self.faults: list[str] = []
        self.waiting: asyncio.Queue[Process] = asyncio.Queue()

    async def open(self) -> None:
        """Listen."""
        self.server = await asyncio.start_unix_server(self._talk, self.socket)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        process = await self.waiting.get()
        process.writer = writer
        while line := (await reader.readline()).decode().split():
            process.heard(line[0])
            if line[0] == "ack":
                if self.acknowledged.setdefault(line[1], line[2]) != line[2]:
                    self.faults.append(f"{line[1]} gave another run than before")
            elif line[0] == "begin":
                _, id, place, key, run = line
                self.runs[id, place].add(run)
                self.keys[id, place].add(key)
                self.begun[key] += 1
        writer.close()

    def judge(self, lives: int) -> list[str]:
        """What is wrong, once all is quiet."""
        found = list(self.faults)
        for id in self.acknowledged:
            for place in child.PLACES:
                if len(self.keys[id, place]) != 1 or len(self.runs[id, place]) != 1:
                    found.append(f"{id}: `{place}` was done under {len(self.keys[id, place])} keys")
            if self.acknowledged[id] not in self.runs[id, "one"]:
                found.append(f"{id} was acknowledged with another run than the one that was carried out")
        found += [f"the key {key} was used {n} times" for key, n in self.begun.items() if n > lives]
        again = sum(n - 1 for n in self.begun.values())
        if again > 3 * 3 * 10 * lives:
            found.append(f"{again} effects were repeated")
        return found


class Process:
    """One life."""

    def __init__(self, world: World, step_s: float = 0.004, plant: str = "") -> None:
        self.world = world
        self.writer: asyncio.StreamWriter
        self._heard: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.process = NURSERY.Process(target=child.main, args=(world.url, world.socket, step_s, plant), daemon=True)

    async def start(self) -> None:
        """Fork it, and wait until it is ready."""
        self.world.waiting.put_nowait(self)
        await asyncio.to_thread(self.process.start)
        await self.until("ready", 30)

    def heard(self, word: str) -> None:
        """It said this."""
        self._heard[word].set()

    async def until(self, word: str, limit_s: float) -> None:
        """Wait until it says this."""
        async with asyncio.timeout(limit_s):
            await self._heard[word].wait()

    def say(self, text: str) -> None:
        """Tell it something."""
        self.writer.write(f"{text}\n".encode())

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    async def end(self, number: signal.Signals | None) -> int | None:
        """Kill it, or let it go; its exit code."""
        if number is not None:
            self.send(number)
        else:
            self.writer.write_eof()
        return await self.gone()

    async def gone(self) -> int | None:
        """Wait until it has ended; its exit code."""
        await asyncio.to_thread(self.process.join, 30)
        return self.process.exitcode


async def killed(url: str, folder: Path, kills: int, *, plant: str = "", quiet_s: float = 90.0) -> list[str]:
    """What is wrong after so many kills under load."""
    world = World(url, folder)
    await world.open()
    chance = random.Random(11)
    sent: list[str] = []
    for life in range(kills):
        process = Process(world, plant=plant)
        await process.start()
        sent += [f"{chance.randrange(8)}-{life}-{i}" for i in range(10)]
        unsure = [id for id in sent if id not in world.acknowledged]
        for id in [*unsure, *chance.sample(sent, 3)]:  # a sender repeats what it is not sure of, and more
            process.say(f"post {id}")
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        await process.end(signal.SIGKILL)
    last = Process(world, plant=plant)
    await last.start()
    for id in sent:
        if id not in world.acknowledged:
            last.say(f"post {id}")
    async with asyncio.timeout(30):
        while len(world.acknowledged) < len(sent):
            await asyncio.sleep(0.02)
    last.say("quiet")
    try:
        await last.until("quiet", quiet_s)
    except TimeoutError:
        world.faults.append(f"runs are open, or the outbox is not empty, after {quiet_s:g} s")
    await last.end(None)
    world.server.close()
    return world.judge(kills + 1)


@pytest.mark.uncovered
@pytest.mark.rule("1.2")
@pytest.mark.rule("2.1")
@pytest.mark.rule("4.1")
@pytest.mark.rule("4.2")
async def test_killed_again_and_again_on_sqlite(tmp_path: Path) -> None:
    assert await killed(f"sqlite:///{tmp_path}/r.db", tmp_path, KILLS_SQLITE) == []


@pytest.mark.uncovered
@pytest.mark.broker("postgres")
@pytest.mark.rule("1.2")
@pytest.mark.rule("4.2")
async def test_killed_again_and_again_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """The last process takes on what all before it left, once their leases have run out."""
    assert await killed(postgres_url, tmp_path, KILLS_POSTGRES) == []


@pytest.mark.uncovered
@pytest.mark.parametrize("plant", ["no dedupe", "no recovery", "attempt in the key", "results forgotten"])
async def test_the_judge_of_kills_finds_a_planted_defect(tmp_path: Path, plant: str) -> None:
    assert await killed(f"sqlite:///{tmp_path}/r.db", tmp_path, 6, plant=plant, quiet_s=2.0) != []


@pytest.mark.uncovered
@pytest.mark.rule("4.6")
async def test_a_process_that_is_frozen_goes_on(tmp_path: Path) -> None:
    world = World(f"sqlite:///{tmp_path}/r.db", tmp_path)
    await world.open()
    process = Process(world)
    await process.start()
    for i in range(60):
        process.say(f"post {i % 8}-{i}")
        if i % 20 == 10:
            process.send(signal.SIGSTOP)
            await asyncio.sleep(0.2)
            process.send(signal.SIGCONT)
    async with asyncio.timeout(30):
        while len(world.acknowledged) < 60:
            await asyncio.sleep(0.02)
    process.say("quiet")
    await process.until("quiet", 30)
    await process.end(None)
    assert world.judge(1) == []


@pytest.mark.uncovered
@pytest.mark.broker("postgres")
@pytest.mark.rule("4.6")
async def test_a_frozen_process_that_was_taken_for_dead_writes_nothing_more(tmp_path: Path, postgres_url: str) -> None:
    world = World(postgres_url, tmp_path)
    await world.open()
    frozen, other = Process(world, step_s=0.1), Process(world, step_s=0.1)
    await frozen.start()
    await other.start()
    for i in range(20):
        frozen.say(f"post {i % 8}-{i}")
    async with asyncio.timeout(10):
        while len(world.begun) < 12:
            await asyncio.sleep(0.01)
    frozen.send(signal.SIGSTOP)
    taken = len(world.begun)
    async with asyncio.timeout(30):
        while len(world.begun) < taken + 10:
            await asyncio.sleep(0.05)
    frozen.send(signal.SIGCONT)
    assert await frozen.gone() == 3, "it was fenced, and ended itself"
    for i in range(20):
        other.say(f"post {i % 8}-{i}")
    async with asyncio.timeout(20):
        while len(world.acknowledged) < 20:
            await asyncio.sleep(0.05)
    other.say("quiet")
    await other.until("quiet", 60)
    await other.end(None)
    world.server.close()
    assert world.judge(2) == []
