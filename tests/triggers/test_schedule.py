"""Schedules on a virtual clock: fires, misfires, jitter, steps of the wall clock, and what survives a restart."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from reactor.core.clock import SYSTEM
from reactor.core.durations import format_instant, parse_instant
from reactor.core.errors import EndOfEvents
from reactor.core.event import Delivery, Event, Settlement
from reactor.core.limits import MISFIRE_RUNS_MAX
from reactor.language.built_in import BUILT_IN
from reactor.language.definition import TriggerSpec
from reactor.language.loader import load_text
from reactor.testing.clock import VirtualClock
from reactor.triggers.catalogue import Kinds
from reactor.triggers.contract import TriggerContext
from reactor.triggers.schedule import CronTrigger, ScheduleTrigger
from reactor.triggers.wheel import Wheel, wheel
from reactor.triggers.words import kind_words


class Ticker:
    """Reads one schedule as the supervisor would, and keeps what the store would keep."""

    def __init__(self, kind: str, config: Any, *, clock: VirtualClock | None = None, **common: Any) -> None:
        self.clock = clock or VirtualClock(1_772_359_200.0)  # 2026-03-01T10:00:00Z
        self.kind, self.config, self.common = kind, config, common
        self.marks: dict[str, bytes] = {}
        self.events: list[Event] = []
        self.ledger: list[tuple[str, str, str]] = []
        self.refuse = 0
        self.ended = False
        self.task: asyncio.Task[None] | None = None
        self.trigger: ScheduleTrigger | None = None

    async def start(self) -> None:
        spec = TriggerSpec(name="tick", kind=self.kind, config=self.config, **self.common)
        kinds = Kinds()
        config = kinds.config(self.kind, self.config)
        context = TriggerContext(name="tick", spec=spec, clock=self.clock, marks=self.marks)
        self.trigger = kinds.load(self.kind)[1](config, context)
        await self.trigger.connect()
        self.task = asyncio.ensure_future(self._read(self.trigger))
        await self.clock.settle()

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None

    async def _read(self, trigger: ScheduleTrigger) -> None:
        try:
            while True:
                await self._accept(await trigger.read())
        except EndOfEvents:
            self.ended = True

    async def _accept(self, delivery: Delivery) -> None:
        if self.refuse:
            self.refuse -= 1
            await delivery.settle(Settlement(again=True))
            await asyncio.sleep(0)  # the supervisor waits before it reads again: whoever wants to stop has a turn
            return
        for mark in delivery.marks:
            assert mark.scope == "tick"
            assert mark.value is not None
            self.marks[mark.key] = mark.value
        self.ledger += [(clock_time(row.due), row.outcome, row.reason) for row in delivery.ledger]
        self.events += [event for event in delivery.events if isinstance(event, Event)]
        await delivery.settle(Settlement())

    async def away(self, seconds: float) -> None:
        """Not running for so long."""
        await self.stop()
        await self.clock.advance(seconds)
        await self.start()

    @property
    def times(self) -> list[str]:
        return [str(event.time)[11:-1] for event in self.events]

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(time, outcome) for time, outcome, _ in self.ledger]


class LateClock(VirtualClock):
    """As real ones: who sleeps is woken a moment late."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + 0.2)


class PlainClock:
    """A virtual clock that keeps its steps to itself."""

    def __init__(self, clock: VirtualClock) -> None:
        self.now, self.monotonic, self.sleep = clock.now, clock.monotonic, clock.sleep


def clock_time(instant: float) -> str:
    return format_instant(instant)[11:-1]


@pytest.fixture
async def tickers() -> AsyncIterator[list[Ticker]]:
    made: list[Ticker] = []
    yield made
    for ticker in made:
        await ticker.stop()


@pytest.fixture
def ticker(tickers: list[Ticker]) -> Any:
    def make(kind: str, config: Any, **more: Any) -> Ticker:
        made = Ticker(kind, config, **more)
        tickers.append(made)
        return made

    return make


