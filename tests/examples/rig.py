"""The examples' project, copied to a folder of its own, as an App in front of local stand-ins."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reactor.app import App
from reactor.language.loader import load_text
from reactor.tests.examples.stand_ins import StandIns

EXAMPLES = Path(__file__).parents[2] / "examples"


class Examples:
    """`folder`: the project; `app`: open, with every example loaded; `there`: the stand-ins."""

    def __init__(self, folder: Path, app: App, there: StandIns) -> None:
        self.folder = folder
        self.app = app
        self.there = there

    def module(self, name: str) -> ModuleType:
        """A Python file of the project, as its steps see it."""
        return importlib.import_module(name)

    async def run(self, workflow: str, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
        """Start a run, wait for its end, and give it as the API shows it."""
        handle = await self.app.start(workflow, inputs or {})
        await self.app.runs_api.outcome(handle.id)
        return await handle.status()

    async def deploy(self, text: str) -> None:
        """Put a changed example in force."""
        result = load_text(text, "changed.yaml", self.app.vocabulary())
        result.diagnostics.raise_errors()
        await self.app.deploy(*result.loaded)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project; its modules are imported anew from there."""
    copy = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(copy)])
    for file in copy.glob("*.py"):
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
    return copy


@pytest.fixture
async def examples(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Examples]:
    for name, value in {"SLACK_TOKEN": "xoxb-test", "PAGERDUTY_KEY": "R1", "MODEL_KEY": "sk-test"}.items():
        monkeypatch.setenv(f"REACTOR_SECRET_{name}", value)
    async with StandIns() as there:
        url = there.url
        auth = {"slack": "${{ secrets.slack_token }}", "model": "${{ secrets.model_key }}"}
        connections: dict[str, Any] = {
            name: {"http": {"url": f"{url}/{path}", **({"auth": {"bearer": auth[name]}} if name in auth else {})}}
            for name, path in (("slack", "slack"), ("pagerduty", "pagerduty"), ("storage", "s3"), ("model", "model"))
        }
        names = {
            "api": f"{url}/api",
            "processed": f"{url}/processed",
            "storage": f"{url}/s3",
            "review": f"{url}/review",
        }
        app = App(":memory:", project=folder, connections=connections, vars=names, listen=False)
        async with app:
            result = await app.load()
            assert [each.message for each in result.diagnostics.items] == []
            yield Examples(folder, app, there)
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)


def states(run: dict[str, Any]) -> dict[str, str]:
    """Step → state."""
    return {step["name"]: step["state"] for step in run["steps"]}


def ended(run: dict[str, Any]) -> list[str]:
    """The completed steps in the order of their ends; pure steps have no time of their own."""
    done = [step for step in run["steps"] if step["state"] == "completed" and step["ended_at"]]
    return [step["name"] for step in sorted(done, key=lambda step: step["ended_at"])]
