"""Diagnostics are shown with their line, in order, and name what was probably meant."""

import pytest
from hypothesis import given, strategies as st

from reactor.core.errors import ConfigError, ErrorPlace
from reactor.language.diagnostics import (
    Diagnostic,
    Diagnostics,
    InvalidDefinition,
    Place,
    did_you_mean,
    nearest,
    path_text,
)
from reactor.language.paths import parse_path


def test_rendered_as_a_whole() -> None:
    shown = Diagnostic(
        "key.unknown",
        "a step has no key timout",
        Place("flow.yaml", 12, 5, 6),
        found="timout",
        expected="one of the keys of a step",
        hint="did you mean timeout?",
        path=("steps", "charge", "timout"),
        line_text="    timout: 10s",
    )
    assert shown.render() == (
        "error: a step has no key timout\n"
        "  --> flow.yaml:12:5 (steps.charge.timout)\n"
        " 12 |     timout: 10s\n"
        "    |     ^^^^^^\n"
        "  = expected: one of the keys of a step\n"
        "  = found: timout\n"
        "  = help: did you mean timeout?"
    )
    assert shown.to_dict() == {
        "code": "key.unknown",
        "severity": "error",
        "message": "a step has no key timout",
        "file": "flow.yaml",
        "line": 12,
        "column": 5,
        "path": "steps.charge.timout",
        "found": "timout",
        "expected": "one of the keys of a step",
        "hint": "did you mean timeout?",
    }
    assert shown.error_place() == ErrorPlace("flow.yaml", 12, 5, "steps.charge.timout")


def test_tabs_and_control_characters_do_not_move_the_caret() -> None:
    shown = Diagnostic("x", "wrong", Place("f", 1, 4), line_text="\ta\x00b")
    assert shown.render() == "error: wrong\n  --> f:1:4\n 1 | \ta\ufffdb\n   | \t  ^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    shown = Diagnostic("x", "wrong", Place("f", 1, 150), line_text="a" * 149 + "B" + "c" * 200).render().splitlines()
    assert shown[2].index("B") == shown[3].index("^")
    assert len(shown[2]) < 120


def test_without_place_or_line() -> None:
    assert Diagnostic("x", "wrong", path=("a", 0)).render() == "error: wrong\n  --> a[0]"
    assert Diagnostic("x", "wrong").render() == "error: wrong"
    assert str(Place("", 3, 4)) == "<text>:3:4"


def test_sorted_by_place_and_each_once() -> None:
    found = Diagnostics()
    found.add_source("b.yaml", "one\ntwo\n")
    found.warning("w", "odd", Place("b.yaml", 2, 1))
    found.error("e", "second", Place("b.yaml", 2, 1))
    found.error("e", "first", Place("b.yaml", 1, 2))
    found.error("e", "first", Place("b.yaml", 1, 2))
    found.error("e", "other file", Place("a.yaml", 9, 9))
    assert [diagnostic.message for diagnostic in found.sorted()] == ["other file", "first", "second", "odd"]
    assert found.sorted()[1].line_text == "one"
    assert [diagnostic.message for diagnostic in found.errors] == ["other file", "first", "second"]


def test_only_errors_count_and_are_raised() -> None:
    found = Diagnostics()
    found.warning("w", "odd")
    assert not found
    found.raise_errors()
    found.error("e", "wrong", path=("steps", "a"), hint="do this")
    assert found
    with pytest.raises(InvalidDefinition) as caught:
        found.raise_errors()
    assert isinstance(caught.value, ConfigError)
    assert str(caught.value) == "error: wrong\n  --> steps.a\n  = help: do this\n\nwarning: odd"
    assert (caught.value.path, caught.value.hint, caught.value.class_) == ("steps.a", "do this", "fix")
    assert [entry["message"] for entry in caught.value.details["diagnostics"]] == ["wrong", "odd"]


@pytest.mark.parametrize(
    ("name", "candidates", "found"),
    [
        ("timout", ["timeout", "retry"], "timeout"),
        ("retyr", ["retry", "try"], "retry"),
        ("on-error", ["on_error", "needs"], "on_error"),
        ("runWorkflow", ["run-workflow"], "run-workflow"),
        ("TIMEOUT", ["timeout"], "timeout"),
        ("contry", ["country"], "country"),
        ("x", ["y"], "y"),
        ("name", ["uses", "with"], None),
        ("abc", [], None),
        ("a", ["abcdef"], None),
    ],
)
def test_nearest_name(name: str, candidates: list[str], found: str | None) -> None:
    assert nearest(name, candidates) == found


def test_hint_names_the_nearest_or_all() -> None:
    assert did_you_mean("timout", ["timeout", "retry"]) == "did you mean timeout?"
    assert did_you_mean("zzzzzz", ["timeout", "retry"]) == "one of: retry, timeout"
    names = [f"name{number:02}" for number in range(15)]
    assert did_you_mean("zzzzzz", names) == "one of: " + ", ".join(names[:12]) + " and 3 more"
    assert did_you_mean("zzzzzz", []) == ""


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=5))
def test_nearest_is_one_of_the_candidates(name: str, candidates: list[str]) -> None:
    found = nearest(name, candidates)
    assert found is None or (found in candidates and found != name)


def test_paths_as_people_write_them() -> None:
    assert path_text(("steps", "a", "with", 2, "x")) == "steps.a.with[2].x"
    assert path_text(("headers", "content-type")) == 'headers["content-type"]'
    assert path_text(("a", 'q"\\')) == 'a["q\\"\\\\"]'
    assert path_text(()) == ""


def test_what_a_terminal_would_obey_is_not_shown_to_it() -> None:
    text = "a: {\x1b[2J: 1}"
    shown = Diagnostic(
        "a", "unknown key `\x1b[2J`", Place("f", 1, 5), hint="not \x9b", path=("a", "\x1b[2J"), line_text=text
    )
    assert shown.render() == (
        "error: unknown key `\ufffd[2J`\n"
        '  --> f:1:5 (a["\ufffd[2J"])\n'
        " 1 | a: {\ufffd[2J: 1}\n"
        "   |     ^\n"
        "  = help: not \ufffd"
    )


@given(st.lists(st.integers(0, 99) | st.text(), max_size=4).map(tuple))
def test_a_path_is_read_back_as_it_was_written(path: tuple[str | int, ...]) -> None:
    assert parse_path(path_text(path)) == path
