"""The event, a delivery of events, and how it is settled: what every trigger brings and the router takes.

Source: CloudEvents 1.0.2, specification, and its JSON event format.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, Protocol, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from .durations import is_instant
from .errors import ErrorInfo, PermanentError
from .limits import EVENT_BATCH_MAX, EVENT_BYTES_MAX, EXTENSION_NAME_CHARS_MAX

Scalar = str | int | bool
"""What a CloudEvents extension may hold (floats and structures travel as text)."""

_EXTENSION = re.compile(r"[a-z0-9]+").fullmatch
_ATTRIBUTES = ("subject", "time", "datacontenttype", "dataschema")
_RESERVED = frozenset(("specversion", "id", "source", "type", "data", "data_base64", "meta", *_ATTRIBUTES))
_encode = msgspec.json.Encoder().encode


class InvalidEvent(PermanentError):
    """Something that claims to be an event is none; the message says what is wrong with which attribute."""

    code = "invalid_data"


class Event:
    """Something that happened: a CloudEvent 1.0, its data as plain JSON values (or `bytes`), and what is known of its
    way.

    `id` may be left empty by a source that has none: the intake then gives a fresh one. `time` is RFC 3339 text.
    `data` is UNSET where the event has none. `meta` (headers, coordinates) is open to patterns and expressions and
    never leaves on a bus. Events are not changed after they were handed over.
    """

    __slots__ = (
        "_data", "_view", "datacontenttype", "dataschema", "extensions", "id", "meta", "source", "subject", "time",
        "type",
    )  # fmt: skip

    def __init__(
        self,
        *,
        type: str,
        source: str,
        id: str = "",
        subject: str | None = None,
        time: str | None = None,
        datacontenttype: str | None = None,
        dataschema: str | None = None,
        data: Any = UNSET,
        extensions: Mapping[str, Scalar] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self.type = type
        self.source = source
        self.id = id
        self.subject = subject
        self.time = time
        self.datacontenttype = datacontenttype
        self.dataschema = dataschema
        self._data: Any = data
        self.extensions: Mapping[str, Scalar] = extensions or {}
        self.meta: Mapping[str, Any] = meta or {}
        self._view: dict[str, Any] | None = None

    @property
    def data(self) -> Any:
        """The payload: a JSON value, `bytes`, or UNSET; decoded at the first look."""
        data = self._data
        if type(data) is Raw:
            data = self._data = msgspec.json.decode(data)
        return data

    def view(self) -> dict[str, Any]:
        """The mapping that patterns and expressions see: attributes, extensions, `data`, `meta`; absent ones are not
        in it.
        """
        view = self._view
        if view is None:
            view = self._view = {"specversion": "1.0", "id": self.id, "source": self.source, "type": self.type}
            for name in _ATTRIBUTES:
                value = getattr(self, name)
                if value is not None:
                    view[name] = value
            if self.extensions:
                view.update(self.extensions)
            data = self.data
            if type(data) is bytes:
                view["data_base64"] = base64.b64encode(data).decode()
            elif data is not UNSET:
                view["data"] = data
            view["meta"] = self.meta
        return view

    def replace(self, **changes: Any) -> Event:
        """A copy with other attributes."""
        kept: dict[str, Any] = {
            n: getattr(self, n) for n in ("type", "source", "id", *_ATTRIBUTES, "extensions", "meta")
        }
        return Event(**{**kept, "data": self._data, **changes})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.view() == other.view()

    __hash__ = None  # pyright: ignore[reportAssignmentType] - events are compared by value, never keys

    def __repr__(self) -> str:
        return f"Event(type={self.type!r}, source={self.source!r}, id={self.id!r})"


class _Wire(Struct, forbid_unknown_fields=True):
    """The common shape on the wire, decoded in one pass; anything else takes the general way."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Raw | UnsetType = UNSET
    traceparent: str | None = None
    tracestate: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    partitionkey: str | None = None
    sequence: str | int | None = None
    runid: str | None = None
    hops: int | None = None


_KNOWN = ("traceparent", "tracestate", "correlationid", "causationid", "partitionkey", "sequence", "runid", "hops")
_known = attrgetter(*_KNOWN)
_NONE_KNOWN = (None,) * len(_KNOWN)
_wire = msgspec.json.Decoder(_Wire).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_batch = msgspec.json.Decoder(list[Raw]).decode
_any = msgspec.json.Decoder().decode


