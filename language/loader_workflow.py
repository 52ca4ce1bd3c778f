"""One document → one workflow definition, without a look at its expressions yet.

Source: the language page, section 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.limits import PARALLEL_LIMIT_DEFAULT, WAIT_S_MAX
from ..core.priority import PRIORITIES
from .definition import Concurrency, Retry, Throttle, WorkflowDefinition
from .diagnostics import Path, nearest
from .fields import (
    CEL,
    TEMPLATE,
    TEMPLATE_NOTE,
    AnyMapping,
    AnyValue,
    Choice,
    Custom,
    Duration,
    Flag,
    ListOf,
    MapOf,
    Number,
    Text,
    check_schema,
)
from .json_keywords import TYPES
from .json_schema import compile_schema
from .loader_policies import RETRY_OF_WORKFLOW
from .loader_steps import StepPlaces, read_steps
from .loader_when import CANCEL_ENTRY, read_cancel_on, read_when
from .reader import INVALID, Reader
from .table import Key, Table
from .values import either, found, is_list, show
from .versions import VERSION

NAME_FORM = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
WORKFLOW_NAME = Text(
    NAME_FORM,
    "a workflow's name: letters, digits, _ and -, parts joined by dots, a letter first",
)
ON_ERROR = ("compensate_all", "compensate_failed", "fail_fast", "continue")
INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)

CONCURRENCY = Table(
    "`concurrency`",
    {
        "max": Key(Number(1, 1_000_000, whole=True), "runs at once", required=True),
        "key": Key(CEL, "counted for each value of this"),
        "overflow": Key(Choice(("queue", "skip", "cancel_running")), "what becomes of one more", default="queue"),
    },
)
THROTTLE = Table(
    "`throttle`",
    {
        "max": Key(Number(1, 1_000_000, whole=True), "starts in that time", required=True),
        "per": Key(Duration(0.001, WAIT_S_MAX), "that time", "per_s", required=True),
        "key": Key(CEL, "counted for each value of this"),
        "overflow": Key(Choice(("queue", "drop")), "what becomes of one more", default="queue"),
    },
)


def _limit(table: Table, make: type[Concurrency] | type[Throttle]) -> Custom:
    """One mapping or a list of them, all of which must admit."""

    def one(reader: Reader, value: Any, path: Path) -> Any:
        read = table.read(reader, value, path)
        complete = read is not None and all(
            table.attributes[key] in read for key, item in table.keys.items() if item.required
        )
        return make(**read) if read is not None and complete else INVALID

    def reads(reader: Reader, value: Any, path: Path) -> Any:
        if is_list(value):
            return ListOf(Custom(one, table.schema), "a list", 1).read(reader, value, path)
        got = one(reader, value, path)
        return INVALID if got is INVALID else (got,)

    return Custom(reads, lambda: {"anyOf": [table.schema(), {"type": "array", "items": table.schema(), "minItems": 1}]})


LIMITS = Table(
    "`limits`",
    {
        "concurrency": Key(_limit(CONCURRENCY, Concurrency), "runs at once"),
        "throttle": Key(_limit(THROTTLE, Throttle), "starts in a time"),
    },
    ("limit", "key"),
)


def _read_priority(reader: Reader, value: Any, path: Path) -> Any:
    if isinstance(value, str):
        if "${{" in value:
            return value
        if value in PRIORITIES:
            return PRIORITIES[value]
        near = nearest(value, PRIORITIES)
        hint = f"did you mean {near}?" if near else ""
        return reader.wrong_type(path, f"a whole number from 0 to 9, or {either(PRIORITIES)}", value, hint)
    return Number(0, 9, whole=True).read(reader, value, path)


def _read_parallel_limit(reader: Reader, value: Any, path: Path) -> Any:
    if value == "auto":
        reader.error(
            "unavailable",
            path,
            "`parallel_limit: auto` is not available in this version",
            found="auto",
            hint="write a number; 10 if not given",
        )
        return INVALID
    return Number(1, 10_000, whole=True).read(reader, value, path)


def _read_inputs(reader: Reader, value: Any, path: Path) -> Any:
    """JSON Schema properties, a bare type name short for its schema; required unless there is a default."""
    entries = reader.mapping(path, value, "a mapping from input names to types", "write {order_id: string}")
    if entries is None:
        return INVALID
    properties: dict[str, Any] = {}
    for name, item in entries.items():
        here = (*path, name)
        if INPUT_NAME.fullmatch(name) is None:
            expected = "an input's name: letters, digits, _ and -, a letter or _ first"
            reader.error("wrong_form", here, f"`{name}` is not {expected}", key=True, expected=expected, found=name)
            continue
        schema = _input_schema(reader, item, here)
        properties[name] = {} if schema is None else schema  # known by name, whatever else is wrong with it
    return inputs_object(properties)


def inputs_object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a run's inputs: each is required unless it has a default, others are refused."""
    if not properties:
        return {}
    whole: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [name for name, schema in properties.items() if "default" not in schema]
    return whole | {"required": required} if required else whole


def _input_schema(reader: Reader, value: Any, path: Path) -> dict[str, Any] | None:
    if isinstance(value, str):
        if value in TYPES:
            return {"type": value}
        near = nearest(value, TYPES)
        reader.error(
            "wrong_value", path, f"`{value}` is no type; the types are {either(sorted(TYPES))}",
            found=value, expected=", ".join(sorted(TYPES)), hint=f"did you mean {near}?" if near else "",
        )  # fmt: skip
        return None
    hint = f"write {{type: [{', '.join(map(str, value))}]}}" if is_list(value) else ""
    schema = reader.mapping(path, value, "a type name or a JSON Schema", hint)
    if schema is None or not check_schema(reader, schema, path):
        return None
    if isinstance(schema.get("required"), bool):
        return None
    if "default" in schema:
        for fault in compile_schema(schema).faults(schema["default"]):
            where = (*path, "default", *fault.path)
            reader.error(
                "wrong_value",
                where,
                f"the default does not fit its own schema: {fault.message}",
                expected=fault.expected,
                found=fault.found,
            )
    return schema


