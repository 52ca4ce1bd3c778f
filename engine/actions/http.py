"""`http`: one request and its answer. Source: actions.md, section 3 (http)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, cast
from urllib.parse import urlencode

import msgspec
from pydantic import AfterValidator, BaseModel, Field

from ...connections.contract import StepError
from ...connections.fields import Fault, Keys, Size, Word, has_template
from ...connections.http import IDEMPOTENCY_HEADER, HttpConnection, plain_headers
from ...connections.http_errors import refusal_of, shown_address, translation
from ...core.charsets import decode_text
from ...core.depth import decoded
from ...core.durations import format_size
from ...core.limits import MIB
from .contract import ActionBase, Call
from .file_write import AtomicFile
from .hosts import host_template
from .payload import Part, decode_base64, multipart
from .places import disk_errors, locate

MAX_RESPONSE_DEFAULT = 10 * MIB
MAX_RESPONSE_MAX = 1024 * MIB
DETAIL_BYTES_MAX = 2_048
DETAIL_S_MAX = 2.0
_SAFE = ("GET", "HEAD")
_BODIES = ("json", "form", "text", "base64", "multipart")


def _status(value: int | str) -> int | str:
    if isinstance(value, int):
        if not 100 <= value <= 599:
            raise ValueError(f"expected a status from 100 to 599, or a hundred such as 2xx; found {value}")
    elif not (len(value) == 3 and value[0] in "12345" and value[1:] == "xx"):
        raise ValueError(f'expected a status from 100 to 599, or a hundred such as 2xx; found "{value}"')
    return value


def _upper(text: str) -> str:
    if not text.isascii() or not text.isalpha():
        raise ValueError(f'expected a method such as GET or POST; found "{text}"')
    return text.upper()


class HttpInput(Keys):
    """`with` of `http`."""

    exactly_one: ClassVar = (("url", "connection"),)
    at_most_one: ClassVar = (_BODIES,)

    url: str | None = Field(default=None, min_length=1)
    connection: str | None = Field(default=None, min_length=1)
    path: str | None = None
    method: Annotated[str, AfterValidator(_upper)] = "GET"
    query: dict[str, Word | list[Word] | None] = Field(default_factory=dict)
    headers: dict[str, Word] = Field(default_factory=dict)
    json_: Any = Field(default=None, alias="json")
    form: dict[str, Word | list[Word]] | None = None
    text: str | None = None
    base64: str | None = None
    multipart: dict[str, Word | Part] | None = None
    ok: list[Annotated[int | str, AfterValidator(_status)]] = Field(default=["2xx"], min_length=1)
    redirects: int = Field(default=5, ge=0, le=20)
    max_response: Size = Field(default=MAX_RESPONSE_DEFAULT, ge=1, le=MAX_RESPONSE_MAX)
    save_to: str | None = Field(default=None, min_length=1)


class HttpAction(ActionBase):
    """Sends requests, through a connection or to a URL."""

    name: ClassVar[str] = "http"
    Input: ClassVar[type[BaseModel] | None] = HttpInput
    timeout_s: ClassVar[float | None] = 30.0
    errors: ClassVar[tuple[str, ...]] = (
        *("http", "connection", "tls", "timeout", "blocked_address", "too_large", "unauthorized", "forbidden"),
        *("rate_limited", "invalid_input", "missing_connection", "missing_extra", "exists", "file_not_found"),
        *("resource_limit", "conflict"),
    )
    key_goes: ClassVar[str] = "header Idempotency-Key, not on GET and HEAD; one of your own wins"
    output: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "status": {"type": "integer"},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "body": {"type": ["string", "null"]},
            "json": {},
            "url": {"type": "string"},
            "duration_ms": {"type": "integer"},
        },
        "required": ["status", "headers", "body", "json", "url", "duration_ms"],
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self._anonymous = HttpConnection("", None)

    def check(self, with_: Any) -> list[Fault]:
        """`path` without a connection; a URL that is none."""
        if not isinstance(with_, Mapping):
            return []
        keys = cast("Mapping[str, Any]", with_)
        faults: list[Fault] = []
        if "path" in keys and "connection" not in keys:
            faults.append(("path", "is a path below the address of `connection`, which is missing"))
        url = keys.get("url")
        if isinstance(url, str) and not has_template(url) and not url.startswith(("http://", "https://")):
            faults.append(("url", f'expected an address http://… or https://…; found "{url}"'))
        return faults

    def host(self, with_: Any) -> str:
        """The beginning of `url`."""
        return host_template(with_)

    async def execute(self, call: Call) -> dict[str, Any]:
        """Send it; the answer if its status is in `ok`."""
        given: HttpInput = call.inputs
        connection, url = self._target(given, call)
        begun = call.clock.monotonic()
        if given.multipart is not None:
            headers, body = await asyncio.to_thread(_content, given, call)
        else:
            headers, body = _content(given, call)
        async with connection.request(
            given.method,
            url,
            headers=headers,
            query=_query(given.query),
            body=body,
            redirects=given.redirects,
            timeout_s=call.timeout_s,
            event_driven=call.event_driven,
        ) as response:
            if not _accepted(given.ok, response.status):
                shown = (await _detail(response)).decode(errors="replace")
                raise refusal_of(response.status, given.method, url, response.headers, call.clock.now(), shown)
            title = f"{given.method} {shown_address(url)}"
            found = plain_headers(response.headers)
            text: str | None = None
            parsed: Any = None
            if given.save_to is not None:
                await _save(call, given, response, title)
            else:
                data = await _read(response, given.max_response, title)
                text, parsed = _decoded(data, found.get("content-type", ""), response.charset)
            return {
                "status": response.status,
                "headers": found,
                "body": text,
                "json": parsed,
                "url": str(response.url),
                "duration_ms": round((call.clock.monotonic() - begun) * 1000),
            }

    def _target(self, given: HttpInput, call: Call) -> tuple[HttpConnection, str]:
        if given.url is not None:
            return self._anonymous, given.url
        if call.services is None:
            raise StepError("missing_connection", f"no connection is called `{given.connection}`")
        connection: HttpConnection = call.services.connection("http", given.connection)
        return connection, connection.address(given.path or "")

    async def close(self) -> None:
        """Close the sessions of requests without a connection."""
        await self._anonymous.close()


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Lists are repeated; null leaves a parameter out."""
    return {name: value for name, value in query.items() if value is not None}