def decode(body: bytes | bytearray | memoryview, *, bytes_max: int = EVENT_BYTES_MAX) -> Event:
    """One event in the JSON event format, checked.

    The data stays undecoded until somebody looks. Raises InvalidEvent.
    """
    if len(body) > bytes_max:
        raise too_large(len(body), bytes_max)
    try:
        w = _wire(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_general(bytes(body))
    known = _known(w)
    extensions = {n: v for n, v in zip(_KNOWN, known, strict=True) if v is not None} if known != _NONE_KNOWN else None
    if w.specversion != "1.0":
        raise _bad("specversion", '"1.0"', w.specversion)
    event = Event(
        type=w.type, source=w.source, id=w.id, subject=w.subject, time=w.time, datacontenttype=w.datacontenttype,
        dataschema=w.dataschema, data=w.data if w.data is UNSET else Raw(bytes(w.data)), extensions=extensions,
    )  # fmt: skip
    check(event)
    return event


def _decode_general(body: bytes) -> Event:
    """The same for every shape the format allows, with the error said in words."""
    try:
        members = _members(body)
        values = {name: _any(raw) for name, raw in members.items() if name != "data"}
    except UnicodeDecodeError as e:
        raise InvalidEvent(f"an event in the JSON format must be UTF-8; byte {e.start} is not") from None
    except msgspec.ValidationError:
        raise InvalidEvent("an event in the JSON format is one JSON object; found something else") from None
    except RecursionError:
        raise InvalidEvent("the event is nested too deeply to be read", code="too_large") from None
    except msgspec.DecodeError as e:
        raise InvalidEvent(f"the event is not valid JSON: {e}") from None
    return from_mapping(values, data=Raw(bytes(members["data"])) if "data" in members else UNSET)


def decode_stored(body: bytes) -> Event:
    """An event as our own store keeps it (`encode(event, meta=True)`); not checked again."""
    members = _members(body)
    values = {name: _any(raw) for name, raw in members.items() if name != "data"}
    meta = values.pop("meta", None)
    event = from_mapping(values, data=Raw(bytes(members["data"])) if "data" in members else UNSET)
    event.meta = meta or {}
    return event


def from_mapping(values: Mapping[str, Any], *, data: Any = UNSET) -> Event:
    """An event from the members of the JSON format, checked; `data` in place of `values["data"]` if given.

    Raises InvalidEvent.
    """
    if "meta" in values:
        raise InvalidEvent("`meta` is a word of Reactor's own and no extension: rename the member")
    for name in ("specversion", "id", "source", "type"):
        if name not in values:
            raise InvalidEvent(f"the event has no `{name}`: CloudEvents require specversion, id, source and type")
    if values["specversion"] != "1.0":
        raise _bad("specversion", '"1.0"', values["specversion"])
    for name in ("id", "source", "type", *_ATTRIBUTES):
        if values.get(name) is not None and not isinstance(values[name], str):
            raise _bad(name, "text", values[name])
    if data is UNSET:
        data = values.get("data", UNSET)
    if values.get("data_base64") is not None:
        if data is not UNSET:
            raise InvalidEvent("the event has both `data` and `data_base64`: only one may be present")
        try:
            data = base64.b64decode(values["data_base64"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise _bad("data_base64", "base64 text", values["data_base64"]) from None
    event = Event(
        type=values["type"],
        source=values["source"],
        id=values["id"],
        **{name: values.get(name) for name in _ATTRIBUTES},
        data=data,
        extensions={n: v for n, v in values.items() if n not in _RESERVED and v is not None},
    )
    check(event)
    return event


def decode_batch(body: bytes, *, bytes_max: int = EVENT_BYTES_MAX, events_max: int = EVENT_BATCH_MAX) -> list[Event]:
    """The events of one batch (JSON batch format), each checked. Raises InvalidEvent, naming the place in the batch."""
    try:
        raws = _batch(body)
    except RecursionError:
        raise InvalidEvent("the batch is nested too deeply to be read", code="too_large") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise InvalidEvent(f"a batch is one JSON array of events: {e}") from None
    if len(raws) > events_max:
        raise InvalidEvent(
            f"the batch has {len(raws)} events; at most {events_max} are taken at once", code="too_large"
        )
    events: list[Event] = []
    for i, raw in enumerate(raws):
        try:
            events.append(decode(memoryview(raw), bytes_max=bytes_max))
        except InvalidEvent as e:
            raise InvalidEvent(f"event {i} of the batch: {e}", code=e.code) from None
    return events


def check(event: Event) -> None:
    """Raise InvalidEvent unless every attribute is as CloudEvents 1.0 wants it."""
    if not event.id or not event.type:
        raise _bad("type" if event.id else "id", "non-empty text", event.id and event.type)
    if not event.source:
        raise _bad("source", "a non-empty URI reference", event.source)
    if "\0" in event.id + event.source + event.type:
        raise InvalidEvent("`id`, `source` and `type` hold no null characters: a store of text cannot keep them")
    if event.subject == "":
        raise _bad("subject", "non-empty text, or no subject", "")
    if event.time is not None and is_instant(event.time) is None:
        raise _bad("time", "an RFC 3339 instant such as 2026-03-01T10:00:00Z", event.time)
    if event.extensions:
        for name, value in event.extensions.items():
            if _EXTENSION(name) is None or len(name) > EXTENSION_NAME_CHARS_MAX:
                raise InvalidEvent(f"the extension `{name}` is not named by lower-case letters and digits alone")
            if not isinstance(cast("object", value), (str, int, bool)):
                raise _bad(name, "text, a whole number, true or false", value)


def encode(event: Event, *, meta: bool = False) -> bytes:
    """The event in the JSON event format; with `meta`, for our own store, what is known of its way too."""
    out: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    for name in _ATTRIBUTES:
        value = getattr(event, name)
        if value is not None:
            out[name] = value
    if event.extensions:
        out.update(event.extensions)
    data = event._data  # pyright: ignore[reportPrivateUsage]  # undecoded data is written as it came
    if type(data) is bytes:
        out["data_base64"] = base64.b64encode(data).decode()
    elif data is not UNSET:
        out["data"] = data
    if meta and event.meta:
        out["meta"] = event.meta
    return _encode(out)


def _bad(name: str, expected: str, found: object) -> InvalidEvent:
    shown = repr(found) if not isinstance(found, str) else f'"{found}"'
    return InvalidEvent(f"`{name}` must be {expected}; found {shown[:80]}")


def too_large(size: int, bytes_max: int) -> InvalidEvent:
    """The refusal of an event of `size` bytes."""
    return InvalidEvent(f"the event has {size} bytes; at most {bytes_max} are taken", code="too_large")


@dataclass(frozen=True, slots=True)
class Undecodable:
    """What a source brought and nobody can read: a dead letter with its reason, its raw bytes and where it was."""

    raw: bytes
    reason: ErrorInfo
    source: str
    id: str = ""
    meta: Mapping[str, Any] | None = None


class Mark(Struct, frozen=True):
    """A row that becomes durable with a delivery's events: a source's position, a file or schedule in the ledger.

    `value` None removes it. With `expected` it is a compare-and-set: the unit is refused if the stored value is another
    (None: no row yet). `at` (Unix seconds) says until when the row is of use, for retention; 0 is for ever.
    """

    scope: str
    key: str
    value: bytes | None
    expected: bytes | UnsetType | None = UNSET
    at: float = 0.0


class Due(Struct, frozen=True):
    """What became of an instant (Unix seconds) at which a schedule was due: a row of the ledger."""

    due: float
    outcome: Literal["fired", "late", "skipped", "coalesced"]
    reason: str = ""


class Receipt(Struct, frozen=True):
    """What became of one event: its short key in the store, the runs it started, and the verdict.

    `accepted`: durable; `duplicate`: accepted before (`runs` are those of then); `unmatched`: nobody wanted it;
    `dead`: a dead letter, durable, `error` says why.
    """

    verdict: Literal["accepted", "duplicate", "unmatched", "dead"]
    event: str = ""
    runs: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    held_back: bool = False  # accepted, but a `skip`, `drop` or dedupe of the workflow left no run


class Outcome(Struct, frozen=True):
    """How a run ended: for `settle: completed` and `respond: result`."""

    run: str
    workflow: str
    state: str
    outputs: Any = None
    error: ErrorInfo | None = None


class Settlement(Struct, frozen=True):
    """What a source is told of a delivery, exactly once."""

    again: bool = False  # refused for now: redeliver (after `retry_after_s`); else the source may forget it
    retry_after_s: float | None = None
    receipts: tuple[Receipt, ...] = ()
    outcomes: tuple[Outcome, ...] = ()  # under `settle: completed`
    in_doubt: bool = False  # with `again`: it may have been taken, the store failed while it was written


async def no_settle(settlement: Settlement) -> None:
    """For sources that cannot be told."""


class Delivery(Struct, frozen=True):
    """What one read brought: one unit for the store. Without events it has marks or ledger rows to be made durable."""

    events: Sequence[Event | Undecodable]
    settle: Callable[[Settlement], Awaitable[None]] = no_settle
    partition: str = ""
    marks: tuple[Mark, ...] = ()
    positioned: bool = False  # the marks rule out a repeat (1.1 needs no dedupe record): ids are the coordinates
    ledger: tuple[Due, ...] = ()
    checked: bool = False  # all events went through `check`: they are not looked at again


class Publish(Protocol):
    """The way from triggers to the router."""

    async def __call__(self, trigger: str, delivery: Delivery) -> None:
        """Queue a delivery of this trigger; returns when it is queued, not when it is durable.

        Waits while the trigger's share of the inbox is full. The delivery's `settle` is called once it is durable
        (or, under `settle: completed`, when its runs have ended), or refused for now.
        """
