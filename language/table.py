"""The keys of one mapping of the language, as data: the loader reads by it, the published schema is made of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalogue import Word
from .diagnostics import Path
from .fields import CEL_NOTE, TEMPLATE_NOTE, Field
from .reader import INVALID, Reader
from .renamed import Renamed, Renames
from .values import found, is_list


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
    renamed: Mapping[str, Renamed] = field(default_factory=dict[str, Renamed])
    """Old names of keys: still taken, with a warning that tells the new one."""
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
        entries = self.current(reader, entries, path)
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

    def current(self, reader: Reader, entries: dict[str, Any], path: Path) -> dict[str, Any]:
        """The entries under the names of today; an old name is told, and is an error beside the new one."""
        return under_new_names(reader, entries, path, self.renamed)

    def schema(self) -> dict[str, Any]:
        """An object with these properties and no others; old names are marked as deprecated."""
        old_of = {now.name for now in self.renamed.values()}
        required = [name for name, key in self.keys.items() if key.required and name not in old_of]
        old = {
            name: {**described(self.keys[now.name]), "deprecated": True, "description": f"now `{now.name}`"}
            for name, now in self.renamed.items()
        }
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: described(key) for name, key in self.keys.items()} | old,
            "additionalProperties": False,
        }
        return schema | ({"required": required} if required else {})


def under_new_names(
    reader: Reader, entries: dict[str, Any], path: Path, renamed: Mapping[str, Renamed]
) -> dict[str, Any]:
    """Entries under the names of today; an old name is told, and is an error beside the new one."""
    if renamed.keys().isdisjoint(entries):
        return entries
    out: dict[str, Any] = {}
    for name, item in entries.items():
        now = renamed.get(name)
        if now is None:
            out[name] = item
        elif now.name in entries:
            message = f"`{name}` is the old name of `{now.name}`, and both are given"
            reader.error("two_names", (*path, name), message, key=True, found=found(item), hint=f"remove `{name}`")
        else:
            out[now.name] = item
            message = f"`{name}` is called `{now.name}` since version {now.since}"
            hint = f"write `{now.name}`; the old name is taken up to version {now.until}"
            reader.warning("deprecated", (*path, name), message, key=True, found=name, hint=hint)
            reader.aliases[*path, now.name] = name
    return out


def all_under_new_names(reader: Reader, renames: Renames, value: Any, path: Path) -> Any:
    """The same for every mapping inside a `with`, or a kind's keys, that has old names."""
    while (old := next(iter(renames(value)), None)) is not None:
        value = _replaced(reader, value, old[0], path, old[1])
    return value


def _replaced(reader: Reader, value: Any, inner: Path, path: Path, renamed: Mapping[str, Renamed]) -> Any:
    if not inner:
        return under_new_names(reader, dict(value), path, renamed)
    part, rest = inner[0], inner[1:]
    new = _replaced(reader, value[part], rest, (*path, part), renamed)
    if is_list(value):
        return [new if number == part else item for number, item in enumerate(value)]
    return {**value, part: new}


def described(key: Key) -> dict[str, Any]:
    """The schema of one key with its description and default."""
    schema = key.field.schema()
    note = schema.get("description")
    text = f"{key.description} ({note})" if note and note in (CEL_NOTE, TEMPLATE_NOTE) else key.description
    return {**schema, "description": text} | ({"default": key.default} if key.default is not None else {})
