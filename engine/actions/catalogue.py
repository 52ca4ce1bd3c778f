"""The actions by name, each loaded at first use; faults of a `with` and published schemas.

Source: actions.md, section 3.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

import msgspec
from pydantic import BaseModel, ValidationError

from ...connections.fields import Fault, error_faults, model_faults, number_faults, renamed_in, texts_wanted
from ...core.errors import ReactorError, StepError
from ...language.diagnostics import Path, did_you_mean
from ...language.renamed import Renamed
from .contract import Action, ActionBase, Call

BUILT_IN: dict[str, tuple[str, str]] = {
    "approval": ("outline", "ApprovalAction"),
    "command": ("command", "CommandAction"),
    "email": ("email", "EmailAction"),
    "emit": ("emit", "EmitAction"),
    "fail": ("fail", "FailAction"),
    "file": ("file", "FileAction"),
    "http": ("http", "HttpAction"),
    "log": ("log", "LogAction"),
    "publish": ("publish", "PublishAction"),
    "python": ("python", "PythonAction"),
    "run-workflow": ("outline", "RunWorkflowAction"),
    "sql": ("sql", "SqlAction"),
    "state": ("state", "StateAction"),
    "transform": ("transform", "TransformAction"),
    "wait": ("outline", "WaitAction"),
}
UNAVAILABLE = ("llm", "redis")
"""Actions of the language that this version does not carry out yet."""

Maker = Callable[[], Action]


class Catalogue:
    """The actions of one application: the built-in ones, and those of plugins.

    `plugins` maps a name to what makes the action, called at its first use. One instance of an action serves all calls.
    """

    def __init__(self, plugins: Mapping[str, Maker] | None = None) -> None:
        self._plugins: dict[str, Maker] = {}
        self._made: dict[str, Action] = {}
        for name, maker in (plugins or {}).items():
            self.register(name, maker)

    def register(self, name: str, maker: Maker) -> None:
        """Add an action of a plugin. Raises ReactorError `config` if the name is taken."""
        if name in BUILT_IN or name in UNAVAILABLE or name in self._plugins:
            raise ReactorError(f"an action is called `{name}` already: a plugin cannot replace it", code="config")
        self._plugins[name] = maker

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted([*BUILT_IN, *self._plugins])

    def unknown(self, name: str) -> tuple[str, str] | None:
        """(code, message) if no action has this name: `unavailable` or `unknown_action`; None if one has."""
        if name in BUILT_IN or name in self._plugins:
            return None
        if name in UNAVAILABLE:
            return "unavailable", f"the action `{name}` is not carried out by this version yet"
        return "unknown_action", f"unknown action `{name}`; {did_you_mean(name, self.names())}"

    def action(self, name: str) -> Action:
        """The action of this name. Raises StepError `unknown_action` or `unavailable`.

        A plugin's that cannot be made now is one whose calls fail for that reason; the next caller tries again.
        """
        made = self._made.get(name)
        if made is None:
            missing = self.unknown(name)
            if missing is not None:
                raise StepError(*missing)
            if name in BUILT_IN:
                module, cls = BUILT_IN[name]
                made = cast("Action", getattr(importlib.import_module(f".{module}", __package__), cls)())
            else:
                try:
                    made = self._plugins[name]()
                except ReactorError as error:
                    return Unusable(error)
            self._made[name] = made
        return made

    def faults(self, name: str, with_: Any) -> list[Fault]:
        """What is wrong with an unrendered `with`: (path inside it, message). For a step whose action exists.

        The keys are judged; a value that contains `${{` may become anything, and is judged when it is rendered.
        """
        action = self.action(name)
        given: Any = {} if with_ is None and action.Input is not None else with_
        found = [] if action.Input is None else model_faults(action.Input, given)
        for fault in action.check(given):
            if fault not in found:
                found.append(fault)
        return found

    def numbers(self, name: str, with_: Any) -> list[Fault]:
        """The numbers in an unrendered `with` that stand where text belongs: their source counts (language, 1)."""
        model = self.action(name).Input
        return [] if model is None else number_faults(model, with_)

    def renamed(self, name: str, with_: Any) -> Iterable[tuple[Path, Mapping[str, Renamed]]]:
        """The mappings in an unrendered `with` that have old names of keys."""
        model = self.action(name).Input
        return () if model is None else renamed_in(model, with_)

    def inputs(self, name: str, rendered: Any) -> Any:
        """A rendered `with` as the action's `Input`: what `Call.inputs` is. Raises StepError `invalid_input`."""
        model = self.action(name).Input
        return rendered if model is None else read_input(name, model, rendered)

    def schema(self, name: str) -> dict[str, Any]:
        """`{"with": …, "output": …}`: what `reactor schema --action NAME` prints, JSON Schema 2020-12."""
        action = self.action(name)
        model = action.Input
        given: dict[str, Any] = (
            cast("Any", model).model_json_schema(by_alias=True) if model is not None else dict[str, Any]()
        )
        exactly: tuple[tuple[str, ...], ...] = getattr(model, "exactly_one", ())
        at_most: tuple[tuple[str, ...], ...] = getattr(model, "at_most_one", ())
        for group in exactly:
            given.setdefault("allOf", []).append({"oneOf": [{"required": [key]} for key in group]})
        for group in at_most:
            pairs = [[a, b] for i, a in enumerate(group) for b in group[i + 1 :]]
            given.setdefault("allOf", []).extend({"not": {"required": pair}} for pair in pairs)
        return {"with": given, "output": dict(getattr(action, "output", {}))}

    async def close(self) -> None:
        """Close every action that was made, and has something to close."""
        made, self._made = self._made, {}
        closing = [close() for action in made.values() if (close := getattr(action, "close", None)) is not None]
        await asyncio.gather(*closing, return_exceptions=True)


class Unusable(ActionBase):
    """Stands for a plugin's action that cannot be made: takes any `with`, and every call fails for its reason."""

    name: ClassVar[str] = "unusable"

    def __init__(self, reason: ReactorError) -> None:
        self.reason = reason

    async def execute(self, call: Call) -> Any:
        """Raises the reason."""
        raise self.reason.with_traceback(None)


def read_input(name: str, model: type[BaseModel] | None, rendered: Any) -> Any:
    """A rendered `with` as the action's `Input`: what `Call.inputs` is; as it is for an action that has no `Input`. A
    number or a truth value that should be text becomes its JSON text.

    Raises StepError `invalid_input` with every fault in our own words.
    """
    if model is None:
        return rendered
    if rendered is None:
        rendered = {}
    try:
        return model.__pydantic_validator__.validate_python(rendered)
    except ValidationError as e:
        wanted = texts_wanted(e, rendered)
        if wanted:
            return read_input(name, model, functools.reduce(_with_text, wanted, rendered))
        faults = error_faults(model, e, rendered, templates=False)
        listed = "; ".join(f"{path}: {text}" if path else text for path, text in faults)
        details = {"faults": [{"path": path, "message": text} for path, text in faults]}
        raise StepError("invalid_input", f"{name}: {listed}", details=details) from None


def _with_text(value: Any, path: tuple[int | str, ...]) -> Any:
    """The value with the text of what is at the path in its place."""
    if not path:
        return msgspec.json.encode(value).decode()
    part, rest = path[0], path[1:]
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_with_text(item, rest) if i == part else item for i, item in enumerate(items)]
    return {**value, part: _with_text(value[part], rest)}
