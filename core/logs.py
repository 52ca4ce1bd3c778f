"""Log lines as text for people or as JSON for programs, on the standard library's logging.

A line says when, how grave, and what; what it is about (run, step, trigger, event, …) comes in by `extra=`. Secrets are
masked in the finished line, by the callable that is handed in. Source: requirement P-13.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Literal, TextIO, cast

import msgspec

from .durations import format_millis
from .errors import ReactorError

ABOUT = ("workflow", "run", "step", "attempt", "trigger", "event", "correlation", "code")
"""What a line may be about: the names of `extra` that are shown, in this order."""

CHATTY = ("aiokafka", "asyncpg.pool", "python_multipart")
"""Libraries that log each try, many a second while a server is away, or each fault of what clients send; what they
raise is told once, by its taker."""

Mask = Callable[[str], str]
_encode = msgspec.json.Encoder(enc_hook=str).encode


def unmasked(text: str) -> str:
    """The mask of a program without secrets."""
    return text


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, what it is about, `fields`, `error`."""

    def __init__(self, mask: Mask = unmasked) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": format_millis(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **about(record),
        }
        fields = _extra(record, "fields")
        if fields:
            line["fields"] = fields
        error = error_of(record)
        if error:
            line["error"] = error
        text = _encode(line).decode()
        return text if self._mask(text) == text else _encode(_masked(msgspec.json.decode(text), self._mask)).decode()


class TextLines(logging.Formatter):
    """`2026-03-01T10:00:00.123Z INFO    engine: message (run 1-2, step charge)`, then the traceback if there is one."""

    def __init__(self, mask: Mask = unmasked) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """One line, or several with a traceback."""
        message = record.getMessage().replace("\n", "\n    ")
        named = [f"{name} {value}" for name, value in about(record).items()]
        fields: dict[str, Any] = _extra(record, "fields") or {}
        named += [f"{name}={value}" for name, value in fields.items()]
        told = error_of(record)
        if told and "code" in told and "trace" not in told:
            named.append(f"{told['code']}: {told['message']}")
        text = (
            f"{format_millis(record.created)} {record.levelname:<7} {record.name.removeprefix('reactor.')}: "
            f"{message}" + (f" ({', '.join(named)})" if named else "")
        )
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + self.formatException(record.exc_info)
        return self._mask(text)


def _masked(value: Any, mask: Mask) -> Any:
    """A JSON value with its texts masked, and a number that is a secret."""
    if isinstance(value, dict):
        return {key: _masked(item, mask) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_masked(item, mask) for item in cast("list[Any]", value)]
    if isinstance(value, str):
        return mask(value)
    shown = mask(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else "0"
    return value if any(map(str.isdigit, shown)) else shown


def about(record: logging.LogRecord) -> dict[str, Any]:
    """What a record is about."""
    return {name: value for name in ABOUT if (value := _extra(record, name)) not in (None, "")}


def error_of(record: logging.LogRecord) -> dict[str, Any]:
    """The error that a record tells of: an error object in `extra`, or the exception in flight."""
    told = _extra(record, "error")
    if isinstance(told, ReactorError):
        told = told.info()
    if told is not None:
        return cast("dict[str, Any]", msgspec.to_builtins(told, enc_hook=str))
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    error = record.exc_info[1]
    found = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, ReactorError):
        found["code"] = error.code
    return {**found, "trace": logging.Formatter().formatException(record.exc_info)}


def _extra(record: logging.LogRecord, name: str) -> Any:
    return record.__dict__.get(name)


def start(
    *,
    format: Literal["text", "json"] = "text",
    level: str = "info",
    mask: Mask = unmasked,
    stream: TextIO | None = None,
) -> None:
    """Let the program's log go to a stream (stderr) in this form; a second call changes it. `level`: debug … error."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonLines(mask) if format == "json" else TextLines(mask))
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each.formatter, (JsonLines, TextLines))]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # of the libraries
    logging.getLogger("reactor").setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING if level == "debug" else logging.CRITICAL)
