"""Event patterns: what `match` says, checked and brought into one plain form.

The grammar is Amazon EventBridge's: mappings name fields, a leaf is a list of alternatives, fields are AND-ed, `$or`
holds branches. `pattern_form.py` has the form; what its tests mean for a value is the router's business.
Source: Amazon EventBridge user guide, "Comparison operators for use in event patterns"; event-ruler 2.1, README.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard, cast

from ..core.errors import ConfigError
from ..core.limits import EVENT_DEPTH_MAX, PATTERN_BRANCHES_MAX
from .diagnostics import nearest
from .pattern_form import (
    INFINITY,
    AnythingBut,
    Cidr,
    Exact,
    Exists,
    FieldTest,
    IgnoreCase,
    Numeric,
    Operator,
    Path,
    Pattern,
    Prefix,
    Scalar,
    Suffix,
    Wildcard,
)

Place: TypeAlias = tuple[str | int, ...]
Branches: TypeAlias = tuple[tuple[FieldTest, ...], ...]
_ONE_EMPTY: Branches = ((),)

_SHOWN_CHARS_MAX = 60


class PatternError(ConfigError):
    """A pattern is wrong. `path` is the place inside it (`data.total[0].numeric`), `problem` the message without it."""

    def __init__(self, problem: str, *, place: Place = (), hint: str = "") -> None:
        path = show_place(place)
        super().__init__(f"{path}: {problem}" if path else problem, path=path, hint=hint)
        self.problem = problem
        self.place = place


def parse_pattern(pattern: object) -> Pattern:
    """Check a pattern (plain data, as JSON or YAML give it) and bring it into normal form.

    Raises PatternError for the first thing that is wrong in it; `pattern_errors` tells all.
    """
    parser = _Parser()
    branches = parser.pattern(pattern)
    if parser.errors:
        raise parser.errors[0]
    return Pattern(branches)


def pattern_errors(pattern: object) -> list[PatternError]:
    """Everything that is wrong in a pattern, in the order of the text; none if it is right."""
    parser = _Parser()
    parser.pattern(pattern)
    return parser.errors


@functools.lru_cache(maxsize=1_024)  # `explain` shows few fields in many rules
def show_place(place: tuple[str | int, ...]) -> str:
    """`data.total[0].numeric`; a name that would be misread so is quoted: `data["a.b"]`."""
    shown = ""
    for part in place:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif part.replace("-", "").replace("$", "").isidentifier():
            shown += f".{part}" if shown else part
        else:
            shown += f"[{json.dumps(part, ensure_ascii=False)}]"
    return shown


class _Parser:
    """Walks a pattern and keeps every error; a part that is wrong counts as one without tests."""

    def __init__(self) -> None:
        self.errors: list[PatternError] = []

    def wrong(self, place: Place, problem: str, hint: str = "") -> None:
        self.errors.append(PatternError(problem, place=place, hint=hint))

    def pattern(self, pattern: object) -> Branches:
        if not _is_mapping(pattern):
            self.wrong((), f"expected a mapping of fields, found {_found(pattern)}")
            return _ONE_EMPTY
        return self.fields(pattern, (), ())

    def fields(self, fields: Mapping[object, object], path: Path, place: Place) -> Branches:
        if not fields:
            self.wrong(place, "expected at least one field, found an empty mapping", _HINT_ANY)
        elif len(place) > EVENT_DEPTH_MAX:
            self.wrong(place, f"nested deeper than {EVENT_DEPTH_MAX} levels; no event is (EVENT_DEPTH_MAX)")
            return _ONE_EMPTY
        branches = _ONE_EMPTY
        for name, value in fields.items():
            if not isinstance(name, str):
                self.wrong(place, f"expected field names of text, found {_found(name)}", "put the name in quotes")
                continue
            here = (*place, name)
            if name == "$or":
                found = self.alternatives(value, path, here)
            elif _is_mapping(value):
                found = self.fields(value, (*path, name), here)
            else:
                found = (self.leaf(value, (*path, name), here),)
            if len(branches) * len(found) > PATTERN_BRANCHES_MAX:
                self.wrong(
                    here,
                    f"the `$or` of this pattern multiply to {len(branches) * len(found)} branches, "
                    f"{PATTERN_BRANCHES_MAX} are allowed (PATTERN_BRANCHES_MAX)",
                    "split it into several entries",
                )
                return _ONE_EMPTY
            if len(branches) == len(found) == 1:
                branches = (branches[0] + found[0],)
            else:
                branches = tuple(left + right for left in branches for right in found)
        return branches

    def alternatives(self, value: object, path: Path, place: Place) -> Branches:
        if not _is_list(value) or len(value) < 2:
            self.wrong(place, f"expected a list of two or more patterns, found {_found(value)}")
            return _ONE_EMPTY
        branches: Branches = ()
        for number, branch in enumerate(value):
            here = (*place, number)
            if _is_mapping(branch):
                branches += self.fields(branch, path, here)
            else:
                self.wrong(here, f"expected a mapping of fields, found {_found(branch)}")
        if len(branches) > PATTERN_BRANCHES_MAX:
            self.wrong(place, f"{len(branches)} branches, {PATTERN_BRANCHES_MAX} are allowed (PATTERN_BRANCHES_MAX)")
            return _ONE_EMPTY
        return branches or _ONE_EMPTY

    def leaf(self, value: object, path: Path, place: Place) -> tuple[FieldTest, ...]:
        if not _is_list(value):
            hint = "" if value is not None and not _is_scalar(value) else f"write [{_json(value)}]"
            self.wrong(place, f"expected a list of alternatives or a mapping of fields, found {_found(value)}", hint)
            return ()
        if not value:
            self.wrong(place, "expected at least one alternative, found an empty list", 'absent is {"exists": false}')
            return ()
        any_of: list[Operator] = []
        for number, entry in enumerate(value):
            try:
                any_of.append(_alternative(entry))
            except _Wrong as wrong:
                self.wrong((*place, number, *wrong.place), wrong.problem, wrong.hint)
        return (FieldTest(path, tuple(any_of)),)


class _Wrong(Exception):
    """What is wrong below one alternative of a leaf."""

    def __init__(self, problem: str, place: Place = (), hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.place, self.hint = problem, place, hint


_HINT_ANY = 'every event matches {"id": [{"exists": true}]}'


def _alternative(entry: object) -> Operator:
    if _is_scalar(entry):
        return _exact(entry)
    if not _is_mapping(entry):
        raise _Wrong(f"expected a value or a mapping with one operator, found {_found(entry)}")
    if len(entry) != 1:
        raise _Wrong(
            f"expected exactly one operator, found {_names(entry) or 'none'}",
            hint="alternatives are entries of their own; `numeric` takes both bounds" if entry else "",
        )
    ((name, value),) = entry.items()
    parse = _OPERATORS.get(name) if isinstance(name, str) else None
    if parse is None:
        raise _unknown(name, _OPERATORS, "operator")
    try:
        return parse(value)
    except _Wrong as wrong:
        wrong.place = (cast("str", name), *wrong.place)
        raise


def _unknown(name: object, known: Mapping[str, object], what: str) -> _Wrong:
    text = str(name).lower()
    near = _SYNONYMS.get(text) or nearest(text, known)
    hint = f"did you mean {near}?" if near in known else ""
    return _Wrong(f"unknown {what} {_json(name)}; expected {_one_of(known)}", (), hint)


def _exact(value: Scalar) -> Exact:
    if isinstance(value, float) and not math.isfinite(value):
        raise _Wrong(f"expected a finite number, found {value}")
    return Exact(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"expected text, found {_found(value)}")
    return value


def _affix(make: Callable[[str, bool], Prefix | Suffix], value: object) -> Prefix | Suffix:
    if _is_mapping(value):
        if list(value) != ["equals-ignore-case"]:
            raise _Wrong(
                f'expected text or {{"equals-ignore-case": text}}, found {_names(value) or "an empty mapping"}'
            )
        try:
            return make(_text(value["equals-ignore-case"]), True)
        except _Wrong as wrong:
            wrong.place = ("equals-ignore-case",)
            raise
    return make(_text(value), False)


def _prefix(value: object) -> Prefix:
    return cast("Prefix", _affix(Prefix, value))


def _suffix(value: object) -> Suffix:
    return cast("Suffix", _affix(Suffix, value))


def _ignore_case(value: object) -> IgnoreCase:
    return IgnoreCase(_text(value))


def _wildcard(value: object) -> Wildcard:
    text = _text(value)
    parts: list[str] = [""]
    at = 0
    while at < len(text):
        sign = text[at]
        if sign == "*":
            if text.startswith("**", at):
                raise _Wrong(
                    f"two `*` in a row at character {at + 1}", hint="one `*` spans anything; a literal one is \\*"
                )
            parts.append("")
        elif sign == "\\":
            at += 1
            if text[at : at + 1] not in ("*", "\\"):
                raise _Wrong(
                    f"`\\` at character {at} escapes neither `*` nor `\\`", hint="write a literal backslash as \\\\"
                )
            parts[-1] += text[at]
        else:
            parts[-1] += sign
        at += 1
    return Wildcard(text, tuple(parts))


_NUMERIC_SHAPE = '["=", n], one of ["<" | "<=" | ">" | ">=", n], or a lower and then an upper bound'


def _numeric(value: object) -> Numeric:
    if not _is_list(value) or len(value) not in (2, 4):
        raise _Wrong(f"expected {_NUMERIC_SHAPE}, found {_found(value)}")
    low, high, low_open, high_open = -INFINITY, INFINITY, False, False
    for at in range(0, len(value), 2):
        sign, bound = value[at], _number(value[at + 1], at + 1)
        if sign == "=" and len(value) == 2:
            low = high = bound
        elif sign in (">", ">=") and at == 0:
            low, low_open = bound, sign == ">"
        elif sign in ("<", "<=") and (at == 2 or len(value) == 2):
            high, high_open = bound, sign == "<"
        else:
            raise _Wrong(f"expected {_NUMERIC_SHAPE}, found {_found(sign)}", (at,))
    if len(value) == 4 and not low < high:
        raise _Wrong(f"expected a lower bound below the upper one, found {_json(value[1])} and {_json(value[3])}")
    return Numeric(low, low_open, high, high_open)


def _number(value: object, at: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = "take the quotes away" if isinstance(value, str) and _reads_as_number(value) else ""
        raise _Wrong(f"expected a number, found {_found(value)}", (at,), hint)
    try:
        number = float(value)
    except OverflowError:
        number = INFINITY
    if not math.isfinite(number):
        raise _Wrong(f"expected a number that a double holds, found {_found(value)}", (at,))
    return number


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cidr(value: object) -> Cidr:
    text = _text(value)
    try:
        if "/" not in text:
            raise ValueError("no / and prefix length")
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        hint = "one address is /32 (IPv4) or /128 (IPv6)" if "/" not in text else ""
        raise _Wrong(
            f"expected address/length such as 10.0.0.0/8 or fd00::/8, found {_found(value)}", (), hint
        ) from error
    return Cidr(network.version, int(network.network_address), network.prefixlen)


def _exists(value: object) -> Exists:
    if not isinstance(value, bool):
        raise _Wrong(f"expected true or false, found {_found(value)}")
    return Exists(value)


def _anything_but(value: object) -> AnythingBut:
    if _is_mapping(value):
        return AnythingBut(_anything_but_operator(value))
    if _is_list(value):
        if not value:
            raise _Wrong("expected at least one value, found an empty list", hint='present is {"exists": true}')
        tests = tuple(_but_value(entry, (number,)) for number, entry in enumerate(value))
    else:
        tests = (_but_value(value, ()),)
    if len({isinstance(test.value, str) for test in tests}) > 1:
        raise _Wrong("expected only text or only numbers, found both")
    return AnythingBut(tests)


def _but_value(value: object, place: Place) -> Exact:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Wrong(f"expected text or a number, found {_found(value)}", place)
    return _exact(value)


def _anything_but_operator(value: Mapping[object, object]) -> tuple[Prefix | Suffix | IgnoreCase | Wildcard, ...]:
    if len(value) != 1:
        raise _Wrong(f"expected exactly one operator, found {_names(value) or 'none'}")
    ((name, inner),) = value.items()
    make = _NEGATABLE.get(name) if isinstance(name, str) else None
    if make is None:
        raise _unknown(name, _NEGATABLE, "operator inside anything-but")
    label = cast("str", name)
    entries: Sequence[object] = inner if _is_list(inner) else [inner]
    if not entries:
        raise _Wrong("expected at least one text, found an empty list", (label,))
    tests: list[Prefix | Suffix | IgnoreCase | Wildcard] = []
    for number, entry in enumerate(entries):
        place: Place = (label, number) if _is_list(inner) else (label,)
        try:
            test = make(_text(entry))
        except _Wrong as wrong:
            wrong.place = (*place, *wrong.place)
            raise
        if entry == "" and label in ("prefix", "suffix"):
            raise _Wrong(f"an empty {label} takes every text, so that none is left", place)
        tests.append(test)
    return tuple(tests)


_OPERATORS: dict[str, Callable[[object], Operator]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _ignore_case,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "exists": _exists,
    "cidr": _cidr,
    "wildcard": _wildcard,
}
_NEGATABLE: dict[str, Callable[[object], Prefix | Suffix | IgnoreCase | Wildcard]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _ignore_case,
    "wildcard": _wildcard,
}
_SYNONYMS = {
    "not": "anything-but",
    "ne": "anything-but",
    "startswith": "prefix",
    "starts-with": "prefix",
    "endswith": "suffix",
    "ends-with": "suffix",
    "glob": "wildcard",
    "like": "wildcard",
    "gt": "numeric",
    "gte": "numeric",
    "lt": "numeric",
    "lte": "numeric",
    ">": "numeric",
    ">=": "numeric",
    "<": "numeric",
    "<=": "numeric",
    "ip": "cidr",
    "present": "exists",
    "icase": "equals-ignore-case",
}


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return type(value) is list or isinstance(value, list | tuple)


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return type(value) is dict or isinstance(value, Mapping)


def _is_scalar(value: object) -> TypeGuard[Scalar]:
    return type(value) is str or value is None or isinstance(value, str | int | float)


def _json(value: object) -> str:
    try:
        shown = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARS_MAX else shown[: _SHOWN_CHARS_MAX - 1] + "…"


def _found(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return _json(value)
    if isinstance(value, str):
        return f"the text {_json(value)}"
    if isinstance(value, int | float):
        return f"the number {_json(value)}"
    if _is_mapping(value):
        return f"the mapping {_json(value)}"
    if _is_list(value):
        return f"the list {_json(list(value))}"
    return f"{type(value).__name__} {_json(value)}"


def _names(mapping: Mapping[object, object]) -> str:
    return ", ".join(_json(name) for name in mapping)


def _one_of(known: Mapping[str, object]) -> str:
    *most, last = known
    return f"{', '.join(most)} or {last}"
