"""The engine's complaints → sentences for people: what is wrong in an expression, where, and the cure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .cel_ast import Facts, Node, Tree
from .cel_text import EXPRESSION_BYTES_MAX, OPAQUE, restore
from .diagnostics import Path, did_you_mean, nearest, path_text
from .scope import Scope, Unknown

_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_OVERLOAD = re.compile(r"found no matching overload for '([^']+)' applied to '(.*)'")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_SELECTED = re.compile(r"expression of type '(.*)' cannot be the operand of a select operation")
_MIXING = frozenset(("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_", "@in", "_?_:_"))
_NUMBER_TYPES = frozenset(("int", "uint", "double"))

FUNCTIONS = (
    "has", "size", "all", "exists", "exists_one", "map", "filter", "matches", "contains", "startsWith", "endsWith",
    "int", "uint", "double", "string", "bool", "bytes", "timestamp", "duration", "type", "dyn", "getFullYear",
    "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds",
    "getMilliseconds", "hash", "parse_json", "to_json", "base64_encode", "base64_decode", "merge", "format_time",
    "orValue", "hasValue", "value", "or", "optMap", "optFlatMap", "charAt", "indexOf", "lastIndexOf", "lowerAscii",
    "upperAscii", "replace", "split", "substring", "trim", "join", "format", "reverse", "quote", "slice", "flatten",
    "distinct", "sort", "sortBy", "first", "last", "math.greatest", "math.least", "math.abs", "math.ceil",
    "math.floor", "math.round", "math.trunc", "math.sign", "math.isNaN", "math.isInf", "math.isFinite",
    "lists.range", "optional.of", "optional.none", "optional.ofNonZeroValue",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spot:
    """A fault at `offset` of an expression's text."""

    offset: int
    length: int
    code: str
    message: str
    hint: str


class CompileFault(Exception):
    """The engine refused a text: its errors as (line, column, words), or a fault found before it was asked."""

    def __init__(self, problem: str, errors: Sequence[tuple[int, int, str]]) -> None:
        super().__init__(problem)
        self.problem = problem
        self.errors = list(errors)

    @classmethod
    def of(cls, text: str) -> CompileFault:
        """From the text of the engine's exception."""
        return cls(text, [(int(found[1]), int(found[2]), found[3]) for found in _ERROR.finditer(text)])

    def only_mixed_numbers(self) -> bool:
        """Does the checker only miss overloads for int and double together, which the engine evaluates?"""
        return bool(self.errors) and all(_is_mixing(words) for _, _, words in self.errors)


def _is_mixing(words: str) -> bool:
    found = _OVERLOAD.search(words)
    if found is None or found[1] not in _MIXING:
        return False
    kinds = [kind.strip() for kind in found[2].strip("()").replace("list(", "list<").replace(")", "").split(",")]
    kinds = [kind.removeprefix("list<") for kind in kinds]
    if found[1] == "_?_:_":
        kinds = kinds[1:]
    return set(kinds) <= _NUMBER_TYPES and len(set(kinds)) > 1


def compile_faults(fault: CompileFault, text: str, scope: Scope, elsewhere: frozenset[str]) -> list[Spot]:
    """Each fault of a text, once, in order."""
    if fault.problem == "too long":
        message = f"the expression is longer than {EXPRESSION_BYTES_MAX} bytes"
        return [Spot(0, 1, "expression.size", message, "split it, or compute it in a step")]
    if fault.problem == "empty":
        return [Spot(0, 1, "expression.syntax", "the expression is empty", "write a CEL expression, or remove the key")]
    if "recursion" in fault.problem:
        message = "the expression is nested too deep: at most 32 levels, operators in a row count too"
        return [Spot(0, 1, "expression.depth", message, "split it, or use lists: [a, b, c].join() for a + b + c")]
    spots: list[Spot] = []
    for line, column, words in fault.errors:
        if "*error*" in words:  # the consequence of another
            continue
        offset = _offset(text, line, column)
        spot = (
            _syntax(text, offset, words)
            if words.startswith("Syntax error")
            else _check(text, offset, words, scope, elsewhere)
        )
        if spot.message not in {known.message for known in spots}:
            spots.append(spot)
    if any(spot.code == "expression.syntax" for spot in spots):
        spots = spots[:1]  # what follows the first is its consequence
    return spots or [
        Spot(0, 1, "expression.syntax", restore(f"the expression is not CEL: {fault.problem}"), "check it")
    ]


