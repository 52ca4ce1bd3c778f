"""Cron expressions: read, checked, and the instants they name; APScheduler's trigger classes do the calendar.

They are asked about wall-clock time without a zone alone; what clocks do to it is decided here (triggers.md, `cron`): a
local time that is skipped does not fire; one that comes twice fires once, the first time, if the hour is fixed, and
both times if the hour field has `*` or a step. Day-of-month and day-of-week both given mean *or*, as in crontab (a
field that begins with `*` is not given). Unix seconds in and out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, cast
from zoneinfo import ZoneInfo

from ..core.durations import LATEST_S
from ..core.errors import ConfigError
from ..language.diagnostics import did_you_mean

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FROM_S = -2 * 86_400.0  # before 1970 in every zone: the calendar begins there

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 0, 7, _WEEKDAYS),
)


class _Calendar(Protocol):
    """What we use of APScheduler's CronTrigger and OrTrigger."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first time not before `now`."""
        ...


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked expression. `real_time`: the hour is not fixed, so that an hour that comes twice counts twice."""

    text: str
    real_time: bool
    calendar: _Calendar


@functools.lru_cache(maxsize=1024)
def parse_cron(text: str) -> Cron:
    """Read five fields (minute first) or six (second first), or a name such as `@daily`.

    Raises ConfigError: what is wrong in which field, and a date that never comes.
    """
    fields = NICKNAMES.get(text.strip().lower(), text).split()
    if text.strip().startswith("@") and len(fields) == 1:
        raise ConfigError(f"there is no schedule {text.strip()}", hint=did_you_mean(text.strip().lower(), NICKNAMES))
    if len(fields) not in (5, 6):
        raise ConfigError(
            f"the schedule {text!r} has {len(fields)} field{'s' if len(fields) != 1 else ''}",
            hint="write five (minute hour day-of-month month day-of-week), or six with seconds first",
        )
    if len(fields) == 5:
        fields.insert(0, "0")
    second, minute, hour, day, month, weekday = (
        _items(field, value, text) for field, value in zip(_FIELDS, fields, strict=True)
    )
    day_given, weekday_given = not fields[3].startswith("*"), not fields[5].startswith("*")
    either = day_given and weekday_given
    comes = _comes(day, month)
    if not comes and not either:
        first, names = day.split(",")[0].split("-")[0], _month_names(month)
        raise ConfigError(
            f"the schedule {text!r} never comes: there is no {first} {names}",
            hint="write L for the last day of a month",
        )
    times = {"second": second, "minute": minute, "hour": hour, "month": month}
    days, weekdays = {"day": day}, {"day_of_week": _days_of_week(weekday)}
    ways = [days, weekdays][0 if comes else 1 :] if either else [{**days, **weekdays}]
    every_hour = len({at for item in hour.split(",") for at in _values(item, 0, 23)}) == 24
    return Cron(
        text,
        every_hour or "*" in fields[2] or "/" in fields[2],
        _calendar(*({**times, **way} for way in ways)),
    )


def _calendar(*ways: dict[str, str]) -> _Calendar:
    from apscheduler.triggers.combining import OrTrigger  # pyright: ignore[reportMissingTypeStubs]  # it has none
    from apscheduler.triggers.cron import CronTrigger  # pyright: ignore[reportMissingTypeStubs]  # it has none

    made = [CronTrigger(year="1970-9999", timezone=UTC, **cast("Any", way)) for way in ways]
    return cast("_Calendar", made[0] if len(made) == 1 else OrTrigger(made))


def _items(field: _Field, value: str, text: str) -> str:
    """A field's items, checked, with names as numbers: `1-5/2,9,last`."""
    return ",".join(_item(field, item, text) for item in value.split(","))


_ITEM = re.compile(r"(\*|[A-Za-z0-9]+)(?:-([A-Za-z0-9]+))?(?:/([0-9]+))?")


def _item(field: _Field, item: str, text: str) -> str:
    if field.name == "day-of-month" and item.upper() == "L":
        return "last"
    found = _ITEM.fullmatch(item)
    if found is None or (found[1] == "*" and found[2]):
        hint = "use *, numbers, names, a-b, a,b, */n" + (", L (the last day)" if field.name == "day-of-month" else "")
        raise ConfigError(f"the schedule {text!r} has {item!r} as {field.name}, which means nothing", hint=hint)
    low, high = (field.low, field.high) if found[1] == "*" else (_number(field, found[1], text),) * 2
    if found[2]:
        high = _number(field, found[2], text)
        if field.name == "day-of-week" and high == 0 and low:
            high = 7  # fri-sun
        if low > high:
            raise ConfigError(
                f"the schedule {text!r} has the {field.name} range {item!r}, whose end is before its start",
                hint="write two ranges with a comma between them",
            )
    if not found[3]:
        return "*" if found[1] == "*" else str(low) if low == high else f"{low}-{high}"
    step = int(found[3])
    if not 1 <= step <= field.high - field.low + 1:
        raise ConfigError(
            f"the schedule {text!r} has the step {step} in {field.name}",
            hint=f"a step of {field.name} is 1 to {field.high - field.low + 1}",
        )
    if not found[2]:  # 5/15: from 5 on
        high = 6 if field.name == "day-of-week" else field.high
    return f"{low}-{high}/{step}" if step <= high - low else str(low)


