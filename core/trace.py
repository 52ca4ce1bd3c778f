"""The trace that a sender names by plain headers, and what a run keeps of it. Source: W3C Trace Context, section 3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_CHARS_MAX = 512  # of a `traceparent` of a version to come (that of version 00 has 55), and of a `tracestate`
_MEMBERS_MAX = 32
_parent = re.compile(r"([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?").fullmatch
_key = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}").fullmatch
_value = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256}").fullmatch


class Parent(NamedTuple):
    """What a `traceparent` says: hexadecimal digits; of the flags what version 00 knows."""

    trace: str
    span: str
    flags: str

    def __str__(self) -> str:
        """The same in version 00."""
        return f"00-{self.trace}-{self.span}-{self.flags}"


def parent_of(text: str) -> Parent | None:
    """A `traceparent` read; None if it says nothing. Of a version to come, what version 00 knows of it counts."""
    found = _parent(text) if text and len(text) <= _CHARS_MAX else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5] is not None):
        return None
    return Parent(found[2], found[3], found[4] if found[1] == "00" else f"{int(found[4], 16) & 1:02x}")


def trace_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The extensions that a request's headers (lower-case names) give to events that name no trace themselves.

    Headers that say nothing are ignored, `tracestate` also without a `traceparent`.
    """
    parent = parent_of(headers.get("traceparent", "").strip(" \t"))
    if parent is None:
        return {}
    state = _state(headers.get("tracestate", ""))
    return {"traceparent": str(parent), "tracestate": state} if state else {"traceparent": str(parent)}


def continued(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """An event's `own` extensions, and of `given` those that it lacks; a trace is taken as a whole or not at all."""
    taken = given if "traceparent" not in own else {k: v for k, v in given.items() if k != "tracestate"}
    return {**taken, **own}


def kept(extensions: Mapping[str, Any]) -> str:
    """What a run keeps of the trace that an event's extensions name: `traceparent`, and `tracestate` behind a space."""
    parent = str(extensions.get("traceparent", ""))
    state = _state(str(extensions.get("tracestate", ""))) if parent and "tracestate" in extensions else ""
    return f"{parent} {state}" if state else parent


def split(kept_: str) -> tuple[str, str]:
    """The `traceparent` and the `tracestate` that were kept; either may be empty."""
    parent, _, state = kept_.partition(" ")
    return parent, state


def _state(text: str) -> str:
    """A `tracestate` to be passed on: its members as they came; empty if it cannot be read, for then none counts."""
    members = [member for each in text.split(",") if (member := each.strip(" \t"))] if len(text) <= _CHARS_MAX else []
    if len(members) > _MEMBERS_MAX or not all(_is_member(member) for member in members):
        return ""
    return ",".join(members)


def _is_member(text: str) -> bool:
    key, equals, value = text.partition("=")
    return bool(equals and _key(key) and _value(value))
