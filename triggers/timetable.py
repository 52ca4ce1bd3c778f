"""When `cron`, `every` and `at` are due: their keys, and from them the instants, as pure functions (Unix seconds)."""

from __future__ import annotations

import bisect
import math
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from ..connections.fields import Keys, shown
from ..core.durations import LATEST_S, format_instant, parse_instant
from ..core.errors import ConfigError
from ..core.ids import digest
from .contract import Duration, TriggerConfig
from .cron import next_fire, parse_cron

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


class CronTable(Struct, frozen=True):
    """The instants of all expressions together, read anew each time, mostly from a cache: a calendar has 2.5 KB."""

    texts: tuple[str, ...]
    zone: ZoneInfo
    start: float | None
    until: float | None

    def after(self, instant: float, anchor: float) -> float | None:
        """The first due instant strictly after one; None if there is none."""
        if self.start is not None and instant < self.start:
            instant = self.start - 1e-6
        if len(self.texts) == 1:
            due = next_fire(parse_cron(self.texts[0]), instant, self.zone)
        else:
            found = (next_fire(parse_cron(text), instant, self.zone) for text in self.texts)
            due = min((each for each in found if each is not None), default=None)
        return None if due is None or (self.until is not None and due > self.until) else due


class EveryTable(Struct, frozen=True):
    """The multiples of an interval, from `start` (which is due itself) or else from the first start of the trigger."""

    interval: float
    start: float | None
    until: float | None

    def after(self, instant: float, anchor: float) -> float | None:
        """As for `cron`; `anchor` is the first start."""
        origin, least = (anchor, 1) if self.start is None else (self.start, 0)
        count = max(least, math.floor((instant - origin) / self.interval))
        while (due := round(origin + count * self.interval, 6)) <= instant:
            count += 1
        return None if due > (LATEST_S if self.until is None else self.until) else due


class AtTable(Struct, frozen=True):
    """Written instants, in order."""

    times: tuple[float, ...]

    def after(self, instant: float, anchor: float) -> float | None:
        """As for `cron`."""
        place = bisect.bisect_right(self.times, instant)
        return self.times[place] if place < len(self.times) else None


class Plan(Struct, frozen=True):
    """What a trigger keeps of its config: small, for there may be many."""

    table: CronTable | EveryTable | AtTable
    misfire: Misfire
    zone: ZoneInfo
    jitter: float
    data: dict[str, Any] | None

    @property
    def grid(self) -> str:
        """Stands for what is due: if it changes, what the old schedule missed is not the new one's."""
        return digest(repr(self.table)).hex()[:16]


class AtConfig(TriggerConfig):
    """`at`: instants written out."""

    time: Instants = Field(min_length=1)
    misfire: Misfire = Misfire()
    data: dict[str, Any] | None = None

    def plan(self) -> Plan:
        """What follows from it."""
        return Plan(AtTable(tuple(sorted(set(self.time)))), self.misfire, ZoneInfo("UTC"), 0.0, self.data)


class _Repeated(TriggerConfig):
    """What `cron` and `every` share."""

    timezone: Zone = "UTC"
    jitter: Duration = Field(default=0.0, ge=0, le=JITTER_S_MAX)
    misfire: Misfire = Misfire()
    overlap: Literal["allow", "skip", "queue", "cancel_running"] = "allow"  # the binding's: carried out by the engine
    start: Instant | None = Field(default=None, alias="from")
    until: Instant | None = None
    data: dict[str, Any] | None = None

    @field_validator("until")
    @classmethod
    def _it_comes(cls, value: float | None, others: ValidationInfo) -> float | None:
        start: float | None = others.data.get("start")
        if value is not None and start is not None and value < start:
            raise ValueError(f"is before `from`, {format_instant(start)}: the schedule never comes")
        return value

    def _plan(self, table: CronTable | EveryTable) -> Plan:
        return Plan(table, self.misfire, ZoneInfo(self.timezone), self.jitter, self.data)


class CronConfig(_Repeated):
    """`cron`: one expression or several."""

    schedule: Schedules = Field(min_length=1, examples=["*/5 * * * *"])

    def plan(self) -> Plan:
        """What follows from it."""
        return self._plan(CronTable(tuple(self.schedule), ZoneInfo(self.timezone), self.start, self.until))


class EveryConfig(_Repeated):
    """`every`: a fixed interval of real time."""

    interval: Duration = Field(ge=1, le=INTERVAL_S_MAX, examples=["15s"])

    def plan(self) -> Plan:
        """What follows from it."""
        return self._plan(EveryTable(self.interval, self.start, self.until))
