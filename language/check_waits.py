"""What the step `wait` says of its event: a pattern, checked as that of `when`; the router has it from the load on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .diagnostics import Path
from .patterns import pattern_errors
from .reader import Reader
from .values import is_list, is_mapping

FIXED = "what is awaited is fixed when the workflow is loaded"


def check_wait(reader: Reader, inputs: Any, path: Path, *, typed: bool) -> None:
    """Tell what is wrong with `event` under the `with` of a `wait`; `typed`: its schema has told of wrong types."""
    event = inputs.get("event") if is_mapping(inputs) else inputs
    if event is None:
        return
    if not is_mapping(event):
        here = (*path, "event") if is_mapping(inputs) else path
        if isinstance(event, str) and "${{" in event:
            _no_template(reader, event, here)
        elif not typed and is_mapping(inputs):
            reader.wrong_type(here, "a mapping", event, "write {type: order.paid}")
        return
    match = event.get("match")
    for key, value in event.items():
        if key in ("type", "match"):
            _no_template(reader, value, (*path, "event", key))
        if key in ("type", "by", "if", "equals") and not isinstance(value, str) and not typed:
            reader.wrong_type((*path, "event", key), "text", value)
    if match is None:
        return
    if is_mapping(match):
        for error in pattern_errors(match):
            place = (*path, "event", "match", *error.place)
            reader.error("wrong_pattern", place, error.problem, hint=error.hint)
        not_decided(reader, match, {"type": "type"}, (*path, "event", "match"))
    elif not typed:
        reader.wrong_type((*path, "event", "match"), "a mapping", match, "write {data: {status: [paid]}}")


def not_decided(reader: Reader, match: Mapping[str, Any], decided: Mapping[str, str], path: Path) -> None:
    """Tell of each attribute that `match` tests and another key beside it decides: attribute → that key."""
    for name in match:
        if name in decided:
            message = f"`match` tests `{name}`, which `{decided[name]}` decides already"
            reader.error("wrong_pattern", (*path, name), message, key=True, hint=f"take `{name}` out of `match`")


def _no_template(reader: Reader, value: Any, path: Path) -> None:
    if isinstance(value, str) and "${{" in value:
        hint = "compare with a value of the run by `equals` and `by`, or in `if`"
        reader.error("wrong_pattern", path, f"there is no ${{{{ }}}} here: {FIXED}", found=value, hint=hint)
    elif is_mapping(value):
        for key, item in value.items():
            _no_template(reader, item, (*path, key))
    elif is_list(value):
        for number, item in enumerate(value):
            _no_template(reader, item, (*path, number))
