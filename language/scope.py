"""The names that an expression may read at one place of the language, and what is known of their fields.

Unknown names are errors when a file is loaded, not when it runs; so a place of the language makes one Scope and
compiles all its expressions with it. Source: the table of names in the language page, section 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct, field

from .diagnostics import Path, did_you_mean, nearest, path_text


class Name(Struct, frozen=True, eq=False):
    """What is known of a name or a field.

    `type`: a JSON Schema type (`string number integer boolean object array null`), or "" if anything may come.
    `fields`: the known ones; with `open` there may be others. `whole`: may be read as one value (`steps` may not,
    only `steps.<name>`).
    """

    type: str = ""
    fields: Mapping[str, Name] = field(default_factory=dict[str, "Name"])
    open: bool = True
    whole: bool = True


ANY = Name()
TEXT = Name("string")


class Scope(Struct, frozen=True, eq=False):
    """The names in scope. Compared by identity: make one for each place and keep it, compiled expressions are cached
    with it.
    """

    names: Mapping[str, Name]
    functions: frozenset[str] = frozenset()  # only here allowed, beside those that are everywhere

    def plus(self, **names: Name) -> Scope:
        """A scope with these names too."""
        return Scope({**self.names, **names}, self.functions)

    def without(self, *names: str) -> Scope:
        """A scope that lacks these names."""
        return Scope({name: known for name, known in self.names.items() if name not in names}, self.functions)

    def check(self, path: Path) -> Unknown | None:
        """Is this path readable here, as far as is known?"""
        known = self.names.get(str(path[0]))
        if known is None:
            return Unknown(0, f"there is no name {path[0]} here", did_you_mean(str(path[0]), self.names))
        for depth, part in enumerate(path[1:], 1):
            here = path_text(path[:depth])
            if known.type and known.type not in ("object", "array"):
                return Unknown(
                    depth, f"{here} is {article(known.type)}: it has no field {part}", "read it without a field"
                )
            below = known.fields.get(part) if isinstance(part, str) else None
            if below is None:
                if known.open or isinstance(part, int):
                    return None
                return Unknown(depth, f"{here} has no field {part}", did_you_mean(str(part), known.fields))
            known = below
        if not known.whole:
            names = sorted(known.fields)
            hint = f"name one: {path_text((*path, names[0]))}" if names else ""
            return Unknown(len(path) - 1, f"{path_text(path)} can only be read by field here", hint)
        return None

    def suspect(self, path: Path) -> Unknown | None:
        """Is an unknown field of an open name almost a known one?"""
        known = self.names.get(str(path[0]))
        for depth, part in enumerate(path[1:], 1):
            if known is None or not isinstance(part, str):
                return None
            below = known.fields.get(part)
            if below is None:
                near = nearest(part, known.fields)
                if near is None:
                    return None
                message = f"{path_text(path[: depth + 1])} is probably {path_text((*path[:depth], near))}"
                return Unknown(depth, message, f"did you mean {path_text((*path[:depth], near))}?")
            known = below
        return None

    def type_of(self, path: Path) -> str:
        """The JSON Schema type of the value at a path, "" if not known."""
        known = self.names.get(str(path[0]))
        for part in path[1:]:
            known = known.fields.get(part) if known is not None and isinstance(part, str) else None
        return known.type if known is not None else ""


class Unknown(Struct, frozen=True):
    """Why a path cannot be read: the index of the part at fault, a sentence, a hint."""

    depth: int
    message: str
    hint: str


_ARTICLES = {
    "string": "text",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}


def article(type_name: str) -> str:
    """A JSON Schema type as words of a sentence: `a list`, `text`."""
    return _ARTICLES.get(type_name, f"a {type_name}")


def name_of_schema(schema: object) -> Name:
    """What a JSON Schema says of a value: its type if there is one, its properties, and whether it may have others."""
    if not isinstance(schema, Mapping):
        return ANY
    entries = cast("Mapping[str, Any]", schema)
    properties: object = entries.get("properties")
    kind: object = entries.get("type")
    fields: dict[str, Name] = {}
    if isinstance(properties, Mapping):
        fields = {str(key): name_of_schema(value) for key, value in cast("Mapping[Any, Any]", properties).items()}
    is_open = (
        entries.get("additionalProperties", True) is not False or "$ref" in entries or "patternProperties" in entries
    )
    return Name(kind if isinstance(kind, str) else "", fields, is_open or not fields)


EVENT = Name(
    "object",
    {
        **dict.fromkeys(
            ("id", "source", "type", "specversion", "time", "subject", "datacontenttype", "dataschema", "key",
             "runid", "correlationid", "causationid", "hops", "sequence", "traceparent", "tracestate", "replay"), ANY
        ),
        "data": ANY,
        "meta": ANY,
    },
)  # fmt: skip
"""An event: the attributes of CloudEvents and ours are known, extensions are open."""