def _offset(text: str, line: int, column: int) -> int:
    if line < 1:
        return 0
    lines = text.split("\n")
    return min(sum(len(before) + 1 for before in lines[: line - 1]) + max(0, column - 1), len(text))


_WORD_OPERATORS = {"and": "&&", "or": "||", "not": "!", "is": "=="}


def _syntax(text: str, offset: int, words: str) -> Spot:
    problem = words.removeprefix("Syntax error: ").partition(" expecting ")[0]
    word = re.match(r"\w+", text[offset:])
    before = re.search(r"([^\s\w])\s*$", text[:offset])
    found = re.search(r"'(.*)'", problem)
    shown = found[1] if found else ""
    hint = "check operators, brackets and quotes around here"
    message = f"{shown} was not expected here" if shown else problem
    length = len(word[0]) if word else 1
    if word and word[0] in _WORD_OPERATORS:
        hint = f"the operator {word[0]} is written {_WORD_OPERATORS[word[0]]}"
    elif re.search(r"\bnot\s*$", text[:offset]):
        hint = "the operator not is written !"
    elif text[offset : offset + 1] == "=" or (shown.startswith("=") and not shown.startswith("==")):
        message, hint = "= alone is no operator", "compare with =="
    elif "<EOF>" in shown:
        message, hint = (
            "the expression ends too early",
            "complete it: an operator lacks its right side, or a bracket is not closed",
        )
    elif shown[:1] in ("'", '"') and "token recognition" in problem:
        message, hint = "a text that begins here is never closed", f"close it with {shown[0]}"
        if re.match(r"'[^'\n]*\\[^'\n]*'|\"[^\"\n]*\\[^\"\n]*\"", text[offset:]):
            message, hint = "a text that begins here has an escape that CEL does not know", "double a backslash: \\\\"
    elif "token recognition" in problem:
        message = f"{shown.strip() or 'this character'} is not part of CEL"
        hint = "use && and || for and, or" if shown.strip() in ("&", "|") else hint
    elif before and before[1] == "." and word:
        hint = f'{word[0]} is a word of CEL: write ["{word[0]}"] instead of .{word[0]}'
    elif shown in ("in", "true", "false", "null") and text[offset - 1 : offset] == ".":
        hint = f'{shown} is a word of CEL: write ["{shown}"] instead of .{shown}'
    if offset and offset >= len(text):
        offset = len(text.rstrip())
    return Spot(offset, length, "expression.syntax", message, hint)


def _check(text: str, offset: int, words: str, scope: Scope, elsewhere: frozenset[str]) -> Spot:
    undeclared = _UNDECLARED.search(words)
    if undeclared is not None:
        return _undeclared(text, offset, restore(undeclared[1]), scope, elsewhere)
    overload = _OVERLOAD.search(words)
    if overload is not None:
        message, hint = _overload(overload[1], overload[2])
        length = len(overload[1].strip("_@")) if overload[1] in _SYMBOLS else 1
        return Spot(offset, length, "expression.type", message, hint)
    selected = _SELECTED.search(words)
    if selected is not None:
        return Spot(
            offset, 1, "expression.type", f"{_type_words(selected[1])} has no fields", "read it without a field"
        )
    if words.startswith("Invalid"):
        hint = "double a backslash: \\\\" if "literal" in words else "check its spelling"
        return Spot(offset, 1, "expression.syntax", words[0].lower() + words[1:], hint)
    return Spot(offset, 1, "expression.type", restore(words), "check the types of its parts")


def _undeclared(text: str, offset: int, name: str, scope: Scope, elsewhere: frozenset[str]) -> Spot:
    head = name.removeprefix(".").partition(".")[0]
    is_call = text[offset : offset + 1] == "("
    word = name if is_call else head
    start = _find_word(text, word, offset)
    if is_call:
        if name in elsewhere:
            if name in scope.functions:
                message, hint = f"the function {name} is not carried out by this version", "compute the value in a step"
                return Spot(start, len(word), "unavailable", message, hint)
            where = "cache.key" if name == "hashFiles" else "the `with` of a step"
            return Spot(
                start,
                len(word),
                "expression.name",
                f"the function {name} is for {where} alone",
                "compute the value in a step",
            )
        near = nearest(name, FUNCTIONS)
        hint = (
            f"did you mean {near}?"
            if near
            else "functions of CEL, strings, lists and math, and those of the language page"
        )
        return Spot(start, len(word), "expression.name", f"there is no function {name}", hint)
    hint = did_you_mean(head, scope.names)
    if head in ("true", "True", "TRUE", "False", "FALSE", "None", "nil", "undefined"):
        hint = {"t": "write true", "f": "write false"}.get(head[0].lower(), "write null")
    return Spot(start, len(head), "expression.name", f"there is no name {head} here", hint)


