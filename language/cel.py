"""CEL expressions: compiled and checked once, evaluated often. The only module that knows the engine (cel-expr-python).

The engine's traps are dealt with here: its errors are values, and truthy; int and double do not mix in its checker; it takes
no tuples and no large integers; an optional handed to a function of ours would crash the process, so it is refused at load.
Source: the language page, section 1; rules 4.4 and 5.2.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..core.errors import PermanentError
from . import cel_values as values
from .cel_ast import EACH, Facts, Node, Tree, decode, facts_of, path_of
from .cel_faults import CompileFault, Spot, compile_faults, name_spot, runtime_message
from .cel_text import EXPRESSION_BYTES_MAX, plain_path, rewrite
from .diagnostics import Diagnostic, InvalidDefinition, Path, Place, did_you_mean, line_column, path_text, split_lines
from .scope import Scope, article

if TYPE_CHECKING:
    from cel_expr_python import cel as engine

BUILT_ITEMS_MAX = 3_000
"""map and filter over a list: the engine's time grows with the square of the items (0.2 s at this bound)."""

LIGHT_NODES_MAX = 256
"""A root with more values than this is not converted as a whole: only what an expression reads of it."""

FUNCTIONS_ELSEWHERE = frozenset(("hashFiles", "last_outputs"))
"""Functions of the language that this version does not carry out yet."""

_STANDARD_NAMES = frozenset(
    [
        "event",
        "events",
        "vars",
        "env",
        "inputs",
        "run",
        "steps",
        "output",
        "error",
        "item",
        "index",
        "secrets",
        "state",
        "matrix",
        "config",
    ]
)


class ExpressionError(PermanentError):
    """CEL failed at run time. `absent`: a field was not there, or a field of null was read (a guard is then false)."""

    code = "expression"

    def __init__(self, message: str, *, expression: str = "", hint: str = "", absent: bool = False) -> None:
        super().__init__(message, hint=hint, details={"expression": expression} if expression else None)
        self.absent = absent


