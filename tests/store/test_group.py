"""Group commit on a writer that the test owns: who joins which group, who fails, who waits."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from reactor.core.errors import Fenced, StoreFailed, StoreUnavailable
from reactor.core.limits import GROUP_BYTES_MAX, GROUP_ROWS_MAX, REFUSED_INPUT_S_MAX
from reactor.store.contract import Committed, Unit, UnitRefused
from reactor.store.group import GroupCommit, Result
from reactor.testing.clock import VirtualClock
from reactor.testing.store_units import accept, end, start, step


class Hand:
    """A writer whose commits end when the test says so; units of the runs in `bad` cannot be written."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.written: list[int] = []
        self.bad: set[int] = set()
        self.error: BaseException | None = None
        self._done: tuple[list[int], Callable[[Result], None]] | None = None
        self.by_itself = False
        self.at_once = GROUP_ROWS_MAX

    def commit(self, units: Sequence[Unit], done: Callable[[Result], None]) -> None:
        numbers = [number(unit) for unit in units]
        self.groups.append(numbers)
        self._done = (numbers, done)
        if self.by_itself:
            asyncio.get_running_loop().call_soon(self.finish)

    def finish(self) -> None:
        """End the commit under way."""
        assert self._done is not None
        (numbers, done), self._done = self._done, None
        if self.error is not None:
            done(self.error)
        elif self.bad.intersection(numbers):
            done(ValueError("a constraint"))
        else:
            self.written += numbers
            done([Committed()] * len(numbers))


def number(unit: Unit) -> int:
    if unit.marks:
        return 0 if unit.marks[0].value is None else len(unit.marks[0].value)
    if unit.accept:
        return unit.accept[0].event.key
    if unit.journal:
        return unit.journal[0].run
    return unit.runs[0].run.id if unit.runs else unit.changes[0].run


