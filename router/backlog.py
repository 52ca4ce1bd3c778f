"""The bound of what waits for the bus: over OUTBOX_ROWS_MAX the oldest is given up, and the gap is named.

What is given up is the bus's debt alone: a row that the router is owed stays. How much went is a mark in the same unit,
so that no crash forgets a gap before its event is on the bus (semantics 7.4).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from ..connections.bus import GAP
from ..core.clock import Clock
from ..core.durations import format_instant
from ..core.errors import StoreUnavailable
from ..core.event import Event, InvalidEvent, Mark, decode
from ..core.limits import EVENT_BYTES_MAX, OUTBOX_ROWS_MAX
from ..store.contract import BUS, OutboxRow, Store, Unit

log = logging.getLogger("reactor.outbox")
LOOK_S = 10.0  # between two looks at how much waits; what comes meanwhile may stand above the bound
STEP_ROWS = 128  # given up by one unit: it must not stop the groups
_SCOPE, _KEY = "outbox", "gap"


class Place(msgspec.Struct, frozen=True):
    """An event at one end of a gap."""

    id: str
    type: str
    time: str | None


class Gap(msgspec.Struct, frozen=True):
    """What the bus never gets and has not been told of: how many events, from which to which, until when (Unix
    seconds).
    """

    events: int
    first_row: int
    last_row: int
    first: Place | None
    last: Place | None
    at: float

    def with_rows(self, rows: Sequence[OutboxRow], at: float) -> Gap:
        """This gap and the rows behind it."""
        return Gap(
            self.events + len(rows), self.first_row, rows[-1].key, self.first, _place(rows[::-1]) or self.last, at
        )


class Backlog:
    """Keeps what waits for the bus below its bound, and knows the gap that this made."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._looked: float | None = None
        self._stored: bytes | None = None  # the gap's mark as it was last read or written
        self.gap: Gap | None = None
        self.given_up = 0  # events, since the start of the process

    async def look(self) -> None:
        """Give up the oldest of what is too much; does nothing until LOOK_S after the look before."""
        now = self._clock.monotonic()
        if self._looked is not None and now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            self._know((await self._store.marks(_SCOPE)).get(_KEY))
            until = await self._store.outbox_over(BUS, OUTBOX_ROWS_MAX)
            before, begun = self.given_up, self.gap is None
            while until and await self._give_up(until):
                pass
        except StoreUnavailable:
            return  # the next look does it
        if begun and self.given_up > before:
            log.error(
                "more than %d events wait for the bus: the oldest are given up, and it will be told of the gap",
                OUTBOX_ROWS_MAX,
            )

    async def _give_up(self, until: int) -> bool:
        """One step of it; False if nothing is left up to this row, or another process does it."""
        rows = [row for row in await self._store.outbox(BUS, after=0, limit=STEP_ROWS) if row.key <= until]
        if not rows:
            return False
        at = self._clock.now()
        gap = self.gap or Gap(0, rows[0].key, rows[0].key, _place(rows), None, at)
        value = msgspec.json.encode(gap.with_rows(rows, at))
        mark = Mark(_SCOPE, _KEY, value, expected=self._stored)
        done = tuple((row.key, BUS) for row in rows)
        if (await self._store.submit(Unit(outbox_done=done, marks=(mark,)))).refused:
            return False
        self._know(value)
        self.given_up += len(rows)
        return True

    def event(self) -> Event | None:
        """The event that names the gap; None if there is none. Named again it is the same, unless the gap has grown."""
        gap = self.gap
        if gap is None:
            return None
        return Event(
            type=GAP,
            source="/bus",
            id=f"{self._store.id}-gap-{gap.first_row:x}-{gap.last_row:x}",
            time=format_instant(gap.at),
            datacontenttype="application/json",
            data={
                "events": gap.events,
                "first": msgspec.to_builtins(gap.first),
                "last": msgspec.to_builtins(gap.last),
                "limit": OUTBOX_ROWS_MAX,
            },
        )

    async def named(self) -> None:
        """The gap's event is on the bus. One that another process has made larger meanwhile is named once more."""
        gap, mark = self.gap, Mark(_SCOPE, _KEY, None, expected=self._stored)
        if (await self._store.submit(Unit(marks=(mark,)))).refused:
            self._know((await self._store.marks(_SCOPE)).get(_KEY))
            return
        self._know(None)
        if gap is not None:
            log.warning("the bus was told that it never gets %d events", gap.events)

    def _know(self, stored: bytes | None) -> None:
        self._stored = stored
        self.gap = None if stored is None else msgspec.json.decode(stored, type=Gap)


def _place(rows: Sequence[OutboxRow]) -> Place | None:
    """The first of these that can be read."""
    for row in rows:
        try:
            event = decode(row.body, bytes_max=64 * EVENT_BYTES_MAX)
        except InvalidEvent:
            continue
        return Place(event.id, event.type, event.time)
    return None
