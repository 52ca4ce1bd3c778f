"""Why a rule takes an event, or the first field in which it does not."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

from msgspec import Struct

from ..language.pattern_form import Exact, FieldTest, Operator, Path
from ..language.patterns import show_place

_show = json.JSONEncoder(ensure_ascii=False).encode  # `dumps` would make an encoder for each value


class Explanation(Struct, frozen=True, gc=False):
    """What became of one event at one rule.

    If it did not match: the first field, in the order of the pattern, whose test fails. `expected` holds the
    alternatives as the pattern spells them, `actual` the event's values there (none: the field is absent; several:
    they lie in an array). `operator` is `array` if each field holds by itself, but not all of `expected` (paths) in
    one element of an array. Of a pattern with `$or` it tells the branch that got furthest; `branch` is its number,
    from 0.
    """

    rule_id: Hashable
    matched: bool
    branch: int = 0
    path: str = ""
    operator: str = ""
    expected: tuple[Any, ...] = ()
    actual: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        """One sentence for people."""
        if self.matched:
            return "matched"
        if self.operator == "array":
            return f"no single element of {self.path} has all of {', '.join(self.expected)} as wanted"
        wanted = " or ".join(map(_show, self.expected))
        if not self.actual:
            return f"{self.path}: expected {wanted}, the event has no such value"
        return f"{self.path}: expected {wanted}, found {', '.join(map(_show, self.actual))}"


def field_failed(rule_id: Hashable, branch: int, field: FieldTest, actual: tuple[Any, ...]) -> Explanation:
    """No alternative of a field holds."""
    any_of = field.any_of
    if len(any_of) == 1:
        name, expected = any_of[0].operator, (any_of[0].expected,)
    else:
        name = " or ".join(dict.fromkeys(operator.operator for operator in any_of))
        expected = tuple(_expected(operator) for operator in any_of)
    return Explanation(rule_id, False, branch, show_place(field.path), name, expected, actual)


def array_failed(rule_id: Hashable, branch: int, paths: list[Path]) -> Explanation:
    """All fields hold, but in different elements of an array that the paths share."""
    shared = paths[0]
    for path in paths[1:]:
        same = 0
        while same < min(len(path), len(shared)) and path[same] == shared[same]:
            same += 1
        shared = shared[:same]
    return Explanation(
        rule_id, False, branch, show_place(shared), "array", tuple(map(show_place, dict.fromkeys(paths)))
    )


def _expected(operator: Operator) -> Any:
    return operator.value if isinstance(operator, Exact) else operator.expected
