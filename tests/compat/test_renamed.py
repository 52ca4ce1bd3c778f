"""A key that was renamed works under its old name for two minor releases, with a warning that tells the new one."""

import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

import reactor
from reactor import language
from reactor.connections.configs import NatsConfig
from reactor.connections.fields import Keys
from reactor.connections.words import connection_words
from reactor.core.errors import StepError
from reactor.engine.actions.catalogue import Catalogue
from reactor.engine.actions.http import HttpInput
from reactor.engine.actions.log import LogInput
from reactor.engine.actions.words import action_words
from reactor.language import loader_steps, loader_triggers, loader_when, loader_workflow, project_keys
from reactor.language.built_in import BUILT_IN
from reactor.language.loader import load_text
from reactor.language.project import load_project
from reactor.language.renamed import Renamed
from reactor.language.schema import workflow_schema
from reactor.language.table import Table
from reactor.tests.language.words import WORDS
from reactor.triggers.catalogue import Kinds
from reactor.triggers.file import FileConfig, Ready
from reactor.triggers.words import kind_words

pytestmark = pytest.mark.req("P-20")

OLD = """
workflow: ship
labels_of_run: {order: "${{ inputs.id }}"}
inputs: {id: string}
when:
  - {event: paid, only_if: event.data.total > 5, with: {id: "${{ event.data.id }}"}}
  - {kafka: {topic: orders, connection: broker}, in_flight: 7, with: {id: "${{ event.id }}"}}
steps:
  charge: {log: {message: a}, once_only: true}
  ship: {after: [charge], log: {message: b}}
"""
NEW = (
    OLD.replace("labels_of_run", "labels")
    .replace("only_if", "if")
    .replace("in_flight", "max_in_flight")
    .replace("once_only", "at_most_once")
    .replace("after", "needs")
)


@pytest.fixture(autouse=True)
def _renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if some keys had other names until version 0.2."""
    for table, old, new in (
        (loader_workflow.WORKFLOW, "labels_of_run", "labels"),
        (loader_when.ENTRY, "only_if", "if"),
        (loader_triggers.COMMON, "in_flight", "max_in_flight"),
        (loader_steps.STEP, "once_only", "at_most_once"),
        (loader_steps.STEP, "after", "needs"),
        (project_keys.SERVER, "bind", "host"),
    ):
        monkeypatch.setitem(table.renamed, old, Renamed(new, "0.2"))


def test_the_definition_is_the_same_and_each_old_name_is_told() -> None:
    old, new = load_text(OLD, "ship.yaml", WORDS), load_text(NEW, "ship.yaml", WORDS)
    assert new.diagnostics.items == []
    assert old.definitions == new.definitions != []
    assert [each.severity for each in old.diagnostics.sorted()] == ["warning"] * 5
    assert [each.code for each in old.diagnostics.sorted()] == ["deprecated"] * 5
    assert old.diagnostics.sorted()[3].render() == (
        "warning: `once_only` is called `at_most_once` since version 0.2\n"
        "  --> ship.yaml:9:31 (steps.charge.once_only)\n"
        " 9 |   charge: {log: {message: a}, once_only: true}\n"
        "   |                               ^^^^^^^^^\n"
        "  = found: once_only\n"
        "  = help: write `at_most_once`; the old name is taken up to version 0.3"
    )


def test_what_is_wrong_below_an_old_name_is_shown_where_it_stands() -> None:
    text = OLD.replace("[charge]", "[chrge]").replace("total > 5", "total >").replace("inputs.id", "inputs.no")
    errors = [(str(each.place), each.message) for each in load_text(text, "ship.yaml", WORDS).diagnostics.errors]
    assert errors == [
        ("ship.yaml:3:36", "the workflow has no input `no`"),
        ("ship.yaml:6:46", "the expression ends too early"),
        ("ship.yaml:10:18", "there is no step `chrge`"),
    ]


def test_both_names_at_once_are_an_error() -> None:
    text = OLD.replace("once_only: true", "once_only: true, at_most_once: false")
    (error,) = load_text(text, "ship.yaml", WORDS).diagnostics.errors
    assert (error.code, error.message, error.hint) == (
        "two_names",
        "`once_only` is the old name of `at_most_once`, and both are given",
        "remove `once_only`",
    )


def test_a_key_of_the_project_too(tmp_path: Path) -> None:
    path = tmp_path / "reactor.yaml"
    path.write_text("server: {bind: 0.0.0.0}\n")
    project, diagnostics = load_project(tmp_path, WORDS, {})
    assert project is not None
    assert project.server.host == "0.0.0.0"
    assert [each.message for each in diagnostics.sorted()] == ["`bind` is called `host` since version 0.2"]


def test_editors_are_told_that_the_old_name_is_deprecated() -> None:
    keys = workflow_schema(WORDS)["properties"]
    assert keys["labels_of_run"]["deprecated"] is True
    assert keys["labels_of_run"]["description"] == "now `labels`"
    assert "deprecated" not in keys["labels"]


# -- keys of actions, trigger kinds and connections

OLD_KEYS = """
workflow: ship
inputs: {n: string}
when:
  - file: {folder: inbox, complete: {quiet_for: 2s}}
    with: {n: "${{ event.subject }}"}
