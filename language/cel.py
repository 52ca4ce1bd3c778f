"""CEL expressions: compiled and checked once, evaluated often (being filled in; the signatures stand)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import PermanentError
from .diagnostics import Diagnostic, Path, Place


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """What is known of a name or field in scope: `type` is a JSON Schema type name or "" (anything)."""

    type: str = ""
    fields: Mapping[str, Name] = field(default_factory=dict)   # known fields
    open: bool = True                                           # may it have others


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """The names an expression may read, at one place of the language. Make one per place and reuse it: the cache is by identity."""

    names: Mapping[str, Name]
    functions: frozenset[str] = frozenset()                    # beyond those that are everywhere: "last_outputs", "hashFiles"

    def with_names(self, **names: Name) -> Scope: ...


class ExpressionError(PermanentError):
    """CEL failed at run time; code `expression`. `absent`: a field was not there, or a field of null was read."""

    code = "expression"
    absent: bool


class Activation:
    """The values of one event or step, converted lazily, once for all expressions evaluated with it."""

    def __init__(self, roots: Mapping[str, Any]) -> None: ...


class Expression:
    text: str
    reads: frozenset[Path]      # ("steps", "charge", "output", "id"), ("event", "data"), a dynamic index ends the path
    type: str                   # "bool", "int", "double", "string", "list", "map", "timestamp", … or "" if only known at run time
    constant: bool              # reads nothing

    def value(self, activation: Activation) -> Any: ...
    def guard(self, activation: Activation) -> bool: ...
    def truth(self, activation: Activation) -> bool: ...


def compile_expression(text: str, scope: Scope) -> Expression:
    """Raises InvalidDefinition whose diagnostics have their place inside `text` (line, column from 1)."""
    ...


def check_expression(text: str, scope: Scope) -> Expression | list[Diagnostic]:
    """The same without an exception: for loaders that collect."""
    ...


def shifted(diagnostics: list[Diagnostic], place: Place) -> list[Diagnostic]: ...
