"""Why a value of a program cannot be written as JSON, and where in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

_encode = msgspec.json.Encoder().encode


def json_fault(value: Any, path: str) -> str | None:
    """The first part of a value that has no JSON form, in words; None if the whole has one."""
    try:
        _encode(value)
    except (TypeError, ValueError) as e:
        for at, part in _parts(value):
            if found := json_fault(part, path + at):
                return found
        why = str(e) if isinstance(e, ValueError) else f"{type(value).__name__} has no JSON form"
        return f"`{path}` is not JSON: {why}"
    except RecursionError:
        return f"`{path}` is not JSON: it is nested too deeply, or holds itself"
    return None


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f".{key}", item) for key, item in cast("dict[Any, Any]", value).items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(f"[{number}]", item) for number, item in enumerate(cast("Iterable[Any]", value))]
    return ()
