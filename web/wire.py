"""Requests and answers on the bare ASGI interface: headers, bodies read within a bound, JSON and problem answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

import msgspec

from ..core.durations import format_size
from ..core.http import SLASH, Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

encode = msgspec.json.Encoder(enc_hook=str).encode
_JSON = (b"content-type", b"application/json")
_JSON_LINE = b"content-type: application/json\r\n"


class Gone(Exception):
    """The client went away before its request was complete."""


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name; those given several times are joined as HTTP says."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = value if name not in found else f"{found[name]}{'; ' if name == 'cookie' else ', '}{value}"
    return found


def path_of(scope: Scope, base: str = "") -> str | None:
    """The path below where the application is mounted and `base`; None if it is not below."""
    path: str = scope["path"]
    for prefix in (scope.get("root_path", ""), base):
        prefix = prefix.rstrip("/")
        if prefix:
            if path != prefix and not path.startswith(prefix + "/"):
                if prefix is base.rstrip("/"):
                    return None
                continue
            path = path[len(prefix) :] or "/"
    return path


def slashes_kept(raw: bytes, above: int) -> str:
    """A path from its raw form, with SLASH for each `%2F`: a slash inside a segment does not end it. `above` is the
    number of characters, decoded, that stand before where the path begins.
    """
    whole = "/".join(unquote(part).replace("/", SLASH) for part in raw.decode("latin-1").split("/"))
    return whole[above:]


async def read_body(receive: Receive, headers: Mapping[str, str], bytes_max: int) -> bytes:
    """The whole body, counted while it comes. Raises Refused 413 as soon as it is too large, 400, Gone."""
    announced = headers.get("content-length", "")
    if announced:
        if not (announced.isascii() and announced.isdigit()):
            raise Refused(400, "invalid_request", f"Content-Length must be a whole number; found {announced[:40]}")
        if int(announced) > bytes_max:
            raise _too_large(f"{int(announced)} bytes", bytes_max)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > bytes_max:
            raise _too_large(f"{len(body)} bytes", bytes_max)
        return body
    parts, size = [body], len(body)
    while True:
        if size > bytes_max:
            raise _too_large(f"more than {bytes_max} bytes", bytes_max)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if not message.get("more_body", False):
            break
    if size > bytes_max:
        raise _too_large(f"more than {bytes_max} bytes", bytes_max)
    return b"".join(parts)


def _too_large(found: str, bytes_max: int) -> Refused:
    return Refused(413, "too_large", f"the body has {found}; at most {format_size(bytes_max)} are taken")


async def answer(send: Send, status: int, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = (_JSON,)) -> None:
    """One whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", b"%d" % len(body)), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


WHOLE = "reactor.whole"
"""Our server's extension of ASGI: `whole(status, head, body)` sends an answer in one call, its `head` being lines that
need no check; False: it has to go the usual way."""


async def answer_json(scope: Scope, send: Send, status: int, value: Any) -> None:
    """A JSON answer."""
    body = encode(value)
    extensions = scope.get("extensions")
    if extensions is None or WHOLE not in extensions or not extensions[WHOLE](status, _JSON_LINE, body):
        await answer(send, status, body)


async def answer_problem(send: Send, error: BaseException) -> None:
    """An error as a problem document."""
    from .problems import problem_of

    problem = problem_of(error)
    headers = [(b"content-type", b"application/problem+json")]
    headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in problem.headers.items()]
    await answer(send, problem.status, problem.body, headers)
