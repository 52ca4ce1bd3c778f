"""`GET /api/v1/stream`: events of runs and steps, and the events that come, as Server-Sent Events.

Clients read one shared, bounded buffer, each at its own pace: a slow one falls behind and is told so (`reset`), and
never slows a run. Nothing is kept while nobody looks. Source: HTML, server-sent events; language page, section 7.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from msgspec import Struct

from ..core.durations import format_instant
from ..core.event import Event, decode_stored, encode
from ..core.http import Refused
from ..core.ids import event_text
from ..core.limits import KIB, MIB, STREAM_BUFFER_EVENTS
from .wire import Receive, Scope, Send

if TYPE_CHECKING:
    from ..app import App
    from ..store.contract import EventRow

BUFFER_BYTES_MAX = 32 * MIB
HEARTBEAT_S = 15.0
LINGER_S = 60.0  # the buffer is kept this long after the last client went, so that it may resume
SEND_BYTES = 64 * KIB
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_KEYS = ("workflow", "run", "type", "last_event_id")


class Entry(Struct, frozen=True):
    """One event in the buffer: its number, what filters look at, its line."""

    number: int
    type: str
    workflow: str
    run: str
    line: bytes


class Buffer:
    """The newest events, at most STREAM_BUFFER_EVENTS and BUFFER_BYTES_MAX; the oldest go first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self.last = 0

    @property
    def first(self) -> int:
        """The number of the oldest that is still there; one more than the last if there is none."""
        return self._entries[0].number if self._entries else self.last + 1

    def add(self, event: Event) -> None:
        """Take one more."""
        self.last += 1
        about = event.extensions
        entry = Entry(
            self.last,
            event.type,
            str(event.subject or "") if event.source.startswith("/workflows/") else "",
            str(about.get("runid", "")),
            encode(event, meta=True),
        )
        self._entries.append(entry)
        self._bytes += len(entry.line)
        while len(self._entries) > STREAM_BUFFER_EVENTS or (self._bytes > BUFFER_BYTES_MAX and len(self._entries) > 1):
            self._bytes -= len(self._entries.popleft().line)

    def after(self, number: int) -> Iterator[Entry]:
        """Those that follow, oldest first."""
        return islice(self._entries, max(0, number + 1 - self.first), None)

    def clear(self) -> None:
        """Forget them; numbers go on."""
        self._entries.clear()
        self._bytes = 0


