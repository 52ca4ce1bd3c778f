"""A definition → the language's own spelling, so that loading it again gives an equal definition.

Keys with their default are left out, durations have a unit, actions have their short form. Secrets stay references:
definitions never hold anything else. Source: requirements E-DEF-2 and C-8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from ..core.durations import format_duration
from ..core.errors import ConfigError
from .definition import (
    CancelOn,
    Compensate,
    Group,
    Parallel,
    Reaction,
    Retry,
    Step,
    Steps,
    TriggerSpec,
    Try,
    When,
    WorkflowDefinition,
)
from .loader_steps import BLOCKS, STEP
from .loader_workflow import inputs_object


def to_mapping(definition: WorkflowDefinition) -> dict[str, Any]:
    """Plain data as people would write it. Raises ConfigError if its inputs cannot be written as names with types."""
    out: dict[str, Any] = {"workflow": definition.workflow}
    _put(out, definition, "version", "description", "tags", "metadata")
    if definition.inputs:
        out["inputs"] = _inputs(definition)
    _put(out, definition, "outputs", "labels")
    if definition.when:
        out["when"] = [_when(entry) for entry in definition.when]
    if definition.cancel_on:
        out["cancel_on"] = [_cancel(entry) for entry in definition.cancel_on]
    _put(out, definition, "if_", "unless")
    limits = {
        name: _limit(getattr(definition, name)) for name in ("concurrency", "throttle") if getattr(definition, name)
    }
    if limits:
        out["limits"] = limits
    _put(out, definition, "priority", "timeout_s", "on_error", "parallel_limit")
    retry = {} if definition.retry is None else _retry(definition.retry)
    if definition.retry_limit is not None:
        retry["limit"] = definition.retry_limit
        if definition.retry is not None and len(retry) == 1:
            retry = {"attempts": definition.retry.attempts, **retry}  # `limit` alone would give no step a repetition
    if retry or definition.retry is not None:
        out["retry"] = retry
    _put(out, definition, "metrics", "trace")
    out["steps"] = _steps(definition.steps)
    return out


def to_json(definition: WorkflowDefinition) -> str:
    """JSON text, indented."""
    return json.dumps(to_mapping(definition), indent=2, ensure_ascii=False) + "\n"


def to_yaml(definition: WorkflowDefinition) -> str:
    """YAML 1.2 text."""
    return dump_yaml(to_mapping(definition))


def dump_yaml(value: Any) -> str:
    """Any JSON value as YAML 1.2 text that reads back equal."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=4096, indent=2
    )


class _Dumper(yaml.SafeDumper):
    """Block style, list items indented, no anchors; a text that YAML 1.1 or 1.2 reads as something else is quoted."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write shared parts out."""
        return True


# a text of several lines that holds one of these is not written as a block: ends of lines that would not show, a first
# line that begins with a blank, characters that a block cannot have
_NO_BLOCK = re.compile(r"[ \t]\n|^[ \t\n]|[^\n\t -~\u00a1-\u2027\u2030-\ud7ff\ue000-\ufefe\uff00-\ufffd]")


def _text(dumper: Any, text: str) -> Any:
    style = None
    if "\n" in text and not _NO_BLOCK.search(text):
        style = "|"
    elif "${{" in text or "\n" in text:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: Any, items: Any) -> Any:
    """Short lists of words and numbers stand on one line."""
    flat = all(isinstance(item, str | int | float) for item in items) and len(str(items)) < 80
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flat)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(tuple, _list)
_resolvers: Any = _Dumper
# what YAML 1.2 reads as a number and 1.1 as text: quoted, as what only 1.1 takes for something else is anyway
_resolvers.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+)$"),
    list("-+.0123456789"),
)


_NAMES = {"if_": "if", "with_": "with", "timeout_s": "timeout", "states": "state"}
_DURATIONS = frozenset(("timeout_s", "delay_s", "max_delay_s", "per_s"))
_DEFAULTS: dict[type[msgspec.Struct], dict[str, Any]] = {}


def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The default of each field that has one."""
    known = _DEFAULTS.get(kind)
    if known is None:
        known = _DEFAULTS[kind] = {}
        for each in msgspec.structs.fields(kind):
            if each.default is not msgspec.NODEFAULT:
                known[each.name] = each.default
            elif each.default_factory is not msgspec.NODEFAULT:
                known[each.name] = each.default_factory()
    return known


def _put(out: dict[str, Any], struct: msgspec.Struct, *names: str) -> None:
    """Add those of the fields that differ from their default, under the language's names."""
    defaults = _defaults(type(struct))
    for name in names:
        value = getattr(struct, name)
        if name in defaults and value == defaults[name] and type(value) is type(defaults[name]):
            continue
        out[_NAMES.get(name, name.removesuffix("_s") if name in _DURATIONS else name)] = _value(name, value)


