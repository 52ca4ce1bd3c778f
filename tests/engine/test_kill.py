"""kill -9 under load, again and again: every acknowledged event is run to its end once, as the world outside saw it."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import defaultdict
from pathlib import Path

import pytest

KILLS = 12


class Life:
    """One process, from its start to its end."""

    def __init__(self, url: str, ledger: Path) -> None:
        self.command = [sys.executable, "-P", "-m", "reactor.tests.engine.kill_child", url, str(ledger)]
        self.acknowledged: dict[str, str] = {}

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert await asyncio.wait_for(self.process.stdout.readline(), 30) == b"ready\n"
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode().split():
            if line[0] == "ack":
                self.acknowledged[line[1]] = line[2]

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    async def end(self, *, kill: bool) -> None:
        if kill:
            self.process.kill()
        await asyncio.wait_for(self.process.wait(), 90)
        await self.reading


@pytest.mark.uncovered
@pytest.mark.rule("1.2")
@pytest.mark.rule("4.1")
@pytest.mark.rule("4.6")
async def test_killed_again_and_again(tmp_path: Path) -> None:
    url, ledger = f"sqlite:///{tmp_path}/r.db", tmp_path / "ledger"
    seen: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode().split():
            seen[line[0], line[1]].append((line[2], line[3]))
        writer.close()

    world = await asyncio.start_unix_server(note, str(ledger))
    chance = random.Random(11)
    acknowledged: dict[str, str] = {}
    sent: list[str] = []
    for kill in range(KILLS):
        life = Life(url, ledger)
        await life.start()
        for i in range(40):
            sent.append(f"{kill}-{i}")
            life.say(sent[-1])
        for id in chance.sample(sent, min(10, len(sent))):
            life.say(id)  # a sender repeats what it is not sure of
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        await life.end(kill=True)
        for id, run in life.acknowledged.items():
            assert acknowledged.setdefault(id, run) == run, "the same event gives the same run for ever"
    last = Life(url, ledger)
    await last.start()
    last.say("quiet")
    await last.end(kill=False)
    world.close()
    assert last.process.returncode == 0
    assert len(acknowledged) > KILLS
    for id, run in acknowledged.items():
        for place in ("one", "two", "three", "four", "five"):
            effects = seen[id, place]
            assert effects, f"{id} was acknowledged and {place} never ran"
            assert len({key for key, _ in effects}) == 1, "a repetition has the same key"
            assert len({r for _, r in effects}) == 1, "one run"
            if place != "five":
                assert effects[0][1] == run
