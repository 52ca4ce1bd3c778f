"""Engine tests run on both stores, with a virtual clock that jumps when all wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from reactor.testing.clock import VirtualClock

from .rig import Rig


class World:
    """What the steps of a test do, and in which order it happened."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.keys: list[str] = []
        self.fail: dict[str, list[BaseException]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.asleep: list[str] = []
        self.overlap = 0
        self.peak = 0

    async def act(self, name: str, context: Any, value: Any = None) -> Any:
        self.overlap += 1
        self.peak = max(self.peak, self.overlap)
        try:
            if name in self.gates:
                await self.gates[name].wait()
            await asyncio.sleep(0)
            if self.fail.get(name):
                raise self.fail[name].pop(0)
        finally:
            self.overlap -= 1
        self.done.append(name)
        self.keys.append(context.idempotency_key)
        return value if value is not None else name

    async def undo(self, name: str) -> None:
        if self.fail.get(f"undo {name}"):
            raise self.fail[f"undo {name}"].pop(0)
        self.done.append(f"undo {name}")

    def gate(self, name: str) -> asyncio.Event:
        self.gates[name] = asyncio.Event()
        return self.gates[name]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/r.db"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(auto=True, patience_s=0.05)


@pytest.fixture
async def rig(url: str, world: World) -> AsyncIterator[Rig]:
    async with Rig(url, {"m:act": world.act, "m:undo": world.undo}) as rig:
        yield rig
        assert not rig.fatal


Reopen = Callable[[], Awaitable[Rig]]


@pytest.fixture
def hand() -> VirtualClock:
    """A clock that only the test moves."""
    return VirtualClock()


@pytest.fixture
async def slow_rig(url: str, world: World, hand: VirtualClock) -> AsyncIterator[Rig]:
    """An engine on that clock; `m:slow` takes so many seconds of it, and raises what `world.fail` says."""

    async def slow(name: str, seconds: float, context: Any) -> Any:
        world.asleep.append(name)
        await hand.sleep(seconds)
        return await world.act(name, context)

    async with Rig(url, {"m:act": world.act, "m:undo": world.undo, "m:slow": slow}, clock=hand) as rig:
        yield rig
        assert not rig.fatal


@pytest.fixture
async def lives(url: str, world: World, clock: VirtualClock) -> AsyncIterator[Reopen]:
    """`await lives()` opens an engine on the virtual clock; the one before it is left as a kill would leave it."""
    current: list[Rig] = []

    async def next_life() -> Rig:
        if current:
            await current.pop().crash()
        rig = Rig(url, {"m:act": world.act, "m:undo": world.undo}, clock=clock)
        await rig.open()
        current.append(rig)
        return rig

    yield next_life
    for rig in current:
        await rig.close()
