"""A step's Python function as `uses: python`: its reference, and its arguments bound by name.

Source: the language page, section 8; requirements E-DEF-14 to 16.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, cast

from .annotations import Parameter
from .diagnostics import Path, nearest
from .python_form import free
from .python_inputs import Inputs
from .python_nodes import FunctionNode
from .python_tree import Tree, arguments_of, function_of, given_to

_RESERVED = frozenset((  # words that CEL keeps for itself: as names they stand in brackets
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
    "namespace", "null", "package", "return", "true", "var", "void", "while",
))  # fmt: skip


class Calls:
    """The functions of one workflow. `functions`: reference → what is called; `owner`: the class of its methods."""

    def __init__(self, workflow: str, tree: Tree, inputs: Inputs, owner: type[Any] | None) -> None:
        self._workflow = workflow
        self._tree = tree
        self._inputs = inputs
        self._owner = owner
        self.functions: dict[str, Any] = {}

    def infer(self) -> None:
        """Take inputs that are not declared from the arguments of all steps."""
        if self._inputs.declared:
            return
        for item in self._tree.names.values():
            node = function_of(item.value)
            if node is None:
                continue
            given = given_to(node.keys)
            for parameter in arguments_of(node)[0]:
                if parameter.name not in given and parameter.name not in self._tree.names:
                    self._inputs.add(parameter, item.name)

    def reference(self, name: str) -> str:
        """What the function of a step is called: `ship-order:charge`."""
        return f"{self._workflow}:{name}"

    def call(
        self, node: FunctionNode, name: str, path: Path, *, handler: bool = False, process: bool = False
    ) -> dict[str, Any]:
        """`uses` and `with` of a step, or of the handler that undoes it."""
        reference = self.reference(name) + (".compensate" if handler else "")
        if process:
            reference = self._importable(node, name, path) or reference
        method = node.method and self._owner is not None
        self.functions[reference] = free(node.target, cast("type[Any]", self._owner)) if method else node.target
        written = node.keys.get("with", {})
        if not isinstance(written, Mapping):
            return {"uses": "python", "with": self._tree.plain(written, (*path, "with"))}
        more = dict(cast("Mapping[str, Any]", written))
        args: Any = self._tree.plain(more.pop("args", {}), (*path, "with", "args"))
        if isinstance(args, dict):
            args = {**cast("dict[str, Any]", args), **self._bound(node, name, path, handler=handler)}
        with_: dict[str, Any] = {"function": reference, **self._tree.plain(more, (*path, "with"))}
        return {"uses": "python", "with": {**with_, "args": args} if args != {} else with_}

    def _bound(self, node: FunctionNode, name: str, path: Path, *, handler: bool) -> dict[str, str]:
        found, by_place = arguments_of(node)
        for each in by_place:
            message = f"the argument `{each}` of `{name}` can only be given by its place; arguments are given by name"
            hint = "remove the `/` from the function's arguments"
            self._tree.tell("wrong_form", path, message, step=name, hint=hint)
        given = given_to(node.keys)
        bound: dict[str, str] = {}
        for parameter in found:
            if parameter.name not in given:
                text = self._source(parameter, name, path, handler=handler)
                if text:
                    bound[parameter.name] = f"${{{{ {text} }}}}"
        return bound

    def _source(self, parameter: Parameter, name: str, path: Path, *, handler: bool) -> str:
        """Where an argument comes from, in CEL; empty where its default is meant, and where the problem was told."""
        each = parameter.name
        member = f'["{each}"]' if each in _RESERVED else f".{each}"
        if handler and each == name:
            return "output"
        if each in self._tree.names:
            return f"steps{member}.output"
        if each in self._inputs.schemas:
            return f"inputs{member}"
        if handler and each in ("output", "error"):
            return each
        if not self._inputs.declared:
            self._inputs.add(parameter, name)
            return f"inputs{member}"
        near = nearest(each, [*self._inputs.schemas, *(other for other in self._tree.names if other != name)])
        if parameter.required or near is not None:
            message = f"the argument `{each}` of `{name}` is neither an input nor a step"
            hint = f"did you mean {near}?" if near else f"declare it in `inputs`, or name a step `{each}`"
            self._tree.tell("unknown_argument", path, message, step=name, found=each, hint=hint)
        return ""

    def _importable(self, node: FunctionNode, name: str, path: Path) -> str:
        """`module:name`, which another process can import; otherwise empty, and the problem is told."""
        module = getattr(node.target, "__module__", "") or ""
        qualified = getattr(node.target, "__qualname__", "")
        if node.method and self._owner is not None:
            module, qualified = self._owner.__module__, f"{self._owner.__qualname__}.{qualified.rpartition('.')[2]}"
        found: Any = sys.modules.get(module) if module != "__main__" else None
        for part in qualified.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return f"{module}:{qualified}"
        message = f"`isolation: process` of `{name}`: another process cannot import `{qualified}` from `{module}`"
        hint = "put it at the top level of a module that is not the program itself"
        self._tree.tell("wrong_value", (*path, "isolation"), message, step=name, hint=hint)
        return ""
