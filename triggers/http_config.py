"""The keys of an http trigger: where it is served, who may, how it answers. Source: triggers.md, section 3."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from ..connections.fields import Duration, Keys
from ..language.scope import Name, Scope
from ..language.templates import Compiled, compile_value
from .contract import TriggerConfig

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_PATH = re.compile(r"(/[^/?#\s{}]*|/\{[A-Za-z_][A-Za-z0-9_]*\})+")
_NAME = re.compile(r"\{([^}]*)\}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OF_THE_WIRE = ("connection", "content-length", "transfer-encoding")
_ORIGIN = re.compile(r"https?://[^/\s]+")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
Secrets = str | list[str]
"""One text, or several while it is changed: each is tried."""


class TokenAuth(Keys):
    """A token, sent as `Authorization: Bearer …`."""

    token: Secrets = Field(repr=False)


class Basic(Keys):
    """A name and a password."""

    username: str = Field(min_length=1)
    password: str = Field(min_length=1, repr=False)


class BasicAuth(Keys):
    """HTTP's own basic authentication."""

    basic: Basic


class PresetAuth(Keys):
    """A signature as a known sender makes it, over the raw body."""

    preset: Literal["github", "stripe", "slack", "standard"]
    secret: Secrets = Field(repr=False)
    tolerance: Duration = Field(default=300.0, ge=1, le=86_400, description="the oldest signature that is taken")


class Hmac(Keys):
    """A signature of the raw body; with `timestamp_header` of `<timestamp>.<body>`."""

    secret: Secrets = Field(repr=False)
    header: str = Field(min_length=1, examples=["X-Signature"])
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    timestamp_header: str | None = Field(default=None, description="Unix seconds, signed before the body")
    tolerance: Duration = Field(default=300.0, ge=1, le=86_400)


class HmacAuth(Keys):
    """A signature that is described."""

    hmac: Hmac


Auth = Literal["none"] | TokenAuth | BasicAuth | PresetAuth | HmacAuth


class Rate(Keys):
    """At most `max` requests in `per`, in bursts of `burst` (`max` if it is not given)."""

    max: int = Field(ge=1, le=1_000_000)
    per: Duration = Field(default=1.0, ge=0.001, le=86_400)
    burst: int | None = Field(default=None, ge=1, le=1_000_000)


class Respond(Keys):
    """An answer made to measure; templates read `event` and `inputs`, after `result` also `outputs` and `run`."""

    at_most_one: ClassVar[tuple[tuple[str, ...], ...]] = (("body", "json"),)

    on: Literal["accepted", "result"] = "accepted"
    status: int | None = Field(default=None, ge=200, le=599)
    headers: dict[str, str] = Field(default={})
    body: str | None = None
    json_: Any = Field(default=None, alias="json")

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if _TOKEN.fullmatch(name) is None:
                raise ValueError(f"a header's name has letters, digits and - alone, such as X-Order; found {name!r}")
            if name.lower() in _OF_THE_WIRE:
                raise ValueError(f"the header {name} is set by the server itself")
        return value

    def template(self) -> Compiled | None:
        """What the answer is made by; None if it is the plain one. Raises InvalidDefinition (the loader has looked)."""
        if not (self.has("headers") or self.has("body") or self.has("json_")):
            return None
        names = ("event", "inputs", "outputs", "run") if self.on == "result" else ("event", "inputs")
        made = {"headers": self.headers, "body": self.body, "json": self.json_}
        return compile_value(made, Scope({name: Name("object") for name in names}))


class HttpConfig(TriggerConfig):
    """`http`: requests to a path under `/hooks`."""

    path: str = Field(examples=["/orders/{id}"])
    method: Method | list[Method] = "POST"
    respond: Literal["accepted", "result"] | Respond = "accepted"
    wait: Duration = Field(default=30.0, ge=0.001, le=300, description="for the result")
    rate: Rate | None = None
    cors: list[str] = Field(default=[], description="origins whose pages may send")
    auth: Auth | None = Field(default=None, description="who may; off loopback it must be written, `none` too")

    @field_validator("path")
    @classmethod
    def _path_is_plain(cls, value: str) -> str:
        if _PATH.fullmatch(value) is None:
            raise ValueError(
                f"a path begins with / and has segments of plain text or {{name}}, as /orders/{{id}}; found {value}"
            )
        names = _NAME.findall(value)
        if len(set(names)) < len(names):
            raise ValueError(f"each {{name}} stands once in a path; found {value}")
        return value

    @field_validator("method")
    @classmethod
    def _methods_are_named(cls, value: Any) -> Any:
        if value == []:
            raise ValueError("at least one method is needed, such as POST")
        return value

    @field_validator("cors")
    @classmethod
    def _origins_are_origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if origin != "*" and _ORIGIN.fullmatch(origin) is None:
                raise ValueError(f"an origin is scheme and host, such as https://shop.example; found {origin}")
        return value

    @property
    def methods(self) -> Sequence[str]:
        """The methods as a list."""
        return [self.method] if isinstance(self.method, str) else self.method

    @property
    def answer(self) -> Respond:
        """`respond` spelt out."""
        return self.respond if isinstance(self.respond, Respond) else Respond(on=self.respond)


def serves(config: Mapping[str, Any], method: str, path: str) -> bool:
    """Is a path (below `/hooks`) the one of this unchecked config? For what is declared and not connected now."""
    written, methods = str(config.get("path", "")), config.get("method", "POST")
    shape = "".join("[^/]+" if i % 2 else re.escape(part) for i, part in enumerate(_NAME.split(written)))
    return method in ([methods] if isinstance(methods, str) else methods) and re.fullmatch(shape, path) is not None
