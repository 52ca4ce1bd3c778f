"""Where a reader without a stored position begins (`start`), and what is said when a stored one is gone (`source_gap`).

Source: triggers.md section 1 (`start`, Gap).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from ..core.clock import Clock
from ..core.durations import parse_duration, parse_instant
from ..core.errors import ConfigError
from .contract import TriggerContext


class Start(Struct, frozen=True):
    """`at`: earliest, latest, last, time (Unix seconds in `time_s`) or offset (in `offset`, as the source counts)."""

    at: str
    time_s: float = 0.0
    offset: Any = None


def start_of(value: Any, default: str, clock: Clock) -> Start:
    """The value of `start`, or the kind's default. Raises ConfigError."""
    if value is None:
        return Start(default)
    if isinstance(value, str):
        return Start(value)
    found = cast("Mapping[str, Any]", value)
    if "offset" in found:
        return Start("offset", offset=found["offset"])
    time = found.get("time")
    if not isinstance(time, str):
        raise ConfigError("`start` is earliest, latest, {time: …} or {offset: …}", path="start")
    if "T" in time[1:]:
        return Start("time", time_s=parse_instant(time))
    return Start("time", time_s=clock.now() - parse_duration(time))


def gap(context: TriggerContext, what: str, lost: Mapping[str, Any]) -> ConfigError:
    """The error that stops a trigger whose source no longer has what comes after the stored position."""
    return ConfigError(
        what,
        code="source_gap",
        hint=f"say where to go on: reactor trigger resume {context.name} --start earliest (or latest)",
        details={"lost": dict(lost)},
    )
