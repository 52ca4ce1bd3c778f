"""Plugins are found without being imported; what cannot be used says why."""

from pathlib import Path
from typing import Any

import pytest

from reactor.plugins.found import Found, discover
from reactor.tests.plugins.pack import install

LAB = {
    "reactor.triggers": {"tick": "lab_boom:Ticker"},
    "reactor.actions": {"shout": "lab_boom:Shout"},
    "reactor.suites": {"tick": "lab_suite:TestTick"},
}


def brief(found: list[Found]) -> list[Any]:
    return [(each.words, each.state, each.problem, each.hint) for each in found]


@pytest.mark.req("T-PLUG-1")
def test_finds_kinds_and_actions_without_importing(tmp_path: Path) -> None:
    install(tmp_path, "Lab_Things", LAB, {"lab_boom": "raise SystemExit('imported')"})
    assert discover([str(tmp_path)]) == [
        Found("action", "shout", "lab-things", "1.0", "lab_boom:Shout", ("shout", "lab-things.shout")),
        Found(
            "trigger",
            "tick",
            "lab-things",
            "1.0",
            "lab_boom:Ticker",
            ("tick", "lab-things.tick"),
            suite="lab_suite:TestTick",
        ),
    ]


def test_middleware_and_blocks_are_listed_and_unavailable(tmp_path: Path) -> None:
    install(tmp_path, "lab", {"reactor.middleware": {"audit": "a:B"}, "reactor.blocks": {"saga": "a:C"}})
    assert brief(discover([str(tmp_path)])) == [
        ((), "unavailable", "block plugins are not carried out by this version yet", ""),
        ((), "unavailable", "middleware plugins are not carried out by this version yet", ""),
    ]


def test_two_plugins_of_one_name_are_told_apart_by_their_own(tmp_path: Path) -> None:
    for name in ("lab-a", "lab-b"):
        install(tmp_path, name, {"reactor.triggers": {"tick": "a:B"}})
    assert brief(discover([str(tmp_path)])) == [
        (("lab-a.tick",), "found", "lab-b supplies tick too", "write lab-a.tick"),
        (("lab-b.tick",), "found", "lab-a supplies tick too", "write lab-b.tick"),
    ]


@pytest.mark.parametrize("word", ["file", "event", "trigger", "match", "kafka", "mqtt", "grpc", "any"])
def test_a_kind_cannot_take_a_word_of_ours(tmp_path: Path, word: str) -> None:
    install(tmp_path, "lab", {"reactor.triggers": {word: "a:B"}})
    expected = ((f"lab.{word}",), "found", f"`{word}` is a word of Reactor's own", f"write lab.{word}")
    assert brief(discover([str(tmp_path)])) == [expected]


@pytest.mark.parametrize("word", ["http", "if", "parallel", "llm", "while", "retry"])
def test_an_action_cannot_take_a_word_of_ours(tmp_path: Path, word: str) -> None:
    install(tmp_path, "lab", {"reactor.actions": {word: "a:B"}})
    expected = ((f"lab.{word}",), "found", f"`{word}` is a word of Reactor's own", f"write lab.{word}")
    assert brief(discover([str(tmp_path)])) == [expected]


