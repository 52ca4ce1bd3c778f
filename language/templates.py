"""`${{ }}` in strings, and in any nested value: scanned and compiled once, rendered often.

A string that is one `${{ }}` and nothing else keeps the value's type; in mixed text a value becomes text: null
nothing, true and false as such, numbers as in JSON, mappings and lists as compact JSON. `$${{` stands for `${{`.
Inside, quotes and braces are those of CEL: `}}` in a text or closing a map does not end it. Source: the language
page, section 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

import msgspec
from msgspec import Struct

from .cel import Activation, Expression, check_expression
from .cel_text import STRINGS, plain_path
from .diagnostics import Diagnostic, InvalidDefinition, Path, Place, line_column, split_lines
from .scope import Scope

Encode = Callable[[str, str], str]

_OPEN = re.compile(r"\$?\$\{\{")
# a string, a comment (which ends where the template does), or a brace
_INNER = re.compile(rf"(?:{STRINGS})|//(?:(?!\}}\}})[^\r\n])*|(?P<open>\{{)|(?P<close>\}})")


class Template:
    """One string with at least one `${{ }}`. `whole`: it is exactly one, so the value keeps its type."""

    __slots__ = ("expressions", "parts", "reads", "text", "whole")

    def __init__(self, text: str, parts: tuple[str | Expression, ...]) -> None:
        self.text = text
        self.parts = parts
        self.expressions = tuple(part for part in parts if isinstance(part, Expression))
        self.reads: frozenset[Path] = frozenset[Path]().union(*(part.reads for part in self.expressions))
        self.whole = len(parts) == 1

    def render(self, activation: Activation, encode: Encode | None = None) -> Any:
        """The value. In mixed text `encode` is given what each `${{ }}` gave, as text, and what stands before it.

        Raises ExpressionError.
        """
        if self.whole:
            return self.expressions[0].value(activation)
        rendered: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                rendered.append(part)
            else:
                text = as_text(part.value(activation))
                rendered.append(text if encode is None else encode(text, "".join(rendered)))
        return "".join(rendered)


def as_text(value: Any) -> str:
    """A value within mixed text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    return msgspec.json.encode(value).decode()


class _Constant(Struct, frozen=True):
    value: Any

    def render(self, activation: Activation, encode: Encode | None = None) -> Any:
        return self.value


class _Mapping:
    __slots__ = ("_constants", "_varying")

    def __init__(self, constants: dict[str, Any], varying: Iterable[tuple[str, _Varying]]) -> None:
        """`constants`: all keys in their order, those that vary hold None."""
        self._constants = constants
        # what is one expression and nothing else is asked without a way round
        self._varying = tuple(
            (key, node.expressions[0].value if isinstance(node, Template) and node.whole else None, node)
            for key, node in varying
        )

    def render(self, activation: Activation, encode: Encode | None = None) -> Any:
        found = self._constants.copy()
        for key, value, node in self._varying:
            found[key] = node.render(activation, encode) if value is None else value(activation)
        return found


class _List(Struct, frozen=True):
    items: tuple[_Node, ...]

    def render(self, activation: Activation, encode: Encode | None = None) -> Any:
        return [node.render(activation, encode) for node in self.items]


_Varying = _Mapping | _List | Template
_Node = _Constant | _Varying


class Compiled:
    """Any JSON value with templates inside. `constant`: it has none, and `render` returns the very value that was
    given.

    Subtrees without a template are never copied, so what is rendered must be treated as read-only.
    """

    __slots__ = ("constant", "hints", "reads", "render", "templates")

    render: Callable[..., Any]
    """`render(activation, encode=None)`: the value, with each `${{ }}` replaced. Raises ExpressionError."""

    def __init__(self, root: _Node, templates: tuple[tuple[Path, Template], ...]) -> None:
        self.render = root.render
        self.templates = templates
        self.reads: frozenset[Path] = frozenset[Path]().union(*(template.reads for _, template in templates))
        self.constant = isinstance(root, _Constant)
        self.hints = tuple(
            replace(hint, path=path)
            for path, template in templates
            for part in template.expressions
            for hint in part.hints
        )


def has_template(text: str) -> bool:
    """Is there a `${{` that is not escaped?"""
    return "${{" in text and any(not found[0].startswith("$$") for found in _OPEN.finditer(text))


def compile_template(text: str, scope: Scope) -> Template | str:
    """The template, or the plain text (`$${{` unescaped) if there is no `${{ }}`.

    Raises InvalidDefinition with all errors, their places inside `text`.
    """
    found, faults = check_template(text, scope)
    if faults or found is None:
        raise InvalidDefinition(faults)
    return found


