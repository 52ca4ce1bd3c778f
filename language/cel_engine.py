"""The engine behind CEL: Google's C++ implementation. The only module that imports cel-expr-python, at first use.

Here its environment gets what this language adds: operators on int and double together, and functions. The extensions
are switched on by configuration, which also gives `lists`, that the Python package has no class for.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import cel_values as values

if TYPE_CHECKING:
    from cel_expr_python import cel as engine

STANDARD_NAMES: frozenset[str] = frozenset(
    ("event", "events", "vars", "env", "inputs", "run", "steps", "output", "error", "item", "index", "secrets")
)
"""Declared in the environment that all scopes share; whether a name may be read at a place is the scope's to say."""


@functools.cache
def environment(extra_names: frozenset[str]) -> engine.Env:
    """An environment with the standard names and these: what compiles expressions."""
    from cel_expr_python import cel  # the heaviest import of the core: at first use

    config = cel.NewEnvConfigFromYaml(
        "name: reactor\nextensions:\n  - name: lists\n  - name: optional\n  - name: strings\n  - name: math\n"
    )
    return cel.NewEnv(
        config=config,
        variables=dict.fromkeys(STANDARD_NAMES | extra_names, cel.Type.DYN),
        extensions=[cel.CelExtension("reactor", _functions())],
    )


@functools.cache
def any_environment() -> engine.Env:
    """Some environment: activations are the same in all."""
    return environment(frozenset[str]())


@functools.cache
def error_type() -> engine.Type:
    """The type of values that are errors."""
    from cel_expr_python import cel

    return cel.Type.ERROR


def _functions() -> list[engine.FunctionDecl]:
    """What this language adds: operators on int and double together, and its own functions."""
    from cel_expr_python.cel import FunctionDecl, Overload, Type

    integer, double, text, dyn = Type.INT, Type.DOUBLE, Type.STRING, Type.DYN

    def mixed(symbol: str, name: str, apply: Callable[[Any, Any], Any], *more: tuple[str, Type, Type]) -> FunctionDecl:
        pairs = [("int_double", integer, double), ("double_int", double, integer), *more]
        return FunctionDecl(symbol, [Overload(f"{name}_{kind}", double, [a, b], impl=apply) for kind, a, b in pairs])

    def function(name: str, returns: Type, *overloads: list[Type], impl: Callable[..., Any]) -> FunctionDecl:
        return FunctionDecl(
            name,
            [Overload(f"reactor_{name}_{index}", returns, types, impl=impl) for index, types in enumerate(overloads)],
        )

    return [
        mixed("_+_", "add", operator.add),
        mixed("_-_", "subtract", operator.sub),
        mixed("_*_", "multiply", operator.mul),
        mixed("_/_", "divide", values.divide),
        mixed("_%_", "modulo", values.modulo, ("double_double", double, double)),
        function("hash", text, [dyn], impl=values.hash_value),
        function("parse_json", dyn, [text], impl=values.parse_json),
        function("to_json", text, [dyn], impl=values.to_json),
        function("base64_encode", text, [dyn], impl=values.base64_encode),
        function("base64_decode", text, [text], impl=values.base64_decode),
        function("merge", Type.Map(text, dyn), [dyn, dyn], impl=values.merge),
        function("format_time", text, [dyn, text], [dyn, text, text], impl=values.format_time),
        function("Duration", Type.DURATION, [text], impl=values.duration),
        function("lists_range", Type.List(integer), [integer], impl=values.number_range),
    ]
