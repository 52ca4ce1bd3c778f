"""Where parts of a composed YAML or JSON text stand: a path to its node, a node to its place, a character to its
source.
"""

from __future__ import annotations

import re
from typing import cast

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .diagnostics import Place


def child_of(node: Node | None, part: str | int) -> tuple[Node | None, Node | None]:
    """The key's node and the value's node of one step down; (None, None) if there is none."""
    if isinstance(node, MappingNode):
        for key, value in reversed(cast("list[tuple[Node, Node]]", node.value)):
            if isinstance(key, ScalarNode) and key.value == part:
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
        return None, node.value[part]
    return None, None


def place_of(node: Node, file: str) -> Place:
    """The place of a node; its length, if it stands on one line."""
    start, end = node.start_mark, node.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Place(file, start.line + 1, start.column + 1, max(1, length))


_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r?\n[ \t]*|.)", re.DOTALL)


def source_index(text: str, node: ScalarNode, offset: int) -> int:
    """The index in `text` of character `offset` of a scalar's value: both are walked side by side.

    Folding and chomping only ever add white space to the source or take it away, so a character that differs is
    skipped.
    """
    value: str = node.value
    at, end = node.start_mark.index, node.end_mark.index
    style = node.style
    if style in ("|", ">"):
        at = _next_line(text, at)
    elif style in ("'", '"'):
        at, end = at + 1, end - 1
    for wanted in value[: max(0, offset)]:
        if style == '"' and text[at : at + 1] == "\\" and (escape := _ESCAPE.match(text, at)):
            if "\n" in escape[0]:
                at = escape.end()
            else:
                at = escape.end()
                continue
        if style == "'" and text[at : at + 2] == "''":
            at += 2
            continue
        if wanted.isspace():
            while at < end and text[at] != wanted and not text[at].isspace():
                at += 1
            at += 1
            if wanted == " " and text[at - 1 : at] in "\r\n":
                at = _skip_space(text, at, end)
            continue
        at = _skip_space(text, at, end) if text[at : at + 1] != wanted else at
        at += 1
    if offset < len(value) and not value[max(0, offset)].isspace():
        at = _skip_space(text, at, end)
    return min(at, max(end, node.start_mark.index))


def _skip_space(text: str, at: int, end: int) -> int:
    while at < end and text[at] in " \t\r\n":
        at += 1
    return at


def _next_line(text: str, at: int) -> int:
    found = text.find("\n", at)
    return found + 1 if found >= 0 else at
