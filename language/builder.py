"""A workflow built at run time, step by step.

Source: the language page, section 8; requirements E-DEF-4 and E-DEF-18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, Unpack, cast

from .built_in import BUILT_IN
from .catalogue import Catalogue
from .definition import WorkflowDefinition, encode
from .python_keys import FunctionKeys, WorkflowKeys
from .python_mapping import Coded, code
from .python_nodes import ActionNode, FunctionNode, Node, place_of_caller


class BuiltWorkflow(WorkflowDefinition, frozen=True, omit_defaults=True, dict=True, eq=False):
    """The definition that a builder made; the functions of its steps come along when it is registered."""

    def __eq__(self, other: object) -> bool:
        """Is it the same definition, whatever it was made of?"""
        return isinstance(other, WorkflowDefinition) and encode(self) == encode(other)

    def __hash__(self) -> int:
        """Equal definitions have equal hashes."""
        return hash(encode(self))

    @property
    def coded(self) -> Coded:
        """What it was made of."""
        return self.__dict__["coded"]


class WorkflowBuilder:
    """`WorkflowBuilder("dynamic").step("step1", first).step("step2", second, needs=["step1"]).build()`.

    Keywords are the keys of a workflow. Steps form a graph, in any order. Arguments of functions are bound by name to
    steps and inputs, as in a workflow class; `with_={"args": {…}}` gives others.
    """

    def __init__(self, name: str, **keys: Unpack[WorkflowKeys]) -> None:
        self._name = name
        self._keys = keys
        self._steps: list[tuple[str, Any]] = []
        self._place = place_of_caller()

    def step(self, name: str, what: Node | Callable[..., Any] | str | None, /, **keys: Unpack[FunctionKeys]) -> Self:
        """Add a step: a function, a `Step` class, the name of an action, `module:function`, or a block or action as a
        value (`parallel(…)`, `action(…)`).
        """
        place = place_of_caller()
        if isinstance(what, str):
            with_: Any = keys.pop("with_", None)
            if ":" in what:
                what, with_ = "python", {"function": what, **cast("dict[str, Any]", with_ or {})}
            node: Any = ActionNode(what, with_, keys, place)
        elif isinstance(what, Node):
            node = what.with_keys(keys) if keys else what
        else:
            node = FunctionNode(what, keys, place)
        self._steps.append((name, node))
        return self

    def build(self, catalogue: Catalogue | None = None) -> BuiltWorkflow:
        """The checked definition. Raises InvalidDefinition with everything that is wrong.

        Without a catalogue the built-in actions and kinds are known, and nothing of a project.
        """
        coded = code(self._name, self._keys, self._steps, self._place)
        definition = coded.load(catalogue or BUILT_IN).definition
        fields = {name: getattr(definition, name) for name in definition.__struct_fields__}
        built = BuiltWorkflow(**fields)
        cast("dict[str, Any]", built.__dict__)["coded"] = coded
        return built
