"""`${{ }}` in strings and in any nested value (being filled in; the signatures stand)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cel import Activation, Expression, Scope
from .diagnostics import Diagnostic, Path


class Template:
    """One string with at least one `${{ }}`."""

    text: str
    reads: frozenset[Path]
    whole: bool                       # exactly one `${{ }}`: the value keeps its type
    expressions: tuple[Expression, ...]

    def render(self, activation: Activation, encode: Callable[[str], str] | None = None) -> Any: ...


class Compiled:
    """Any JSON value with templates inside; constant subtrees are returned as they are, uncopied."""

    reads: frozenset[Path]
    constant: bool

    def render(self, activation: Activation, encode: Callable[[str], str] | None = None) -> Any: ...


def has_template(text: str) -> bool: ...


def compile_template(text: str, scope: Scope) -> Template | str:
    """A plain string (with `$${{` unescaped) if there is no `${{ }}`. Raises InvalidDefinition, places inside `text`."""
    ...


def compile_value(value: Any, scope: Scope, path: Path = ()) -> Compiled:
    """Raises InvalidDefinition with every error; each diagnostic's `path` leads to its string, its place is inside that string."""
    ...


def check_value(value: Any, scope: Scope, path: Path = ()) -> tuple[Compiled | None, list[Diagnostic]]: ...
