"""Plugins in an application: a definition names them, and one that is broken harms nobody but its own trigger."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from reactor.app import App
from reactor.tests.plugins.pack import ACTION, SOURCE, install
from reactor.tests.waiting import until

FLOW = "workflow: {name}\nwhen: [{{{kind}: {{}}}}]\nsteps: [{{name: say, log: {{message: hello}}}}]\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield tmp_path / "site"
    for name in set(sys.modules) - before:
        if name.startswith("lab_"):
            del sys.modules[name]


@asynccontextmanager
async def running(folder: Path, **flows: str) -> AsyncIterator[App]:
    (folder / "workflows").mkdir()
    (folder / "reactor.yaml").write_text("vars: {}\n")
    for name, text in flows.items():
        (folder / "workflows" / f"{name}.yaml").write_text(text)
    async with App(":memory:", project=folder) as app:
        await app.load()
        yield app


async def ended(app: App, workflow: str) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            for run in (await app.runs(workflow=workflow))["items"]:
                if run["state"] not in ("running", "queued", "waiting"):
                    return await app.get(run["id"])
            await asyncio.sleep(0.01)


def states(app: App) -> dict[str, str]:
    return {status.kind: status.state for status in app.supervisor.status()}


@pytest.mark.req("T-PLUG-1")
async def test_a_kind_and_an_action_of_a_plugin_are_used(tmp_path: Path, site: Path) -> None:
    points = {"reactor.triggers": {"tick": "lab_src:Ticker"}, "reactor.actions": {"shout": "lab_act:Shout"}}
    install(site, "lab", points, {"lab_src": SOURCE, "lab_act": ACTION, "lab_idle": "1 / 0"})
    install(site, "idle", {"reactor.triggers": {"idle": "lab_idle:Ticker"}})
    flow = (
        "workflow: loud\nwhen: [{tick: {times: 1}}]\n"
        'outputs: {a: "${{ steps.a.output }}", b: "${{ steps.b.output }}"}\n'
        "steps:\n  - {name: a, shout: {text: one}}\n  - {name: b, uses: lab.shout, with: {text: two}}\n"
    )
    async with running(tmp_path, loud=flow) as app:
        run = await ended(app, "loud")
        assert (run["state"], run["outputs"]) == ("completed", {"a": "ONE", "b": "TWO"})
        assert "lab_idle" not in sys.modules, "what no definition names is not imported"
        listed = {each.name: each.state for each in app.plugins.list()}
        assert listed == {"tick": "loaded", "shout": "loaded", "idle": "found"}


async def test_the_keys_of_a_plugin_are_checked_at_load(tmp_path: Path, site: Path) -> None:
    points = {"reactor.triggers": {"tick": "lab_src:Ticker"}, "reactor.actions": {"shout": "lab_act:Shout"}}
    install(site, "lab", points, {"lab_src": SOURCE, "lab_act": ACTION})
    flow = "workflow: w\nwhen: [{lab.tick: {time: 1}}]\nsteps: [{shout: {txt: one}}]\n"
    (tmp_path / "reactor.yaml").write_text("workflows: [w.yaml]\n")
    (tmp_path / "w.yaml").write_text(flow)
    async with App(":memory:", project=tmp_path) as app:
        result = await app.load()
    assert sorted(each.message for each in result.diagnostics.items) == [
        "`text` is required and missing",
        "unknown key `time`",
        "unknown key `txt`; did you mean text?",
    ]


@pytest.mark.req("T-PLUG-3")
async def test_broken_plugins_are_named_in_their_triggers_and_others_run(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(sys, "lab_gate", gate, raising=False)
    kinds = {
        "tick": SOURCE,
        "boom": "1 / 0",
        "exit": "import os\nos._exit(3)",
        "slow": f"import sys\nsys.lab_gate.wait()\n{SOURCE}",
        "crash": SOURCE.replace("async def connect(self): pass", "async def connect(self): 1 / 0"),
    }
    points = {"reactor.triggers": {name: f"lab_{name}:Ticker" for name in kinds}}
    install(site, "lab", points, {f"lab_{name}": text for name, text in kinds.items()})
    async with running(tmp_path, **{name: FLOW.format(name=name, kind=name) for name in kinds}) as app:
        assert (await ended(app, "tick"))["state"] == "completed"
        await until(lambda: states(app)["crash"] == "down")
        assert states(app) == {"tick": "finished", "boom": "failed", "exit": "failed", "slow": "down", "crash": "down"}
        errors = {status.kind: status.error for status in app.supervisor.status() if status.error is not None}
        whose, ends = "the trigger kind {} of plugin lab 1.0", "it ends the process that imports it"
        assert {kind: (error.code, error.message) for kind, error in errors.items()} == {
            "boom": (
                "config",
                f"{whose.format('boom')} cannot be imported from lab_boom: ZeroDivisionError: division by zero",
            ),
            "exit": (
                "config",
                f"{whose.format('exit')} cannot be imported from lab_exit: {ends}, with exit code 3",
            ),
            "slow": ("plugin_slow", f"{whose.format('slow')} is still being imported: lab_slow takes over 2 s"),
            "crash": ("plugin_crashed", "the trigger kind crash crashed: ZeroDivisionError: division by zero"),
        }
        assert {each.name: each.state for each in app.plugins.list()} == {
            "tick": "loaded",
            "boom": "failed",
            "exit": "failed",
            "slow": "importing",
            "crash": "loaded",
        }
        gate.set()
        assert (await ended(app, "slow"))["state"] == "completed", "what hung goes on once it can"


@pytest.mark.req("T-PLUG-3")
async def test_a_step_of_a_broken_plugin_fails_with_its_name(tmp_path: Path, site: Path) -> None:
    install(site, "lab", {"reactor.actions": {"shout": "lab_act:Shout"}}, {"lab_act": "import nothere"})
    flow = "workflow: w\nsteps: [{name: a, shout: {text: one}}]\n"
    async with running(tmp_path, w=flow) as app:
        await app.start("w")
        run = await ended(app, "w")
        assert (run["state"], run["error"]["code"]) == ("failed", "config")
        assert run["error"]["message"] == (
            "the action shout of plugin lab 1.0 cannot be imported from lab_act: "
            "ModuleNotFoundError: No module named 'nothere'"
        )


@pytest.mark.req("T-PLUG-3")
async def test_a_step_of_a_plugin_that_is_slow_to_import_says_so_and_is_repeated_by_its_policy(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(sys, "lab_gate", gate, raising=False)
    code = f"import sys\nsys.lab_gate.wait()\n{ACTION}"
    install(site, "lab", {"reactor.actions": {"shout": "lab_late:Shout"}}, {"lab_late": code})
    step = "workflow: {}\nsteps: [{{name: a, shout: {{text: one}}{}}}]\n"
    again = ", retry: {attempts: 100, backoff: fixed, delay: 20ms}"
    async with running(tmp_path, once=step.format("once", ""), again=step.format("again", again)) as app:
        run = await app.start("again")
        await app.start("once")
        error = (await ended(app, "once"))["error"]
        assert (error["code"], error["class"], error["step"], error["message"], error["hint"]) == (
            "plugin_slow",
            "retry",
            "a",
            "the action shout of plugin lab 1.0 is still being imported: lab_late takes over 2 s",
            "see what it does when it is imported: it must not wait for anything there",
        )
        gate.set()
        assert await run.result(timeout=15) == {"a": "ONE"}


async def test_a_block_of_a_plugin_is_unavailable(tmp_path: Path, site: Path) -> None:
    install(site, "lab", {"reactor.blocks": {"saga": "lab_b:saga"}})
    (tmp_path / "reactor.yaml").write_text("workflows: [w.yaml]\n")
    (tmp_path / "w.yaml").write_text("workflow: w\nsteps: [{saga: {}}]\n")
    async with App(":memory:", project=tmp_path) as app:
        result = await app.load()
    (refusal,) = result.diagnostics.items
    assert (refusal.code, refusal.hint) == ("unavailable", "write the steps that it stands for")
