"""Which of the held runs starts first: 0 to 9, or a name."""

from __future__ import annotations

from typing import Any

PRIORITIES = {"low": 2, "medium": 5, "high": 7, "critical": 9}
PRIORITY_WORDS = "0 to 9, or " + ", ".join(PRIORITIES)


def priority_in(value: Any) -> int | None:
    """The priority that a number, its text or a name (in any case) says; None if it says none."""
    if isinstance(value, str) and value.lower() in PRIORITIES:
        return PRIORITIES[value.lower()]
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= 9 else None
