"""The grammar of event patterns: every error with its place, what was found, what is expected."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.core.errors import ConfigError
from reactor.core.limits import EVENT_DEPTH_MAX, PATTERN_BRANCHES_MAX
from reactor.language.pattern_form import (
    AnythingBut,
    Cidr,
    Exact,
    Exists,
    FieldTest,
    IgnoreCase,
    Numeric,
    Prefix,
    Suffix,
    Wildcard,
)
from reactor.language.patterns import PatternError, parse_pattern, pattern_errors, show_place

OPERATORS = "prefix, suffix, equals-ignore-case, anything-but, numeric, exists, cidr or wildcard"
INNER = "prefix, suffix, equals-ignore-case or wildcard"
SHAPE = '["=", n], one of ["<" | "<=" | ">" | ">=", n], or a lower and then an upper bound'


def test_a_pattern_becomes_tests_on_paths() -> None:
    pattern = parse_pattern(
        {"type": ["a", 1, True, None], "data": {"x": [{"prefix": "p"}, {"suffix": {"equals-ignore-case": "S"}}]}}
    )
    assert pattern.branches == (
        (
            FieldTest(("type",), (Exact("a"), Exact(1), Exact(True), Exact(None))),
            FieldTest(("data", "x"), (Prefix("p"), Suffix("S", True))),
        ),
    )


@pytest.mark.parametrize(
    ("alternative", "operator"),
    [
        ({"equals-ignore-case": "A"}, IgnoreCase("A")),
        ({"wildcard": "a*\\*\\\\b"}, Wildcard("a*\\*\\\\b", ("a", "*\\b"))),
        ({"wildcard": "*"}, Wildcard("*", ("", ""))),
        ({"numeric": ["=", 5]}, Numeric(5.0, False, 5.0, False)),
        ({"numeric": [">", 1]}, Numeric(1.0, True, float("inf"), False)),
        ({"numeric": [">=", 1, "<", 2.5]}, Numeric(1.0, False, 2.5, True)),
        ({"cidr": "10.1.2.3/8"}, Cidr(4, 10 << 24, 8)),
        ({"cidr": "fd00::1/8"}, Cidr(6, 0xFD << 120, 8)),
        ({"exists": False}, Exists(False)),
        ({"anything-but": "a"}, AnythingBut((Exact("a"),))),
        ({"anything-but": [1, 2.5]}, AnythingBut((Exact(1), Exact(2.5)))),
        ({"anything-but": {"prefix": "a"}}, AnythingBut((Prefix("a"),))),
        (
            {"anything-but": {"wildcard": ["a*", "*b"]}},
            AnythingBut((Wildcard("a*", ("a", "")), Wildcard("*b", ("", "b")))),
        ),
    ],
)
def test_every_operator_is_read_and_shown_again(alternative: dict[str, Any], operator: Any) -> None:
    ((field,),) = parse_pattern({"x": [alternative]}).branches
    assert field.any_of == (operator,)
    ((again,),) = parse_pattern({"x": [operator.expected]}).branches
    assert again.any_of == (operator,)


def test_branches_are_multiplied_out_at_any_depth() -> None:
    pattern = {"a": [1], "$or": [{"b": [2]}, {"c": {"$or": [{"d": [3]}, {"e": [4]}]}}], "f": [5]}
    paths = [[".".join(field.path) for field in branch] for branch in parse_pattern(pattern).branches]
    assert paths == [["a", "b", "f"], ["a", "c.d", "f"], ["a", "c.e", "f"]]


@pytest.mark.parametrize(
    ("pattern", "message", "hint"),
    [
        ([], "expected a mapping of fields, found the list []", ""),
        ({}, "expected at least one field, found an empty mapping", 'every event matches {"id": [{"exists": true}]}'),
        (
            {"data": {}},
            "data: expected at least one field, found an empty mapping",
            'every event matches {"id": [{"exists": true}]}',
        ),
        ({"a": "x"}, 'a: expected a list of alternatives or a mapping of fields, found the text "x"', 'write ["x"]'),
        ({"a": 5}, "a: expected a list of alternatives or a mapping of fields, found the number 5", "write [5]"),
        ({"a": None}, "a: expected a list of alternatives or a mapping of fields, found null", "write [null]"),
        ({"a": []}, "a: expected at least one alternative, found an empty list", 'absent is {"exists": false}'),
        ({"a": {1: ["x"]}}, "a: expected field names of text, found the number 1", "put the name in quotes"),
        ({"a": [["x"]]}, 'a[0]: expected a value or a mapping with one operator, found the list ["x"]', ""),
        ({"a": [{}]}, "a[0]: expected exactly one operator, found none", ""),
        (
            {"a": [{"prefix": "x", "suffix": "y"}]},
            'a[0]: expected exactly one operator, found "prefix", "suffix"',
            "alternatives are entries of their own; `numeric` takes both bounds",
        ),
        ({"a": [{"prefx": "x"}]}, f'a[0]: unknown operator "prefx"; expected {OPERATORS}', "did you mean prefix?"),
        (
            {"a": [{"anything_but": "x"}]},
            f'a[0]: unknown operator "anything_but"; expected {OPERATORS}',
            "did you mean anything-but?",
        ),
        ({"a": [{"gte": 5}]}, f'a[0]: unknown operator "gte"; expected {OPERATORS}', "did you mean numeric?"),
        ({"a": [{"zzz": 5}]}, f'a[0]: unknown operator "zzz"; expected {OPERATORS}', ""),
        ({"a": [1, {"prefix": 5}]}, "a[1].prefix: expected text, found the number 5", ""),
        ({"a": [{"prefix": {"x": 1}}]}, 'a[0].prefix: expected text or {"equals-ignore-case": text}, found "x"', ""),
        (
            {"a": [{"suffix": {"equals-ignore-case": None}}]},
            "a[0].suffix.equals-ignore-case: expected text, found null",
            "",
        ),
        ({"a": [{"equals-ignore-case": ["x"]}]}, 'a[0].equals-ignore-case: expected text, found the list ["x"]', ""),
        ({"a": [float("nan")]}, "a[0]: expected a finite number, found nan", ""),
        ({"data": {"total": [{"numeric": 5}]}}, f"data.total[0].numeric: expected {SHAPE}, found the number 5", ""),
        ({"a": [{"numeric": [">"]}]}, f'a[0].numeric: expected {SHAPE}, found the list [">"]', ""),
        (
            {"a": [{"numeric": [">", "5"]}]},
            'a[0].numeric[1]: expected a number, found the text "5"',
            "take the quotes away",
        ),
        ({"a": [{"numeric": [">", True]}]}, "a[0].numeric[1]: expected a number, found true", ""),
        ({"a": [{"numeric": ["=>", 5]}]}, f'a[0].numeric[0]: expected {SHAPE}, found the text "=>"', ""),
        ({"a": [{"numeric": ["<", 5, ">", 1]}]}, f'a[0].numeric[0]: expected {SHAPE}, found the text "<"', ""),
        ({"a": [{"numeric": [">", 1, "=", 5]}]}, f'a[0].numeric[2]: expected {SHAPE}, found the text "="', ""),
        (
            {"a": [{"numeric": [">=", 5, "<=", 5]}]},
            "a[0].numeric: expected a lower bound below the upper one, found 5 and 5",
            "",
        ),
        (
            {"a": [{"numeric": ["<", float("inf")]}]},
            "a[0].numeric[1]: expected a number that a double holds, found the number Infinity",
            "",
        ),
        ({"a": [{"exists": "yes"}]}, 'a[0].exists: expected true or false, found the text "yes"', ""),
        (
            {"a": [{"cidr": "10.0.0.1"}]},
            'a[0].cidr: expected address/length such as 10.0.0.0/8 or fd00::/8, found the text "10.0.0.1"',
            "one address is /32 (IPv4) or /128 (IPv6)",
        ),
        (
            {"a": [{"cidr": "10.0.0.1/33"}]},
            'a[0].cidr: expected address/length such as 10.0.0.0/8 or fd00::/8, found the text "10.0.0.1/33"',
            "",
        ),
        (
            {"a": [{"wildcard": "a**b"}]},
            "a[0].wildcard: two `*` in a row at character 2",
            "one `*` spans anything; a literal one is \\*",
        ),
        (
            {"a": [{"wildcard": "a\\b"}]},
            "a[0].wildcard: `\\` at character 2 escapes neither `*` nor `\\`",
            "write a literal backslash as \\\\",
        ),
        (
            {"a": [{"wildcard": "a\\"}]},
            "a[0].wildcard: `\\` at character 2 escapes neither `*` nor `\\`",
            "write a literal backslash as \\\\",
        ),
        (
            {"a": [{"anything-but": []}]},
            "a[0].anything-but: expected at least one value, found an empty list",
            'present is {"exists": true}',
        ),
        ({"a": [{"anything-but": None}]}, "a[0].anything-but: expected text or a number, found null", ""),
        ({"a": [{"anything-but": ["x", True]}]}, "a[0].anything-but[1]: expected text or a number, found true", ""),
        ({"a": [{"anything-but": ["x", 1]}]}, "a[0].anything-but: expected only text or only numbers, found both", ""),
        (
            {"a": [{"anything-but": {"numeric": [">", 1]}}]},
            f'a[0].anything-but: unknown operator inside anything-but "numeric"; expected {INNER}',
            "",
        ),
        (
            {"a": [{"anything-but": {"sufix": "x"}}]},
            f'a[0].anything-but: unknown operator inside anything-but "sufix"; expected {INNER}',
            "did you mean suffix?",
        ),
        (
            {"a": [{"anything-but": {"prefix": ["x", 1]}}]},
            "a[0].anything-but.prefix[1]: expected text, found the number 1",
            "",
        ),
        (
            {"a": [{"anything-but": {"prefix": []}}]},
            "a[0].anything-but.prefix: expected at least one text, found an empty list",
            "",
        ),
        (
            {"a": [{"anything-but": {"prefix": ""}}]},
            "a[0].anything-but.prefix: an empty prefix takes every text, so that none is left",
            "",
        ),
        ({"a": [{"anything-but": {}}]}, "a[0].anything-but: expected exactly one operator, found none", ""),
        ({"$or": {"a": [1]}}, '$or: expected a list of two or more patterns, found the mapping {"a": [1]}', ""),
        ({"$or": [{"a": [1]}]}, '$or: expected a list of two or more patterns, found the list [{"a": [1]}]', ""),
        ({"$or": [{"a": [1]}, 5]}, "$or[1]: expected a mapping of fields, found the number 5", ""),
        (
            {"data": {"$or": [{"a": [1]}, {"b": [{"numeric": []}]}]}},
            f"data.$or[1].b[0].numeric: expected {SHAPE}, found the list []",
            "",
        ),
        (
            {"a.b": {"c d": [[]]}},
            '["a.b"]["c d"][0]: expected a value or a mapping with one operator, found the list []',
            "",
        ),
    ],
)
def test_what_is_wrong_is_told_in_full(pattern: Any, message: str, hint: str) -> None:
    with pytest.raises(PatternError) as raised:
        parse_pattern(pattern)
    error = raised.value
    assert (str(error), error.hint) == (message, hint)
    assert isinstance(error, ConfigError)
    assert f"{error.path}: {error.problem}".removeprefix(": ") == message
    assert show_place(error.place) == error.path


def test_branches_are_limited() -> None:
    half = [{"a": [1]}, {"b": [1]}]
    pattern = {"x": {"$or": half}, "y": {"$or": half}}
    assert len(parse_pattern(pattern).branches) == 4
    wide = {f"f{number}": {"$or": half} for number in range(10)}
    with pytest.raises(PatternError) as raised:
        parse_pattern(wide)
    assert str(raised.value) == (
        "f9: the `$or` of this pattern multiply to 1024 branches, "
        f"{PATTERN_BRANCHES_MAX} are allowed (PATTERN_BRANCHES_MAX)"
    )
    assert raised.value.hint == "split it into several entries"
    with pytest.raises(PatternError) as raised:
        parse_pattern({"$or": [{"a": [1]}] * (PATTERN_BRANCHES_MAX + 1)})
    assert str(raised.value) == "$or: 1001 branches, 1000 are allowed (PATTERN_BRANCHES_MAX)"


def test_depth_is_limited() -> None:
    pattern: Any = [1]
    for _ in range(10_000):
        pattern = {"a": pattern}
    with pytest.raises(PatternError) as raised:
        parse_pattern(pattern)
    assert raised.value.problem == f"nested deeper than {EVENT_DEPTH_MAX} levels; no event is (EVENT_DEPTH_MAX)"


def test_all_errors_are_told_in_the_order_of_the_text() -> None:
    pattern = {"b": [{"numeric": 1}, "ok", {"prefix": 2}], "a": "x", "$or": [{"c": []}, {"d": [1]}]}
    assert [error.path for error in pattern_errors(pattern)] == ["b[0].numeric", "b[2].prefix", "a", "$or[0].c"]
    assert pattern_errors({"a": ["x"]}) == []