def check_template(text: str, scope: Scope) -> tuple[Template | str | None, list[Diagnostic]]:
    """The same for loaders that collect."""
    if "${{" not in text:
        return text, []
    parts: list[str | Expression] = []
    faults: list[Diagnostic] = []
    literal, at = "", 0
    while (opened := _OPEN.search(text, at)) is not None:
        literal += text[at : opened.start()]
        at = opened.end()
        if opened[0].startswith("$$"):
            literal += "${{"
            continue
        end = _end(text, at)
        if end < 0:
            faults.append(_unclosed(text, opened.start()))
            return None, faults
        if literal:
            parts.append(literal)
            literal = ""
        inner = text[at:end]
        checked = check_expression(inner.strip(), scope)
        if isinstance(checked, Expression):
            parts.append(checked)
        else:
            shift = at + len(inner) - len(inner.lstrip())
            faults += [moved(diagnostic, text, shift) for diagnostic in checked]
        at = end + 2
    literal += text[at:]
    if faults:
        return None, faults
    if not parts:
        return literal, []
    if literal:
        parts.append(literal)
    return Template(text, tuple(parts)), []


def _end(text: str, at: int) -> int:
    """Where the `}}` stands that ends an expression which begins at `at`; -1 if it has no end."""
    depth = 0
    while (found := _INNER.search(text, at)) is not None:
        at = found.end()
        if found["open"]:
            depth += 1
        elif found["close"]:
            if depth == 0:
                if text[at : at + 1] == "}":
                    return found.start()
            else:
                depth -= 1
    return -1


def _unclosed(text: str, offset: int) -> Diagnostic:
    line, column = line_column(text, offset)
    return Diagnostic(
        "expression.template",
        "the ${{ that begins here is never closed",
        Place("", line, column, 3),
        hint="close it with }}, or write $${{ if it is meant as text",
    )


def moved(diagnostic: Diagnostic, text: str, shift: int) -> Diagnostic:
    """A diagnostic of an expression that begins `shift` characters into `text`, with its place inside `text`."""
    line, column = line_column(text, shift)
    place = diagnostic.place
    if place.line <= 1:
        column += max(place.column, 1) - 1
    else:
        column = place.column
    line += max(place.line, 1) - 1
    return replace(diagnostic, place=Place("", line, column, place.length), line_text=split_lines(text)[line - 1])


def compile_value(value: Any, scope: Scope, path: Path = ()) -> Compiled:
    """Compile all strings inside a JSON value (keys are left alone).

    Raises InvalidDefinition with every error: `path` leads to its string, its place is inside that string.
    """
    compiled, faults = check_value(value, scope, path)
    if compiled is None:
        raise InvalidDefinition(faults)
    return compiled


def check_value(value: Any, scope: Scope, path: Path = ()) -> tuple[Compiled | None, list[Diagnostic]]:
    """The same for loaders that collect: what could be compiled (None if there is an error), and the errors."""
    faults: list[Diagnostic] = []
    templates: list[tuple[Path, Template]] = []
    root = _compile(value, scope, path, templates, faults)
    return (None if faults else Compiled(root, tuple(templates))), faults


def _compile(
    value: Any, scope: Scope, path: Path, templates: list[tuple[Path, Template]], faults: list[Diagnostic]
) -> _Node:
    if isinstance(value, str):
        template, found = check_template(value, scope)
        faults += [replace(diagnostic, path=path) for diagnostic in found]
        if isinstance(template, Template):
            templates.append((path, template))
            return template
        return _Constant(value if template is None else template)
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        nodes = {key: _compile(item, scope, (*path, key), templates, faults) for key, item in entries.items()}
        if all(_same(node, entries[key]) for key, node in nodes.items()):
            return _Constant(value)
        constants = {key: node.value if isinstance(node, _Constant) else None for key, node in nodes.items()}
        return _Mapping(constants, ((key, node) for key, node in nodes.items() if not isinstance(node, _Constant)))
    if isinstance(value, list):
        items = cast("list[Any]", value)
        compiled = tuple(_compile(item, scope, (*path, index), templates, faults) for index, item in enumerate(items))
        same = all(_same(node, item) for node, item in zip(compiled, items, strict=True))
        return _Constant(value) if same else _List(compiled)
    return _Constant(value)


def _same(node: _Node, value: Any) -> bool:
    return isinstance(node, _Constant) and node.value is value


def bare_expression(text: str, scope: Scope) -> str:
    """The cure for text that was probably meant as an expression, valid CEL over these names without its `${{ }}`;
    else "".
    """
    head = re.match(r"\s*!?([A-Za-z_]\w*)\s*[.\[]", text)
    if head is None or head[1] not in scope.names or "${{" in text:
        return ""
    path = plain_path(text)
    if path is None and not re.search(r"[=<>&|+*/?(\[!-]", text):
        return ""
    if not isinstance(check_expression(text.strip(), scope), Expression):
        return ""
    return f"write ${{{{ {text.strip()} }}}} to have it evaluated"
