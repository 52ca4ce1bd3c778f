"""Durations, sizes and instants as people write them, and back: `1h30m`, `64KiB`, `2026-12-24T18:00:00+01:00`.

Seconds are floats, sizes are whole bytes, instants are Unix seconds (UTC). Source: the language page, section 1; ISO
8601 durations (weeks, days, hours, minutes, seconds); RFC 3339 instants; IEC 80000-13 size prefixes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from .errors import ConfigError

_UNITS_S = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_UNITS_US = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
}
_ORDER = tuple(_UNITS_S)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|[wdhms])")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|[wdhms]))+", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<w>\d+(?:\.\d+)?)W|(?:(?P<d>\d+(?:\.\d+)?)D)?"
    r"(?:T(?=\d)(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?)",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", re.ASCII)
_SIZE_UNITS = {
    "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "KB": 10**3, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?P<time>\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)

DURATION_S_MAX = 36_525 * 86_400.0
"""The longest duration that can be written: a hundred years."""


def parse_duration(text: str) -> float:
    """Seconds of `200ms`, `10s`, `5m`, `1h30m`, `1d`, `2w`, or ISO 8601 `PT1H30M`.

    Units go from large to small, each at most once. Raises ConfigError with the remedy: no unit, unknown unit, years
    and months (their length varies), longer than DURATION_S_MAX.
    """
    text = text.strip()
    if _DURATION.fullmatch(text):
        seconds, last = 0.0, -1
        for number, unit in _PART.findall(text):
            rank = _ORDER.index(unit)
            if rank <= last:
                raise ConfigError(
                    f"the duration {text!r} names its units out of order or twice",
                    hint="write the units from large to small, each once, like 1h30m",
                )
            last = rank
            seconds += float(number) * _UNITS_S[unit]
    elif text[:1] == "P" and len(text) > 1 and (iso := _ISO.fullmatch(text)):
        seconds = sum(float(number) * _UNITS_S[unit] for unit, number in iso.groupdict().items() if number)
    else:
        raise _not_a_duration(text)
    if seconds > DURATION_S_MAX:
        raise ConfigError(f"the duration {text!r} is longer than a hundred years", hint="write a shorter duration")
    return round(seconds, 6)


def _not_a_duration(text: str) -> ConfigError:
    if _NUMBER.fullmatch(text):
        if text[0] == "-":
            return ConfigError(f"the duration {text!r} is negative", hint="write a duration like 10s")
        return ConfigError(
            f"the duration {text!r} has no unit", hint=f"write {text}s for seconds or {text}ms for milliseconds"
        )
    if text[:1] == "-":
        return ConfigError(f"the duration {text!r} is negative", hint="write a duration like 10s")
    if re.fullmatch(r"P(?:\d+(?:\.\d+)?[YM])+.*", text, re.ASCII):
        return ConfigError(
            f"the duration {text!r} counts years or months, whose length varies", hint="write days, like P30D or 30d"
        )
    return ConfigError(
        f"{text!r} is not a duration", hint="write a number with a unit: 200ms, 10s, 5m, 1h30m, 1d or PT1H30M"
    )


def format_duration(seconds: float) -> str:
    """The shortest usual spelling, to the microsecond: 5400 is `1h30m`, 0.2 is `200ms`, 0 is `0s`; a minus sign if
    negative.
    """
    rest = round(abs(seconds) * 1_000_000)
    parts: list[str] = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNITS_US[unit])
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        parts.append(f"{rest}us")
    if not parts:
        return "0s"
    return ("-" if seconds < 0 else "") + "".join(parts)


def parse_size(text: str) -> int:
    """Bytes of `512B`, `64KiB`, `1.5MiB`, `10MB` (decimal). Raises ConfigError with the remedy: no unit, unknown
    unit.
    """
    text = text.strip()
    found = _SIZE.fullmatch(text)
    if found is None:
        if _NUMBER.fullmatch(text) and text[0] != "-":
            raise ConfigError(
                f"the size {text!r} has no unit", hint=f"write {text}B for bytes or {text}KiB for kibibytes"
            )
        raise ConfigError(f"{text!r} is not a size", hint="write a number with a unit: 512B, 64KiB, 1MiB, 10MB")
    factor = _SIZE_UNITS.get(found[2])
    if factor is None:
        near = {unit.lower(): unit for unit in ("B", "KiB", "MiB", "GiB", "TiB", "KB", "MB", "GB", "TB")}
        near |= {"k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB"}
        meant = near.get(found[2].lower())
        hint = f"did you mean {found[1]}{meant}?" if meant else "the units are B, KiB, MiB, GiB, TiB, KB, MB, GB, TB"
        raise ConfigError(f"the size {text!r} has the unknown unit {found[2]!r}", hint=hint)
    return round(float(found[1]) * factor) if "." in found[1] else int(found[1]) * factor


def format_size(size: int) -> str:
    """Bytes as `64KiB`; one decimal where it is no whole number of the largest unit that fits (`1.5MiB`)."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _SIZE_UNITS[unit]
        if abs(size) >= factor:
            return f"{size // factor}{unit}" if size % factor == 0 else f"{size / factor:.1f}{unit}"
    return f"{size}B"


