"""Versions and their ranges."""

import pytest

from reactor.core.errors import ConfigError
from reactor.language.versions import parse_range, split_reference, version_key


def test_order_of_versions() -> None:
    # the example of Semantic Versioning 2.0.0, section 11
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "1.2.0",
        "1.10.0",
        "2.0.0",
    ]
    mixed = ordered[::2] + ordered[1::2]
    assert sorted(mixed, key=version_key) == ordered
    assert version_key("1.0.0+a") == version_key("1.0.0+b")


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        ("1.2.3", ["1.2.3"], ["1.2.4", "1.2.2"]),
        ("1.2", ["1.2.0", "1.2.9"], ["1.3.0", "1.1.9"]),
        ("1", ["1.0.0", "1.9.9"], ["2.0.0", "0.9.9"]),
        ("1.x", ["1.0.0", "1.9.9"], ["2.0.0"]),
        ("*", ["0.0.0", "9.9.9"], ["1.0.0-rc.1"]),
        ("^1", ["1.0.0", "1.9.9"], ["2.0.0", "2.0.0-rc.1", "0.9.9"]),
        ("^1.2", ["1.2.0", "1.9.0"], ["1.1.9", "2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0", ["0.0.0", "0.9.0"], ["1.0.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0", "1.2.2"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        (">=1.2 <2", ["1.2.0", "1.9.9"], ["2.0.0", "1.1.0"]),
        (">1.2", ["1.3.0"], ["1.2.0", "1.2.9"]),
        (">1.2.3", ["1.2.4"], ["1.2.3"]),
        ("<=1.2", ["1.2.9", "0.1.0"], ["1.3.0"]),
        ("<=1.2.3", ["1.2.3"], ["1.2.4"]),
        ("<1.2.0", ["1.1.9"], ["1.2.0", "1.2.0-rc.1"]),
        ("= 1.2.3", ["1.2.3"], ["1.2.4"]),
        ("1.0.0 || ^3", ["1.0.0", "3.1.0"], ["2.0.0", "1.0.1"]),
        (">=1.0.0-rc.1", ["1.0.0-rc.1", "1.0.0-rc.2", "1.0.0", "2.0.0"], ["1.0.0-beta", "2.0.0-rc.1"]),
    ],
)
def test_ranges(wanted: str, inside: list[str], outside: list[str]) -> None:
    found = parse_range(wanted)
    assert [version for version in inside + outside if found.holds(version)] == inside


def test_the_best_of_several() -> None:
    assert parse_range("^1").best(["1.2.0", "1.10.0", "2.0.0", "1.11.0-rc.1"]) == "1.10.0"
    assert parse_range("^3").best(["1.2.0"]) is None


def test_references() -> None:
    name, wanted = split_reference("ship@^1")
    assert name == "ship"
    assert wanted is not None
    assert wanted.text == "^1"
    assert split_reference("ship") == ("ship", None)


@pytest.mark.parametrize("text", ["", "one", "^", "1..2", "||", "1.2.3.4", "=>1"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_range(text)
    assert str(caught.value) == f"{text!r} is not a range of versions"
    assert caught.value.hint == "write one such as 1.2.0, ^1, ~1.2 or >=1.2 <2"


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3\n"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        version_key(text)
    assert str(caught.value) == f"{text!r} is not a version"
    assert caught.value.hint == "write three numbers, such as 1.2.0"