@pytest.mark.req("T-CRON-1")
async def test_fires_every_five_minutes(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "*/5 * * * *", "timezone": "Europe/Berlin", "data": {"shop": 7}})
    await t.start()
    await t.clock.advance(11 * 60)
    assert t.times == ["10:05:00", "10:10:00"]
    event = t.events[1]
    assert (event.id, event.source, event.type, event.subject) == (
        "tick@2026-03-01T10:10:00Z",
        "/cron/tick",
        "reactor.cron.fired",
        "tick",
    )
    assert event.data == {
        "scheduled_at": "2026-03-01T10:10:00Z",
        "scheduled_local": "2026-03-01T11:10:00+01:00",
        "previous_at": "2026-03-01T10:05:00Z",
        "next_at": "2026-03-01T10:15:00Z",
        "fired_at": "2026-03-01T10:10:00Z",
        "late_ms": 0,
        "missed": 0,
        "shop": 7,
    }
    assert event.meta == {"trigger": "tick"}
    assert t.events[0].data["previous_at"] is None
    assert t.outcomes == [("10:05:00", "fired"), ("10:10:00", "fired")]


async def test_several_expressions_are_one_schedule(ticker: Any) -> None:
    t = ticker("cron", {"schedule": ["0 11 * * *", "30 10-11 * * *", "0 11 * * sun"]})
    await t.start()
    await t.clock.advance(2 * 3600)
    assert t.times == ["10:30:00", "11:00:00", "11:30:00"]


@pytest.mark.req("T-CRON-4")
async def test_an_interval_counts_from_the_first_start_even_after_a_restart(ticker: Any) -> None:
    t = ticker("every", "90s")
    await t.start()
    await t.clock.advance(60)
    await t.away(10)
    await t.clock.advance(200)
    assert t.times == ["10:01:30", "10:03:00", "10:04:30"]


async def test_an_interval_counts_from_the_written_instant(ticker: Any) -> None:
    t = ticker("every", {"interval": "15m", "from": "2026-03-01T10:20:00Z", "until": "2026-03-01T10:50:00Z"})
    await t.start()
    await t.clock.advance(3600)
    assert (t.times, t.ended) == (["10:20:00", "10:35:00", "10:50:00"], True)
    assert t.events[-1].data["next_at"] is None


async def test_from_and_until_bound_a_cron_schedule(ticker: Any) -> None:
    config = {"schedule": "0 * * * *", "from": "2026-03-01T12:00:00+00:00", "until": "2026-03-01T13:00:00Z"}
    t = ticker("cron", config)
    await t.start()
    await t.clock.advance(86_400)
    assert (t.times, t.ended) == (["12:00:00", "13:00:00"], True)


@pytest.mark.req("T-CRON-4")
async def test_written_instants_fire_once_each_then_it_is_over(ticker: Any) -> None:
    t = ticker("at", ["2026-03-01T12:00:00Z", "2026-03-01T11:00:00Z", "2026-03-01T09:59:30Z", "2026-03-01T09:00:00Z"])
    t.config = {"time": t.config}
    await t.start()
    await t.clock.advance(3 * 3600)
    assert t.times == ["09:59:30", "11:00:00", "12:00:00"], "half a minute ago is within `grace`"
    assert t.ledger[0] == ("09:00:00", "skipped", "before the first start")
    assert t.ended
    t.ended = False
    await t.away(10)
    assert (t.ended, len(t.events)) == (True, 3)


