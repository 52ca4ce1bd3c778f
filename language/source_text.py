"""Where a schema says text, the text that stands in the file counts: `message: 1.10` is "1.10"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from .catalogue import Check, Fault
from .diagnostics import Path
from .paths import parse_path
from .reader import Reader

WANTS_TEXT = "expected text"
"""How the fault of a value begins that a schema wants as text."""


def check_texts(
    reader: Reader, check: Check, value: Any, path: Path, *, short: bool = False
) -> Sequence[Fault | tuple[str, str]]:
    """What `check` finds in a value, once the numbers and truth values in it that should be text are as written.

    `path` is where the value stands; with `short` what stands there is its only entry. The value is changed in place.
    """
    faults = check(value)
    changed = False
    for each in faults:
        where, message = each[0], each[1]
        inner = parse_path(where) if isinstance(where, str) else where
        if inner and message.startswith(WANTS_TEXT):
            changed |= _as_written(reader, value, inner, path if short else (*path, *inner))
    return check(value) if changed else faults


def _as_written(reader: Reader, value: Any, inner: Path, path: Path) -> bool:
    holder, key = value, inner[len(inner) - 1]
    for part in inner[:-1]:
        holder = holder[part]
    found = cast("dict[Any, Any]", holder)[key]
    if not isinstance(found, (bool, int, float)):
        return False
    text = reader.source.source(path)
    holder[key] = text if text is not None else msgspec.json.encode(found).decode()  # data has no text of its own
    return True
