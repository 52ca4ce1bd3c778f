"""CEL expressions: compiled and checked once, evaluated often. The engine itself is behind `cel_engine`.

The engine's traps are dealt with here: its errors are values, and truthy; int and double do not mix in its checker;
it takes no tuples and no large integers; an optional handed to a function of ours would crash the process, so it is
refused at load. Source: the language page, section 1; rules 4.4 and 5.2.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from . import cel_values as values
from .activation import Activation, ExpressionError, kind_of
from .cel_ast import Facts, Node, Source, Tree, decode, facts_of, path_of
from .cel_engine import STANDARD_NAMES, environment, error_type
from .cel_faults import TOO_DEEP, CompileFault, Spot, compile_faults, name_spot, runtime_message, shown_path
from .cel_needs import Needs, needs_of
from .cel_text import EXPRESSION_BYTES_MAX, plain_path, rewrite
from .diagnostics import Diagnostic, InvalidDefinition, Path, Place, line_column, path_text, split_lines
from .scope import Scope, article

if TYPE_CHECKING:
    from cel_expr_python import cel as engine

BUILT_ITEMS_MAX = 2_000
"""map, filter and sortBy: the engine's time and memory grow with the square of the items (here 0.1 s, 64 MB)."""

FUNCTIONS_ELSEWHERE = frozenset(("hashFiles", "last_outputs"))
"""Functions of the language that this version does not carry out yet."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled text, independent of any scope."""

    compiled: engine.Expression | None  # None: a plain path, read without the engine
    path: Path | None
    tree: Tree | None
    facts: Facts
    type: str


class Expression:
    """A compiled expression. `reads`: the paths it reads (a computed index ends its path). `type`: JSON Schema type
    of its result, or "timestamp", "duration", "bytes", or "" where only the run can tell. `hints`: warnings for the
    author.
    """

    __slots__ = ("_built", "_compiled", "_facts", "_path", "constant", "hints", "needs", "reads", "text", "type")

    def __init__(self, text: str, program: Program, type_name: str, hints: tuple[Diagnostic, ...]) -> None:
        self.text = text
        self._compiled = program.compiled
        self._path = program.path
        self._facts = program.facts
        self._built = program.facts.built_over
        self.reads = frozenset(program.facts.reads)
        self.needs: Needs = needs_of(program.tree.root) if program.tree is not None else {}
        self.type = type_name
        self.constant = not self.reads
        self.hints = hints

    def __repr__(self) -> str:
        """The text."""
        return f"Expression({self.text!r})"

    def value(self, activation: Activation) -> Any:
        """The result as JSON: times as RFC 3339 text, durations with unit, bytes as base64. Raises ExpressionError."""
        if self._path is not None:
            try:
                found = activation.read(self._path)
            except ExpressionError as error:
                raise self._named(error) from None
            try:
                return found if activation.vouched else values.plain(found)
            except RecursionError:
                raise ExpressionError(f"{TOO_DEEP} (in {self.text})", expression=self.text) from None
        found = self._evaluate(activation)
        kind = cast("type[object]", type(found))
        if found is None or kind is str or kind is bool or kind is int:
            return found
        try:
            return values.outgoing(found)
        except ValueError as error:
            raise ExpressionError(f"{error} (in {self.text})", expression=self.text) from None

    def truth(self, activation: Activation) -> bool:
        """The result of a condition. Raises ExpressionError for anything but true and false, and for an absent
        field.
        """
        found = self.value(activation) if self._path is not None else self._evaluate(activation)
        if found is True or found is False:
            return found
        raise ExpressionError(
            f"a condition must be true or false, {self.text} is {kind_of(found)}",
            expression=self.text,
            hint="compare it: == != < > in, or has(…) for whether a field is there",
        )

    def guard(self, activation: Activation) -> bool:
        """The result of a guard: an absent field, or a field of null, makes it False (rule 5.2).

        Raises ExpressionError for any other error, and for a result that is neither true nor false.
        """
        try:
            return self.truth(activation)
        except ExpressionError as error:
            if error.absent:
                return False
            raise

    def _evaluate(self, activation: Activation) -> Any:
        for source in self._built:
            self._bounded(activation, source)
        compiled = cast("engine.Expression", self._compiled)
        while True:
            try:
                result = compiled.eval(activation.of(self))
                found = result.plain_value()
                if type(found) is not str or result.type() != error_type():
                    return found
                problem = found
            except (RuntimeError, MemoryError, TypeError, ValueError) as error:
                problem = str(error)
            if _unshaped(problem) and activation.shape():
                continue
            message, hint, absent = runtime_message(problem, self._facts, activation.reach)
            raise ExpressionError(f"{message} (in {self.text})", expression=self.text, hint=hint, absent=absent)

    def _bounded(self, activation: Activation, source: Source) -> None:
        """Refuse what the engine would take seconds and gigabytes for."""
        for value in activation.reach(source.path):
            count = _items(value, source)
            if count > BUILT_ITEMS_MAX:
                raise ExpressionError(
                    f"{shown_path(source.path)} has {count} items; map, filter and sortBy go over at most"
                    f" {BUILT_ITEMS_MAX} (in {self.text})",
                    expression=self.text,
                    hint="use a `python` step for lists of this size, or exists and all, which build no list",
                )

    def _named(self, error: ExpressionError) -> ExpressionError:
        suffix = "" if self.text in str(error) else f" (in {self.text})"
        return ExpressionError(f"{error}{suffix}", expression=self.text, hint=error.hint, absent=error.absent)


