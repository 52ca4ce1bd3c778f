"""What carries a request of the client, whichever way it goes, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol


class Reply(NamedTuple):
    """An answer, read whole."""

    status: int
    body: bytes


class Transport(Protocol):
    """Carries one request."""

    async def send(self, method: str, path: str, query: str, body: bytes, media: str) -> Reply:
        """Raises Unreachable."""
        ...

    def stream(self, path: str, query: str, last: str) -> AsyncGenerator[bytes, None]:
        """The bytes of an answer without an end, after the event `last`. Raises Unreachable, NoStream."""
        ...


class NoStream(Exception):
    """An answer that is no stream."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply
