"""A document whose parts are overridden by environment variables: `REACTOR_SERVER__PORT=9000`.

A variable's name is REACTOR_ and a key, `__` goes down a level; case does not count, `-` is written `_`. A value that
begins with `{` or `[` is YAML, numbers, true and false are such, all else is text as it is.
Source: the language page, section 1; requirement P-9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .diagnostics import Diagnostics, Path, Place
from .documents import Document, load_document
from .reader import PlainData, Source
from .table import Table
from .values import is_list, is_mapping
from .variables import PREFIX, is_known, meant

_HOW = "a key of reactor.yaml is set by REACTOR_<KEY>, `__` goes down a level; `reactor doctor` shows the keys"
_SCALAR = re.compile(r"true|false|[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


class Overlay:
    """A source with overrides. `by_variable`: the variable that set a path."""

    def __init__(self, base: Source, file: str) -> None:
        self._base = base
        self._parts: dict[Path, Source] = {}
        self.value: Any = base.value
        self.file = file
        self.by_variable: dict[Path, str] = {}

    def put(self, path: Path, variable: str, part: Source) -> None:
        """Override the value at a path."""
        self.value = _put(self.value, path, part.value)
        for known in [known for known in self._parts if known[: len(path)] == path]:
            del self._parts[known], self.by_variable[known]
        self._parts[path] = part
        self.by_variable[path] = variable

    def variable(self, path: Path) -> str | None:
        """The variable that set the value at a path, or something above it."""
        at = self._prefix(path)
        return None if at is None else self.by_variable[at]

    def in_file(self, path: Path) -> bool:
        """Does the file itself have a value at a path?"""
        value: Any = self._base.value
        for part in path:
            if not is_mapping(value) or part not in value:
                return False
            value = value[str(part)]
        return True

    def _prefix(self, path: Path) -> Path | None:
        fitting = [known for known in self._parts if path[: len(known)] == known]
        return max(fitting, key=len) if fitting else None

    def _at(self, path: Path) -> tuple[Source, Path, str]:
        prefix = self._prefix(path)
        if prefix is None:
            return self._base, path, ""
        return self._parts[prefix], path[len(prefix) :], self.by_variable[prefix]

    def place(self, path: Path = ()) -> Place:
        """In the file, or the variable's name."""
        source, rest, variable = self._at(path)
        return Place(f"environment variable {variable}") if variable else source.place(rest)

    def key_place(self, path: Path) -> Place:
        """In the file, or the variable's name."""
        source, rest, variable = self._at(path)
        return Place(f"environment variable {variable}") if variable else source.key_place(rest)

    def source(self, path: Path) -> str | None:
        """The text of a scalar as written."""
        source, rest, _ = self._at(path)
        return source.source(rest)

    def text_place(self, path: Path, offset: int, length: int = 1) -> Place:
        """In the file, or the variable's name."""
        source, rest, variable = self._at(path)
        return Place(f"environment variable {variable}") if variable else source.text_place(rest, offset, length)


class _Words(PlainData):
    """The value of a variable that is text, or a number that may be meant as text."""

    __slots__ = ("_text",)

    def __init__(self, value: Any, text: str, variable: str) -> None:
        super().__init__(value, variable)
        self._text = text

    def source(self, path: Path) -> str | None:
        """The variable's value."""
        return self._text if not path else None


def overlaid(base: Source, file: str, environ: Mapping[str, str], table: Table, diagnostics: Diagnostics) -> Overlay:
    """The source with what the environment overrides of this table's keys; empty variables count as not set.

    A variable that is nobody's is told with the name that was probably meant, and without its value.
    """
    overlay = Overlay(base, file)
    listed: Any = base.value.get("env") if is_mapping(base.value) else None
    expressions = listed if is_list(listed) else ()
    for variable in sorted(environ):
        text = environ[variable]
        names = variable.removeprefix(PREFIX).split("__")
        if not variable.startswith(PREFIX) or not text:
            continue
        if not all(names) or names[0].lower() not in table.keys:
            if not is_known(variable, environ) and variable not in expressions:
                near = meant(variable, table.schema())
                diagnostics.warning(
                    "unknown_key",
                    f"the environment variable {variable} is set, and nothing reads it",
                    Place(f"environment variable {variable}"),
                    hint=f"did you mean {near}?" if near else _HOW,
                )
            continue
        part = _parse(variable, text, diagnostics)
        if part is not None:
            overlay.put(_path(overlay.value, names), variable, part)
    return overlay


def _path(value: Any, names: list[str]) -> Path:
    """The key each name means: one that is there already, whatever its case; else the name in lower case."""
    path: list[str] = []
    for name in names:
        wanted = name.lower()
        keys: list[str] = list(value) if is_mapping(value) else []
        key = next((key for key in keys if key.replace("-", "_").lower() == wanted), wanted)
        path.append(key)
        value = value.get(key) if is_mapping(value) else None
    return tuple(path)


def _parse(variable: str, text: str, diagnostics: Diagnostics) -> Source | None:
    if text[0] not in "{[" and _SCALAR.fullmatch(text) is None:
        return _Words(text, text, variable)
    own = Diagnostics()
    document: Document | None = load_document(text, f"environment variable {variable}", own)
    diagnostics.extend(own.items)
    if document is None or own:
        return None
    return document if text[0] in "{[" else _Words(document.value, text, variable)


def _put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    entries: dict[str, Any] = dict(value) if is_mapping(value) else {}
    key = str(path[0])
    entries[key] = _put(entries.get(key), path[1:], new)
    return entries
