"""Triggers as declared: named ones in `reactor.yaml`, and those in place under `when`.

Source: the triggers page, section 1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..core.limits import KIB, MIB
from .built_in import BUILT_IN
from .catalogue import Fault, KindWords
from .definition import TriggerSpec
from .diagnostics import Diagnostic, Diagnostics, Path, did_you_mean
from .fields import CEL, TEMPLATE, Choice, Custom, Duration, Flag, Instant, Number, Size, Text, check_schema
from .paths import parse_path
from .reader import INVALID, PlainData, Reader
from .source_text import check_texts
from .table import Key, Table, all_under_new_names
from .values import is_list, is_mapping

RECONNECT = Table(
    "`reconnect`",
    {
        "delay": Key(Duration(0.001, 3600), "the first wait", "delay_s", default="500ms"),
        "factor": Key(Number(1, 1000), "each wait is so many times the one before", default=2),
        "max_delay": Key(Duration(0.001, 3600), "the longest wait", "max_delay_s", default="30s"),
        "jitter": Key(Flag(), "shorten each wait by chance", default=True),
    },
)


def _read_reconnect(reader: Reader, value: Any, path: Path) -> Any:
    read = RECONNECT.read(reader, value, path)
    return INVALID if read is None else read


def _read_start(reader: Reader, value: Any, path: Path) -> Any:
    """`earliest`, `latest`, `last`, `{time: instant or age}` or `{offset: …}`; what fits is the kind's to say."""
    if not is_mapping(value):
        return reader.choice(path, value, ("earliest", "latest", "last"))
    if list(value) == ["offset"]:
        return value
    if list(value) == ["time"]:
        time = value["time"]
        here = (*path, "time")
        is_age = isinstance(time, str) and ("T" not in time[1:] or time[:1] == "P")
        read = (Duration(0) if is_age else Instant()).read(reader, time, here)
        return INVALID if read is INVALID else value
    return reader.wrong_type(path, "earliest, latest, {time: …} or {offset: …}", value)


def _read_schema(reader: Reader, value: Any, path: Path) -> Any:
    if isinstance(value, str):
        hint = "write the schema itself in its place"
        reader.error("unavailable", path, "a `schema` in a file of its own is not available in this version", hint=hint)
        return INVALID
    entries = reader.mapping(path, value, "a JSON Schema")
    return INVALID if entries is None or not check_schema(reader, entries, path) else entries


_START_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"enum": ["earliest", "latest", "last"]},
        {"type": "object", "properties": {"time": {"type": "string"}, "offset": {}}, "additionalProperties": False},
    ]
}
COMMON = Table(
    "a trigger",
    {
        "settle": Key(Choice(("accepted", "completed")), "when the source is told to forget", default="accepted"),
        "start": Key(Custom(_read_start, lambda: _START_SCHEMA), "where a reader without a stored position begins"),
        "fetch": Key(Number(1, 10_000, whole=True), "most messages asked for at once", default=64),
        "max_in_flight": Key(Number(1, 10_000, whole=True), "read and not yet settled", default=256),
        "format": Key(
            Choice(("auto", "cloudevents", "json", "text", "binary")), "how messages are decoded", default="auto"
        ),
        "id": Key(CEL, "the event's id"),
        "type": Key(TEMPLATE, "the event's type"),
        "subject": Key(TEMPLATE, "the event's subject"),
        "schema": Key(Custom(_read_schema, lambda: {"type": "object"}), "JSON Schema that `data` must satisfy"),
        "max_bytes": Key(Size(KIB, 64 * MIB), "of one message", default="1MiB"),
        "reconnect": Key(Custom(_read_reconnect, RECONNECT.schema), "waits between attempts to connect"),
        "enabled": Key(Flag(), "does it read?", default=True),
        "description": Key(Text(empty=True), "for people"),
    },
    ("key", "kind"),
)
OWN_KINDS = ("event", "workflow")
"""Kinds that are the language's own: the router carries them out."""