def inputs_schema() -> dict[str, Any]:
    """The schema of `inputs`."""
    types = {"enum": sorted(TYPES), "description": "short for {type: …}"}
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{INPUT_NAME.pattern}$"},
        "additionalProperties": {"anyOf": [types, {"type": "object", "description": "JSON Schema"}]},
    }


_TAGS = ListOf(Text(), "a list of texts")
_LIMITS = Custom(lambda reader, value, path: _or_invalid(LIMITS.read(reader, value, path)), LIMITS.schema)
_RETRY = Custom(
    lambda reader, value, path: _or_invalid(
        RETRY_OF_WORKFLOW.read(reader, value, path, hint="write {} for three attempts")
    ),
    RETRY_OF_WORKFLOW.schema,
)
_INPUTS = Custom(_read_inputs, inputs_schema)
_WHEN = Custom(read_when, lambda: {"type": "array", "items": {"$ref": "#/$defs/when"}})
_CANCEL_ON = Custom(read_cancel_on, lambda: {"type": "array", "items": CANCEL_ENTRY.schema()})
_PRIORITY_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 9},
        {"enum": list(PRIORITIES)},
        {"type": "string", "pattern": r"\$\{\{"},
    ]
}
_PRIORITY = Custom(_read_priority, lambda: _PRIORITY_SCHEMA)
_PARALLEL_LIMIT = Custom(_read_parallel_limit, lambda: {"type": "integer", "minimum": 1, "maximum": 10_000})
_VERSION = Text(VERSION, "a version such as 1.2.0")
WORKFLOW = Table(
    "a workflow",
    {
        "workflow": Key(WORKFLOW_NAME, "its name", required=True),
        "version": Key(_VERSION, "semantic version; several live side by side", default="0.0.0"),
        "description": Key(Text(empty=True), "for people"),
        "tags": Key(_TAGS, "free words, to find it by"),
        "metadata": Key(AnyMapping(), "free"),
        "inputs": Key(_INPUTS, "what a run is given, by name; required unless it has a default"),
        "outputs": Key(AnyMapping(TEMPLATE_NOTE), "what a run gives back; the outputs of its leaves if not given"),
        "labels": Key(MapOf(TEMPLATE), "to find runs by"),
        "when": Key(_WHEN, "any one of these starts a run"),
        "cancel_on": Key(_CANCEL_ON, "events that end its open runs"),
        "if": Key(CEL, "and only if this holds", "if_"),
        "unless": Key(CEL, "not if this holds"),
        "limits": Key(_LIMITS, "flow control"),
        "priority": Key(_PRIORITY, "0 to 9: which held run starts first", default=5),
        "timeout": Key(Duration(0.001, WAIT_S_MAX), "from start to end, waiting included", "timeout_s"),
        "on_error": Key(Choice(ON_ERROR), "what to do when a step failed for good", default="compensate_all"),
        "parallel_limit": Key(_PARALLEL_LIMIT, "steps of one run at once", default=PARALLEL_LIMIT_DEFAULT),
        "retry": Key(_RETRY, "the default of its steps; `limit`: repetitions in the whole run"),
        "metrics": Key(Flag(), "count its runs in /metrics", default=True),
        "trace": Key(Flag(), "keep a trace of its runs", default=True),
        "steps": Key(AnyValue(""), "what a run does: a list (top to bottom) or a mapping (a graph)", required=True),
    },
)


def _or_invalid(read: dict[str, Any] | None) -> Any:
    return INVALID if read is None else read


@dataclass(slots=True)
class Draft:
    """A definition as it was read, where its steps stand, and whether its inputs are known."""

    definition: WorkflowDefinition
    places: StepPlaces = field(default_factory=StepPlaces)
    inputs_known: bool = True


def read_workflow(reader: Reader) -> Draft | None:
    """The document's workflow, as far as it could be read; None if there is nothing to go on with."""
    value = reader.source.value
    entries = reader.mapping(
        (), value, "a workflow: a mapping with `workflow` and `steps`", "write workflow: NAME in the first line"
    )
    if entries is None:
        return None
    entries = WORKFLOW.current(reader, entries, ())
    if "workflow" not in entries and "name" in entries:
        entries = _renamed(reader, entries)
    read = WORKFLOW.read(reader, entries, ()) or {}
    places = StepPlaces()
    steps = read_steps(reader, entries["steps"], ("steps",), places) if "steps" in entries else None
    if steps is None or "workflow" not in read:
        return None
    read.update(read.pop("limits", {}))
    _split_retry(read)
    read["steps"] = steps
    return Draft(WorkflowDefinition(**read), places, "inputs" in read or "inputs" not in entries)


def _renamed(reader: Reader, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Tell that the name stands at the wrong key, and go on as if it did not."""
    message = f"a workflow's name stands at `workflow`; found {found(entries['name'])} at `name`"
    hint = f"write workflow: {show(entries['name'])}"
    reader.error("unknown_key", ("name",), message, key=True, found="name", hint=hint)
    return {"workflow" if key == "name" else key: value for key, value in entries.items()}


def _split_retry(read: dict[str, Any]) -> None:
    """`limit` alone caps the run and gives no step a repetition."""
    retry: dict[str, Any] | None = read.pop("retry", None)
    if retry is None:
        return
    limit = retry.pop("limit", None)
    if limit is not None:
        read["retry_limit"] = limit
    if retry or limit is None:
        read["retry"] = Retry(**retry)
