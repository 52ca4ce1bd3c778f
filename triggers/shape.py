"""What Reactor does with each message: bytes and headers → an Event with its overrides, or the reason why it is none.

One Shaper per trigger, used by every adapter: `message` for transports that bring bytes, `event` for sources that make
their own data (files, schedules, rows). Never raises for what a message holds: that is a dead letter (semantics 1.7).
Source: triggers.md section 1; CloudEvents 1.0.2 bindings, binary and structured content modes.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import UNSET

from ..core.charsets import charset_of, decode_text
from ..core.clock import SYSTEM, Clock
from ..core.depth import too_deep
from ..core.durations import EARLIEST_S, LATEST_S, format_instant, format_size
from ..core.errors import ErrorInfo, PermanentError, ReactorError
from ..core.event import Event, InvalidEvent, Undecodable, check, decode as decode_cloudevent, from_mapping
from ..core.limits import EVENT_BYTES_MAX, EVENT_DEPTH_MAX
from ..core.trace import continued
from ..language.cel import Activation, compile_expression
from ..language.definition import TriggerSpec
from ..language.diagnostics import path_text
from ..language.json_schema import compile_schema
from ..language.scope import Name, Scope
from ..language.templates import compile_template

DROPPED_HEADERS = frozenset(("authorization", "cookie", "proxy-authorization"))
"""Never stored; an adapter adds the header that held the token or signature it checked."""

OVERRIDE_SCOPE = Scope(names={"event": Name(type="object")})
"""What `id` (CEL) and `subject` (a template) may read: the event as it would be without them."""

_json = msgspec.json.Decoder().decode
_TYPES = {"json": None, "text": "text/plain", "binary": "application/octet-stream"}


class Shaper:
    """Shapes the messages of one trigger. Raises ConfigError (at once) for a faulty `id`, `subject` or `schema`."""

    def __init__(self, spec: TriggerSpec, *, drop: Collection[str] = (), clock: Clock = SYSTEM) -> None:
        self._trigger = spec.name
        self._format = spec.format
        self._bytes_max = spec.max_bytes
        self._dropped = DROPPED_HEADERS.union(name.lower() for name in drop)
        self._clock = clock
        self._id = compile_expression(spec.id, OVERRIDE_SCOPE) if spec.id else None
        self._type = spec.type
        self._subject = compile_template(spec.subject, OVERRIDE_SCOPE) if spec.subject else None
        self._checker = compile_schema(spec.schema) if spec.schema is not None else None
        self._overrides = bool(spec.id or spec.type or spec.subject)

    def message(
        self,
        payload: bytes | None,
        *,
        source: str,
        type: str,
        id: str = "",
        subject: str | None = None,
        time: float | str | None = None,
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
        prefix: str = "ce-",
        percent: bool = True,
        extensions: Mapping[str, str | int | bool] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Event | Undecodable:
        """One message of a transport.

        `source`, `type`, `id`, `subject`, `time` (Unix seconds or RFC 3339; arrival by default), `extensions` are those
        of a wrapped event; a native CloudEvent (binary: headers that begin with `prefix`, percent-encoded if `percent`;
        structured: by content type) keeps its own, and takes over the extensions that it lacks. A payload of None
        is a null (a tombstone). `meta` gets `trigger` and the `headers`, lower case, credentials left out.
        """
        heads = {name.lower(): value for name, value in (headers or {}).items()}
        about: dict[str, Any] = {"trigger": self._trigger, **(meta or {})}
        if headers is not None:
            about["headers"] = {name: value for name, value in heads.items() if name not in self._dropped}
        content_type = content_type or heads.get("content-type", "")
        try:
            self._check_size(payload)
            event = self._native(payload, heads, prefix, percent, content_type)
            if event is None:
                data, data_type = self._data(payload, content_type)
                event = Event(
                    type=type,
                    source=source,
                    id=id,
                    subject=subject or None,
                    time=time if isinstance(time, str) else self._instant(time),
                    datacontenttype=data_type,
                    data=data,
                )
            if extensions:
                event.extensions = continued(extensions, event.extensions)
            event.meta = about
            return self._finished(event)
        except ReactorError as error:
            return self._undecodable(error, payload or b"", source, id, about)

    def _instant(self, time: float | None) -> str:
        """In RFC 3339; that of arrival without one, or with one past the year 9999 (a record's, in microseconds)."""
        if time is None or not EARLIEST_S <= time <= LATEST_S:
            time = self._clock.now()
        return format_instant(time)

    def _check_size(self, payload: bytes | None) -> None:
        if payload is not None and len(payload) > self._bytes_max:
            limit = format_size(self._bytes_max)
            raise PermanentError(
                f"the message has {len(payload)} bytes; the trigger takes at most {limit}",
                code="too_large",
                hint="raise the trigger's `max_bytes`",
            )

    def event(self, event: Event, *, raw: bytes = b"") -> Event | Undecodable:
        """An event that the source made itself: `meta.trigger`, `schema`, overrides. `raw` is kept if it fails."""
        event.meta = {"trigger": self._trigger, **event.meta}
        try:
            return self._finished(event)
        except ReactorError as error:
            return self._undecodable(error, raw or _raw(event), event.source, event.id, event.meta)

    def refused(
        self, error: ReactorError, raw: bytes, *, source: str, id: str = "", meta: Mapping[str, Any] | None = None
    ) -> Undecodable:
        """A message that the adapter itself could not read (`lost`, over `max_deliver`, content that is no JSON)."""
        return self._undecodable(error, raw, source, id, {"trigger": self._trigger, **(meta or {})})

    def _native(
        self, payload: bytes | None, heads: Mapping[str, str], prefix: str, percent: bool, content_type: str
    ) -> Event | None:
        """The CloudEvent that the transport's binding says this is; None if it is none."""
        if self._format not in ("auto", "cloudevents"):
            return None
        if f"{prefix}specversion" in heads:
            return self._binary(payload, heads, prefix, percent, content_type)
        if self._format == "cloudevents" or _media(content_type) == "application/cloudevents+json":
            return decode_cloudevent(payload or b"", bytes_max=self._bytes_max)
        return None

    def _binary(
        self, payload: bytes | None, heads: Mapping[str, str], prefix: str, percent: bool, content_type: str
    ) -> Event:
        """A native CloudEvent whose attributes are headers; without a content type its data is JSON."""
        values: dict[str, Any] = {}
        for name, value in heads.items():
            if name.startswith(prefix):
                values[name[len(prefix) :]] = unquote(value) if percent else value
        if content_type:
            values["datacontenttype"] = content_type
        data, _ = _decoded(payload or b"null", _form_of(_media(content_type)) if content_type else "json", content_type)
        return from_mapping(values, data=data if payload else UNSET)

    def _data(self, payload: bytes | None, content_type: str) -> tuple[Any, str | None]:
        """The decoded payload and its `datacontenttype`."""
        if payload is None:
            return None, None
        form = self._format
        if form == "auto":
            if not payload:
                return UNSET, None
            form = _form_of(_media(content_type))
        data, found = _decoded(payload, form, content_type)
        return data, content_type or _TYPES[found]

    def _finished(self, event: Event) -> Event:
        """Schema, then the overrides. Raises ReactorError."""
        if self._checker is not None:
            data = event.data
            faults = self._checker.faults(None if data is UNSET else data)
            if faults:
                first = faults[0]
                where = path_text(first.path) if first.path else "the data"
                more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
                raise InvalidEvent(
                    f"`data` does not satisfy the trigger's `schema`: {where}: {first.message}{more}",
                    details={"path": path_text(first.path), "expected": first.expected, "found": first.found},
                )
        if self._overrides:
            view: dict[str, Any] = {**event.view()}
            activation = Activation({"event": view})
            changes: dict[str, Any] = {}
            if self._id is not None:
                changes["id"] = _id_text(self._id.value(activation))
            if self._type:
                changes["type"] = self._type
            if self._subject is not None:
                subject = self._subject if isinstance(self._subject, str) else self._subject.render(activation)
                changes["subject"] = None if subject is None or subject == "" else str(subject)
            event = event.replace(**changes)
            if event.id:
                check(event)
        return event

    def _undecodable(
        self, error: ReactorError, raw: bytes, source: str, id: str, meta: Mapping[str, Any]
    ) -> Undecodable:
        reason = error.info()
        if len(raw) > EVENT_BYTES_MAX:
            details = {**reason.details, "bytes": len(raw), "kept": EVENT_BYTES_MAX}
            reason = ErrorInfo(reason.code, reason.message, reason.class_, hint=reason.hint, details=details)
            raw = raw[:EVENT_BYTES_MAX]
        return Undecodable(bytes(raw), reason, source, id, meta)


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _form_of(media: str) -> str:
    """What a media type says of the bytes: json, text, binary; plain (text if it is UTF-8, else binary); guess."""
    if not media:
        return "guess"
    if media.endswith(("/json", "+json")):
        return "json"
    if media.startswith("text/"):
        return "text"
    if media == "application/octet-stream" or media.startswith(("image/", "audio/", "video/", "font/")):
        return "binary"
    return "plain"


def _decoded(payload: bytes, form: str, content_type: str) -> tuple[Any, str]:
    """The bytes as what they are, and what that is (json, text, binary); a guess gives way to the next.

    Raises InvalidEvent.
    """
    if form in ("json", "guess"):
        try:
            return _checked_depth(payload, _json(payload.removeprefix(BOM_UTF8))), "json"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if form == "json":
                raise InvalidEvent(f"the message is not valid JSON: {error}") from None
    if form in ("text", "plain", "guess"):
        charset = charset_of(content_type)
        try:
            return decode_text(payload, charset), "text"
        except ValueError as error:
            if form == "text":
                raise InvalidEvent(f"the message is not text in {charset}: {error}") from None
    return payload, "binary"


def _checked_depth(payload: bytes, value: Any) -> Any:
    """The value; raises InvalidEvent if it is nested deeper than EVENT_DEPTH_MAX."""
    if too_deep(payload, value):
        raise InvalidEvent(f"the data is nested deeper than {EVENT_DEPTH_MAX} levels", code="too_large")
    return value


def _id_text(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    shown = '""' if value == "" else msgspec.json.encode(value, enc_hook=str).decode()[:80]
    raise InvalidEvent(f"the trigger's `id` must give text or a whole number; it gave {shown}")


def _raw(event: Event) -> bytes:
    data = event.data
    if data is UNSET:
        return b""
    return data if isinstance(data, bytes) else msgspec.json.encode(data)
