"""Which versions of Reactor a plugin requires, as its metadata says it.

Source: the pages "Dependency specifiers" and "Version specifiers" of the Python Packaging User Guide.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping

from .. import __version__

DISTRIBUTION = "reactor-triggers"
"""The name with which a plugin requires Reactor."""

_requirement = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*(?:;(.*))?", re.DOTALL).fullmatch
_bound = re.compile(r"\s*(~=|===|==|!=|<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)*)(\.\*)?\s*").fullmatch
_word = re.compile(r"""\s*(?:(?P<text>"[^"]*"|'[^']*')|(?P<sign>~=|===|==|!=|<=|>=|<|>|[()])|(?P<name>[A-Za-z_.]+))""")
_is_version = re.compile(r"[0-9]+(\.[0-9]+)*").fullmatch


def normalised(name: str) -> str:
    """A distribution's name as definitions write it: lower case, words joined by `-`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def unfit(requires: Iterable[str]) -> str:
    """The bounds on Reactor's version that this version does not keep; empty if it keeps all.

    A requirement whose marker does not hold here (`; python_version < "3.12"`, `; extra == "dev"`) asks for nothing.
    """
    for each in requires:
        read = _requirement(each)
        if read is None or normalised(read[1]) != DISTRIBUTION or not holds(read[3] or ""):
            continue
        bounds = [bound for bound in (_bound(part) for part in read[2].split(",")) if bound is not None]
        if not all(_keeps(__version__, bound[1], bound[2], any_=bound[3] is not None) for bound in bounds):
            return read[2].strip()
    return ""


def holds(marker: str, environment: Mapping[str, str] | None = None) -> bool:
    """Does an environment marker hold, here or in the environment given? One that cannot be read does."""
    words = list(_words(marker))
    if not words:
        return True
    try:
        found, rest = _either(words, _here() if environment is None else environment)
    except (IndexError, KeyError, ValueError):
        return True
    return found or bool(rest)


def _here() -> Mapping[str, str]:
    version = platform.python_version()
    return {
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": version,
        "implementation_name": sys.implementation.name,
        "implementation_version": version,
        "extra": "",  # nobody knows with which extras it was installed
    }


def _words(marker: str) -> Iterable[str]:
    at = 0
    while at < len(marker.rstrip()):
        found = _word.match(marker, at)
        if found is None:
            yield marker[at:]  # nothing that a marker can have
            return
        at = found.end()
        yield found[0].strip()


def _either(words: list[str], environment: Mapping[str, str]) -> tuple[bool, list[str]]:
    """`… or …`: does it hold, and the words behind it."""
    found, rest = _both(words, environment)
    while rest and rest[0] == "or":
        other, rest = _both(rest[1:], environment)
        found = found or other
    return found, rest


def _both(words: list[str], environment: Mapping[str, str]) -> tuple[bool, list[str]]:
    found, rest = _one(words, environment)
    while rest and rest[0] == "and":
        other, rest = _one(rest[1:], environment)
        found = found and other
    return found, rest


def _one(words: list[str], environment: Mapping[str, str]) -> tuple[bool, list[str]]:
    if words[0] == "(":
        found, rest = _either(words[1:], environment)
        if rest[0] != ")":
            raise ValueError(rest[0])
        return found, rest[1:]
    left, sign, *rest = words
    if sign == "not":
        sign = f"not {rest.pop(0)}"
    return _compared(_value(left, environment), sign, _value(rest[0], environment)), rest[1:]


def _value(word: str, environment: Mapping[str, str]) -> str:
    return word[1:-1] if word[0] in "\"'" else environment[word]


def _compared(left: str, sign: str, right: str) -> bool:
    """Versions number by number, all else as text."""
    if sign in ("in", "not in"):
        return (left in right) is (sign == "in")
    any_ = right.endswith(".*")
    plain = right.removesuffix(".*")
    if _is_version(plain) and re.match(r"[0-9]", left):
        return _keeps(left, sign, plain, any_=any_)
    return {
        "==": left == right, "===": left == right, "!=": left != right,
        "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right,
    }[sign]  # fmt: skip


def _keeps(version: str, sign: str, text: str, *, any_: bool) -> bool:
    """Does a version keep one bound? They are compared number by number; `any_`: whatever follows (`== 1.2.*`)."""
    bound = tuple(int(part) for part in text.split("."))
    own = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    width = len(bound) if any_ else max(len(own), len(bound))
    a, b = (own + (0,) * (width - len(own)))[:width], bound + (0,) * (width - len(bound))
    if sign == "~=":
        return a >= b and own[: len(bound) - 1] == bound[:-1]
    return {"===": a == b, "==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]
