"""The text of CEL expressions, as far as it is looked at before the engine sees it: words, strings and comments
apart.
"""

from __future__ import annotations

import re

from .diagnostics import Path

EXPRESSION_BYTES_MAX = 4_096

STRINGS = (
    r'[rR][bB]?"""(?:.|\n)*?"""|[rR][bB]?\'\'\'(?:.|\n)*?\'\'\'|[bB][rR]"""(?:.|\n)*?"""|[bB][rR]\'\'\'(?:.|\n)*?\'\'\''
    r'|[bB]?"""(?:\\(?:.|\n)|[^\\])*?"""|[bB]?\'\'\'(?:\\(?:.|\n)|[^\\])*?\'\'\''
    r'|(?:[rR][bB]?|[bB][rR])"[^"\r\n]*"|(?:[rR][bB]?|[bB][rR])\'[^\'\r\n]*\''
    r'|[bB]?"(?:\\.|[^"\\\r\n])*"|[bB]?\'(?:\\.|[^\'\\\r\n])*\''
)
OPAQUE = rf"{STRINGS}|//[^\r\n]*"
"""A string literal or a comment: nothing inside it is code."""

_NAMES = re.compile(rf"{OPAQUE}|(?<![\w.])(?P<name>lists\.range|duration)(?=\s*\()")
_RENAMED = {"lists.range": "lists_range", "duration": "Duration"}
_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)
_PATH = re.compile(
    r'\s*([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\["[^"\\\r\n]*"\]|\[\'[^\'\\\r\n]*\'\]|\[\d{1,9}\])*)\s*', re.ASCII
)
_STEP = re.compile(r'\.(\w+)|\["([^"]*)"\]|\[\'([^\']*)\'\]|\[(\d+)\]')


def plain_path(text: str) -> Path | None:
    """The path of a text that is nothing but a chain of fields and constant indices: it needs no engine."""
    found = _PATH.fullmatch(text)
    if found is None or found[1] in _RESERVED:
        return None
    parts: list[str | int] = [found[1]]
    for name, double, single, index in _STEP.findall(found[2]):
        if name in ("in", "true", "false", "null"):
            return None
        parts.append(int(index) if index else name or double or single)
    return tuple(parts)


def rewrite(text: str) -> str:
    """The text with two standard functions exchanged for ours, of the same length, so that places in it stay right.

    `duration` takes the units of YAML; `lists.range` is bounded.
    """
    if "duration" not in text and "lists.range" not in text:
        return text
    return _NAMES.sub(lambda found: _RENAMED[found["name"]] if found["name"] else found[0], text)


def restore(message: str) -> str:
    """A message of the engine with the names that the author wrote."""
    return message.replace("Duration", "duration").replace("lists_range", "lists.range")