@pytest.mark.rule("8.4")
@pytest.mark.req("T-CRON-3")
class TestMisfire:
    """An hour away from a schedule of every ten minutes: 10:05 to 11:05."""

    async def away(self, ticker: Any, minutes: float = 60, **misfire: Any) -> Ticker:
        t: Ticker = ticker("cron", {"schedule": "*/10 * * * *", **({"misfire": misfire} if misfire else {})})
        await t.start()
        await t.clock.advance(5 * 60)
        await t.away(minutes * 60)
        return t

    async def test_run_once_fires_the_newest(self, ticker: Any) -> None:
        t = await self.away(ticker)
        assert t.times == ["11:00:00"]
        assert (t.events[0].data["late_ms"], t.events[0].data["missed"]) == (300_000, 5)
        assert t.ledger == [
            *((f"10:{m}0:00", "coalesced", "into 2026-03-01T11:00:00Z") for m in range(1, 6)),
            ("11:00:00", "late", "5m late"),
        ]
        await t.clock.advance(6 * 60)
        assert t.times == ["11:00:00", "11:10:00"]
        assert t.events[1].data["missed"] == 0

    async def test_what_is_on_time_is_the_newest(self, ticker: Any) -> None:
        t = await self.away(ticker, minutes=55.5)
        assert t.times == ["11:00:00"]
        assert t.outcomes == [*((f"10:{m}0:00", "coalesced") for m in range(1, 6)), ("11:00:00", "fired")]
        assert t.events[0].data["late_ms"] == 30_000

    async def test_run_all_fires_each(self, ticker: Any) -> None:
        t = await self.away(ticker, policy="run_all")
        assert t.times == ["10:10:00", "10:20:00", "10:30:00", "10:40:00", "10:50:00", "11:00:00"]
        assert {outcome for _, outcome in t.outcomes} == {"late"}
        assert t.ledger[0] == ("10:10:00", "late", "55m late")

    async def test_skip_fires_none(self, ticker: Any) -> None:
        t = await self.away(ticker, policy="skip")
        assert t.times == []
        assert t.ledger[0] == ("10:10:00", "skipped", "55m late")
        assert len(t.ledger) == 6
        await t.away(60)
        assert len(t.ledger) == 6, "they are in the ledger once"

    async def test_within_grace_each_is_on_time(self, ticker: Any) -> None:
        t = await self.away(ticker, grace="1h")
        assert t.times == ["10:10:00", "10:20:00", "10:30:00", "10:40:00", "10:50:00", "11:00:00"]
        assert {outcome for _, outcome in t.outcomes} == {"fired"}

    @pytest.mark.parametrize(("policy", "fires"), [("run_once", 1), ("run_all", MISFIRE_RUNS_MAX), ("skip", 0)])
    async def test_a_month_of_seconds_is_bounded(self, ticker: Any, policy: str, fires: int) -> None:
        t = ticker("cron", {"schedule": "* * * * * *", "misfire": {"policy": policy, "grace": "0s"}})
        await t.start()
        await t.stop()
        t.clock.step(30 * 86_400 + 14.5)
        await t.start()
        await t.clock.settle()
        for _ in range(MISFIRE_RUNS_MAX):
            if len(t.ledger) > MISFIRE_RUNS_MAX:
                break
            await t.clock.settle()
        assert len(t.events) == fires
        assert len(t.ledger) == MISFIRE_RUNS_MAX + 1
        first, outcome, reason = t.ledger[0]
        assert (first, outcome) == ("10:00:01", "coalesced" if policy == "run_once" else "skipped")
        assert reason == "and those until 2026-03-31T09:43:35Z: over 1000 were missed"
        assert t.ledger[-1][0] == clock_time(t.clock.now() // 1)

    @pytest.mark.parametrize("policy", ["run_once", "run_all", "skip"])
    async def test_what_a_wake_up_takes_is_no_misfire(self, ticker: Any, policy: str) -> None:
        """No clock wakes anybody to the microsecond: `skip` without grace would never fire."""
        t = ticker(
            "cron", {"schedule": "*/10 * * * *", "misfire": {"policy": policy, "grace": "0s"}}, clock=LateClock()
        )
        await t.start()
        await t.clock.advance(25 * 60)
        assert t.outcomes == [("00:10:00", "fired"), ("00:20:00", "fired")]
        assert t.events[0].data["late_ms"] == 200
        await t.away(20 * 60)
        assert {outcome for _, outcome in t.outcomes[2:]} <= {"late", "skipped", "coalesced"}

    async def test_an_interval_as_well(self, ticker: Any) -> None:
        t = ticker("every", {"interval": "10m"})
        await t.start()
        await t.clock.advance(300)
        await t.away(3600)
        assert (t.times, t.outcomes[-1]) == (["11:00:00"], ("11:00:00", "late"))

    async def test_one_written_instant(self, ticker: Any) -> None:
        t = ticker("at", "2026-03-01T10:30:00Z")
        await t.start()
        await t.away(3600)
        assert (t.times, t.outcomes) == (["10:30:00"], [("10:30:00", "late")])


@pytest.mark.rule("8.2")
async def test_a_clock_that_goes_back_fires_nothing_twice(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "* * * * *"})
    await t.start()
    await t.clock.advance(130)
    assert t.times == ["10:01:00", "10:02:00"]
    t.clock.step(-600)
    await t.clock.advance(605)
    assert t.times == ["10:01:00", "10:02:00"]
    await t.clock.advance(60)
    assert t.times == ["10:01:00", "10:02:00", "10:03:00"]


@pytest.mark.rule("8.2")
async def test_a_clock_that_goes_back_while_away_fires_nothing_twice(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "* * * * *"})
    await t.start()
    await t.clock.advance(130)
    await t.stop()
    t.clock.step(-100)
    await t.start()
    await t.clock.advance(99)
    assert t.times == ["10:01:00", "10:02:00"]


