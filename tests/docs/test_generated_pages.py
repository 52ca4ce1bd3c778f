"""The generated pages are current, and the generator tells proven from missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from reactor.docs import generate, key_tables

CHAPTERS = [
    {
        "chapter": 4,
        "title": "Execution",
        "rules": [
            {"rule": 1, "sentences": ["A result is durable.", "An end is shown after it."]},
            {"rule": 2, "sentences": ["Once.", {"text": "Twice never.", "part": "here"}]},
            {"rule": 3, "sentences": ["Nobody looked."]},
        ],
    }
]
GROUPS = [
    {
        "group": "T-FILE",
        "title": "Files",
        "requirements": [{"id": "T-FILE-1", "text": "a | b"}, {"id": "T-FILE-2", "text": "once", "part": "local"}],
    },
    {
        "group": "W",
        "title": "Designer",
        "requirements": [{"id": "W-1", "text": "x", "later": True}, {"id": "W-2", "text": "y", "later": True}],
    },
]

COLLECT = """
import sys
from pathlib import Path
from reactor.docs.generate import collect
named = collect(Path(sys.argv[1]))
print(named.rules, named.requirements)
"""


def test_the_pages_are_current() -> None:
    command = [sys.executable, "-P", "docs/generate.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=generate.ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_rule_is_proven_by_its_number_or_sentence_by_sentence() -> None:
    page = generate.semantics(CHAPTERS, {"4.1": ["tests/a.py::test_x"], "4.2.2": ["tests/b.py::TestB::test_y"]})
    assert page.partition("## 4. ")[2] == (
        "Execution\n\n"
        "### 4.1\n\nState: proven\n\n"
        "1. A result is durable.\n"
        "2. An end is shown after it.\n\n"
        "The whole rule: [`test_x`](../tests/a.py)\n\n"
        "### 4.2\n\nState: in part\n\n"
        "1. Once.<br>*missing*\n"
        "2. Twice never. *(here)*<br>[`TestB.test_y`](../tests/b.py)\n\n"
        "### 4.3\n\nState: missing\n\n"
        "1. Nobody looked.<br>*missing*\n"
    )
    assert "Of 3 rules 1 is proven, 1 is in part, 1 is missing. Of 5 sentences 3 are proven, 2 are missing." in page


def test_a_requirement_is_proven_by_its_id() -> None:
    page = generate.requirements(GROUPS, {"T-FILE-2": ["tests/a.py::test_x"]})
    assert "| T-FILE-1 | a \\| b | missing |  |" in page
    assert "| T-FILE-2 | once *(local)* | proven | [`test_x`](../tests/a.py) |" in page


def test_a_later_requirement_is_listed_once_a_test_proves_it() -> None:
    assert "W: Designer" not in generate.requirements(GROUPS, {})
    page = generate.requirements(GROUPS, {"W-2": ["tests/a.py::test_x"]})
    assert "| W-2 | y | proven |" in page
    assert "W-1" not in page
    assert "Of 3 requirements 1 is proven, 2 are missing." in page


@pytest.mark.parametrize("number", ["4.9", "4.1.3", "5.1"])
def test_a_rule_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(generate.Wrong) as caught:
        generate.semantics(CHAPTERS, {number: ["tests/a.py::test_x"]})
    expected = f'tests/a.py::test_x is marked rule("{number}"), and docs/data/semantics.yaml has no such entry'
    assert str(caught.value) == expected


def test_the_markers_of_a_tree_are_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["rule(n): ", "req(id): "]\naddopts = "--import-mode=importlib"\n'
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        "import pytest\n"
        'pytestmark = pytest.mark.req("T-FILE-1", "T-FILE-2")\n'
        '@pytest.mark.rule("4.2")\n@pytest.mark.parametrize("n", [1, 2])\ndef test_x(n): ...\n'
    )
    command = [
        sys.executable,
        "-P",
        "-c",
        COLLECT,
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    one = "['tests/test_a.py::test_x']"
    assert done.stdout == f"{{'4.2': {one}}} {{'T-FILE-1': {one}, 'T-FILE-2': {one}}}\n"


def test_a_key_is_told_with_what_it_takes_and_its_default() -> None:
    schema = {
        "$defs": {"Rate": {"type": "object", "properties": {"max": {}, "per": {}}}},
        "required": ["path"],
        "properties": {
            "path": {"type": "string", "description": "a | b"},
            "wait": {"anyOf": [{"type": "string", "examples": ["200ms"]}, {"type": "null"}], "default": 90.0},
            "rate": {"anyOf": [{"$ref": "#/$defs/Rate"}, {"type": "null"}], "default": {"max": 1, "per": None}},
            "modes": {"type": "array", "items": {"enum": ["x", "y"]}, "default": []},
            "tries": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
            "flag": {"type": "boolean", "default": False},
            "any": {},
        },
    }
    assert list(key_tables.table(schema))[2:] == [
        "| **`path`** | text; a \\| b |  |",
        "| `wait` | duration | `1m30s` |",
        "| `rate` | mapping of `max`, `per` | `{max: 1}` |",
        "| `modes` | list of `x` or `y` |  |",
        "| `tries` | whole number from 1 to 9 | `3` |",
        "| `flag` | true or false | `false` |",
        "| `any` | any value |  |",
    ]
    assert list(key_tables.table({"type": "object"})) == ["Takes mapping."]
