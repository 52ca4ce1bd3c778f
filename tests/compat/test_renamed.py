"""A key that was renamed works under its old name for two minor releases, with a warning that tells the new one."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import reactor
from reactor import language
from reactor.language import loader_steps, loader_triggers, loader_when, loader_workflow, project_keys
from reactor.language.loader import load_text
from reactor.language.project import load_project
from reactor.language.schema import workflow_schema
from reactor.language.table import Renamed, Table
from reactor.tests.language.words import WORDS

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


def tables() -> Iterator[tuple[str, Table]]:
    for found in pkgutil.iter_modules(language.__path__):
        module = import_module(f"{language.__name__}.{found.name}")
        yield from ((f"{found.name}.{name}", each) for name, each in vars(module).items() if isinstance(each, Table))


def too_old(version: str) -> list[str]:
    """The old names that a version must not take any more."""
    here = tuple(int(part) for part in version.split(".")[:2])
    return sorted(
        {
            old
            for _, table in tables()
            for old, now in table.renamed.items()
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
