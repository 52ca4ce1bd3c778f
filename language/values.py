"""JSON values in words: how messages show what they found, and when two values are equal."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard

SHOWN_CHARS_MAX = 60


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """A mapping; keys of JSON are texts."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """A list or a tuple."""
    return isinstance(value, list | tuple)


def show(value: Any) -> str:
    """The value as JSON, cut to SHOWN_CHARS_MAX."""
    try:
        shown = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARS_MAX else shown[: SHOWN_CHARS_MAX - 1] + "…"


def found(value: Any) -> str:
    """What a message says was there: `the text "5s"`, `the number 5`, `a list`, `nothing`."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {show(value)}" if value else "an empty text"
    if isinstance(value, int | float):
        return f"the number {show(value)}"
    if is_mapping(value):
        return "a mapping" if value else "an empty mapping"
    if is_list(value):
        return "a list" if value else "an empty list"
    return f"a value of the type {type(value).__name__}"


def either(words: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def identity(value: Any) -> Hashable:
    """A key that is equal for equal JSON values: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool):
        return ("bool", value)
    if is_mapping(value):
        return ("mapping", frozenset((key, identity(item)) for key, item in value.items()))
    if is_list(value):
        return ("list", tuple(identity(item) for item in value))
    return value