class Activation:
    """The values of one event or step, for all expressions evaluated with it; converted lazily, each root once.

    A value that is a function without arguments is called when an expression first reads that root. Values are JSON-like;
    dates, tuples, sets, structs and large integers are brought into shape when they are met. `vouched`: the caller knows that
    all values are plain JSON already, which saves looking.
    """

    __slots__ = ("_light", "_pruned", "_raw", "_resolved", "_shaped", "_shared", "_vouched")

    def __init__(self, roots: Mapping[str, Any], *, vouched: bool = False) -> None:
        self._raw = roots
        self._resolved: dict[str, Any] = {}
        self._shared: engine.Activation | None = None
        self._light: dict[str, bool] = {}  # names within _shared: may be converted as a whole?
        self._pruned: dict[int, tuple[Expression, engine.Activation]] = {}
        self._shaped = False
        self._vouched = vouched

    def root(self, name: str) -> Any:
        """The value of a name. Raises KeyError if it is not there."""
        try:
            return self._resolved[name]
        except KeyError:
            value = self._raw[name]
            if callable(value):
                value = value()
            self._resolved[name] = value
            return value

    def has(self, name: str) -> bool:
        """Is there a value of this name?"""
        return name in self._raw

    def read(self, path: Path) -> Any:
        """The value at a path. Raises ExpressionError: an absent field, a field of null, an index out of range."""
        try:
            value = self.root(cast(str, path[0]))
        except KeyError:
            raise ExpressionError(f"{path[0]} has no value here", absent=True) from None
        for part in path[1:]:
            try:
                if type(value) is dict or (type(value) is list and type(part) is int and part >= 0):
                    value = value[part]
                else:
                    value = self._step(value, part)
            except (KeyError, IndexError):
                raise _missing(self, path, path_text(path)) from None
        return value

    def _step(self, value: Any, part: str | int) -> Any:
        if value is None or isinstance(value, (str, int, float, list)):
            raise KeyError(part)
        shaped = values.incoming(value)
        if isinstance(shaped, dict) or (isinstance(shaped, list) and isinstance(part, int) and part >= 0):
            return cast(Any, shaped)[part]
        raise KeyError(part)

    def of(self, expression: Expression) -> engine.Activation:
        """The engine's activation for this expression: shared with all others as long as its roots are light."""
        light = self._light
        for name in expression.roots:
            known = light.get(name)
            if known is None:
                return self._extend(expression)
            if not known:
                return self._prune(expression)
        shared = self._shared
        return shared if shared is not None else self._extend(expression)

    def _extend(self, expression: Expression) -> engine.Activation:
        for name in expression.roots:
            if name not in self._light and name in self._raw:
                value = self.root(name)
                self._light[name] = (name,) in expression.reads or _count(value, LIGHT_NODES_MAX) > 0
        self._shared = _any_env().Activation({name: self.root(name) for name in self._light})
        if all(self._light.get(name, True) for name in expression.roots):
            return self._shared
        return self._prune(expression)

    def _prune(self, expression: Expression) -> engine.Activation:
        known = self._pruned.get(id(expression))
        if known is not None:
            return known[1]
        roots: dict[str, Any] = {}
        for name in expression.roots:
            if name in self._raw:
                paths = [path for path in expression.reads if path[0] == name]
                roots[name] = self.root(name) if (name,) in paths else _part(self.root(name), [p[1:] for p in paths])
        built = _any_env().Activation(roots)
        self._pruned[id(expression)] = expression, built
        return built

    def shape(self) -> bool:
        """Bring all values into the form that the engine takes; False if that was done before."""
        if self._shaped:
            return False
        self._shaped = True
        self._raw = {name: values.incoming(self.root(name)) for name in self._raw}
        self._resolved.clear()
        self._light.clear()
        self._pruned.clear()
        self._shared = None
        return True

    @property
    def vouched(self) -> bool:
        """Does the caller know that all values are plain JSON?"""
        return self._vouched


def _count(value: Any, budget: int) -> int:
    """What is left of the budget after counting the values inside; 0 or less: too many."""
    budget -= 1
    if type(value) is dict:
        for item in value.values():
            budget = _count(item, budget)
            if budget <= 0:
                return 0
    elif type(value) is list:
        for item in value:
            budget = _count(item, budget)
            if budget <= 0:
                return 0
    elif type(value) is str:
        budget -= len(value) >> 8
    return budget


