"""Which names an expression may read at each place of a workflow: one Scope a place, made once for a workflow.

Source: the table of names in the language page, section 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from .catalogue import Catalogue
from .definition import Step
from .scope import ANY, EVENT, TEXT, Name, Scope, name_of_schema

_NO_FIELDS: Mapping[str, Name] = {}
_ERROR_FIELDS: dict[str, Name] = {
    "code": TEXT, "message": TEXT, "class": TEXT, "step": ANY, "attempt": ANY, "place": ANY, "hint": ANY,
    "details": ANY, "cause": ANY, "failed_step": ANY, "compensated": ANY, "not_compensated": ANY, "results": ANY,
}  # fmt: skip
ERROR = Name("object", _ERROR_FIELDS, open=False)
MAYBE_ERROR = Name("", _ERROR_FIELDS, open=False)
RUN = Name(
    "object",
    {
        **dict.fromkeys(("id", "workflow", "version", "created_at", "started_at", "temp_dir", "url"), TEXT),
        "event": Name("", EVENT.fields),
        "labels": Name("object"),
    },
    open=False,
)
ATTEMPTS = Name("integer")


def project_names(catalogue: Catalogue) -> dict[str, Name]:
    """`vars` and `env`: closed where the project says what there is."""
    return {"vars": _closed(_var_names(catalogue.vars)), "env": _closed(_texts(catalogue.env))}


def secret_names(catalogue: Catalogue) -> Name:
    """`secrets`: closed where they are known; never read as a whole."""
    known = catalogue.secrets
    return Name("object", _NO_FIELDS if known is None else _SecretFields(known), open=known is None, whole=False)


class _SecretFields(Mapping[str, Name]):
    """The fields of `secrets`: a name may be one although no list has it, as an environment variable's case is lost."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> Name:
        if name in self._names:
            return TEXT
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _texts(names: Any) -> dict[str, Name] | None:
    return None if names is None else dict.fromkeys(names, TEXT)


def _closed(fields: dict[str, Name] | None) -> Name:
    return Name("object") if fields is None else Name("object", fields, open=False)


def _var_names(values: Mapping[str, Any] | None) -> dict[str, Name] | None:
    return None if values is None else {name: _name_of(value) for name, value in values.items()}


def _name_of(value: Any) -> Name:
    """What a value of `vars` says of its type; a run sees the value of its start, but of this type."""
    if isinstance(value, bool):
        return Name("boolean")
    if isinstance(value, str):
        return TEXT
    if isinstance(value, int | float):
        return Name("number")
    if isinstance(value, Mapping):
        return Name("object", {str(key): _name_of(item) for key, item in value.items()}, open=False)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    return Name("array") if isinstance(value, list) else ANY


def step_name(step: Step, catalogue: Catalogue) -> Name:
    """`steps.<name>`: output, state, error, attempts. A skipped step's output is null, so its type stays open."""
    output = ANY
    if step.output is not None:
        known = name_of_schema(step.output)
        output = Name("", known.fields, known.open)
    elif step.block is None:
        words = catalogue.actions.get(step.uses)
        if words is not None:
            output = Name("", words.output.fields, words.output.open)
    return Name("object", {"output": output, "state": TEXT, "error": MAYBE_ERROR, "attempts": ATTEMPTS}, open=False)


class Names:
    """The scopes of one workflow, but for those that depend on the steps around."""

    def __init__(self, catalogue: Catalogue, inputs: Mapping[str, Any], inputs_known: bool) -> None:
        project = project_names(catalogue)
        declared = name_of_schema(inputs)
        self.secrets = secret_names(catalogue)
        self.inputs = Name("object", declared.fields, open=not inputs_known)
        self.when = Scope({"event": EVENT, **project})
        self.limits = self.when.plus(inputs=self.inputs)
        self.step = self.limits.plus(run=RUN)
        self.event_id = Scope({"event": EVENT})
        self.config_secrets = Scope({**project, "secrets": self.secrets})

    def respond(self, respond: Any) -> Scope:
        """An http trigger's answer: after `result` also the run and its outputs."""
        on: Any = cast("Mapping[str, Any]", respond).get("on") if isinstance(respond, Mapping) else respond
        known = {"event": EVENT, "inputs": self.inputs}
        return Scope({**known, "outputs": Name("object"), "run": RUN} if on == "result" else known)

    def outputs(self, steps: Mapping[str, Name]) -> Scope:
        """The scope of `outputs`: there alone `steps` may be read as a whole."""
        return Scope({"inputs": self.inputs, "run": RUN, "steps": Name("object", steps, open=False)})


class Level:
    """The scopes of the steps of one list or graph: they see each other, and the steps around their block."""

    __slots__ = ("_incoming", "_names", "_with", "guard", "steps")

    def __init__(self, names: Names, steps: Mapping[str, Name], *, error: bool) -> None:
        self._names = names
        self.steps = steps
        extra = {"steps": Name("object", steps, open=False, whole=False)} | ({"error": ERROR} if error else {})
        self.guard = names.step.plus(**extra)
        self._with: Scope | None = None
        self._incoming: Scope | None = None

    def inputs(self, secrets: bool) -> Scope:
        """Under `with`."""
        if not secrets:
            return self.guard
        if self._with is None:
            self._with = self.guard.plus(secrets=self._names.secrets)
        return self._with

    def incoming(self) -> Scope:
        """`if` and `by` of a wait: `event` is the one that comes in."""
        if self._incoming is None:
            self._incoming = self.guard.plus()
        return self._incoming

    def failed(self) -> Scope:
        """`retry.if`: also `error`."""
        return self.guard.plus(error=ERROR)

    def undo(self, step: Step, secrets: bool) -> Scope:
        """`compensate`: also `output` and `error`."""
        output = Name("", self.steps[step.name].fields["output"].fields) if step.name in self.steps else ANY
        return self.inputs(secrets).plus(output=output, error=MAYBE_ERROR)
