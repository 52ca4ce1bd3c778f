"""The text of a reader: Python source that takes from an event just the paths that rules name.

Values are looked up as soon as they are read; pairs of them at the end. The names in the text are our own, the names of
members are literals.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias, Union

import msgspec

from .index_paths import Node, PathTree
from .index_probes import SEEK_FROM
from .index_values import ABSENT

Place: TypeAlias = int | tuple[int, int]  # of a probe: a path, or a path and that of its guard
NO_PROBE, WHOLE, MIXED, WITH_HAS = range(4)  # what is looked up for a path: nothing, whole values, more, presence too


def suffix(place: Place) -> str:
    """Ends the names of a probe's functions in the text."""
    return str(place) if isinstance(place, int) else f"{place[0]}_{place[1]}"


class Writer(ABC):
    """Writes `scan(event)`. In the sparse form values go straight into a list or dictionary, arrays to `spread`."""

    def __init__(self, tree: PathTree, flavours: dict[Place, int], sparse: bool) -> None:
        self.tree, self.flavours, self.sparse = tree, flavours, sparse
        self.constants: dict[str, Any] = {}
        self.lines: list[str] = []
        self._numbers: dict[int, int] = {}
        self._filled: set[int] = set()
        self._fills: list[Node] = []

    @abstractmethod
    def member(self, parent: Node, holder: str, name: str) -> str:
        """An expression for a member of an object."""

    @abstractmethod
    def type_of(self, node: Node) -> str:
        """The name of the type that objects at a node have."""

    @abstractmethod
    def opening(self, root: Node) -> list[str]:
        """Lines that turn the argument `event` into the object `o`, or return."""

    @abstractmethod
    def normalising(self, name: str) -> list[str]:
        """Lines that bring a variable of unknown type into plain form."""

    def write(self) -> str:
        root, paths = self.tree.root, range(self.tree.size)
        self.lines = [
            "def scan(event):",
            *(" " + line for line in self.opening(root)),
            " found = []",
            " add = found.append",
        ]
        self.lines.append(f" arrays = {2 if self.sparse else 0}")
        if self.sparse:
            self.lines.append(" values = fresh()")
        elif paths:
            self.lines.append(" " + " = ".join(f"v{path}" for path in paths) + " = A")
        if root.is_open:
            self.lines.append(f" spread({self.node(root)}, o, values, found)")
        else:
            self.members(root, "o", " ")
        self.pairs()
        if not self.sparse:
            self.lines.append(f" values = ({''.join(f'v{path}, ' for path in paths)})")
        self.lines += [" if root.always: add(root.always)", " if root.absent: absent(root, values, found)"]
        self.lines.append(" return values, found, arrays")
        while self._fills:
            node = self._fills.pop()
            self.lines.append(f"def {self.fill_of(node)}(items, {_lists(node.paths())}):")
            self.items(node, "items", " ")
        return "\n".join(self.lines)

    def pairs(self) -> None:
        """Look up the pairs of values that guarded probes want."""
        for place, flavour in self.flavours.items():
            if isinstance(place, tuple) and place[0] < self.tree.size and place[1] < self.tree.size:
                name = suffix(place)
                v, g = map(self.target, place)
                self.lines.append(f" if type({v}) is str and type({g}) is str:")
                if flavour == WHOLE:
                    self.lines += [f"  b = whole{name}(({v}, {g}))", "  if b is not None: add(b)"]
                else:
                    self.lines.append(f"  scan{name}({v}, {g}, add)")
                self.lines.append(f" elif {v} is not A and {g} is not A: seek_pair(P{name}, {v}, {g}, found)")

    def number(self, node: Node) -> int:
        """A number for the variables and constants of a node."""
        return self._numbers.setdefault(id(node), len(self._numbers))

    def node(self, node: Node) -> str:
        """The name of the constant that is a node."""
        name = f"N{self.number(node)}"
        self.constants[name] = node
        return name

    def target(self, path: int) -> str:
        """The variable of a path."""
        return f"values[{path}]" if self.sparse else f"v{path}"

    def members(self, node: Node, holder: str, pad: str) -> None:
        """Read all members of an object."""
        for name, child in node.children.items():
            x = f"x{self.number(child)}"
            self.lines.append(f"{pad}{x} = {self.member(node, holder, name)}")
            if child.is_open:
                self.lines.append(f"{pad}if {x} is not A: spread({self.node(child)}, {x}, values, found)")
            elif child.children:
                self.interior(child, x, pad)
            else:
                self.leaf(child.path, x, pad)

    def leaf(self, path: int, x: str, pad: str) -> None:
        """Keep a value and look it up; text is by far the most frequent. Other scalars are normalised where they are
        tested."""
        v = self.target(path)
        if not self.flavours.get(path):
            self.lines.append(f"{pad}{v} = {x} if type({x}) in plain_leaf else V({x})")
            return
        self.lines += [f"{pad}if type({x}) is str:", f"{pad} {v} = {x}"]
        self.look_up(path, x, pad + " ")
        self.lines += [
            f"{pad}elif {x} is not A:",
            f"{pad} {v} = w = V({x})",
            f"{pad} if w is not A: seek(P{path}, w, found)",
        ]

    def look_up(self, path: int, x: str, pad: str) -> None:
        """Add what is filed under a text or number."""
        flavour = self.flavours[path]
        if flavour == WHOLE:
            self.lines += [f"{pad}b = whole{path}({x})", f"{pad}if b is not None: add(b)"]
        else:
            self.lines.append(f"{pad}scan{path}({x}, add)")
        if flavour == WITH_HAS:
            self.lines.append(f"{pad}if P{path}.has is not None: add(P{path}.has)")

    def interior(self, node: Node, x: str, pad: str) -> None:
        """Read an object; or an array in its place; or a plain value, if a rule names it as such."""
        self.lines += [pad + line for line in self.normalising(x)]
        self.lines.append(f"{pad}if type({x}) is {self.type_of(node)}:")
        self.members(node, x, pad + " ")
        if self.sparse:
            self.lines.append(f"{pad}elif {x} is not A: spread({self.node(node)}, {x}, values, found)")
            return
        paths = node.paths()
        self.lines.append(f"{pad}elif type({x}) is list:")
        self.lines.append(f"{pad} arrays += {len(paths)}")
        self.lines += [f"{pad} l{path} = []" for path in paths]
        self.items(node, x, pad + " ")
        for path in paths:
            if not self.flavours.get(path):
                self.lines.append(f"{pad} v{path} = l{path} or A")
                continue
            self.lines += [f"{pad} if l{path}:", f"{pad}  v{path} = l{path}"]
            self.lines += [f"{pad}  if len(l{path}) < {SEEK_FROM}:", f"{pad}   for y in l{path}:"]
            self.look_up(path, "y", pad + "    ")
            self.lines.append(f"{pad}  else: seek(P{path}, l{path}, found)")
        if node.path >= 0:
            self.lines.append(f"{pad}elif {x} is not A:")
            self.leaf(node.path, x, pad + " ")

    def items(self, node: Node, x: str, pad: str) -> None:
        """Read the members of the objects in an array into the lists of the paths here and below."""
        paths = node.paths()
        o = f"o{self.number(node)}"
        self.lines += [f"{pad}for {o} in {x}:", f"{pad} if type({o}) is {self.type_of(node)}:"]
        self.array_members(node, o, pad + "  ")
        self.lines.append(f"{pad} else: nested({self.node(node)}, {o}, ({_comma(paths)}), ({_lists(paths)},))")

    def fill_of(self, node: Node) -> str:
        """The name of the function that adds an array inside an array to such lists; it is written at the end."""
        number = self.number(node)
        if number not in self._filled:
            self._filled.add(number)
            self._fills.append(node)
        return f"fill{number}"

    def array_members(self, node: Node, holder: str, pad: str) -> None:
        """Read all members of an object in an array."""
        for name, child in node.children.items():
            x = f"x{self.number(child)}"
            self.lines.append(f"{pad}{x} = {self.member(node, holder, name)}")
            if not child.children:
                self.lines += [
                    f"{pad}if type({x}) is str: l{child.path}.append({x})",
                    f"{pad}elif {x} is not A: put({x}, l{child.path})",
                ]
                continue
            paths = child.paths()
            self.lines.append(f"{pad}if type({x}) is {self.type_of(child)}:")
            self.array_members(child, x, pad + " ")
            self.lines += [
                f"{pad}elif type({x}) is list: {self.fill_of(child)}({x}, {_lists(paths)})",
                f"{pad}elif {x} is not A: nested({self.node(child)}, {x}, ({_comma(paths)}), ({_lists(paths)},))",
            ]


