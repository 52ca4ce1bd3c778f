"""The plain form of an event pattern: a disjunction of conjunctions of tests on paths.

`patterns.py` makes it from text's data and says what is wrong; the router's index gives it its meaning.
"""

from __future__ import annotations

import ipaddress
from typing import Any, TypeAlias

from msgspec import Struct

Path: TypeAlias = tuple[str, ...]
Scalar: TypeAlias = str | int | float | bool | None

INFINITY = float("inf")


class Exact(Struct, frozen=True, gc=False):
    """Equal to this JSON scalar; numbers by their double value, `true`, `false` and `null` only to themselves."""

    operator = "equals"
    value: Scalar

    @property
    def expected(self) -> Any:
        """As the pattern spells it."""
        return self.value


class Prefix(Struct, frozen=True, gc=False):
    """A string that begins so."""

    operator = "prefix"
    text: str
    ignore_case: bool = False

    @property
    def expected(self) -> Any:
        """As the pattern spells it."""
        return {"prefix": {"equals-ignore-case": self.text} if self.ignore_case else self.text}


class Suffix(Struct, frozen=True, gc=False):
    """A string that ends so."""

    operator = "suffix"
    text: str
    ignore_case: bool = False

    @property
    def expected(self) -> Any:
        """As the pattern spells it."""
        return {"suffix": {"equals-ignore-case": self.text} if self.ignore_case else self.text}


class IgnoreCase(Struct, frozen=True, gc=False):
    """A string equal to this but for case (Unicode case folding)."""

    operator = "equals-ignore-case"
    text: str

    @property
    def expected(self) -> Any:
        """As the pattern spells it."""
        return {"equals-ignore-case": self.text}


class Wildcard(Struct, frozen=True, gc=False):
    """A whole string in which `*` stands for any characters or none; `parts` are the literals between the stars."""

    operator = "wildcard"
    text: str
    parts: tuple[str, ...]

    @property
    def expected(self) -> Any:
        """As the pattern spells it."""
        return {"wildcard": self.text}


class Numeric(Struct, frozen=True, gc=False):
    """A number between two bounds, each open or closed; infinity where there is none."""

    operator = "numeric"
    low: float
    low_open: bool
    high: float
    high_open: bool

    @property
    def expected(self) -> Any:
        """As the pattern spells it."""
        low, high = _plain(self.low), _plain(self.high)
        if low == high:
            return {"numeric": ["=", low]}
        spec: list[str | float] = []
        if low != -INFINITY:
            spec += [">" if self.low_open else ">=", low]
        if high != INFINITY:
            spec += ["<" if self.high_open else "<=", high]
        return {"numeric": spec}


class Cidr(Struct, frozen=True, gc=False):
    """An IP address (text) in this network; `network` has its host bits cleared."""

    operator = "cidr"
    version: int
    network: int
    length: int

    @property
    def expected(self) -> Any:
        """In canonical form, host bits cleared."""
        make = ipaddress.IPv4Address if self.version == 4 else ipaddress.IPv6Address
        return {"cidr": f"{make(self.network)}/{self.length}"}


class Exists(Struct, frozen=True, gc=False):
    """The field is there with a scalar value (null and "" are), or it is not."""

    operator = "exists"
    present: bool

    @property
    def expected(self) -> Any:
        """As the pattern spells it."""
        return {"exists": self.present}


class AnythingBut(Struct, frozen=True, gc=False):
    """A value that is there and that none of these takes."""

    operator = "anything-but"
    tests: tuple[Exact | Prefix | Suffix | IgnoreCase | Wildcard, ...]

    @property
    def expected(self) -> Any:
        """As the pattern spells it; a list even if it has one member."""
        shown = [test.expected for test in self.tests]
        if isinstance(self.tests[0], Exact):
            return {"anything-but": shown}
        name = self.tests[0].operator
        return {"anything-but": {name: [entry[name] for entry in shown]}}


Operator: TypeAlias = Exact | Prefix | Suffix | IgnoreCase | Wildcard | Numeric | Cidr | Exists | AnythingBut


class FieldTest(Struct, frozen=True, gc=False):
    """One field: at least one of `any_of` must hold for the value at `path`."""

    path: Path
    any_of: tuple[Operator, ...]


class Pattern(Struct, frozen=True, gc=False):
    """At least one of `branches` must hold; a branch is a conjunction of tests, in the order of the text."""

    branches: tuple[tuple[FieldTest, ...], ...]


def _plain(number: float) -> float:
    return int(number) if number.is_integer() else number