class Stream:
    """The stream of one app."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._buffer = Buffer()
        self._clients: set[asyncio.Event] = set()
        self._listening = False
        self._leave: asyncio.TimerHandle | None = None
        self._closing = False

    def close(self) -> None:
        """End every client's answer: the server stops."""
        self._closing = True
        self._stop_listening()
        for client in self._clients:
            client.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        """One client, until it goes. Raises Refused for an unknown key."""
        wanted = _wanted(scope)
        fits = _filter(wanted)
        seen = self._resumed(headers.get("last-event-id") or wanted.get("last_event_id", ""))
        wake = asyncio.Event()
        self._enter(wake)
        gone = asyncio.ensure_future(_gone(receive))
        gone.add_done_callback(lambda _: wake.set())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            start = b"retry: 1000\n" + self._id(self._buffer.last if seen is None else seen) + b"\n"
            if seen is None:
                start = b"retry: 1000\n" + self._reset()
                seen = self._buffer.last
            await _more(send, start)
            while not (gone.done() or self._closing):
                text, seen = self._text(seen, fits)
                if text:
                    await _more(send, text)
                    continue
                wake.clear()
                try:
                    async with asyncio.timeout(HEARTBEAT_S):  # wait_for of 3.11 may swallow a cancel
                        await wake.wait()
                except TimeoutError:
                    await _more(send, b": still here\n\n")
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._exit(wake)

    # -- what is sent
    def _text(self, seen: int, fits: Callable[[Entry], bool]) -> tuple[bytes, int]:
        """The next lines for a client that has seen up to a number, and up to where they go."""
        if seen + 1 < self._buffer.first:
            return self._reset(), self._buffer.last
        parts: list[bytes] = []
        size = 0
        for entry in self._buffer.after(seen):
            seen = entry.number
            if fits(entry):
                parts.append(b"%sdata: %s\n\n" % (self._id(entry.number), entry.line))
                size += len(entry.line)
                if size > SEND_BYTES:
                    break
        return b"".join(parts), seen

    def _reset(self) -> bytes:
        """Something is missing: the client must read anew what it shows."""
        return b'event: reset\n%sdata: {"reason":"events before this are not in the buffer"}\n\n' % self._id(
            self._buffer.last
        )

    def _id(self, number: int) -> bytes:
        return b"id: %d-%d\n" % (self._app.store.node, number)

    def _resumed(self, text: str) -> int | None:
        """Where to go on: after what the client saw last, else from now; None if there is a gap."""
        if not text:
            return self._buffer.last
        node, _, number = text.partition("-")
        if node != str(self._app.store.node) or not number.isascii() or not number.isdigit():
            return None
        return int(number) if self._buffer.first <= int(number) + 1 <= self._buffer.last + 1 else None

    # -- who looks
    def _enter(self, client: asyncio.Event) -> None:
        self._clients.add(client)
        if self._leave is not None:
            self._leave.cancel()
            self._leave = None
        if not self._listening:
            self._listening = True
            self._app.engine.telling.listeners.append(self._told)
            self._app.intake.keyed.append(self._accepted)
            self._app.unmatched.listeners.append(self._unmatched)

    def _exit(self, client: asyncio.Event) -> None:
        self._clients.discard(client)
        if not self._clients and self._listening:
            self._leave = asyncio.get_running_loop().call_later(LINGER_S, self._stop_listening)

    def _stop_listening(self) -> None:
        """Nobody looks any more: runs are told to nobody, at no cost."""
        if self._listening:
            self._listening = False
            self._app.engine.telling.listeners.remove(self._told)
            self._app.intake.keyed.remove(self._accepted)
            self._app.unmatched.listeners.remove(self._unmatched)
            if self._buffer.first <= self._buffer.last:
                self._buffer.clear()
            self._buffer.last += 1  # what happens from here on is missed by all

    def _told(self, event: Event) -> None:
        self._buffer.add(event)
        for client in self._clients:
            client.set()

    def _accepted(self, event: Event, key: int) -> None:
        if event.meta.get("trigger"):  # events of our own were told already
            self._came(event, key, self._app.clock.now(), "accepted")

    def _unmatched(self, row: EventRow) -> None:
        if row.trigger:
            self._came(decode_stored(row.body), row.key, row.at, "unmatched")

    def _came(self, event: Event, key: int, at: float, verdict: str) -> None:
        """An event from outside: with what lists say of it."""
        known = {"key": event_text(key), "accepted_at": format_instant(at), "verdict": verdict}
        self._told(event.replace(meta={**event.meta, **known}))


def _wanted(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, values in parse_qs(scope["query_string"].decode("latin-1")).items():
        if name not in _KEYS:
            raise Refused(
                400, "invalid_request", f"unknown key `{name}` in the query", hint=f"there are: {', '.join(_KEYS)}"
            )
        found[name] = values[-1]
    return found


def _filter(wanted: dict[str, str]) -> Callable[[Entry], bool]:
    workflow, run, kind = wanted.get("workflow", ""), wanted.get("run", ""), wanted.get("type", "")
    prefix = kind.removesuffix("*")

    def fits(entry: Entry) -> bool:
        return (
            (not workflow or entry.workflow == workflow)
            and (not run or entry.run == run)
            and (entry.type.startswith(prefix) if kind.endswith("*") else not kind or entry.type == kind)
        )

    return fits


async def _more(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


async def _gone(receive: Receive) -> Any:
    while (await receive())["type"] != "http.disconnect":
        continue
