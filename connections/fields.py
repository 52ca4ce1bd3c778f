"""Field types of our pydantic models, and what is wrong with a value in our own words.

Used for the keys of connections, triggers and actions alike. Durations and sizes are text with a unit (`10s`,
`64KiB`), read into seconds and bytes; a bare number is refused. Source: the language page, section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ..core.durations import format_duration, format_size, parse_duration, parse_size
from ..core.errors import ConfigError
from ..language.diagnostics import Path, did_you_mean, nearest, path_text
from ..language.renamed import Renamed
from ..language.source_text import WANTS_TEXT
from .pydantic_plugins import go_without_broken_plugins

go_without_broken_plugins()  # before the first of our models is made

Fault = tuple[str, str]
"""Where inside a value (`json.items[2]`, empty for the whole), and what is wrong there."""


def _duration(value: object) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _with_unit(value, parse_duration, "expected a duration with its unit, such as 10s")


def _size(value: object) -> int:
    return _with_unit(value, parse_size, "expected a size with its unit, such as 64KiB")


_Number = TypeVar("_Number", int, float)


def _with_unit(value: object, parse: Callable[[str], _Number], expected: str) -> _Number:
    """A bare number is read as text, so that it is refused with the units that it may have."""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise _words(f"{expected}; found {shown(value)}")
    try:
        return parse(str(value))
    except ConfigError as e:
        raise _words(f"{e}; {e.hint}" if e.hint else str(e)) from None


def _words(text: str) -> PydanticCustomError:
    return PydanticCustomError("words", "{text}", {"text": text})


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["200ms", "10s", "1h30m"]}),
]
"""Seconds, written `10s`; `Field(ge=…, le=…)` are in seconds."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["64KiB", "10MiB"]}),
]
"""Bytes, written `64KiB`; `Field(ge=…, le=…)` are in bytes."""


class Keys(BaseModel):
    """Base of our own models: unknown keys and near-miss types refused, frozen, and choices among keys declared as
    data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, defer_build=True)

    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of which exactly one key must be written."""
    at_most_one: ClassVar[tuple[tuple[str, ...], ...]] = ()
    renamed: ClassVar[Mapping[str, Renamed]] = {}
    """Old names of keys: still taken, and told where a file has them."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        if cls.renamed:
            keys: dict[str, Any] = handler.resolve_ref_schema(found)
            for old, now in cls.renamed.items():
                told = {"deprecated": True, "description": f"now `{now.name}`"}
                keys["properties"][old] = {**keys["properties"][now.name], **told}
                keys["required"] = [name for name in keys.get("required", ()) if name != now.name]
        return found

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Models without choices and old names are checked without a call of ours."""
        found = handler(source)
        if cls.exactly_one or cls.at_most_one:
            found = core_schema.no_info_after_validator_function(cls._chosen, found)
        if cls.renamed:
            found = core_schema.no_info_before_validator_function(partial(_today, cls.renamed), found)
        return found

    def _chosen(self) -> Self:
        aliases = {name: field.alias or name for name, field in type(self).model_fields.items()}
        for _, message in choice_faults(
            type(self), [aliases[name] for name in self.model_fields_set if name in aliases]
        ):
            raise PydanticCustomError("choice", "{text}", {"text": message})
        return self

    def has(self, name: str) -> bool:
        """Was this field (by its Python name) written, be it as null?"""
        return name in self.model_fields_set


def _today(renamed: Mapping[str, Renamed], value: Any) -> Any:
    """Keys under the names of today, as in what was stored before."""
    if not isinstance(value, Mapping):
        return value
    entries = cast("Mapping[str, Any]", value)
    both = [name for name in entries if name in renamed and renamed[name].name in entries]
    if both:
        raise _words(f"`{both[0]}` is the old name of `{renamed[both[0]].name}`, and both are given")
    return {renamed[name].name if name in renamed else name: item for name, item in entries.items()}


def renamed_in(model: type[BaseModel], value: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Renamed]]]:
    """The mappings in a value that have old names of keys, by the model that judges them; the outer ones first."""
    if isinstance(value, list):
        for number, item in enumerate(cast("list[Any]", value)):
            yield from renamed_in(model, item, (*path, number))
    elif isinstance(value, Mapping):
        entries = cast("Mapping[str, Any]", value)
        renamed: Mapping[str, Renamed] = getattr(model, "renamed", {})
        if not renamed.keys().isdisjoint(entries):
            yield path, renamed
        for name, field in model.model_fields.items():
            inner = entries.get(field.alias or name)
            if isinstance(inner, (Mapping, list)):
                for each in _models_in(field.annotation):
                    yield from renamed_in(each, inner, (*path, field.alias or name))


