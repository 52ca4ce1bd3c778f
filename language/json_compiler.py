"""A JSON Schema becomes nested functions, keyword by keyword; what each keyword means, it is given.

Source: JSON Schema core, draft 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from ..core.errors import ConfigError
from .diagnostics import Path, nearest, path_text
from .values import found, is_list, is_mapping

ANNOTATIONS = frozenset((
    "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id",
    "$anchor", "$defs", "definitions", "contentMediaType", "contentEncoding", "contentSchema", "discriminator",
    "then", "else", "minContains", "maxContains",
))  # fmt: skip
_REFUSED = {
    "$dynamicRef": "use `$ref` to a schema under `$defs`",
    "$dynamicAnchor": "use `$anchor`",
    "$recursiveRef": "use `$ref`",
    "unevaluatedProperties": "use `additionalProperties` in the schema that names the properties",
    "unevaluatedItems": "use `items` in the schema that names the items",
}
SCHEMA_DEPTH_MAX = 64


class SchemaFault(Struct, frozen=True):
    """Where a value does not satisfy its schema: `path` inside the value, `keyword` of the schema that says so."""

    path: Path
    message: str
    expected: str = ""
    found: str = ""
    keyword: str = ""

    def __str__(self) -> str:
        """Path and message."""
        where = path_text(self.path)
        return f"{where}: {self.message}" if where else self.message


Node: TypeAlias = Callable[[Any, Path, "list[SchemaFault]"], None]
Build: TypeAlias = Callable[["Compiler", Mapping[str, Any], Any, Path, frozenset[str]], "Node | None"]


def anything(value: Any, path: Path, out: list[SchemaFault]) -> None:
    """`true`: takes every value."""


def nothing(value: Any, path: Path, out: list[SchemaFault]) -> None:
    """`false`: takes no value."""
    out.append(SchemaFault(path, f"nothing is allowed here; found {found(value)}", "nothing", found(value), "false"))


class Compiler:
    """Turns each part of a schema into a function; `path` is the place in the schema, for errors."""

    def __init__(self, root: Any, keywords: Mapping[str, Build]) -> None:
        self.root = root
        self._keywords = keywords
        self.targets: dict[str, list[Node]] = {}  # reference → the node it means, once compiled
        self.anchors: dict[str, Any] | None = None

    def finish(self) -> None:
        """Forget what only compiling needs."""
        self.anchors = None

    def wrong(self, path: Path, message: str, hint: str = "", code: str = "") -> ConfigError:
        """The error of a schema, with its place."""
        return ConfigError(
            message, path=path_text(path), hint=hint, code=code or "invalid_schema", details={"place": list(path)}
        )

    def node(self, schema: Any, path: Path, in_place: frozenset[str]) -> Node:
        """`in_place`: references that lead here without going into the value; meeting one again would never end."""
        if schema is True:
            return anything
        if schema is False:
            return nothing
        if not is_mapping(schema):
            raise self.wrong(
                path, f"a schema is a mapping, true or false; found {found(schema)}", "write {type: string}"
            )
        if len(path) > 4 * SCHEMA_DEPTH_MAX:
            raise self.wrong(path[:8], f"the schema is nested deeper than {SCHEMA_DEPTH_MAX} levels")
        words = schema
        if path and "$id" in words:
            hint = "name the part with `$anchor`, or reach it by its place: `#/$defs/NAME`"
            raise self.wrong((*path, "$id"), "`$id` is available at the root of a schema alone", hint, "unavailable")
        nodes: list[Node] = []
        for word in ("type", *(word for word in words if word != "type")) if "type" in words else words:
            value = words[word]
            here = (*path, word)
            build = self._keywords.get(word)
            if build is not None:
                node = build(self, words, value, here, in_place)
                if node is not None:
                    nodes.append(node)
            elif word not in ANNOTATIONS:
                self._unknown(word, here)
        self._definitions(words, path)
        if len(nodes) == 1:
            return nodes[0]
        if not nodes:
            return anything
        fixed = tuple(nodes)

        def every(value: Any, at: Path, out: list[SchemaFault]) -> None:
            before = len(out)
            for node in fixed:
                node(value, at, out)
                if len(out) > before and node is fixed[0] and "type" in words:
                    return  # of another type: what else is wrong with it is noise

        return every

    def _unknown(self, word: Any, path: Path) -> None:
        if word in _REFUSED:
            raise self.wrong(path, f"the schema keyword `{word}` is not available", _REFUSED[word], "unavailable")
        near = nearest(str(word), self._keywords) if not str(word).startswith("x-") else None
        if near is not None:
            raise self.wrong(path, f"the schema keyword `{word}` is not known", f"did you mean {near}?")

    def _definitions(self, words: Mapping[str, Any], path: Path) -> None:
        for word in ("$defs", "definitions"):
            if word in words:
                for key, item in self.mapping(words[word], (*path, word)).items():
                    self.node(item, (*path, word, key), frozenset())

    def mapping(self, value: Any, path: Path) -> Mapping[str, Any]:
        """A mapping, or the error that it is none."""
        if not is_mapping(value):
            raise self.wrong(path, f"`{path[-1]}` is a mapping; found {found(value)}")
        return value

    def count(self, value: Any, path: Path) -> int:
        """A whole number from 0, or the error that it is none."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
            raise self.wrong(path, f"`{path[-1]}` is a whole number from 0; found {found(value)}")
        return int(value)

    def names(self, value: Any, path: Path) -> tuple[str, ...]:
        """A list of names, or the error that it is none."""
        if not is_list(value) or not all(isinstance(item, str) for item in value):
            raise self.wrong(path, f"`{path[-1]}` is a list of property names; found {found(value)}", "write [name]")
        return tuple(value)

    def schemas(self, value: Any, path: Path, in_place: frozenset[str]) -> tuple[Node, ...]:
        """The nodes of a list of schemas."""
        if not is_list(value) or not value:
            raise self.wrong(path, f"`{path[-1]}` is a list of at least one schema; found {found(value)}")
        return tuple(self.node(item, (*path, i), in_place) for i, item in enumerate(value))

    def reference(self, value: Any, path: Path, in_place: frozenset[str]) -> Node:
        """The node that `$ref` means: compiled once, reached by name, so that a schema may contain itself."""
        if not isinstance(value, str) or not value.startswith("#"):
            hint = 'copy what you need under `$defs` and write `$ref: "#/$defs/NAME"`'
            raise self.wrong(path, f"`$ref` leads inside this schema, it begins with #; found {found(value)}", hint)
        if value in in_place:
            raise self.wrong(
                path, f"`$ref: {value}` leads back to itself without going into the value", "it would never end"
            )
        cell = self.targets.get(value)
        if cell is None:
            cell = self.targets[value] = []
            target = self.resolve(value, path)
            cell.append(self.node(target, ("$ref", value), in_place | {value}))
        known = cell

        def refer(item: Any, at: Path, out: list[SchemaFault]) -> None:
            known[0](item, at, out)  # looked up late: a schema may contain itself

        return refer

    def resolve(self, reference: str, path: Path) -> Any:
        """The part of the schema that a local reference means."""
        if reference == "#":
            return self.root
        if reference.startswith("#/"):
            part: Any = self.root
            for token in reference[2:].split("/"):
                token = re.sub("%([0-9A-Fa-f]{2})", lambda hit: chr(int(hit[1], 16)), token)
                token = token.replace("~1", "/").replace("~0", "~")
                if is_mapping(part) and token in part:
                    part = part[token]
                elif is_list(part) and token.isdigit() and int(token) < len(part):
                    part = part[int(token)]
                else:
                    raise self.wrong(path, f"`$ref: {reference}` leads nowhere in this schema")
            return part
        if self.anchors is None:
            self.anchors = {}
            _collect_anchors(self.root, self.anchors)
        if reference[1:] not in self.anchors:
            raise self.wrong(
                path, f"`$ref: {reference}` leads nowhere in this schema", f"no part has `$anchor: {reference[1:]}`"
            )
        return self.anchors[reference[1:]]


def _collect_anchors(part: Any, anchors: dict[str, Any]) -> None:
    if is_mapping(part):
        words = part
        if isinstance(words.get("$anchor"), str):
            anchors[words["$anchor"]] = words
        for item in words.values():
            _collect_anchors(item, anchors)
    elif is_list(part):
        for item in part:
            _collect_anchors(item, anchors)
