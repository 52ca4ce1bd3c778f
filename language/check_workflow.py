"""Checks of a workflow's head that need the whole of it: expressions of `when`, `limits`, `outputs`; inputs mapped.

Source: the language page, sections 1 and 2; requirement V-3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .catalogue import KindWords
from .check_steps import StepChecks, check_delays
from .definition import TriggerSpec, When, WorkflowDefinition
from .diagnostics import Path, did_you_mean
from .expressions import Expressions
from .fitting import misfit, type_at
from .json_schema import compile_schema
from .loader_workflow import Draft
from .names import ERROR, Names
from .reader import Reader
from .templates import Compiled, has_template
from .values import is_list, is_mapping

_WORKFLOW_DATA = frozenset(
    ("run", "workflow", "version", "state", "outputs", "error", "started_at", "ended_at", "duration_ms")
)


def check_workflow(reader: Reader, draft: Draft) -> None:
    """Tell everything that is wrong with a definition beyond its form."""
    definition = draft.definition
    names = Names(reader.catalogue, definition.inputs, draft.inputs_known)
    steps = StepChecks(reader, names, definition.steps, draft.places)
    _WorkflowChecks(reader, definition, names, steps.expressions).run(draft.inputs_known)
    steps.run(definition.steps)
    if definition.outputs is not None:
        steps.expressions.value(definition.outputs, names.outputs(steps.top), ("outputs",))


class _WorkflowChecks:
    def __init__(self, reader: Reader, definition: WorkflowDefinition, names: Names, expressions: Expressions) -> None:
        self.reader = reader
        self.definition = definition
        self.names = names
        self.expressions = expressions

    def run(self, inputs_known: bool) -> None:
        definition, names, cel = self.definition, self.names, self.expressions.cel
        cel(definition.if_, names.when, ("if",), "bool")
        cel(definition.unless, names.when, ("unless",), "bool")
        self._bindings(inputs_known)
        for key, entries in (("concurrency", definition.concurrency), ("throttle", definition.throttle)):
            for number, entry in enumerate(entries):
                if entry.key:
                    cel(entry.key, names.limits, self._entry_path(key, number))
        for name, text in definition.labels.items():
            self.expressions.value(text, names.limits, ("labels", name))
        if isinstance(definition.priority, str):
            compiled = self.expressions.value(definition.priority, names.limits, ("priority",))
            if compiled is not None:
                self._fits(type_at(compiled, ()), {"type": "integer"}, ("priority",))
        if definition.retry is not None:
            check_delays(self.reader, definition.retry, ("retry",))
            if definition.retry.if_:
                cel(definition.retry.if_, names.limits.plus(error=ERROR), ("retry", "if"), "bool")
        if definition.on_error == "continue":
            message = "`on_error: continue` lets independent steps go on after a failure; the run fails at its end"
            self.reader.warning("hides_errors", ("on_error",), message, hint="leave it out to undo what was done")

    def _entry_path(self, limit: str, number: int) -> Path:
        """A limit may be one mapping, or stand in a list."""
        limits: Any = self.reader.source.value.get("limits")
        path = ("limits", limit)
        if is_mapping(limits) and is_list(limits.get(limit)):
            return (*path, self._numbers(path, number + 1)[number], "key")
        return (*path, "key")

    def _bindings(self, inputs_known: bool) -> None:
        cel, names = self.expressions.cel, self.names
        numbers = self._numbers(("when",), len(self.definition.when))
        for entry, number in zip(self.definition.when, numbers, strict=True):
            path: Path = ("when", number)
            cel(entry.if_, names.when, (*path, "if"), "bool")
            cel(entry.unless, names.when, (*path, "unless"), "bool")
            if entry.spec is not None:
                words = self.reader.catalogue.kinds[entry.spec.kind]
                check_trigger(self.expressions, entry.spec, words, names, path)
            compiled = None
            if entry.with_ is not None:
                compiled = self.expressions.value(entry.with_, names.when, (*path, "with"))
            if inputs_known:
                self._inputs(entry, compiled, path)
        numbers = self._numbers(("cancel_on",), len(self.definition.cancel_on))
        for cancel, number in zip(self.definition.cancel_on, numbers, strict=True):
            cel(cancel.if_, names.when, ("cancel_on", number, "if"), "bool")
            cel(cancel.by, names.when, ("cancel_on", number, "by"))

    def _numbers(self, path: Path, count: int) -> Sequence[int]:
        """The places of the entries in the text; those with an error were left out."""
        return self.reader.kept.get(path, range(count))

    def _inputs(self, entry: When, compiled: Compiled | None, path: Path) -> None:
        """Is every input mapped that a run needs, and does what is known of its type fit?"""
        schema = self.definition.inputs
        properties: Mapping[str, Any] = schema.get("properties", {})
        if entry.with_ is None:
            self._from_data(entry, schema, path)
            return
        here = (*path, "with")
        for name, value in entry.with_.items():
            declared = properties.get(name)
            if declared is None:
                hint = did_you_mean(name, properties) or "declare it under `inputs`"
                message = f"the workflow has no input `{name}`"
                self.reader.error("unknown_input", (*here, name), message, key=True, found=name, hint=hint)
            elif compiled is not None:
                self._mapped(value, declared, compiled, (*here, name), name)
        for name in schema.get("required", ()):
            if name not in entry.with_:
                message = f"the input `{name}` is required, and not mapped here"
                hint = f'add {name}: "${{{{ event.data.{name} }}}}", or give it a default'
                self.reader.error("missing_input", here, message, key=True, expected=name, hint=hint)

    def _from_data(self, entry: When, schema: Mapping[str, Any], path: Path) -> None:
        """Without `with` each input comes from the field of `event.data`: are there such fields?"""
        data = self._data(entry)
        if data is None:
            return
        for name in schema.get("required", ()):
            if name not in data:
                message = f"the input `{name}` is required, and such an event has no field `data.{name}`"
                hint = f"map it: `with: {{{name}: …}}`, or give it a default"
                self.reader.error("missing_input", path, message, expected=name, hint=hint)

    def _data(self, entry: When) -> Collection[str] | None:
        if entry.workflow:
            return _WORKFLOW_DATA
        spec = entry.spec or (self.reader.catalogue.triggers or {}).get(entry.trigger)
        words = self.reader.catalogue.kinds.get(spec.kind) if spec is not None else None
        if spec is None or words is None or words.data is None:
            return None
        extra = spec.config.get("data")
        return {*words.data, *extra} if is_mapping(extra) else words.data

    def _mapped(self, value: Any, schema: Any, compiled: Compiled, path: Path, name: str) -> None:
        constant = not any(where[:1] == (name,) for where, _ in compiled.templates)
        if constant:
            for fault in compile_schema(schema).faults(value):
                message = f"the input `{name}`: {fault.message}"
                self.reader.error(
                    "wrong_type", (*path, *fault.path), message, expected=fault.expected, found=fault.found
                )
        else:
            self._fits(type_at(compiled, (name,)), schema, path)

    def _fits(self, kind: str, schema: Mapping[str, Any], path: Path) -> None:
        """Tell it if a value of this type can never satisfy the schema's `type`."""
        wrong = misfit(kind, schema)
        if wrong is not None:
            expected, given, hint = wrong
            message = f"`{path[-1]}` must be {expected}; this is {given}"
            self.reader.error("wrong_type", path, message, expected=expected, found=given, hint=hint)


def check_trigger(expressions: Expressions, spec: TriggerSpec, words: KindWords, names: Names, path: Path) -> None:
    """The expressions of a trigger: `id type subject` read the event; of its own keys few may have `${{ }}`."""
    expressions.cel(spec.id, names.event_id, (*path, "id"))
    for key, text in (("type", spec.type), ("subject", spec.subject)):
        if text:
            expressions.value(text, names.event_id, (*path, key))
    for key, value in spec.config.items():
        here = (*path, spec.kind, key)
        allowed = words.templates.get((key,))
        if allowed == "respond":
            expressions.value(value, names.respond(value), here)
        elif allowed == "secrets":
            expressions.value(value, names.config_secrets, here)
        elif _has_template(value):
            message = f"`${{{{ }}}}` in `{key}` of a trigger is not available in this version"
            hint = "write the value itself, or set it by an environment variable of a named trigger"
            expressions.reader.error("unavailable", here, message, hint=hint)


def _has_template(value: Any) -> bool:
    if isinstance(value, str):
        return has_template(value)
    if is_mapping(value):
        return any(_has_template(item) for item in value.values())
    return is_list(value) and any(_has_template(item) for item in value)
