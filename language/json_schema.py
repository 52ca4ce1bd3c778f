"""JSON Schema (draft 2020-12) → a fast checker whose errors name path, expected and found.

A schema becomes nested functions once; checking the usual flat object of typed properties takes a microsecond or two.
Not carried out, and refused: `$dynamicRef`, `unevaluatedProperties`, `unevaluatedItems`, references to other documents.
`format` is checked for dates, times, uuid, addresses and URIs. Source: JSON Schema core and validation, draft 2020-12.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import ConfigError
from .diagnostics import Path, nearest, path_text
from .json_keywords import TYPES, Node, SchemaFault, anything, nothing
from .json_objects import KEYWORDS
from .values import found, is_list, is_mapping

__all__ = ["Checker", "SchemaFault", "compile_schema"]

_ANNOTATIONS = frozenset((
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


class Checker:
    """A compiled schema. Reuse it: compiling costs far more than checking."""

    __slots__ = ("_defaults", "_node", "_quick", "schema")

    def __init__(
        self, schema: Any, node: Node, quick: Callable[[Any], bool] | None, defaults: _Defaults | None
    ) -> None:
        self.schema = schema
        self._node = node
        self._quick = quick
        self._defaults = defaults

    def faults(self, value: Any) -> list[SchemaFault]:
        """Everything that is wrong, in the order of the schema; empty if the value satisfies it."""
        if self._quick is not None and self._quick(value):
            return []
        out: list[SchemaFault] = []
        try:
            self._node(value, (), out)
        except RecursionError:
            out.append(SchemaFault((), "the value is nested too deeply to be checked"))
        return out

    def valid(self, value: Any) -> bool:
        """Does the value satisfy the schema?"""
        return not self.faults(value)

    def filled(self, value: Any) -> Any:
        """The value with the defaults of absent properties; a copy where something was added. Not checked."""
        return value if self._defaults is None else self._defaults.fill(value)


def compile_schema(schema: Any) -> Checker:
    """A checker.

    Raises ConfigError with `path` inside the schema: unknown type, misspelt keyword, bad pattern, remote `$ref`.
    """
    compiler = Compiler(schema)
    node = compiler.node(schema, (), frozenset())
    compiler.finish()
    return Checker(schema, node, _quick(schema, compiler), _defaults(schema, 0))


class _Defaults:
    """Defaults of an object's properties, and those of the objects inside it."""

    __slots__ = ("inner", "own")

    def __init__(self, own: list[tuple[str, Any]], inner: list[tuple[str, _Defaults]]) -> None:
        self.own = own
        self.inner = inner

    def fill(self, value: Any) -> Any:
        if not is_mapping(value):
            return value
        result: Any = value
        for key, default in self.own:
            if key not in result:
                if result is value:
                    result = dict(result)
                result[key] = copy.deepcopy(default) if is_mapping(default) or is_list(default) else default
        for key, inner in self.inner:
            if key in result:
                item = inner.fill(result[key])
                if item is not result[key]:
                    if result is value:
                        result = dict(result)
                    result[key] = item
        return result


def _defaults(schema: Any, depth: int) -> _Defaults | None:
    if not is_mapping(schema) or depth > SCHEMA_DEPTH_MAX:
        return None
    properties = schema.get("properties")
    if not is_mapping(properties):
        return None
    own = [(key, item["default"]) for key, item in properties.items() if is_mapping(item) and "default" in item]
    inner = [(key, below) for key, item in properties.items() if (below := _defaults(item, depth + 1)) is not None]
    return _Defaults(own, inner) if own or inner else None


def _quick(schema: Any, compiler: Compiler) -> Callable[[Any], bool] | None:
    """A test that is right when it says yes, for an object of typed properties; None for other schemas."""
    if not is_mapping(schema):
        return None
    words = schema
    if (
        words.get("type") != "object"
        or set(words) - {"type", "properties", "required", "additionalProperties"} - _ANNOTATIONS
    ):
        return None
    extra = words.get("additionalProperties", True)
    if not isinstance(extra, bool):
        return None
    table: dict[str, tuple[frozenset[type], Node | None]] = {}
    properties: Mapping[str, Any] = words.get("properties", {})
    for key, item in properties.items():
        kind = item.get("type") if is_mapping(item) else None
        if not isinstance(kind, str):
            return None
        rest = {k: v for k, v in item.items() if k not in _ANNOTATIONS and k != "type"}
        table[key] = (frozenset(TYPES[kind]), compiler.node(item, ("properties", key), frozenset()) if rest else None)
    required = frozenset[str](words.get("required", ()))

    def quick(value: Any) -> bool:
        if value.__class__ is not dict:
            return False
        for key, item in value.items():
            entry = table.get(key)
            if entry is None:
                if not extra:
                    return False
            elif type(item) not in entry[0]:
                return False
            elif entry[1] is not None:
                out: list[SchemaFault] = []
                entry[1](item, (), out)
                if out:
                    return False
        return required <= value.keys()

    return quick


class Compiler:
    """Turns each part of a schema into a function; `path` is the place in the schema, for errors."""

    def __init__(self, root: Any) -> None:
        self.root = root
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
            build = KEYWORDS.get(word)
            if build is not None:
                node = build(self, words, value, here, in_place)
                if node is not None:
                    nodes.append(node)
            elif word not in _ANNOTATIONS:
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
        near = nearest(str(word), KEYWORDS) if not str(word).startswith("x-") else None
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
