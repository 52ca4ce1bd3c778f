"""What an expression needs of the values it reads, so that no more of a large event is converted for the engine.

Converting 1 MiB of JSON holds the process up for tens of milliseconds, while most expressions read a few fields, the
length of a list, or one field of each of its items.
"""

from __future__ import annotations

from typing import Any, cast

from .cel_ast import EACH, NAMESPACES, NOTHING_BOUND, Bound, Node, path_of
from .diagnostics import Path

Needs = dict[Any, "Needs | None"]
"""A tree: by name or field, by index, or EACH for all items of a list; None: the value there as a whole."""


def needs_of(root: Node) -> Needs:
    """By root name, what the expression reads; {} where only its being there matters."""
    tree: Needs = {}
    _walk(root, NOTHING_BOUND, tree)
    return tree


def cut(value: Any, needs: Needs | None) -> Any:
    """The value with no more than what is needed. What lacks there is absent in the value as well."""
    if needs is None:
        return value
    if type(value) is dict:
        return _cut_mapping(cast("dict[Any, Any]", value), needs)
    return _cut_list(cast("list[Any]", value), needs) if type(value) is list else value


def _cut_mapping(value: dict[Any, Any], needs: Needs) -> dict[Any, Any]:
    if EACH not in needs:
        return {name: cut(value[name], below) for name, below in needs.items() if name in value}
    return dict.fromkeys(value) if len(needs) == 1 else value  # its keys alone: who goes over a mapping gets those


def _cut_list(value: list[Any], needs: Needs) -> list[Any]:
    if EACH in needs:
        below = needs[EACH]
        return value if below is None or len(needs) > 1 else [cut(item, below) for item in value]
    indices = [part for part in needs if isinstance(part, int) and part >= 0]
    if len(indices) < len(needs):
        return value
    upto = value[: max(indices, default=-1) + 1]
    return [cut(item, needs.get(index, {})) for index, item in enumerate(upto)]


def _walk(node: Node, bound: Bound, tree: Needs) -> None:
    path = path_of(node, bound, through=True)
    if path is not None:
        _need(tree, path, whole=True)
        return
    if node.kind == "comprehension":
        _walk_comprehension(node, bound, tree)
        return
    inner = [node.target, *node.children]
    if node.target is not None and node.target.kind == "ident" and node.target.name in NAMESPACES:
        inner[0] = None
    for child in inner:
        if child is not None and not (node.name == "size" and node.kind == "call" and _count(child, bound, tree)):
            _walk(child, bound, tree)


def _walk_comprehension(node: Node, bound: Bound, tree: Needs) -> None:
    over = path_of(node.parts.get("range"), bound, through=True)
    inner = {**bound, **dict.fromkeys(node.variables), node.variables[0]: None if over is None else (*over, EACH)}
    for name, part in node.parts.items():
        outside = name in ("range", "init")
        if name != "range" or not _count(part, bound, tree):
            _walk(part, bound if outside else inner, tree)


def _count(node: Node, bound: Bound, tree: Needs) -> bool:
    """If this is a path: of what is there, how much there is will do."""
    path = path_of(node, bound, through=True)
    if path is None:
        return False
    _need(tree, (*path, EACH), whole=False)
    return True


def _need(tree: Needs, path: Path, *, whole: bool) -> None:
    level = tree
    for part in path[:-1]:
        below = level.setdefault(part, {})
        if below is None:
            return
        level = below
    if whole:
        level[path[-1]] = None
    else:
        level.setdefault(path[-1], {})
