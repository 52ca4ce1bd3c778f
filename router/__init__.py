"""Finds the bindings that an event satisfies and accepts it durably."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..language.patterns import PatternError
    from .index import Explanation, RuleIndex, Snapshot

__all__ = ["Explanation", "PatternError", "RuleIndex", "Snapshot"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "PatternError":
        from ..language import patterns as home
    else:
        from . import index as home
    return getattr(home, name)
