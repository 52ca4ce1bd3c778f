"""Cron expressions: what is refused and how, the instants they name, and what clock changes do to them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, example, given, settings, strategies as st

from reactor.core.errors import ConfigError
from reactor.triggers.cron import next_fire, parse_cron, preview

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its clocks change by half an hour
APIA = ZoneInfo("Pacific/Apia")  # skipped 2011-12-30
ZONES = st.sampled_from([ZoneInfo("UTC"), BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Asia/Kolkata")])
DAY = 86_400.0


def at(text: str, zone: ZoneInfo = ZoneInfo("UTC"), fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def fires(schedule: str, start: str, count: int, zone: ZoneInfo = ZoneInfo("UTC")) -> list[str]:
    """Local times with their offset, as people compare them."""
    found = preview(schedule, zone, at(start, zone) - 1, count)
    return [datetime.fromtimestamp(instant, zone).isoformat(" ", "seconds") for instant in found]


def utc(schedule: str, start: str, count: int) -> list[str]:
    return [text.removesuffix("+00:00") for text in fires(schedule, start, count)]


@pytest.mark.req("T-CRON-1")
def test_every_five_minutes() -> None:
    assert utc("*/5 * * * *", "2026-03-01 10:03", 3) == [
        "2026-03-01 10:05:00",
        "2026-03-01 10:10:00",
        "2026-03-01 10:15:00",
    ]


@pytest.mark.req("T-CRON-2")
def test_six_fields_begin_with_the_second() -> None:
    assert utc("*/20 30 4 1 * *", "2026-03-01", 4) == [
        "2026-03-01 04:30:00",
        "2026-03-01 04:30:20",
        "2026-03-01 04:30:40",
        "2026-04-01 04:30:00",
    ]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 12 * * 0", ["2026-03-01 12:00:00", "2026-03-08 12:00:00"]),
        ("0 12 * * 7", ["2026-03-01 12:00:00", "2026-03-08 12:00:00"]),
        ("0 12 * * SUN", ["2026-03-01 12:00:00", "2026-03-08 12:00:00"]),
        ("0 12 * * 1", ["2026-03-02 12:00:00", "2026-03-09 12:00:00"]),
        ("0 12 * * fri-sun", ["2026-03-01 12:00:00", "2026-03-06 12:00:00", "2026-03-07 12:00:00"]),
        ("0 12 * * 5-7", ["2026-03-01 12:00:00", "2026-03-06 12:00:00", "2026-03-07 12:00:00"]),
        ("0 12 * * mon-fri/2", ["2026-03-02 12:00:00", "2026-03-04 12:00:00", "2026-03-06 12:00:00"]),
        ("0 12 * * 2/2", ["2026-03-03 12:00:00", "2026-03-05 12:00:00", "2026-03-07 12:00:00"]),
        ("0 0 L * *", ["2026-03-31 00:00:00", "2026-04-30 00:00:00", "2026-05-31 00:00:00"]),
        ("0 0 15,L feb *", ["2027-02-15 00:00:00", "2027-02-28 00:00:00", "2028-02-15 00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("0 0 13 * 5", ["2026-03-06 00:00:00", "2026-03-13 00:00:00", "2026-03-20 00:00:00"]),
        ("0 0 10 * 5", ["2026-03-06 00:00:00", "2026-03-10 00:00:00", "2026-03-13 00:00:00"]),
        ("0 0 */15 * 0", ["2026-03-01 00:00:00", "2026-05-31 00:00:00"]),
        ("0 0 30 2 mon", ["2027-02-01 00:00:00", "2027-02-08 00:00:00"]),
        ("0 */24 * * *", ["2026-03-01 00:00:00", "2026-03-02 00:00:00"]),
        ("30 22-23 * JAN-feb,12 *", ["2026-12-01 22:30:00", "2026-12-01 23:30:00"]),
        ("5/25 8 * * *", ["2026-03-01 08:05:00", "2026-03-01 08:30:00", "2026-03-01 08:55:00"]),
        ("@daily", ["2026-03-01 00:00:00", "2026-03-02 00:00:00"]),
        ("@Weekly", ["2026-03-01 00:00:00", "2026-03-08 00:00:00"]),
        ("@hourly", ["2026-03-01 00:00:00", "2026-03-01 01:00:00"]),
        ("@yearly", ["2027-01-01 00:00:00", "2028-01-01 00:00:00"]),
    ],
)
def test_names_the_instants(schedule: str, expected: list[str]) -> None:
    assert utc(schedule, "2026-03-01", len(expected)) == expected


@pytest.mark.parametrize(
    ("schedule", "message", "hint"),
    [
        (
            "",
            "the schedule '' has 0 fields",
            "write five (minute hour day-of-month month day-of-week), or six with seconds first",
        ),
        (
            "* * * *",
            "the schedule '* * * *' has 4 fields",
            "write five (minute hour day-of-month month day-of-week), or six with seconds first",
        ),
        ("60 * * * *", "the schedule '60 * * * *' has 60 as minute", "minute is 0 to 59"),
        ("* 24 * * *", "the schedule '* 24 * * *' has 24 as hour", "hour is 0 to 23"),
        ("* * 0 * *", "the schedule '* * 0 * *' has 0 as day-of-month", "day-of-month is 1 to 31"),
        ("* * * 13 *", "the schedule '* * * 13 *' has 13 as month", "month is 1 to 12"),
        ("* * * * 8", "the schedule '* * * * 8' has 8 as day-of-week", "day-of-week is 0 to 7"),
        ("61 * * * * *", "the schedule '61 * * * * *' has 61 as second", "second is 0 to 59"),
        ("*/0 * * * *", "the schedule '*/0 * * * *' has the step 0 in minute", "a step of minute is 1 to 60"),
        ("*/61 * * * *", "the schedule '*/61 * * * *' has the step 61 in minute", "a step of minute is 1 to 60"),
        ("* * * jann *", "the schedule '* * * jann *' is wrong: there is no month 'jann'", "did you mean jan?"),
        ("* noon * * *", "the schedule '* noon * * *' is wrong: hour has no names, such as 'noon'", "write 0 to 23"),
        (
            "* 10-8 * * *",
            "the schedule '* 10-8 * * *' has the hour range '10-8', whose end is before its start",
            "write two ranges with a comma between them",
        ),
        (
            "* * 15W * *",
            "the schedule '* * 15W * *' is wrong: day-of-month has no names, such as '15W'",
            "write 1 to 31",
        ),
        (
            "* * * * 5#2",
            "the schedule '* * * * 5#2' has '5#2' as day-of-week, which means nothing",
            "use *, numbers, names, a-b, a,b, */n",
        ),
        (
            "* * *-3 * *",
            "the schedule '* * *-3 * *' has '*-3' as day-of-month, which means nothing",
            "use *, numbers, names, a-b, a,b, */n, L (the last day)",
        ),
        (
            "0 0 30 2 *",
            "the schedule '0 0 30 2 *' never comes: there is no 30 Feb",
            "write L for the last day of a month",
        ),
        (
            "0 0 31 feb,apr,9 *",
            "the schedule '0 0 31 feb,apr,9 *' never comes: there is no 31 Feb or Apr or Sep",
            "write L for the last day of a month",
        ),
        ("@dayly", "there is no schedule @dayly", "did you mean @daily?"),
        (
            "@reboot",
            "there is no schedule @reboot",
            "one of: @annually, @daily, @hourly, @midnight, @monthly, @weekly, @yearly",
        ),
    ],
)
def test_says_what_is_wrong(schedule: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cron(schedule)
    assert (str(caught.value), caught.value.hint) == (message, hint)


class TestClockChanges:
    """triggers.md, `cron`: skipped local times do not fire; repeated ones once if the hour is fixed."""

    def test_a_skipped_local_time_does_not_fire(self) -> None:
        assert fires("30 2 * * *", "2026-03-28", 3, BERLIN) == [
            "2026-03-28 02:30:00+01:00",
            "2026-03-30 02:30:00+02:00",
            "2026-03-31 02:30:00+02:00",
        ]

    def test_a_repeated_local_time_fires_the_first_time_only(self) -> None:
        assert fires("30 2 * * *", "2026-10-24", 3, BERLIN) == [
            "2026-10-24 02:30:00+02:00",
            "2026-10-25 02:30:00+02:00",
            "2026-10-26 02:30:00+01:00",
        ]
        assert fires("30 1 * * *", "2026-11-01", 2, NEW_YORK) == [
            "2026-11-01 01:30:00-04:00",
            "2026-11-02 01:30:00-05:00",
        ]

    def test_asked_within_the_second_pass_a_fixed_hour_is_over(self) -> None:
        within = at("2026-10-25 02:10", BERLIN, fold=1)
        found = next_fire(parse_cron("30 2 * * *"), within, BERLIN)
        assert found == at("2026-10-26 02:30", BERLIN)

    def test_every_half_hour_follows_real_time(self) -> None:
        assert fires("*/30 * * * *", "2026-10-25 01:30", 6, BERLIN) == [
            "2026-10-25 01:30:00+02:00",
            "2026-10-25 02:00:00+02:00",
            "2026-10-25 02:30:00+02:00",
            "2026-10-25 02:00:00+01:00",
            "2026-10-25 02:30:00+01:00",
            "2026-10-25 03:00:00+01:00",
        ]
        assert fires("*/30 * * * *", "2026-03-29 01:30", 3, BERLIN) == [
            "2026-03-29 01:30:00+01:00",
            "2026-03-29 03:00:00+02:00",
            "2026-03-29 03:30:00+02:00",
        ]

    def test_a_stepped_hour_that_comes_twice_fires_twice(self) -> None:
        assert fires("15 */2 * * *", "2026-10-25 01:00", 3, BERLIN) == [
            "2026-10-25 02:15:00+02:00",
            "2026-10-25 02:15:00+01:00",
            "2026-10-25 04:15:00+01:00",
        ]

    def test_a_change_by_half_an_hour(self) -> None:
        assert fires("*/20 * * * *", "2026-04-05 01:20", 5, LORD_HOWE) == [
            "2026-04-05 01:20:00+11:00",
            "2026-04-05 01:40:00+11:00",
            "2026-04-05 01:40:00+10:30",
            "2026-04-05 02:00:00+10:30",
            "2026-04-05 02:20:00+10:30",
        ]
        assert fires("45 1 * * *", "2026-04-05", 2, LORD_HOWE) == [
            "2026-04-05 01:45:00+11:00",
            "2026-04-06 01:45:00+10:30",
        ]

    def test_a_day_that_was_skipped(self) -> None:
        assert fires("0 12 * * *", "2011-12-29", 2, APIA) == ["2011-12-29 12:00:00-10:00", "2011-12-31 12:00:00+14:00"]


NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}


@st.composite
def a_field(draw: st.DrawFn, name: str, *, star: bool = True) -> str:
    low, high = NUMBERS[name]
    one = st.integers(low, high).map(str)
    span = st.tuples(st.integers(low, high - 1), st.integers(low + 1, high)).map(
        lambda p: f"{min(p)}-{max(p[1], p[0] + 1)}"
    )
    step = st.integers(1, high - low)
    kinds = [one, span, st.lists(one, min_size=1, max_size=4).map(",".join)]
    kinds.append(st.tuples(span, step).map(lambda p: f"{p[0]}/{p[1]}"))
    if star:
        kinds += [st.just("*"), step.map(lambda n: f"*/{n}")]
    return draw(st.one_of(kinds))


schedules = st.tuples(*(a_field(name) for name in NUMBERS)).map(" ".join)
instants = st.integers(1_500_000_000, 2_200_000_000).map(float)


def parsed(schedule: str) -> bool:
    try:
        parse_cron(schedule)
    except ConfigError:
        return False
    return True


@given(schedules, instants)
def test_agrees_with_another_implementation_where_no_clock_changes(schedule: str, start: float) -> None:
    assume(parsed(schedule))
    start -= start % 60
    oracle = CronSim(schedule, datetime.fromtimestamp(start, UTC))
    expected = [next(oracle).timestamp() for _ in range(3)]
    assert list(preview(schedule, ZoneInfo("UTC"), start, 3)) == expected


@given(schedules, instants, ZONES)
@example("0 * 25 10 *", at("2026-10-25 02:30", BERLIN, fold=1), BERLIN)
@example("*/7 2-3/1 * * *", at("2026-10-25 02:59:59", BERLIN), BERLIN)
def test_is_strictly_after_and_skips_nothing(schedule: str, start: float, zone: ZoneInfo) -> None:
    assume(parsed(schedule))
    cron = parse_cron(schedule)
    found = next_fire(cron, start, zone)
    assert found is not None
    assert found > start
    assert next_fire(cron, found - 0.001, zone) == found, "just before it, it is the next one"
    middle = start + (found - start) / 2
    assert next_fire(cron, middle, zone) == found, "nothing lies between"
    assert found % 1 == 0
    following = next_fire(cron, found, zone)
    assert following is not None
    assert following > found


@settings(max_examples=40)
@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 20_000), ZONES)
def test_a_fixed_hour_fires_once_on_every_day_that_has_it(hour: int, minute: int, day: int, zone: ZoneInfo) -> None:
    cron = parse_cron(f"{minute} {hour} * * *")
    first = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(days=day)
    days: list[str] = []
    instant = first.timestamp()
    for _ in range(200):
        found = next_fire(cron, instant, zone)
        assert found is not None
        instant = found
        days.append(datetime.fromtimestamp(instant, zone).date().isoformat())
    assert len(days) == len(set(days)), "once a day"
    wanted = datetime.fromisoformat(days[0])
    while wanted.date().isoformat() <= days[-1]:
        wall = wanted.replace(hour=hour, minute=minute, tzinfo=zone)
        exists = datetime.fromtimestamp(wall.timestamp(), zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
        assert (wanted.date().isoformat() in days) == exists
        wanted += timedelta(days=1)


@given(st.integers(1, 59), instants, ZONES)
def test_minutes_of_every_hour_follow_real_time(step: int, start: float, zone: ZoneInfo) -> None:
    """Every instant whose local minute is named fires, whatever the clocks do."""
    assume(zone is not LORD_HOWE)
    cron = parse_cron(f"*/{step} * * * *")
    start -= start % 60
    expected = [
        instant
        for instant in (start + 60 * n for n in range(1, 60 * 4))
        if datetime.fromtimestamp(instant, zone).minute % step == 0
    ]
    assert list(preview(cron.text, zone, start, len(expected))) == expected


@settings(max_examples=40)
@given(st.integers(-7200, 7200), st.sampled_from(["*/15 * * * *", "7 */3 * * *", "* 2 * * *", "*/10 1-3 * * *"]))
def test_real_time_around_every_change_of_the_year(offset: int, schedule: str) -> None:
    for zone, change in ((BERLIN, at("2026-10-25 03:00", BERLIN)), (NEW_YORK, at("2026-11-01 02:00", NEW_YORK))):
        cron = parse_cron(schedule)
        start = change + offset
        found = next_fire(cron, start, zone)
        assert found is not None
        named: list[float] = []
        seen: set[datetime] = set()
        end = int(change) + 4 * 3600
        for second in range(int(change) - 4 * 3600, end, 60):
            local = datetime.fromtimestamp(second, zone)
            bare = local.replace(tzinfo=None)
            if _named(schedule, bare) and (cron.real_time or bare not in seen):
                named.append(float(second))
            seen.add(bare)
        expected = next((instant for instant in named if instant > start), None)
        assert found == expected if expected is not None else found >= end


def _named(schedule: str, wall: datetime) -> bool:
    """The oracle's word on one wall-clock minute."""
    before = (wall - timedelta(minutes=1)).replace(tzinfo=UTC)
    return next(CronSim(schedule, before)).replace(tzinfo=None) == wall
