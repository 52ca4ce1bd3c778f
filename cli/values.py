"""Values as they are typed on the command line: `k=v`, JSON, `@file`, instants."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.clock import SYSTEM
from ..core.durations import format_instant, parse_duration, parse_instant
from ..core.errors import ConfigError
from ..language.diagnostics import Diagnostics
from ..language.documents import load_document
from .failures import Usage


def inputs(given: Iterable[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a run: `k=v`, `k=@file`, `@file` (a mapping of all); by `schema` text stays text. Raises Usage."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    found: dict[str, Any] = {}
    for word in given:
        if word.startswith("@"):
            found.update(mapping(word, "--input"))
            continue
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Usage(f"--input takes K=V, K=@FILE or @FILE; found `{word}`", hint="such as --input order_id=A1")
        text = value.startswith("@")
        raw = read(value[1:]) if text else value
        found[name] = raw if properties.get(name, {}).get("type") == "string" else loosely(raw)
    return found


def labels(given: Iterable[str]) -> dict[str, str]:
    """Labels, as `k=v`. Raises Usage."""
    found: dict[str, str] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Usage(f"--label takes K=V; found `{word}`", hint="such as --label order=A1")
        found[name] = value
    return found


def loosely(text: str) -> Any:
    """A JSON value; what is none is text as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def data(text: str, option: str) -> Any:
    """JSON, or a file of JSON or YAML by `@file`. Raises Usage."""
    if text.startswith("@"):
        return document(text[1:])
    try:
        return json.loads(text)
    except ValueError as error:
        raise Usage(f"{option} takes JSON or @FILE: {error}", hint="""such as '{"total": 150}'""") from None


def mapping(text: str, option: str) -> dict[str, Any]:
    """A mapping: JSON, or a file of JSON or YAML. Raises Usage."""
    if text.startswith("{"):
        return dict(data(text, option))
    found = document(text.removeprefix("@"))
    if not isinstance(found, dict):
        raise Usage(f"{option} {text}: the file must hold a mapping", hint="write one `name: value` a line")
    return dict(found)  # pyright: ignore[reportUnknownArgumentType]  # JSON


def document(path: str) -> Any:
    """What a file of JSON or YAML holds. Raises Usage, InvalidDefinition."""
    text = read(path)
    diagnostics = Diagnostics()
    found = load_document(text.encode(), path, diagnostics)
    diagnostics.raise_errors()
    return None if found is None else found.value


def read(path: str) -> str:
    """A file's text; `-` is the standard input. Raises Usage."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Usage(f"the file {path} cannot be read: {why}", hint="check its name, and who may read it") from None


def instant(text: str) -> str:
    """RFC 3339: as given, or so long ago as a duration such as 7d says. Raises Usage."""
    if not text:
        return ""
    try:
        if text[4:5] == "-":
            parse_instant(text)
            return text
        return format_instant(SYSTEM.now() - parse_duration(text))
    except ConfigError:
        hint = "write 2030-03-31T00:00:00Z, or how long ago: 30m, 2h, 7d"
        raise Usage(f"`{text}` is neither an instant nor a duration", hint=hint) from None
