"""Every sample in the texts: YAML is loaded and run, Python is executed, commands are parsed."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reactor.app import App
from reactor.cli.main import split
from reactor.cli.parsing import parse
from reactor.cli.verbs import HEADS, UNAVAILABLE, VERBS
from reactor.language.built_in import ACTIONS, KINDS, UNAVAILABLE as MISSING
from reactor.language.loader import load_text
from reactor.tests.docs.samples import ROOT, Sample, commands, samples
from reactor.tests.examples.stand_ins import StandIns

PROJECT = """
connections:
  shop: {sqlite: {path: shop.db}}
  warehouse: {postgres: {url: "postgresql://shop@localhost/warehouse"}}
  broker: {kafka: {servers: ["localhost:9092"]}}
  stream: {nats: {servers: ["nats://localhost:4222"]}}
  mail: {smtp: {host: localhost, from: "shop@example.com"}}
  slack: {http: {url: "https://slack.com/api", auth: {bearer: "${{ secrets.slack_token }}"}}}
triggers:
  orders: {kafka: {connection: broker, topic: orders}}
vars: {pay: "http://localhost:9001", webhook: "http://localhost:9002", maintenance: false}
env: [HOME]
"""
YAML = samples("yaml")
PYTHON = samples("python")
WORKFLOWS = [each for each in YAML if each.kind == "workflow"]
PROJECTS = [each for each in YAML if each.kind == "project"]


def name(sample: Sample) -> str:
    return sample.place


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has what the samples name."""
    (tmp_path / "reactor.yaml").write_text(PROJECT)
    shutil.copy(ROOT / "examples" / "samples.py", tmp_path)
    for each in ("inbox", "reports", "workflows"):
        (tmp_path / each).mkdir()
    (tmp_path / "inbox" / "people.csv").write_text("name,age\nAda,36\n")
    for each in ("http.yaml", "full_sentence.yaml"):
        shutil.copy(ROOT / "examples" / "first" / each, tmp_path / "workflows")
    monkeypatch.setenv("REACTOR_SECRET_SLACK_TOKEN", "x")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "samples", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
async def app(folder: Path) -> AsyncIterator[App]:
    async with StandIns() as there:
        names = dict.fromkeys(("pay", "webhook"), f"{there.url}/any")
        async with App(":memory:", project=folder, vars=names, listen=False) as app:
            yield app


@pytest.mark.req("H-6")
@pytest.mark.parametrize("sample", WORKFLOWS, ids=name)
async def test_a_workflow_is_loaded_and_run(sample: Sample, app: App) -> None:
    result = load_text(sample.workflow, sample.place, app.vocabulary())
    assert [each.message for each in result.diagnostics.items] == []
    assert sample.what, f"{sample.place}: say above it how it is run, or why it is only loaded"
    if sample.what == "load":
        assert sample.how, f"{sample.place}: why is it only loaded?"
        return
    await app.deploy(*result.loaded)
    case = sample.case
    if "event" in case:
        receipt = await app.emit(case["event"]["type"], case["event"].get("data"))
        runs = list(receipt.runs)
        assert len(runs) == case.get("runs", 1), receipt
    else:
        runs = [(await app.start(result.loaded[0].definition.workflow, case.get("inputs", {}))).id]
    for run in runs:
        if "then" in case:
            await app.emit(case["then"]["type"], case["then"].get("data"))
        await asyncio.wait_for(app.runs_api.outcome(run), 20)
        found = await app.get(run)
        assert found["state"] == case.get("state", "completed"), found["error"]
        if "outputs" in case:
            assert found["outputs"] == case["outputs"]


@pytest.mark.parametrize("sample", PROJECTS, ids=name)
def test_a_project_is_loaded(sample: Sample, folder: Path) -> None:
    (folder / "reactor.yaml").write_text(sample.text)
    assert App(":memory:", project=folder).project.root == str(folder)


