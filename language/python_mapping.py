"""A workflow written in Python → plain data as in YAML, the functions of its steps, and what is wrong with it.

Arguments are bound by name: to another step's output, else to an input; inputs that are not declared are taken from
the arguments and their type hints. Source: the language page, section 8; requirements E-DEF-3 to 5 and 14 to 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ..core.errors import ErrorPlace
from .annotations import signature_of
from .catalogue import Catalogue
from .definition import Loaded, WorkflowDefinition
from .diagnostics import Diagnostic, Diagnostics, InvalidDefinition, Path, Place
from .loader import load_mapping
from .python_calls import Calls
from .python_form import StepDecorator, StepMethod, Workflow, members
from .python_inputs import Inputs
from .python_keys import DURATIONS, TRIGGER_DURATIONS, duration, spelled, with_units
from .python_nodes import ActionNode, BlockNode, FunctionNode, Node, called
from .python_tree import Tree, function_of, named, undoes_itself
from .values import show


@dataclass(frozen=True, slots=True)
class Coded:
    """A workflow written in Python. `functions`: reference → what is called; `problems`: what is wrong so far."""

    mapping: Mapping[str, Any]
    functions: Mapping[str, Any]
    problems: Diagnostics
    places: Mapping[str, ErrorPlace]
    place: Place

    def load(self, catalogue: Catalogue) -> Loaded:
        """The checked definition. Raises InvalidDefinition with everything that is wrong."""
        definition: WorkflowDefinition | None = None
        found = Diagnostics(list(self.problems.items))
        try:
            definition = load_mapping(self.mapping, catalogue, self.place.file)
        except InvalidDefinition as error:
            found.extend(self._placed(each) for each in error.diagnostics if not self._told(each))
        found.raise_errors()
        assert definition is not None  # what could not be loaded has an error that was not told before
        return Loaded(definition, self.places, self.place.file)

    def _told(self, diagnostic: Diagnostic) -> bool:
        same = (diagnostic.code, diagnostic.path)
        return any((each.code, each.path) == same for each in self.problems.items)

    def _placed(self, diagnostic: Diagnostic) -> Diagnostic:
        """With the line of the step that it is about, else that of the workflow."""
        found: ErrorPlace | None = None
        for part in diagnostic.path:
            if part == "with":  # what is below is the action's
                break
            found = self.places.get(f"steps.{part}", found)
        if found is None or diagnostic.path[0] != "steps":
            return replace(diagnostic, place=self.place)
        return replace(diagnostic, place=Place(found.file, found.line))


def code(
    workflow: str,
    keys: Mapping[str, Any],
    steps: Sequence[tuple[str, Any]],
    place: tuple[str, int],
    owner: type[Any] | None = None,
) -> Coded:
    """A workflow of these keys and named steps; `owner` is the class of their methods.

    Raises nothing: what is wrong is in `problems`, and told by `load`.
    """
    spelt = {spelled(key): value for key, value in keys.items()}
    tree = Tree(steps, Place(*place))
    declared = spelt.pop("inputs", None)
    inputs = Inputs(declared, tree.tell)
    calls = Calls(workflow, tree, inputs, owner)
    calls.infer()
    if not tree.top:
        hint = "write a method with @step" if owner is not None else "add one: .step(name, function)"
        tree.tell("missing_key", ("steps",), f"the workflow `{workflow}` has no step", hint=hint)
    mapping: dict[str, Any] = {"workflow": workflow}
    mapping |= {key: tree.plain(_with_units(key, value), (key,)) for key, value in spelt.items()}
    writer = _Writer(tree, calls)
    mapping["steps"] = {name: writer.step(name, value, ("steps", name), name) for name, value in tree.top.items()}
    if declared is not None and not isinstance(declared, Mapping):
        mapping["inputs"] = declared  # the loader says what is wrong with it
    elif inputs.schemas:
        mapping["inputs"] = tree.plain(inputs.schemas, ("inputs",))
    for name in inputs.schemas:
        if name in tree.names:
            hint = "rename one of them: an argument of this name could mean either"
            tree.tell("duplicate_name", ("inputs", name), f"`{name}` is both an input and a step", step=name, hint=hint)
    return Coded(mapping, calls.functions, tree.problems, tree.places, tree.place)


def coded(cls: type[Workflow]) -> Coded:
    """A workflow class as plain data."""
    keys = {key: value for key, value in cls.__workflow_keys__.items() if key != "name"}
    made = code(called(cls), keys, list(members(cls).items()), cls.__workflow_place__, cls)
    try:
        signature_of(cls).bind()
    except (TypeError, ValueError):
        message = f"the class {cls.__name__} cannot be made without arguments; each call of a step makes one"
        hint = "give the arguments of `__init__` defaults"
        made.problems.error("wrong_form", message, Place(*cls.__workflow_place__), hint=hint)
    return made


def _with_units(key: str, value: Any) -> Any:
    if key == "timeout":
        return duration(value)
    if key in ("when", "cancel_on"):
        return with_units(value, TRIGGER_DURATIONS)
    return with_units(value, DURATIONS) if key in ("limits", "retry", "cache", "on_error") else value


class _Writer:
    """Steps as the language writes them."""

    def __init__(self, tree: Tree, calls: Calls) -> None:
        self._tree = tree
        self._calls = calls

    def step(self, name: str, value: Any, path: Path, full: str) -> Any:
        """One step with all that is inside it."""
        self._tree.located(name, full)
        if isinstance(value, Mapping):
            return self._tree.plain(value, path)
        if isinstance(value, ActionNode):
            with_ = {} if value.with_ is None else {"with": self._tree.plain(value.with_, (*path, "with"))}
            return {"uses": value.uses, **with_, **self._keys(value, name, path)}
        if isinstance(value, BlockNode):
            return {value.word: self._block(name, value, (*path, value.word), full), **self._keys(value, name, path)}
        node = function_of(value)
        if node is None:
            self._not_implemented(name, value, path)
            return {"uses": "python", "with": {"function": self._calls.reference(name)}}
        process = node.keys.get("isolation") == "process"
        return {**self._calls.call(node, name, path, process=process), **self._keys(node, name, path)}

    def _not_implemented(self, name: str, value: Any, path: Path) -> None:
        why, hint = f"`{show(value)}` is no function, `Step` class or action", "give one of these"
        if isinstance(value, StepDecorator):
            why, hint = "`step(…)` was not applied to a function", "write it above a method: @step(…)"
        elif isinstance(value, FunctionNode) and getattr(value.target, "__isabstractmethod__", False):
            why, hint = "its method is abstract", "write it in the class that is registered"
        elif isinstance(value, FunctionNode):
            what = "nothing" if value.target is None else f"`{show(value.target)}`"
            why, hint = f"{what} was given in place of a function", "give a function, a `Step` class or an action"
        self._tree.tell(
            "no_implementation", path, f"the step `{name}` has no implementation: {why}", step=name, hint=hint
        )

    def _block(self, name: str, block: BlockNode, path: Path, full: str) -> Any:
        body: dict[str, Any] = {}
        for key, value in block.body.items():
            if block.word == "parallel" and key == "branches" and isinstance(value, Mapping):
                branches = cast("Mapping[str, Any]", value)
                body[key] = {
                    each: self._steps(named(item, name, each), item, (*path, key, each), full)
                    for each, item in branches.items()
                }
            elif key in BlockNode.STEPS:
                body[key] = self._steps(named(value, name, key), value, (*path, key), full)
            elif key not in ("do", "arms"):  # of blocks that are refused anyway
                body[key] = self._tree.plain(value, (*path, key))
        return body

    def _steps(self, steps: Sequence[tuple[str, Any]], value: Any, path: Path, full: str) -> Any:
        if isinstance(value, Mapping):
            return {name: self.step(name, each, (*path, name), f"{full}/{name}") for name, each in steps}
        return [
            {"name": name, **self.step(name, each, (*path, number), f"{full}/{name}")}
            for number, (name, each) in enumerate(steps)
        ]

    def _keys(self, node: Node, name: str, path: Path) -> dict[str, Any]:
        """The keys beside the action; `needs` may hold the steps themselves."""
        out: dict[str, Any] = {}
        process = node.keys.get("isolation") == "process"
        for key, value in node.keys.items():
            if key == "with":
                continue
            if key == "needs" and isinstance(value, list | tuple):
                needs = cast("Sequence[Any]", value)
                value = [self._tree.by_node.get(id(each), each) for each in needs]
            elif key == "compensate":
                value = self._handler(value, name, (*path, key), process=process)
            elif key == "on_error" and isinstance(value, Mapping):
                reactions = cast("Mapping[str, Any]", value)
                value = {
                    code: {"retry": each} if hasattr(each, "mapping") else each for code, each in reactions.items()
                }
            out[key] = self._tree.plain(_with_units(key, value), (*path, key))
        here: Path = (*path, "compensate")
        undo = cast("StepMethod[..., Any]", node).handler if isinstance(node, StepMethod) else None
        if undo is not None:
            out["compensate"] = self._tree.plain(self._function_handler(undo, name, here, process=process), here)
        elif "compensate" not in out and undoes_itself(cast("Node", node)):
            out["compensate"] = self._calls.call(cast("FunctionNode", node), name, here)
        return out

    def _handler(self, value: Any, name: str, path: Path, *, process: bool) -> Any:
        """`compensate`: a function, an action, or a mapping whose `uses` may be a function."""
        if isinstance(value, ActionNode):
            with_ = {} if value.with_ is None else {"with": value.with_}
            return {"uses": value.uses, **with_, **_timed(value.keys)}
        if isinstance(value, Mapping):
            keys = {spelled(key): item for key, item in cast("Mapping[str, Any]", value).items()}
            if not callable(keys.get("uses")):
                return _timed(keys)
            return self._function_handler(FunctionNode(keys.pop("uses"), keys), name, path, process=process)
        if callable(value):
            return self._function_handler(FunctionNode(value, {}), name, path, process=process)
        return value

    def _function_handler(self, node: FunctionNode, name: str, path: Path, *, process: bool) -> dict[str, Any]:
        call = self._calls.call(node, name, path, handler=True, process=process)
        return {**call, **_timed({key: value for key, value in node.keys.items() if key != "with"})}


def _timed(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _with_units(key, value) for key, value in keys.items()}
