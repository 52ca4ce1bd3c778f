"""Durations, sizes and instants are read as written and come back as they were."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from reactor.core.durations import (
    DURATION_S_MAX,
    format_duration,
    format_instant,
    format_size,
    parse_duration,
    parse_instant,
    parse_size,
)
from reactor.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2), ("10s", 10), ("5m", 300), ("1h30m", 5400), ("1d", 86400), ("2w", 1_209_600), ("1.5h", 5400),
        ("1d2h3m4s5ms", 93784.005), ("0s", 0), ("250us", 0.00025), (" 10s ", 10), ("366d", 366 * 86400),
        ("PT1H30M", 5400), ("P1D", 86400), ("P1DT12H", 129600), ("PT0.5S", 0.5), ("P2W", 1_209_600), ("PT0S", 0),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


UNIT = "write a number with a unit: 200ms, 10s, 5m, 1h30m, 1d or PT1H30M"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("10", "the duration '10' has no unit", "write 10s for seconds or 10ms for milliseconds"),
        ("1.5", "the duration '1.5' has no unit", "write 1.5s for seconds or 1.5ms for milliseconds"),
        ("-5s", "the duration '-5s' is negative", "write a duration like 10s"),
        ("-5", "the duration '-5' is negative", "write a duration like 10s"),
        ("30m1h", "the duration '30m1h' names its units out of order or twice",
         "write the units from large to small, each once, like 1h30m"),
        ("1s1s", "the duration '1s1s' names its units out of order or twice",
         "write the units from large to small, each once, like 1h30m"),
        ("P1M", "the duration 'P1M' counts years or months, whose length varies", "write days, like P30D or 30d"),
        ("P1Y2M", "the duration 'P1Y2M' counts years or months, whose length varies", "write days, like P30D or 30d"),
        ("1000000d", "the duration '1000000d' is longer than a hundred years", "write a shorter duration"),
        ("", "'' is not a duration", UNIT), ("P", "'P' is not a duration", UNIT),
        ("PT", "'PT' is not a duration", UNIT),
        ("soon", "'soon' is not a duration", UNIT), ("10 s", "'10 s' is not a duration", UNIT),
        ("10S", "'10S' is not a duration", UNIT), ("1h30", "'1h30' is not a duration", UNIT),
        ("١s", "'١s' is not a duration", UNIT),
    ],
)  # fmt: skip
def test_what_is_no_duration(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_duration(text)
    assert (str(caught.value), caught.value.hint) == (message, hint)


@given(st.integers(0, int(DURATION_S_MAX) * 1_000_000).map(lambda us: us / 1_000_000))
def test_durations_come_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_config_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ConfigError as error:
        seconds = 0.0 if error.hint else -1.0
    assert 0 <= seconds <= DURATION_S_MAX


def test_durations_as_text() -> None:
    assert [format_duration(s) for s in (0, 0.2, 10, 5400, 90061.5, 0.00025, -60)] == [
        "0s", "200ms", "10s", "1h30m", "1d1h1m1s500ms", "250us", "-1m",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("512B", 512), ("64KiB", 65536), ("1MiB", 1 << 20), ("1.5MiB", 3 << 19), ("10MB", 10_000_000),
    ("1 GiB", 1 << 30),
     ("2kB", 2000), ("3TiB", 3 << 40)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("64", "the size '64' has no unit", "write 64B for bytes or 64KiB for kibibytes"),
        ("64kib", "the size '64kib' has the unknown unit 'kib'", "did you mean 64KiB?"),
        ("64k", "the size '64k' has the unknown unit 'k'", "did you mean 64KiB?"),
        ("64XB", "the size '64XB' has the unknown unit 'XB'", "the units are B, KiB, MiB, GiB, TiB, KB, MB, GB, TB"),
        ("-1B", "'-1B' is not a size", "write a number with a unit: 512B, 64KiB, 1MiB, 10MB"),
        ("big", "'big' is not a size", "write a number with a unit: 512B, 64KiB, 1MiB, 10MB"),
    ],
)
def test_what_is_no_size(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_size(text)
    assert (str(caught.value), caught.value.hint) == (message, hint)


@given(st.integers(0, 1 << 20))
def test_whole_kibibytes_come_back(count: int) -> None:
    assert parse_size(format_size(count << 10)) == pytest.approx(count << 10, rel=0.05)


def test_sizes_as_text() -> None:
    assert [format_size(s) for s in (0, 1023, 1024, 1536, 1 << 20, 3 << 19)] == [
        "0B",
        "1023B",
        "1KiB",
        "1.5KiB",
        "1MiB",
        "1.5MiB",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0), ("2026-12-24T18:00:00+01:00", 1_798_131_600),
        ("2026-12-24t17:00:00z", 1_798_131_600),
        ("2026-12-24 17:00:00Z", 1_798_131_600), ("1969-12-31T23:59:59.5Z", -0.5),
        ("2016-12-31T23:59:60Z", 1_483_228_800),
        ("2026-12-24T17:00:00.123456789Z", 1_798_131_600.123456),
    ],
)  # fmt: skip
def test_instants(text: str, seconds: float) -> None:
    assert parse_instant(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-12-24T18:00:00", "the instant '2026-12-24T18:00:00' lacks its offset from UTC"),
        ("2026-12-24", "the instant '2026-12-24' lacks its time"),
        ("2026-W01", "'2026-W01' is not an instant"),
        ("tomorrow", "'tomorrow' is not an instant"),
        ("20261224T180000Z", "'20261224T180000Z' is not an instant"),
    ],
)
def test_what_is_no_instant(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_instant(text)
    assert str(caught.value) == message
    assert caught.value.hint == "write it like 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00"


def test_a_date_that_does_not_exist() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_instant("2026-02-30T00:00:00Z")
    assert str(caught.value) == "the instant '2026-02-30T00:00:00Z' does not exist: day is out of range for month"


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01"])
def test_an_instant_that_utc_does_not_have(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_instant(text)
    assert str(caught.value) == f"the instant {text!r} does not exist: in UTC its year is not one of 1 to 9999"


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9999999Z", "0001-01-01T00:00:00Z"])
def test_the_first_and_the_last_instant_are_written(text: str) -> None:
    assert format_instant(parse_instant(text)) == text[:19] + "Z"


def test_what_no_year_has_is_told_as_the_nearest_that_one_has() -> None:
    assert format_instant(1e13) == "9999-12-31T23:59:59Z"
    assert format_instant(-1e13) == "0001-01-01T00:00:00Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_come_back(instant: datetime) -> None:
    text = format_instant(instant.timestamp())
    assert text.endswith("Z")
    # in the year 4254 the numbers next to each other are 15 us apart
    assert parse_instant(text) == pytest.approx(instant.timestamp(), rel=1e-15, abs=1e-5)
    assert format_instant(parse_instant(text)) == text


def test_instants_as_text() -> None:
    assert format_instant(0) == "1970-01-01T00:00:00Z"
    assert format_instant(1_798_131_600.25) == "2026-12-24T17:00:00.25Z"
