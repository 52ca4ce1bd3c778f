"""Values on their way into an expression and out of it, and the functions that this language adds to CEL.

In: whatever Python code hands over becomes what the engine takes. Out: whatever the engine computes becomes JSON:
times are RFC 3339 text, durations a number with its unit, bytes base64. Nothing here knows the engine. Source:
language page, section 1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping, Set
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec

from ..core.durations import format_duration, format_instant, parse_duration, parse_instant
from ..core.errors import ConfigError

_INT_MIN, _UINT_MAX = -(1 << 63), (1 << 64) - 1
_EXACT_INT_MAX = 1 << 53  # up to here a double holds every integer
RANGE_ITEMS_MAX = 2_000  # lists.range; map over it costs the square


def incoming(value: Any) -> Any:
    """What the engine takes, as far as possible the same object.

    Tuples and sets become lists, Decimal a number, dates text, structs and other mappings dicts; an integer of over
    64 bits becomes a double; half a surrogate pair and U+0000, at which the engine would cut the text, become U+FFFD.
    What is none of these becomes its text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if "\0" in value:
            value = value.replace("\0", "\ufffd")
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int):
        return int(value) if _INT_MIN <= value <= _UINT_MAX else _as_double(value)
    if isinstance(value, float):
        return value
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value)
        return {incoming(k) if isinstance(k, str) else str(k): incoming(v) for k, v in entries.items()}
    if isinstance(value, (list, tuple, Set)):
        return [incoming(item) for item in cast("list[Any]", value)]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(cast(bytes, value))
    if isinstance(value, Decimal):
        return incoming(int(value)) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return format_instant(value.timestamp()) if value.tzinfo else value.isoformat()
    if isinstance(value, timedelta):
        return format_duration(value.total_seconds())
    if isinstance(value, date):
        return value.isoformat()
    try:
        plain = msgspec.to_builtins(value)
    except (TypeError, ValueError):
        return str(value)
    return incoming(plain) if type(plain) is not type(value) else str(value)


def _as_double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def outgoing(value: Any) -> Any:
    """A result as JSON. Raises ValueError for what JSON lacks: infinity, NaN, a type."""
    kind = cast("type[object]", type(value))
    if value is None or kind is str or kind is bool or kind is int:
        return value
    if kind is float:
        if value - value != 0:
            raise ValueError("the result is no finite number")
        return value
    if kind is list:
        return [outgoing(item) for item in value]
    if kind is dict:
        # the engine keeps no order of fields, and what it gives differs between processes
        named = {_key(key): item for key, item in value.items()}
        return {key: outgoing(named[key]) for key in sorted(named)}
    if kind is datetime:
        return format_instant((value - _EPOCH).total_seconds())
    if kind is timedelta:
        return format_duration(value.total_seconds())
    if kind is bytearray or kind is bytes:
        return base64.b64encode(value).decode()
    raise ValueError("the result is a type, which has no form in JSON")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return ("true" if key else "false") if isinstance(key, bool) else str(key)


def plain(value: Any) -> Any:
    """A value that was read without the engine, as JSON: the same object unless something in it must change."""
    kind = cast("type[object]", type(value))
    if value is None or kind is str or kind is bool or kind is int or kind is float:
        return value
    if kind is list:
        items = [plain(item) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if kind is dict:
        entries = {key: plain(item) for key, item in value.items()}
        if all(type(key) is str and entries[key] is item for key, item in value.items()):
            return value
        return {_key(key): item for key, item in entries.items()}
    changed = incoming(value)
    return base64.b64encode(changed).decode() if type(changed) is bytes else changed


# --- operators on int and double together, which the engine lacks --------------------


def divide(a: float, b: float) -> float:
    """As IEEE 754 does: by zero is infinite or not a number, never an exception."""
    if b:
        return a / b
    return math.nan if not a or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)


def modulo(a: float, b: float) -> float:
    """The remainder with the sign of the dividend, as CEL has it for integers."""
    if not b:
        raise ValueError("modulus by zero")
    return math.fmod(a, b)


# --- functions of the language --------------------


def canonical(value: Any) -> Any:
    """The value with one spelling for equal numbers: 7 and 7.0 are one."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_INT_MAX:
        return int(value)
    if isinstance(value, list):
        return [canonical(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


def hash_value(value: Any) -> str:
    """SHA-256, in hex, of the canonical JSON: sorted keys, no spaces, 7.0 as 7."""
    return hashlib.sha256(msgspec.json.encode(canonical(outgoing(value)), order="sorted")).hexdigest()


def parse_json(text: str) -> Any:
    """The value of a JSON text."""
    try:
        return incoming(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"parse_json: {error}") from error


def to_json(value: Any) -> str:
    """The value as JSON text, keys sorted."""
    return msgspec.json.encode(outgoing(value)).decode()


def base64_encode(value: Any) -> str:
    """Base64 of bytes, or of a text's UTF-8."""
    if isinstance(value, str):
        return base64.b64encode(value.encode()).decode()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    raise ValueError("base64_encode: takes text or bytes")


def base64_decode(text: str) -> str:
    """The text that was encoded; padding may lack, both alphabets are read."""
    try:
        body = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
        return incoming(base64.b64decode(body + "=" * (-len(body) % 4), validate=True).decode())
    except UnicodeDecodeError as error:
        raise ValueError("base64_decode: what was encoded is not UTF-8 text") from error
    except (binascii.Error, ValueError) as error:
        raise ValueError("base64_decode: this is not base64") from error


def merge(first: Any, second: Any) -> dict[Any, Any]:
    """One mapping with the fields of both; the second wins; mappings in both are merged likewise."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        raise ValueError("merge: takes two mappings")
    result: dict[Any, Any] = incoming(cast("dict[Any, Any]", first))
    for key, value in incoming(cast("dict[Any, Any]", second)).items():
        before = result.get(key)
        result[key] = merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def format_time(time: Any, pattern: str, zone: str = "UTC") -> str:
    """An instant (RFC 3339 text, timestamp, or Unix seconds) in a time zone, by a strftime pattern."""
    try:
        tz = ZoneInfo(zone)
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError of its own
        raise ValueError(f"format_time: there is no time zone {zone!r}") from error
    except KeyError as error:
        raise ValueError(f"format_time: there is no time zone {zone!r}") from error
    if isinstance(time, datetime):
        instant = time
    elif isinstance(time, str):
        try:
            instant = datetime.fromtimestamp(parse_instant(time), UTC)
        except ConfigError as error:
            raise ValueError(f"format_time: {error}") from error
    elif isinstance(time, (int, float)) and not isinstance(time, bool):
        try:
            instant = datetime.fromtimestamp(time, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise ValueError("format_time: the instant is out of range") from error
    else:
        raise ValueError("format_time: takes an instant like 2026-12-24T18:00:00Z")
    return instant.astimezone(tz).strftime(pattern)


def duration(value: str) -> timedelta:
    """A duration in the units of YAML."""
    negative = value.startswith("-")
    try:
        seconds = parse_duration(value[1:] if negative else value)
    except ConfigError as error:
        raise ValueError(f"duration: {error}; {error.hint}") from error
    return timedelta(seconds=-seconds if negative else seconds)


def number_range(count: int) -> list[int]:
    """The integers from 0 up to `count`, bounded so that a number in an event cannot exhaust memory."""
    if count > RANGE_ITEMS_MAX:
        raise ValueError(f"lists.range: at most {RANGE_ITEMS_MAX} items, {count} were asked for")
    return list(range(max(0, count)))
