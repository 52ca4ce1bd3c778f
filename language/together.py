"""Checks of workflows against each other: what they call exists and gets its inputs, none runs itself, names differ.

Source: requirements V-3 and V-6; the triggers page, section 1 (equal triggers are one reader).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..core.errors import ConfigError
from .check_steps import CALL
from .definition import Loaded, Step, TriggerSpec
from .dependencies import Graph, cycles
from .diagnostics import Diagnostics, Place, did_you_mean
from .fitting import misfit
from .json_schema import compile_schema
from .loader_triggers import served_by
from .paths import parse_path
from .templates import has_template
from .values import is_mapping
from .versions import Range, split_reference, version_key


def check_together(
    loaded: Sequence[Loaded], broken: Collection[str] = (), named: Mapping[str, TriggerSpec] | None = None
) -> tuple[Diagnostics, list[Loaded]]:
    """Everything that is wrong between these definitions, and which of them are; places are those of their texts.

    `broken`: names of workflows that have errors of their own, so that a call of one is not told as unknown. `named`:
    the project's triggers.
    """
    checks = _Together(loaded, broken, named or {})
    checks.single()
    checks.calls()
    checks.triggers()
    return checks.diagnostics, checks.wrong


class _Together:
    def __init__(self, loaded: Sequence[Loaded], broken: Collection[str], named: Mapping[str, TriggerSpec]) -> None:
        self.named = named
        self.diagnostics = Diagnostics()
        self.wrong: list[Loaded] = []
        self.broken = broken
        self.loaded = loaded
        self.by_name: dict[str, list[Loaded]] = {}
        for each in loaded:
            self.by_name.setdefault(each.definition.workflow, []).append(each)

    def error(self, code: str, message: str, each: Loaded, path: str, severity: str = "error", **more: str) -> None:
        place = _place(each, path)
        tell = self.diagnostics.warning if severity == "warning" else self.diagnostics.error
        tell(code, message, place, path=parse_path(path), **more)
        if severity == "error":
            self.wrong.append(each)

    def single(self) -> None:
        """One version of one name stands once; else none of them counts, so that no file replaces another."""
        alike: dict[tuple[str, str], list[Loaded]] = {}
        for each in self.loaded:
            alike.setdefault((each.definition.workflow, each.definition.version), []).append(each)
        for (name, version), all_of in alike.items():
            for each in all_of if len(all_of) > 1 else ():
                other = _place(all_of[0] if each is not all_of[0] else all_of[1], "workflow")
                more = f" and {len(all_of) - 2} more" if len(all_of) > 2 else ""
                message = f"the workflow `{name}` {version} is defined more than once: also in {other}{more}"
                hint = "give one of them another name or another `version`, or remove it"
                self.error("duplicate_name", message, each, "workflow", found=name, hint=hint)

    def calls(self) -> None:
        """`run-workflow`: the workflow exists, gets what it needs, and does not come back to its caller."""
        graph: Graph = {name: {} for name in self.by_name}
        always: dict[tuple[str, str], bool] = {}
        where: dict[tuple[str, str], tuple[Loaded, str]] = {}
        for each in self.loaded:
            caller = each.definition.workflow
            for path, step, sure in _calls(each):
                callee = self._call(each, path, step)
                if callee is None:
                    continue
                graph[caller][callee] = "needs"
                where.setdefault((caller, callee), (each, path))
                always[caller, callee] = always.get((caller, callee), False) or sure
        for cycle in cycles(graph):
            pairs = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
            shown = " → ".join([*cycle, cycle[0]])
            each, path = where[pairs[0]]
            endless = all(always[pair] for pair in pairs)
            message = f"{'this workflow runs itself' if len(cycle) == 1 else 'these workflows run each other'}: {shown}"
            message += " without end" if endless else ""
            hint = "give one of the steps an `if` that ends it" if endless else "see that the condition ends it"
            self.error("recursion", message, each, path, "error" if endless else "warning", found=shown, hint=hint)

    def _call(self, each: Loaded, path: str, step: Step) -> str | None:
        """The name that a step calls; None if it is computed, or unknown."""
        reference = step.with_.get("workflow") if is_mapping(step.with_) else None
        if not isinstance(reference, str) or has_template(reference):
            return None
        here = f"{path}.with.workflow"
        try:
            name, wanted = split_reference(reference)
        except ConfigError as error:
            self.error("wrong_form", str(error), each, here, found=reference, hint=error.hint)
            return None
        known = self.by_name.get(name)
        if known is None and name in self.broken:
            return None
        if known is None:
            hint = did_you_mean(name, self.by_name)
            self.error("unknown_workflow", f"there is no workflow `{name}`", each, here, found=name, hint=hint)
            return None
        callee = _pick(known, wanted)
        if callee is None:
            versions = ", ".join(sorted((other.definition.version for other in known), key=version_key))
            message = f"no version of `{name}` is in the range {wanted.text if wanted else ''}"
            self.error("unknown_workflow", message, each, here, found=reference, hint=f"there is {versions}")
            return name
        self._inputs(each, path, step, callee)
        return name

    def _inputs(self, each: Loaded, path: str, step: Step, callee: Loaded) -> None:
        schema = callee.definition.inputs
        given: Any = step.with_.get("inputs")
        if not schema or (given is not None and not is_mapping(given)):
            return
        inputs: Mapping[str, Any] = given or {}
        here = f"{path}.with.inputs" if given is not None else path
        name = callee.definition.workflow
        for required in schema.get("required", ()):
            if required not in inputs:
                message = f"`{name}` needs the input `{required}`"
                self.error("missing_input", message, each, here, expected=required, hint="add it under `inputs`")
        properties: Mapping[str, Any] = schema["properties"]
        for key, value in inputs.items():
            if key not in properties:
                hint = did_you_mean(key, properties)
                self.error(
                    "unknown_input", f"`{name}` has no input `{key}`", each, f"{here}.{key}", found=key, hint=hint
                )
            else:
                self._fits(each, f"{here}.{key}", f"the input `{key}` of `{name}`", value, properties[key], step)

    def _fits(self, each: Loaded, path: str, what: str, value: Any, schema: Any, step: Step) -> None:
        """A constant against the whole schema; what is computed, by its type, where that is known."""
        if not _rendered(value):
            for fault in compile_schema(schema).faults(value):
                more = {"expected": fault.expected, "found": fault.found}
                self.error("wrong_type", f"{what}: {fault.message}", each, path, **more)
            return
        given = getattr(each.places, "given", None)  # places of another making know no types
        wrong = misfit(given(step.name).get(path.rpartition(".")[2], ""), schema) if given is not None else None
        if wrong is not None:
            expected, found, hint = wrong
            message = f"{what} must be {expected}; this is {found}"
            self.error("wrong_type", message, each, path, expected=expected, found=found, hint=hint)

    def triggers(self) -> None:
        """Equal triggers in place are one reader, so they must agree in what is written beside them, too."""
        first: dict[str, tuple[TriggerSpec, Loaded, str]] = {}
        answers: dict[str, tuple[Loaded, str]] = {}
        served = {place: (name, f"`{name}`") for name, spec in self.named.items() for place in served_by(spec)}
        for each in self.loaded:
            for number, entry in enumerate(each.definition.when):
                path = f"when[{number}]"
                spec = entry.spec if entry.spec is not None else self.named.get(entry.trigger)
                if spec is None:
                    continue
                if _answers_with_result(spec):
                    other, at = answers.setdefault(spec.name, (each, path))
                    if other is not each:
                        message = f"{_named(other, at)} answers this path with its result already"
                        self.error("conflict", message, each, path, hint="give one of them another path")
                if entry.spec is None:
                    continue
                known = first.setdefault(spec.name, (spec, each, path))
                if known[0] != spec:
                    where = _place(known[1], known[2])
                    message = (
                        f"this trigger is declared with other keys beside it in {where}; equal triggers are one reader"
                    )
                    hint = "write them alike, or declare it once under `triggers` in reactor.yaml"
                    self.error("conflict", message, each, path, found=spec.name, hint=hint)
                for place in served_by(spec):
                    trigger, whose = served.setdefault(place, (spec.name, f"the trigger of {_named(each, path)}"))
                    if trigger != spec.name:
                        message = f"{place} is served by {whose} already"
                        hint = "give one of the two another path or method, or write their keys alike"
                        self.error("conflict", message, each, path, found=place, hint=hint)


def _answers_with_result(spec: TriggerSpec) -> bool:
    respond = spec.config.get("respond") if spec.kind == "http" else None
    return respond == "result" or (is_mapping(respond) and respond.get("on") == "result")


def _calls(each: Loaded) -> Iterable[tuple[str, Step, bool]]:
    """The steps that call a workflow, and whether they are sure to be reached."""
    conditional: set[str] = set()
    for path, step in each.definition.walk():
        parent = path.rpartition("/")[0]
        sure = not step.if_ and not step.unless and parent not in conditional
        if not sure:
            conditional.add(path)
        if step.uses == CALL:
            yield f"steps.{step.name}", step, sure


def _pick(known: list[Loaded], wanted: Range | None) -> Loaded | None:
    fitting = [each for each in known if wanted is None or wanted.holds(each.definition.version)]
    return max(fitting, key=lambda each: version_key(each.definition.version), default=None)


def _rendered(value: Any) -> bool:
    if isinstance(value, str):
        return has_template(value)
    if is_mapping(value):
        return any(_rendered(item) for item in value.values())
    return isinstance(value, list) and any(_rendered(item) for item in value)  # pyright: ignore[reportUnknownVariableType]  # JSON


def _named(each: Loaded, path: str) -> str:
    """A workflow, and where in its file it says so, if it came from one."""
    return f"`{each.definition.workflow}`" + (f" ({_place(each, path)})" if each.places.get(path) is not None else "")


def _place(each: Loaded, path: str) -> Place:
    found = each.places.get(path)
    return Place(each.file) if found is None else Place(found.file, found.line, found.column)
