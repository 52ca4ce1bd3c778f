"""Versions of workflows and ranges of them: `1.2.0`, `^1`, `~1.2`, `>=1.2 <2`.

Source: Semantic Versioning 2.0.0 (precedence, section 11); ranges as npm has them. A pre-release fits a range only
if the range names one of the same version.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..core.errors import ConfigError

_NUMBER = r"(?:0|[1-9]\d*)"
_TAIL = r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER}){_TAIL}", re.ASCII)
_PART = re.compile(
    rf"(\^|~|>=|<=|>|<|=)?\s*({_NUMBER}|[xX*])(?:\.({_NUMBER}|[xX*]))?(?:\.({_NUMBER}|[xX*]))?{_TAIL}", re.ASCII
)

Key = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]


def version_key(text: str) -> Key:
    """What versions are ordered by: a pre-release stands before its release. Raises ConfigError if it is no version."""
    hit = VERSION.fullmatch(text)
    if hit is None:
        raise ConfigError(f"{text!r} is not a version", hint="write three numbers, such as 1.2.0")
    return (int(hit[1]), int(hit[2]), int(hit[3]), 0 if hit[4] else 1, _pre(hit[4]))


def _pre(text: str | None) -> tuple[tuple[int, int, str], ...]:
    parts = text.split(".") if text else []
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


class Range(NamedTuple):
    """A range: any of some conjunctions of (least, most) bounds, each with whether the bound itself is in."""

    text: str
    any_of: tuple[tuple[tuple[str, Key], ...], ...]

    def holds(self, version: str) -> bool:
        """Is this version in the range? Raises ConfigError if it is none."""
        key = version_key(version)
        return any(
            all(_compare(key, sign, bound) for sign, bound in part) and _pre_fits(key, part) for part in self.any_of
        )

    def best(self, versions: list[str]) -> str | None:
        """The highest of these versions that is in the range."""
        return max((version for version in versions if self.holds(version)), key=version_key, default=None)


def _compare(key: Key, sign: str, bound: Key) -> bool:
    if sign == ">=":
        return key >= bound
    if sign == "<":
        return key < bound
    return key > bound if sign == ">" else key <= bound


def _pre_fits(key: Key, part: tuple[tuple[str, Key], ...]) -> bool:
    return key[3] == 1 or any(bound[:3] == key[:3] and bound[3] == 0 and bound[4] for _, bound in part)


def parse_range(text: str) -> Range:
    """A range: `1.2.0`, `1.x`, `*`, `^1.2`, `~1.2`, comparisons side by side, `||` between. Raises ConfigError."""
    parts: list[tuple[tuple[str, Key], ...]] = []
    for alternative in text.split("||"):
        words = re.sub(r"(\^|~|>=|<=|>|<|=)\s+", r"\1", alternative.strip()).split()
        if not words:
            raise _no_range(text)
        parts.append(tuple(bound for word in words for bound in _bounds(word, text)))
    return Range(text, tuple(parts))


def _bounds(word: str, text: str) -> list[tuple[str, Key]]:
    hit = _PART.fullmatch(word)
    if hit is None:
        raise _no_range(text)
    sign = hit[1] or ""
    numbers = [int(part) for part in (hit[2], hit[3], hit[4]) if part is not None and part.isdigit()]
    pre = hit[5] if len(numbers) == 3 else None
    if not numbers:
        return [(">=", _low(0, 0, 0))]
    full = [*numbers, 0, 0][:3]
    low: Key = (full[0], full[1], full[2], 0 if pre else 1, _pre(pre))
    if sign == ">=":
        return [(">=", low)]
    if sign == "<":
        return [("<", low if pre else _low(*full))]
    if sign == ">":
        return [(">", low)] if len(numbers) == 3 else [(">=", _low(*_next(numbers)))]
    if sign == "<=":
        return [("<=", low)] if len(numbers) == 3 else [("<", _low(*_next(numbers)))]
    if sign == "^":
        lead = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
        return [(">=", low), ("<", _low(*_next(numbers[: lead + 1])))]
    if sign == "~":
        return [(">=", low), ("<", _low(*_next(numbers[:2])))]
    return [(">=", low), ("<=", low) if len(numbers) == 3 else ("<", _low(*_next(numbers)))]


def _next(numbers: list[int]) -> list[int]:
    return [*numbers[:-1], numbers[-1] + 1, 0, 0][:3]


def _low(major: int, minor: int, patch: int) -> Key:
    """Before every pre-release of this version: an upper bound leaves those out."""
    return (major, minor, patch, 0, ())


def _no_range(text: str) -> ConfigError:
    return ConfigError(f"{text!r} is not a range of versions", hint="write one such as 1.2.0, ^1, ~1.2 or >=1.2 <2")


def split_reference(text: str) -> tuple[str, Range | None]:
    """Name and range of `ship@^1`; no range if there is none. Raises ConfigError."""
    name, at, wanted = text.partition("@")
    return name, parse_range(wanted) if at else None
