"""`when` and `cancel_on`: which events start a run, and which end one. Source: the language page, section 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..core.errors import ConfigError
from .check_waits import not_decided
from .definition import CancelOn, When
from .diagnostics import Path, did_you_mean
from .fields import CEL, AnyMapping, Choice, EventPattern, ListOf, Text
from .loader_triggers import COMMON, OWN_KINDS, find_kind, read_config, refuse, spec_in_place
from .reader import INVALID, Reader
from .table import Key, Table
from .values import is_mapping
from .versions import split_reference

ENDS = ("completed", "failed", "cancelled", "timed_out", "compensated", "compensation_failed")
EVENT_TYPE = Text(re.compile(r"[^*]*\*?"), "an event type, with * at its end at most")
SCHEDULES = ("cron", "every", "at")

_GUARDED = {
    "match": Key(EventPattern(), "only events that fit this pattern"),
    "if": Key(CEL, "and only if this holds", "if_"),
}
ENTRY = Table(
    "an entry of `when`",
    {
        **_GUARDED,
        "unless": Key(CEL, "not if this holds"),
        "with": Key(
            AnyMapping("${{ }} allowed"),
            "the run's inputs; without it each comes from the field of `event.data`",
            "with_",
        ),
    },
    ("key", "kind", "join"),
)
EVENT = Table(
    "`event`",
    {
        "type": Key(EVENT_TYPE, "CloudEvents type; a trailing * is a prefix", "event", required=True),
        "source": Key(Text(), "its `source`"),
        "subject": Key(Text(), "its `subject`"),
    },
)
WORKFLOW = Table(
    "`workflow`",
    {
        "workflow": Key(Text(), "name, glob, or name@range", required=True),
        "state": Key(ListOf(Choice(ENDS), "a list of ends", 1), "how it ended", "states", default=["completed"]),
    },
)
CANCEL = Table(
    "an entry of `cancel_on`",
    {
        "event": Key(EVENT_TYPE, "CloudEvents type; a trailing * is a prefix"),
        "trigger": Key(Text(), "a trigger of reactor.yaml"),
        **_GUARDED,
        "by": Key(CEL, "only runs whose own event agrees on this"),
    },
)
_BESIDE = {"event": ("source", "subject"), "workflow": ("state",)}


def read_when(reader: Reader, value: Any, path: Path) -> Any:
    """All entries that are right."""
    if is_mapping(value):
        hint = "put `- ` before the entry"
        return reader.wrong_type(path, "a list of entries", value, hint)
    read = ListOf(_Entry(), "a list of entries").read(reader, value, path)
    return INVALID if read is INVALID else tuple(read)


class _Entry:
    """One entry of `when`, as a type of key."""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The entry."""
        entries = reader.mapping(path, value, "an entry", "write {event: com.shop.order.paid}")
        if entries is None:
            return INVALID
        entries = COMMON.current(reader, ENTRY.current(reader, entries, path), path)
        known = {*ENTRY.keys, *COMMON.keys, "state", "source"}
        kind = find_kind(reader, entries, path, known, ENTRY, ("trigger", *OWN_KINDS))
        if kind is None:
            return INVALID
        if kind == "trigger":
            read = _named(reader, entries, path)
        elif kind in OWN_KINDS:
            read = _own_kind(reader, kind, entries, path)
        else:
            read = _in_place(reader, kind, entries, path)
        return INVALID if read is None else When(**read)

    def schema(self) -> dict[str, Any]:
        """Made by when_schema."""
        return {"$ref": "#/$defs/when"}


def _beside(
    reader: Reader, entries: Mapping[str, Any], path: Path, kind: str, allowed: tuple[str, ...]
) -> dict[str, Any]:
    """match, if, unless, with; what belongs to another kind of entry is told."""
    told = {kind, *allowed}
    for key in entries:
        if key in told or key in ENTRY.keys:
            continue
        if key in COMMON.keys and kind == "trigger":
            hint = "move it to the trigger in reactor.yaml"
            reader.error(
                "unknown_key",
                (*path, key),
                f"`{key}` belongs to the trigger's declaration",
                key=True,
                found=key,
                hint=hint,
            )
            told.add(key)
        elif key in reader.catalogue.kinds or key in (*OWN_KINDS, "trigger") or _told_before(reader, key):
            told.add(key)
    return ENTRY.read(reader, entries, path, skip=told) or {}


def _told_before(reader: Reader, key: str) -> bool:
    return (
        reader.catalogue.unavailable("kind", key) is not None or reader.catalogue.unavailable("join", key) is not None
    )


