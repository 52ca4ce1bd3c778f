"""Events as HTTP messages, out and in. Source: CloudEvents 1.0.2, HTTP Protocol Binding."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec
from msgspec import UNSET

from ..core.charsets import charset_of, decode_text
from ..core.depth import is_deep, may_be_deep
from ..core.durations import format_size
from ..core.errors import PermanentError
from ..core.event import Event, InvalidEvent, decode, decode_batch, encode, from_mapping
from ..core.limits import EVENT_BATCH_MAX, EVENT_BYTES_MAX, EVENT_DEPTH_MAX
from ..core.trace import continued, trace_of
from .contract import OutMessage

STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCHED = "application/cloudevents-batch+json; charset=utf-8"
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


class NoCloudEvent(PermanentError):
    """A request that carries no CloudEvent in any of the three content modes, or one in a format not spoken here."""

    code = "unsupported_media_type"


def received(
    headers: Mapping[str, str],
    body: bytes,
    *,
    bytes_max: int = EVENT_BYTES_MAX,
    events_max: int = EVENT_BATCH_MAX,
    depth_max: int = EVENT_DEPTH_MAX,
) -> tuple[list[Event], bool]:
    """The events of a request, checked and decoded, and whether they came as a batch. Header names are lower case.

    Those that name no trace continue that of the headers `traceparent` and `tracestate`.

    Raises InvalidEvent (naming attribute and place), NoCloudEvent.
    """
    content_type = headers.get("content-type", "")
    media = media_type(content_type)
    if media == "application/cloudevents+json":
        _utf8(content_type)
        events, batched = [decode(body, bytes_max=bytes_max)], False
    elif media == "application/cloudevents-batch+json":
        _utf8(content_type)
        events, batched = decode_batch(body, bytes_max=bytes_max, events_max=events_max), True
    elif media.startswith("application/cloudevents"):
        raise NoCloudEvent(
            f"events in the format {media} are not taken; the JSON format is: {STRUCTURED.partition(';')[0]}"
        )
    elif "ce-specversion" in headers:
        events, batched = [_binary(headers, body, content_type, bytes_max)], False
    else:
        found = f"Content-Type {media} and no header ce-specversion" if media else "neither a type nor ce- headers"
        raise NoCloudEvent(
            f"the request carries no CloudEvent: found {found}",
            hint="send it with Content-Type: application/cloudevents+json, or its attributes as ce- headers;"
            " other messages go to an `http` trigger under /hooks",
        )
    deep = may_be_deep(body, depth_max)
    for i, event in enumerate(events):
        try:
            _settle_data(event, depth_max, deep)
        except InvalidEvent as e:
            raise InvalidEvent(f"event {i} of the batch: {e}", code=e.code) if batched else e from None
    trace = trace_of(headers)
    if trace:
        for event in events:
            event.extensions = continued(trace, event.extensions)
    return events, batched


def media_type(content_type: str) -> str:
    """`text/plain` of `Text/Plain; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def _utf8(content_type: str) -> None:
    found = charset_of(content_type)
    if found not in ("utf-8", "utf8", "us-ascii"):
        raise NoCloudEvent(f"events in the JSON format are UTF-8; found charset={found}")


def _binary(headers: Mapping[str, str], body: bytes, content_type: str, bytes_max: int) -> Event:
    if len(body) > bytes_max:
        raise InvalidEvent(
            f"the event's data has {len(body)} bytes; at most {format_size(bytes_max)} are taken", code="too_large"
        )
    values: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            values[name[3:]] = _attribute(name, value)
    for name in ("data", "data_base64", "datacontenttype"):
        if name in values:
            raise InvalidEvent(f"the header ce-{name} means nothing: data is the body, its type is Content-Type")
    if content_type:
        values["datacontenttype"] = content_type
    return from_mapping(values, data=_data(body, content_type))


_ESCAPED = re.compile(r"\\(.)")
_WHOLE = re.compile(r"\d{1,9}", re.ASCII).fullmatch


def _attribute(name: str, value: str) -> str | int:
    """A header's value: unquoted, then percent-decoded (section 3.1.3.2); the whole numbers that we know, as such."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    if "%" in value:
        try:
            value = unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            raise InvalidEvent(f"the header {name} is not UTF-8 once its percent-encoding is undone") from None
    return int(value) if name in ("ce-hops", "ce-replay") and _WHOLE(value) else value


def _data(body: bytes, content_type: str) -> Any:
    """The body by its content type: JSON, text or bytes; without one it is JSON."""
    if not body:
        return UNSET
    media = media_type(content_type)
    if not media or media.endswith(("/json", "+json")):
        return msgspec.Raw(body)
    if media.startswith("text/") or media.endswith(("/xml", "+xml")):
        try:
            return decode_text(body, charset_of(content_type))
        except ValueError as e:
            raise InvalidEvent(f"the data is not text in {charset_of(content_type)}: {e}") from None
    return body


def _settle_data(event: Event, depth_max: int, may_be_deep: bool) -> None:
    """Decode the data now, so that nothing behind meets what cannot be read; look at its depth, and at our own
    extensions.
    """
    try:
        data = event.data
    except RecursionError:
        raise InvalidEvent(f"the data is nested deeper than {depth_max} levels", code="too_large") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise InvalidEvent(f"the data is not valid JSON: {e}") from None
    if may_be_deep and is_deep(data, depth_max):
        raise InvalidEvent(f"the data is nested deeper than {depth_max} levels", code="too_large")
    if event.extensions:
        for name in ("hops", "replay"):
            value = event.extensions.get(name, 0)
            if type(value) is not int or value < 0:
                raise InvalidEvent(f"`{name}` must be a whole number; found {value!r}"[:120])