def _find_word(text: str, word: str, near: int) -> int:
    """Where the word stands that the engine complains about at `near`: the last occurrence that begins before it."""
    pattern = re.compile(rf"(?:{OPAQUE})|(?P<word>(?<![\w]){re.escape(word)}(?!\w))")
    found = [match.start() for match in pattern.finditer(text) if match["word"]]
    return max((at for at in found if at <= near), default=found[0] if found else near)


def name_spot(text: str, tree: Tree | None, node: Node, path: Path, unknown: Unknown) -> Spot:
    """Where the part of a path stands that is not known."""
    part = str(path[unknown.depth])
    if tree is None:
        start = _find_word(text, str(path[0]), len(text))
    else:
        inner: Node | None = node
        for _ in range(len(path) - 1):
            inner = (
                inner.target if inner is not None and inner.kind == "select" else inner.children[0] if inner else None
            )
        start = tree.offset(inner) if inner is not None else 0
    at = start
    for step in path[1 : unknown.depth + 1]:
        found = re.compile(rf"(?<!\w){re.escape(str(step))}(?!\w)").search(text, at + 1)
        at = found.start() if found else at
    return Spot(at, len(part), "expression.name", unknown.message, unknown.hint)


# --- types and overloads --------------------

_SYMBOLS = {
    "_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=",
    "_==_": "==", "_!=_": "!=", "@in": "in", "_&&_": "&&", "_||_": "||", "!_": "!", "-_": "-", "_[_]": "[…]",
    "_?_:_": "? :", "_?._": ".?", "_[?_]": "[?…]",
}  # fmt: skip
_TYPE_WORDS = {
    "int": "a number", "int64": "a number", "uint": "a number", "uint64": "a number", "double": "a number",
    "string": "text", "bool": "true or false", "null": "null", "null_type": "null", "bytes": "bytes", "list": "a list",
    "map": "a mapping", "timestamp": "an instant", "google.protobuf.Timestamp": "an instant",
    "duration": "a duration", "google.protobuf.Duration": "a duration", "optional_type": "an optional value",
    "type": "a type",
}  # fmt: skip
_ARITHMETIC = frozenset(("_+_", "_-_", "_*_", "_/_", "_%_"))


def _overload(function: str, arguments: str) -> tuple[str, str]:
    """Message and hint for a function that does not take these types."""
    kinds = [_type_words(kind) for kind in _split(arguments.strip())]
    symbol = _SYMBOLS.get(function)
    name = symbol if symbol is not None else f"{restore(function)}()"
    taken = " and ".join(kinds) or "nothing"
    hint = "check the types of its parts"
    if "an optional value" in kinds:
        hint = "write .orValue(…) after the optional value"
    elif set(kinds) == {"text", "a number"}:
        hint = "convert one of them: double(x) or string(x)"
    elif set(kinds) == {"text", "an instant"}:
        hint = "convert the text: timestamp(x)"
    elif function in ("_&&_", "_||_", "!_", "_?_:_"):
        hint = "a condition must be true or false: compare it with ==, !=, <, >"
    elif "null" in kinds and function in _ARITHMETIC | _MIXING:
        hint = "test it first: x != null && …, or give a default: .?field.orValue(0)"
    return f"{name} does not take {taken}", hint


def _split(arguments: str) -> list[str]:
    if arguments.startswith("(") and arguments.endswith(")"):
        arguments = arguments[1:-1]
    parts: list[str] = []
    depth, start = 0, 0
    for index, character in enumerate(arguments):
        depth += character in "(<"
        depth -= character in ")>"
        if character == "," and depth == 0:
            parts.append(arguments[start:index])
            start = index + 1
    return [part.strip() for part in [*parts, arguments[start:]] if part.strip()]


def _type_words(kind: str) -> str:
    return _TYPE_WORDS.get(re.split(r"[(<]", kind)[0], kind)


# --- run time --------------------

