"""JSON Schema (draft 2020-12) → a fast checker whose errors name path, expected and found.

A schema becomes nested functions once; checking the usual flat object of typed properties takes a microsecond or two.
Not carried out, and refused: `$dynamicRef`, `unevaluatedProperties`, `unevaluatedItems`, references to other documents.
`format` is checked for dates, times, uuid, addresses and URIs. Source: JSON Schema core and validation, draft 2020-12.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from .json_compiler import ANNOTATIONS, SCHEMA_DEPTH_MAX, Compiler, Node, SchemaFault
from .json_keywords import TYPES
from .json_objects import KEYWORDS
from .values import is_list, is_mapping

__all__ = ["Checker", "SchemaFault", "compile_schema"]


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
    compiler = Compiler(schema, KEYWORDS)
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
        or set(words) - {"type", "properties", "required", "additionalProperties"} - ANNOTATIONS
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
        rest = {k: v for k, v in item.items() if k not in ANNOTATIONS and k != "type"}
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
