"""The one hook of the fault tests: named points on the way from receipt to completion event; None in production."""

from __future__ import annotations

from collections.abc import Callable

hook: Callable[[str], None] | None = None
"""Called with the name of each point passed; a test raises or kills the process from here."""


def point(name: str) -> None:
    """Pass a named point."""
    if hook is not None:
        hook(name)
