"""Each class of fault in a workflow file gives its diagnostics, to the character, and all of a file at once."""

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
