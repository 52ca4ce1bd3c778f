"""The operations of the `state` action on one durable value: pure, shared by both databases (actions.md, `state`)."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.limits import STATE_VALUE_BYTES_MAX
from .contract import StateOp, StateResult

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


class Conflict(Exception):
    """The operation cannot be done on the value that is there; the text says why."""


def apply(op: StateOp, stored: tuple[bytes, int] | None) -> tuple[tuple[bytes, int] | None, StateResult]:
    """What an operation leaves of a stored value (JSON and version; None: there is none), and its result. Raises
    Conflict.
    """
    previous = None if stored is None else _decode(stored[0])
    version = 0 if stored is None else stored[1]
    if op.op == "get":
        return stored, StateResult(previous, previous, version)
    if op.op == "delete":
        return None, StateResult(None, previous, 0)
    value = _encode(_changed(op, previous))
    if len(value) > STATE_VALUE_BYTES_MAX:
        raise Conflict(f"{_named(op)} would have {len(value)} bytes; at most {STATE_VALUE_BYTES_MAX} are kept")
    return (value, version + 1), StateResult(_decode(value), previous, version + 1)


def _changed(op: StateOp, previous: Any) -> Any:
    if op.op == "set":
        return op.value
    if op.op == "merge":
        if not _object(op.value) or not (previous is None or _object(previous)):
            raise Conflict(f"{_named(op)} cannot be merged: both values must be objects")
        merged: dict[str, Any] = {**(previous or {}), **op.value}
        return merged
    if op.op == "increment":
        by: Any = 1 if op.value is None else op.value
        if not _number(by) or not (previous is None or _number(previous)):
            raise Conflict(f"{_named(op)} cannot be incremented: both values must be numbers")
        return (previous or 0) + by
    if _encode(op.expected) != _encode(previous):
        raise Conflict(f"{_named(op)} is not what `compare_and_set` expected")
    return op.value


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _named(op: StateOp) -> str:
    return f"the state `{op.key}` of `{op.scope}`"
