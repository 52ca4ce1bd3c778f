"""Does what is known of a value's type fit the schema of the place that it is mapped to? Source: requirement V-3."""

from __future__ import annotations

from typing import Any

from .diagnostics import Path
from .scope import article
from .templates import Compiled
from .values import is_list, is_mapping

_CONVERSIONS = {
    ("string", "number"): "convert it: double(…)",
    ("string", "integer"): "convert it: int(…)",
    ("number", "string"): "convert it: string(…)",
    ("integer", "string"): "convert it: string(…)",
    ("boolean", "string"): "convert it: string(…)",
}
_AS_JSON = {"timestamp": "string", "duration": "string", "bytes": "string"}


def type_at(compiled: Compiled, path: Path) -> str:
    """The type of the value at a path: of one `${{ }}` its own, of text around it text; empty if not known."""
    for where, template in compiled.templates:
        if where == path:
            return template.expressions[0].type if template.whole else "string"
    return ""


def misfit(kind: str, schema: Any) -> tuple[str, str, str] | None:
    """What was expected, what is there, and a hint, if a value of this type can never satisfy the schema's `type`."""
    wanted = schema.get("type") if is_mapping(schema) else None
    types = [wanted] if isinstance(wanted, str) else list(wanted) if is_list(wanted) else []
    given = _AS_JSON.get(kind, kind)
    both_numbers = given in ("integer", "number") and ("number" in types or "integer" in types)
    if not given or not types or given in types or both_numbers:
        return None
    expected = " or ".join(article(each) for each in types)
    return expected, article(given), _CONVERSIONS.get((given, types[0]), "")
