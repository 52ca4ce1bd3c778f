"""The types of the language's keys: each reads a value, tells what is wrong with it, and knows its JSON Schema.

Loader and published schema are made of the same tables of these. Source: the language page, sections 1-3.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from ..core.durations import format_duration, format_size, parse_duration, parse_instant, parse_size
from ..core.errors import ConfigError
from .catalogue import Word
from .diagnostics import Path
from .json_schema import compile_schema
from .patterns import pattern_errors
from .reader import INVALID, Reader
from .values import found, is_list

CEL_NOTE = "CEL"
TEMPLATE_NOTE = "${{ }} allowed"


class Field(Protocol):
    """What stands at a key."""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The value as definitions hold it, or INVALID after telling the error."""
        ...

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        ...


class Text(Struct, frozen=True):
    """Text; a number or a word that YAML would read as something else counts as it is written."""

    form: re.Pattern[str] | None = None
    form_words: str = ""
    empty: bool = False
    note: str = ""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The text."""
        if type(value) is not str:
            written = reader.source_text(path) if isinstance(value, int | float) else None
            if written is None and isinstance(value, bool) and self.note == CEL_NOTE:
                written = "true" if value else "false"
            if written is None:
                hint = "write it in quotes" if isinstance(value, int | float) else ""
                return reader.wrong_type(path, self.form_words or "text", value, hint)
            value = written
        if not value.strip() and not self.empty:
            return reader.wrong_type(path, self.form_words or "text", "")
        if self.form is not None and self.form.fullmatch(value) is None:
            reader.error(
                "wrong_form", path, f"{found(value)} is not {self.form_words}".removeprefix("the text "),
                expected=self.form_words, found=found(value),
            )  # fmt: skip
            return INVALID
        return value

    def schema(self) -> dict[str, Any]:
        """Text; a bare number or word counts as it is written, so its form is the loader's to check."""
        kinds: dict[str, Any] = {"type": ["string", "number", "boolean"]}
        form = {} if self.form is None else {"pattern": f"^(?:{self.form.pattern})$"}
        return {**kinds, **form, **({"description": self.note} if self.note else {})}


CEL = Text(note=CEL_NOTE)
TEMPLATE = Text(note=TEMPLATE_NOTE)
TEXT = Text()


class Flag(Struct, frozen=True):
    """true or false."""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The truth value."""
        if value is True or value is False:
            return value
        hint = f"write {'true' if value.lower() in ('yes', 'on') else 'false'}" if value in _YAML_1_1 else ""
        return reader.wrong_type(path, "true or false", value, hint)

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


_YAML_1_1 = ("yes", "no", "on", "off", "Yes", "No", "On", "Off", "YES", "NO", "ON", "OFF")


class Number(Struct, frozen=True):
    """A number within bounds; with `whole` a whole one."""

    least: float | None = None
    most: float | None = None
    whole: bool = False

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The number."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            hint = "take the quotes away" if isinstance(value, str) and value.lstrip("-").isdigit() else ""
            return reader.wrong_type(path, self.words(), value, hint)
        if not _within(reader, path, value, self.least, self.most, str(value), _plain):
            return INVALID
        return value if self.whole else float(value)

    def words(self) -> str:
        """What a message expects."""
        words = "a whole number" if self.whole else "a number"
        return words + _bounds_words(self.least, self.most, _plain)

    def schema(self) -> dict[str, Any]:
        """A number with its bounds."""
        bounds = {"minimum": self.least, "maximum": self.most}
        return {"type": "integer" if self.whole else "number"} | {k: v for k, v in bounds.items() if v is not None}


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _bounds_words(least: float | None, most: float | None, say: Callable[[float], str]) -> str:
    if least is not None and most is not None:
        return f" from {say(least)} to {say(most)}"
    return f" of at least {say(least)}" if least is not None else f" of at most {say(most)}" if most is not None else ""


def _within(
    reader: Reader,
    path: Path,
    value: float,
    least: float | None,
    most: float | None,
    shown: str,
    say: Callable[[Any], str],
) -> bool:
    if (least is None or value >= least) and (most is None or value <= most):
        return True
    expected = _bounds_words(least, most, say).strip()
    expected = expected if expected.startswith("from") else expected.removeprefix("of ")
    reader.error(
        "out_of_bounds", path, f"`{path[-1]}` must be {expected}; found {shown}", expected=expected, found=shown
    )
    return False


class Duration(Struct, frozen=True):
    """A number with a unit, `10s`; read into seconds."""

    least: float | None = None
    most: float | None = None

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """Seconds."""
        return _unit(
            reader,
            value,
            path,
            "a duration such as 10s or 1h30m",
            parse_duration,
            format_duration,
            self.least,
            self.most,
        )

    def schema(self) -> dict[str, Any]:
        """Text with units, or ISO 8601."""
        pattern = r"^\s*(?:(?:\d+(?:\.\d+)?(?:ms|us|[wdhms]))+|P[0-9WDTHMS.]+)\s*$"
        return {"type": "string", "pattern": pattern, "examples": ["10s", "1h30m"]}


class Size(Struct, frozen=True):
    """A number of bytes with a unit, `64KiB`; read into bytes."""

    least: float | None = None
    most: float | None = None

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """Bytes."""
        return _unit(
            reader, value, path, "a size such as 64KiB or 1MiB", parse_size, format_size, self.least, self.most
        )

    def schema(self) -> dict[str, Any]:
        """Text with a unit."""
        return {"type": "string", "pattern": r"^\d+(?:\.\d+)? ?[A-Za-z]+$", "examples": ["64KiB", "1MiB"]}


def _unit(
    reader: Reader, value: Any, path: Path, expected: str, parse: Callable[[str], Any], say: Callable[[Any], str],
    least: float | None, most: float | None,
) -> Any:  # fmt: skip
    text = value
    if not isinstance(text, str):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return reader.wrong_type(path, expected, value)
        text = reader.source_text(path) or str(value)
    try:
        number = parse(text)
    except ConfigError as error:
        reader.error("wrong_form", path, f"`{path[-1]}`: {error}", expected=expected, found=text, hint=error.hint)
        return INVALID
    return number if _within(reader, path, number, least, most, text, say) else INVALID


class Instant(Struct, frozen=True):
    """An RFC 3339 instant; kept as text."""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The text."""
        if not isinstance(value, str):
            return reader.wrong_type(path, "an instant such as 2026-12-24T18:00:00Z", value)
        try:
            parse_instant(value)
        except ConfigError as error:
            reader.error("wrong_form", path, f"`{path[-1]}`: {error}", found=value, hint=error.hint)
            return INVALID
        return value

    def schema(self) -> dict[str, Any]:
        """An RFC 3339 instant."""
        return {"type": "string", "format": "date-time"}


