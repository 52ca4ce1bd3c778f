"""One call of a Python function: parameters by name, converted by its hints; the result as JSON; exceptions as our
errors.

Used in the engine's loop, in threads and in worker processes alike.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import msgspec

from ...core.errors import ReactorError, StepError, said_by
from ...language.annotations import hints_of, resolved, signature_of
from ...language.diagnostics import did_you_mean
from ...language.python_step import Step
from .context import Context
from .convert import EXACT, ITEMS_MAX, Converter, WrongType, converter, to_json
from .functions import traceback_text

CONTEXT = "context"
_STREAMS = ("Iterator", "Generator", "AsyncIterator", "AsyncGenerator", "Iterable", "AsyncIterable")


class Compiled:
    """What is known of a function before it is called; `target` is the function it was made of."""

    __slots__ = (
        "_check",
        "_exact",
        "is_async",
        "name",
        "open",
        "params",
        "required",
        "streams",
        "target",
        "wants_context",
    )

    def __init__(self, target: Any, name: str, *, given: tuple[str, ...] = (CONTEXT,)) -> None:
        self.target = target
        self.name = name
        call = target if inspect.isroutine(target) else getattr(target, "__call__", target)  # noqa: B004  # its code is looked at
        self.is_async = inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(call)
        self.streams = inspect.isasyncgenfunction(target) or inspect.isasyncgenfunction(call)
        try:
            parameters = list(signature_of(target).parameters.values())
            hints = hints_of(target if inspect.isroutine(target) else call)
        except ValueError:  # some functions written in C do not tell
            parameters, hints = [inspect.Parameter("args", inspect.Parameter.VAR_KEYWORD)], {}
        self.open = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.wants_context = tuple(p.name for p in named if p.name in given)
        self.params: dict[str, Converter] = {
            p.name: converter(hints[p.name] if p.name in hints else resolved(p.annotation, {}))
            for p in named
            if p.name not in given
        }
        self.required = tuple(p.name for p in named if p.default is p.empty and p.name not in given)
        hint = hints.get("return", inspect.Parameter.empty)
        self._check = _result_check(hint)
        self._exact: type[Any] | None = hint if hint in (str, int, bool) else None

    def bind(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments, converted. Raises StepError `invalid_input`, naming the argument, expected and found."""
        bound: dict[str, Any] = {}
        params = self.params
        for name, value in args.items():
            convert = params.get(name)
            if convert is None:
                if not self.open:
                    raise self._unknown(name)
                convert = converter(Any)
            try:
                bound[name] = convert(value)
            except WrongType as e:
                raise StepError("invalid_input", f"argument `{name}{e.path}` of {self.name}: {e}") from None
        for name in self.required:
            if name not in bound:
                raise StepError(
                    "invalid_input",
                    f"{self.name} needs the argument `{name}`, which `args` does not give",
                    hint=f"write `args: {{{name}: …}}`, or give the parameter a default",
                )
        return bound

    def _unknown(self, name: str) -> StepError:
        hint = did_you_mean(name, self.params) if self.params else "the function takes no arguments"
        return StepError("invalid_input", f"{self.name} has no parameter `{name}`", hint=hint)

    def accept(self, value: Any) -> Any:
        """A returned value as JSON, checked against the return hint. Raises StepError `invalid_output`."""
        if value.__class__ is self._exact:
            return value
        plain = None if value is None else to_json(value)
        if self._check is not None:
            try:
                self._check(value, plain)
            except WrongType as e:
                raise StepError("invalid_output", f"the result{e.path} of {self.name}: {e}") from None
        return plain


def _result_check(hint: Any) -> Callable[[Any, Any], None] | None:
    if hint is inspect.Parameter.empty or hint is Any or hint is object:
        return None
    if hint in EXACT or hint is float:
        convert = converter(hint)
        return lambda value, plain: convert(plain) and None
    name = getattr(hint, "__name__", "") or getattr(getattr(hint, "__origin__", None), "__name__", "")
    if name in _STREAMS or name in ("Self", "NoReturn", "Never"):
        return None
    if isinstance(hint, type) and not hasattr(hint, "__args__"):
        plain_class: type = hint
        convert_class = converter(hint)

        def check_class(value: Any, plain: Any) -> None:
            if hasattr(plain_class, "__total__") or not isinstance(value, plain_class):
                convert_class(plain)

        return check_class
    convert_any = converter(hint)
    return lambda value, plain: convert_any(plain) and None