def _content(given: HttpInput, call: Call) -> tuple[dict[str, str], Any]:
    """Headers and body; a multipart body is a function that makes it, for it may be sent again after a redirect."""
    headers = dict(given.headers)
    body: Any = None
    kind = ""
    if given.has("json_"):
        body, kind = msgspec.json.encode(given.json_), "application/json"
    elif given.form is not None:
        pairs = [
            (name, part)
            for name, value in given.form.items()
            for part in (value if isinstance(value, list) else [value])
        ]
        body, kind = urlencode(pairs).encode(), "application/x-www-form-urlencoded"
    elif given.text is not None:
        body, kind = given.text.encode(), "text/plain; charset=utf-8"
    elif given.base64 is not None:
        body, kind = decode_base64(given.base64, "base64"), "application/octet-stream"
    elif given.multipart is not None:
        parts = given.multipart
        body = multipart(parts, call)
    names = {name.lower() for name in headers}
    if kind and "content-type" not in names:
        headers["Content-Type"] = kind
    if call.key and given.method not in _SAFE and IDEMPOTENCY_HEADER.lower() not in names:
        headers[IDEMPOTENCY_HEADER] = call.key
    if call.traceparent and "traceparent" not in names:
        headers["traceparent"] = call.traceparent
        if call.tracestate:
            headers["tracestate"] = call.tracestate
    return headers, body


async def _detail(response: Any) -> bytes:
    """The beginning of a refusal's body, if it comes soon and can be read: the status counts whatever becomes of it."""
    import aiohttp

    try:
        async with asyncio.timeout(DETAIL_S_MAX):
            return await response.content.read(DETAIL_BYTES_MAX)
    except (TimeoutError, aiohttp.ClientError, OSError):
        return b""


def _accepted(ok: list[int | str], status: int) -> bool:
    return any(status == one or (isinstance(one, str) and one[0] == str(status)[0]) for one in ok)


async def _read(response: Any, limit: int, title: str) -> bytes:
    """The whole body, at most `limit` bytes of it."""
    data = bytearray()
    with translation(title):
        async for chunk in response.content.iter_chunked(65_536):
            data += chunk
            if len(data) > limit:
                raise too_large(title, limit)
    return bytes(data)


def too_large(title: str, limit: int) -> StepError:
    """The refusal of an answer."""
    said = f"the answer to {title} has more than {format_size(limit)}"
    return StepError("too_large", said, hint="raise `max_response`, or use `save_to`")


async def _save(call: Call, given: HttpInput, response: Any, title: str) -> None:
    """Stream the body to a file, that appears when it is whole."""
    written = given.save_to or ""
    place = await asyncio.to_thread(locate, call, written)
    with disk_errors(written, "save_to"), AtomicFile(place, parents=True, overwrite=True) as file:
        with translation(title):
            async for chunk in response.content.iter_chunked(262_144):
                if file.size + len(chunk) > given.max_response:
                    raise too_large(title, given.max_response)
                await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(file.commit)


def _decoded(data: bytes, content_type: str, charset: str | None) -> tuple[str, Any]:
    """(text or base64, parsed JSON or None)."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = decode_text(data, charset or "utf-8")
    except ValueError:
        return base64.b64encode(data).decode(), None
    if "\0" in text:
        return base64.b64encode(data).decode(), None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return text, decoded(text)
        except ValueError:
            return text, None
    return text, None
