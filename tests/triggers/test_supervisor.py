"""The life of a trigger: connect, read, hold, back off, reload, and plugins that misbehave."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Iterator

import pytest

from reactor.core.errors import (
    ConfigError,
    EndOfEvents,
    NotConnected,
    PermanentError,
    StoreUnavailable,
)
from reactor.core.event import Delivery, Event, Settlement
from reactor.core.limits import CLOSE_S_MAX
from reactor.language.definition import TriggerSpec
from reactor.tests.triggers.fakes import WORLD, Bench, Source, fake_spec
from reactor.triggers.status import SCOPE
from reactor.triggers.supervisor import CONNECT_S_MAX


@pytest.fixture
def source() -> Iterator[Source]:
    WORLD["orders"] = Source()
    WORLD["others"] = Source()
    yield WORLD["orders"]
    WORLD.clear()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    closing = asyncio.ensure_future(made.supervisor.close())
    while not closing.done():
        await made.clock.advance(1)
    await closing


async def settle_all(bench: Bench, settlement: Settlement = Settlement()) -> None:
    taken, bench.inbox.taken = bench.inbox.taken, []
    for _, delivery in taken:
        await delivery.settle(settlement)
    await bench.clock.settle()


async def test_reads_publishes_and_counts(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    source.waiting.put_nowait("A")
    source.waiting.put_nowait("B")
    await bench.clock.settle()
    assert bench.inbox.data == ["A", "B"]
    assert bench.states == ["orders connecting", "orders connected"]
    await bench.clock.advance(2.5)
    status = bench.status()
    assert (status.read, status.settled, status.in_flight, status.oldest_unsettled_s) == (2, 0, 2, 2.5)
    assert status.guarantee == "effectively_once"
    assert status.details == {"waiting": 0}
    await settle_all(bench)
    status = bench.status()
    assert (status.read, status.settled, status.in_flight, status.oldest_unsettled_s) == (2, 2, 0, 0.0)
    assert [item for item, _ in source.settled] == ["A", "B"]


async def test_a_source_that_is_slow_to_be_told_is_read_no_faster(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec(max_in_flight=2))
    answers = asyncio.Event()

    async def slowly(settlement: Settlement) -> None:
        await answers.wait()

    for number in range(4):
        source.waiting.put_nowait(Delivery((Event(type="t", source="/fake", id=str(number)),), slowly))
    await bench.clock.settle()
    telling = [asyncio.ensure_future(delivery.settle(Settlement())) for _, delivery in bench.inbox.taken]
    await bench.clock.settle()
    status = bench.status()
    assert (status.read, status.settled, status.in_flight, len(bench.inbox.taken)) == (2, 2, 2, 2)
    answers.set()
    await asyncio.gather(*telling)
    await bench.clock.settle()
    status = bench.status()
    assert (status.read, status.in_flight) == (4, 2)


class Held(dict[str, int]):
    """Data that can be asked whether somebody still has it."""


async def test_an_idle_reader_keeps_nothing_of_what_it_read(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    data = Held(size=1)
    gone = weakref.ref(data)
    source.waiting.put_nowait(data)
    del data
    await bench.clock.settle()
    await settle_all(bench)
    source.settled.clear()
    gc.collect()
    assert gone() is None


async def test_tells_a_trigger_who_it_is(bench: Bench, source: Source) -> None:
    bench.marks["orders"] = {"0": b"7"}
    await bench.start(orders=fake_spec())
    context = source.made[0]
    assert (context.name, context.store_id, context.node) == ("orders", "0123456789abcdef", 3)
    assert context.own == "reactor-01234567-orders"
    assert context.marks == {"0": b"7"}
    bench.marks["orders"] = {"0": b"8"}
    assert await context.reread() == {"0": b"8"}
    assert context.marks == {"0": b"7"}
    source.waiting.put_nowait(NotConnected("gone"))
    await bench.clock.advance(1)
    assert context.marks == {"0": b"8"}


async def test_the_log_has_each_trouble_once_and_its_end(
    bench: Bench, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reactor.triggers")
    source.connects = [*[NotConnected("no broker")] * 3, NotConnected("no topic"), NotConnected("no broker")]
    await bench.start(orders=fake_spec())
    await bench.clock.advance(60)
    source.waiting.put_nowait(NotConnected("no broker"))
    await bench.clock.advance(10)
    assert caplog.messages == [
        "trigger orders (fake) is down: no broker",
        "trigger orders (fake) is down: no topic",
        "trigger orders (fake) is down: no broker",
        "trigger orders (fake) is connected again",
        "trigger orders (fake) is down: no broker",
        "trigger orders (fake) is connected again",
    ]


async def test_a_source_that_is_seen_to_come_is_tried_then(bench: Bench, source: Source) -> None:
    there = asyncio.Event()
    source.connects = [NotConnected("no folder")] * 5
    source.comes = there.wait
    start = bench.clock.now()
    await bench.start(orders=fake_spec())
    await bench.clock.advance(20)
    source.connects = []
    assert [at - start for at in source.connected_at] == [0, 1, 3, 7, 15]
    there.set()
    await bench.clock.advance(0.1)
    assert source.connected_at[-1] - start == 20
    assert bench.status().state == "connected"


@pytest.mark.parametrize("wrong", [False, True], ids=["always says so", "raises"])
async def test_a_source_that_is_always_seen_to_come_is_not_tried_without_a_pause(
    bench: Bench, source: Source, wrong: bool
) -> None:
    async def comes() -> None:
        if wrong:
            raise ValueError("broken")

    source.connects = [NotConnected("no folder")] * 50
    source.comes = comes
    await bench.start(orders=fake_spec())
    await bench.clock.advance(10)
    assert len(source.connected_at) == 21


@pytest.mark.req("T-GEN-2")
async def test_backs_off_further_and_further_until_it_is_connected(bench: Bench, source: Source) -> None:
    source.connects = [NotConnected("no broker at 127.0.0.1:9092") for _ in range(6)]
    start = bench.clock.now()
    await bench.start(orders=fake_spec())
    status = bench.status()
    assert (status.state, status.next_attempt_at) == ("down", start + 1)
    assert status.error.message == "no broker at 127.0.0.1:9092"
    await bench.clock.advance(60)
    assert [at - start for at in source.connected_at] == [0, 1, 3, 7, 15, 25, 35]
    assert (bench.status().state, bench.status().error) == ("connected", None)
    source.waiting.put_nowait("A")
    source.waiting.put_nowait(NotConnected("lost"))
    await bench.clock.settle()
    assert bench.status().next_attempt_at == bench.clock.now() + 1, "what was read began the delays anew"
    await bench.clock.advance(1)
    assert (bench.status().state, bench.status().reconnects) == ("connected", 1)
    assert len(source.made) == 1, "the same trigger connects again"


async def test_the_source_may_ask_for_a_longer_wait(bench: Bench, source: Source) -> None:
    source.connects = [NotConnected("slow down", retry_after_s=40)]
    await bench.start(orders=fake_spec())
    assert bench.status().next_attempt_at == bench.clock.now() + 40


async def test_a_connection_that_breaks_at_once_again_and_again_waits_longer(bench: Bench, source: Source) -> None:
    start = bench.clock.now()
    for _ in range(3):
        source.waiting.put_nowait(NotConnected("reset by peer"))
    await bench.start(orders=fake_spec())
    await bench.clock.advance(30)
    assert [at - start for at in source.connected_at] == [0, 1, 3, 7]


async def test_a_wrong_setting_stops_it_until_it_is_resumed(bench: Bench, source: Source) -> None:
    source.connects = [ConfigError("there is no topic orders", hint="create it")]
    await bench.start(orders=fake_spec())
    await bench.clock.advance(1000)
    status = bench.status()
    assert (status.state, status.next_attempt_at, len(source.connected_at)) == ("failed", None, 1)
    assert (status.error.message, status.error.hint, status.error.class_) == (
        "there is no topic orders",
        "create it",
        "fix",
    )
    assert source.closed == 1
    await bench.supervisor.resume("orders")
    await bench.clock.settle()
    assert bench.status().state == "connected"


@pytest.mark.rule("1.5")
async def test_a_gap_waits_for_a_person_who_says_where_to_go_on(bench: Bench, source: Source) -> None:
    source.connects = [PermanentError("offsets 7 to 90 are gone", code="source_gap")]
    await bench.start(orders=fake_spec())
    await bench.clock.advance(1000)
    assert (bench.status().state, bench.status().error.code) == ("gap", "source_gap")
    await bench.supervisor.resume("orders", "earliest")
    await bench.clock.settle()
    assert bench.status().state == "connected"
    assert source.made[-1].resume == {"start": "earliest"}
    source.waiting.put_nowait("A")
    await bench.clock.settle()
    await settle_all(bench)
    assert source.made[-1].resume == {}, "the new position is stored: a reconnect goes on from there"


async def test_the_end_of_the_events_is_no_failure(bench: Bench, source: Source) -> None:
    source.waiting.put_nowait("A")
    source.waiting.put_nowait(EndOfEvents("that was all"))
    await bench.start(orders=fake_spec())
    await settle_all(bench)
    assert (bench.status().state, bench.status().error, source.closed) == ("finished", None, 1)


@pytest.mark.req("T-GEN-4")
async def test_reads_no_more_than_max_in_flight(bench: Bench, source: Source) -> None:
    for number in range(10):
        source.waiting.put_nowait(number)
    await bench.start(orders=fake_spec(max_in_flight=3))
    assert bench.inbox.data == [0, 1, 2]
    await bench.inbox.taken[1][1].settle(Settlement())
    await bench.clock.settle()
    assert bench.inbox.data == [0, 1, 2, 3]


async def test_a_full_inbox_makes_it_wait(source: Source) -> None:
    bench = Bench(room=2)
    for number in range(5):
        source.waiting.put_nowait(number)
    await bench.start(orders=fake_spec())
    assert (bench.inbox.data, source.waiting.qsize()) == ([0, 1], 2)
    bench.inbox.room.release()
    await bench.clock.settle()
    assert bench.inbox.data == [0, 1, 2]
    await settle_all(bench)
    await bench.supervisor.close()
    assert [settlement.again for item, settlement in source.settled if item == 3] == [True], "read, never queued"


@pytest.mark.rule("1.8")
async def test_holds_while_the_store_refuses(bench: Bench, source: Source) -> None:
    source.waiting.put_nowait("A")
    await bench.start(orders=fake_spec())
    source.waiting.put_nowait("B")  # read before the refusal was known
    await bench.clock.settle()
    await settle_all(bench, Settlement(again=True))
    status = bench.status()
    assert (status.held, status.refused, status.settled) == (True, 2, 0)
    await bench.clock.advance(0.9)
    assert bench.inbox.data == ["A"], "the read under way came through, nothing more"
    await bench.clock.advance(0.2)
    assert sorted(bench.inbox.data) == ["A", "B"]
    await settle_all(bench)
    assert (bench.status().held, bench.status().settled) == (False, 2)


async def test_holds_as_long_as_the_refusal_asks(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    source.waiting.put_nowait("A")
    await bench.clock.settle()
    await settle_all(bench, Settlement(again=True, retry_after_s=30))
    await settle_all(bench, Settlement(again=True, retry_after_s=30))
    source.waiting.put_nowait("B")
    await bench.clock.advance(29)
    assert bench.inbox.data == []
    await bench.clock.advance(2)
    assert sorted(bench.inbox.data) == ["A", "B"]


async def test_marks_that_cannot_be_read_are_no_crash(bench: Bench, source: Source) -> None:
    async def refuse(scope: str) -> dict[str, bytes]:
        raise StoreUnavailable("the disk is full")

    keep, bench.supervisor.read_marks = bench.supervisor.read_marks, refuse
    await bench.start(orders=fake_spec())
    assert (bench.status().state, bench.status().error.code) == ("down", "store_unavailable")
    bench.supervisor.read_marks = keep
    await bench.clock.advance(1)
    assert bench.status().state == "connected"


@pytest.mark.req("T-GEN-7")
async def test_paused_events_wait_at_the_source(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    await bench.supervisor.pause("orders")
    source.waiting.put_nowait("A")
    await bench.clock.advance(100)
    assert (bench.status().state, bench.inbox.data, source.closed) == ("paused", [], 1)
    await bench.supervisor.resume("orders")
    await bench.clock.settle()
    assert bench.inbox.data == ["A"]
    with pytest.raises(KeyError):
        await bench.supervisor.pause("nobody")


async def test_what_is_switched_off_is_not_started(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec(enabled=False))
    assert (bench.status().state, source.connected_at) == ("paused", [])


async def test_a_pause_lets_what_was_read_be_settled_first(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    source.waiting.put_nowait("A")
    await bench.clock.settle()
    pausing = asyncio.ensure_future(bench.supervisor.pause("orders"))
    await bench.clock.advance(1)
    assert (pausing.done(), source.closed) == (False, 0)
    await settle_all(bench)
    await pausing
    assert source.closed == 1
    assert [settlement.again for _, settlement in source.settled] == [False]


async def test_reload_disturbs_only_what_changed(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec(), others=fake_spec("others"))
    await bench.start(orders=fake_spec(), others=fake_spec("others", max_in_flight=7))
    assert (len(source.made), source.closed) == (1, 0)
    assert (len(WORLD["others"].made), WORLD["others"].closed) == (2, 1)
    await bench.start(others=fake_spec("others", max_in_flight=7))
    assert (source.closed, len(WORLD["others"].made)) == (1, 2)
    assert [status.name for status in bench.supervisor.status()] == ["others"]


async def test_bindings_of_the_router_have_no_reader(bench: Bench) -> None:
    await bench.start(paid=TriggerSpec(name="paid", kind="event", config={"type": "order.paid"}))
    assert bench.supervisor.status() == []


@pytest.mark.req("T-PLUG-3")
@pytest.mark.parametrize("raised", [ZeroDivisionError("division by zero"), SystemExit(3), asyncio.CancelledError()])
async def test_a_crash_is_named_and_the_trigger_made_anew(bench: Bench, source: Source, raised: BaseException) -> None:
    await bench.start(orders=fake_spec(), others=fake_spec("others"))
    source.waiting.put_nowait(raised)
    await bench.clock.settle()
    status = bench.status()
    what = {
        ZeroDivisionError: "ZeroDivisionError: division by zero",
        SystemExit: "SystemExit: 3",
        asyncio.CancelledError: "it was cancelled from inside",
    }[type(raised)]
    assert (status.state, status.error.code, status.error.message) == (
        "down",
        "plugin_crashed",
        f"the trigger kind fake crashed: {what}",
    )
    assert source.closed == 1
    await bench.clock.advance(1)
    assert (bench.status().state, len(source.made)) == ("connected", 2)
    assert bench.status("others").state == "connected"
    source.waiting.put_nowait("A")
    await bench.clock.settle()
    assert bench.inbox.data == ["A"]


@pytest.mark.req("T-PLUG-3")
async def test_a_connect_that_hangs_is_cut_off_and_named(bench: Bench, source: Source) -> None:
    source.connects = [asyncio.Event().wait]
    await bench.start(orders=fake_spec())
    await bench.clock.advance(CONNECT_S_MAX - 1)
    assert bench.status().state == "connecting"
    await bench.clock.advance(1)
    assert bench.status().state == "down"
    assert bench.status().error.message == "`connect` of fake hangs: it took over 330 s"
    await bench.clock.advance(1)
    assert (bench.status().state, len(source.made)) == ("connected", 2)


@pytest.mark.req("T-PLUG-3")
async def test_a_close_that_hangs_holds_nobody_up(
    bench: Bench, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.close = asyncio.Event().wait
    await bench.start(orders=fake_spec())
    pausing = asyncio.ensure_future(bench.supervisor.pause("orders"))
    with caplog.at_level(logging.WARNING, "reactor.triggers"):
        await bench.clock.advance(CLOSE_S_MAX + 0.1)
    assert pausing.done()
    assert "trigger orders: `close` of fake hangs: it took over 5 s" in caplog.messages


@pytest.mark.req("T-PLUG-3")
async def test_what_cannot_be_cancelled_is_left_behind(
    bench: Bench, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    source.close = stubborn
    await bench.start(orders=fake_spec(), others=fake_spec("others"))
    closing = asyncio.ensure_future(bench.supervisor.close())
    await bench.clock.advance(3 * CLOSE_S_MAX)
    assert closing.done()
    assert "trigger orders (fake) does not stop: left behind" in caplog.messages
    assert WORLD["others"].closed == 1
    end.set()


async def test_a_close_that_raises_is_said_and_forgotten(
    bench: Bench, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise OSError("socket is closed")

    source.close = fail
    await bench.start(orders=fake_spec())
    await bench.supervisor.close()
    assert "trigger orders: `close` of fake crashed: OSError: socket is closed" in caplog.messages
    await bench.supervisor.close()


async def test_settling_that_fails_does_not_reach_the_intake(
    bench: Bench, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(settlement: Settlement) -> None:
        raise KeyError("no such message")

    await bench.start(orders=fake_spec())
    source.waiting.put_nowait(Delivery((), fail))
    await bench.clock.settle()
    await settle_all(bench)
    assert "trigger orders: `settle` of fake crashed: KeyError: 'no such message'" in caplog.messages
    assert (bench.status().in_flight, bench.status().state) == (0, "connected")


async def test_a_second_settlement_is_ignored(bench: Bench, source: Source, caplog: pytest.LogCaptureFixture) -> None:
    await bench.start(orders=fake_spec())
    source.waiting.put_nowait("A")
    await bench.clock.settle()
    delivery = bench.inbox.taken[0][1]
    await delivery.settle(Settlement())
    await delivery.settle(Settlement(again=True))
    assert [settlement.again for _, settlement in source.settled] == [False]
    assert "a delivery of trigger orders was settled twice: the second time is ignored" in caplog.messages


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TriggerSpec(name="orders", kind="fak", config={}), "there is no trigger kind fak"),
        (TriggerSpec(name="orders", kind="mqtt", config={}), "the trigger kind mqtt is not available in this version"),
        (
            TriggerSpec(name="orders", kind="fake", config={"sorce": "orders"}),
            "fake: source: is required and missing; sorce: unknown key `sorce` (did you mean source?)",
        ),
    ],
)
async def test_a_spec_that_cannot_work_fails_alone(
    bench: Bench, source: Source, spec: TriggerSpec, message: str
) -> None:
    await bench.start(orders=spec, others=fake_spec("others"))
    assert (bench.status().state, bench.status().error.message) == ("failed", message)
    assert bench.status("others").state == "connected"


async def test_a_reload_keeps_what_was_paused(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    await bench.supervisor.pause("orders")
    await bench.start(orders=fake_spec(max_in_flight=7))
    assert (bench.status().state, len(source.made)) == ("paused", 1)
    await bench.supervisor.resume("orders")
    await bench.clock.settle()
    assert (bench.status().state, source.made[-1].spec.max_in_flight) == ("connected", 7)


async def test_two_reloads_at_once_leave_one_reader(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    one = {"orders": fake_spec(max_in_flight=7)}
    two = {"orders": fake_spec(max_in_flight=8)}
    await asyncio.gather(bench.supervisor.apply(one), bench.supervisor.apply(two))
    await bench.clock.settle()
    assert source.made[-1].spec.max_in_flight == 8
    assert len(source.made) - source.closed == 1


async def test_details_that_raise_are_shown_as_such(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    vars(source)["waiting"] = None  # details() looks at it
    shown = "`details` of fake crashed: AttributeError: 'NoneType' object has no attribute 'qsize'"
    assert bench.status().details == {"error": shown}


async def test_tells_when_all_have_tried_to_connect(bench: Bench, source: Source) -> None:
    connected = asyncio.Event()
    source.connects = [connected.wait]
    WORLD["others"].connects = [NotConnected("no broker")]
    await bench.start(orders=fake_spec(), others=fake_spec("others"))
    waiting = asyncio.ensure_future(bench.supervisor.tried(5))
    await bench.clock.advance(1)
    assert not waiting.done()
    connected.set()
    await bench.clock.advance(0.01)
    assert waiting.done(), "connected, and down: both have tried"
    source.connects = [asyncio.Event().wait]
    await bench.supervisor.resume("orders")
    waiting = asyncio.ensure_future(bench.supervisor.tried(5))
    await bench.clock.advance(5.1)
    assert waiting.done(), "it waits no longer than it was told"


async def test_a_pause_that_the_store_does_not_take_is_none(bench: Bench, source: Source) -> None:
    """It is durable or it is refused; sent again with the same key it is carried out."""
    await bench.start(orders=fake_spec())
    bench.inbox.switched = Settlement(again=True)
    with pytest.raises(StoreUnavailable) as caught:
        await bench.supervisor.pause("orders", key="k")
    assert (str(caught.value), caught.value.hint) == (
        "nothing was changed: the store refuses writes now",
        "repeat the request",
    )
    assert bench.status().state == "connected"
    bench.inbox.switched = Settlement()
    await bench.supervisor.pause("orders", key="k")
    assert bench.status().state == "paused"


async def test_a_pause_ends_with_its_trigger(bench: Bench, source: Source) -> None:
    await bench.start(orders=fake_spec())
    await bench.supervisor.pause("orders")
    await bench.supervisor.apply({})
    await bench.start(orders=fake_spec())
    assert bench.status().state == "connected"


async def test_a_pause_of_before_is_one_still(bench: Bench, source: Source) -> None:
    bench.marks[SCOPE] = {"orders": b"1", "gone": b"1"}
    await bench.start(orders=fake_spec(), others=fake_spec("others"))
    assert [bench.status(name).state for name in ("orders", "others")] == ["paused", "connected"]