@pytest.mark.rule("8.1")
async def test_a_step_of_the_clock_is_noticed_within_a_second(ticker: Any) -> None:
    """A machine's clock does not say when it is set: the wheel looks."""
    clock = VirtualClock()
    plain = PlainClock(clock)
    waiting = wheel(plain).at(clock.now() + 7200)
    await clock.settle()
    clock.step(7200)
    await clock.advance(0.99)
    assert not waiting.done()
    await clock.advance(0.01)
    assert waiting.done()


async def test_never_fires_early(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "* * * * * *"})
    await t.start()
    await t.clock.advance(0.999)
    assert t.times == []
    await t.clock.advance(0.001)
    assert t.times == ["10:00:01"]


@pytest.mark.rule("8.3")
async def test_jitter_is_the_same_on_every_node_and_keeps_the_order(ticker: Any) -> None:
    nodes = [ticker("cron", {"schedule": "* * * * *", "jitter": "10m"}) for _ in range(2)]
    for t in nodes:
        await t.start()
        await t.clock.advance(30 * 60)
    fired = [[event.data["fired_at"] for event in t.events] for t in nodes]
    assert fired[0] == fired[1]
    assert nodes[0].times == sorted(nodes[0].times)
    late = [event.data["late_ms"] for event in nodes[0].events]
    assert all(0 <= each <= 60_000 for each in late), "never past the next due instant"
    assert len(set(late)) > 20
    assert nodes[0].events[0].id == "tick@2026-03-01T10:01:00Z"


@pytest.mark.rule("8.3")
@pytest.mark.req("T-CRON-3")
async def test_two_nodes_make_the_same_events(ticker: Any) -> None:
    nodes = [ticker("cron", {"schedule": "*/7 * * * *", "timezone": "Asia/Kolkata"}) for _ in range(2)]
    for t in nodes:
        t.clock.step(nodes.index(t) * 13)  # their clocks differ
        await t.start()
        await t.clock.advance(3600)
    one, two = ({(event.source, event.id) for event in t.events} for t in nodes)
    assert one == two
    assert len(one) == 9


@pytest.mark.uncovered
@pytest.mark.alone
@pytest.mark.req("T-CRON-2")
async def test_every_second_in_real_time(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "* * * * * *"}, clock=SYSTEM)
    spec = TriggerSpec(name="tick", kind="cron", config=t.config)
    trigger = CronTrigger(Kinds().config("cron", t.config), TriggerContext(name="tick", spec=spec))
    await trigger.connect()
    late: list[float] = []
    while len(late) < 3:
        delivery = await trigger.read()
        await delivery.settle(Settlement())
        late += [SYSTEM.now() - parse_instant(str(event.time)) for event in delivery.events if isinstance(event, Event)]
    assert all(0 <= each < 0.5 for each in late), late


async def test_a_refused_fire_comes_again_under_its_id_before_the_next(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "* * * * *"})
    await t.start()
    t.refuse = 3
    await t.clock.advance(125)
    assert t.times == ["10:01:00", "10:02:00"]
    assert t.outcomes == [("10:01:00", "fired"), ("10:02:00", "fired")]


async def test_a_fire_that_was_not_accepted_is_fired_after_a_restart(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "* * * * *"})
    await t.start()
    t.refuse = 1_000_000
    stopping = asyncio.ensure_future(t.clock.advance(60))
    await asyncio.sleep(0.01)
    await t.stop()
    await stopping
    assert (t.refuse > 0, t.times) == (True, [])
    t.refuse = 0
    await t.start()
    assert t.times == ["10:01:00"]


async def test_a_changed_schedule_has_missed_nothing(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "0 * * * *"})
    await t.start()
    await t.clock.advance(58 * 60)
    await t.stop()
    t.config = {"schedule": "*/5 * * * *"}
    await t.start()
    await t.clock.advance(3 * 60)
    assert t.times == ["11:00:00"]


async def test_overrides_of_type_and_subject(ticker: Any) -> None:
    t = ticker("every", "1m", type="shop.tick", subject="s/${{ event.data.late_ms }}")
    await t.start()
    await t.clock.advance(60)
    assert (t.events[0].type, t.events[0].subject, t.events[0].id) == ("shop.tick", "s/0", "tick@2026-03-01T10:01:00Z")