is_instant: Callable[[str], object | None] = re.compile(
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
    r"[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
).fullmatch
"""Is a text RFC 3339, and does this instant exist? None if not. Second 60 does: nobody knows the leap seconds to come.
It is asked of each event that comes, and so is one look.
"""


def parse_instant(text: str) -> float:
    """Unix seconds of an RFC 3339 instant; a leap second is the first second of the next minute.

    Raises ConfigError: no date and time, no offset from UTC, or a date that does not exist, also in UTC (EARLIEST_S,
    LATEST_S).
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        if re.fullmatch(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", text, re.ASCII):
            raise ConfigError(
                f"the instant {text!r} lacks its offset from UTC"
                if len(text) > 10
                else f"the instant {text!r} lacks its time",
                hint="write it like 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00",
            )
        raise ConfigError(
            f"{text!r} is not an instant", hint="write it like 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00"
        )
    extra = 0
    if found["time"].endswith(":60"):
        extra, text = 1, text[:17] + "59" + text[19:]
    try:
        instant = datetime.fromisoformat(text.upper()).timestamp() + extra
        if not EARLIEST_S <= instant <= LATEST_S + 1:  # a fraction of the last second may be rounded up
            raise OverflowError("in UTC its year is not one of 1 to 9999")
        return instant
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"the instant {text!r} does not exist: {error}", hint="check its day, hour and offset"
        ) from error


def format_instant(instant_s: float) -> str:
    """RFC 3339 in UTC, with a fraction to the microsecond only where there is one: `2026-12-24T17:00:00.25Z`.

    What lies outside of the years 1 to 9999, as the time of a file may, becomes the first or the last instant of them.
    """
    second, microsecond = divmod(round(instant_s * 1_000_000), 1_000_000)
    text = _second(second)
    return f"{text}.{microsecond:06d}".rstrip("0") + "Z" if microsecond else text + "Z"


def format_millis(instant_s: float) -> str:
    """The same of one width, for what stands in columns and is sorted as text: `2026-12-24T17:00:00.250Z`."""
    second, millis = divmod(round(instant_s * 1000), 1000)
    return f"{_second(second)}.{millis:03d}Z"


@functools.lru_cache(64)
def _second(second: int) -> str:
    """The same instants are written again and again: most of now."""
    return (_EPOCH + timedelta(seconds=min(max(second, EARLIEST_S), LATEST_S))).isoformat()[:19]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_S = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()
"""The first instant that RFC 3339 writes in UTC, in Unix seconds."""
LATEST_S = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH).total_seconds()
"""The last whole second of them."""