def _lists(paths: list[int]) -> str:
    return ", ".join(f"l{path}" for path in paths)


def _comma(paths: list[int]) -> str:
    return "".join(f"{path}, " for path in paths)


class StructWriter(Writer):
    """For JSON text: objects are Structs with a field for each named member."""

    def __init__(self, tree: PathTree, flavours: dict[Place, int], sparse: bool) -> None:
        super().__init__(tree, flavours, sparse)
        self._types: dict[int, Any] = {}
        self._fields: dict[int, dict[str, str]] = {}

    def opening(self, root: Node) -> list[str]:
        of_root: Any = dict[str, Any] if root.is_open else self.struct(root)
        self.constants["decode"] = msgspec.json.Decoder(of_root).decode
        return ["o = decode(event)"]

    def member(self, parent: Node, holder: str, name: str) -> str:
        self.struct(parent)
        return f"{holder}.{self._fields[id(parent)][name]}"

    def type_of(self, node: Node) -> str:
        name = f"S{self.number(node)}"
        self.constants[name] = self.struct(node)
        return name

    def normalising(self, name: str) -> list[str]:
        return []

    def struct(self, node: Node) -> Any:
        """The Struct of the objects at a node; members that are none of JSON's objects keep their own form."""
        made = self._types.get(id(node))
        if made is None:
            fields = self._fields[id(node)] = {name: f"f{number}" for number, name in enumerate(node.children)}
            made = self._types[id(node)] = msgspec.defstruct(
                f"Object{self.number(node)}",
                [(fields[name], self.decoded(child), ABSENT) for name, child in node.children.items()],
                rename={field: name for name, field in fields.items()},
                gc=False,
            )
        return made

    def decoded(self, child: Node) -> Any:
        """The type to decode a member as."""
        if child.is_open or not child.children:
            return Any
        plain_types = (str, int, float, bool, None)
        struct = self.struct(child)
        item: Any = Any if self.sparse else Union[(struct, list[Any], *plain_types)]
        return Union[(struct, list[item], *plain_types)]


class MappingWriter(Writer):
    """For plain data. A top-level member may be JSON text still (msgspec.Raw): it is read by a Struct of its own."""

    def opening(self, root: Node) -> list[str]:
        return ["o = event"]

    def member(self, parent: Node, holder: str, name: str) -> str:
        return f"{holder}.get({name!r}, A)"

    def type_of(self, node: Node) -> str:
        return "dict"

    def normalising(self, name: str) -> list[str]:
        return [f"if type({name}) is not dict and {name} is not A: {name} = plain({name})"]