async def test_shows_the_next_three_fires(ticker: Any) -> None:
    t = ticker("cron", {"schedule": "30 * * * *"})
    await t.start()
    assert t.trigger is not None
    assert t.trigger.details() == {"next": ["2026-03-01T10:30:00Z", "2026-03-01T11:30:00Z", "2026-03-01T12:30:00Z"]}


async def test_a_day_with_a_clock_change(ticker: Any) -> None:
    clock = VirtualClock(datetime.fromisoformat("2026-10-24T12:00:00+02:00").timestamp())
    t = ticker("cron", {"schedule": "30 2 * * *", "timezone": "Europe/Berlin"}, clock=clock)
    await t.start()
    await t.clock.advance(2 * 86_400)
    assert [event.data["scheduled_local"] for event in t.events] == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


@pytest.mark.parametrize(
    ("kind", "config", "path", "message"),
    [
        ("cron", {}, "schedule", "is required and missing"),
        ("cron", {"schedule": []}, "schedule", "must not be empty"),
        ("cron", "61 * * * *", "schedule", "the schedule '61 * * * *' has 61 as minute; minute is 0 to 59"),
        (
            "cron",
            {"schedule": ["@daily", "0 0 31 6 *"]},
            "schedule[1]",
            "the schedule '0 0 31 6 *' never comes: there is no 31 Jun; write L for the last day of a month",
        ),
        (
            "cron",
            {"schedule": "@daily", "timezone": "Europe/Berln"},
            "timezone",
            'there is no time zone "Europe/Berln"; write an IANA name such as Europe/Berlin, or UTC',
        ),
        ("cron", {"schedule": "@daily", "jitter": "2h"}, "jitter", "must be at most 1h"),
        ("cron", {"schedule": "@daily", "jiter": "2s"}, "jiter", "unknown key `jiter`"),
        (
            "cron",
            {"schedule": "@daily", "from": "2026-03-01"},
            "from",
            "the instant '2026-03-01' lacks its time; write it like 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00",
        ),
        (
            "cron",
            {"schedule": "@daily", "misfire": {"policy": "run_onc"}},
            "misfire.policy",
            'expected one of run_once, run_all, skip; found "run_onc"',
        ),
        ("every", "500ms", "interval", "must be at least 1s"),
        ("every", "367d", "interval", "must be at most 366d"),
        ("every", 15, "interval", "the duration '15' has no unit; write 15s for seconds or 15ms for milliseconds"),
        (
            "at",
            "tomorrow",
            "time",
            "'tomorrow' is not an instant; write it like 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00",
        ),
    ],
)
def test_faults_of_a_config(kind: str, config: Any, path: str, message: str) -> None:
    faults = [(fault.path, fault.message) for fault in Kinds().faults(kind, config)]
    assert [found for found in faults if found[0] == path and found[1].startswith(message)], faults


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("every: 1", "the duration '1' has no unit; write 1s for seconds or 1ms for milliseconds"),
        ("every: 1.50", "the duration '1.5' has no unit; write 1.5s for seconds or 1.5ms for milliseconds"),
        ("every: -1", "the duration '-1' is negative; write a duration like 10s"),
        (
            "every: {interval: 90}",
            "the duration '90' has no unit; write 90s for seconds or 90ms for milliseconds",
        ),
        ("every: true", "`every` must be a mapping; found true"),
    ],
)
def test_an_interval_without_a_unit_is_told_with_its_units_in_a_file(written: str, message: str) -> None:
    words = replace(BUILT_IN, kinds=kind_words(Kinds()))
    text = f"workflow: a\nwhen: [{{{written}}}]\nsteps: [{{log: {{message: a}}}}]\n"
    (found,) = load_text(text, "a.yaml", words).diagnostics.items
    assert (found.message, found.place.line, found.place.column) == (message, 2, 10 + written.rindex(" "))


async def test_a_crowd_of_readers_that_went_away_leaves_no_trace() -> None:
    clock = VirtualClock()
    crowd = Wheel(clock)
    kept = crowd.at(clock.now() + 50)
    for _ in range(4):
        gone = [crowd.at(clock.now() + 1e6) for _ in range(1_500)]
        await clock.settle()
        for each in gone:
            each.cancel()
        await clock.settle()
    assert len(crowd._heap) < 3_000
    soon = crowd.at(clock.now() + 0.25)
    await clock.advance(0.25)
    assert soon.done()
    await clock.advance(50)
    assert kept.done()
