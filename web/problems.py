"""Errors as RFC 9457 problem documents: status, headers, and the fields of the error object (actions.md section 2)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from ..core.errors import ErrorInfo, ReactorError, StoreFailed, TransientError
from ..core.event import InvalidEvent
from ..core.http import Refused
from ..engine.engine import DuplicateStart
from ..store.contract import UnitRefused

log = logging.getLogger("reactor.web")
_encode = msgspec.json.Encoder(enc_hook=str).encode

STATUS: Mapping[str, int] = {
    "invalid_request": 400,
    "invalid_data": 422,
    "invalid_input": 422,
    "invalid_definition": 422,
    "config": 422,
    "unavailable": 422,
    "expression": 422,
    "missing_secret": 422,
    "missing_connection": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "unknown_workflow": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "exists": 409,
    "needs_version": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "resource_limit": 429,
    "store_unavailable": 503,
    "store_failed": 503,
    "fenced": 503,
    "timeout": 504,
}
"""Codes that have a status of their own; any other is 500."""


class Problem(Struct, frozen=True):
    """A problem document, ready to be sent."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def problem_of(error: BaseException) -> Problem:
    """The answer to an error; one that nobody expected is logged, and says nothing of the inside."""
    if isinstance(error, ReactorError):
        return problem(_status(error), error.info(), headers=_headers(error))
    if isinstance(error, UnitRefused):
        return problem(422, ErrorInfo("invalid_input", f"the store cannot keep this: {error}"))
    log.error("a request failed by a defect of Reactor", exc_info=error)
    return problem(500, ErrorInfo("internal", "the request failed by a defect of Reactor; its log has the details"))


def problem(status: int, info: ErrorInfo, *, headers: Mapping[str, str] | None = None) -> Problem:
    """An error object as a problem document of this status."""
    document = {
        "type": f"/errors/{info.code}",
        "title": info.code.replace("_", " ").replace(".", " ").capitalize(),
        "status": status,
        "detail": info.message,
        **msgspec.to_builtins(info),
    }
    return Problem(status, _encode(document), headers or {})


def _status(error: ReactorError) -> int:
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, DuplicateStart):
        return 422  # semantics 2.3
    if isinstance(error, InvalidEvent):
        return 413 if error.code == "too_large" else 400
    if isinstance(error, StoreFailed):
        return 503
    return STATUS.get(error.code, 500)


def _headers(error: ReactorError) -> dict[str, str]:
    if isinstance(error, Refused):
        return error.headers
    wait = error.retry_after_s if isinstance(error, TransientError) else None
    if wait is None and _status(error) in (429, 503):
        wait = 1.0
    return {"Retry-After": str(max(1, math.ceil(wait)))} if wait is not None else {}
