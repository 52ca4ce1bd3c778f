"""What each operation of the `state` action leaves, and what it answers."""

from typing import Any

import pytest

from reactor.core.limits import STATE_VALUE_BYTES_MAX
from reactor.store.contract import StateOp, StateResult
from reactor.store.state_ops import Conflict, apply

OBJECT = (b'{"a":1,"b":2}', 3)
NUMBER = (b"7", 4)


def op(name: Any, value: Any = None, expected: Any = None) -> StateOp:
    """An operation on one value."""
    return StateOp(name, "shop", "stock", value=value, expected=expected)


@pytest.mark.parametrize(
    ("operation", "stored", "left", "result"),
    [
        (op("get"), None, None, StateResult(None, None, 0)),
        (op("get"), NUMBER, NUMBER, StateResult(7, 7, 4)),
        (op("set", {"b": 1, "a": 2}), None, (b'{"a":2,"b":1}', 1), StateResult({"a": 2, "b": 1}, None, 1)),
        (op("set"), NUMBER, (b"null", 5), StateResult(None, 7, 5)),
        (op("delete"), NUMBER, None, StateResult(None, 7, 0)),
        (op("delete"), None, None, StateResult(None, None, 0)),
        (op("merge", {"a": 1}), None, (b'{"a":1}', 1), StateResult({"a": 1}, None, 1)),
        (
            op("merge", {"b": None, "c": 3}),
            OBJECT,
            (b'{"a":1,"b":null,"c":3}', 4),
            StateResult({"a": 1, "b": None, "c": 3}, {"a": 1, "b": 2}, 4),
        ),
        (op("increment"), None, (b"1", 1), StateResult(1, None, 1)),
        (op("increment"), NUMBER, (b"8", 5), StateResult(8, 7, 5)),
        (op("increment", -0.5), NUMBER, (b"6.5", 5), StateResult(6.5, 7, 5)),
        (op("compare_and_set", 1), None, (b"1", 1), StateResult(1, None, 1)),
        (op("compare_and_set", 8, 7), NUMBER, (b"8", 5), StateResult(8, 7, 5)),
        (op("compare_and_set", 0, {"b": 2, "a": 1}), OBJECT, (b"0", 4), StateResult(0, {"a": 1, "b": 2}, 4)),
    ],
)
def test_an_operation(
    operation: StateOp, stored: tuple[bytes, int] | None, left: tuple[bytes, int] | None, result: StateResult
) -> None:
    assert apply(operation, stored) == (left, result)


@pytest.mark.parametrize(
    ("operation", "stored", "message"),
    [
        (op("merge", 1), OBJECT, "cannot be merged: both values must be objects"),
        (op("merge", {}), NUMBER, "cannot be merged: both values must be objects"),
        (op("increment", "1"), NUMBER, "cannot be incremented: both values must be numbers"),
        (op("increment", True), NUMBER, "cannot be incremented: both values must be numbers"),
        (op("increment"), OBJECT, "cannot be incremented: both values must be numbers"),
        (op("increment"), (b"true", 1), "cannot be incremented: both values must be numbers"),
        (op("compare_and_set", 8, 6), NUMBER, "is not what `compare_and_set` expected"),
        (op("compare_and_set", 8), NUMBER, "is not what `compare_and_set` expected"),
        (op("compare_and_set", 8, 7), None, "is not what `compare_and_set` expected"),
        (
            op("set", "x" * STATE_VALUE_BYTES_MAX),
            None,
            f"would have {STATE_VALUE_BYTES_MAX + 2} bytes; at most {STATE_VALUE_BYTES_MAX} are kept",
        ),
    ],
)
def test_what_cannot_be_done_says_why(operation: StateOp, stored: tuple[bytes, int] | None, message: str) -> None:
    with pytest.raises(Conflict) as caught:
        apply(operation, stored)
    assert str(caught.value) == f"the state `stock` of `shop` {message}"


def test_the_longest_value_is_kept() -> None:
    left, _ = apply(op("set", "x" * (STATE_VALUE_BYTES_MAX - 2)), None)
    assert left is not None
    assert len(left[0]) == STATE_VALUE_BYTES_MAX