class Choice(Struct, frozen=True):
    """One of some words."""

    words: tuple[str, ...]
    word: Word = "value"

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The word."""
        return reader.choice(path, value, self.words, self.word)

    def schema(self) -> dict[str, Any]:
        """An enumeration."""
        return {"enum": list(self.words)}


class ListOf(Struct, frozen=True):
    """A list of one type; read into a tuple."""

    item: Field
    expected: str = "a list"
    least: int = 0

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The items that are right."""
        if not is_list(value):
            hint = f"write [{value}]" if isinstance(value, str) and value else ""
            return reader.wrong_type(path, self.expected, value, hint)
        if len(value) < self.least:
            return reader.wrong_type(path, f"{self.expected} of at least {self.least}", value)
        items = [self.item.read(reader, item, (*path, number)) for number, item in enumerate(value)]
        if INVALID not in items:
            return tuple(items)
        reader.kept[path] = [number for number, item in enumerate(items) if item is not INVALID]
        return tuple(item for item in items if item is not INVALID)

    def schema(self) -> dict[str, Any]:
        """An array."""
        return {"type": "array", "items": self.item.schema()} | ({"minItems": self.least} if self.least else {})


class MapOf(Struct, frozen=True):
    """A mapping from any names to one type."""

    item: Field
    expected: str = "a mapping"

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The entries that are right."""
        entries = reader.mapping(path, value, self.expected)
        if entries is None:
            return INVALID
        read = ((key, self.item.read(reader, item, (*path, key))) for key, item in entries.items())
        return {key: item for key, item in read if item is not INVALID}

    def schema(self) -> dict[str, Any]:
        """An object with such properties."""
        return {"type": "object", "additionalProperties": self.item.schema()}


class AnyValue(Struct, frozen=True):
    """Any JSON value; `${{ }}` in its strings is checked with the expressions."""

    note: str = TEMPLATE_NOTE

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The value as it is."""
        return value

    def schema(self) -> dict[str, Any]:
        """Anything."""
        return {"description": self.note} if self.note else {}


class AnyMapping(Struct, frozen=True):
    """A mapping of any JSON values."""

    note: str = ""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The mapping as it is."""
        entries = reader.mapping(path, value)
        return INVALID if entries is None else entries

    def schema(self) -> dict[str, Any]:
        """Any object."""
        return {"type": "object"} | ({"description": self.note} if self.note else {})


class SchemaValue(Struct, frozen=True):
    """A JSON Schema, compiled to see whether it is one."""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The schema as it is."""
        entries = reader.mapping(path, value, "a JSON Schema", "write {type: object, required: [name]}")
        if entries is None or not check_schema(reader, entries, path):
            return INVALID
        return entries

    def schema(self) -> dict[str, Any]:
        """Any JSON Schema."""
        return {"type": "object", "description": "JSON Schema (draft 2020-12)"}


def check_schema(reader: Reader, schema: Any, path: Path) -> bool:
    """Is this a JSON Schema that can be carried out? If not, the error is told."""
    try:
        compile_schema(schema)
    except ConfigError as error:
        inner: list[Any] = error.details.get("place", [])
        code = error.code if error.code == "unavailable" else "wrong_schema"
        reader.error(code, (*path, *inner), str(error), hint=error.hint)
        return False
    return True


class EventPattern(Struct, frozen=True):
    """A `match`: an event pattern, every fault of it told."""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The pattern as it is."""
        errors = pattern_errors(value)
        for error in errors:
            reader.error("wrong_pattern", (*path, *error.place), error.problem, hint=error.hint)
        return INVALID if errors else value

    def schema(self) -> dict[str, Any]:
        """A mapping of fields."""
        return {"type": "object", "minProperties": 1, "description": "event pattern over the whole CloudEvent"}


class Either(Struct, frozen=True):
    """The first of some types that fits the shape of the value, chosen by `picks`."""

    picks: tuple[tuple[Callable[[Any], bool], Field], ...]
    last: Field

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """As the chosen type reads it."""
        for fits, one in self.picks:
            if fits(value):
                return one.read(reader, value, path)
        return self.last.read(reader, value, path)

    def schema(self) -> dict[str, Any]:
        """Any of them."""
        return {"anyOf": [*(one.schema() for _, one in self.picks), self.last.schema()]}


class Custom(Struct, frozen=True):
    """A type of its own: a function that reads, and one that makes the schema."""

    reads: Callable[[Reader, Any, Path], Any]
    makes: Callable[[], dict[str, Any]]

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """As the function reads it."""
        return self.reads(reader, value, path)

    def schema(self) -> dict[str, Any]:
        """As the function makes it."""
        return self.makes()
