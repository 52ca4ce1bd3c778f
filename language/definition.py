"""What every form of a workflow (YAML, JSON, Python class, builder) becomes: one validated, plain, storable definition.

Expressions and templates are kept as their text: whoever carries them out compiles them. Durations are seconds. Nothing
here refers to code: a Python step names a function, and the newest code of that name runs (semantics 10.5).
"""

from __future__ import annotations

import functools
import hashlib
import operator
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct, field

from ..core.errors import ErrorPlace
from ..core.limits import PARALLEL_LIMIT_DEFAULT

OnError = Literal["compensate_all", "compensate_failed", "fail_fast", "continue"]


class Retry(Struct, frozen=True, omit_defaults=True):
    """How often and how late a failed step is executed again. `attempts` counts executions."""

    attempts: int = 3
    backoff: Literal["exponential", "linear", "fixed"] = "exponential"
    delay_s: float = 1.0
    factor: float = 2.0
    max_delay_s: float = 300.0
    jitter: bool = False
    on: tuple[str, ...] = ()  # code patterns; empty: the codes of class `retry`
    if_: str = ""


class Reaction(Struct, frozen=True, omit_defaults=True):
    """One line of a step's `on_error`: a code pattern and what to do with what `retry` left over."""

    pattern: str
    action: Literal["continue", "fail_fast", "compensate", "retry"]
    retry: Retry | None = None


class Compensate(Struct, frozen=True, omit_defaults=True):
    """How a step is undone."""

    uses: str
    with_: Any = None
    when: Literal["completed", "failed", "both"] = "completed"
    if_: str = ""
    retry: Retry | None = None
    timeout_s: float | None = None


class Steps(Struct, frozen=True, omit_defaults=True):
    """Steps in a list (each after the one before) or in a graph (by `needs` and by the outputs they read)."""

    steps: tuple[Step, ...]
    ordered: bool = False


class Parallel(Struct, frozen=True, omit_defaults=True, tag="parallel"):
    """Branches that run at once and are joined when `all` have succeeded."""

    branches: dict[str, Steps]
    join: Literal["all"] = "all"


class Try(Struct, frozen=True, omit_defaults=True, tag="try"):
    """Steps; what to do if one of them fails (`error` is in scope); what to do in any case."""

    steps: Steps
    catch: Steps | None = None
    finally_: Steps | None = None


class Group(Struct, frozen=True, omit_defaults=True, tag="group"):
    """Steps under one name."""

    steps: Steps


Block = Parallel | Try | Group


class Step(Struct, frozen=True, omit_defaults=True):
    """One node of a workflow: an action (`uses`) or a block."""

    name: str
    uses: str = ""
    with_: Any = None
    block: Block | None = None
    if_: str = ""
    unless: str = ""
    needs: tuple[str, ...] = ()  # as written; `reads` are added by the plan
    needs_all: bool = False
    retry: Retry | None = None
    timeout_s: float | None = None
    output: dict[str, Any] | None = None  # JSON Schema
    compensate: Compensate | None = None
    on_error: tuple[Reaction, ...] = ()
    at_most_once: bool = False
    isolation: Literal["task", "thread", "process"] | None = None
    parallel: bool = True
    tags: tuple[str, ...] = ()
    intensity: float = 1.0


class TriggerSpec(Struct, frozen=True, omit_defaults=True):
    """A trigger as declared: its kind, the kind's own keys (checked by its model), and the keys all kinds share."""

    name: str
    kind: str
    config: dict[str, Any]
    settle: Literal["accepted", "completed"] = "accepted"
    start: Any = None
    fetch: int = 64
    max_in_flight: int = 256
    format: Literal["auto", "cloudevents", "json", "text", "binary"] = "auto"
    id: str = ""
    type: str = ""
    subject: str = ""
    schema: dict[str, Any] | None = None
    max_bytes: int = 1_048_576
    reconnect: dict[str, Any] = field(default_factory=dict[str, Any])  # delay_s factor max_delay_s jitter
    enabled: bool = True
    description: str = ""
    inline: bool = False  # declared in a workflow's `when`


class When(Struct, frozen=True, omit_defaults=True):
    """One entry of `when`: which events start a run, and what it is given.

    Exactly one of: `trigger` (a name; an in-place one's spec is in `spec`), `event` (a type, trailing `*` a prefix),
    `workflow` (name, glob or name@range; `states` empty means completed).
    """

    trigger: str = ""
    spec: TriggerSpec | None = None
    event: str = ""
    source: str = ""
    subject: str = ""
    workflow: str = ""
    states: tuple[str, ...] = ()
    match: dict[str, Any] | None = None
    if_: str = ""
    unless: str = ""
    with_: dict[str, Any] | None = None
    overlap: Literal["allow", "skip", "queue", "cancel_running"] = "allow"  # of schedules


