"""The keys of one mapping of the language, as data: the loader reads by it, the published schema is made of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalogue import Word
from .diagnostics import Path
from .fields import CEL_NOTE, TEMPLATE_NOTE, Field
from .reader import INVALID, Reader


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a mapping. `attribute`: its name in the struct (the key itself if empty)."""

    field: Field
    description: str
    attribute: str = ""
    required: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one mapping of the language. `whole` names it in messages: `a step`."""

    whole: str
    keys: Mapping[str, Key]
    words: tuple[Word, ...] = ("key",)
    """Where to look for a key that is a word of the language, but not carried out yet."""
    attributes: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", {name: key.attribute or name for name, key in self.keys.items()})

    def read(
        self, reader: Reader, value: Any, path: Path, *, skip: Collection[str] = (), hint: str = ""
    ) -> dict[str, Any] | None:
        """Attribute → value of the keys that are right, `skip` left to the caller; None if it is no mapping at all."""
        entries = reader.mapping(path, value, hint=hint)
        if entries is None:
            return None
        out: dict[str, Any] = {}
        keys, attributes = self.keys, self.attributes
        for name, item in entries.items():
            key = keys.get(name)
            if key is None:
                if name not in skip:
                    reader.unknown_key((*path, name), self.whole, keys, self.words)
                continue
            got = key.field.read(reader, item, (*path, name))
            if got is not INVALID:
                out[attributes[name]] = got
        for name, key in keys.items():
            if key.required and name not in entries:
                reader.missing(path, name, self.whole)
        return out

    def schema(self) -> dict[str, Any]:
        """An object with these properties and no others."""
        required = [name for name, key in self.keys.items() if key.required]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: described(key) for name, key in self.keys.items()},
            "additionalProperties": False,
        }
        return schema | ({"required": required} if required else {})


def described(key: Key) -> dict[str, Any]:
    """The schema of one key with its description and default."""
    schema = key.field.schema()
    note = schema.get("description")
    text = f"{key.description} ({note})" if note and note in (CEL_NOTE, TEMPLATE_NOTE) else key.description
    return {**schema, "description": text} | ({"default": key.default} if key.default is not None else {})
