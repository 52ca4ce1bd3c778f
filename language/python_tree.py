"""The steps of a workflow written in Python: their names, the lists inside blocks, and what is wrong so far.

Source: the language page, sections 3 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from ..core.errors import ErrorPlace
from .annotations import Parameter, parameters
from .diagnostics import Diagnostics, Path, Place
from .python_keys import plain
from .python_nodes import BlockNode, FunctionNode, Node, StepsValue
from .python_step import compensable, is_step_class


class Item(NamedTuple):
    """A step with its name and its place in the program."""

    name: str
    value: Any
    place: Place


class Tree:
    """All steps of a workflow by name, those inside blocks as well."""

    def __init__(self, steps: Sequence[tuple[str, Any]], place: Place) -> None:
        self.place = place
        self.problems = Diagnostics()
        self.places: dict[str, ErrorPlace] = {}
        self.names: dict[str, Item] = {}
        self.by_node: dict[int, str] = {}
        inside = {id(each) for name, value in steps for _, each in _below(name, value)}
        own = [(name, value) for name, value in steps if id(value) not in inside]
        self.top: dict[str, Any] = {}  # the workflow's own steps; of two with one name the first, the other is told
        for name, value in own:
            self.top.setdefault(name, value)
        for name, value in own:
            for each in ((name, value), *_below(name, value)):
                self._name(*each)

    def _name(self, name: str, value: Any) -> None:
        place = self._place_of(value)
        if name in self.names:
            message = f"there is a step `{name}` already; step names are unique in a workflow"
            self.problems.error(
                "duplicate_name", message, place, path=("steps", name), hint="give one of them another name"
            )
        else:
            self.names[name] = Item(name, value, place)
        self.by_node.setdefault(id(value), name)

    def _place_of(self, value: Any) -> Place:
        if isinstance(value, Node) and value.line:
            return Place(value.file, value.line)
        code = getattr(value, "__code__", None)
        return self.place if code is None else Place(code.co_filename, code.co_firstlineno)

    def tell(self, code: str, path: Path, message: str, *, step: str = "", **more: str) -> None:
        """A problem of the workflow, or of one of its steps."""
        place = self.names[step].place if step in self.names else self.place
        self.problems.error(code, message, place, path=path, **more)

    def plain(self, value: Any, path: Path) -> Any:
        """A value as JSON data; what has no JSON form is told."""

        def tell(where: Path, what: Any) -> None:
            step = next((str(part) for part in reversed(where) if part in self.names), "")
            message = f"`{where[-1]}` is a {type(what).__name__}, which has no JSON form"
            hint = "give text, numbers, true or false, and lists and mappings of them"
            self.tell("wrong_type", where, message, step=step, hint=hint)

        return plain(value, path, tell)

    def located(self, name: str, full: str) -> None:
        """Note where a step was written; `full` is its name with those of the blocks around it, `release/test`."""
        place = self.names[name].place
        told = ErrorPlace(place.file, place.line, 0, f"steps.{full.replace('/', '.steps.')}")
        self.places[f"steps.{name}"] = self.places[told.path] = told


def _below(block: str, value: Any) -> Iterator[tuple[str, Any]]:
    for part, steps in parts_of(value):
        for name, each in named(steps, block, part):
            yield name, each
            yield from _below(name, each)


def parts_of(value: Any) -> list[tuple[str, StepsValue]]:
    """The lists of steps inside a block."""
    if not isinstance(value, BlockNode):
        return []
    branches = value.body.get("branches")
    found: list[tuple[str, Any]] = [(key, value.body[key]) for key in value.body if key in BlockNode.STEPS]
    if value.word == "parallel" and isinstance(branches, Mapping):
        found += cast("Mapping[str, Any]", branches).items()
    return found


def named(steps: Any, block: str, part: str) -> list[tuple[str, Any]]:
    """Steps with their names: the key, the step's own `name`, the function's, else as the loader calls them:
    `<block>_step1`, `<block>_<part>1`.
    """
    if isinstance(steps, Mapping):
        return list(cast("Mapping[str, Any]", steps).items())
    listed = cast("Sequence[Any]", steps) if isinstance(steps, list | tuple) else [steps]
    unnamed = f"{block}_{'step' if part == 'steps' else part}"
    return [(_own_name(each) or f"{unnamed}{number}", each) for number, each in enumerate(listed, 1)]


def _own_name(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(cast("Mapping[str, Any]", value).get("name", ""))
    if isinstance(value, Node):
        return value.name or (_own_name(value.target) if isinstance(value, FunctionNode) else "")
    name = getattr(value, "__name__", "")
    return name if name.isidentifier() else ""


def function_of(value: Any) -> FunctionNode | None:
    """A step that calls a function or a `Step` class; None for all others, and where there is nothing to call."""
    if isinstance(value, FunctionNode):
        abstract = getattr(value.target, "__isabstractmethod__", False)
        return value if callable(value.target) and not abstract else None
    if isinstance(value, Node) or not callable(value):
        return None
    return FunctionNode(value, {})


def arguments_of(node: FunctionNode) -> tuple[list[Parameter], list[str]]:
    """What a step's function is given: not `context`, and of a `Step` class what `execute` takes."""
    target: Any = node.target
    is_class = is_step_class(target)
    found, by_place = parameters(target.execute if is_class else target, method=node.method or is_class)
    return [parameter for parameter in found if parameter.name != "context"], by_place


def given_to(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments that the keys of a step give themselves: `with: {args: …}`."""
    with_ = keys.get("with")
    args = cast("Mapping[str, Any]", with_).get("args") if isinstance(with_, Mapping) else None
    return cast("Mapping[str, Any]", args) if isinstance(args, Mapping) else {}


def undoes_itself(node: Node) -> bool:
    """Is this a `Step` class with a `compensate` of its own?"""
    return isinstance(node, FunctionNode) and is_step_class(node.target) and compensable(node.target)
