"""`publish`: a message to a broker or an HTTP endpoint, done when the other side confirms it.

Source: triggers.md section 4 (sinks), actions.md section 3 (publish).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

import msgspec
from msgspec import UNSET
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ...connections.contract import OutMessage, Sender
from ...connections.fields import Duration, Fault, Keys, Word, has_template
from ...connections.http import HttpConnection
from ...connections.kafka import timestamp_fault
from ...connections.nats import subject_fault
from ...core.durations import format_instant
from ...core.event import Event, InvalidEvent, check as check_event
from ...language.diagnostics import did_you_mean
from .contract import ActionBase, Call, StepError
from .hosts import host_template
from .payload import decode_base64

_PAYLOADS = ("json", "text", "base64", "event")
_COMMON = ("to", "connection", "mode", *_PAYLOADS)
KEYS_OF: dict[str, tuple[str, ...]] = {
    "kafka": ("topic", "key", "partition", "headers", "timestamp", "acks"),
    "nats": ("subject", "headers", "timeout"),
    "jetstream": ("subject", "stream", "headers"),
    "http": ("url", "path", "method", "headers"),
}
"""What each sink reads, beside what all do."""
_REQUIRED = {"kafka": "topic", "nats": "subject", "jetstream": "subject"}
_UNAVAILABLE = ("redis", "mqtt")


def _sink(value: Any) -> Any:
    if value in _UNAVAILABLE:
        raise ValueError(f"publishing to {value} is not carried out by this version yet")
    return value


class EventPayload(BaseModel):
    """An event to publish; further keys are extensions. `id` is the idempotency key unless it is written."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, defer_build=True)

    type: str = Field(min_length=1)
    source: str | None = None
    subject: str | None = None
    id: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Any = None


class PublishInput(Keys):
    """`with` of `publish`: which keys are read depends on `to`."""

    exactly_one: ClassVar = (_PAYLOADS,)
    at_most_one: ClassVar = (("url", "path"),)

    to: Annotated[Literal["kafka", "nats", "jetstream", "http"], BeforeValidator(_sink)]
    connection: str | None = Field(default=None, min_length=1)
    json_: Any = Field(default=None, alias="json")
    text: str | None = None
    base64: str | None = None
    event: EventPayload | None = None
    mode: Literal["binary", "structured", "send", "request"] = "binary"
    topic: str | None = Field(default=None, min_length=1)
    key: Word | None = None
    partition: int | None = Field(default=None, ge=0)
    headers: dict[str, Word] = Field(default_factory=dict)
    timestamp: str | int | float | None = None
    acks: Literal["all", 0, 1] = "all"
    subject: str | None = Field(default=None, min_length=1)
    stream: str | None = Field(default=None, min_length=1)
    timeout: Duration = Field(default=10.0, ge=0.001, le=3_600)
    url: str | None = Field(default=None, min_length=1)
    path: str | None = None
    method: Literal["POST", "PUT", "PATCH"] = "POST"


class PublishAction(ActionBase):
    """Publishes messages."""

    name: ClassVar[str] = "publish"
    Input: ClassVar[type[BaseModel] | None] = PublishInput
    timeout_s: ClassVar[float | None] = 10.0
    errors: ClassVar[tuple[str, ...]] = (
        *("connection", "timeout", "publish", "forbidden", "unauthorized", "too_large", "tls", "http", "rate_limited"),
        *("blocked_address", "invalid_input", "missing_connection", "missing_extra"),
    )
    key_goes: ClassVar[str] = "Nats-Msg-Id, the CloudEvent's `id`, header idempotency-key"
    output: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "description": "kafka {topic, partition, offset}; nats {} or, as a request, {subject, headers, json, text}; "
        "jetstream {stream, sequence, duplicate}; http {status, headers}",
    }

    def __init__(self) -> None:
        self._anonymous = HttpConnection("", None)

    def check(self, with_: Any) -> list[Fault]:
        """Keys that the sink does not read, and those that it lacks."""
        if not isinstance(with_, Mapping):
            return []
        keys = cast("Mapping[str, Any]", with_)
        to = keys.get("to")
        if not isinstance(to, str) or to not in KEYS_OF:
            return []
        known = [field.alias or name for name, field in PublishInput.model_fields.items()]
        allowed = (*_COMMON, *KEYS_OF[to])
        faults = [
            (name, f"is not read by `to: {to}`; {did_you_mean(name, KEYS_OF[to])}")
            for name in keys
            if name in known and name not in allowed
        ]
        needed = _REQUIRED.get(to)
        if needed is not None and needed not in keys:
            faults.append(("", f"`{needed}` is missing: `to: {to}` needs it"))
        if to == "http":
            faults += _http_faults(keys)
        subject, timestamp = keys.get("subject"), keys.get("timestamp")
        if isinstance(subject, str) and not has_template(subject) and (fault := subject_fault(subject)):
            faults.append(("subject", fault))
        if timestamp is not None and not has_template(timestamp) and (fault := timestamp_fault(timestamp)):
            faults.append(("timestamp", fault))
        return faults + _mode_faults(to, keys)

    def host(self, with_: Any) -> str:
        """The beginning of `url`."""
        return host_template(with_)

    async def execute(self, call: Call) -> dict[str, Any]:
        """Publish it; the sink's output once it is confirmed."""
        given: PublishInput = call.inputs
        faults = self.check(given.model_dump(by_alias=True, exclude_unset=True))
        if faults:
            raise StepError("invalid_input", f"publish: {' '.join(part for part in faults[0] if part)}")
        if given.to == "http" and given.url is not None:
            sender: Sender = self._anonymous
        elif call.services is not None:
            sender = call.services.connection(given.to, given.connection)
        else:
            raise StepError("missing_connection", f"no connection of kind `{given.to}` is declared")
        return await sender.send(message_of(given, call))

    async def close(self) -> None:
        """Close the sessions of requests without a connection."""
        await self._anonymous.close()