def _named(reader: Reader, entries: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    read = _beside(reader, entries, path, "trigger", ())
    name = Text().read(reader, entries["trigger"], (*path, "trigger"))
    if name is INVALID:
        return None
    check_trigger_name(reader, name, (*path, "trigger"))
    spec = (reader.catalogue.triggers or {}).get(name)
    overlap = _overlap(spec.kind, spec.config) if spec is not None else {}
    return {**read, **overlap, "trigger": name}


def check_trigger_name(reader: Reader, name: str, path: Path) -> None:
    """Tell it if `reactor.yaml` has no trigger of this name."""
    known = reader.catalogue.triggers
    if known is not None and name not in known:
        hint = did_you_mean(name, known) or f"declare it under `triggers` in reactor.yaml: {{{name}: {{kafka: {{…}}}}}}"
        reader.error("unknown_trigger", path, f"there is no trigger `{name}`", found=name, hint=hint)


def _own_kind(reader: Reader, kind: str, entries: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    """`event` and `workflow`: a text, with their other keys beside it, or a mapping."""
    table, short = (EVENT, "type") if kind == "event" else (WORKFLOW, "workflow")
    beside = _BESIDE[kind]
    read = _beside(reader, entries, path, kind, beside)
    value = entries[kind]
    here = (*path, kind)
    if is_mapping(value):
        own = table.read(reader, value, here)
        for key in beside:
            if key in entries:
                hint = f"write it inside `{kind}`"
                reader.error(
                    "unknown_key", (*path, key), f"`{key}` stands inside `{kind}` here", key=True, found=key, hint=hint
                )
    else:
        own = {}
        first = table.keys[short].field.read(reader, value, here)
        if first is not INVALID:
            own[table.attributes[short]] = first
        for key in beside:
            if key in entries:
                got = table.keys[key].field.read(reader, entries[key], (*path, key))
                if got is not INVALID:
                    own[table.attributes[key]] = got
    if own is None or table.attributes[short] not in own:
        return None
    if is_mapping(match := read.get("match")):
        decides = {"type": kind, **{key: key for key in beside if key in own}}
        whole = decides if kind == "event" else {"type": kind, "source": kind, "subject": kind}
        not_decided(reader, match, whole, (*path, "match"))
    if kind == "workflow" and not _is_reference(reader, own["workflow"], here):
        return None
    return {**read, **own}


def _is_reference(reader: Reader, text: str, path: Path) -> bool:
    try:
        split_reference(text)
    except ConfigError as error:
        reader.error("wrong_form", path, str(error), found=text, hint=error.hint)
        return False
    return True


def _in_place(reader: Reader, kind: str, entries: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    words = reader.catalogue.kinds[kind]
    config = read_config(reader, kind, entries[kind], (*path, kind))
    refuse(reader, words, entries, path)
    guarded = {key: item for key, item in entries.items() if key in ENTRY.keys}
    common = {key: item for key, item in entries.items() if key in COMMON.keys and key not in words.refuses}
    read = ENTRY.read(reader, guarded, path) or {}
    shared = COMMON.read(reader, common, path) or {}
    for key in entries:
        if key not in ENTRY.keys and key not in COMMON.keys and key != kind and not _is_kind(reader, key):
            reader.unknown_key((*path, key), f"{ENTRY.whole} of kind {kind}", [*ENTRY.keys, *COMMON.keys], ENTRY.words)
    if config is None:
        return None
    spec = spec_in_place(kind, config, shared)
    return {**read, **_overlap(kind, config), "trigger": spec.name, "spec": spec}


def _is_kind(reader: Reader, key: str) -> bool:
    return key in reader.catalogue.kinds or key in (*OWN_KINDS, "trigger") or _told_before(reader, key)


def _overlap(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a schedule says of a fire that finds the run before it still open; the kind has checked the word."""
    overlap = config.get("overlap")
    return {"overlap": overlap} if kind in SCHEDULES and overlap in ("skip", "queue", "cancel_running") else {}


def read_cancel_on(reader: Reader, value: Any, path: Path) -> Any:
    """All entries of `cancel_on` that are right."""
    if is_mapping(value):
        return reader.wrong_type(path, "a list of entries", value, "put `- ` before the entry")
    read = ListOf(_CancelEntry(), "a list of entries").read(reader, value, path)
    return INVALID if read is INVALID else tuple(read)


class _CancelEntry:
    """One entry of `cancel_on`, as a type of key."""

    def read(self, reader: Reader, value: Any, path: Path) -> Any:
        """The entry."""
        read = CANCEL.read(reader, value, path, hint="write {event: order.cancelled, by: event.data.order_id}")
        if read is None:
            return INVALID
        if ("event" in value) == ("trigger" in value):
            both = "found both" if "event" in value else "found neither"
            hint = "write {event: order.cancelled, by: event.data.order_id}"
            message = f"an entry of `cancel_on` needs one of `event` and `trigger`; {both}"
            reader.error("missing_key", path, message, hint=hint)
            return INVALID
        if "trigger" in read:
            check_trigger_name(reader, read["trigger"], (*path, "trigger"))
        elif is_mapping(match := read.get("match")):
            not_decided(reader, match, {"type": "event"}, (*path, "match"))
        return CancelOn(**read) if "event" in read or "trigger" in read else INVALID

    def schema(self) -> dict[str, Any]:
        """An entry of `cancel_on`."""
        return {**CANCEL.schema(), "oneOf": [{"required": ["event"]}, {"required": ["trigger"]}]}


CANCEL_ENTRY = _CancelEntry()


def when_schema(kinds: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema of one entry of `when`; `kinds`: the schemas of the kinds that can be declared in place."""
    guarded = ENTRY.schema()["properties"]
    common = COMMON.schema()["properties"]
    event, workflow = EVENT.schema(), WORKFLOW.schema()
    own: list[dict[str, Any]] = [
        _entry({"trigger": {**Text().schema(), "description": "a trigger of reactor.yaml"}}, guarded),
        _entry(
            {"event": {"anyOf": [event["properties"]["type"], event]}}, {**guarded, **_some(event, "source", "subject")}
        ),
        _entry({"workflow": {"anyOf": [Text().schema(), workflow]}}, {**guarded, **_some(workflow, "state")}),
    ]
    return {"anyOf": [*own, *(_entry({kind: schema}, {**guarded, **common}) for kind, schema in kinds.items())]}


def _some(schema: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: schema["properties"][name] for name in names}


def _entry(kind: dict[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {**kind, **beside}, "required": [*kind], "additionalProperties": False}
