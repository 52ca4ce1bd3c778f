"""The worked example: installed as a user would, its own tests, its guarantee, and a workflow that it starts."""

import asyncio
import importlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from reactor.app import App
from reactor.plugins.checking import check_plugin
from reactor.plugins.found import discover

pytestmark = [pytest.mark.slow, pytest.mark.req("T-PLUG-1")]

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugins" / "sse"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sse")
    source = folder / "source"
    subprocess.run(["cp", "-r", str(EXAMPLE), str(source)], check=True)  # a build leaves things beside the sources
    pip = [sys.executable, "-P", "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "-t", str(folder / "site"), str(source)], check=True)
    return folder / "site"


@pytest.fixture
def site(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(installed))
    return installed


def test_its_own_tests_pass(installed: Path) -> None:
    path = os.pathsep.join([str(installed), *(each for each in sys.path if each)])
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=EXAMPLE, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b\d\d passed", done.stdout)
    assert "skipped" not in done.stdout


async def test_it_earns_effectively_once(site: Path) -> None:
    (checked,) = await check_plugin("sse", discover([str(site)]))
    assert {test.name: test.outcome for test in checked.tests if test.outcome != "passed"} == {}
    assert (checked.problem, checked.declared, checked.earned) == ("", "effectively_once", "effectively_once")


class Deployment:
    """A project with the README's workflow, pointed to a local server; opened more than once."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        sample = re.search(r"^```yaml\n(.*?)^```", (EXAMPLE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        assert sample is not None
        text = sample[1].replace("https://example.com/prices", url)
        assert url in text
        (folder / "workflows").mkdir()
        (folder / "reactor.yaml").write_text("vars: {}\n")
        (folder / "workflows" / "prices.yaml").write_text(text)

    def app(self) -> App:
        return App(f"sqlite:///{self.folder}/reactor.db", project=self.folder)


async def completed(app: App, runs: int) -> Counter[Any]:
    """The data of the events whose runs are completed, once there are so many."""
    async with asyncio.timeout(20):
        while len(found := (await app.runs(workflow="watch-prices", state="completed"))["items"]) < runs:
            await asyncio.sleep(0.01)
    return Counter([(await app.get(run["id"]))["state"] for run in found])


async def test_a_workflow_is_started_by_every_message_once(site: Path, tmp_path: Path) -> None:
    server_class = importlib.import_module("reactor_sse.suite").SseServer
    async with server_class() as server:
        deployment = Deployment(tmp_path, server.url)
        async with deployment.app() as app:
            result = await app.load()
            assert not result.failed, result.diagnostics.items
            for number in range(5):
                await server.send(f'{{"price": {number}}}', event="price")
            assert await completed(app, 5) == {"completed": 5}
            server.cut()
            await server.send('{"price": 5}', event="price")
            assert await completed(app, 6) == {"completed": 6}
            (status,) = app.supervisor.status()
            assert (status.kind, status.state, status.guarantee) == ("sse", "connected", "effectively_once")
            assert status.reconnects >= 1
        await server.send('{"price": 6}', event="price")
        async with deployment.app() as app:
            await app.load()
            assert await completed(app, 7) == {"completed": 7}
        assert server.asked[0] is None
        assert (server.asked[1], server.asked[-1]) == ("5", "6")
        async with deployment.app() as app:
            assert len((await app.runs(workflow="watch-prices"))["items"]) == 7
