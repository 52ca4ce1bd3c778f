"""What can be said of a trigger at any time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from ..core.errors import ErrorInfo
from .contract import Guarantee

_log = logging.getLogger("reactor.triggers")

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
    """Pauses and resumes that were asked for with a key: kept as a pause is, while the process lives."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: deque[tuple[str, str, str]] = deque(maxlen=SWITCHES_MAX)

    def first(self, trigger: str, word: str, key: str) -> bool:
        """Is this the first time that it is asked for with this key? Without a key each time is."""
        asked = (trigger, word, key)
        if key and asked in self._asked:
            return False
        if key:
            self._asked.append(asked)
        return True


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