def choice_faults(model: type[BaseModel], written: Sequence[str]) -> Iterator[Fault]:
    """What `exactly_one` and `at_most_one` of a model say to these written keys."""
    exactly: tuple[tuple[str, ...], ...] = getattr(model, "exactly_one", ())
    at_most: tuple[tuple[str, ...], ...] = getattr(model, "at_most_one", ())
    for group in exactly + at_most:
        found = [name for name in group if name in written]
        names = _listed(group, "or")
        if len(found) > 1:
            yield "", f"only one of {names} may be given; found {_listed(found, 'and')}"
        elif not found and group in exactly:
            yield "", f"{names} is missing" if len(group) == 1 else f"one of {names} is missing"


def _listed(names: Sequence[str], word: str) -> str:
    marked = [f"`{name}`" for name in names]
    return marked[0] if len(marked) == 1 else f"{', '.join(marked[:-1])} {word} {marked[-1]}"


def shown(value: object) -> str:
    """A value as it is written, shortened: for messages."""
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def has_template(value: object) -> bool:
    """Does this value, or anything in it, contain `${{`?"""
    if isinstance(value, str):
        return "${{" in value
    if isinstance(value, Mapping):
        return any(has_template(part) for part in cast("Mapping[Any, Any]", value).values())
    if isinstance(value, list):
        return any(has_template(part) for part in cast("list[Any]", value))
    return False


def model_faults(model: type[BaseModel], value: Any) -> list[Fault]:
    """What is wrong with an unrendered value, judged by a model.

    A string that contains `${{` may become anything: its type is not judged, its key is.
    """
    try:
        model.model_validate(value)
    except ValidationError as e:
        return error_faults(model, e, value)
    return []


def _word(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, (bool, int, float)) and info.context is not _AS_WRITTEN:
        return msgspec.json.encode(value).decode()
    return value


_AS_WRITTEN = {"as": "written"}
Word = Annotated[str, BeforeValidator(_word, json_schema_input_type=str | int | float | bool)]
"""Text that is often written as a number."""


def number_faults(model: type[BaseModel], value: Any) -> list[Fault]:
    """The numbers and truth values that stand where text belongs, those that a Word takes too."""
    try:
        model.model_validate(value, context=_AS_WRITTEN)
    except ValidationError as e:
        return [(path_text(path), WANTS_TEXT) for path in texts_wanted(e, value)]
    return []


def texts_wanted(error: ValidationError, value: Any) -> list[tuple[int | str, ...]]:
    """Where a model wants text, and a number or a truth value stands."""
    return [
        _real_path(raw["loc"], value, raw["type"])
        for raw in error.errors(include_url=False)
        if raw["type"] == "string_type" and isinstance(raw["input"], (bool, int, float))
    ]


def error_faults(model: type[BaseModel], error: ValidationError, value: Any, *, templates: bool = True) -> list[Fault]:
    """A pydantic error in our own words; with `templates`, strings that contain `${{` are not judged by type."""
    found: list[tuple[tuple[int | str, ...], str, dict[str, Any]]] = []
    for raw in error.errors(include_url=False):
        problem = cast("dict[str, Any]", raw)
        found.append((_real_path(problem["loc"], value, problem["type"]), problem["type"], problem))
    deep = [path for path, _, _ in found]
    kept: dict[tuple[int | str, ...], list[str]] = {}
    for path, kind, problem in found:
        if kind == "choice" and not path:
            continue  # told below, also where other errors hide it
        if any(len(other) > len(path) and other[: len(path)] == path for other in deep) and kind not in _OF_KEYS:
            continue  # another branch of a union went deeper
        if templates and kind not in _OF_KEYS and _unknown_yet(problem["input"], kind):
            continue
        kept.setdefault(path, []).append(_say(kind, problem, model, path))
    faults = [(path_text(path), _merge(messages)) for path, messages in kept.items()]
    if isinstance(value, Mapping):
        faults += choice_faults(model, list(cast("Mapping[str, Any]", value)))
    return faults


_OF_KEYS = frozenset(("extra_forbidden", "missing", "choice"))


def _unknown_yet(value: object, kind: str) -> bool:
    """Can rendering still make this value right?"""
    if isinstance(value, str):
        return "${{" in value
    return kind in ("value_error", "words") and has_template(value)


