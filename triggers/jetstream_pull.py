"""Messages of a JetStream consumer, pulled as places become free.

The library's own `fetch` waits for a whole batch, so that a lone message comes late: here messages are taken as they
come, several requests may be open, and each says how many it still has to bring. Source: NATS ADR-13.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..connections.nats import Session, translation
from ..core.clock import Clock
from ..core.errors import NotConnected, ReactorError

EXPIRES_S = 30.0
HEARTBEAT_S = 5.0
_ENDS = ("404", "408", "409")
_LASTING = ("Consumer Deleted", "Consumer is push based", "Stream Deleted")


class Message:
    """One message and what its reply subject says of it."""

    __slots__ = ("delivered", "done", "pending", "raw", "sequence", "time_ns", "touched")

    def __init__(self, raw: Any, now: float) -> None:
        tokens: list[str] = raw.reply.split(".")
        # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<of consumer>.<time>.<pending>; domain and account may be
        # put in after $JS.ACK, and a token added at the end
        base = 4 if len(tokens) == 9 else 6
        self.raw = raw
        self.delivered = int(tokens[base])
        self.sequence = int(tokens[base + 1])
        self.time_ns = int(tokens[base + 3])
        self.pending = int(tokens[base + 4])
        self.touched = now  # when the server last heard of it
        self.done = False


class Pull:
    """The open requests of one consumer on one session. `arrived` is called when there is something to look at."""

    def __init__(self, session: Session, stream: str, durable: str, domain: str | None, clock: Clock) -> None:
        prefix = f"$JS.{domain}.API" if domain else "$JS.API"
        self._next = f"{prefix}.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._title = f"the consumer {durable} of the stream {stream}"
        self._session = session
        self._clock = clock
        self._subscription: Any = None
        self._inbox = ""
        self._heard = 0.0
        self.asked = 0  # messages that open requests may still bring
        self.waiting: deque[Message] = deque()
        self.failure: ReactorError | None = None
        self.arrived: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Subscribe to an inbox of its own."""
        client: Any = self._session.client
        with translation(self._title):
            self._inbox = client.new_inbox()
            self._subscription = await client.subscribe(
                self._inbox, cb=self._take, pending_msgs_limit=0, pending_bytes_limit=0
            )
        self._heard = self._clock.monotonic()

    async def ask(self, places: int, at_once_max: int) -> None:
        """Request as many more as there are free places, `at_once_max` in one request, but no trickle of small ones."""
        free = places - self.asked
        if free <= 0 or (self.asked and free < min(at_once_max, places) / 2):
            return
        if not self.asked:
            self._heard = self._clock.monotonic()
        while free > 0:
            batch = min(free, at_once_max)
            free -= batch
            self.asked += batch
            body = {"batch": batch, "expires": round(EXPIRES_S * 1e9), "idle_heartbeat": round(HEARTBEAT_S * 1e9)}
            with translation(self._title):
                await self._session.client.publish(self._next, msgspec.json.encode(body), reply=self._inbox)

    def check(self) -> None:
        """Raises NotConnected if the session broke, or a request is open and even its heartbeats do not come."""
        if self._session.gone.is_set():
            raise NotConnected(f"{self._title}: the connection broke")
        if self.asked and self._clock.monotonic() - self._heard > 2 * HEARTBEAT_S + 1:
            raise NotConnected(f"{self._title} is silent: not even heartbeats come")
        if self.failure is not None:
            raise self.failure

    async def close(self, left: Iterable[Message]) -> None:
        """Take no more; what waits here, and what is `left` unsettled elsewhere, goes back at once."""
        subscription, self._subscription = self._subscription, None
        if subscription is None or self._session.gone.is_set():
            return
        with translation(self._title):
            await subscription.unsubscribe()
            for message in (*left, *self.waiting):
                await message.raw.nak()
            self.waiting.clear()
            await self._session.client.flush(timeout=2)

    async def _take(self, raw: Any) -> None:
        self._heard = self._clock.monotonic()
        headers: dict[str, str] | None = raw.headers
        status = headers.get("Status") if headers is not None and not raw.data else None
        if status is None:
            self.asked = max(0, self.asked - 1)
            self.waiting.append(Message(raw, self._heard))
        elif headers is not None and status in _ENDS:
            self._ended(status, headers)
        else:
            return  # a heartbeat
        self.arrived()

    def _ended(self, status: str, headers: dict[str, str]) -> None:
        """A request is over: how many it did not bring, and why."""
        left = headers.get("Nats-Pending-Messages")
        self.asked = max(0, self.asked - int(left)) if left is not None else 0
        words = headers.get("Description", "")
        if status == "409" and words.startswith(_LASTING):
            self.failure = NotConnected(f"{self._title}: {words}")
