"""Keys of correlation and flow control, as text; names that can be keys of a mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="deterministic").encode


def key_text(value: Any) -> str:
    """A key as text: 7, 7.0 and "7" are one, null is a key like others (semantics 5.2, 6.2).

    A null character, which not every store can keep, is its picture U+2400.
    """
    if isinstance(value, str):
        return value.replace("\0", "\u2400") if "\0" in value else value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _encode(value).decode()


def whole(value: Any) -> int:
    """A count that travels as an extension (`hops`, `replay`); 0 for whatever is no whole number."""
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def distinct(columns: Sequence[str]) -> list[str]:
    """Names of columns that a mapping can hold: the second `id` becomes `id_2`, or the next that no column has."""
    found: dict[str, None] = {}
    known = set(columns)
    for name in columns:
        free, number = name, 1
        while free in found or (number > 1 and free in known):
            number += 1
            free = f"{name}_{number}"
        found[free] = None
    return list(found)
