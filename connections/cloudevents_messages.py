"""Events as messages of a broker: headers and body by the CloudEvents bindings.

Source: CloudEvents 1.0.2, Kafka Protocol Binding (`ce_*`, plain UTF-8) and NATS Protocol Binding (`ce-*`,
percent-encoded).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from ..core.event import Event, encode
from .contract import OutMessage

STRUCTURED = "application/cloudevents+json; charset=utf-8"
CONTENT_TYPE = "content-type"


def bound(message: OutMessage, prefix: str, written: Callable[[str], str] = str) -> tuple[dict[str, str], bytes | None]:
    """Headers and body of a message; `written` encodes an attribute's value. No body: an event without data."""
    headers = dict(message.headers)
    event = message.event
    if event is None:
        if message.content_type is not None and not any(name.lower() == CONTENT_TYPE for name in headers):
            headers[CONTENT_TYPE] = message.content_type
        return headers, message.body
    if message.mode == "structured":
        return {**headers, CONTENT_TYPE: STRUCTURED}, encode(event)
    for name, value in _attributes(event).items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        headers[f"{prefix}{name}"] = written(text)
    kind, body = _data(event)
    if kind is not None:
        headers[CONTENT_TYPE] = kind
    return headers, body


def _attributes(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    for name in ("subject", "time", "dataschema"):
        value = getattr(event, name)
        if value is not None:
            found[name] = value
    return {**found, **event.extensions}


def _data(event: Event) -> tuple[str | None, bytes | None]:
    data = event.data
    if data is UNSET:
        return event.datacontenttype, None
    if isinstance(data, bytes):
        return event.datacontenttype or "application/octet-stream", data
    return event.datacontenttype or "application/json", msgspec.json.encode(data)
