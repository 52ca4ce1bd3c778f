"""What the YAML parser complains about → what a person did, where, and the cure.

The parser stumbles over the consequence; most faults in workflow files are an expression that should stand in quotes.
So the line itself is looked at first, and only then the parser's words. Lines and columns count from 0 here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import Node, ScalarNode


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the text: code, sentence, 0-based line and column, cure, characters concerned."""

    code: str
    message: str
    line: int
    column: int
    hint: str
    length: int = 1


# `key: value` of a block mapping, the dashes of lists before it
_ENTRY = re.compile(r"(?P<lead>[ ]*(?:- +)*)(?P<key>[\w.-]+|\"[^\"]*\"|'[^']*') *:[ \t]+(?P<value>\S.*?)\s*$")
_FLOW_KEY = re.compile(r"[{,]\s*(?P<key>[\w.-]+)\s*:\s*")

_SHOWN_MAX = 80  # characters of a value that are repeated in a hint
_SYNTAX = "yaml.syntax"


def quote(value: str) -> str:
    """The value in the YAML quotes that need least escaping."""
    if '"' not in value and "\\" not in value:
        return f'"{value}"'
    return "'" + value.replace("'", "''") + "'"


def _cure(key: str, value: str) -> str:
    """How the value of a key is quoted; shown, unless it is long."""
    return f"quote it: {key}: {quote(value)}" if len(value) <= _SHOWN_MAX else "put the whole value in quotes"


def explain(error: YAMLError, lines: Sequence[str]) -> Fault:
    """The fault behind an error of the scanner, parser or composer."""
    if not isinstance(error, MarkedYAMLError):
        return Fault(_SYNTAX, f"the text is not YAML: {error}", 0, 0, "check the characters of the file")
    marked = cast(Any, error)
    problem: str = marked.problem or ""
    context: str = marked.context or ""
    mark = marked.problem_mark or marked.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    opened = (
        (marked.context_mark.line, marked.context_mark.column) if marked.context_mark is not None else (line, column)
    )
    return (
        _unquoted(lines, line, column, context, problem)
        or _flow(lines, line, column, opened, context, problem)
        or _structure(lines, line, column, opened, context, problem)
        or Fault(
            _SYNTAX,
            f"the text is not YAML: {problem}" + (f" {context}" if context else ""),
            line,
            column,
            "check quotes, brackets and indentation around here",
        )
    )


def explain_tag(node: Node, lines: Sequence[str]) -> Fault:
    """The fault of a node with a tag: an expression that begins with `!`, or a YAML tag that was meant."""
    line, column = node.start_mark.line, node.start_mark.column
    text = _line(lines, line)
    tag = str(node.tag)
    if column < len(text) and text[column] != "!":  # the mark of a tagged part may stand behind its tag
        column = max(text.rfind("!", 0, column + 1), 0)
    if tag.startswith("tag:yaml.org,2002:"):
        short = "!!" + tag.removeprefix("tag:yaml.org,2002:")
        hint = f"remove {short}; put the value in quotes if it is meant as text"
        return Fault("yaml.tag", f"the YAML tag {short} is not allowed here", line, column, hint, len(short))
    written = _value_from(text, column) if isinstance(node, ScalarNode) else tag
    entry = _ENTRY.match(text)
    cure = f"{entry['key']}: {quote(written)}" if entry and entry.start("value") == column else quote(written)
    return Fault("yaml.tag", f"YAML takes {tag} for a tag, not for text", line, column, f"quote it: {cure}", len(tag))


def _line(lines: Sequence[str], line: int) -> str:
    return lines[line] if 0 <= line < len(lines) else ""


def _value_from(text: str, column: int) -> str:
    """The rest of the line, as far as it can be one unquoted value inside a flow collection or a block."""
    rest = text[column:].rstrip()
    inside = text[:column].count("{") + text[:column].count("[") > text[:column].count("}") + text[:column].count("]")
    if inside and (stop := re.search(r"\s*[,}]", rest)):
        rest = rest[: stop.start()]
    return rest


