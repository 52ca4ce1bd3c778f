"""A plain, slow matcher straight from the words of the pattern language: what the index is compared with.

It shares no code with the index. Array consistency is taken literally: one value is chosen for each field, every value
remembers at which element of which array it lies, and no array may be at two elements at once.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from typing import Any

Membership = dict[tuple[Any, ...], int]


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Does the event satisfy the pattern?"""
    return any(_branch_matches(branch, event) for branch in _branches(pattern, ()))


def _branches(pattern: dict[str, Any], path: tuple[str, ...]) -> list[list[tuple[tuple[str, ...], list[Any]]]]:
    branches: list[list[tuple[tuple[str, ...], list[Any]]]] = [[]]
    for name, value in pattern.items():
        if name == "$or":
            options = [branch for alternative in value for branch in _branches(alternative, path)]
        elif isinstance(value, dict):
            options = _branches(value, (*path, name))
        else:
            options = [[((*path, name), value)]]
        branches = [left + right for left in branches for right in options]
    return branches


def _branch_matches(branch: list[tuple[tuple[str, ...], list[Any]]], event: dict[str, Any]) -> bool:
    choices: list[list[Membership]] = []
    for path, alternatives in branch:
        found = _values(event, path, {}, ())
        if not found:
            if {"exists": False} not in alternatives:
                return False
            continue
        fitting = [where for value, where in found if any(_fits(value, one) for one in alternatives)]
        if not fitting:
            return False
        choices.append(fitting)
    return any(_consistent(chosen) for chosen in itertools.product(*choices))


def _consistent(chosen: tuple[Membership, ...]) -> bool:
    at: Membership = {}
    return all(at.setdefault(array, element) == element for where in chosen for array, element in where.items())


def _values(
    value: Any, path: tuple[str, ...], where: Membership, place: tuple[Any, ...]
) -> list[tuple[Any, Membership]]:
    if isinstance(value, list):
        found: list[tuple[Any, Membership]] = []
        for number, item in enumerate(value):
            inside = {**where, place: number} if isinstance(item, dict | list) else where
            found += _values(item, path, inside, (*place, number))
        return found
    if isinstance(value, dict):
        if path and path[0] in value:
            return _values(value[path[0]], path[1:], where, (*place, path[0]))
        return []
    return [] if path else [(value, where)]


def _fits(value: Any, alternative: Any) -> bool:
    if not isinstance(alternative, dict):
        return _equal(value, alternative)
    ((operator, wanted),) = alternative.items()
    text = value if isinstance(value, str) else None
    if operator == "exists":
        return wanted
    if operator == "anything-but":
        if isinstance(wanted, dict):
            ((inner, operands),) = wanted.items()
            operands = operands if isinstance(operands, list) else [operands]
            return not any(_fits(value, {inner: operand}) for operand in operands)
        return not any(_equal(value, one) for one in (wanted if isinstance(wanted, list) else [wanted]))
    if operator == "numeric":
        return _is_number(value) and all(
            _compare(float(value), sign, float(bound)) for sign, bound in zip(wanted[::2], wanted[1::2], strict=True)
        )
    if text is None:
        return False
    if operator in ("prefix", "suffix"):
        take = str.startswith if operator == "prefix" else str.endswith
        if isinstance(wanted, dict):
            return take(text.casefold(), wanted["equals-ignore-case"].casefold())
        return take(text, wanted)
    if operator == "equals-ignore-case":
        return text.casefold() == wanted.casefold()
    if operator == "wildcard":
        return re.fullmatch(_expression(wanted), text, re.DOTALL) is not None
    assert operator == "cidr"
    try:
        return ipaddress.ip_address(text) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _expression(wildcard: str) -> str:
    signs = re.findall(r"\\.|.", wildcard, re.DOTALL)
    return "".join(".*" if sign == "*" else re.escape(sign[-1]) for sign in signs)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(value: Any, wanted: Any) -> bool:
    if _is_number(value) and _is_number(wanted):
        return float(value) == float(wanted)
    return type(value) is type(wanted) and value == wanted


def _compare(value: float, sign: str, bound: float) -> bool:
    return {"=": value == bound, "<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[
        sign
    ]