def _number(field: _Field, word: str, text: str) -> int:
    if word.isdigit() and word.isascii():
        if field.low <= int(word) <= field.high:
            return int(word)
        raise ConfigError(
            f"the schedule {text!r} has {word} as {field.name}", hint=f"{field.name} is {field.low} to {field.high}"
        )
    if word.lower() in field.names:
        return field.names.index(word.lower()) + (1 if field.names is _MONTHS else 0)
    kind = f"there is no {field.name} {word!r}" if field.names else f"{field.name} has no names, such as {word!r}"
    hint = did_you_mean(word.lower(), field.names) if field.names else f"write {field.low} to {field.high}"
    raise ConfigError(f"the schedule {text!r} is wrong: {kind}", hint=hint)


def _days_of_week(items: str) -> str:
    """The weekdays by name: the library's numbers begin at Monday, ours at Sunday."""
    days: set[int] = set()
    for item in items.split(","):
        days.update(day % 7 for day in _values(item, 0, 6))
    return "*" if len(days) == 7 else ",".join(_WEEKDAYS[day] for day in sorted(days))


def _values(item: str, low: int, high: int) -> range:
    span, _, step = item.partition("/")
    if span != "*":
        first, _, last = span.partition("-")
        low, high = int(first), int(last or first)
    return range(low, high + 1, int(step or 1))


def _comes(days: str, months: str) -> bool:
    """Is there such a date? Not 30 February."""
    if "*" in days or "last" in days:
        return True
    first = min(day for item in days.split(",") for day in _values(item, 1, 31))
    return any(first <= _DAYS_OF_MONTH[month - 1] for item in months.split(",") for month in _values(item, 1, 12))


def _month_names(months: str) -> str:
    named = sorted({month for item in months.split(",") for month in _values(item, 1, 12)})
    return " or ".join(_MONTHS[month - 1].capitalize() for month in named)


def next_fire(cron: Cron, after: float, zone: ZoneInfo) -> float | None:
    """The first instant strictly after `after` that the expression names in this zone, from 1970 on; None if there is
    none before the end of the year 9999 in UTC and in the zone.
    """
    if after >= LATEST_S:
        return None
    try:
        local = datetime.fromtimestamp(max(after, _FROM_S), zone)
        wall = local.replace(tzinfo=None)
        if cron.real_time and not local.fold and _instant(wall, zone, 1) > _instant(wall, zone, 0):
            return _next_before_fold(cron, after, wall, zone)
        return _first(cron, wall, after, zone)
    except (OverflowError, IndexError):  # what is after the last day of the year 9999 has no date, and no last one
        return None


def _first(cron: Cron, wall: datetime, after: float, zone: ZoneInfo) -> float | None:
    """The first named time after `wall` that exists and whose instant is after `after`."""
    found = _next_wall(cron, wall)
    while found is not None:
        instant = _instant(found, zone, 0)
        if instant <= after and cron.real_time:
            instant = _instant(found, zone, 1)
        if instant > after and _exists(found, instant, zone):
            return instant
        found = _next_wall(cron, found)
    return None


def _next_before_fold(cron: Cron, after: float, wall: datetime, zone: ZoneInfo) -> float | None:
    """The same for real time while the hour that comes again is passed for the first time."""
    ahead = _next_wall(cron, wall)
    if ahead is not None and _instant(ahead, zone, 1) > _instant(ahead, zone, 0):
        return _instant(ahead, zone, 0)  # within the first pass still
    low, high = after, _instant(wall, zone, 1)
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 0.5:  # the clock goes back between these two; clock changes fall on whole seconds
        middle = (low + high) / 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    change = float(round(high))
    again = datetime.fromtimestamp(change, zone).replace(tzinfo=None)
    return _first(cron, again - timedelta(seconds=1), after, zone)


def _next_wall(cron: Cron, wall: datetime) -> datetime | None:
    """The first named wall-clock time strictly after this one."""
    asked = (wall.replace(microsecond=0) + timedelta(seconds=1)).replace(tzinfo=UTC)
    found = cron.calendar.get_next_fire_time(None, asked)
    return found.replace(tzinfo=None) if found is not None else None


def _instant(wall: datetime, zone: ZoneInfo, fold: int) -> float:
    """The instant of a wall-clock time; `fold` 1 is the second of two."""
    return (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) - _EPOCH).total_seconds()


def _exists(wall: datetime, instant: float, zone: ZoneInfo) -> bool:
    """Is this no local time that a clock change skipped?"""
    return datetime.fromtimestamp(instant, zone).replace(tzinfo=None) == wall


def preview(text: str, zone: ZoneInfo, start: float, count: int) -> Iterator[float]:
    """The next `count` instants after `start`: what `reactor schedule preview` lists. Raises ConfigError."""
    cron = parse_cron(text)
    at: float | None = start
    for _ in range(count):
        at = next_fire(cron, at, zone)
        if at is None:
            return
        yield at