def given_to(compiled: Compiled, kwargs: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Add what the caller supplies (`context`, `error`) where the function has such a parameter."""
    for name in compiled.wants_context:
        kwargs[name] = values[name]
    return kwargs


async def finish(compiled: Compiled, returned: Any) -> Any:
    """Await or collect what a function returned, then make it JSON."""
    if hasattr(returned, "__await__"):
        returned = await returned
    if hasattr(returned, "__anext__"):
        items: list[Any] = []
        async for item in cast("AsyncIterator[Any]", returned):
            if len(items) >= ITEMS_MAX:
                raise StepError("too_large", f"{compiled.name} gives more than {ITEMS_MAX} items")
            items.append(item)
        returned = items
    return compiled.accept(returned)


class StepClass:
    """A `Step` class taken apart: its methods compiled."""

    def __init__(self, cls: type[Any], name: str) -> None:
        self.target = cls
        self.name = name
        given = (CONTEXT, "error", "output")
        self.validate = self._method("validate_input", given[:1])
        self.execute = self._method("execute", given[:1]) or Compiled(Step().execute, f"{name}.execute")
        self.compensate = self._method("compensate", given)

    def _method(self, method: str, given: tuple[str, ...]) -> Compiled | None:
        own = getattr(self.target, method, None)
        if own is None or own is getattr(Step, method):
            return None
        return Compiled(getattr(self._instance(), method), f"{self.name}.{method}", given=given)

    def _instance(self) -> Any:
        try:
            return self.target()
        except TypeError as e:
            raise StepError("config", f"{self.name} cannot be made without arguments: {e}") from None

    def calls(self, undo: bool) -> list[tuple[str, Compiled]]:
        """Which methods are called, in order. Raises StepError if it cannot be undone."""
        if undo:
            if self.compensate is None:
                raise StepError("config", f"{self.name} has no method `compensate`: it cannot be undone")
            return [("compensate", self.compensate)]
        first = [("validate_input", self.validate)] if self.validate is not None else []
        return [*first, ("execute", self.execute)]


def own_arguments(compiled: Compiled, args: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    """`execute` must take every argument; `validate_input` and `compensate` get those that they name."""
    if method == "execute" or compiled.open:
        return args
    names = compiled.params
    return {name: value for name, value in args.items() if name in names}


def refused(name: str, verdict: Any) -> StepError | None:
    """What `validate_input` returned, as an error: False or a text refuses."""
    if verdict is False:
        return StepError("invalid_input", f"{name} refused the input")
    if isinstance(verdict, str) and verdict:
        return StepError("invalid_input", f"{name} refused the input: {verdict}")
    return None


def error_of(error: BaseException, name: str) -> ReactorError:
    """An exception that a step raised, as the error of actions.md section 3 (python)."""
    if isinstance(error, ReactorError):
        return error
    text = said_by(error).strip()
    kind = type(error).__name__
    said = f"{name} raised {kind}: {text}" if text else f"{name} raised {kind}"
    details = {"exception": kind, "traceback": traceback_text(error)}
    code = "step_failed"
    if isinstance(error, ConnectionError):
        code = "connection"
    elif isinstance(error, TimeoutError):
        code = "timeout"
    elif isinstance(error, FileNotFoundError):
        code = "file_not_found"
    elif isinstance(error, PermissionError):
        code = "forbidden"
    elif isinstance(error, msgspec.ValidationError) or _is_pydantic(error):
        code = "invalid_input"
    elif isinstance(error, MemoryError):
        code = "resource_limit"
    elif isinstance(error, asyncio.CancelledError):
        said = f"{name} was cancelled from within"
    elif isinstance(error, SystemExit):
        said = f"{name} called sys.exit({error.code!r})"
    return StepError(code, said, details=details)


def _is_pydantic(error: BaseException) -> bool:
    return any(c.__name__ == "ValidationError" and c.__module__.startswith("pydantic") for c in type(error).__mro__)


def context_values(context: Context, error: Any = None) -> dict[str, Any]:
    """What parameters of these names are given."""
    return {CONTEXT: context, "error": context.error if error is None else error, "output": context.output}
