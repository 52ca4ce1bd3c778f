"""Each broken file gives its diagnostics, as a whole and to the character, and never a traceback."""

from pathlib import Path

import pytest

from reactor.language.diagnostics import Diagnostics, InvalidDefinition
from reactor.language.documents import load_documents

FOLDER = Path(__file__).parent / "broken"
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix != ".txt")


@pytest.mark.req("V-8")
@pytest.mark.req("V-1")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_message(path: Path) -> None:
    found = Diagnostics()
    load_documents(path.read_bytes(), path.name, found)
    assert found.render() + "\n" == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_fault_has_place_and_cure(path: Path) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        load_documents(path.read_bytes(), path.name)
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.hint
        assert diagnostic.place.line > 0
        assert diagnostic.place.column > 0
        assert diagnostic.code.split(".")[0] in ("yaml", "json")


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 50
