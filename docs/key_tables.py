"""Makes docs/keys.md: every key of triggers, actions and connections, read from the models that check them."""

from collections.abc import Iterator, Mapping
from typing import Any

from reactor.connections.words import connection_words
from reactor.core.durations import format_duration, format_size
from reactor.engine.actions.catalogue import Catalogue
from reactor.engine.actions.words import action_words
from reactor.triggers.catalogue import Kinds
from reactor.triggers.words import kind_words

NOTICE = "<!-- Written by `make pages` from the models that check the keys. Do not edit. -->"
HEAD = """
# Every key

The keys of each trigger kind, action and connection, as the loader checks them; a key in bold must be written. What
they mean is in [triggers.md](triggers.md) and [actions.md](actions.md), with examples; the keys that all triggers and
all steps share are there too. `reactor schema` prints the same as JSON Schema, for editors.
"""
UNITS = {"200ms": ("duration", format_duration), "64KiB": ("size", format_size)}
WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
    "null": "null",
}

Schema = Mapping[str, Any]


def keys_page() -> str:
    """The whole page."""
    parts = [NOTICE, HEAD.rstrip()]
    for title, kinds in (
        ("Triggers", kind_words(Kinds(), schemas=True)),
        ("Actions", action_words(Catalogue(), schemas=True)),
        ("Connections", connection_words(schemas=True)),
    ):
        parts.append(f"\n## {title}")
        for name, kind in sorted(kinds.items()):
            if kind.inputs:
                parts += ["", f"### {title[:-1]} `{name}`", "", *table(kind.inputs)]
    return "\n".join(parts) + "\n"


def table(schema: Schema) -> Iterator[str]:
    """The rows of one mapping's keys; a sentence where any value may stand."""
    defs, required = schema.get("$defs", {}), schema.get("required", ())
    if "properties" not in schema:
        yield f"Takes {said(schema, defs) or 'any value'}."
        return
    yield "| key | value | default |"
    yield "| --- | --- | --- |"
    for name, each in schema["properties"].items():
        key = f"**`{name}`**" if name in required else f"`{name}`"
        note = f"; {each['description']}" if each.get("description") else ""
        cells = (key, (said(each, defs) or "any value") + note, default(each))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def said(schema: Schema, defs: Mapping[str, Schema]) -> str:
    """What may stand there, in words; empty for any value."""
    if "$ref" in schema:
        return said(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in schema:
        options = [said(each, defs) for each in schema["anyOf"] if each.get("type") != "null"]
        return "" if "" in options else " or ".join(dict.fromkeys(options))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "properties" in schema:
        return "mapping of " + ", ".join(f"`{name}`" for name in schema["properties"])
    if unit := unit_of(schema):
        return unit[0]
    if schema.get("type") == "array":
        inner = said(schema.get("items", {}), defs)
        return f"list of {inner}" if inner else "list"
    bounds = [f"{word} {schema[key]:g}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([WORDS.get(schema.get("type", ""), ""), *bounds]).strip()


def default(schema: Schema) -> str:
    """The default as it would be written; empty if there is none."""
    value = schema.get("default")
    if value is None or value == {} or value == []:
        return ""
    if isinstance(value, Mapping):
        return f"`{{{', '.join(f'{k}: {_plain(v)}' for k, v in value.items() if v is not None)}}}`"
    unit = unit_of(schema) or next((u for each in schema.get("anyOf", ()) if (u := unit_of(each))), None)
    if unit and isinstance(value, int | float):
        return f"`{unit[1](value)}`"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def unit_of(schema: Schema) -> tuple[str, Any] | None:
    """Name and writer of a value with a unit; None for any other."""
    examples = schema.get("examples") or [None]
    return UNITS.get(examples[0]) if isinstance(examples[0], str) else None
