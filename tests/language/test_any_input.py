"""Whatever stands in a file, it is loaded or told what is wrong, with its place; nothing else is raised."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from reactor.language.built_in import BUILT_IN
from reactor.language.documents import load_document
from reactor.language.export import dump_yaml
from reactor.language.json_schema import compile_schema
from reactor.language.loader import load_text
from reactor.language.project import load_project
from reactor.language.schema import published_schema
from reactor.tests.language.test_export import VALUES
from reactor.tests.language.test_loader import WHOLE as WORKFLOW
from reactor.tests.language.test_project import WHOLE as PROJECT
from reactor.tests.language.words import WORDS

BLOCKS = """
workflow: a
inputs: {n: integer}
when: [{event: a, with: {n: 1}}]
steps:
  - name: halves
    parallel: {branches: {a: [{log: {message: x}}], b: {c: {wait: {event: {type: y, if: event.id == run.id}}}}}}
  - try:
      steps: [{fail: {message: x}}]
      catch: [{log: {message: "${{ error.code }}"}}]
      finally: [{uses: log, with: {message: z}}]
    on_error: {"*": continue}
  - name: both
    needs: [halves]
    group: {steps: [{run-workflow: {workflow: b@^1}, compensate: {uses: log, with: {message: u}}}]}
"""
CHECK = compile_schema(published_schema(WORDS))


def data(text: str) -> Any:
    document = load_document(text)
    assert document is not None
    return document.value


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any, rename: str | None) -> Any:
    """A copy with another value at the path, or another key there."""
    copy = json.loads(json.dumps(value))
    at = copy
    for part in path[:-1]:
        at = at[part]
    if rename is not None and isinstance(at, dict):
        at[rename] = at.pop(path[-1])
    else:
        at[path[-1]] = new
    return copy


WORKFLOWS = [data(WORKFLOW), data(BLOCKS)]
NEW = VALUES | st.sampled_from(
    [*WORKFLOWS[1]["steps"], {"log": {}}, ["a"], "all", "${{ steps.a.output }}", "event.data.x"]
)
KEY = st.none() | st.sampled_from(
    ["steps", "log", "http", "if", "retry", "group", "parallel", "cache", "x", "trigger", "event", "with"]
)


@pytest.mark.req("V-8")
@given(st.sampled_from(WORKFLOWS).flatmap(lambda w: st.tuples(st.just(w), st.sampled_from(places(w)[1:]), NEW, KEY)))
def test_a_workflow(change: tuple[Any, tuple[Any, ...], Any, str | None]) -> None:
    value = changed(*change)
    result = load_text(dump_yaml(value), "a.yaml", WORDS)
    for diagnostic in result.diagnostics.sorted():
        assert diagnostic.place.line > 0
    assert bool(result.loaded) == (not result.diagnostics)
    if result.loaded:
        assert not CHECK.faults(value)


@pytest.mark.req("V-8")
@given(st.data())
def test_a_project(tmp_path_factory: pytest.TempPathFactory, choose: st.DataObject) -> None:
    whole = data(PROJECT)
    value = changed(whole, choose.draw(st.sampled_from(places(whole)[1:])), choose.draw(NEW), choose.draw(KEY))
    folder = Path(tmp_path_factory.mktemp("p"))
    (folder / "reactor.yaml").write_text(dump_yaml(value))
    project, diagnostics = load_project(folder, BUILT_IN)
    assert bool(project.unread) == bool(diagnostics)
    for diagnostic in diagnostics.sorted():
        assert diagnostic.place.line > 0
