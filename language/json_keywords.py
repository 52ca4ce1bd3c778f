"""What each keyword of JSON Schema means: (its value) → a function that adds what is wrong with a value.

Source: JSON Schema validation, draft 2020-12, section 6; core, sections 10 and 11.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from .diagnostics import Path, nearest
from .json_compiler import Build, Compiler, Node, SchemaFault
from .json_formats import FORMATS, pattern
from .values import either, found, identity, is_list, show

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list, tuple),
    "null": (type(None),),
}
_TYPE_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "object": "a mapping", "array": "a list", "null": "null",
}  # fmt: skip


def _fault(path: Path, expected: str, value: Any, keyword: str) -> SchemaFault:
    shown = found(value)
    return SchemaFault(path, f"expected {expected}; found {shown}", expected, shown, keyword)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _of_type(name: str) -> Callable[[Any], bool]:
    if name == "integer":
        return _is_integer
    if name == "number":
        return _is_number
    types = TYPES[name]
    return lambda value: isinstance(value, types)


def _type(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    names: Sequence[Any] = value if is_list(value) else [value]
    for name in names:
        if not isinstance(name, str) or name not in TYPES:
            near = nearest(name, TYPES) if isinstance(name, str) else None
            hint = f"did you mean {near}?" if near else f"the types are {either(sorted(TYPES))}"
            raise c.wrong(path, f"{show(name)} is no type of JSON Schema", hint)
    if not names:
        raise c.wrong(path, "`type` names at least one type; found an empty list")
    expected = either([_TYPE_WORDS[name] for name in names])
    exact = frozenset(kind for name in names for kind in TYPES[name])
    tests = tuple(_of_type(name) for name in names)

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if type(item) not in exact and not any(test(item) for test in tests):
            out.append(_fault(at, expected, item, "type"))

    return check


def _enum(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    if not is_list(value) or not value:
        raise c.wrong(path, f"`enum` is a list of at least one value; found {found(value)}")
    values = value
    allowed = {identity(item) for item in values}
    listed = either([show(item) for item in values[:12]]) + (
        f" and {len(values) - 12} more" if len(values) > 12 else ""
    )

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if identity(item) not in allowed:
            near = nearest(item, [v for v in values if isinstance(v, str)]) if isinstance(item, str) else None
            fault = _fault(at, listed, item, "enum")
            out.append(
                fault
                if near is None
                else SchemaFault(at, f"{fault.message}; did you mean {near}?", listed, fault.found, "enum")
            )

    return check


def _const(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    wanted = identity(value)

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if identity(item) != wanted:
            out.append(_fault(at, show(value), item, "const"))

    return check


def _bound(word: str, say: str, holds: Callable[[Any, Any], bool]) -> Build:
    def build(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
        if not _is_number(value):
            raise c.wrong(path, f"`{word}` is a number; found {found(value)}")

        def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
            if _is_number(item) and not holds(item, value):
                out.append(_fault(at, f"a number {say} {show(value)}", item, word))

        return check

    return build


def _multiple_of(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    if not _is_number(value) or value <= 0:
        raise c.wrong(path, f"`multipleOf` is a number above 0; found {found(value)}")
    unit = Decimal(repr(value))

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if _is_number(item):
            try:
                whole = Decimal(repr(item)) % unit == 0
            except InvalidOperation:  # more digits than a decimal has: then it is not near any bound people write
                whole = item % value == 0
            if not whole:
                out.append(_fault(at, f"a multiple of {show(value)}", item, "multipleOf"))

    return check


def _size(word: str, types: tuple[type, ...], say: Callable[[int], str], *, least: bool) -> Build:
    def build(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
        bound = c.count(value, path)

        def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
            if isinstance(item, types) and (len(item) < bound if least else len(item) > bound):
                expected = f"{'at least' if least else 'at most'} {say(bound)}"
                out.append(SchemaFault(at, f"expected {expected}; found {len(item)}", expected, str(len(item)), word))

        return check

    return build


def _count_of(one: str, many: str) -> Callable[[int], str]:
    return lambda bound: f"{bound} {one if bound == 1 else many}"


def on_text(test: Callable[[str], bool], expected: str, keyword: str) -> Node:
    """A node that tests texts and leaves other values alone."""

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if isinstance(item, str) and not test(item):
            out.append(_fault(at, expected, item, keyword))

    return check


def regex_of(c: Compiler, value: Any, path: Path) -> re.Pattern[str]:
    """The regular expression that a schema writes. Raises ConfigError."""
    try:
        return pattern(value)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise c.wrong(path, f"{show(value)} is no regular expression: {error}") from None


def _pattern(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    search = regex_of(c, value, path).search
    return on_text(lambda text: search(text) is not None, f"text that matches {value}", "pattern")


def _format(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node | None:
    if not isinstance(value, str):
        raise c.wrong(path, f"`format` names a format such as date-time; found {found(value)}")
    known = FORMATS.get(value)
    return on_text(known[0], known[1], "format") if known else None


def _items(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    if is_list(value):
        raise c.wrong(path, "`items` is one schema; found a list", "a schema for each place is `prefixItems`")
    node = c.node(value, path, frozenset())
    prefix = words.get("prefixItems")
    start = len(prefix) if is_list(prefix) else 0

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_list(item):
            members = item
            for number in range(start, len(members)):
                node(members[number], (*at, number), out)

    return check


def _prefix_items(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    nodes = c.schemas(value, path, frozenset())

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_list(item):
            for number, (node, member) in enumerate(zip(nodes, item, strict=False)):
                node(member, (*at, number), out)

    return check


def _contains(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    node = c.node(value, path, frozenset())
    least = c.count(words["minContains"], (*path[:-1], "minContains")) if "minContains" in words else 1
    most = c.count(words["maxContains"], (*path[:-1], "maxContains")) if "maxContains" in words else None

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_list(item):
            fitting = sum(1 for member in item if not faults_of(node, member))
            if fitting < least:
                expected = f"at least {_count_of('item', 'items')(least)} as `contains` says"
                out.append(SchemaFault(at, f"expected {expected}; found {fitting}", expected, str(fitting), "contains"))
            elif most is not None and fitting > most:
                expected = f"at most {_count_of('item', 'items')(most)} as `contains` says"
                out.append(
                    SchemaFault(at, f"expected {expected}; found {fitting}", expected, str(fitting), "maxContains")
                )

    return check


def faults_of(node: Node, value: Any, path: Path = ()) -> list[SchemaFault]:
    """What a node says to a value."""
    out: list[SchemaFault] = []
    node(value, path, out)
    return out


def _unique(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node | None:
    if not isinstance(value, bool):
        raise c.wrong(path, f"`uniqueItems` is true or false; found {found(value)}")
    if not value:
        return None

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_list(item):
            seen: set[Any] = set()
            for number, member in enumerate(item):
                key = identity(member)
                if key in seen:
                    out.append(_fault((*at, number), "items that differ", member, "uniqueItems"))
                seen.add(key)

    return check


VALUE_KEYWORDS: dict[str, Build] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _bound("minimum", "of at least", lambda item, bound: item >= bound),
    "maximum": _bound("maximum", "of at most", lambda item, bound: item <= bound),
    "exclusiveMinimum": _bound("exclusiveMinimum", "above", lambda item, bound: item > bound),
    "exclusiveMaximum": _bound("exclusiveMaximum", "below", lambda item, bound: item < bound),
    "multipleOf": _multiple_of,
    "minLength": _size("minLength", (str,), _count_of("character", "characters"), least=True),
    "maxLength": _size("maxLength", (str,), _count_of("character", "characters"), least=False),
    "pattern": _pattern,
    "format": _format,
    "items": _items,
    "prefixItems": _prefix_items,
    "contains": _contains,
    "minItems": _size("minItems", (list, tuple), _count_of("item", "items"), least=True),
    "maxItems": _size("maxItems", (list, tuple), _count_of("item", "items"), least=False),
    "uniqueItems": _unique,
    "minProperties": _size("minProperties", (dict,), _count_of("property", "properties"), least=True),
    "maxProperties": _size("maxProperties", (dict,), _count_of("property", "properties"), least=False),
}
"""The keywords for single values and lists."""
