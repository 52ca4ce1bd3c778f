"""Where a reader without a stored position begins (`start`), and what is said when a stored one is gone (`source_gap`).

Source: triggers.md section 1 (`start`, Gap).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from ..core.clock import Clock
from ..core.durations import parse_duration, parse_instant
from ..core.errors import ConfigError
from ..language.built_in import BUILT_IN
from ..language.loader_triggers import start_fault
from .contract import TriggerContext


class Start(Struct, frozen=True):
    """`at`: earliest, latest, last, time (Unix seconds in `time_s`) or offset (in `offset`, as the source counts)."""

    at: str
    time_s: float = 0.0
    offset: Any = None


def start_of(value: Any, default: str, clock: Clock, known: Sequence[str] = ("earliest", "latest")) -> Start:
    """The value of `start`, or the kind's default. Raises ConfigError for a word that is not among the `known`."""
    if value is None:
        return Start(default)
    if isinstance(value, str):
        if value not in known:
            words = ", ".join(known)
            raise ConfigError(f"`start: {value}` means nothing here: write {words}, a time or an offset", path="start")
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


def check_resumed(name: str, kind: str, start: Any) -> None:
    """May a trigger of this kind go on from there? What a plugin takes is its own to say. Raises ConfigError."""
    words = BUILT_IN.kinds.get(kind)
    if start is None or words is None:
        return
    if "offset" not in (words.starts or {}):
        raise ConfigError(
            f"a trigger of kind {kind} goes on where it stopped: `start` means nothing to its resume",
            path="start",
            hint=f"leave it out: reactor trigger resume {name}",
        )
    fault = start_fault(words, start)
    if fault is not None:
        raise ConfigError(fault.message, path="start", hint=fault.hint or fault.expected)


def gap(context: TriggerContext, what: str, lost: Mapping[str, Any]) -> ConfigError:
    """The error that stops a trigger whose source no longer has what comes after the stored position."""
    return ConfigError(
        what,
        code="source_gap",
        hint=f"say where to go on: reactor trigger resume {context.name} --start earliest (or latest)",
        details={"lost": dict(lost)},
    )


def offsets_of(given: Any) -> dict[int, int]:
    """`start.offset` of Kafka: partition → offset. Raises ConfigError."""
    try:
        found = {int(str(one)): offset for one, offset in cast("Mapping[Any, Any]", given).items()}
        if all(isinstance(offset, int) and not isinstance(offset, bool) and offset >= 0 for offset in found.values()):
            return found
    except (AttributeError, ValueError):
        pass
    raise ConfigError("`start.offset` of kafka is a mapping of partitions to offsets: {0: 4711}", path="start.offset")