class CancelOn(Struct, frozen=True, omit_defaults=True):
    """Events that end open runs whose own event agrees on `by` (CEL; empty: every open run)."""

    event: str = ""
    trigger: str = ""
    match: dict[str, Any] | None = None
    if_: str = ""
    by: str = ""


class Concurrency(Struct, frozen=True, omit_defaults=True):
    """At most `max` runs of one key at once."""

    max: int
    key: str = ""
    overflow: Literal["queue", "skip", "cancel_running"] = "queue"


class Throttle(Struct, frozen=True, omit_defaults=True):
    """At most `max` starts of one key in `per_s` seconds."""

    max: int
    per_s: float
    key: str = ""
    overflow: Literal["queue", "drop"] = "queue"


class WorkflowDefinition(Struct, frozen=True, omit_defaults=True):
    """A workflow. `inputs` is a JSON Schema of type object; `timeout_s` counts from the first `running`."""

    workflow: str
    steps: Steps
    version: str = "0.0.0"
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    outputs: dict[str, Any] | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])
    when: tuple[When, ...] = ()
    cancel_on: tuple[CancelOn, ...] = ()
    if_: str = ""
    unless: str = ""
    concurrency: tuple[Concurrency, ...] = ()
    throttle: tuple[Throttle, ...] = ()
    priority: int | str = 5
    timeout_s: float | None = None
    on_error: OnError = "compensate_all"
    parallel_limit: int = PARALLEL_LIMIT_DEFAULT
    retry: Retry | None = None
    retry_limit: int | None = None
    metrics: bool = True
    trace: bool = True

    @property
    def name(self) -> str:
        """The workflow's name."""
        return self.workflow

    def walk(self) -> Iterator[tuple[str, Step]]:
        """Every step with its path (`release/test`), blocks before what they hold, in the order of the text."""
        yield from _walk(self.steps, "")


def _walk(steps: Steps, prefix: str) -> Iterator[tuple[str, Step]]:
    for step in steps.steps:
        path = prefix + step.name
        yield path, step
        for part in parts(step):
            yield from _walk(part[1], path + "/")


def parts(step: Step) -> tuple[tuple[str, Steps], ...]:
    """The step lists inside a block, by the name of the part; none for an action."""
    block = step.block
    if block is None:
        return ()
    if isinstance(block, Parallel):
        return tuple(block.branches.items())
    if isinstance(block, Group):
        return (("steps", block.steps),)
    found = [("steps", block.steps)]
    if block.catch is not None:
        found.append(("catch", block.catch))
    if block.finally_ is not None:
        found.append(("finally", block.finally_))
    return tuple(found)


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(WorkflowDefinition)


def encode(definition: WorkflowDefinition) -> bytes:
    """The canonical JSON form: equal definitions have equal bytes."""
    return _encoder.encode(_lean(definition))


def _lean(value: Any) -> Any:
    """The same value with each default in the form that the encoder leaves out: it looks at identity, not equality."""
    if isinstance(value, Struct):
        changed: dict[str, Any] = {}
        for name, default in _defaults(type(value)):
            held = getattr(value, name)
            if held is default:
                continue
            lean = default if type(held) is type(default) and held == default else _lean(held)
            if lean is not held:
                changed[name] = lean
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, tuple):
        held_items = cast("tuple[Any, ...]", value)
        items = tuple(_lean(item) for item in held_items)
        return held_items if all(map(operator.is_, items, held_items)) else items
    if isinstance(value, dict):  # branches of a block by name, or JSON values, which stay as they are
        return {key: _lean(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


@functools.cache
def _defaults(kind: type[Struct]) -> tuple[tuple[str, Any], ...]:
    return tuple((each.name, each.default) for each in msgspec.structs.fields(kind))


def decode(body: bytes) -> WorkflowDefinition:
    """A definition from its canonical form."""
    return _decoder.decode(body)


def digest(definition: WorkflowDefinition) -> bytes:
    """16 bytes that stand for the content."""
    return hashlib.blake2b(encode(definition), digest_size=16).digest()


class Loaded(Struct, frozen=True):
    """A definition with what only its text knows: places by path (`steps.charge.with.url`), and warnings."""

    definition: WorkflowDefinition
    places: Mapping[str, ErrorPlace]
    file: str = ""
