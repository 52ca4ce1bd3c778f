"""Is a request from whom it says? Tokens, passwords, and signatures over the raw body, as their senders make them.

A check raises Unauthorized, or says nothing; every comparison is in constant time, and with several secrets each is
tried. Source: the signature pages of GitHub, Stripe and Slack; Standard Webhooks 1.0.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from ..core.durations import format_duration
from ..core.errors import ConfigError
from ..core.http import Refused
from .http_config import Auth, BasicAuth, HmacAuth, PresetAuth, Secrets, TokenAuth

Verify = Callable[[Mapping[str, str], bytes, float], None]
"""(headers by lower-case name, raw body, now in Unix seconds): raises Unauthorized."""


class Unauthorized(Refused):
    """The request does not prove who sent it."""

    def __init__(self, message: str, *, scheme: str = "") -> None:
        super().__init__(401, "unauthorized", message, headers={"WWW-Authenticate": scheme} if scheme else None)


class Check(Struct, frozen=True):
    """How requests are checked: `drop` names the headers that are never stored; `delivery` gives the sender's own id
    of a delivery, from headers and decoded body; `challenge` what the sender wants to hear back.
    """

    verify: Verify
    drop: tuple[str, ...] = ()
    delivery: Callable[[Mapping[str, str], Any], str] = lambda headers, data: ""
    challenge: Callable[[Any], str | None] = lambda data: None


def check_of(auth: Auth | None) -> Check:
    """The check of an `auth`. Raises ConfigError for a secret that is empty, unresolved or of the wrong form."""
    if auth is None or auth == "none":
        return Check(_anybody)
    if isinstance(auth, TokenAuth):
        return Check(_token(_texts(auth.token, "token")), ("authorization",))
    if isinstance(auth, BasicAuth):
        wanted = f"{auth.basic.username}:{_texts(auth.basic.password, 'password')[0]}".encode()
        return Check(_basic(wanted), ("authorization",))
    if isinstance(auth, PresetAuth):
        return _preset(auth)
    return _recipe(auth)


def _anybody(headers: Mapping[str, str], body: bytes, now: float) -> None:
    """`auth: none`."""


def _texts(secret: Secrets, key: str) -> Sequence[str]:
    texts = [secret] if isinstance(secret, str) else secret
    if not texts or not all(texts):
        raise ConfigError(f"`auth`: the {key} is empty: nobody could be checked by it", path="auth")
    if any("${{" in text for text in texts):
        raise ConfigError(f"`auth`: the {key} was not resolved", path="auth", hint="check the name of the secret")
    return texts


def _token(tokens: Sequence[str]) -> Verify:
    wanted = [token.encode() for token in tokens]

    def verify(headers: Mapping[str, str], body: bytes, now: float) -> None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise Unauthorized("the request needs a token, as `Authorization: Bearer …`", scheme="Bearer")
        if not _any_equal(wanted, given.strip().encode()):
            raise Unauthorized("the token is not one that this trigger takes", scheme="Bearer")

    return verify


def _basic(wanted: bytes) -> Verify:
    def verify(headers: Mapping[str, str], body: bytes, now: float) -> None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        try:
            found = base64.b64decode(given.strip(), validate=True) if kind.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            found = b""
        if not hmac.compare_digest(found, wanted):
            raise Unauthorized("the request needs a user name and a password that fit", scheme='Basic realm="reactor"')

    return verify


def _preset(auth: PresetAuth) -> Check:
    secrets = _texts(auth.secret, "secret")
    keys = [secret.encode() for secret in secrets]
    if auth.preset == "github":
        return Check(
            _signed(keys, "x-hub-signature-256", "sha256="), ("x-hub-signature-256", "x-hub-signature"), _github_id
        )
    if auth.preset == "stripe":
        return Check(_stripe(keys, auth.tolerance), ("stripe-signature",), lambda headers, data: _text_at(data, "id"))
    if auth.preset == "slack":
        return Check(
            _slack(keys, auth.tolerance),
            ("x-slack-signature",),
            lambda headers, data: _text_at(data, "event_id"),
            _slack_challenge,
        )
    return Check(
        _standard([_standard_key(secret) for secret in secrets], auth.tolerance),
        ("webhook-signature",),
        lambda headers, data: headers.get("webhook-id", ""),
    )


def _recipe(auth: HmacAuth) -> Check:
    recipe = auth.hmac
    keys = [secret.encode() for secret in _texts(recipe.secret, "secret")]
    header = recipe.header.lower()
    if recipe.timestamp_header is None:
        return Check(_signed(keys, header, recipe.prefix, recipe.algorithm, recipe.encoding), (header,))
    stamp = recipe.timestamp_header.lower()

    def verify(headers: Mapping[str, str], body: bytes, now: float) -> None:
        at = _timestamp(headers.get(stamp), recipe.timestamp_header or "", now, recipe.tolerance)
        signed = b"%s.%s" % (at.encode(), body)
        _compare(keys, signed, headers.get(header), recipe.header, recipe.prefix, recipe.algorithm, recipe.encoding)

    return Check(verify, (header,))


def _signed(
    keys: Sequence[bytes], header: str, prefix: str, algorithm: str = "sha256", encoding: str = "hex"
) -> Verify:
    """The body alone is signed: a repetition is told by its delivery id."""

    def verify(headers: Mapping[str, str], body: bytes, now: float) -> None:
        _compare(keys, body, headers.get(header), header, prefix, algorithm, encoding)

    return verify


def _stripe(keys: Sequence[bytes], tolerance: float) -> Verify:
    """`Stripe-Signature: t=…,v1=…,v1=…` over `t.body`."""

    def verify(headers: Mapping[str, str], body: bytes, now: float) -> None:
        pairs = [part.strip().partition("=") for part in headers.get("stripe-signature", "").split(",")]
        at = _timestamp(next((v for k, _, v in pairs if k == "t"), None), "Stripe-Signature", now, tolerance)
        found = [v.encode() for k, _, v in pairs if k == "v1"]
        wanted = [_digest(key, b"%s.%s" % (at.encode(), body), "sha256", "hex") for key in keys]
        _one_of(found, wanted, "Stripe-Signature")

    return verify


def _slack(keys: Sequence[bytes], tolerance: float) -> Verify:
    """`X-Slack-Signature: v0=…` over `v0:timestamp:body`."""

    def verify(headers: Mapping[str, str], body: bytes, now: float) -> None:
        name = "X-Slack-Request-Timestamp"
        at = _timestamp(headers.get(name.lower()), name, now, tolerance)
        signed = b"v0:%s:%s" % (at.encode(), body)
        _compare(keys, signed, headers.get("x-slack-signature"), "X-Slack-Signature", "v0=", "sha256", "hex")

    return verify


def _standard(keys: Sequence[bytes], tolerance: float) -> Verify:
    """`webhook-signature: v1,… v1,…` over `id.timestamp.body`."""

    def verify(headers: Mapping[str, str], body: bytes, now: float) -> None:
        at = _timestamp(headers.get("webhook-timestamp"), "webhook-timestamp", now, tolerance)
        name = headers.get("webhook-id", "")
        if not name:
            raise Unauthorized("the header webhook-id is missing")
        signed = b"%s.%s.%s" % (name.encode(), at.encode(), body)
        found = [p[3:].encode() for p in headers.get("webhook-signature", "").split(" ") if p.startswith("v1,")]
        _one_of(found, [_digest(key, signed, "sha256", "base64") for key in keys], "webhook-signature")

    return verify


def _standard_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigError(
            "`auth`: a secret of Standard Webhooks is base64, mostly after `whsec_`", path="auth.secret"
        ) from None
    return key


def _timestamp(text: str | None, name: str, now: float, tolerance: float) -> str:
    """The text of a timestamp in Unix seconds that is recent enough. Raises Unauthorized."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise Unauthorized(f"{name} must carry the time of signing, in Unix seconds")
    age = now - int(text)
    if abs(age) > tolerance:
        when = f"{format_duration(round(abs(age)))} {'old' if age > 0 else 'in the future'}"
        raise Unauthorized(f"the signature is {when}; at most {format_duration(tolerance)} are taken")
    return text


