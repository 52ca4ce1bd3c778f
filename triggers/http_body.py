"""A request's body as events: CloudEvents in any mode, forms as mappings, all else by content type or `format`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ..connections.cloudevents_http import media_type, received
from ..core.clock import Clock
from ..core.durations import format_instant
from ..core.errors import ErrorInfo
from ..core.event import Event, InvalidEvent, Undecodable
from ..core.http import HttpRequest, Refused
from ..core.trace import trace_of
from ..language.definition import TriggerSpec
from .shape import DROPPED_HEADERS, Shaper

TYPE = "reactor.http.request"
FIELDS_MAX = 1_000
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"


class Bodies:
    """Makes events of one trigger's requests. Raises ConfigError at once for a faulty `id`, `subject`, `schema`."""

    def __init__(self, spec: TriggerSpec, clock: Clock, drop: tuple[str, ...]) -> None:
        self._format = spec.format
        self._bytes_max = spec.max_bytes
        self._clock = clock
        self._dropped = DROPPED_HEADERS.union(drop)
        self._shaper = Shaper(spec, drop=drop, clock=clock)

    def events(self, request: HttpRequest, id: str) -> list[Event]:
        """The events of a request; `id` is what the sender calls the delivery. Raises Refused, InvalidEvent."""
        media = media_type(request.headers.get("content-type", ""))
        cloud = "ce-specversion" in request.headers or media.startswith("application/cloudevents")
        if self._format == "cloudevents" or (self._format == "auto" and cloud):
            found, _ = received(request.headers, request.body, bytes_max=self._bytes_max)
            for event in found:
                event.meta = self._meta(request)
            return [self._taken(self._shaper.event(event)) for event in found]
        source = f"/hooks{request.path}"
        if self._format == "auto" and media in (_FORM, _MULTIPART):
            if media == _FORM and _is_json(request.body):
                raise Refused(
                    415,
                    "unsupported_media_type",
                    f"the body is JSON, and was sent as a form ({_FORM})",
                    hint="send `content-type: application/json`; a trigger with `format: json` takes it as it is",
                )
            event = Event(
                type=TYPE,
                source=source,
                id=id,
                subject=request.path,
                time=format_instant(self._clock.now()),
                datacontenttype=request.headers["content-type"],
                data=_form(request.body) if media == _FORM else _multipart(request),
                extensions=trace_of(request.headers),
                meta=self._meta(request),
            )
            return [self._taken(self._shaper.event(event, raw=request.body))]
        shaped = self._shaper.message(
            request.body,
            source=source,
            type=TYPE,
            id=id,
            subject=request.path,
            headers=request.headers,
            extensions=trace_of(request.headers),
            meta=self._meta(request),
        )
        return [self._taken(shaped)]

    def _meta(self, request: HttpRequest) -> dict[str, Any]:
        every: dict[str, list[str]] = {}
        for name, value in request.query:
            every.setdefault(name, []).append(value)
        return {
            "method": request.method,
            "path": request.path,
            "params": dict(request.params),
            "query": dict(request.query),
            "query_all": every,
            "headers": {n: v for n, v in request.headers.items() if n not in self._dropped},
            "remote": request.remote,
        }

    def _taken(self, shaped: Event | Undecodable) -> Event:
        """The event; what is none is refused at once, so that nothing of it is stored."""
        if isinstance(shaped, Event):
            return shaped
        raise Refused(
            _status(shaped.reason),
            shaped.reason.code,
            shaped.reason.message,
            hint=shaped.reason.hint,
            details=shaped.reason.details,
        )


def _status(reason: ErrorInfo) -> int:
    """413 for a size, 422 for data that the schema or an override refuses, 400 for what cannot be read at all."""
    if reason.code == "too_large":
        return 413
    return 422 if "expected" in reason.details or reason.code != "invalid_data" else 400


def _is_json(body: bytes) -> bool:
    """Is this a JSON object or list? What curl's `-d` sends without a header is called a form."""
    if body.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return False
    return True


def _form(body: bytes) -> dict[str, Any]:
    """A form's fields: text, or a list of texts where a name comes several times."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError as e:
        raise InvalidEvent(f"the form cannot be read: {e}") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        _put(found, name, value)
    return found


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    if name not in found:
        found[name] = value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]


def _multipart(request: HttpRequest) -> dict[str, Any]:
    """The fields of a multipart form: text, or of a file `{name, type, size, content}`, its content in base64."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import FormParser, parse_options_header

    found: dict[str, Any] = {}

    def on_field(field: Any) -> None:
        _count(found)
        _put(found, _text(field.field_name), _text(field.value or b""))

    def on_file(file: Any) -> None:
        _count(found)
        file.file_object.seek(0)
        content = file.file_object.read()
        value = {
            "name": _text(file.file_name or b""),
            "type": file.content_type or "",
            "size": len(content),
            "content": base64.b64encode(content).decode(),
        }
        file.close()
        _put(found, _text(file.field_name), value)

    ended: list[bool] = []
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary")
    # the body is bounded already: nothing goes to a temporary file
    config = {"MAX_MEMORY_FILE_SIZE": len(request.body) + 1}
    try:
        parser = FormParser(
            _MULTIPART, on_field, on_file, on_end=lambda: ended.append(True), boundary=boundary, config=config
        )
        parser.write(request.body)
        parser.finalize()
    except (FormParserError, ValueError) as e:
        raise InvalidEvent(f"the multipart form cannot be read: {e}") from None
    if not ended:
        raise InvalidEvent("the multipart form cannot be read: its last boundary is missing")
    return found


def _count(found: Mapping[str, Any]) -> None:
    if len(found) >= FIELDS_MAX:
        raise InvalidEvent(f"the form has more than {FIELDS_MAX} fields", code="too_large")


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidEvent("a field of the form is not UTF-8") from None
