"""The formats of JSON Schema that are checked, and its regular expressions in Python's spelling."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime, time
from urllib.parse import urlsplit

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_TIME = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def pattern(text: str) -> re.Pattern[str]:
    """A JSON Schema `pattern` (ECMA 262): `\\d \\w \\s` are ASCII, `$` is the very end. Raises re.error."""
    out: list[str] = []
    in_class = escaped = False
    for sign in text:
        if escaped:
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == "[":
            in_class = True
        elif sign == "]":
            in_class = False
        elif sign == "$" and not in_class:
            out.append(r"\Z")
            continue
        out.append(sign)
    return re.compile("".join(out), re.ASCII)


def _parses(parse: Callable[[str], object], shape: re.Pattern[str] | None = None) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        if shape is not None and shape.fullmatch(text) is None:
            return False
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return test


def _instant(text: str) -> object:
    return datetime.fromisoformat(_without_leap_second(text.upper()))


def _clock(text: str) -> object:
    return time.fromisoformat(_without_leap_second(text.upper()))


def _without_leap_second(text: str) -> str:
    return re.sub(r"(:\d\d):60", r"\1:59", text, count=1)


def _uri(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme) and not re.search(r"[\s<>\"{}|\\^`]", text)
    except ValueError:
        return False


FORMATS: dict[str, tuple[Callable[[str], bool], str]] = {
    "date-time": (_parses(_instant, _DATE_TIME), "an instant such as 2026-12-24T18:00:00Z"),
    "date": (_parses(date.fromisoformat, _DATE), "a date such as 2026-12-24"),
    "time": (_parses(_clock, _TIME), "a time such as 18:00:00Z"),
    "uuid": (lambda text: _UUID.fullmatch(text) is not None, "a UUID"),
    "ipv4": (_parses(ipaddress.IPv4Address), "an IPv4 address"),
    "ipv6": (_parses(ipaddress.IPv6Address), "an IPv6 address"),
    "email": (lambda text: _EMAIL.fullmatch(text) is not None, "an e-mail address"),
    "uri": (_uri, "a URI such as https://example.com/a"),
}
"""Format → test of a text, and what the message says was expected. Other formats are annotations."""
