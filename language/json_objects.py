"""The keywords of JSON Schema for objects, and those that combine schemas. Source: as `json_keywords.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .diagnostics import Path, nearest
from .json_compiler import Build, Compiler, Node, SchemaFault
from .json_keywords import VALUE_KEYWORDS, faults_of, regex_of
from .values import found, is_mapping


def _properties(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    nodes = tuple((key, c.node(item, (*path, key), frozenset())) for key, item in c.mapping(value, path).items())

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_mapping(item):
            members = item
            for key, node in nodes:
                if key in members:
                    node(members[key], (*at, key), out)

    return check


def _required(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    if isinstance(value, bool):
        raise c.wrong(
            path, "`required` is a list of property names; found " + found(value), "it stands beside `properties`"
        )
    names = c.names(value, path)

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_mapping(item):
            for name in names:
                if name not in item:
                    out.append(SchemaFault((*at, name), f"`{name}` is missing", name, "nothing", "required"))

    return check


def _additional(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node | None:
    if value is True:
        return None
    node = None if value is False else c.node(value, path, frozenset())
    properties = words.get("properties")
    known = frozenset(properties) if is_mapping(properties) else frozenset[str]()
    others = words.get("patternProperties")
    patterns = tuple(regex_of(c, key, path) for key in others) if is_mapping(others) else ()

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if not is_mapping(item):
            return
        for key, member in item.items():
            if key in known or any(each.search(key) for each in patterns):
                continue
            if node is not None:
                node(member, (*at, key), out)
                continue
            near = nearest(key, known)
            hint = f"; did you mean {near}?" if near else ""
            out.append(
                SchemaFault(
                    (*at, key), f"`{key}` is not known{hint}", "no other properties", key, "additionalProperties"
                )
            )

    return check


def _pattern_properties(
    c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]
) -> Node:
    nodes = tuple(
        (regex_of(c, key, (*path, key)), c.node(item, (*path, key), frozenset()))
        for key, item in c.mapping(value, path).items()
    )

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_mapping(item):
            for key, member in item.items():
                for each, node in nodes:
                    if each.search(key):
                        node(member, (*at, key), out)

    return check


def _property_names(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    node = c.node(value, path, frozenset())

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_mapping(item):
            for key in item:
                for fault in faults_of(node, key):
                    message = f"the name of a property: {fault.message}"
                    out.append(SchemaFault((*at, key), message, fault.expected, fault.found, "propertyNames"))

    return check


def _dependent_required(
    c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]
) -> Node:
    needs = tuple((key, c.names(item, (*path, key))) for key, item in c.mapping(value, path).items())

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_mapping(item):
            for key, names in needs:
                for name in names if key in item else ():
                    if name not in item:
                        message = f"`{name}` is missing; `{key}` needs it"
                        out.append(SchemaFault((*at, name), message, name, "nothing", "dependentRequired"))

    return check


def _dependent_schemas(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    nodes = tuple((key, c.node(item, (*path, key), in_place)) for key, item in c.mapping(value, path).items())

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if is_mapping(item):
            for key, node in nodes:
                if key in item:
                    node(item, at, out)

    return check


def _all_of(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    nodes = c.schemas(value, path, in_place)

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        for node in nodes:
            node(item, at, out)

    return check


def _any_of(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    nodes = c.schemas(value, path, in_place)

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        wrong: list[list[SchemaFault]] = []
        for node in nodes:
            faults = faults_of(node, item, at)
            if not faults:
                return
            wrong.append(faults)
        out.append(_none_fits("anyOf", wrong, item, at))

    return check


def _one_of(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    nodes = c.schemas(value, path, in_place)

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        results = [faults_of(node, item, at) for node in nodes]
        fitting = [number for number, faults in enumerate(results) if not faults]
        if not fitting:
            out.append(_none_fits("oneOf", results, item, at))
        elif len(fitting) > 1:
            expected = "exactly one of the alternatives"
            shown = f"{len(fitting)} that fit"
            out.append(SchemaFault(at, f"expected {expected}; found {shown}", expected, shown, "oneOf"))

    return check


def _none_fits(keyword: str, wrong: list[list[SchemaFault]], value: Any, path: Path) -> SchemaFault:
    """The alternative that went deepest says best what was meant; alternatives that differ by type are listed."""
    deepest = max(wrong, key=lambda faults: max(len(fault.path) for fault in faults))
    if len(deepest[0].path) > len(path) and len({len(faults[0].path) for faults in wrong}) > 1:
        return deepest[0]
    expected = " or ".join(dict.fromkeys(faults[0].expected or faults[0].message for faults in wrong))
    return SchemaFault(path, f"expected {expected}; found {found(value)}", expected, found(value), keyword)


def _not(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    node = c.node(value, path, in_place)

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        if not faults_of(node, item, at):
            shown = found(item)
            out.append(
                SchemaFault(
                    at, f"expected a value that `not` does not take; found {shown}", "another value", shown, "not"
                )
            )

    return check


def _if(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node | None:
    test = c.node(value, path, in_place)
    then = c.node(words["then"], (*path[:-1], "then"), in_place) if "then" in words else None
    otherwise = c.node(words["else"], (*path[:-1], "else"), in_place) if "else" in words else None

    def check(item: Any, at: Path, out: list[SchemaFault]) -> None:
        node = otherwise if faults_of(test, item, at) else then
        if node is not None:
            node(item, at, out)

    return check


def _ref(c: Compiler, words: Mapping[str, Any], value: Any, path: Path, in_place: frozenset[str]) -> Node:
    return c.reference(value, path, in_place)


KEYWORDS: dict[str, Build] = {
    **VALUE_KEYWORDS,
    "$ref": _ref,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "propertyNames": _property_names,
    "required": _required,
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
}
"""Keyword → what makes its node; in the order in which messages are wanted, `type` first."""
