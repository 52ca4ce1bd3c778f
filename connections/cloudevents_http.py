"""Messages as HTTP requests. Source: CloudEvents 1.0.2, HTTP Protocol Binding."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from ..core.event import Event, encode
from .contract import OutMessage

STRUCTURED = "application/cloudevents+json; charset=utf-8"
_PLAIN = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')


def content(message: OutMessage) -> tuple[dict[str, str], bytes]:
    """Headers and body of a message."""
    headers = dict(message.headers)
    event = message.event
    if event is None:
        if message.content_type is not None and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = message.content_type
        return headers, message.body
    if message.mode == "structured":
        return {**headers, "Content-Type": STRUCTURED}, encode(event)
    return {**headers, **_attributes(event)}, _body(event.data)


def _attributes(event: Event) -> dict[str, str]:
    found: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    for name in ("subject", "time", "dataschema"):
        value = getattr(event, name)
        if value is not None:
            found[name] = value
    found.update(event.extensions)
    headers = {f"ce-{name}": header_value(value) for name, value in found.items()}
    kind = event.datacontenttype
    if kind is None and event.data is not UNSET:
        kind = "application/octet-stream" if isinstance(event.data, bytes) else "application/json"
    if kind is not None:
        headers["Content-Type"] = kind
    return headers


def header_value(value: str | int | bool) -> str:
    """An attribute as the binding writes it: percent-encoded where it is no printable ASCII (section 3.1.3.2)."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quote(text, safe=_PLAIN)


def _body(data: Any) -> bytes:
    if data is UNSET:
        return b""
    return data if isinstance(data, bytes) else msgspec.json.encode(data)