def _http_faults(keys: Mapping[str, Any]) -> list[Fault]:
    if "url" not in keys and "path" not in keys:
        return [("", "one of `url` or `path` is missing: `to: http` needs it")]
    if "url" in keys and "connection" in keys:
        return [("connection", "stands beside `path`; `url` is a whole address of its own")]
    url = keys.get("url")
    if isinstance(url, str) and not has_template(url) and not url.startswith(("http://", "https://")):
        return [("url", f'expected an address http://… or https://…; found "{url}"')]
    return []


def _mode_faults(to: str, keys: Mapping[str, Any]) -> list[Fault]:
    mode = keys.get("mode")
    if mode in ("send", "request") and to != "nats":
        return [("mode", f"`{mode}` is of `to: nats` alone; here binary or structured")]
    if mode in ("binary", "structured") and "event" not in keys:
        return [("mode", f"`{mode}` says how an `event` is written, and there is none")]
    return []


def message_of(given: PublishInput, call: Call) -> OutMessage:
    """What the connection is to send."""
    target: dict[str, Any] = {}
    for name in KEYS_OF[given.to]:
        value = getattr(given, name)
        if name != "headers" and name in given.model_fields_set:
            target[name] = value
    if given.mode in ("send", "request"):
        target["mode"] = given.mode
    headers = dict(given.headers)
    if given.to == "http":
        target["event_driven"] = call.event_driven
        if call.timeout_s is not None:
            target["timeout"] = call.timeout_s
    if call.traceparent and given.event is None and not any(name.lower() == "traceparent" for name in headers):
        headers["traceparent"] = call.traceparent
        if call.tracestate:
            headers["tracestate"] = call.tracestate
    body, kind = _payload(given)
    return OutMessage(
        to=given.to,
        target=target,
        body=body,
        content_type=kind,
        headers=headers,
        event=_event(given.event, call) if given.event is not None else None,
        mode="structured" if given.mode == "structured" else "binary",
        key=call.key,
    )


def _payload(given: PublishInput) -> tuple[bytes, str | None]:
    if given.has("json_"):
        return msgspec.json.encode(given.json_), "application/json"
    if given.text is not None:
        return given.text.encode(), "text/plain; charset=utf-8"
    if given.base64 is not None:
        return decode_base64(given.base64, "base64"), "application/octet-stream"
    return b"", None


def _event(given: EventPayload, call: Call) -> Event:
    """The event, complete: a repeat has the same id."""
    extensions = {name: value for name, value in (given.model_extra or {}).items() if value is not None}
    if call.traceparent and "traceparent" not in extensions:
        extensions["traceparent"] = call.traceparent
        if call.tracestate:
            extensions["tracestate"] = call.tracestate
    event = Event(
        type=given.type,
        source=given.source or f"/workflows/{call.workflow}",
        id=given.id or call.key,
        subject=given.subject,
        time=given.time or format_instant(call.clock.now()),
        datacontenttype=given.datacontenttype,
        dataschema=given.dataschema,
        data=given.data if "data" in given.model_fields_set else UNSET,
        extensions=extensions,
    )
    try:
        check_event(event)
    except InvalidEvent as e:
        raise StepError("invalid_input", f"publish: {e}") from None
    return event