steps:
  - name: told
    log: {line: "${{ inputs.n }}"}
    compensate: {uses: log, with: {line: undone}}
  - {name: fetched, uses: http, with: {url: "http://x", verb: POST}}
"""
NEW_KEYS = (
    OLD_KEYS.replace("folder", "path")
    .replace("complete", "ready")
    .replace("quiet_for", "stable")
    .replace("line", "message")
    .replace("verb", "method")
)
MODELS: tuple[tuple[type[Keys], str, str], ...] = (
    (FileConfig, "folder", "path"),
    (FileConfig, "complete", "ready"),
    (Ready, "quiet_for", "stable"),
    (LogInput, "line", "message"),
    (HttpInput, "verb", "method"),
    (NatsConfig, "hosts", "servers"),
)
REAL = replace(
    BUILT_IN, actions=action_words(Catalogue()), kinds=kind_words(Kinds()), connection_kinds=connection_words()
)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    models = dict.fromkeys(model for model, _, _ in MODELS)
    for model in models:
        monkeypatch.setattr(model, "renamed", {old: Renamed(new, "0.2") for each, old, new in MODELS if each is model})
    build(models)
    yield
    monkeypatch.undo()
    build(models)


def build(models: Iterable[type[Keys]]) -> None:
    """The inner ones first."""
    for model in sorted(models, key=lambda each: each is not Ready):
        model.model_rebuild(force=True)


@pytest.mark.usefixtures("planted")
def test_keys_of_actions_and_triggers_have_old_names_too() -> None:
    old, new = load_text(OLD_KEYS, "ship.yaml", REAL), load_text(NEW_KEYS, "ship.yaml", REAL)
    assert new.diagnostics.items == []
    assert old.definitions == new.definitions != []
    assert [(each.severity, each.code) for each in old.diagnostics.items] == [("warning", "deprecated")] * 6
    assert [(str(each.place), each.message) for each in old.diagnostics.sorted()] == [
        ("ship.yaml:5:12", "`folder` is called `path` since version 0.2"),
        ("ship.yaml:5:27", "`complete` is called `ready` since version 0.2"),
        ("ship.yaml:5:38", "`quiet_for` is called `stable` since version 0.2"),
        ("ship.yaml:9:11", "`line` is called `message` since version 0.2"),
        ("ship.yaml:10:36", "`line` is called `message` since version 0.2"),
        ("ship.yaml:11:57", "`verb` is called `method` since version 0.2"),
    ]


@pytest.mark.usefixtures("planted")
def test_what_is_wrong_below_an_old_key_of_a_trigger_is_shown_where_it_stands() -> None:
    text = OLD_KEYS.replace("2s", "2").replace("inputs.n }}", "inputs.no }}").replace("verb: POST", "verb: [POST]")
    errors = [(str(each.place), each.message) for each in load_text(text, "ship.yaml", REAL).diagnostics.errors]
    assert errors == [
        ("ship.yaml:5:49", "the duration '2' has no unit; write 2s for seconds or 2ms for milliseconds"),
        ("ship.yaml:9:29", "the workflow has no input `no`"),
        ("ship.yaml:11:63", '`method`: expected text; found ["POST"]'),
    ]
    both = OLD_KEYS.replace("quiet_for: 2s", "quiet_for: 2s, stable: 1s")
    (error,) = load_text(both, "ship.yaml", REAL).diagnostics.errors
    assert (error.code, error.message, error.hint) == (
        "two_names",
        "`quiet_for` is the old name of `stable`, and both are given",
        "remove `quiet_for`",
    )


@pytest.mark.usefixtures("planted")
def test_a_connection_too(tmp_path: Path) -> None:
    (tmp_path / "reactor.yaml").write_text("connections: {main: {nats: {hosts: ['nats://a:4222']}}}\n")
    project, diagnostics = load_project(tmp_path, REAL, {})
    assert project is not None
    assert project.connections["main"].config == {"servers": ["nats://a:4222"]}
    (told,) = diagnostics.sorted()
    assert told.render() == (
        "warning: `hosts` is called `servers` since version 0.2\n"
        f"  --> {tmp_path}/reactor.yaml:1:29 (connections.main.nats.hosts)\n"
        " 1 | connections: {main: {nats: {hosts: ['nats://a:4222']}}}\n"
        "   |                             ^^^^^\n"
        "  = found: hosts\n"
        "  = help: write `servers`; the old name is taken up to version 0.3"
    )


@pytest.mark.usefixtures("planted")
def test_what_was_stored_under_old_names_is_taken() -> None:
    assert Kinds().config("file", {"folder": "inbox", "complete": {"quiet_for": "2s"}}) == FileConfig(
        path="inbox", ready=Ready.model_validate({"stable": "2s"})
    )
    assert Catalogue().inputs("log", {"line": "a"}) == LogInput(message="a")
    with pytest.raises(StepError) as caught:
        Catalogue().inputs("log", {"line": "a", "message": "b"})
    assert str(caught.value) == "log: `line` is the old name of `message`, and both are given"


@pytest.mark.usefixtures("planted")
def test_editors_are_told_of_old_keys_of_actions_too() -> None:
    schema = Catalogue().schema("log")["with"]
    assert schema["properties"]["line"] == {
        **schema["properties"]["message"],
        "deprecated": True,
        "description": "now `message`",
    }
    assert "message" not in schema["required"]


def tables() -> Iterator[tuple[str, Table]]:
    for found in pkgutil.iter_modules(language.__path__):
        module = import_module(f"{language.__name__}.{found.name}")
        yield from ((f"{found.name}.{name}", each) for name, each in vars(module).items() if isinstance(each, Table))


def models() -> list[type[Keys]]:
    """Every model of keys of ours."""
    for name in REAL.actions:
        Catalogue().schema(name)
    for name in REAL.kinds:
        Kinds().model(name)
    found = [Keys]
    for each in found:  # grows as it goes
        found += [one for one in each.__subclasses__() if one.__module__.startswith("reactor.")]
    return found


def too_old(version: str) -> list[str]:
    """The old names that a version must not take any more."""
    here = tuple(int(part) for part in version.split(".")[:2])
    return sorted(
        {
            old
            for each in (*(table for _, table in tables()), *models())
            for old, now in each.renamed.items()
            if tuple(int(part) for part in now.until.split(".")) < here
        }
    )


def test_an_old_name_is_taken_for_two_minor_releases_and_no_longer() -> None:
    assert too_old(reactor.__version__) == []
    assert too_old("0.3.7") == []
    assert too_old("0.4.0") == ["after", "bind", "in_flight", "labels_of_run", "once_only", "only_if"]
    for _, table in tables():
        assert {now.name for now in table.renamed.values()} <= set(table.keys)
        assert table.renamed.keys().isdisjoint(table.keys)
    for model in models():
        keys = {field.alias or name for name, field in model.model_fields.items()}
        assert {now.name for now in model.renamed.values()} <= keys
        assert model.renamed.keys().isdisjoint(keys)


@pytest.mark.usefixtures("planted")
def test_an_old_key_of_an_action_is_too_old_at_the_same_time() -> None:
    assert {old for _, old, _ in MODELS}.isdisjoint(too_old("0.3.7"))
    assert {old for _, old, _ in MODELS} <= set(too_old("0.4.0"))
