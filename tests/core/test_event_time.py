"""The `time` of an event is an instant that exists, or the event is refused (CloudEvents 1.0.2, RFC 3339)."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given, strategies as st

from reactor.core.event import Event, InvalidEvent, check


def refusal(time: str) -> str:
    try:
        check(Event(id="1", source="/s", type="t", time=time))
    except InvalidEvent as e:
        return str(e)
    return ""


@pytest.mark.parametrize(
    "time",
    [
        "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-00T00:00:00Z",
        "2026-04-31T00:00:00Z", "2026-02-30T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
        "2026-01-01T25:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60", "2026-01-01T00:00:00", "2026-01-01",
        "2026-01-01 00:00:00Z", "2026-01-01T00:00:00.Z", "２０２６-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused(time: str) -> None:
    assert refusal(time) == f'`time` must be an RFC 3339 instant such as 2026-03-01T10:00:00Z; found "{time}"'


@pytest.mark.parametrize(
    "time",
    [
        "2026-12-31T23:59:59Z", "2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "1990-12-31T23:59:60Z",
        "2026-01-31t00:00:00.123456789z", "2026-01-31T00:00:00-12:34", "1985-04-12T23:20:50.52Z",
    ],
)  # fmt: skip
def test_instants_are_taken(time: str) -> None:
    """Those of RFC 3339's own examples among them: lower case, a leap second, any number of decimals."""
    assert refusal(time) == ""


numbers = st.integers(0, 99)


@given(st.integers(1, 9999), numbers, numbers, numbers, numbers, numbers)
def test_the_calendar_is_pythons(year: int, month: int, day: int, hour: int, minute: int, second: int) -> None:
    text = f"{year:04d}-{month % 16:02d}-{day % 34:02d}T{hour % 28:02d}:{minute % 64:02d}:{second % 60:02d}Z"
    try:
        datetime.fromisoformat(text)
    except ValueError:
        exists = False
    else:
        exists = re.search("T24:", text) is None  # which later Pythons take for the next midnight
    assert (refusal(text) == "") == exists