def _real_path(loc: tuple[int | str, ...], value: Any, kind: str) -> tuple[int | str, ...]:
    """The path as keys of the value: pydantic puts the names of union branches in between."""
    path: list[int | str] = []
    at = value
    for i, part in enumerate(loc):
        last = i == len(loc) - 1
        if isinstance(at, Mapping) and (part in at or (last and kind == "missing")):
            path.append(part)
            at = cast("Mapping[Any, Any]", at).get(part)
        elif isinstance(at, list) and isinstance(part, int) and part < len(cast("list[Any]", at)):
            path.append(part)
            at = cast("list[Any]", at)[part]
    return tuple(path)


_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_EXPECTED_START = "expected "


def _say(kind: str, problem: dict[str, Any], model: type[BaseModel], path: tuple[int | str, ...]) -> str:
    given, context = problem["input"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        name = str(problem["loc"][-1])
        names = _keys_at(model, path[:-1])
        return f"unknown key `{name}`" + (f"; {did_you_mean(name, names)}" if names else "")
    if kind == "missing":
        return "is required and missing"
    if kind == "string_type":
        return f"{WANTS_TEXT}; found {shown(given)}"
    if kind in _EXPECTED:
        return f"{_EXPECTED_START}{_EXPECTED[kind]}; found {shown(given)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {_bound(model, path, context[key])}; found {_given(model, path, given)}"
    if kind == "literal_error":
        names = [part.strip("'\" ") for part in str(context["expected"]).replace(" or ", ", ").split(", ")]
        near = nearest(given, names) if isinstance(given, str) else None
        hint = f"; did you mean {near}?" if near else ""
        return f"{_EXPECTED_START}{'one of ' if len(names) > 1 else ''}{', '.join(names)}; found {shown(given)}{hint}"
    if kind in ("string_too_short", "too_short"):
        return "must not be empty" if context["min_length"] == 1 else f"needs at least {context['min_length']}"
    if kind in ("string_too_long", "too_long"):
        return f"may have at most {context['max_length']}"
    if kind == "string_pattern_mismatch":
        return f"must have the form {context['pattern']}; found {shown(given)}"
    if kind in ("words", "choice"):
        return str(problem["msg"])
    if kind == "value_error":
        return str(context["error"])
    return f"{problem['msg'][:1].lower()}{problem['msg'][1:]}; found {shown(given)}"


def _given(model: type[BaseModel], path: tuple[int | str, ...], given: object) -> str:
    unit = _unit_of(model, path)
    if unit and isinstance(given, (int, float)):
        return format_duration(given) if unit == "duration" else format_size(int(given))
    return given if isinstance(given, str) and unit else shown(given)


def _bound(model: type[BaseModel], path: tuple[int | str, ...], bound: float) -> str:
    unit = _unit_of(model, path)
    if unit == "duration":
        return format_duration(bound)
    return format_size(int(bound)) if unit == "size" else f"{bound:g}" if isinstance(bound, float) else str(bound)


def _unit_of(model: type[BaseModel], path: tuple[int | str, ...]) -> str:
    at = _model_at(model, path[:-1])
    field = at and next((f for n, f in at.model_fields.items() if path and path[-1] in (n, f.alias)), None)
    if not field:
        return ""
    for item in [*field.metadata, *_marks_in(field.annotation)]:
        function = getattr(item, "func", None)
        if function is _duration:
            return "duration"
        if function is _size:
            return "size"
    return ""


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    at = _model_at(model, path)
    return [field.alias or name for name, field in at.model_fields.items()] if at else []


def _model_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that judges what is at this path; None where no one model does."""
    at: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        if at is None:
            return None
        field = next((f for n, f in at.model_fields.items() if part in (n, f.alias)), None)
        models = list(_models_in(field.annotation)) if field else []
        at = models[0] if len(models) == 1 else None
    return at


def _marks_in(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for part in getattr(annotation, "__args__", ()):
        yield from _marks_in(part)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in cast("tuple[Any, ...]", getattr(cast("Any", annotation), "__args__", ())):
        yield from _models_in(part)


def _merge(messages: list[str]) -> str:
    """One message for several branches of a union: `expected text or a mapping; found 5`."""
    unique = list(dict.fromkeys(messages))
    if len(unique) > 1 and all(message.startswith(_EXPECTED_START) for message in unique):
        parts = [message.removeprefix(_EXPECTED_START).partition("; found ") for message in unique]
        return f"{_EXPECTED_START}{' or '.join(dict.fromkeys(p[0] for p in parts))}; found {parts[0][2]}"
    return unique[0] if len(unique) == 1 else "; or ".join(unique)
