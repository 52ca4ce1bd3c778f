"""The contract of a connection: opened at first use, shared by triggers, actions and the bus, closed once.

Source: triggers.md sections 4 (sinks) and 6 (connections).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from ..core.errors import ConfigError, NotConnected, PermanentError, ReactorError, StepError, TransientError
from ..core.event import Event
from .fields import Duration, Keys, Size

__all__ = [
    "ConfigError",
    "Connection",
    "ConnectionConfig",
    "Duration",
    "Keys",
    "NotConnected",
    "OutMessage",
    "PermanentError",
    "ReactorError",
    "Sender",
    "Size",
    "StepError",
    "Tls",
    "TransientError",
    "translate",
]


class Tls(Keys):
    """`tls` as a mapping: paths, or PEM text from secrets."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = Field(default=None, repr=False)
    server_name: str | None = None
    verify: bool = True
    min_version: Literal["1.2", "1.3"] = "1.2"
    allow_insecure: bool = False


class ConnectionConfig(Keys):
    """What all kinds share. `timeout` (seconds) limits opening and, where the kind has no better, one exchange."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    tls: bool | Tls = False


@dataclass(frozen=True, slots=True)
class OutMessage:
    """One message to publish.

    `to` is the sink of triggers.md section 4 (`kafka nats jetstream http …`), `target` that sink's keys, checked, with
    durations in seconds; keys that were not written are absent. With `event` the transport's CloudEvents binding
    writes body and headers in `mode`, and `body` and `content_type` are unused. `key` is the idempotency key, empty
    where there is none: the sink says where it goes (`Nats-Msg-Id`, header `idempotency-key`, header
    `Idempotency-Key`).
    """

    to: str
    target: Mapping[str, Any]
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    event: Event | None = None
    mode: Literal["binary", "structured"] = "binary"
    key: str = ""


@runtime_checkable
class Connection(Protocol):
    """A client of one technology under one name of `connections:`.

    The constructor takes (name, config, project) and touches nothing. Every verb opens by itself what it needs: `open`
    is there for those who want to know early. Two callers at once open once.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    async def open(self) -> None:
        """Reach the other side; at once if that is done. Raises NotConnected, ConfigError, StepError
        `missing_extra`.
        """
        ...

    async def close(self) -> None:
        """Release everything. Safe twice, safe before open; a later verb opens anew."""
        ...

    async def test(self) -> str:
        """Ask the other side something harmless; in words, what answered and how quickly. Raises as `open`."""
        ...


@runtime_checkable
class Sender(Connection, Protocol):
    """A connection that publishes."""

    async def send(self, message: OutMessage) -> dict[str, Any]:
        """Publish one; returns when the other side has confirmed it, with the output of section 4.

        Raises TransientError (`connection`, `timeout`, `publish.no_responders`), StepError (`publish.rejected`,
        `forbidden`, `unauthorized`, `too_large`).
        """
        ...

    async def send_many(self, messages: Sequence[OutMessage]) -> list[dict[str, Any]]:
        """Publish in order; returns when all are confirmed. On an error a first part may have been taken."""
        ...


Translation = type[ReactorError] | Callable[[BaseException], ReactorError]


@contextmanager
def translate(table: Mapping[type[BaseException], Translation], what: str = "") -> Generator[None]:
    """Turn foreign errors into ours: the first line of the table whose type fits makes the error.

    A class of ours gets the message `<what>: <the error's own words>`; a function gets the error. Others pass.
    """
    try:
        yield
    except tuple(table) as error:
        make = next(make for kind, make in table.items() if isinstance(error, kind))
        if isinstance(make, type):
            text = str(error).strip() or type(error).__name__
            raise make(f"{what}: {text}" if what else text) from error
        raise make(error) from error
