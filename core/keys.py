"""Keys of correlation and flow control, as text."""

from __future__ import annotations

from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="deterministic").encode


def key_text(value: Any) -> str:
    """A key as text: 7, 7.0 and "7" are one, null is a key like others (semantics 5.2, 6.2)."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _encode(value).decode()


def whole(value: Any) -> int:
    """A count that travels as an extension (`hops`, `replay`); 0 for whatever is no whole number."""
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0
