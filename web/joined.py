"""A transport that sends an answer's head together with what follows it in the same turn of the loop.

The server writes head and body apart; each write is a call to the kernel, and may wake the reader.
"""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD = b"HTTP/1.1 "


class Joined:
    """Stands before the connection's own transport."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._ended = False
        # asked several times for every request: straight through
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, or keep a head until its body is written or this turn of the loop is over. After the end, nothing:
        of several requests on one connection the first may still be answered when the client is gone.
        """
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:9] == _HEAD:
            self._head = bytes(data)
            self._loop.call_soon(self._flush)
            return
        if not (self._ended or self.is_closing()):
            self._transport.write(data)

    def whole(self, data: bytes) -> None:
        """Write an answer that is complete: nothing of it follows."""
        self._flush()
        if not (self._ended or self.is_closing()):
            self._transport.write(data)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            if not (self._ended or self.is_closing()):
                self._transport.write(head)

    def write_eof(self) -> None:
        """Write what is kept, and nothing after it."""
        self._flush()
        self._ended = True
        self._transport.write_eof()

    def close(self) -> None:
        """Write what is kept, then close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Whatever else a transport can do."""
        return getattr(self._transport, name)
