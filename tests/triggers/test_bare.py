"""A trigger that is nothing but `connect`, `read` and `close`: all the rest comes from the supervisor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from reactor.core.event import Event, Settlement
from reactor.language.definition import TriggerSpec
from reactor.testing.trigger_suite import Rig, TriggerSuite
from reactor.tests.triggers.bare import LINES, Bare, BareConfig, Line
from reactor.tests.triggers.fakes import Bench
from reactor.triggers.catalogue import Kinds
from reactor.triggers.contract import Trigger, TriggerContext


def spec(**more: Any) -> TriggerSpec:
    reconnect: Any = {"delay_s": 1.0, "factor": 2.0, "max_delay_s": 10.0, "jitter": False}
    return TriggerSpec(name="orders", kind="bare", config={"line": "l"}, reconnect=reconnect, **more)


@pytest.fixture
def line() -> Line:
    LINES["l"] = Line()
    return LINES["l"]


@pytest.mark.req("P-14")
async def test_it_is_connected_again_held_counted_and_closed(line: Line) -> None:
    bench = Bench()
    bench.supervisor.kinds = Kinds({"bare": "reactor.tests.triggers.bare:Bare"})
    await bench.start(orders=spec(max_in_flight=2))
    start = bench.clock.now()
    line.up = False
    line.cut()
    await bench.clock.advance(8)
    assert [at - start for at in line.tries] == [0, 1, 3, 7], "reconnect, further and further apart"
    assert (bench.status().state, bench.status().error.message) == ("down", "nobody is at the other end")
    line.up = True
    await bench.clock.advance(10)
    assert bench.status().state == "connected"
    for said in (b"1", b"2", b"3"):
        line.say(said)
    await bench.clock.settle()
    assert bench.inbox.data == ["1", "2"], "backpressure: no more than may be in flight"
    await bench.inbox.taken[0][1].settle(Settlement())
    await bench.clock.settle()
    assert bench.inbox.data == ["1", "2", "3"]
    status = bench.status()
    assert (status.read, status.settled, status.in_flight, status.reconnects) == (3, 1, 2, 1)
    for _, delivery in bench.inbox.taken[1:]:
        await delivery.settle(Settlement())
    await bench.supervisor.close()
    assert (line.closed, bench.supervisor.status()) == (1, [])


class BareRig(Rig):
    """The line; a payload is what is said."""

    async def make(self) -> Trigger:
        return Bare(BareConfig(line="l"), TriggerContext(name="orders", spec=spec()))

    async def emit(self, payload: bytes) -> None:
        LINES["l"].say(payload)

    def payload(self, event: Event) -> bytes:
        return str(event.data).encode()

    async def cut(self, trigger: Trigger) -> None:
        LINES["l"].cut()


class TestBare(TriggerSuite):
    """And it passes the public suite."""

    trigger = Bare

    @pytest.fixture
    async def rig(self, line: Line) -> AsyncIterator[Rig]:
        async with BareRig() as rig:
            yield rig
