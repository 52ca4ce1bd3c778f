"""The keys of each kind of connection. Source: triggers.md, section 6."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ..core.durations import format_duration
from .contract import ConnectionConfig, Tls
from .fields import Duration, Keys

Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Secret = Field(default=None, repr=False)


def _server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if "${{" not in text and (not host or not colon or not port.isascii() or not port.isdigit()):
        raise ValueError(f"expected host:port; found {text!r}")
    return text


def _url(*schemes: str) -> AfterValidator:
    def check(text: str) -> str:
        if "${{" not in text:
            try:
                parts = urlsplit(text)
                bad = parts.scheme not in schemes or not (parts.netloc or parts.scheme == "unix")
            except ValueError:
                bad = True
            if bad:
                expected = " or ".join(f"{scheme}://…" for scheme in schemes)
                raise ValueError(f"expected an address {expected}; found {text!r}")
        return text

    return AfterValidator(check)


class KafkaSasl(Keys):
    """How to log in at Kafka; the security protocol follows from `tls` and this."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"]
    username: str | None = None
    password: str | None = Secret
    token_url: str | None = None
    client_id: str | None = None
    client_secret: str | None = Secret
    scope: str | None = None


class KafkaConfig(ConnectionConfig):
    """`kafka`."""

    servers: Annotated[list[Annotated[str, AfterValidator(_server)]], Field(min_length=1)]
    client_id: str | None = None
    sasl: KafkaSasl | None = None
    request_timeout: Duration = Field(default=40.0, ge=0.1, le=300.0)


class NatsConfig(ConnectionConfig):
    """`nats`, for core NATS and JetStream."""

    at_most_one: ClassVar = (("user", "token", "credentials", "nkey"),)

    servers: Annotated[list[Annotated[str, _url("nats", "tls", "ws", "wss")]], Field(min_length=1)]
    user: str | None = None
    password: str | None = Secret
    token: str | None = Secret
    credentials: str | None = Secret
    nkey: str | None = Secret
    name: str | None = None
    inbox_prefix: str | None = None
    domain: str | None = None


class Pool(Keys):
    """How many connections a database is given."""

    min: Annotated[int, Field(ge=0, le=1_000)] = 0
    max: Annotated[int, Field(ge=1, le=1_000)] = 10


class PostgresConfig(ConnectionConfig):
    """`postgres`: a URL, or its parts. `tls` unset: `prefer` on loopback, elsewhere verified in full."""

    exactly_one: ClassVar = (("url", "host"),)
    at_most_one: ClassVar = (("url", "port"),)

    url: Annotated[str, _url("postgres", "postgresql")] | None = Field(default=None, repr=False)
    host: str | None = None
    port: Port = 5432
    database: str | None = None
    user: str | None = None
    password: str | None = Secret
    tls: bool | Literal["prefer"] | Tls | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  # one more value than others
    pool: Pool = Field(default_factory=Pool)
    statement_timeout: Duration = Field(default=30.0, ge=0.001, le=86_400.0)


class SqliteConfig(Keys):
    """`sqlite`: a file, relative to the project. `timeout` (seconds): how long to wait for another's lock."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    path: Annotated[str, Field(min_length=1)]


class Basic(Keys):
    """User and password, as HTTP Basic sends them."""

    username: str
    password: str = Field(repr=False)


class ApiKey(Keys):
    """A header with a secret value."""

    header: Annotated[str, Field(min_length=1)]
    value: str = Field(repr=False)


class OAuth2(Keys):
    """Client credentials: a token is fetched, kept while it lasts, and fetched anew when refused."""

    token_url: Annotated[str, _url("http", "https")]
    client_id: str
    client_secret: str = Field(repr=False)
    scopes: list[str] = Field(default_factory=list)


class HttpAuth(Keys):
    """One way to say who calls."""

    exactly_one: ClassVar = (("basic", "bearer", "api_key", "oauth2"),)

    basic: Basic | None = None
    bearer: str | None = Secret
    api_key: ApiKey | None = None
    oauth2: OAuth2 | None = None


class Rate(Keys):
    """At most `max` calls in every `per` seconds; over it a call waits."""

    max: Annotated[int, Field(ge=1, le=1_000_000)]
    per: Duration = Field(ge=0.001, le=86_400.0)

    def __str__(self) -> str:
        return f"{self.max} in {format_duration(self.per)}"


class HttpConfig(ConnectionConfig):
    """`http`, for the actions `http` and `publish`."""

    url: Annotated[str, _url("http", "https")]
    headers: dict[str, str] = Field(default_factory=dict)
    auth: HttpAuth | None = None
    proxy: Annotated[str, _url("http", "https")] | None = Field(default=None, repr=False)
    rate: Rate | None = None
    allow_private: bool = False


class SmtpConfig(ConnectionConfig):
    """`smtp`."""

    host: Annotated[str, Field(min_length=1)]
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: str | None = Secret
    from_: str | None = Field(default=None, alias="from")
