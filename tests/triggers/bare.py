"""A trigger that is nothing but `connect`, `read` and `close`, over a line in memory."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from reactor.core.errors import NotConnected
from reactor.core.event import Delivery, Event, Settlement
from reactor.triggers.contract import Traits, TriggerConfig, TriggerContext


class Line:
    """What was said and is not settled is kept, and said again to whoever connects."""

    def __init__(self) -> None:
        self.up = True
        self.kept: dict[int, bytes] = {}
        self.number = 0
        self.cuts = 0
        self.news = asyncio.Event()
        self.tries: list[float] = []
        self.closed = 0

    def say(self, payload: bytes) -> None:
        self.number += 1
        self.kept[self.number] = payload
        self.news.set()

    def cut(self) -> None:
        self.cuts += 1
        self.news.set()


LINES: dict[str, Line] = {}


class BareConfig(TriggerConfig):
    line: str


class Bare:
    """The three verbs, and what it promises."""

    Config = BareConfig
    traits: ClassVar[Traits] = Traits(acknowledges=True, stable_ids=True, ordered=True, replays=False, shared=False)

    def __init__(self, config: BareConfig, context: TriggerContext) -> None:
        self.line, self.clock = LINES[config.line], context.clock

    async def connect(self) -> None:
        self.line.tries.append(self.clock.now())
        if not self.line.up:
            raise NotConnected("nobody is at the other end")
        self.given: set[int] = set()
        self.cuts = self.line.cuts

    async def read(self) -> Delivery:
        line = self.line
        while True:
            if line.cuts > self.cuts:
                raise NotConnected("the line went dead")
            if new := line.kept.keys() - self.given:
                return self._delivery(min(new))
            line.news.clear()
            await line.news.wait()

    def _delivery(self, number: int) -> Delivery:
        self.given.add(number)

        async def settle(settlement: Settlement) -> None:
            if settlement.again:
                self.given.discard(number)
                self.line.news.set()
            else:
                self.line.kept.pop(number, None)

        event = Event(type="line.said", source="/line", id=str(number), data=self.line.kept[number].decode())
        return Delivery((event,), settle)

    async def close(self) -> None:
        self.line.closed += 1
