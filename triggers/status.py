"""What can be said of a trigger at any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from ..core.errors import ErrorInfo
from .contract import Guarantee

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
