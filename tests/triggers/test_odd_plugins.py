"""Plugins that misbehave in ways nobody would think of: each is named, costs nobody else anything, and can be ended."""

import asyncio
import datetime
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from reactor.core.errors import NotConnected
from reactor.core.event import Delivery, Event, Mark, Settlement, Undecodable
from reactor.core.limits import CLOSE_S_MAX
from reactor.language.definition import TriggerSpec
from reactor.tests.triggers.fakes import WORLD, Bench, FakeTrigger, Source, fake_spec
from reactor.triggers.supervisor import CONNECT_S_MAX

NO_JSON = "the event has something that is no JSON value"
LOG = "the log has its traceback"
CONTRACT = "correct the plugin: docs/plugins.md has the contract"


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


@pytest.fixture
def ctrl_c_is_the_servers() -> Iterator[None]:
    """As in `reactor serve`, which handles SIGINT itself."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


def event(**more: Any) -> Event:
    return Event(**{"type": "t", "source": "/fake", "id": "1", **more})


def looped() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["again"] = found
    return found


def deep(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


class NoText(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.req("T-PLUG-3")
@pytest.mark.usefixtures("ctrl_c_is_the_servers")
@pytest.mark.parametrize(
    ("raised", "what"),
    [
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (GeneratorExit(), "GeneratorExit: "),
        (NoText(), "NoText: (its text cannot be made: ValueError)"),
        (ValueError("a" * 9000), f"ValueError: {'a' * 1988} … {'a' * 2000}"),
        (BaseExceptionGroup("two", [KeyboardInterrupt(), SystemExit()]), "BaseExceptionGroup: two (2 sub-exceptions)"),
    ],
    ids=["interrupt", "generator", "no text", "long", "group"],
)
@pytest.mark.parametrize("verb", ["connect", "read"])
async def test_whatever_it_raises_is_its_own_failure(
    bench: Bench, source: Source, raised: BaseException, what: str, verb: str
) -> None:
    if verb == "connect":
        source.connects.append(raised)
    await bench.start(orders=fake_spec(), others=fake_spec("others"))
    if verb == "read":
        source.waiting.put_nowait(raised)
        await bench.clock.settle()
    error = bench.status().error
    assert (bench.status().state, error.code, error.message, error.hint) == (
        "down", "plugin_crashed", f"the trigger kind fake crashed: {what}", LOG,
    )  # fmt: skip
    await bench.clock.advance(1)
    assert [bench.status(name).state for name in ("orders", "others")] == ["connected", "connected"]


@pytest.mark.req("T-PLUG-3")
@pytest.mark.parametrize("what", ["not connected", "a failure", "a delivery"])
async def test_a_read_that_swallows_its_cancellation_is_not_called_again(
    bench: Bench, source: Source, monkeypatch: pytest.MonkeyPatch, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    reads: list[str] = []

    async def read(self: FakeTrigger) -> Delivery:
        reads.append(self.context.name)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            if what == "not connected":
                raise NotConnected("the line broke") from error
            if what == "a failure":
                raise OSError("the line broke") from error
        return Delivery(())

    monkeypatch.setattr(FakeTrigger, "read", read)
    await bench.start(orders=fake_spec())
    closing = asyncio.ensure_future(bench.supervisor.close())
    await bench.clock.advance(CLOSE_S_MAX)
    assert closing.done()
    assert (reads, source.closed) == (["orders"], 1)
    assert not [text for text in caplog.messages if "left behind" in text]


@pytest.mark.req("T-PLUG-3")
async def test_a_connect_that_hangs_and_turns_being_cut_off_into_another_failure_can_be_ended(
    bench: Bench, source: Source
) -> None:
    async def connect() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise OSError("the line broke") from error

    source.connects = [connect]
    await bench.start(orders=fake_spec())
    await bench.clock.advance(CONNECT_S_MAX)
    assert bench.status().error.message == "`connect` of fake hangs: it took over 330 s"
    await bench.clock.advance(1)
    assert bench.status().state == "connected"
    source.waiting.put_nowait(asyncio.CancelledError())
    await bench.clock.settle()
    assert bench.status().error.message == "the trigger kind fake crashed: it was cancelled from inside"


async def settle(_: Any) -> None: ...


D: Any = Delivery
M: Any = Mark  # a plugin is not type checked


@pytest.mark.req("T-PLUG-3")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: None, "gave NoneType; wanted is a Delivery"),
        (lambda: event(), "gave Event; wanted is a Delivery"),
        (lambda: [event()], "gave list; wanted is a Delivery"),
        (lambda: D(None), "gave a Delivery whose `events` are NoneType; wanted is a tuple of events"),
        (lambda: D({}), "gave a Delivery whose `events` are dict; wanted is a tuple of events"),
        (lambda: D(({"type": "t"},)), "gave a Delivery with dict; wanted is an Event"),
        (lambda: D((event(),), 5), "gave a Delivery whose `settle` is int; wanted is an async function"),
        (lambda: D((event(),), settle, 7), "gave a Delivery whose `partition` is int; wanted is text"),
        (
            lambda: D((event(),), marks=("x",)),
            "gave a Delivery with a faulty Mark: Expected `object`, got `str` - at `$[0]`",
        ),
        (
            lambda: D((event(),), marks=(M("s", 1, b""),)),
            "gave a Delivery with a faulty Mark: Expected `str`, got `int` - at `$[0].key`",
        ),
    ],
)  # fmt: skip
async def test_what_is_no_delivery_is_named(
    bench: Bench, source: Source, monkeypatch: pytest.MonkeyPatch, given: Callable[[], Any], message: str
) -> None:
    async def read(self: FakeTrigger) -> Any:
        if self.context.name == "orders":
            return given()
        return await asyncio.Event().wait()

    monkeypatch.setattr(FakeTrigger, "read", read)
    await bench.start(orders=fake_spec(), others=fake_spec("others"))
    error = bench.status().error
    assert (bench.status().state, error.code, error.message, error.hint) == (
        "down", "plugin_crashed", f"`read` of fake {message}", CONTRACT,
    )  # fmt: skip
    assert (bench.inbox.taken, bench.status("others").state) == ([], "connected")


@pytest.mark.rule("1.7")
@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"id": 5}, "invalid_data", "`id` must be text; found int"),
        ({"source": None}, "invalid_data", "`source` must be a non-empty URI reference; found None"),
        ({"subject": 4}, "invalid_data", "`subject` must be text; found int"),
        ({"time": datetime.datetime(2026, 1, 1)}, "invalid_data", "`time` must be text; found datetime"),
        ({"extensions": [1]}, "invalid_data", "`extensions` must be a mapping; found list"),
        ({"extensions": {5: 1}}, "invalid_data", "the names of `extensions` must be text"),
        ({"meta": [1]}, "invalid_data", "`meta` must be a mapping; found list"),
        (
            {"data": {"x": object}},
            "invalid_data",
            f"{NO_JSON}: Encoding objects of type type is unsupported",
        ),
        (
            {"data": looped()},
            "invalid_data",
            f"{NO_JSON}: maximum recursion depth exceeded while serializing an object",
        ),
        (
            {"data": "\ud800"},
            "invalid_data",
            f"{NO_JSON}: 'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed",
        ),
        ({"data": deep(100)}, "too_large", "the data is nested deeper than 64 levels"),
        ({"data": "x" * 2000}, "too_large", "the event has 2068 bytes; the trigger takes at most 1KiB"),
        ({"data": b"x" * 2000}, "too_large", "the event has 2000 bytes; the trigger takes at most 1KiB"),
    ],
)
async def test_an_event_that_is_none_is_a_dead_letter_and_blocks_nothing(
    bench: Bench, source: Source, given: dict[str, Any], code: str, message: str
) -> None:
    await bench.start(orders=fake_spec(max_bytes=1024))
    source.waiting.put_nowait(Delivery((event(**given), event(id="2", data="good"))))
    await bench.clock.settle()
    ((_, delivery),) = bench.inbox.taken
    bad, good = delivery.events
    assert isinstance(bad, Undecodable)
    assert (bad.reason.code, bad.reason.message) == (code, message)
    assert isinstance(good, Event)
    assert (good.data, bench.status().state) == ("good", "connected")


@pytest.mark.req("T-GEN-2")
async def test_the_keys_of_every_trigger_hold_for_a_plugins_too(bench: Bench, source: Source) -> None:
    spec = TriggerSpec(
        name="orders",
        kind="fake",
        config={"source": "orders"},
        id="event.data.n",
        type="order.paid",
        subject="S${{ event.data.n }}",
        schema={"type": "object", "required": ["n"]},
    )
    await bench.start(orders=spec)
    source.waiting.put_nowait(Delivery((event(data={"n": 7}), event(data={"m": 7}))))
    await bench.clock.settle()
    ((_, delivery),) = bench.inbox.taken
    good, bad = delivery.events
    assert isinstance(good, Event)
    assert (good.id, good.type, good.subject) == ("7", "order.paid", "S7")
    assert isinstance(bad, Undecodable)
    assert bad.reason.message == "`data` does not satisfy the trigger's `schema`: n: `n` is missing"


@pytest.mark.parametrize(
    ("told", "kind"), [([1], "list"), ({"x": object()}, "dict"), ({"x": looped()}, "dict"), (None, "NoneType")]
)
async def test_details_that_are_none_are_shown_as_such(
    bench: Bench, source: Source, monkeypatch: pytest.MonkeyPatch, told: Any, kind: str
) -> None:
    def details(self: FakeTrigger) -> Any:
        return told

    monkeypatch.setattr(FakeTrigger, "details", details)
    await bench.start(orders=fake_spec())
    said = f"`details` of fake gave {kind}; wanted is a mapping of JSON values"
    assert bench.status().details == {"error": said}


@pytest.mark.req("T-PLUG-3")
async def test_settling_that_raises_an_interrupt_ends_nothing(
    bench: Bench, source: Source, caplog: pytest.LogCaptureFixture, ctrl_c_is_the_servers: None
) -> None:
    async def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    await bench.start(orders=fake_spec())
    source.waiting.put_nowait(Delivery((), interrupt))
    await bench.clock.settle()
    with caplog.at_level(logging.WARNING, "reactor.triggers"):
        ((_, delivery),) = bench.inbox.taken
        await delivery.settle(Settlement())
    assert "trigger orders: `settle` of fake crashed: KeyboardInterrupt: " in caplog.messages
