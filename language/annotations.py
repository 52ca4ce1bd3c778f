"""Parameters of Python functions, and type hints as JSON Schema.

Source: the language page, section 8; requirement E-DEF-14.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec

if sys.version_info >= (3, 14):
    import annotationlib

NOTHING: Any = inspect.Parameter.empty
"""There is no hint, or no default."""
UNRESOLVED = (NameError, TypeError, AttributeError, SyntaxError)
"""What a hint raises whose names only type checkers know, or that is no type."""


class Parameter(NamedTuple):
    """One parameter of a function that can be given by name."""

    name: str
    hint: Any
    default: Any

    @property
    def required(self) -> bool:
        """Has it no default?"""
        return self.default is NOTHING


def hints_of(thing: Any) -> dict[str, Any]:
    """The resolved type hints; a name that only type checkers know makes its hint Any."""
    try:
        return typing.get_type_hints(thing, include_extras=True)
    except UNRESOLVED:
        module = sys.modules.get(getattr(thing, "__module__", ""))
        names = getattr(inspect.unwrap(thing), "__globals__", getattr(module, "__dict__", {}))
        return {name: resolved(hint, names) for name, hint in _as_written(thing).items()}


def resolved(hint: Any, names: Mapping[str, Any]) -> Any:
    """A hint with these names looked up; Any if one that it needs is not among them."""

    def holder() -> None: ...

    holder.__annotations__ = {"hint": hint}
    try:
        return typing.get_type_hints(holder, dict(names), include_extras=True)["hint"]
    except UNRESOLVED:
        return Any


def _as_written(thing: Any) -> dict[str, Any]:
    """Python 3.14 evaluates hints when they are asked for: here it leaves the names that it does not find."""
    if sys.version_info >= (3, 14):
        return annotationlib.get_annotations(thing, format=annotationlib.Format.FORWARDREF)
    return dict(getattr(thing, "__annotations__", {}))


def signature_of(target: Any) -> inspect.Signature:
    """What a callable takes, whatever its hints name. Raises ValueError, TypeError: it does not tell."""
    if sys.version_info >= (3, 14):
        return inspect.signature(target, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(target)


def parameters(target: Any, *, method: bool = False) -> tuple[list[Parameter], list[str]]:
    """What a function takes by name, and the names that can only be given by place; `self` is left out of a method."""
    try:
        listed = list(signature_of(target).parameters.values())
    except (ValueError, TypeError):  # some functions written in C do not tell
        return [], []
    if method:
        listed = listed[1:]
    hints = hints_of(target if inspect.isroutine(target) else getattr(target, "__call__", target))  # noqa: B004  # its code is looked at
    by_name = [p for p in listed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    by_place = [p.name for p in listed if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    return [Parameter(p.name, hints.get(p.name, NOTHING), p.default) for p in by_name], by_place


def schema_of(hint: Any) -> dict[str, Any] | None:
    """The JSON Schema of what a hint takes, without references; empty if it takes anything, None if JSON cannot be it.

    A type that contains itself is described once; deeper down anything is taken.
    """
    if hint is NOTHING or hint is Any or hint is object:
        return {}
    try:
        schema = msgspec.json.schema(hint)
    except (TypeError, ValueError, RecursionError):
        schema = _by_pydantic(hint)
    if schema is None:
        return None
    definitions = schema.pop("$defs", {})
    return _plain(schema, definitions, ())


def _by_pydantic(hint: Any) -> dict[str, Any] | None:
    from pydantic import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(hint).json_schema()
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError):
        return None


def _plain(schema: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """Without `title` and `$ref`; `properties` are names, whatever they are called."""
    if isinstance(schema, list):
        return [_plain(item, definitions, inside) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    words = cast("dict[str, Any]", schema)
    reference = words.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        return {} if name in inside else _plain(definitions.get(name, {}), definitions, (*inside, name))
    out: dict[str, Any] = {}
    for word, value in words.items():
        if word == "properties":
            out[word] = {name: _plain(item, definitions, inside) for name, item in value.items()}
        elif word in ("default", "enum", "const", "examples", "required"):
            out[word] = value
        elif word not in ("title", "discriminator"):
            out[word] = _plain(value, definitions, inside)
    return out


def plain_default(value: Any) -> Any:
    """A default as JSON data. Raises TypeError or ValueError if it has no JSON form."""
    if hasattr(cast("Any", type(value)), "__pydantic_core_schema__"):
        from pydantic import TypeAdapter

        return TypeAdapter(cast("Any", type(value))).dump_python(value, mode="json")
    return msgspec.to_builtins(value, str_keys=True)
