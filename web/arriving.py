"""Requests that arrive too slowly, or with heads that never end: told so, and cut off (RFC 9110, 15.5.9; RFC 6585, 5).

A request that comes in one piece costs two assignments. One that does not has REQUEST_S_MAX seconds, and a second more
for every REQUEST_BYTES_PER_S_MIN bytes that came: whoever sends steadily may take long, whoever drips may not.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ..core.durations import format_size
from ..core.errors import ErrorInfo
from ..core.limits import HEAD_BYTES_MAX, REQUEST_BYTES_PER_S_MIN, REQUEST_S_MAX
from .joined import Joined
from .problems import problem
from .wire import WHOLE

LAST_LOOK_S = 0.01
"""What came while the loop was busy is read within this time; before it nobody is called slow who was not heard."""

LINGER_S = 2.0
"""So long a refused client may go on sending before the connection is gone for it too."""

FRAMES_PER_BODY = 8
"""Chunks may be as small as one byte in six; more than this beside the body is no framing."""


class Arriving(HttpToolsProtocol):
    """One connection."""

    _waits: asyncio.TimerHandle | None = None
    _arriving = True  # a request is expected, or here in part
    _head = True  # its head is not complete
    _since = 0.0
    _came = 0  # bytes of it
    _body = 0  # of them, bytes of its body
    _late = False  # its time is over, but for a last look
    _refused = False  # answered, or to be answered, and only waiting for the client to read it
    _last: tuple[int, ErrorInfo] | None = None  # the refusal that follows the answers to the requests before it

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(cast(asyncio.Transport, Joined(transport, self.loop)))
        self._begin()
        self._wait(REQUEST_S_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        if self._waits is not None:
            self._waits.cancel()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._refused:
            return
        before = self.cycle
        super().data_received(data)
        if self._arriving or self.cycle is before:
            self._in_part(data)

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  # asyncio takes both
        """See asyncio.Protocol. A client that sends nothing more may still read: what it asked for in full is answered,
        unless the answer goes on for ever. Then we close.
        """
        cycle: Any = self.cycle
        if self._refused or self._arriving or not self._answering() or cycle.response_started:
            return False
        cycle.keep_alive = False
        return True

    # -- the parser's calls
    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._head = False
        super().on_headers_complete()
        scope = cast("dict[str, Any]", self.scope)
        scope["extensions"] = {WHOLE: functools.partial(self._whole, self.cycle)}

    def on_body(self, body: bytes) -> None:
        """A part of its body is here."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._arriving = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """One is answered."""
        last = None if self.pipeline else self._last
        super().on_response_complete()
        if last is not None and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._answer(*last)
            self._leave()

    def _whole(self, cycle: RequestResponseCycle, status: int, head: bytes, body: bytes) -> bool:
        """Send an answer in one piece. What the server's own `send` does beside writing stays undone where it is not
        needed: nothing was sent yet, the connection stays open, and the client reads as fast as we write.
        """
        if cycle.response_started or cycle.disconnected or not cycle.keep_alive or self.flow.write_paused:
            return False
        if cycle.scope["method"] == "HEAD":
            return False
        parts = [STATUS_LINE[status]]
        for name, value in cycle.default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (head, b"content-length: %d\r\n\r\n" % len(body), body)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cast("Joined", self.transport).whole(b"".join(parts))
        cycle.message_event.set()
        cycle.on_response()
        return True

    # -- what does not come in one piece
    def _begin(self) -> None:
        self._arriving = self._head = True
        self._late = False
        self._since = self.loop.time()
        self._came = self._body = 0

    def _in_part(self, data: bytes) -> None:
        if self._arriving:
            self._came += len(data)
        elif self._answering():
            return  # that was the rest of it
        else:
            self._begin()  # line ends between requests, of which the parser says nothing
        if self._came - self._body > HEAD_BYTES_MAX + FRAMES_PER_BODY * self._body:
            self._refuse(
                431,
                ErrorInfo("too_large", f"the request's head has more than {format_size(HEAD_BYTES_MAX)}", "park"),
            )
        elif self._waits is None:
            self._wait(REQUEST_S_MAX)

    def _wait(self, seconds: float) -> None:
        self._waits = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Has what there is of a request had its time?"""
        self._waits = None
        if not self._arriving or self.transport.is_closing():
            return
        if self._held():
            self._since = self.loop.time()
        left = self._since + REQUEST_S_MAX + self._came / REQUEST_BYTES_PER_S_MIN - self.loop.time()
        if left > 0:
            self._late = False
            self._wait(left)
        elif not self._late:
            self._late = True
            self._wait(LAST_LOOK_S)
        elif not self._came:
            self.transport.close()  # nobody asked for anything
        else:
            text = f"the request did not arrive within {REQUEST_S_MAX:g} s"
            hint = f"send it whole, or at {format_size(REQUEST_BYTES_PER_S_MIN)} a second at least"
            self._refuse(408, ErrorInfo("timeout", text, "retry", hint=hint))

    def _held(self) -> bool:
        """Is it we who do not read on, for the request before is not answered yet?"""
        return self.flow.read_paused or (self._head and self._answering())

    def _answering(self) -> bool:
        """Is the newest request that is here in full, or its head, not answered yet?"""
        cycle: Any = self.cycle  # None before the first
        return cycle is not None and not cycle.response_complete

    def _refuse(self, status: int, info: ErrorInfo) -> None:
        """Answer if no answer has begun, and close; whoever reads the request learns that its client is gone. What
        came before it on this connection is answered first.
        """
        if self.pipeline and not self._head:
            self.pipeline.popleft()  # of this one nobody has read anything
            self._head = True
        if self._head and (self.pipeline or self._answering()):
            self._refused, self._last = True, (status, info)
            return
        cycle = None if self._head else self.cycle
        if cycle is None or not cycle.response_started:
            self._answer(status, info)
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self._arriving = False
        self._leave()

    def _leave(self) -> None:
        """Close in two steps: a client that still sends would have a reset in place of the answer (RFC 9112, 9.6)."""
        self._refused = True
        self.transport.write_eof()
        if self._waits is not None:
            self._waits.cancel()
        self._waits = self.loop.call_later(LINGER_S, self.transport.close)

    def _answer(self, status: int, info: ErrorInfo) -> None:
        body = problem(status, info).body
        media = b"content-type: application/problem+json\r\n"
        self.transport.write(
            b"%s%scontent-length: %d\r\nconnection: close\r\n\r\n%s" % (STATUS_LINE[status], media, len(body), body)
        )

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, ErrorInfo("invalid_request", "what was sent is no HTTP request", "park"))
