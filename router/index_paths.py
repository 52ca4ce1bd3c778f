"""The paths that rules name, numbered, as a tree; and the plain way to read their values from an event.

`values[number]` is what `index_values.values` says. A tree node is *open* if it has so many members, or the tree so
many paths, that generated code would be slow to make: its members are then looked up in a dictionary, and new ones
cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ..language.pattern_form import Path
from .index_values import ABSENT, decode, plain, scalar, type_of

_MEMBERS_MAX = 32  # of one node: msgspec compares every name of an event's object with each of them
_COMPILED_PATHS_MAX = 160
_LISTED_MAX = 256  # more paths than this: values are a dictionary, not a list
_IDLE_MAX = 64


class Node:
    """One name in the tree; `path` is the number of the path that ends here, or -1."""

    __slots__ = ("children", "is_open", "path", "uses")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.path = -1
        self.uses = 0
        self.is_open = False

    def paths(self) -> list[int]:
        """The numbers of all paths here and below."""
        found = [self.path] if self.path >= 0 else []
        for child in self.children.values():
            found += child.paths()
        return found

    def has_open(self) -> bool:
        """Is this node or one below it open?"""
        return self.is_open or any(child.has_open() for child in self.children.values())


class _Sparse(dict[int, Any]):
    """Values of many paths, most of which an event lacks."""

    def __missing__(self, path: int) -> Any:
        return ABSENT


class PathTree:
    """Numbers paths. `version` changes whenever a generated reader is out of date."""

    def __init__(self) -> None:
        self.root = Node()
        self.version = 0
        self.size = 0  # numbers given out
        self.names: list[Path] = []
        self._idle = 0
        self._free: list[int] = []
        self._nodes: dict[Path, Node] = {}
        self._layout: tuple[int, bool] = (-1, False)

    def take(self, path: Path) -> int:
        """The number of a path, used once more."""
        node = self._nodes.get(path)
        if node is None:
            node = self._insert(path)
        elif not node.uses:
            self._idle -= 1
        node.uses += 1
        return node.path

    def release(self, path: Path) -> None:
        """Used once less. Paths without a use stay for a while: rules come back."""
        node = self._nodes[path]
        node.uses -= 1
        if not node.uses:
            self._idle += 1
            if self._idle > _IDLE_MAX and 2 * self._idle > len(self._nodes):
                self._sweep()

    def fresh(self) -> Any:
        """No values yet, for every path."""
        return [ABSENT] * self.size if self.size <= _LISTED_MAX else _Sparse()

    def layout(self) -> bool:
        """Decide which nodes are open; is any?"""
        version, any_open = self._layout
        if version != self.version:
            left = _COMPILED_PATHS_MAX
            level = [self.root]
            any_open = False
            while level:
                for node in level:
                    count = len(node.children)
                    node.is_open = count > min(left, _MEMBERS_MAX) or not all(map(_nameable, node.children))
                    any_open = any_open or node.is_open
                    left -= 0 if node.is_open else count
                level = [child for node in level if not node.is_open for child in node.children.values()]
            self._layout = self.version, any_open
        return any_open

    def _insert(self, path: Path) -> Node:
        node, inside_open = self.root, False
        for name in path:
            inside_open = inside_open or node.is_open
            child = node.children.get(name)
            if child is None:
                # a copy: another thread may be walking the members
                child = Node()
                if inside_open:
                    node.children[name] = child
                else:
                    node.children = {**node.children, name: child}
            node = child
        node.path = self._free.pop() if self._free else self.size
        self._nodes[path] = node
        if node.path == self.size:
            self.size += 1
            self.names.append(path)
        else:
            self.names[node.path] = path
        if not inside_open:
            self.version += 1
        return node

    def _sweep(self) -> None:
        idle = [path for path, node in self._nodes.items() if not node.uses]
        for path in idle:
            node = self._nodes.pop(path)
            self._free.append(node.path)
        self._idle = 0
        self.root = Node()
        kept, self._nodes = self._nodes, {}
        for path, old in kept.items():
            node = self.root
            for name in path:
                node = node.children.setdefault(name, Node())
            node.path, node.uses = old.path, old.uses
            self._nodes[path] = node
        self.version += 1


def _nameable(name: str) -> bool:
    """Can a msgspec field have this name?"""
    return name.isprintable() and '"' not in name and "\\" not in name


def gather(node: Node, value: Any, values: Any, touched: list[int], in_array: bool = False) -> None:
    """Put the values at and below a node into `values`, and the numbers of the paths that have one into `touched`."""
    kind = type_of(value)
    if kind is not dict and kind is not list:
        value = plain(value)
        kind = type_of(value)
    if kind is dict:
        children = node.children
        for name in tuple(children) if len(children) < len(value) else value:
            child = children.get(name)
            if child is not None and name in value:
                gather(child, value[name], values, touched, in_array)
    elif kind is list:
        for item in value:
            gather(node, item, values, touched, True)
    elif node.path >= 0:
        value = scalar(value)
        if value is ABSENT:
            return
        path = node.path
        if not in_array:
            values[path] = value
            touched.append(path)
        elif values[path] is ABSENT:
            values[path] = [value]
            touched.append(path)
        else:
            values[path].append(value)


def agree(value: Any, checks: list[tuple[Path, Any]], depth: int = 0) -> bool:
    """Is there one choice of elements, one for each array that holds objects, under which every check holds?

    `checks` are paths and tests, all to be found from here down their path after `depth` names. Two fields that go
    through one array meet in the choice of its element; plain values in an array are no elements to choose.
    """
    kind = type_of(value)
    if kind is not dict and kind is not list:
        value = plain(value)
        kind = type_of(value)
    if kind is list:
        left = [check for check in checks if len(check[0]) > depth or not _any_scalar(value, check[1])]
        return not left or any(agree(item, left, depth) for item in value if not _is_scalar(item))
    if kind is dict:
        below: dict[str, list[tuple[Path, Any]]] = {}
        for check in checks:
            if len(check[0]) <= depth:
                return False
            below.setdefault(check[0][depth], []).append(check)
        return all(name in value and agree(value[name], some, depth + 1) for name, some in below.items())
    found = scalar(value)
    return found is not ABSENT and all(len(path) == depth and found in test for path, test in checks)


def _is_scalar(item: Any) -> bool:
    return scalar(item) is not ABSENT


def _any_scalar(items: list[Any], test: Any) -> bool:
    return any(found in test for found in map(scalar, items) if found is not ABSENT)


def whole(event: Any) -> Any:
    """An event as plain values: JSON bytes decoded, members that are still JSON text too."""
    if not isinstance(event, Mapping):
        return decode(event)
    members = cast("Mapping[str, Any]", event)
    return {name: decode(value) if type(value) is msgspec.Raw else value for name, value in members.items()}