def test_of_two_versions_the_first_on_the_path_is_used(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    install(first, "lab", {"reactor.triggers": {"tick": "a:B"}}, version="1.0")
    install(second, "lab", {"reactor.triggers": {"tick": "a:B"}}, version="2.0")
    (found,) = discover([str(first), str(second)])
    assert (found.version, found.words) == ("1.0", ("tick", "lab.tick"))
    assert (found.problem, found.hint) == ("lab is installed twice: 1.0 is used, 2.0 is not", "uninstall one lab")


@pytest.mark.parametrize(
    "fits",
    [
        "[kafka]; extra == 'k'",
        ">=9; extra == 'dev'",
        ">=9; python_version < '3'",
        "==0.1.*",
        "===0.1.0",
        "",
        ">=0.1,<0.2",
        "~=0.1.0",
        "~=0.1",
        "==0.1.0",
        "!=0.2",
        "(>=0.1)",
        "[kafka]>=0.1",
        "<=0.1",
        ">=0.1.0; x",
    ],
)
def test_a_version_that_fits(tmp_path: Path, fits: str) -> None:
    install(tmp_path, "lab", {"reactor.actions": {"a": "a:B"}}, requires=("other>=9", f"reactor-triggers{fits}"))
    assert brief(discover([str(tmp_path)])) == [(("a", "lab.a"), "found", "", "")]


@pytest.mark.req("T-PLUG-3")
@pytest.mark.parametrize(
    "bounds", [">=0.2", "<0.1", "~=0.2.0", "==1.0", ">=0.1,<0.1.0", "!=0.1.0", "~=0.0.9", "==0.2.*", "!=0.1.*"]
)
def test_a_version_that_does_not_fit_is_named(tmp_path: Path, bounds: str) -> None:
    install(tmp_path, "lab", {"reactor.actions": {"a": "a:B"}}, requires=(f"Reactor_Triggers{bounds}",))
    problem = f"it needs reactor-triggers{bounds}; this is 0.1.0"
    hint = "install a version of lab for Reactor 0.1.0, or another Reactor"
    assert brief(discover([str(tmp_path)])) == [((), "failed", problem, hint)]


def test_entry_points_that_cannot_be(tmp_path: Path) -> None:
    install(tmp_path, "lab", {"reactor.triggers": {"My Tick": "a:B", "no.dots": "a:B", "tick": "a.b"}})
    assert brief(discover([str(tmp_path)])) == [
        (
            (),
            "failed",
            "`My Tick` cannot be the name of a trigger kind",
            "correct the entry point of lab: lower-case letters, digits, `_` and `-`",
        ),
        (
            (),
            "failed",
            "`no.dots` cannot be the name of a trigger kind",
            "correct the entry point of lab: lower-case letters, digits, `_` and `-`",
        ),
        ((), "failed", "`a.b` is not of the form package.module:Class", "correct the entry point of lab"),
    ]


def test_a_requirement_counts_where_its_marker_holds(tmp_path: Path) -> None:
    requires = ("reactor-triggers>=9; python_version < '3'", 'reactor-triggers>=2; python_version >= "3"')
    install(tmp_path, "lab", {"reactor.actions": {"a": "a:B"}}, requires=requires)
    hint = "install a version of lab for Reactor 0.1.0, or another Reactor"
    assert brief(discover([str(tmp_path)])) == [((), "failed", "it needs reactor-triggers>=2; this is 0.1.0", hint)]


def test_extras_behind_an_entry_point_are_not_part_of_it(tmp_path: Path) -> None:
    """They say with which extras a package must be installed, and are a matter of whoever installs it."""
    points = {
        "reactor.triggers": {"tick": "a.b:C [serial, usb]", "tock": "a:C[]", "torn": "a:C [x"},
        "reactor.suites": {"tick": "a.b:TestC [test]"},
    }
    install(tmp_path, "lab", points)
    found = {each.name: each for each in discover([str(tmp_path)])}
    assert (found["tick"].target, found["tick"].suite, found["tick"].words) == (
        "a.b:C",
        "a.b:TestC",
        ("tick", "lab.tick"),
    )
    assert found["tock"].target == "a:C"
    assert found["torn"].problem == "`a:C [x` is not of the form package.module:Class"


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    install(tmp_path, "lab", {"reactor.actions": {"shout": "a:B"}})
    install(tmp_path, "noise", {"console_scripts": {"x": "a:B"}})
    for each in ("lab", "noise"):
        points = tmp_path / f"{each}-1.0.dist-info" / "entry_points.txt"
        points.write_bytes(points.read_bytes() + b"\xff\xfe")
    (tmp_path / "lab-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\xfe\n")
    (found,) = discover([str(tmp_path)])
    said = "its entry_points.txt cannot be read: line 3, `��` is not of the form name = package.module:Class"
    assert (found.plugin, found.version, found.problem) == ("lab", "1.0", said)


def test_what_lost_its_metadata_is_named_by_its_folder(tmp_path: Path) -> None:
    install(tmp_path, "lab", {"reactor.actions": {"shout": "a:B"}}, version="1.2")
    (tmp_path / "lab-1.2.dist-info" / "METADATA").unlink()
    assert discover([str(tmp_path)]) == [Found("action", "shout", "lab", "1.2", "a:B", ("shout", "lab.shout"))]


def test_entry_points_that_cannot_be_read_keep_nobody_else_away(tmp_path: Path) -> None:
    install(tmp_path, "lab", {"reactor.actions": {"shout": "a:B"}})
    install(tmp_path, "torn", {"reactor.triggers": {"tick": "a:B"}})
    (tmp_path / "torn-1.0.dist-info" / "entry_points.txt").write_text("[reactor.triggers]\nrow\n")
    assert discover([str(tmp_path)]) == [
        Found("action", "shout", "lab", "1.0", "a:B", ("shout", "lab.shout")),
        Found(
            "trigger",
            "",
            "torn",
            "1.0",
            "",
            state="failed",
            problem="its entry_points.txt cannot be read: line 2, `row` is not of the form name = package.module:Class",
            hint="correct or uninstall torn",
        ),
    ]