_STATUS = re.compile(r"^[A-Z_]+: ")
_NO_KEY = re.compile(r"Key not found in map : (.*)$")
_NO_OVERLOAD = re.compile(r"No matching overloads found : ([^(]*)(?:\((.*?)\))?(?:\.(\w+)\((.*)\))?$")
_INDEX = re.compile(r"Index error: index=(-?\d+) size=(\d+)")
_SELECT_FAILED = ("Applying SELECT to non-message type", "Invalid container type")
_KNOWN = {
    "divide by zero": ("a number is divided by zero", "test the divisor first"),
    "modulus by zero": ("a number is divided by zero", "test the divisor first"),
    "integer overflow": ("an integer leaves its 64 bits", "use double(…)"),
    "double out of int64 range": ("the number does not fit into 64 bits", ""),
    "cannot convert string to int": ("the text is no integer", 'test it first: x.matches("^[0-9]+$")'),
    "cannot convert string to double": ("the text is no number", 'test it first: x.matches("^[0-9.]+$")'),
    "String to Timestamp conversion failed": ("the text is no instant", "RFC 3339 is read: 2026-12-24T18:00:00Z"),
    "timestamp overflow": ("the instant leaves the years 1 to 9999", ""),
    "std::bad_alloc": ("the expression needs too much memory", "compute it in a step"),
}

TOO_DEEP = "a value is nested too deep"

Reach = Callable[[Path], Sequence[Any]]


def runtime_message(problem: str, facts: Facts, reach: Reach) -> tuple[str, str, bool]:
    """Message, hint, and whether a field was absent or read from null, of an error of the engine."""
    words = _STATUS.sub("", problem.removesuffix(" [INTERNAL]").removesuffix(" [INVALID_ARGUMENT]"))
    missing = _NO_KEY.search(words)
    if missing is not None and problem.startswith("NOT_FOUND"):
        return _absent(missing[1].strip('"'), facts, reach)
    overload = _NO_OVERLOAD.search(words)
    is_step = overload is not None and overload[1].startswith(("_?._", "_[?_]", "_[_]"))
    if words.startswith(_SELECT_FAILED) or is_step or words.startswith("Index error: expected"):
        return _bad_select(facts, reach)
    if "No value with name" in words:
        name = words.split('"')[1]
        return f"{name} has no value here", "", True
    index = _INDEX.search(words)
    if index is not None:
        return f"there is no item {index[1]}: the list has {index[2]}", "test its size first: size(x) > …", False
    if "maximum recursion depth" in words:
        return TOO_DEEP, "flatten the data before it comes here", False
    if "Iteration budget exceeded" in words:
        return (
            "the expression goes over more than 10000 items in all",
            "use a `python` step for lists of this size",
            False,
        )
    if overload is not None:
        return *_no_overload(overload), False
    message, hint = _KNOWN.get(words, (restore(words), ""))
    return message, hint, False


def _no_overload(found: re.Match[str]) -> tuple[str, str]:
    function, arguments, member, more = found[1].strip(), found[2] or "", found[3], found[4] or ""
    if function == "<jump_condition>":
        return "the condition before ? is neither true nor false", "compare it with ==, !=, <, >"
    if member:
        return _overload(member, ", ".join(part for part in (arguments, more) if part))
    if not arguments:
        return f"{_SYMBOLS.get(function, function)} does not take values of these types", "check the types of its parts"
    return _overload(function, arguments)


def _absent(key: str, facts: Facts, reach: Reach) -> tuple[str, str, bool]:
    for operand, part in facts.selects:
        if str(part) != key:
            continue
        for value in reach(operand):
            if isinstance(value, Mapping) and part not in value:
                keys = [str(known) for known in cast("Mapping[Any, Any]", value)]
                return f"{shown_path(operand)} has no field {key}", did_you_mean(key, keys), True
    return f"there is no field {key}", "test it first: has(…), or give a default: .?field.orValue(…)", True


def _bad_select(facts: Facts, reach: Reach) -> tuple[str, str, bool]:
    other: tuple[str, str, bool] | None = None
    for operand, part in facts.selects:
        for value in reach(operand):
            if value is None:
                hint = f"test it first: {shown_path(operand)} != null"
                return f"{shown_path(operand)} is null, so it has no field {part}", hint, True
            if other is None and not isinstance(value, (Mapping, list)):
                other = f"{shown_path(operand)} is {_value_words(value)}, so it has no field {part}", "", False
            elif other is None and isinstance(value, list) and not isinstance(part, int):
                other = f"{shown_path(operand)} is a list, so it has no field {part}", "name an item: […]", False
    return other or ("a field is read from what is no mapping", "", False)


def shown_path(path: Path) -> str:
    """A path of Facts in words: every item of a list is `[…]`."""
    return path_text(path).replace('["\\0each"]', "[…]").replace(".\0each", "[…]").replace('["\0each"]', "[…]")


def _value_words(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "a number" if isinstance(value, (int, float)) else "no mapping"