def find_kind(
    reader: Reader, entries: Mapping[str, Any], path: Path, known: Collection[str], table: Table, also: tuple[str, ...]
) -> str | None:
    """The one key that names the kind; otherwise None, and the error is told."""
    kinds = (*also, *reader.catalogue.kinds)
    named = [key for key in entries if key in kinds]
    missing = [key for key in entries if key not in kinds and key not in known and _is_missing(reader, key)]
    for key in missing:
        if not reader.unavailable("kind", key, (*path, key), key=True):
            reader.unavailable("join", key, (*path, key), key=True)
    if len(named) > 1:
        reader.error(
            "two_kinds", (*path, named[1]), f"{table.whole} has one kind; found `{named[0]}` and `{named[1]}`",
            key=True, found=named[1], hint="make it an entry of its own",
        )  # fmt: skip
    if named or missing:
        return named[0] if named else None
    rest = [key for key in entries if key not in known]
    if len(rest) == 1:
        hint = did_you_mean(rest[0], [*kinds, *known])
        reader.error(
            "unknown_kind",
            (*path, rest[0]),
            f"there is no trigger kind `{rest[0]}`",
            key=True,
            found=rest[0],
            hint=hint,
        )
    else:
        reader.error("missing_key", path, f"{table.whole} needs a kind", hint=did_you_mean("", kinds))
    return None


def _is_missing(reader: Reader, key: str) -> bool:
    catalogue = reader.catalogue
    return catalogue.unavailable("kind", key) is not None or catalogue.unavailable("join", key) is not None


def read_config(reader: Reader, kind: str, value: Any, path: Path) -> dict[str, Any] | None:
    """The kind's own keys, a short form spelt out, checked by the kind; None if there is no way to read them."""
    words = reader.catalogue.kinds[kind]
    written = isinstance(value, str | int | float) and not isinstance(value, bool)
    short = bool(words.short) and (written or is_list(value))
    if short:
        config: dict[str, Any] = {words.short: value}
    else:
        hint = f"write `{kind}: {{{words.short}: …}}`" if words.short else ""
        entries = reader.mapping(path, value, "a mapping", hint)
        if entries is None:
            return None
        config = all_under_new_names(reader, words.renames, entries, path)
    if words.timezone and "timezone" not in config and reader.catalogue.timezone != "UTC":
        config = {**config, "timezone": reader.catalogue.timezone}
    tell_faults(reader, check_texts(reader, words.check, config, path, short=short), path, kind, short=short)
    check_connection(
        reader, config, path, words.connections, words.name, url=words.connection_url, needed=bool(words.connections)
    )
    return config


def tell_faults(
    reader: Reader, faults: Sequence[Fault | tuple[str, str]], path: Path, user: str, *, short: bool = False
) -> None:
    """Tell what the check of `user` found; with `short` the value stands where its mapping would."""
    for each in faults:
        fault = each if isinstance(each, Fault) else Fault(each[0], each[1])
        inner = parse_path(fault.path) if isinstance(fault.path, str) else fault.path
        name = inner[len(inner) - 1] if inner and not short else user
        message = (
            fault.message if fault.message.startswith(("`", "the ", "unknown key")) else _sentence(name, fault.message)
        )
        reader.error(fault.code, path if short else (*path, *inner), message, hint=fault.hint)


def _sentence(name: str | int, message: str) -> str:
    """A message that says what its subject is."""
    joint = " " if message.startswith(("is ", "must ", "needs ", "may ")) else ": "
    return f"`{name}`{joint}{message}"


def check_connection(
    reader: Reader,
    config: Any,
    path: Path,
    kinds: tuple[str, ...],
    user: str,
    *,
    url: bool = False,
    needed: bool = False,
) -> None:
    """Does the `connection` named here exist, and is it of the right kind? Is there one, if none is named?"""
    known = reader.catalogue.connections
    if not kinds or known is None:
        return
    named = config.get("connection") if is_mapping(config) else None
    fitting = [name for name, kind in known.items() if kind in kinds]
    wanted = " or ".join(kinds)
    if named is None:
        if needed and len(fitting) != 1:
            there = (
                f"there are {', '.join(fitting)}: name one"
                if fitting
                else f"declare one under `connections` in reactor.yaml: {{main: {{{kinds[0]}: {{…}}}}}}"
            )
            reader.error("missing_connection", path, f"`{user}` needs a connection of kind {wanted}", hint=there)
        return
    here = (*path, "connection")
    if not isinstance(named, str) or "${{" in named or (url and "://" in named):
        return
    if named not in known:
        hint = (
            did_you_mean(named, fitting)
            or f"declare it under `connections` in reactor.yaml: {{{named}: {{{kinds[0]}: {{…}}}}}}"
        )
        reader.error("missing_connection", here, f"there is no connection `{named}`", found=named, hint=hint)
    elif named not in fitting:
        hint = did_you_mean(named, fitting)
        message = f"the connection `{named}` is of kind {known[named]}; `{user}` needs {wanted}"
        reader.error("missing_connection", here, message, found=known[named], expected=wanted, hint=hint)