def _part(value: Any, paths: list[Path]) -> Any:
    """The value with no more than what the paths lead to: what they miss is absent in it as well."""
    if not isinstance(value, dict) or not all(paths) or not all(isinstance(path[0], str) for path in paths):
        return value
    below: dict[str, list[Path]] = {}
    for path in paths:
        below.setdefault(cast(str, path[0]), []).append(path[1:])
    entries = cast("dict[str, Any]", value)
    return {key: _part(entries[key], rest) for key, rest in below.items() if key in entries}


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled text, independent of any scope."""

    compiled: engine.Expression | None  # None: a plain path, read without the engine
    path: Path | None
    tree: Tree | None
    facts: Facts
    type: str


class Expression:
    """A compiled expression. `reads`: the paths it reads (a computed index ends its path). `type`: JSON Schema type of its
    result, or "timestamp", "duration", "bytes", or "" where only the run can tell. `hints`: warnings for the author."""

    __slots__ = ("_built", "_compiled", "_facts", "_path", "constant", "hints", "reads", "roots", "text", "type")

    def __init__(self, text: str, program: Program, type_name: str, hints: tuple[Diagnostic, ...]) -> None:
        self.text = text
        self._compiled = program.compiled
        self._path = program.path
        self._facts = program.facts
        self._built = program.facts.built_over
        self.reads = frozenset(program.facts.reads)
        self.roots = frozenset(cast(str, path[0]) for path in self.reads)
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
            return found if activation.vouched else values.plain(found)
        found = self._evaluate(activation)
        kind = type(found)
        if found is None or kind is str or kind is bool or kind is int:
            return found
        try:
            return values.outgoing(found)
        except ValueError as error:
            raise ExpressionError(f"{error} (in {self.text})", expression=self.text) from None

    def truth(self, activation: Activation) -> bool:
        """The result of a condition. Raises ExpressionError for anything but true and false, and for an absent field."""
        found = self.value(activation) if self._path is not None else self._evaluate(activation)
        if found is True or found is False:
            return found
        raise ExpressionError(
            f"a condition must be true or false, {self.text} is {_kind(found)}",
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
        for path in self._built:
            self._bounded(activation, path)
        compiled = cast("engine.Expression", self._compiled)
        while True:
            try:
                result = compiled.eval(activation.of(self))
                found = result.plain_value()
                if type(found) is not str or result.type() != _error_type():
                    return found
                problem = found
            except (RuntimeError, MemoryError, TypeError, ValueError) as error:
                problem = str(error)
            if _unshaped(problem) and activation.shape():
                continue
            message, hint, absent = runtime_message(problem, self._facts, lambda path: _reach(activation, path))
            raise ExpressionError(f"{message} (in {self.text})", expression=self.text, hint=hint, absent=absent)

    def _bounded(self, activation: Activation, path: Path) -> None:
        for found in _reach(activation, path):
            if isinstance(found, list) and len(cast("list[Any]", found)) > BUILT_ITEMS_MAX:
                raise ExpressionError(
                    f"{path_text(path)} has {len(cast('list[Any]', found))} items; map and filter go over at most"
                    f" {BUILT_ITEMS_MAX} (in {self.text})",
                    expression=self.text,
                    hint="use a `python` step for lists of this size, or exists and all, which build no list",
                )

    def _named(self, error: ExpressionError) -> ExpressionError:
        suffix = "" if self.text in str(error) else f" (in {self.text})"
        return ExpressionError(f"{error}{suffix}", expression=self.text, hint=error.hint, absent=error.absent)


def _unshaped(problem: str) -> bool:
    return "Non-CEL value type" in problem or "out of range for '" in problem or "basic_string" in problem


def _reach(activation: Activation, path: Path) -> list[Any]:
    """The values at a path, several where it goes over the items of a list; nothing where it leads nowhere."""
    try:
        found: list[Any] = [activation.root(cast(str, path[0]))]
    except KeyError:
        return []
    for part in path[1:]:
        reached: list[Any] = []
        for value in found:
            if part == EACH:
                reached += value if isinstance(value, list) else []
            elif isinstance(value, Mapping):
                entries = cast("Mapping[Any, Any]", value)
                reached += [entries[part]] if part in entries else []
            elif isinstance(value, list) and isinstance(part, int) and 0 <= part < len(cast("list[Any]", value)):
                reached.append(cast("list[Any]", value)[part])
        found = reached
    return found


def _missing(activation: Activation, path: Path, text: str) -> ExpressionError:
    """Why a plain path leads nowhere: the first part that fails, what is there instead."""
    for depth in range(1, len(path)):
        holders = _reach(activation, path[:depth])
        part = path[depth]
        if _reach(activation, path[: depth + 1]) or not holders:
            continue
        holder, here = holders[0], path_text(path[:depth])
        if holder is None:
            return ExpressionError(f"{here} is null, so it has no field {part}", expression=text, absent=True)
        if isinstance(holder, Mapping):
            hint = did_you_mean(str(part), [str(key) for key in cast("Mapping[Any, Any]", holder)])
            return ExpressionError(f"{here} has no field {part}", expression=text, hint=hint, absent=True)
        if isinstance(holder, list) and isinstance(part, int):
            size = len(cast("list[Any]", holder))
            return ExpressionError(f"{here} has no item {part}: it has {size}", expression=text)
        return ExpressionError(f"{here} is {_kind(holder)}, so it has no field {part}", expression=text)
    return ExpressionError(f"{text} has no value here", expression=text, absent=True)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"


# --- compiling ----------------------------------------------------------------------------------------------------------


def compile_expression(text: str, scope: Scope, expects: tuple[str, ...] = ()) -> Expression:
    """Compile and check; cached by text, scope and `expects`.

    `expects`: JSON Schema types of which the result must be one, as far as it is known before the run: `("boolean",)` for a
    guard. Raises InvalidDefinition with all errors, their places inside `text` (from line 1, column 1).
    """
    found = check_expression(text, scope, expects)
    if isinstance(found, Expression):
        return found
    raise InvalidDefinition(found)


@functools.lru_cache(maxsize=16_384)
def check_expression(text: str, scope: Scope, expects: tuple[str, ...] = ()) -> Expression | tuple[Diagnostic, ...]:
    """The same for loaders that collect: the expression, or all its errors."""
    try:
        program = _program(text, frozenset(scope.names) - _STANDARD_NAMES)
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
        near = scope.suspect(path)
        if near:
            spot = name_spot(text, program.tree, node, path, None)
            message = f"{path_text(path)} is no attribute that events are known to have"
            found.append(_diagnostic(text, Spot(spot.offset, spot.length, "expression.name", message, near), "warning"))
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
    env = _env(extra_names)
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


# --- the engine ---------------------------------------------------------------------------------------------------------


@functools.cache
def _env(extra_names: frozenset[str]) -> engine.Env:
    from cel_expr_python import cel  # the heaviest import of the core: at first use

    config = cel.NewEnvConfigFromYaml(
        "name: reactor\nextensions:\n  - name: lists\n  - name: optional\n  - name: strings\n  - name: math\n"
    )
    return cel.NewEnv(
        config=config,
        variables=dict.fromkeys(_STANDARD_NAMES | extra_names, cel.Type.DYN),
        extensions=[cel.CelExtension("reactor", _functions(cel.Type, cel.FunctionDecl, cel.Overload))],
    )


@functools.cache
def _any_env() -> engine.Env:
    return _env(frozenset())


@functools.cache
def _error_type() -> engine.Type:
    from cel_expr_python import cel

    return cel.Type.ERROR


def _functions(types: Any, declare: Any, overload: Any) -> list[engine.FunctionDecl]:
    """What this language adds: operators on int and double together, and its own functions."""
    integer, double, text, dyn = types.INT, types.DOUBLE, types.STRING, types.DYN

    def mixed(symbol: str, name: str, apply: Callable[[Any, Any], Any], *, both_double: bool = False) -> Any:
        pairs = [("int_double", integer, double), ("double_int", double, integer)]
        if both_double:
            pairs.append(("double_double", double, double))
        return declare(symbol, [overload(f"{name}_{kind}", double, [a, b], impl=apply) for kind, a, b in pairs])

    def function(name: str, returns: Any, *overloads: list[Any], impl: Callable[..., Any]) -> Any:
        return declare(name, [overload(f"reactor_{name}_{i}", returns, o, impl=impl) for i, o in enumerate(overloads)])

    return [
        mixed("_+_", "add", operator.add),
        mixed("_-_", "subtract", operator.sub),
        mixed("_*_", "multiply", operator.mul),
        mixed("_/_", "divide", values.divide),
        mixed("_%_", "modulo", values.modulo, both_double=True),
        function("hash", text, [dyn], impl=values.hash_value),
        function("parse_json", dyn, [text], impl=values.parse_json),
        function("to_json", text, [dyn], impl=values.to_json),
        function("base64_encode", text, [dyn], impl=values.base64_encode),
        function("base64_decode", text, [text], impl=values.base64_decode),
        function("merge", types.Map(text, dyn), [dyn, dyn], impl=values.merge),
        function("format_time", text, [dyn, text], [dyn, text, text], impl=values.format_time),
        function("Duration", types.DURATION, [text], impl=values.duration),
        function("lists_range", types.List(integer), [integer], impl=values.number_range),
    ]
