"""What went wrong in a request, and what a status means, as our errors."""

from __future__ import annotations

import re
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from ..core.errors import ErrorInfo, NotConnected, ReactorError, StepError, TransientError

_OWN_CODES = {401: "unauthorized", 403: "forbidden", 429: "rate_limited"}
_number = re.compile(r"^400, message[:=] *")
_user = re.compile(r"//[^/@]*@")
_UNKNOWN_CA = "if the certificate is of a CA of your own, name that in `tls: {ca: …}` of the connection"
_HINTS = {
    "unauthorized": "check the credentials of the connection",
    "forbidden": "the credentials are known, but do not allow this",
    "rate_limited": "the service limits calls: use `retry`, or `rate` on the connection",
}


@contextmanager
def translation(title: str) -> Generator[None]:
    """Errors of aiohttp as ours: `connection`, `timeout`, `tls`, `blocked_address`, `invalid_input`; of a proxy that
    refuses `unauthorized` and `forbidden` too.
    """
    import aiohttp

    from .http_resolver import BlockedAddressError

    try:
        yield
    except aiohttp.ClientConnectorError as e:
        cause = e.os_error
        if isinstance(cause, BlockedAddressError):
            raise blocked(cause.host, cause.address, cause.why, title) from e
        if isinstance(e, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
            hint = _UNKNOWN_CA if "issuer" in _tls_words(e) or "self-signed" in _tls_words(e) else ""
            raise StepError("tls", f"{title}: {_tls_words(e)}", hint=hint) from e
        if isinstance(e, aiohttp.ClientProxyConnectionError):
            raise NotConnected(f"{title}: the proxy {e.host}:{e.port} cannot be reached: {_words(cause)}") from e
        raise NotConnected(f"{title}: {_words(cause)}") from e
    except aiohttp.ServerTimeoutError as e:
        raise TransientError(f"{title} took too long to connect", code="timeout") from e
    except TimeoutError as e:
        raise TransientError(f"{title} took too long", code="timeout") from e
    except (aiohttp.InvalidURL, ValueError) as e:
        if isinstance(e, ReactorError):
            raise
        raise StepError("invalid_input", f"{title}: {e}") from e
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as e:
        raise NotConnected(f"{title}: the connection broke: {_words(e)}") from e
    except aiohttp.ClientHttpProxyError as e:
        raise _refused_by_proxy(e.status, f"{title}: the proxy answered {e.status} {_words(e)}".rstrip()) from e
    except aiohttp.ClientError as e:
        raise NotConnected(f"{title}: {_words(e)}") from e


def _refused_by_proxy(status: int, message: str) -> ReactorError:
    """Of what a proxy says to CONNECT, only that it does not let us through is no matter of time."""
    if status == 407:
        return StepError("unauthorized", message, hint="check user and password in `proxy` of the connection")
    if status == 403:
        return StepError("forbidden", message, hint="the proxy does not let this address through")
    return NotConnected(message)


def _words(error: BaseException | None) -> str:
    """The library's numbers look like a status that the other side gave: they are left out."""
    said: Any = getattr(error, "strerror", None) or getattr(error, "message", None)
    text = said if isinstance(said, str) and said else str(error).partition(": <")[0]
    return _number.sub("", " ".join(text.split())) or type(error).__name__


def _tls_words(error: BaseException) -> str:
    found: Any = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(found, "verify_message", "") or getattr(found, "reason", "") or found)


def shown_address(url: str) -> str:
    """An address without what may be secret: user, password, query."""
    return _user.sub("//", url.partition("?")[0].partition("#")[0], count=1)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the header Retry-After asks for: a number, or a date (RFC 9110, section 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    if not text:
        return None
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError):
        return None


def refusal_of(status: int, method: str, url: str, headers: Mapping[str, str], now: float, body: str = "") -> StepError:
    """A status that is no success: `http.<status>`, or a code of its own whose cause is `http.<status>`."""
    message = f"{method} {shown_address(url)} answered {status}"
    wait = retry_after(headers, now)
    details: dict[str, Any] = {"status": status}
    if wait is not None:
        details["retry_after"] = wait
    if body:
        details["body"] = body
    own = _OWN_CODES.get(status)
    if own is None:
        hint = "the service is overloaded or in maintenance" if status == 503 else ""
        return StepError(f"http.{status}", message, hint=hint, details=details, retry_after_s=wait)
    cause = ErrorInfo(f"http.{status}", message)
    return StepError(own, message, hint=_HINTS[own], details=details, cause=cause, retry_after_s=wait)


def blocked(host: str, address: str, why: str, title: str) -> StepError:
    """The refusal of an address."""
    where = f"{host} is {address}, " if host.strip("[]") != address else f"{address} is "
    words = {"metadata": "a metadata service", "link-local": "a link-local address", "private": "a private address"}
    hint = ""
    if why == "private":
        hint = "the host comes from event, inputs or steps: name a connection with `allow_private: true` if it is meant"
    details = {"address": address, "reason": why}
    return StepError("blocked_address", f"{title} is refused: {where}{words[why]}", hint=hint, details=details)