async def turn(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
async def groups(hand: Hand, clock: VirtualClock) -> GroupCommit:
    return GroupCommit([hand], clock)


async def test_a_group_is_what_arrived_during_the_commit_before(hand: Hand, groups: GroupCommit) -> None:
    futures = [groups.submit(step(1))]
    await turn()
    futures += [groups.submit(step(run)) for run in (2, 3, 4)]
    await turn()
    assert hand.groups == [[1]]
    hand.finish()
    await turn()
    assert hand.groups == [[1], [2, 3, 4]]
    hand.finish()
    await asyncio.gather(*futures)


async def test_steps_that_results_wake_join_the_next_group(hand: Hand, groups: GroupCommit) -> None:
    async def three(run: int) -> None:
        for _ in range(3):
            await groups.submit(step(run))

    hand.by_itself = True
    await asyncio.gather(*[three(run) for run in (1, 2, 3)])
    assert hand.groups == [[1, 2, 3]] * 3


async def test_units_that_are_enough_leave_at_once(hand: Hand, groups: GroupCommit) -> None:
    hand.at_once = 3
    futures = [groups.submit(step(run)) for run in (1, 2)]
    assert hand.groups == []
    futures += [groups.submit(step(run)) for run in (3, 4)]
    assert hand.groups == [[1, 2, 3]]  # and the loop goes on with what follows from 4
    futures += [groups.submit(step(run)) for run in (5, 6, 7)]
    hand.finish()
    assert hand.groups == [[1, 2, 3], [4, 5, 6, 7]]
    futures.append(groups.submit(step(8)))
    hand.finish()
    assert len(hand.groups) == 2  # one is not enough: others may join it until the turn ends
    await turn()
    assert hand.groups[2:] == [[8]]
    hand.finish()
    await asyncio.gather(*futures)
    await groups.close()


async def test_one_bad_unit_among_a_thousand_harms_itself_alone(hand: Hand, groups: GroupCommit) -> None:
    hand.bad, hand.by_itself = {637}, True
    futures = [groups.submit(end(run)) for run in range(1, 1_001)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    bad = results.pop(636)
    assert isinstance(bad, UnitRefused)
    assert str(bad) == "the unit cannot be written: ValueError: a constraint"
    assert results == [Committed()] * 999
    assert hand.written == [run for run in range(1, 1_001) if run != 637]  # in order
    assert len(hand.groups) <= 22


async def test_groups_are_bounded_by_rows_and_bytes(hand: Hand, groups: GroupCommit) -> None:
    hand.by_itself = True
    futures = [groups.submit(end(run)) for run in range(2 * GROUP_ROWS_MAX + 1)]
    large = [Unit(journal=step(run).journal, bytes_=GROUP_BYTES_MAX // 2) for run in range(5)]
    await asyncio.gather(*futures, *[groups.submit(unit) for unit in large])
    assert [len(group) for group in hand.groups] == [1_000, 1_000, 3, 2, 1]
    huge = Unit(journal=step(1).journal, bytes_=5 * GROUP_BYTES_MAX)
    await asyncio.gather(groups.submit(step(2)), groups.submit(huge), groups.submit(step(3)))
    assert hand.groups[5:] == [[2], [1], [3]]


@pytest.mark.rule("1.8")
async def test_a_refusing_store_keeps_the_group_and_refuses_new_input(
    hand: Hand, groups: GroupCommit, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    hand.error = StoreUnavailable("the disk is full")
    kept = [asyncio.ensure_future(groups.submit(step(1))), asyncio.ensure_future(groups.submit(step(2)))]
    await turn()
    hand.finish()
    assert groups.refusing == "the disk is full"
    for unit in (Unit(runs=(start(3),)), Unit(accept=(accept(4),))):
        with pytest.raises(StoreUnavailable, match=r"^the disk is full$"):
            await groups.submit(unit)
    late = asyncio.ensure_future(groups.submit(end(5)))
    for tries in range(2, 5):
        await clock.advance(1)
        assert hand.groups == [[1, 2]] * tries
        hand.finish()
    assert not late.done()
    hand.error, hand.by_itself = None, True
    await clock.advance(1)
    await asyncio.gather(*kept, late)
    assert groups.refusing == ""
    assert hand.written == [1, 2, 5]
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("ERROR", "the store refuses writes, and so new input: the disk is full"),
        ("WARNING", "the store takes writes again"),
    ]


@pytest.mark.rule("1.8")
async def test_input_that_a_store_refuses_for_long_is_given_back(
    hand: Hand, groups: GroupCommit, clock: VirtualClock
) -> None:
    """It is written no more. What is under way stays, in order; a filler asks for room where nothing else does."""
    hand.error = StoreUnavailable("the disk is full", hint="free some space")
    first = [groups.submit(Unit(accept=(accept(1),), bytes_=500)), groups.submit(Unit(runs=(start(2),)))]
    await turn()
    behind = [groups.submit(step(3)), groups.submit(Unit(runs=(start(4),))), groups.submit(step(5))]
    begun = clock.monotonic()
    hand.finish()
    while clock.monotonic() - begun < REFUSED_INPUT_S_MAX - 1:
        await clock.advance(1)
        hand.finish()
        await turn()
    assert not any(future.done() for future in (*first, *behind))
    assert set(map(tuple, hand.groups)) == {(1, 2)}
    for _ in range(2):
        await clock.advance(1)
        hand.finish()
        await turn()
    for future in (*first, behind[1]):
        error = future.exception()
        assert isinstance(error, StoreUnavailable)
        assert (str(error), error.retry_after_s, error.hint) == ("the disk is full", 1.0, "free some space")
    assert hand.groups[-1] == [2 * 1024 + 500]
    hand.error, hand.by_itself = None, True
    await clock.advance(1)
    assert await asyncio.gather(behind[0], behind[2]) == [Committed()] * 2
    assert hand.written == [2 * 1024 + 500, 3, 5, 0]  # the filler goes again
    assert groups.refusing == ""
    assert await groups.submit(Unit(runs=(start(2),))) == Committed()


@pytest.mark.rule("1.8")
async def test_a_group_in_doubt_goes_again_as_it_is(hand: Hand, groups: GroupCommit, clock: VirtualClock) -> None:
    """Nobody is told that nothing was taken of what may have been; what stands behind it was not."""
    hand.error = StoreUnavailable("no answer")
    hand.error.in_doubt = True
    doubtful = [groups.submit(Unit(runs=(start(1),))), groups.submit(step(2))]
    await turn()
    behind = groups.submit(Unit(runs=(start(3),)))
    hand.finish()
    for _ in range(int(REFUSED_INPUT_S_MAX) + 2):
        await clock.advance(1)
        hand.finish()
    assert str(behind.exception()) == "no answer"
    assert not any(future.done() for future in doubtful)
    hand.error, hand.by_itself = None, True
    await clock.advance(1)
    await asyncio.gather(*doubtful)
    assert set(map(tuple, hand.groups)) == {(1, 2)}


async def test_a_failed_store_answers_everybody(hand: Hand, groups: GroupCommit) -> None:
    under_way = asyncio.ensure_future(groups.submit(step(1)))
    await turn()
    queued = asyncio.ensure_future(groups.submit(step(2)))
    await turn()
    hand.error = Fenced("another process has it")
    hand.finish()
    for future in (under_way, queued, groups.submit(step(3))):
        with pytest.raises(Fenced, match=r"^another process has it$"):
            await future


async def test_close_writes_what_waits(hand: Hand, groups: GroupCommit) -> None:
    hand.by_itself = True
    futures = [groups.submit(step(run)) for run in range(2_500)]
    await groups.close()
    assert await asyncio.gather(*futures) == [Committed()] * 2_500
    with pytest.raises(StoreFailed, match=r"^the store is closed$"):
        await groups.submit(step(1))


async def test_a_waiter_that_goes_away_takes_nothing_with_it(hand: Hand, groups: GroupCommit) -> None:
    gone, stays = asyncio.ensure_future(groups.submit(step(1))), asyncio.ensure_future(groups.submit(step(2)))
    await turn()
    gone.cancel()
    await turn()
    hand.finish()
    assert await stays == Committed()
    assert hand.written == [1, 2]


async def test_lanes_keep_a_run_and_a_source_together(clock: VirtualClock) -> None:
    hands = [Hand(), Hand()]
    for hand in hands:
        hand.by_itself = True
    groups = GroupCommit(hands, clock)
    await asyncio.gather(
        *[groups.submit(step(run)) for run in (1, 2, 3, 4)], groups.submit(end(1)), groups.submit(end(2))
    )
    assert sorted(hand.written for hand in hands) == [[1, 3, 1], [2, 4, 2]]
