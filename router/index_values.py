"""What a pattern's tests mean for the values of an event, and under which keys a test can be filed.

A value is normalised so that Python's equality is JSON's: `true`, `false` and `null` become objects that equal
nothing else, integers that a double cannot hold exactly become doubles. A field's value is one such scalar, ABSENT,
or, if it lies in an array, the list of all scalars found there. A test is a container: it holds iff a value is `in`
it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from math import nextafter
from typing import Any, Protocol, TypeAlias, cast

from msgspec import UNSET, Raw, json

from ..language.pattern_form import (
    INFINITY,
    AnythingBut,
    Cidr,
    Exact,
    Exists,
    IgnoreCase,
    Numeric,
    Operator,
    Prefix,
    Suffix,
    Wildcard,
)

type_of = cast("Callable[[Any], type[Any]]", type)
ABSENT: Any = UNSET  # also what msgspec leaves in a field that the text lacks
Key: TypeAlias = tuple[str, Any]  # kind of table, key in it
GRAM_CHARS = 3
decode = json.Decoder().decode
_EXACT_INT_MAX = 2**53
_SHARED_MAX = 20_000


class _Literal:
    __slots__ = ("value",)

    def __init__(self, value: bool | None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<{self.value}>"


TRUE, FALSE, NULL = _Literal(True), _Literal(False), _Literal(None)
_CONTAINERS: tuple[Any, ...] = (dict, list)
_PLAIN: frozenset[Any] = frozenset[Any]((str, int, float, bool, type(None), *_CONTAINERS, type_of(ABSENT), _Literal))


class Container(Protocol):
    """Anything with `in`: a frozenset, or one of the classes below."""

    def __contains__(self, value: Any, /) -> bool: ...


def scalar(value: Any) -> Any:
    """A JSON scalar in the form that tests compare; ABSENT for everything else (an object or a list is no leaf).
    Idempotent."""
    kind = type_of(value)
    if kind is str or kind is float:
        return value
    if kind is bool:
        return TRUE if value else FALSE
    if kind is int:
        return value if -_EXACT_INT_MAX <= value <= _EXACT_INT_MAX else _double(value)
    if value is None:
        return NULL
    if kind is dict or value is ABSENT:
        return ABSENT
    if kind is _Literal:
        return value
    for plain in (str, int, float):
        if isinstance(value, plain):
            return scalar(plain(value))
    return ABSENT


def values(value: Any) -> Any:
    """`scalar`, or for an array the list of all scalars in it, arrays inside included; ABSENT if there are none."""
    if type(value) not in _PLAIN:
        value = plain(value)
    if type(value) is not list:
        return scalar(value)
    found: list[Any] = []
    collect(cast("list[Any]", value), found)
    return found or ABSENT


def collect(items: list[Any], found: list[Any]) -> None:
    """Add the scalars of an array and of the arrays inside it."""
    for item in items:
        value = values(item)
        if type(value) is list:
            found += value
        elif value is not ABSENT:
            found.append(value)


def plain(value: Any) -> Any:
    """What Python code may put into an event beside JSON's own: other mappings, tuples, JSON text that is still
    undecoded."""
    if type(value) in _PLAIN:
        return value
    if type(value) is Raw:
        return decode(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def shown(value: Any) -> tuple[Any, ...]:
    """A field's value as JSON values, for people."""
    if value is ABSENT:
        return ()
    found = cast("list[Any]", value if type(value) is list else [value])
    return tuple(item.value if type(item) is _Literal else item for item in found)


