"""JSON values as the types that a prepared statement's parameters have."""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
from typing import Any, cast

import msgspec

from ..core.durations import parse_duration
from ..core.errors import ConfigError, StepError

_TEXT = ("text", "varchar", "bpchar", "name", "citext", "xml")
_INT = ("int2", "int4", "int8", "oid")


def bound(name: str, value: Any, kind: Any) -> Any:
    """A value for a parameter of an asyncpg type; raises StepError `sql.data`, naming the parameter and its type."""
    type_name: str = kind.name
    try:
        return _value(value, type_name)
    except (ValueError, TypeError, decimal.InvalidOperation, binascii.Error, ConfigError) as e:
        shown = msgspec.json.encode(value).decode()[:60]
        raise StepError("sql.data", f"parameter `:{name}`: {shown} is no {type_name}: {e}") from None


def _value(value: Any, kind: str) -> Any:
    if value is None or kind in ("json", "jsonb"):
        return value
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise ValueError("an array takes a list")
        return [_value(part, kind[:-2]) for part in cast("list[Any]", value)]
    if kind in _TEXT:
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if kind in _INT:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError("it is no whole number")  # the library would cut it
        return int(value) if isinstance(value, float) else value
    if kind in ("float4", "float8"):
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if kind == "numeric":
        return decimal.Decimal(str(value)) if not isinstance(value, bool) else value
    if isinstance(value, str):
        return _from_text(value, kind)
    if kind == "interval" and isinstance(value, (int, float)):
        return datetime.timedelta(seconds=value)
    return value


def _from_text(value: str, kind: str) -> Any:
    if kind == "timestamptz":
        found = datetime.datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError("it lacks its offset from UTC")
        return found
    if kind == "timestamp":
        found = datetime.datetime.fromisoformat(value)
        return found.astimezone(datetime.UTC).replace(tzinfo=None) if found.tzinfo is not None else found
    if kind == "date":
        return datetime.date.fromisoformat(value)
    if kind in ("time", "timetz"):
        return datetime.time.fromisoformat(value)
    if kind == "interval":
        return datetime.timedelta(seconds=parse_duration(value))
    if kind == "bytea":
        return base64.b64decode(value, validate=True)
    return value


def legible_row(row: Any) -> tuple[Any, ...]:
    """A row with what JSON has no form for as PostgreSQL writes it: ranges, bits."""
    return tuple(_written(value) if type(value).__module__.startswith("asyncpg.") else value for value in row)


def _written(value: Any) -> Any:
    if hasattr(value, "lower_inc"):
        if value.isempty:
            return "empty"
        ends = ["" if end is None else str(end) for end in (value.lower, value.upper)]
        return f"{'[' if value.lower_inc else '('}{','.join(ends)}{']' if value.upper_inc else ')'}"
    return value.as_string().replace(" ", "") if hasattr(value, "as_string") else value
