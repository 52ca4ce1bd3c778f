"""kill -9 in the middle, with the real store: files and schedules lose nothing and start nothing twice."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from reactor.app import App
from reactor.core.durations import parse_instant
from reactor.core.event import decode_stored

WORKFLOW = """
workflow: watch
when:
  - every: 1s
  - file: {path: inbox, glob: "*.csv", ready: {stable: 50ms}}
steps:
  - log: {message: hello}
"""


async def spawn(folder: Path) -> asyncio.subprocess.Process:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "reactor.tests.triggers.consumer", str(folder),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert child.stdout is not None
    async with asyncio.timeout(30):
        line = await child.stdout.readline()
        assert line == b"ready\n", line + await child.stdout.read()
    return child


@pytest.mark.slow
@pytest.mark.uncovered
@pytest.mark.req("T-GEN-3")
@pytest.mark.req("T-FILE-2")
async def test_kill_and_restart(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "watch.yaml").write_text(WORKFLOW)
    store = f"sqlite:///{tmp_path}/reactor.db"
    (tmp_path / "reactor.yaml").write_text(f'store: {store}\nworkflows: ["workflows/*.yaml"]\n')
    dropped: set[str] = set()

    def drop(name: str) -> None:
        dropped.add(name)
        (tmp_path / "inbox" / name).write_text("x")

    for round in range(3):
        child = await spawn(tmp_path)
        for number in range(10):
            drop(f"{round}-{number}.csv")
            await asyncio.sleep(0.02 * (round + 1))  # some are accepted, some are not, when it dies
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        drop(f"{round}-down.csv")

    async with App(project=tmp_path) as app:
        await app.load()
        async with asyncio.timeout(20):
            while True:
                rows = await app.store.events(limit=500)
                events = [decode_stored(row.body) for row in rows]
                files = [event for event in events if event.type == "reactor.file.created"]
                if len(files) >= len(dropped):
                    break
                await asyncio.sleep(0.05)
        assert sorted(str(event.subject) for event in files) == sorted(dropped), "each once"
        ticks = [event.id for event in events if event.type == "reactor.every.fired"]
        assert ticks
        assert len(ticks) == len(set(ticks))
        due = [parse_instant(id.split("@")[1]) for id in ticks]
        assert all(instant % 1 == 0 for instant in due)