def _double(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return INFINITY if number > 0 else -INFINITY


class _Present:
    __slots__ = ()

    def __contains__(self, value: Any) -> bool:
        return value is not ABSENT


class _Anything:
    __slots__ = ()

    def __contains__(self, value: Any) -> bool:
        return True


class _Starts:
    __slots__ = ("texts",)

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts

    def __contains__(self, value: Any) -> bool:
        return type(value) is str and value.startswith(self.texts)


class _Ends:
    __slots__ = ("texts",)

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts

    def __contains__(self, value: Any) -> bool:
        return type(value) is str and value.endswith(self.texts)


class _Folded:
    """Another test, made for case-folded text."""

    __slots__ = ("test",)

    def __init__(self, test: Container) -> None:
        self.test = test

    def __contains__(self, value: Any) -> bool:
        return type(value) is str and value.casefold() in self.test


class _Glob:
    """Leftmost search for each literal in turn: linear where a regular expression would try every way to share out
    the stars."""

    __slots__ = ("head", "length", "middle", "tail")

    def __init__(self, parts: tuple[str, ...]) -> None:
        self.head, self.middle, self.tail = parts[0], parts[1:-1], parts[-1]
        self.length = len(self.head) + len(self.tail)

    def __contains__(self, value: Any) -> bool:
        if type(value) is not str or len(value) < self.length:
            return False
        if not (value.startswith(self.head) and value.endswith(self.tail)):
            return False
        at, end = len(self.head), len(value) - len(self.tail)
        for part in self.middle:
            at = value.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True


class _Range:
    """Between two bounds. An open bound is kept as the next double inside it: all numbers compared are doubles."""

    __slots__ = ("high", "low")

    def __init__(self, bounds: Numeric) -> None:
        self.low = nextafter(bounds.low, INFINITY) if bounds.low_open else bounds.low
        self.high = nextafter(bounds.high, -INFINITY) if bounds.high_open else bounds.high

    def __contains__(self, value: Any) -> bool:
        return (type(value) is float or type(value) is int) and self.low <= value <= self.high


class _Network:
    __slots__ = ("network", "shift", "version")

    def __init__(self, cidr: Cidr) -> None:
        self.version, self.shift = cidr.version, (32 if cidr.version == 4 else 128) - cidr.length
        self.network = cidr.network >> self.shift

    def __contains__(self, value: Any) -> bool:
        if type(value) is not str:
            return False
        address = ipv4(value) if self.version == 4 else ipv6(value)
        return address is not None and address >> self.shift == self.network


def ipv4(text: str) -> int | None:
    """The address as a number; None unless it is four plain decimal parts."""
    parts = text.split(".")
    if len(parts) != 4:
        return None
    address = 0
    for part in parts:
        if not (part.isascii() and part.isdigit()) or len(part) > 3 or (part[0] == "0" and part != "0"):
            return None
        number = int(part)
        if number > 255:
            return None
        address = address << 8 | number
    return address


def ipv6(text: str) -> int | None:
    """The address as a number; None if it is none."""
    if ":" not in text:
        return None
    try:
        return int(ipaddress.IPv6Address(text))
    except ValueError:
        return None


class _But:
    """Present, and in none of these."""

    __slots__ = ("taken",)

    def __init__(self, taken: Container) -> None:
        self.taken = taken

    def __contains__(self, value: Any) -> bool:
        return value not in self.taken and value is not ABSENT


class _Either:
    __slots__ = ("tests",)

    def __init__(self, tests: tuple[Container, ...]) -> None:
        self.tests = tests

    def __contains__(self, value: Any) -> bool:
        return any(value in test for test in self.tests)


_PRESENT, _ANYTHING = _Present(), _Anything()
_ABSENT_ONLY: frozenset[Any] = frozenset((ABSENT,))
_shared: dict[frozenset[Any], frozenset[Any]] = {}


def container(any_of: tuple[Operator, ...]) -> Container:
    """One container for all alternatives of a field."""
    exact: set[Any] = set()
    others: list[Container] = []
    for operator in any_of:
        if type(operator) is Exact:
            exact.add(scalar(operator.value))
        elif type(operator) is Exists and not operator.present:
            exact.add(ABSENT)
        else:
            others.append(_container(operator))
    if exact:
        others.append(_share(frozenset(exact)))
    if len(others) == 1:
        return others[0]
    return _ANYTHING if _PRESENT in others and ABSENT in exact else _Either(tuple(others))


def _container(operator: Operator) -> Container:
    kind = type(operator)
    if kind is AnythingBut:
        return _But(container(cast("AnythingBut", operator).tests))
    if kind is Numeric:
        return _Range(cast("Numeric", operator))
    if kind is Cidr:
        return _Network(cast("Cidr", operator))
    if kind is Exists:
        return _PRESENT
    if kind is IgnoreCase:
        return _Folded(frozenset((cast("IgnoreCase", operator).text.casefold(),)))
    if kind is Wildcard:
        parts = cast("Wildcard", operator).parts
        return _Glob(parts) if len(parts) > 1 else _share(frozenset(parts))
    affix = cast("Prefix | Suffix", operator)
    make = _Starts if kind is Prefix else _Ends
    return _Folded(make((affix.text.casefold(),))) if affix.ignore_case else make((affix.text,))


def _share(values: frozenset[Any]) -> frozenset[Any]:
    if len(_shared) > _SHARED_MAX:
        _shared.clear()
    return _shared.setdefault(values, values)


HAS: Key = ("has", None)
NOT: Key = ("not", None)


def filing(any_of: tuple[Operator, ...]) -> tuple[Key, ...]:
    """The keys, at least one of which every event carries that satisfies this field; none if there is no such choice.

    Kinds: `eq` whole value, `fold` the same case-folded, `pre suf fpre fsuf` its beginning or end (f: folded), `ends`
    both, `gram` a literal somewhere in it, `net` a network, `num` a range, `has` and `not`: the field is there, or is
    not.
    """
    keys: list[Key] = []
    for operator in any_of:
        key = _key(operator)
        if key not in keys:
            keys.append(key)
    if HAS in keys:
        return () if NOT in keys else (HAS,)
    return tuple(keys)


def _key(operator: Operator) -> Key:
    if isinstance(operator, Exact):
        return "eq", scalar(operator.value)
    if isinstance(operator, IgnoreCase):
        return "fold", operator.text.casefold()
    if isinstance(operator, Prefix):
        return _affix("pre", operator.text, operator.ignore_case)
    if isinstance(operator, Suffix):
        return _affix("suf", operator.text, operator.ignore_case)
    if isinstance(operator, Numeric):
        if operator.low == operator.high:
            return "eq", operator.low
        return "num", (operator.low, operator.high)
    if isinstance(operator, Cidr):
        return "net", (operator.version, operator.network, operator.length)
    if isinstance(operator, Wildcard):
        return _wildcard_key(operator.parts)
    return NOT if isinstance(operator, Exists) and not operator.present else HAS


def _affix(kind: str, text: str, ignore_case: bool) -> Key:
    if not text:
        return HAS
    return (f"f{kind}", text.casefold()) if ignore_case else (kind, text)


def _wildcard_key(parts: tuple[str, ...]) -> Key:
    if len(parts) == 1:
        return "eq", parts[0]
    head, tail = parts[0], parts[-1]
    if head and tail:
        return "ends", (head, tail)
    longest = max(parts, key=len)
    if len(head) + len(tail) < 2 and len(longest) >= GRAM_CHARS:
        return "gram", longest
    if head:
        return "pre", head
    return ("suf", tail) if tail else HAS
