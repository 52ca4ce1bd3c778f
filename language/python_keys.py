"""The keys of workflows and steps in Python, with their types, and their way into the language's own spelling.

Python's reserved words take a `_` (`if_`), durations are seconds or `timedelta`. Source: the language page, sections
2, 3 and 8.
"""

from __future__ import annotations

import keyword
import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from enum import Enum
from typing import Any, Literal, TypedDict, cast

from msgspec import Struct

from ..core.durations import format_duration
from .definition import OnError
from .diagnostics import Path

Seconds = float | timedelta | str
"""A duration: seconds, a `timedelta`, or text with a unit as in YAML."""


class Retry(Struct, frozen=True, omit_defaults=True):
    """How often and how late a failed step is executed again; what is not given is the language's default.

    `attempts` counts executions, the first included (3 if not given). `delay` (1 s) and `max_delay` (5 min) are
    durations, `factor` (2) is for `backoff="exponential"`. `on`: the codes that are repeated, those of class `retry`
    if not given. `limit` is for a workflow: repetitions of all its steps together.
    """

    attempts: int | None = None
    backoff: Literal["exponential", "linear", "fixed"] | None = None
    delay: Seconds | None = None
    factor: float | None = None
    max_delay: Seconds | None = None
    jitter: bool | None = None
    on: Sequence[str] | None = None
    if_: str | None = None
    limit: int | None = None

    def mapping(self) -> dict[str, Any]:
        """As the language writes it."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return {spelled(name): value for name, value in given.items() if value is not None}


class WorkflowKeys(TypedDict, total=False):
    """The keys of a workflow, as keywords of its class or of its builder."""

    version: str
    description: str
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    labels: Mapping[str, str]
    when: Sequence[Mapping[str, Any]]
    cancel_on: Sequence[Mapping[str, Any]]
    if_: str
    unless: str
    limits: Mapping[str, Any]
    priority: int | str
    timeout: Seconds
    on_error: OnError
    parallel_limit: int | Literal["auto"]
    retry: Retry | Mapping[str, Any]
    cache: Mapping[str, Any]
    metrics: bool
    trace: bool


class NamedWorkflowKeys(WorkflowKeys, total=False):
    """The keywords of a class: `name` in place of the one made of the class's own."""

    name: str


class StepKeys(TypedDict, total=False):
    """The keys that stand beside a step's action or block."""

    needs: Sequence[Any] | Literal["all"]
    if_: str
    unless: str
    retry: Retry | Mapping[str, Any]
    timeout: Seconds
    on_error: Mapping[str, Any] | Literal["continue", "fail_fast", "compensate"]
    compensate: Any
    output: Mapping[str, Any]
    at_most_once: bool
    isolation: Literal["task", "thread", "process"]
    parallel: bool
    tags: Sequence[str]
    intensity: float
    cache: bool | Mapping[str, Any]
    resources: Sequence[str]


class FunctionKeys(StepKeys, total=False):
    """The keys of a step that is a function: `with_` gives arguments (`args`) that no input or step is called like."""

    with_: Mapping[str, Any]


class ItemKeys(StepKeys, total=False):
    """The keys of a step that is no method: in a list of steps it needs a `name`."""

    name: str


class HandlerKeys(TypedDict, total=False):
    """The keys of `compensate`."""

    when: Literal["completed", "failed", "both"]
    if_: str
    retry: Retry | Mapping[str, Any]
    timeout: Seconds
    with_: Mapping[str, Any]


STEP_KEYS: frozenset[str] = frozenset((*StepKeys.__annotations__, "name"))
DURATIONS = frozenset(("timeout", "delay", "max_delay", "per", "wait", "max_wait", "within", "ttl"))
"""Keys of workflows, steps and policies whose numbers are seconds."""
TRIGGER_DURATIONS = DURATIONS | {
    "interval", "jitter", "grace", "tolerance", "stable", "min_age", "poll", "scan", "session_timeout",
    "max_poll_interval", "ack_wait", "inactive_threshold",
}  # fmt: skip
"""The same of triggers."""
_USERS = frozenset(("with", "match", "data", "schema", "json", "metadata", "labels"))  # what is below is the user's


def spelled(name: str) -> str:
    """A key as the language writes it: `if` for `if_`."""
    bare = name.removesuffix("_")
    return bare if name != bare and keyword.iskeyword(bare) else name


def duration(value: Any) -> Any:
    """Seconds as text with a unit; what is no number or timedelta stays as it is."""
    if isinstance(value, timedelta):
        return format_duration(value.total_seconds())
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return format_duration(value)
    return value


def with_units(value: Any, keys: frozenset[str] = DURATIONS) -> Any:
    """A policy with its durations as text; what the user's own data says is left alone."""
    if isinstance(value, Retry):
        return with_units(value.mapping(), keys)
    if isinstance(value, Mapping):
        out: dict[str, Any] = {}
        for name, item in cast("Mapping[Any, Any]", value).items():
            key = spelled(name) if isinstance(name, str) else name
            if key in _USERS:
                out[key] = item
            elif key in keys and not isinstance(item, Mapping):
                out[key] = duration(item)
            else:
                out[key] = with_units(item, keys)
        return out
    if isinstance(value, list | tuple):
        return [with_units(item, keys) for item in cast("Sequence[Any]", value)]
    return value


def plain(value: Any, path: Path, tell: Callable[[Path, Any], None]) -> Any:
    """A value as JSON data; `tell` is called with the place of what has no JSON form, which becomes null."""
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): plain(item, (*path, str(key)), tell) for key, item in items}
    if isinstance(value, list | tuple):
        return [plain(item, (*path, number), tell) for number, item in enumerate(cast("Sequence[Any]", value))]
    if isinstance(value, Retry):
        return plain(with_units(value), path, tell)
    if isinstance(value, timedelta):
        return format_duration(value.total_seconds())
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return plain(value.value, path, tell)
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    tell(path, value)
    return None