def place_name(kind: str, config: Mapping[str, Any]) -> str:
    """The name of a trigger in place: its kind and 8 digits of its own keys, so that moving it keeps its position."""
    body = msgspec.json.encode([kind, config], order="sorted")
    return f"{kind}-{hashlib.blake2b(body, digest_size=4).hexdigest()}"


def refuse(reader: Reader, words: KindWords, entries: Mapping[str, Any], path: Path) -> None:
    """Tell the keys beside the kind that such a source has no use for."""
    for key in entries:
        if key in words.refuses:
            message = f"`{key}` means nothing to a trigger of kind {words.name}"
            reader.error("unknown_key", (*path, key), message, key=True, found=key, hint="remove it")
    start = entries.get("start")
    if words.starts is None or "start" in words.refuses or start is None:
        return
    form, given = (str(next(iter(start), "")), next(iter(start.values()), None)) if is_mapping(start) else (start, None)
    here = (*path, "start")
    if form in ("earliest", "latest", "last", "time", "offset") and form not in words.starts:
        wanted = ", ".join(f"{{{word}: …}}" if word in ("time", "offset") else word for word in words.starts)
        message = f"`start` of a trigger of kind {words.name} cannot be `{form}`"
        reader.error("invalid_value", here, message, expected=wanted, hint=f"write {wanted}")
    elif form == "offset" and not _OFFSETS[words.starts["offset"]](given):
        wanted = "{offset: 4711}" if words.starts["offset"] == "number" else "{offset: {0: 4711}}, by partition"
        reader.error("invalid_value", here, f"`start.offset` of {words.name} is not one", expected=wanted)


def start_fault(words: KindWords, start: Any) -> Diagnostic | None:
    """What is wrong with a `start` that is given beside no file: where a trigger of this kind is to go on from."""
    found = Diagnostics()
    reader = Reader(PlainData(start), BUILT_IN, found)
    if _read_start(reader, start, ("start",)) is not INVALID:
        refuse(reader, words, {"start": start}, ())
    return next(iter(found.items), None)


def _is_offset(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_OFFSETS: Mapping[str, Callable[[Any], bool]] = {
    "number": lambda value: _is_offset(value, 1),
    "mapping": lambda value: (
        is_mapping(value)
        and bool(value)
        and all(str(partition).isdigit() and _is_offset(offset) for partition, offset in value.items())
    ),
}


def served_by(spec: TriggerSpec) -> Iterable[str]:
    """What an http trigger has for itself alone: each method of its path, whatever the names of its segments."""
    path, methods = spec.config.get("path"), spec.config.get("method", "POST")
    if spec.kind != "http" or not isinstance(path, str):
        return []
    names = [methods] if isinstance(methods, str) else methods
    return [f"{name} /hooks{re.sub(r'{[^}]*}', '{}', path)}" for name in names]


def read_named_trigger(reader: Reader, name: str, value: Any, path: Path) -> TriggerSpec | None:
    """One entry of `triggers` in `reactor.yaml`."""
    entries = reader.mapping(path, value, "a mapping with one kind")
    if entries is None:
        return None
    entries = COMMON.current(reader, entries, path)
    kind = find_kind(reader, entries, path, COMMON.keys, COMMON, OWN_KINDS)
    for key in ("match", "if", "unless", "with"):
        if key in entries:
            hint = "move it to the entry of `when` that names this trigger"
            reader.error(
                "unknown_key",
                (*path, key),
                f"`{key}` belongs to a workflow, not to a trigger",
                key=True,
                found=key,
                hint=hint,
            )
    skip = {
        key for key in entries if key in ("match", "if", "unless", "with", *OWN_KINDS) or key in reader.catalogue.kinds
    }
    skip |= {key for key in entries if _is_missing(reader, key)}
    if kind is None:
        return None
    if kind in OWN_KINDS:
        hint = f"write `{kind}: …` in the workflow's `when`"
        reader.error(
            "unavailable",
            (*path, kind),
            f"a named trigger of kind {kind} is not available in this version",
            key=True,
            hint=hint,
        )
        return None
    config = read_config(reader, kind, entries[kind], (*path, kind))
    refuse(reader, reader.catalogue.kinds[kind], entries, path)
    read = COMMON.read(reader, entries, path, skip=skip)
    return None if config is None or read is None else TriggerSpec(name, kind, config, **read)


def spec_in_place(kind: str, config: dict[str, Any], read: Mapping[str, Any]) -> TriggerSpec:
    """The trigger that an entry of `when` declares."""
    return TriggerSpec(place_name(kind, config), kind, config, inline=True, **read)
