"""What can be said of a trigger at any time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal

from msgspec import Struct

from ..core.errors import ErrorInfo, StoreUnavailable
from ..core.event import Delivery, Mark, Publish, Settlement
from .contract import Guarantee

_log = logging.getLogger("reactor.triggers")

SCOPE = "/paused"
"""Of the marks that say which triggers are paused; no trigger is called so."""

SWITCHES_MAX = 1_000
"""Pauses and resumes of one process whose keys are remembered."""

State = Literal["connecting", "connected", "down", "paused", "finished", "failed", "gap"]
"""`down`: the next attempt is known; `failed`, `gap`: a person must act; `finished`: the source has ended."""


class TriggerStatus(Struct, frozen=True):
    """What `reactor trigger list` shows of one trigger. Instants are Unix seconds, ages seconds."""

    name: str
    kind: str
    state: State
    since: float
    guarantee: Guarantee | Literal[""]
    error: ErrorInfo | None
    next_attempt_at: float | None
    read: int
    settled: int
    refused: int
    reconnects: int
    in_flight: int
    oldest_unsettled_s: float
    held: bool
    details: Mapping[str, Any]


class Switches:
    """Which triggers people have paused, durably; and the keys with which they asked, while the process lives."""

    __slots__ = ("_asked", "_publish", "_read", "_unread", "paused")

    def __init__(self, publish: Publish, read_marks: Callable[[str], Awaitable[Mapping[str, bytes]]]) -> None:
        self.paused: set[str] = set()
        self._asked: deque[tuple[str, bool, str]] = deque(maxlen=SWITCHES_MAX)
        self._publish = publish
        self._read = read_marks
        self._unread = True

    async def only(self, triggers: Collection[str]) -> None:
        """These are the triggers that there are: what is not among them is not paused any more."""
        if self._unread:
            self.paused |= set(await self._read(SCOPE))
            self._unread = False
        gone = [name for name in self.paused if name not in triggers]
        if gone:
            self.paused.difference_update(gone)
            await self._publish(SCOPE, Delivery((), marks=tuple(Mark(SCOPE, name, None) for name in gone)))

    async def switch(self, trigger: str, *, pause: bool, key: str) -> bool:
        """Pause it, or end that: durable when it returns. False if it was done with this key before.

        Raises StoreUnavailable.
        """
        asked = (trigger, pause, key)
        if key and asked in self._asked:
            return False
        if pause != (trigger in self.paused):
            await self._keep(trigger, b"1" if pause else None)
            (self.paused.add if pause else self.paused.discard)(trigger)
        if key:
            self._asked.append(asked)
        return True

    async def _keep(self, trigger: str, value: bytes | None) -> None:
        durable: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()

        async def settle(settlement: Settlement) -> None:
            durable.set_result(settlement)

        await self._publish(SCOPE, Delivery((), settle, marks=(Mark(SCOPE, trigger, value),)))
        if (await durable).again:
            raise StoreUnavailable("nothing was changed: the store refuses writes now", hint="repeat the request")


class Trouble:
    """Tells the log what is wrong with a trigger: once, however often it is tried again, and when it is over."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told = ""

    def tell(self, who: str, state: State, error: ErrorInfo | None) -> None:
        """What `who` has come to."""
        if state == "connected" and self._told:
            self._told = ""
            _log.info("%s is connected again", who)
        elif error is not None and state != "connecting" and self._told != f"{who} is {state}: {error.message}":
            self._told = f"{who} is {state}: {error.message}"
            _log.warning("%s", self._told)