def _unquoted(lines: Sequence[str], line: int, column: int, context: str, problem: str) -> Fault | None:
    """A value of a block mapping that should stand in quotes as a whole."""
    if line >= len(lines) or (column == 0 and line > 0):
        return None
    text = _line(lines, line)
    entry = _ENTRY.match(text)
    if entry is None:
        return None
    value, at = entry["value"], entry.start("value")
    if not at <= column <= at + len(value):
        return None
    cure = _cure(entry["key"], value)
    first = value[0]
    if first == "!":
        tag = value.split()[0]
        return Fault("yaml.tag", f"YAML takes {tag} for a tag, not for text", line, at, cure, len(tag))
    if first == "*":
        if "undefined alias" in problem and " " not in value and re.fullmatch(r"\*[A-Za-z][\w-]*", value):
            return None
        return Fault(
            "yaml.alias", f"YAML takes {value.split()[0]} for an alias, not for text", line, at, cure, len(value)
        )
    if first == "&":
        return Fault(
            "yaml.anchor", f"YAML takes {value.split()[0]} for an anchor, not for text", line, at, cure, len(value)
        )
    if first in "\"'" and "quoted scalar" not in context:
        return Fault(
            "yaml.quotes",
            f"the quotes around {value[: column - at].rstrip()} end before the value does",
            line,
            column,
            cure,
            max(1, len(value) - (column - at)),
        )
    if first in "@`%":
        return Fault("yaml.character", f"a value cannot begin with {first} unless it is quoted", line, at, cure)
    if first in "|>":
        return Fault(
            "yaml.block",
            f"{first} begins a block of text in YAML, and the text must start on the next line",
            line,
            at,
            cure,
        )
    if "mapping values are not allowed" in problem and first not in "{[":
        return Fault(
            "yaml.colon", "a colon followed by a space begins a new key; here it is inside a value", line, column, cure
        )
    if first == "-" and "block sequence entries" in problem:
        return Fault(
            "yaml.list",
            "a list cannot begin on the line of its key",
            line,
            at,
            "write each item on its own line, or use [a, b]",
        )
    if first == "?" and "mapping keys" in problem:
        return Fault("yaml.character", "a value cannot begin with ? unless it is quoted", line, at, cure)
    return None


def _flow(
    lines: Sequence[str], line: int, column: int, opened: tuple[int, int], context: str, problem: str
) -> Fault | None:
    """A fault inside `{…}` or `[…]`."""
    if "flow" not in context:
        return None
    opened = _opening(lines, opened)
    kind, sign, close = ("mapping", "{", "}") if _line(lines, opened[0])[opened[1] :][:1] == "{" else ("list", "[", "]")
    text = _line(lines, line)
    ends = line >= len(lines) or not text[column:].strip() or (column == 0 and line > opened[0])
    if ends or (line > opened[0] and _ENTRY.match(text)):
        return Fault(
            "yaml.unclosed", f"the {kind} that begins with {sign} here is not closed", *opened, f"close it with {close}"
        )
    value = _flow_value(text, line, column)
    if value is not None:
        return value
    if text[column] in "\"'[{":
        message = f"{text[column]} cannot follow here inside a {kind} in brackets"
        return Fault(
            "yaml.flow", message, line, column, f"put the whole value in quotes, or a comma or {close} before it"
        )
    return Fault("yaml.flow", f"a comma or {close} was expected here", line, column, f"write a comma or {close}")


def _opening(lines: Sequence[str], marked: tuple[int, int]) -> tuple[int, int]:
    """Where the innermost bracket that is still open at a mark stands: YAML marks where it looked for a value."""
    if _line(lines, marked[0])[marked[1] :][:1] in ("[", "{"):
        return marked
    closed = 0
    for line in range(min(marked[0], len(lines) - 1), -1, -1):
        text = lines[line][: marked[1]] if line == marked[0] else lines[line]
        for column in range(len(text) - 1, -1, -1):
            closed += (text[column] in "]}") - (text[column] in "[{")
            if closed < 0:
                return line, column
    return marked


def _flow_value(text: str, line: int, column: int) -> Fault | None:
    """A value inside `{…}` that YAML takes to end at `column`, while the expression goes on."""
    around = [(found, _expression(text, found.end())) for found in _FLOW_KEY.finditer(text, 0, column)]
    around = [(found, value) for found, value in around if found.end() < column < found.end() + len(value)]
    inside = [each for each in around if each[1][0] not in "{["]  # what begins so is a mapping or list around it
    for found, value in inside[:1] or around[:1]:
        at = found.end()
        cure = _cure(found["key"], value)
        if value[0] in "\"'":
            message = f"the quotes around {text[at:column].rstrip()} end before the value does"
            return Fault("yaml.quotes", message, line, column, cure)
        stop = re.search(r"[\[\]{}\",:]", text[at : column + 1])
        column = at + stop.start() if stop else column
        message = f"inside {{…}} an unquoted value ends before {text[column]}"
        return Fault("yaml.flow", message, line, column, f"{cure}, or write one key a line")
    return None


def _expression(text: str, at: int) -> str:
    """The expression that begins at `at` inside a flow collection: up to the bracket or comma that is not its own."""
    depth, quotes = 0, ""
    for index in range(at, len(text)):
        character = text[index]
        if quotes:
            quotes = "" if character == quotes else quotes
        elif character in "\"'":
            quotes = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            if depth == 0:
                return text[at:index].rstrip()
            depth -= 1
        elif character == "," and depth == 0:
            return text[at:index].rstrip()
    return text[at:].rstrip()


