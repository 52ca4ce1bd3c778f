"""Each class of fault in a workflow file gives its diagnostics, to the character, and all of a file at once."""

from dataclasses import replace
from pathlib import Path

import pytest

from reactor.language.loader import load_text
from reactor.tests.language.words import WORDS

FOLDER = Path(__file__).parent / "faulty"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.req("V-1")
@pytest.mark.req("V-3")
@pytest.mark.req("V-6")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_message(path: Path) -> None:
    found = load_text(path.read_bytes(), path.name, WORDS).diagnostics
    assert found.render() + "\n" == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_fault_has_its_place(path: Path) -> None:
    found = load_text(path.read_bytes(), path.name, WORDS).diagnostics.sorted()
    assert found
    for diagnostic in found:
        assert diagnostic.place.line > 0
        assert diagnostic.place.column > 0
        assert (
            diagnostic.hint
            or diagnostic.expected
            or diagnostic.found
            or " must be " in diagnostic.message
            or "; found " in diagnostic.message
        )


@pytest.mark.req("E-EXE-26")
def test_a_word_that_changes_nothing_is_a_hint_alone() -> None:
    """Where `parallel: true` stands at a step that waits for its siblings; the definition is the same without it."""
    text = (FOLDER / "parallel_true.yaml").read_text()
    found = load_text(text, "a.yaml", WORDS)
    assert {each.severity for each in found.diagnostics.items} == {"hint"}
    assert (bool(found.diagnostics), found.diagnostics.strictly) == (False, False)
    bare = load_text(text.replace(", parallel: true", ""), "a.yaml", WORDS)
    assert bare.diagnostics.items == []
    assert found.definitions == bare.definitions


def test_a_path_is_below_a_connections_address_and_a_url_is_none() -> None:
    text = """
workflow: a
steps:
  - {name: alone, publish: {to: http, url: "http://shop.test/a", text: hello}}
  - {name: below, publish: {to: http, path: /a, text: hello}}
"""
    found = load_text(text, "a.yaml", replace(WORDS, connections={})).diagnostics
    assert found.render() == (
        "error: `publish` needs a connection of kind http\n"
        "  --> a.yaml:5:28 (steps[1].publish)\n"
        " 5 |   - {name: below, publish: {to: http, path: /a, text: hello}}\n"
        "   |                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  = help: declare one under `connections` in reactor.yaml: {main: {http: {…}}}"
    )
    assert not load_text(text, "a.yaml", replace(WORDS, connections={"shop": "http"})).diagnostics.items
