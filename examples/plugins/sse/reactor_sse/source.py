"""Server-Sent Events -> events.

Promise: effectively once and in order, from a server that gives every message an id and goes on after `Last-Event-ID`.
The id of the last message that is durable is a mark of the trigger. Until there is one, and for messages without an id,
the server decides what a new connection gets.
"""

import json
from collections import deque
from typing import Any, Literal

import aiohttp
from pydantic import Field

from reactor.triggers.contract import (
    ConfigError,
    Delivery,
    Duration,
    EndOfEvents,
    ErrorInfo,
    Event,
    Mark,
    NotConnected,
    Settlement,
    Size,
    Traits,
    TriggerConfig,
    TriggerContext,
    Undecodable,
)

from .stream import Message, Parser

KEY = "last-event-id"
CONNECT_S = 10.0


class SseConfig(TriggerConfig):
    """The keys of `sse`."""

    url: str = Field(pattern="^https?://", examples=["https://example.com/prices"], description="the stream")
    headers: dict[str, str] = Field(default_factory=dict, description="sent with every request")
    type: str = Field(default="sse", min_length=1, description="what types begin with: `<type>.<name of the event>`")
    format: Literal["json", "text"] = Field(default="json", description="what a message's data is")
    silence: Duration = Field(default=300.0, ge=1.0, description="connect again when nothing came for so long")
    max_bytes: Size = Field(default=1024 * 1024, ge=1, description="a larger message is a dead letter")


class SseTrigger:
    """One response that does not end; the supervisor asks again when it does."""

    Config = SseConfig
    traits = Traits(acknowledges=True, stable_ids=True, ordered=True, replays=True, shared=False)

    def __init__(self, config: SseConfig, context: TriggerContext) -> None:
        self.config = config
        self.context = context
        self.session: aiohttp.ClientSession | None = None
        self.response: aiohttp.ClientResponse | None = None
        self.parser = Parser(config.max_bytes)
        self.messages: deque[Message] = deque()
        self.last: bytes | None = None  # the mark of the last message that was handed on
        self.lost = False  # a delivery was refused: go back to where the store is

    async def connect(self) -> None:
        """Ask for the stream, from after the last durable message. Raises NotConnected, ConfigError, EndOfEvents."""
        self._hang_up()
        self.last = (await self.context.reread()).get(KEY, self.context.marks.get(KEY))
        if self.session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self.config.silence)
            self.session = aiohttp.ClientSession(timeout=timeout)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", **self.config.headers}
        if self.last is not None:
            headers["Last-Event-ID"] = self.last.decode()
        try:
            self.response = await self.session.get(self.config.url, headers=headers)
        except aiohttp.InvalidURL as error:
            raise ConfigError(f"sse: {self.config.url} is no URL", path="url") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(f"does not answer: {error or type(error).__name__}") from error
        self._accept(self.response)

    def _accept(self, response: aiohttp.ClientResponse) -> None:
        """Judge the answer's head."""
        status = response.status
        if status == 204:
            raise EndOfEvents(f"sse: {self.config.url} has no more events")
        if status in (401, 403):
            raise ConfigError(
                f"sse: {self.config.url} refuses with {status} {response.reason}",
                path="headers",
                hint="see whether `headers` holds the right credentials",
                code="unauthorized" if status == 401 else "forbidden",
            )
        if status in (408, 425, 429) or status >= 500:
            after = response.headers.get("Retry-After", "")
            wait = float(after) if after.isdigit() else self.parser.retry_s
            raise self._unreachable(f"answers with {status} {response.reason}", wait)
        if status != 200:
            raise ConfigError(f"sse: {self.config.url} answers with {status} {response.reason}", path="url")
        if response.content_type != "text/event-stream":
            raise ConfigError(
                f"sse: {self.config.url} answers with {response.content_type}, not text/event-stream", path="url"
            )

    async def read(self) -> Delivery:
        """The next message as an event; raises NotConnected when the stream ends, or is to be read again."""
        response = self.response
        assert response is not None, "read comes after connect"
        while not self.lost:
            if self.messages:
                return self._delivery(self.messages.popleft())
            try:
                piece = await response.content.readany()
            except (aiohttp.ClientError, TimeoutError) as error:
                if self.lost:
                    break
                raise self._unreachable(f"was lost: {error or type(error).__name__}", self.parser.retry_s) from error
            if not piece:
                raise self._unreachable("ended the stream", self.parser.retry_s)
            self.messages.extend(self.parser.feed(piece))
        raise self._unreachable("is read again from the last durable message", 0.0)

    def _delivery(self, message: Message) -> Delivery:
        """One message as a delivery that moves the mark, if nobody else has."""
        event = self._event(message)
        marks: tuple[Mark, ...] = ()
        if message.id is not None:
            value = message.id.encode()
            marks = (Mark(self.context.name, KEY, value, expected=self.last),)
            self.last = value
        return Delivery((event,), settle=self._settle, marks=marks)

    def _event(self, message: Message) -> Event | Undecodable:
        id_ = message.id or ""
        data: Any = message.data
        if not message.whole:
            return self._refused(message, "too_large", f"the message has over {self.config.max_bytes} bytes")
        if self.config.format == "json":
            try:
                data = json.loads(message.data)
            except ValueError as error:
                return self._refused(message, "invalid_data", f"the message is not JSON: {error}")
        content_type = "application/json" if self.config.format == "json" else "text/plain"
        kind = f"{self.config.type}.{message.event}"
        return Event(type=kind, source=self.config.url, id=id_, datacontenttype=content_type, data=data)

    def _refused(self, message: Message, code: str, text: str) -> Undecodable:
        reason = ErrorInfo(code, text, "park")
        return Undecodable(message.data.encode(), reason, self.config.url, message.id or "", {"event": message.event})

    async def _settle(self, settlement: Settlement) -> None:
        if settlement.again:
            self.lost = True
            if self.response is not None:
                self.response.close()  # wakes a `read` that waits

    def _unreachable(self, what: str, retry_after_s: float | None = None) -> NotConnected:
        return NotConnected(f"sse: {self.config.url} {what}", retry_after_s=retry_after_s)

    async def close(self) -> None:
        """Hang up; safe twice."""
        self._hang_up()
        session, self.session = self.session, None
        if session is not None:
            await session.close()

    def _hang_up(self) -> None:
        response, self.response = self.response, None
        self.messages.clear()
        self.parser = Parser(self.config.max_bytes)
        self.lost = False
        if response is not None:
            response.close()