# part of the parser's context, of its problem; code, message, cure; does it stand where the context began?
_PLAIN_FAULTS = (
    ("", "duplicate anchor", "yaml.anchor", "this anchor stands twice in the document",
     "give each its own name", False),
    ("quoted scalar", "end of stream", "yaml.quotes", "the quotes that begin here are never closed",
     "close them at the end of the value", True),
    ("quoted scalar", "document indicator", "yaml.quotes", "the quotes that begin here are not closed before ---",
     "close them", True),
    ("", "<document start>", "yaml.end", "there is more text after the end of the document",
     "remove it, or write --- before it", False),
    ("block scalar", "", "yaml.block", "nothing may follow | or > on its line",
     "begin the text on the next line", False),
    ("simple key", "expected ':'", "yaml.colon", "this line is no key: its colon is missing", "write key: value", True),
    ("", "indentation", "yaml.indent", "this line is indented less than the text it belongs to",
     "indent it further", False),
)  # fmt: skip


def _structure(
    lines: Sequence[str], line: int, column: int, opened: tuple[int, int], context: str, problem: str
) -> Fault | None:
    """A fault of indentation, of quotes, or of single characters."""
    text = _line(lines, line)
    for in_context, in_problem, code, message, hint, at_start in _PLAIN_FAULTS:
        if in_context in context and in_problem in problem:
            return Fault(code, message, *(opened if at_start else (line, column)), hint)
    if "cannot start any token" in problem:
        return _character(text, line, column)
    if "scanning a tag" in context and (at := text.find("!", opened[1])) >= 0:
        written = _value_from(text, at)
        entries = [found["key"] for found in _FLOW_KEY.finditer(text) if found.end() == at]
        cure = _cure(entries[0], written) if entries else f"quote it: {quote(written)}"
        word = written.split()[0]
        return Fault("yaml.tag", f"YAML takes {word} for a tag, not for text", line, at, cure, len(word))
    if "undefined alias" in problem:
        name = re.match(r"\*[^\s,\]}]*", text[column:])
        word = name[0] if name else "*"
        hint = f"define it with &{word[1:]}, or quote it if it is text: {quote(word)}"
        return Fault("yaml.alias", f"the alias {word} has no anchor before it", line, column, hint, len(word))
    if "quoted scalar" in context:
        hint = "double a backslash (\\\\), or use single quotes: they know no escapes"
        return Fault("yaml.escape", "this escape is not known in double quotes", line, max(0, column - 1), hint, 2)
    if "mapping values are not allowed" in problem:
        if line > 0 and column > 0:
            hint = "indent it like the keys above it, or put the value above it in quotes"
            message = "a key cannot begin here: the value above it is not finished"
            return Fault("yaml.indent", message, line, len(text) - len(text.lstrip()), hint)
        return Fault("yaml.colon", "a key cannot begin here", line, column, "put the value in quotes")
    if "did not find expected key" in problem or "expected '-' indicator" in problem:
        return _misplaced(text, line, column, opened, context)
    return None


def _character(text: str, line: int, column: int) -> Fault:
    """A character that no value may begin with: a tab that indents, or one that YAML keeps for itself."""
    lead = text[: len(text) - len(text.lstrip())]
    if text[column : column + 1] == "\t" or "\t" in lead:
        message = "a tab indents this line; YAML allows spaces only"
        return Fault("yaml.tab", message, line, text.find("\t"), "replace it by spaces")
    inside = _flow_value(text, line, column)
    if inside is not None:
        return inside
    message = f"a value cannot begin with {text[column]} unless it is quoted"
    return Fault("yaml.character", message, line, column, "put the value in quotes")


def _misplaced(text: str, line: int, column: int, opened: tuple[int, int], context: str) -> Fault:
    what, began = ("mapping", "keys") if "mapping" in context else ("list", "items")
    here = text[column : column + 1]
    if here in ("}", "]"):
        return Fault("yaml.bracket", f"{here} closes nothing that is open", line, column, "remove it")
    if what == "mapping" and text.lstrip().startswith("- ") and column == len(text) - len(text.lstrip()):
        hint = "put it under a key, or indent it like its siblings"
        return Fault("yaml.indent", "a list item cannot stand among the keys of a mapping", line, column, hint)
    if what == "list" and column == len(text) - len(text.lstrip()):
        return Fault(
            "yaml.indent",
            "a key cannot stand among the items of a list",
            line,
            column,
            "indent it under its item, or write - before it",
        )
    hint = f"indent it like the {began} of the {what} that begins on line {opened[0] + 1}, at column {opened[1] + 1}"
    return Fault("yaml.indent", f"this does not line up with the {what} it stands in", line, column, hint)