def _items(value: object, source: Source) -> int:
    if source.split is not None:
        text = value if isinstance(value, str) else ""
        return text.count(source.split) + 1
    if not isinstance(value, (list, dict)):
        return 0
    items = cast("list[Any]", value)
    return sum(_items(item, source) or 1 for item in items) if source.flat else len(items)


def _unshaped(problem: str) -> bool:
    return "Non-CEL value type" in problem or "out of range for '" in problem or "basic_string" in problem


# --- compiling --------------------


def compile_expression(text: str, scope: Scope, expects: tuple[str, ...] = ()) -> Expression:
    """Compile and check; cached by text, scope and `expects`.

    `expects`: JSON Schema types of which the result must be one, as far as it is known before the run: `("boolean",)`
    for a guard. Raises InvalidDefinition with all errors, their places inside `text` (from line 1, column 1).
    """
    found = check_expression(text, scope, expects)
    if isinstance(found, Expression):
        return found
    raise InvalidDefinition(found)


@functools.lru_cache(maxsize=16_384)
def check_expression(text: str, scope: Scope, expects: tuple[str, ...] = ()) -> Expression | tuple[Diagnostic, ...]:
    """The same for loaders that collect: the expression, or all its errors."""
    try:
        program = _program(text, frozenset(scope.names) - STANDARD_NAMES)
    except CompileFault as fault:
        return tuple(_diagnostic(text, spot) for spot in compile_faults(fault, text, scope, FUNCTIONS_ELSEWHERE))
    spots: list[Spot] = []
    for path, node in program.facts.reads.items():
        unknown = scope.check(path)
        if unknown is not None:
            spots.append(name_spot(text, program.tree, node, path, unknown))
    spots += [
        Spot(program.tree.offset(node) if program.tree else 0, 1, "expression.optional",
             "an optional value needs a default before it can be used here", "write .orValue(…) after it")
        for node in program.facts.escaping
    ]  # fmt: skip
    type_name = program.type or (scope.type_of(program.path) if program.path else "")
    if not spots and expects and type_name and type_name not in expects:
        spots.append(_unexpected(text, type_name, expects))
    if spots:
        return tuple(_diagnostic(text, spot) for spot in sorted(spots, key=lambda spot: spot.offset))
    return Expression(text, program, type_name, tuple(_hints(text, program, scope)))


def _unexpected(text: str, type_name: str, expects: tuple[str, ...]) -> Spot:
    wanted = " or ".join(article(name) for name in expects)
    hint = "compare it with ==, !=, <, > or in" if "boolean" in expects else "check what it gives"
    message = f"the expression gives {article(type_name)}, {wanted} is needed here"
    return Spot(len(text) - len(text.lstrip()), len(text.strip().split("\n")[0]), "expression.type", message, hint)


def _diagnostic(text: str, spot: Spot, severity: str = "error") -> Diagnostic:
    line, column = line_column(text, spot.offset)
    shown = split_lines(text)[line - 1]
    return Diagnostic(
        spot.code,
        spot.message,
        Place("", line, column, spot.length),
        hint=spot.hint,
        severity=cast(Any, severity),
        line_text=shown,
    )


def _hints(text: str, program: Program, scope: Scope) -> list[Diagnostic]:
    """What loads, but is probably not meant: a near miss of a known field, text compared with a number."""
    found: list[Diagnostic] = []
    for path, node in program.facts.reads.items():
        suspect = scope.suspect(path)
        if suspect is not None:
            found.append(_diagnostic(text, name_spot(text, program.tree, node, path, suspect), "warning"))
    for node in program.facts.comparisons:
        sides = [_side(child, scope) for child in node.children]
        if {kind for kind, _ in sides} == {"string", "number"}:
            words = next(words for kind, words in sides if kind == "string")
            offset = program.tree.offset(node) if program.tree else 0
            message = f"{words} is text, and it is compared with a number"
            found.append(
                _diagnostic(
                    text, Spot(offset, 1, "expression.comparison", message, f"convert it: double({words})"), "warning"
                )
            )
    return found


def _side(node: Node, scope: Scope) -> tuple[str, str]:
    if node.kind == "const":
        value = node.value
        return ("number" if type(value) in (int, float) else "string" if type(value) is str else "", repr(value))
    path = path_of(node)
    kind = scope.type_of(path) if path is not None and str(path[0]) in scope.names else ""
    return ("number" if kind == "integer" else kind, path_text(path) if path else "")


@functools.lru_cache(maxsize=16_384)
def _program(text: str, extra_names: frozenset[str]) -> Program:
    if len(text.encode("utf-8", "surrogatepass")) > EXPRESSION_BYTES_MAX:
        raise CompileFault("too long", [])
    path = plain_path(text)
    if path is not None:
        return Program(None, path, None, Facts(reads={path: Node("ident", 0)}), "")
    if not text.strip():
        raise CompileFault("empty", [])
    env = environment(extra_names)
    source = rewrite(text)
    try:
        compiled = env.compile(source)
        kind = _TYPES.get(compiled.return_type().name().partition("<")[0], "")
    except (RuntimeError, ValueError, UnicodeError) as error:
        fault = CompileFault.of(str(error))
        if not fault.only_mixed_numbers():
            raise fault from None
        # the checker knows no overload for int and double together, the engine does
        compiled, kind = env.compile(source, disable_check=True), ""
    tree = decode(compiled.serialize())
    return Program(compiled, None, tree, facts_of(tree.root), kind)


_TYPES = {
    "BOOL": "boolean", "INT": "integer", "UINT": "integer", "DOUBLE": "number", "STRING": "string", "BYTES": "bytes",
    "NULL": "null", "LIST": "array", "MAP": "object", "TIMESTAMP": "timestamp", "DURATION": "duration",
}  # fmt: skip
