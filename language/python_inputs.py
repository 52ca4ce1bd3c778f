"""The inputs of a workflow written in Python: declared ones, else those that the arguments of its steps ask for.

Source: the language page, section 8; requirement E-DEF-14.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from .annotations import Parameter, plain_default, schema_of
from .values import show

Tell = Callable[..., None]
"""`tell(code, path, message, step=…, hint=…)`: a problem of a step."""


class Inputs:
    """Name → JSON Schema. `declared`: nothing is added to what the workflow says itself."""

    def __init__(self, declared: Any, tell: Tell) -> None:
        self.declared = declared is not None
        self.schemas: dict[str, Any] = (
            dict(cast("Mapping[str, Any]", declared)) if isinstance(declared, Mapping) else {}
        )
        self._first: dict[str, tuple[str, Any]] = {}  # the step that said its type first, and the type
        self._tell = tell

    def add(self, parameter: Parameter, step: str) -> None:
        """An argument of a step that is no step: an input with the type and the default of the argument."""
        name = parameter.name
        schema = self._schema(parameter, step)
        first = self._first.get(name)
        if first is None or not first[1]:
            self._first[name] = (step, schema)
        elif schema and schema != first[1]:
            message = f"the input `{name}` is {show(schema)} in `{step}`, but {show(first[1])} in `{first[0]}`"
            hint = "annotate it alike in both, or declare it in `inputs`"
            self._tell("wrong_type", ("inputs", name), message, step=step, hint=hint)
        entry = {**self.schemas.get(name, {}), **self._first[name][1]}
        if not parameter.required:
            self._default(entry, parameter, step)
        self.schemas[name] = entry

    def _schema(self, parameter: Parameter, step: str) -> dict[str, Any]:
        schema = schema_of(parameter.hint)
        if schema is not None:
            return schema
        name = parameter.name
        shown = getattr(parameter.hint, "__name__", str(parameter.hint))
        message = f"the argument `{name}` of `{step}` is a {shown}, which JSON cannot become"
        hint = f"annotate it with a dataclass or a plain type, or name a step `{name}`"
        self._tell("wrong_type", ("inputs", name), message, step=step, hint=hint)
        return {}

    def _default(self, entry: dict[str, Any], parameter: Parameter, step: str) -> None:
        name = parameter.name
        try:
            default = plain_default(parameter.default)
        except (TypeError, ValueError):
            kind = type(parameter.default).__name__
            message = f"the default of the argument `{name}` of `{step}` is a {kind}, which has no JSON form"
            self._tell("wrong_type", ("inputs", name), message, step=step, hint="give a plain default, or none")
            return
        if "default" in entry and entry["default"] != default:
            message = f"the input `{name}` has two defaults: {show(entry['default'])} and {show(default)}"
            self._tell("wrong_value", ("inputs", name), message, step=step, hint="give it the same in every step")
        entry["default"] = default
