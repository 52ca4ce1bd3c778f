"""When `cron`, `every` and `at` are due: their keys, and from them the instants, as pure functions (Unix seconds)."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..connections.fields import Keys, shown
from ..core.durations import format_instant, parse_instant
from ..core.errors import ConfigError
from .contract import Duration, TriggerConfig
from .cron import next_fire, parse_cron

NextDue = Callable[[float], float | None]
"""The first due instant strictly after one; None if there is none."""

INTERVAL_S_MAX = 366 * 86_400.0
JITTER_S_MAX = 3_600.0


def _words(error: ConfigError) -> PydanticCustomError:
    return PydanticCustomError("words", "{text}", {"text": f"{error}; {error.hint}" if error.hint else str(error)})


def _instant(value: object) -> float:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.timestamp()
    try:
        if isinstance(value, str):
            return parse_instant(value)
    except ConfigError as error:
        raise _words(error) from None
    raise _words(ConfigError(f"expected an instant such as 2026-12-24T18:00:00+01:00; found {shown(value)}"))


def _listed(value: Any) -> Any:
    """One in place of a list of one."""
    return cast("Any", value) if isinstance(value, list) else [value]


def _schedule(value: str) -> str:
    try:
        parse_cron(value)
    except ConfigError as error:
        raise _words(error) from None
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder, a path out of the database
        hint = "write an IANA name such as Europe/Berlin, or UTC"
        raise _words(ConfigError(f"there is no time zone {shown(value)}", hint=hint)) from None
    return value


Instant = Annotated[
    float,
    BeforeValidator(_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Unix seconds, written in RFC 3339."""
Schedule = Annotated[str, AfterValidator(_schedule)]
Instants = Annotated[list[Instant], BeforeValidator(_listed, json_schema_input_type=Instant | list[Instant])]
Schedules = Annotated[list[Schedule], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
Zone = Annotated[str, AfterValidator(_zone)]


class Misfire(Keys):
    """What becomes of instants that are noticed more than `grace` late (semantics 8.4)."""

    policy: Literal["run_once", "run_all", "skip"] = "run_once"
    grace: Duration = Field(default=60.0, ge=0, le=86_400)


class AtConfig(TriggerConfig):
    """`at`: instants written out."""

    time: Instants = Field(min_length=1)
    misfire: Misfire = Misfire()
    data: dict[str, Any] | None = None

    def due(self, anchor: float) -> NextDue:
        """The times in order."""
        times = sorted(set(self.time))

        def after(instant: float) -> float | None:
            place = bisect.bisect_right(times, instant)
            return times[place] if place < len(times) else None

        return after

    def grid(self) -> str:
        """What the instants follow from: if it changes, those that the old one missed are not the new one's."""
        return str(self.time)


class _Repeated(TriggerConfig):
    """What `cron` and `every` share."""

    timezone: Zone = "UTC"
    jitter: Duration = Field(default=0.0, ge=0, le=JITTER_S_MAX)
    misfire: Misfire = Misfire()
    overlap: Literal["allow", "skip", "queue", "cancel_running"] = "allow"  # the binding's: carried out by the engine
    start: Instant | None = Field(default=None, alias="from")
    until: Instant | None = None
    data: dict[str, Any] | None = None


class CronConfig(_Repeated):
    """`cron`: one expression or several."""

    schedule: Schedules = Field(min_length=1, examples=["*/5 * * * *"])

    def due(self, anchor: float) -> NextDue:
        """The instants of all expressions together."""
        zone, until = ZoneInfo(self.timezone), self.until
        start = -math.inf if self.start is None else self.start - 1e-6
        crons = [parse_cron(text) for text in self.schedule]

        def after(instant: float) -> float | None:
            instant = max(instant, start)
            if len(crons) == 1:
                first = next_fire(crons[0], instant, zone)
            else:
                found = (next_fire(cron, instant, zone) for cron in crons)
                first = min((due for due in found if due is not None), default=None)
            return None if first is None or (until is not None and first > until) else first

        return after

    def grid(self) -> str:
        """As for `at`."""
        return f"{self.schedule} {self.timezone} {self.start} {self.until}"


class EveryConfig(_Repeated):
    """`every`: a fixed interval of real time, counted from `from` (which is due itself) or from the first start."""

    interval: Duration = Field(ge=1, le=INTERVAL_S_MAX, examples=["15s"])

    def due(self, anchor: float) -> NextDue:
        """The multiples of the interval."""
        interval, until = self.interval, self.until
        origin, least = (anchor, 1) if self.start is None else (self.start, 0)

        def after(instant: float) -> float | None:
            count = max(least, math.floor((instant - origin) / interval))
            while (due := round(origin + count * interval, 6)) <= instant:
                count += 1
            return None if until is not None and due > until else due

        return after

    def grid(self) -> str:
        """As for `at`."""
        return f"{self.interval} {self.start} {self.until}"