def _value(name: str, value: Any) -> Any:
    if name in _DURATIONS:
        return format_duration(value)
    if isinstance(value, tuple):
        return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # of texts
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _inputs(definition: WorkflowDefinition) -> dict[str, Any]:
    properties: Mapping[str, Any] = definition.inputs.get("properties", {})
    if definition.inputs != inputs_object(properties):
        raise ConfigError(
            f"the inputs of `{definition.workflow}` cannot be written as names with types",
            path="inputs",
            hint="each is required unless it has a default, others are refused, `$defs` stand inside an input",
        )
    return {
        name: schema["type"] if list(schema) == ["type"] and isinstance(schema["type"], str) else schema
        for name, schema in properties.items()
    }


def _when(entry: When) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if entry.spec is not None:
        out.update(_trigger(entry.spec))
    elif entry.trigger:
        out["trigger"] = entry.trigger
    _put(out, entry, "event", "source", "subject", "workflow", "states", "match", "if_", "unless", "with_")
    return out


def _trigger(spec: TriggerSpec) -> dict[str, Any]:
    out: dict[str, Any] = {spec.kind: dict(spec.config)}
    _put(out, spec, "settle", "start", "fetch", "max_in_flight", "format", "id", "type", "subject", "schema")
    if spec.max_bytes != _defaults(TriggerSpec)["max_bytes"]:
        out["max_bytes"] = f"{spec.max_bytes}B"
    if spec.reconnect:
        out["reconnect"] = {
            name.removesuffix("_s"): format_duration(value) if name in _DURATIONS else _value(name, value)
            for name, value in spec.reconnect.items()
        }
    _put(out, spec, "enabled", "description")
    return out


def _cancel(entry: CancelOn) -> dict[str, Any]:
    out: dict[str, Any] = {}
    _put(out, entry, "event", "trigger", "match", "if_", "by")
    return out


def _limit(entries: tuple[msgspec.Struct, ...]) -> Any:
    written: list[dict[str, Any]] = []
    for entry in entries:
        out: dict[str, Any] = {}
        _put(out, entry, *(each.name for each in msgspec.structs.fields(type(entry))))
        written.append(out)
    return written[0] if len(written) == 1 else written


def _retry(retry: Retry) -> dict[str, Any]:
    out: dict[str, Any] = {}
    _put(out, retry, "attempts", "backoff", "delay_s", "factor", "max_delay_s", "jitter", "on", "if_")
    return out


def _steps(steps: Steps) -> Any:
    if steps.ordered:
        return [{"name": step.name, **_step(step)} for step in steps.steps]
    return {step.name: _step(step) for step in steps.steps}


def _step(step: Step) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if step.needs_all:
        out["needs"] = "all"
    else:
        _put(out, step, "needs")
    _put(out, step, "if_", "unless")
    if step.block is None:
        _action(out, step.uses, step.with_)
    else:
        out.update(_block(step.block))
    if step.retry is not None:
        out["retry"] = _retry(step.retry)
    _put(out, step, "timeout_s", "output")
    if step.compensate is not None:
        out["compensate"] = _compensate(step.compensate)
    if step.on_error:
        out["on_error"] = _reactions(step.on_error)
    _put(out, step, "at_most_once", "isolation", "parallel", "tags", "intensity")
    return out


def _action(out: dict[str, Any], uses: str, with_: Any) -> None:
    if with_ is None or uses in STEP.keys or uses in BLOCKS:
        out["uses"] = uses
        if with_ is not None:
            out["with"] = with_
    else:
        out[uses] = with_


def _block(block: Parallel | Try | Group) -> dict[str, Any]:
    if isinstance(block, Parallel):
        return {"parallel": {"branches": {name: _steps(steps) for name, steps in block.branches.items()}}}
    if isinstance(block, Group):
        return {"group": {"steps": _steps(block.steps)}}
    inner: dict[str, Any] = {"steps": _steps(block.steps)}
    if block.catch is not None:
        inner["catch"] = _steps(block.catch)
    if block.finally_ is not None:
        inner["finally"] = _steps(block.finally_)
    return {"try": inner}


def _compensate(handler: Compensate) -> dict[str, Any]:
    out: dict[str, Any] = {}
    _put(out, handler, "when", "if_")
    _action(out, handler.uses, handler.with_)
    if handler.retry is not None:
        out["retry"] = _retry(handler.retry)
    _put(out, handler, "timeout_s")
    return out


def _reactions(reactions: tuple[Reaction, ...]) -> Any:
    if len(reactions) == 1 and reactions[0].pattern == "*" and reactions[0].retry is None:
        return reactions[0].action
    return {each.pattern: each.action if each.retry is None else {"retry": _retry(each.retry)} for each in reactions}
