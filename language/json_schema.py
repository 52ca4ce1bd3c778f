"""JSON Schema (draft 2020-12) → a fast checker whose errors name path, expected and found (signatures first)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .diagnostics import Path


class SchemaFault(Struct, frozen=True):
    """Where a value does not satisfy its schema: `path` inside the value."""

    path: Path
    message: str
    expected: str = ""
    found: str = ""


class Checker:
    """A compiled schema. Reuse it: compiling costs far more than checking."""

    def faults(self, value: Any) -> list[SchemaFault]:
        """Everything that is wrong; empty if the value satisfies the schema."""
        ...

    def valid(self, value: Any) -> bool:
        """Does the value satisfy the schema?"""
        ...

    def filled(self, value: Any) -> Any:
        """The value with the defaults of absent properties; a copy where something was added. Not checked."""
        ...


def compile_schema(schema: Any) -> Checker:
    """A checker. Raises ConfigError with `path` inside the schema: unknown type, bad pattern, remote `$ref`, and the like."""
    ...
