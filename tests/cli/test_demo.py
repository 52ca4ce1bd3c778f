"""`reactor demo`: a first run by itself, what it asks the reader to do, Ctrl-C, and going on in the same folder."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reactor.cli.demo import run_demo
from reactor.cli.demo.narrator import Narrator
from reactor.cli.demo.project_folder import PACKAGED, free_port, prepare
from reactor.core.clock import SYSTEM
from reactor.core.errors import ConfigError
from reactor.core.event import Event
from reactor.language.diagnostics import Diagnostics

CHILD = """
import asyncio, sys
from reactor.cli.demo import run_demo
sys.exit(asyncio.run(run_demo(sys.argv[1] or None, port=0)))
"""
FIRST_RUN_S = 10.0


class Demo:
    """A demo in a process of its own, and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.printed = ""

    @classmethod
    async def start(cls, folder: Path | str) -> Demo:
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", CHILD, str(folder)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        )

    async def until(self, pattern: str, limit_s: float = 20.0) -> re.Match[str]:
        """Read on until the pattern was printed."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                while (found := re.search(pattern, self.printed, re.MULTILINE)) is None:
                    line = await self.process.stdout.readline()
                    assert line, f"ended without {pattern!r}:\n{self.printed}"
                    self.printed += line.decode()
        except TimeoutError:
            raise AssertionError(f"not within {limit_s:g} s: {pattern!r}\n{self.printed}") from None
        return found

    async def stop(self) -> int:
        """Ctrl-C; the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.printed += (await asyncio.wait_for(self.process.stdout.read(), 30)).decode()
        return await asyncio.wait_for(self.process.wait(), 10)


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    started = await Demo.start(tmp_path / "demo")
    yield started
    if started.process.returncode is None:
        started.process.kill()
        await started.process.wait()


async def curl(command: str) -> tuple[int, Any]:
    """Do what a printed curl command does."""
    words = shlex.split(command)
    url, data = next(word for word in words if word.startswith("http")), words[words.index("-d") + 1]
    async with aiohttp.ClientSession() as client:
        async with client.post(url, data=data, headers={"content-type": "application/json"}) as answer:
            return answer.status, await answer.json(content_type=None)


async def emit(url: str, degrees: int) -> None:
    event = {"specversion": "1.0", "type": "com.example.temperature", "source": "/test", "id": f"t{degrees}"}
    body = json.dumps({**event, "data": {"sensor": "boiler", "degrees": degrees}})
    async with aiohttp.ClientSession() as client:
        headers = {"content-type": "application/cloudevents+json"}
        async with client.post(f"{url}/events", data=body, headers=headers) as answer:
            assert answer.status == 202, await answer.text()


@pytest.mark.req("Q-11")
async def test_a_first_run_completes_by_itself_and_everything_it_asks_for_works(demo: Demo, tmp_path: Path) -> None:
    root = tmp_path / "demo"
    url = (await demo.until(r"^Reactor is at work at (http://\S+)$"))[1]
    await demo.until(r"^The first run has completed\.", FIRST_RUN_S)
    await demo.until(r"webhook +was told: name morning\.csv, loaded 4, refused 2, report reports/morning\.csv\.txt$")
    assert (root / "reports/morning.csv.txt").read_text() == (
        "Report on morning.csv\n\nLoaded:  4 orders, 979.40 in all\nRefused: 2\n"
        "  line 5: no customer\n  line 6: the amount is no number: many\n"
    )
    await demo.until(r"heartbeat +beat 3 ")

    copy = (await demo.until(r"^    cp (\S+) (\S+)$")).groups()
    shutil.copy(*copy)
    await demo.until(r"webhook +was told: name evening\.csv, loaded 3, refused 0,")

    commands = re.findall(r"^    (curl .*)$", demo.printed, re.MULTILINE)
    status, answer = await curl(commands[0])
    assert (status, answer) == (200, {"receipt": "R-0001", "left": 18})
    status, answer = await curl(commands[1])
    assert (status, answer["code"], answer["details"]["state"]) == (500, "http.402", "compensated")
    await demo.until(r"take-order +reserve: undone$")

    await emit(url, 93)
    await demo.until(r"too-hot +waits for the all-clear")
    await emit(url, 95)
    await emit(url, 66)
    await demo.until(r"webhook +was told: over boiler, degrees 66$")
    assert demo.printed.count("was told: alarm boiler") == 1

    event = (await demo.until(r"explain (\S+)$"))[1]
    async with aiohttp.ClientSession() as client, client.get(f"{url}/api/v1/events/{event}/explain") as found:
        findings = {f["workflow"]: f["finding"] for f in (await found.json())["findings"]}
    assert findings["import-orders"] == "matched"
    assert await demo.stop() == 0
    assert demo.printed.endswith(f"The folder stays: {root}\n")


async def test_it_goes_on_in_the_same_folder(demo: Demo, tmp_path: Path) -> None:
    await demo.until(r"^The first run has completed\.", FIRST_RUN_S)
    await demo.until(r"heartbeat +beat 2$")
    assert await demo.stop() == 0
    again = await Demo.start(tmp_path / "demo")
    try:
        await again.until(r"^Reactor is at work at ")
        await again.until(r"The first run has completed\.", FIRST_RUN_S)
        assert "beat 1\n" not in again.printed
    finally:
        assert await again.stop() == 0


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(ConfigError) as caught:
        prepare(str(tmp_path), port=1, outside=2)
    assert str(caught.value) == (
        f"the demo cannot use the folder {tmp_path}: it holds letters.txt and is no folder of the demo"
    )
    assert caught.value.hint == "name an empty folder or one that does not exist yet"
    assert [each.name for each in tmp_path.iterdir()] == ["letters.txt"]


def test_a_taken_port_is_no_obstacle() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) not in (0, port)


async def test_the_demo_names_a_folder_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        await run_demo(str(tmp_path / "file" / "below"), port=0)
    assert str(caught.value) == f"the demo cannot write its folder {tmp_path}/file/below: Not a directory"


def test_the_packaged_project_has_neither_errors_nor_warnings() -> None:
    from reactor.app import App
    from reactor.language.loader import load_files

    app = App(":memory:", project=PACKAGED)
    result = load_files(app.project.workflow_files(), app.vocabulary())
    found: Diagnostics = result.diagnostics
    assert [each.message for each in found.items] == []
    assert len(result.loaded) == 5


def test_what_is_worth_no_line_has_none() -> None:
    lines: list[str] = []
    narrator = Narrator(SYSTEM, lines.append)
    data = {"workflow": "heartbeat", "step": "count", "output": {"value": 61}, "duration_ms": 1.0}
    narrator.told(Event(type="reactor.step.completed", source="/workflows/heartbeat", subject="heartbeat", data=data))
    narrator.came(Event(type="reactor.every.fired", source="/every/x", data={}))
    assert lines == []
    data["output"] = {"value": 120}
    narrator.told(Event(type="reactor.step.completed", source="/workflows/heartbeat", subject="heartbeat", data=data))
    assert [line.split("  ", 1)[1] for line in lines] == ["heartbeat      beat 120"]