@pytest.mark.parametrize("sample", PYTHON, ids=name)
async def test_python_is_executed(sample: Sample, folder: Path) -> None:
    if sample.what == "load":
        compile(sample.text, sample.place, "exec")
        assert sample.how, f"{sample.place}: why is it only compiled?"
        return
    printed = io.StringIO()
    code = compile(sample.text, sample.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    scope: dict[str, Any] = {"__name__": "sample"}
    with contextlib.redirect_stdout(printed):
        done = eval(code, scope)
        if inspect.iscoroutine(done):
            await asyncio.wait_for(done, 30)
    for test in [value for key, value in scope.items() if key.startswith("test_")]:
        found = test()
        if inspect.iscoroutine(found):
            await found
    expected = re.findall(r"^ *# prints: (.*)$", sample.text, re.MULTILINE)
    assert printed.getvalue().splitlines() == expected


@pytest.mark.parametrize("sample", samples("json"), ids=name)
def test_json_is_json(sample: Sample) -> None:
    json.loads(sample.text)


@pytest.mark.parametrize(
    ("place", "words"), [pytest.param(*each, id=f"{each[0]} {' '.join(each[1])}") for each in commands()]
)
def test_a_command_is_one(place: str, words: list[str]) -> None:
    named, ahead, after = split(words)
    verb = " ".join(named)
    assert verb not in UNAVAILABLE, f"{place}: `reactor {verb}` is not there yet"
    if not named or (verb in HEADS and not after) or after == ["--help"]:
        assert set(ahead) <= {"--help", "--version"}
        return
    assert verb in VERBS, f"{place}: there is no `reactor {verb}`"
    if len(words) > len(named):
        parse(VERBS[verb], ahead, after)


def test_there_are_samples_of_every_sort() -> None:
    assert len(WORKFLOWS) > 10
    assert len(PYTHON) > 3
    assert len(commands()) > 30


@pytest.mark.req("H-8")
def test_every_verb_kind_and_action_has_its_example() -> None:
    told = {" ".join(split(words)[0]) for place, words in commands() if place.startswith("docs/cli.md")}
    assert set(VERBS) - told == set()
    actions = (ROOT / "docs" / "actions.md").read_text()
    triggers = (ROOT / "docs" / "triggers.md").read_text()
    assert [each.name for each in ACTIONS if not re.search(rf"^## .*\b{each.name}\b", actions, re.MULTILINE)] == []
    assert [each.name for each in KINDS if not re.search(rf"^## .*\b{each.name}\b", triggers, re.MULTILINE)] == []


@pytest.mark.req("H-8")
def test_every_option_is_used_in_an_example() -> None:
    used = {
        (" ".join(split(words)[0]), word.partition("=")[0].lstrip("-")) for _, words in commands() for word in words
    }
    missing = [
        f"{verb.name} --{option.name}"
        for verb in VERBS.values()
        for option in verb.options
        if not {(verb.name, option.name), (verb.name, option.short or option.name)} & used
    ]
    assert missing == [], missing


@pytest.mark.req("H-7")
def test_the_workflow_system_has_its_six_sections() -> None:
    text = (ROOT / "docs" / "workflow-system.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "1. Features",
        "2. Commands",
        "3. How a workflow is written",
        "4. Actions",
        "5. Events",
        "6. Best practices",
    ]


@pytest.mark.req("EX-22")
def test_the_first_examples_are_the_files() -> None:
    shown = [each.text for each in WORKFLOWS if each.place.startswith("README.md")]
    files = ("file_drop", "schedule", "http", "full_sentence")
    assert shown[:4] == [(ROOT / "examples" / "first" / f"{file}.yaml").read_text() for file in files]


def test_the_readme_says_what_is_there_and_what_is_not() -> None:
    text = (ROOT / "README.md").read_text().partition("## What is there")[2].partition("## Read on")[0]
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    works = {word for row in rows for word in re.findall(r"[\w-]+", row[1])}
    refused = {word for row in rows for word in re.findall(r"[\w-]+", row[2])}
    assert {each.name for each in (*ACTIONS, *KINDS)} - works == set()
    named = {word.partition(".")[0] for kind in ("action", "kind", "block", "limit", "bus") for word in MISSING[kind]}
    streams = {"redis_pubsub", "redis_stream", "redis_list"}
    assert (named - streams) - refused == set()
    assert set(MISSING["key"]) - {"otlp", "grpc", "debounce", "batch", "dedupe"} - refused == set()
