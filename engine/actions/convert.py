"""JSON values to what a function's type hints say, and what it returns back to JSON.

A converter is compiled once for a hint. Hints are read by msgspec (dataclass, TypedDict, NamedTuple, Enum, Literal,
dates, bytes as base64, msgspec Struct); where a pydantic model is in them, or msgspec cannot, by pydantic.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec

from ...core.errors import StepError
from ...core.limits import MIB
from ...language.annotations import hints_of

Converter = Callable[[Any], Any]
ITEMS_MAX = 1_000_000  # of a generator's output
EXACT: dict[Any, str] = {str: "text", int: "a whole number", bool: "true or false", type(None): "null", None: "null"}
assert ITEMS_MAX < 64 * MIB  # each takes more than a byte


class WrongType(Exception):
    """A value that does not fit its hint; the text says what was expected and found, `path` where inside the value."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def shown(value: object) -> str:
    """A value as JSON, shortened, with its type: for messages."""
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def copied(value: Any) -> Any:
    """A JSON value whose containers nobody else has: steps share no mutable state."""
    if isinstance(value, dict):
        return {key: copied(part) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [copied(part) for part in cast("list[Any]", value)]
    return value


def converter(hint: Any) -> Converter:
    """What turns a JSON value into what the hint says; raises WrongType. Without a hint values are copied."""
    if hint is inspect.Parameter.empty or hint is Any or hint is object:
        return copied
    if hint in EXACT:
        return _exact(hint)
    if hint is float:
        return _number
    if not _has_pydantic(hint):
        try:
            msgspec.json.Decoder(hint)
        except (TypeError, ValueError, RecursionError):
            pass
        else:
            return _by_msgspec(hint)
    return _by_pydantic(hint)


def _exact(hint: Any) -> Converter:
    wanted = type(None) if hint is None else hint
    words = EXACT[hint]

    def convert(value: Any) -> Any:
        if type(value) is wanted:
            return value
        if wanted is int and type(value) is float and value.is_integer():
            return int(value)
        raise WrongType(f"expected {words} ({wanted.__name__}); found {shown(value)} ({type(value).__name__})")

    return convert


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise WrongType(f"expected a number (float); found {shown(value)} ({type(value).__name__})")


def _by_msgspec(hint: Any) -> Converter:
    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(copied(value), hint)
        except msgspec.ValidationError as e:
            words, _, path = str(e).partition(" - at `")
            raise WrongType(f"{words[:1].lower()}{words[1:]}", path.rstrip("`").removeprefix("$")) from None

    return convert


def _by_pydantic(hint: Any) -> Converter:
    from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        return _instance(hint)

    def convert(value: Any) -> Any:
        try:
            return adapter.validate_python(copied(value))
        except ValidationError as e:
            first = e.errors(include_url=False)[0]
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
            found = f"{first['msg'][:1].lower()}{first['msg'][1:]}; found {shown(first['input'])}"
            raise WrongType(found, path) from None

    return convert


def _instance(hint: Any) -> Converter:
    """A class that neither library knows: JSON cannot become one."""
    name = getattr(hint, "__name__", str(hint))

    def convert(value: Any) -> Any:
        if isinstance(hint, type) and isinstance(value, hint):
            return value
        raise WrongType(f"expected {name}; found {shown(value)} ({type(value).__name__})")

    return convert


def _has_pydantic(hint: Any, seen: tuple[Any, ...] = ()) -> bool:
    if any(hint is other for other in seen):
        return False
    seen = (*seen, hint)
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
        hint = cast("Any", hint)
        if hasattr(hint, "__pydantic_core_schema__"):
            return True
        if dataclasses.is_dataclass(hint) or hasattr(hint, "__struct_fields__") or hasattr(hint, "__total__"):
            return any(_has_pydantic(part, seen) for part in hints_of(hint).values())
        return False
    return any(_has_pydantic(part, seen) for part in typing.get_args(hint))


# -- results


_AS_IT_IS = frozenset((str, int, bool, type(None)))


def to_json(value: Any) -> Any:
    """A returned value as JSON; containers are new ones. Raises StepError `invalid_output`, naming the place."""
    try:
        return _json(value, "")
    except RecursionError:
        raise StepError("invalid_output", "the returned value is nested too deep, or contains itself") from None


def _json(value: Any, path: str) -> Any:
    if type(value) in _AS_IT_IS:
        return value
    kind = cast("Any", type(value))
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        raise _not_json(path, f"{value} is no JSON number")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {_key(k, path): _json(v, f"{path}.{k}") for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (tuple, list)):
        return [_json(v, f"{path}[{i}]") for i, v in enumerate(cast("Iterable[Any]", value))]
    if isinstance(value, Iterator):
        return [_json(v, f"{path}[{i}]") for i, v in enumerate(_bounded(cast("Iterator[Any]", value), path))]
    if hasattr(kind, "__pydantic_core_schema__"):
        return _by_pydantic_model(value)
    return _by_kind(value, path)


def _by_kind(value: Any, path: str) -> Any:
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {f.name: _json(getattr(value, f.name), f"{path}.{f.name}") for f in dataclasses.fields(value)}
    try:
        plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_unknown)
    except (TypeError, ValueError) as e:
        text = str(e) if isinstance(e, ValueError) else f"{type(value).__name__} has no JSON form"
        raise _not_json(path, text) from None
    return plain if plain is value or isinstance(plain, str) else _json(plain, path)


def _by_pydantic_model(value: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cast("Any", type(value))).dump_python(value, mode="json")


def _unknown(value: Any) -> Any:
    if hasattr(cast("Any", type(value)), "__pydantic_core_schema__"):
        return _by_pydantic_model(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _key(key: Any, path: str) -> str:
    if isinstance(key, str):
        return str(key)
    plain = msgspec.to_builtins(key, enc_hook=_unknown) if not isinstance(key, (int, float, bool)) else key
    if isinstance(plain, str):
        return plain
    if isinstance(plain, (int, float)):
        return msgspec.json.encode(plain).decode()
    raise _not_json(path, f"{type(key).__name__} cannot be a key of a JSON object")


def _bounded(items: Iterator[Any], path: str) -> Iterator[Any]:
    for count, item in enumerate(items):
        if count >= ITEMS_MAX:
            raise StepError("too_large", f"the generator returned at `{path or '$'}` gives more than {ITEMS_MAX} items")
        yield item


def _not_json(path: str, why: str) -> StepError:
    where = f" at `{path.lstrip('.')}`" if path else ""
    return StepError("invalid_output", f"the returned value is not JSON{where}: {why}")