def _compare(
    keys: Sequence[bytes], signed: bytes, given: str | None, header: str, prefix: str, algorithm: str, encoding: str
) -> None:
    if given is None:
        raise Unauthorized(f"the request is not signed: the header {header} is missing")
    if not given.startswith(prefix):
        raise Unauthorized(f"the header {header} must begin with {prefix}")
    found = given[len(prefix) :].strip()
    found = found.lower() if encoding == "hex" else found
    _one_of([found.encode()], [_digest(key, signed, algorithm, encoding) for key in keys], header)


def _one_of(found: Sequence[bytes], wanted: Sequence[bytes], header: str) -> None:
    if not any(_any_equal(wanted, each) for each in found):
        raise Unauthorized(f"the signature in {header} does not fit the body")


def _digest(key: bytes, signed: bytes, algorithm: str, encoding: str) -> bytes:
    made = hmac.digest(key, signed, algorithm)
    return made.hex().encode() if encoding == "hex" else base64.b64encode(made)


def _any_equal(wanted: Sequence[bytes], found: bytes) -> bool:
    equal = False
    for each in wanted:
        equal |= hmac.compare_digest(each, found)
    return equal


def _github_id(headers: Mapping[str, str], data: Any) -> str:
    return headers.get("x-github-delivery", "")


def _text_at(data: Any, key: str) -> str:
    value = cast("dict[str, Any]", data).get(key) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""


def _slack_challenge(data: Any) -> str | None:
    return _text_at(data, "challenge") or None if _text_at(data, "type") == "url_verification" else None
