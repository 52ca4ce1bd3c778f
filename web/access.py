"""Who may: a token with the scope, or a program on this machine that no web page speaks through.

Without a token only loopback peers are served, and only with a loopback Host and no foreign Origin: else any page that
the user opens could deploy a `command` by a cross-site post, or by DNS rebinding. Source: the language page, section 7.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any

from ..connections.cloudevents_http import media_type
from ..core.http import Refused, is_loopback
from .tokens import SCOPES, Token, Tokens
from .wire import Scope

LOCAL = Token("local", SCOPES)
"""Who speaks from this machine without a token."""

_WITH_TOKEN = {"WWW-Authenticate": "Bearer"}
_local = functools.lru_cache(1024)(is_loopback)
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")


def check(tokens: Tokens, scope: Scope, headers: Mapping[str, str], need: str) -> Token:
    """Who asks, if they may. Raises Refused 401, 403."""
    written = headers.get("authorization")
    if written is None:
        check_local(scope, headers)
        return LOCAL
    kind, _, text = written.partition(" ")
    if kind.lower() != "bearer":
        raise Refused(
            401,
            "unauthorized",
            f"the API takes tokens as `Authorization: Bearer …`; found the scheme {kind[:20]}",
            headers=_WITH_TOKEN,
        )
    token = tokens.find(text.strip())
    if token is None:
        raise Refused(
            401,
            "unauthorized",
            "nobody has this token",
            hint="`reactor token create NAME` makes one",
            headers=_WITH_TOKEN,
        )
    if need not in token.scopes:
        raise Refused(
            403,
            "forbidden",
            f"the token `{token.name}` has the scopes {', '.join(token.scopes)}; this needs {need}",
            hint=f"use a token with the scope {need}",
        )
    return token


def check_local(scope: Scope, headers: Mapping[str, str], origins: Collection[str] = ()) -> None:
    """Raise Refused unless a program on this machine asks; pages of `origins` may."""
    peer: Any = scope.get("client")
    if peer is None or not _local(peer[0]) or "x-forwarded-for" in headers or "forwarded" in headers:
        raise Refused(
            401,
            "unauthorized",
            "a request from another machine needs a token",
            hint="send it as `Authorization: Bearer …`; `reactor token create NAME` makes one",
            headers=_WITH_TOKEN,
        )
    host = headers.get("host", "")
    if not _local(host_name(host)):
        raise Refused(
            403,
            "forbidden",
            f"without a token the Host must be this machine's own name; found `{host[:80]}`",
            hint="speak to 127.0.0.1 or localhost, or send a token",
        )
    origin = headers.get("origin")
    if origin is not None:
        allowed = (f"http://{host}", f"https://{host}", *origins)
        if origin not in allowed and "*" not in allowed:
            raise Refused(
                403,
                "forbidden",
                f"a page of `{origin[:80]}` may not speak to this server without a token",
                hint="there is no CORS; an `http` trigger may allow origins by `cors`",
            )
    elif headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        raise Refused(403, "forbidden", "a page of another site may not speak to this server without a token")


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    return host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host


def check_json(headers: Mapping[str, str], *, yaml: bool = False) -> None:
    """Raise Refused 415 unless a write says that it is JSON: no page can send that across sites unasked."""
    media = media_type(headers.get("content-type", ""))
    if media == "application/json" or media.endswith("+json") or (yaml and media in _YAML):
        return
    wanted = "application/json" + (" or application/yaml" if yaml else "")
    raise Refused(
        415,
        "unsupported_media_type",
        f"a write needs Content-Type: {wanted}; found {media or 'none'}",
        hint="say so also where the body is empty",
    )
