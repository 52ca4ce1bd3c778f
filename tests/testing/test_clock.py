"""The clock that tests own."""

import asyncio

import pytest

from reactor.core.backoff import Backoff
from reactor.testing.clock import START, VirtualClock


async def test_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock()
    sleeping = asyncio.ensure_future(clock.sleep(10))
    await clock.advance(9.5)
    assert (sleeping.done(), clock.now()) == (False, START + 9.5)
    await clock.advance(0.5)
    assert sleeping.done()


async def test_wakes_sleepers_in_order_each_at_its_instant() -> None:
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            await clock.sleep(seconds)
            woken.append((name, clock.now() - START))

    tasks = [asyncio.ensure_future(sleeper("slow", 3)), asyncio.ensure_future(sleeper("fast", 2, 3))]
    await clock.advance(6)
    assert woken == [("fast", 2), ("slow", 3), ("fast", 4), ("fast", 6)]
    assert all(task.done() for task in tasks)


async def test_a_step_moves_the_wall_clock_alone() -> None:
    clock = VirtualClock()
    sleeping = asyncio.ensure_future(clock.sleep(10))
    before = clock.monotonic()
    clock.step(-3600)
    assert (clock.now(), clock.monotonic()) == (START - 3600, before)
    await clock.advance(10)
    assert sleeping.done()


async def test_jumps_by_itself_when_all_tasks_wait() -> None:
    clock = VirtualClock(auto=True)
    order: list[str] = []

    async def busy() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        order.append("busy")

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        order.append(name)

    await asyncio.gather(sleeper("a year", 366 * 86_400), sleeper("an hour", 3600), busy())
    assert order == ["busy", "an hour", "a year"]
    assert clock.now() == START + 366 * 86_400


async def test_patience_leaves_threads_their_time() -> None:
    clock = VirtualClock(auto=True, patience_s=0.2)
    order: list[str] = []

    async def threaded() -> None:
        await asyncio.to_thread(sum, range(1000))
        order.append("thread")

    async def sleeper() -> None:
        await clock.sleep(3600)
        order.append("hour")

    await asyncio.gather(sleeper(), threaded())
    assert order == ["thread", "hour"]


async def test_a_cancelled_sleeper_holds_nobody_up() -> None:
    clock = VirtualClock()
    gone = asyncio.ensure_future(clock.sleep(1))
    await clock.settle()
    gone.cancel()
    await clock.advance(5)
    assert clock.now() == START + 5
    await clock.sleep(0)


def test_backoff_grows_to_its_bound_and_begins_anew() -> None:
    plain = Backoff(1, 3, 20, jitter=False)
    assert [plain.next_s() for _ in range(5)] == [1, 3, 9, 20, 20]
    plain.reset()
    assert plain.next_s() == 1
    spread = [Backoff(8, 2, 30).next_s() for _ in range(200)]
    assert all(4 <= delay <= 8 for delay in spread)
    assert max(spread) - min(spread) > 1


async def test_a_clock_is_moved_on_by_a_duration_in_words() -> None:
    clock = VirtualClock()
    before = clock.now()
    await clock.advance("3d")
    assert clock.now() - before == 3 * 86_400


@pytest.mark.parametrize(("by", "shown"), [(-5, "-5"), (float("nan"), "nan"), (float("inf"), "inf")])
async def test_a_clock_is_not_moved_back(by: float, shown: str) -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="moved on") as caught:
        await clock.advance(by)
    assert str(caught.value) == (f"a clock is moved on by 0 s or more, not by {shown}: `step` sets the wall clock back")
