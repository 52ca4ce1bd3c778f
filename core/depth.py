"""How deep JSON data is nested: deeper than EVENT_DEPTH_MAX is refused where it comes in (bounds on recursion)."""

from __future__ import annotations

from typing import Any, cast

from .limits import EVENT_DEPTH_MAX


def too_deep(payload: bytes, value: Any, *, depth_max: int = EVENT_DEPTH_MAX) -> bool:
    """Is this decoded value nested deeper? `payload`, the text it comes from, decides most cases at once."""
    if payload.count(b"[") + payload.count(b"{") <= depth_max:
        return False
    level: list[Any] = [value]
    for _ in range(depth_max):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(cast("dict[str, Any]", each).values())
            elif isinstance(each, list):
                below.extend(cast("list[Any]", each))
        level = [each for each in below if isinstance(each, (dict, list))]
        if not level:
            return False
    return True
