"""The suite passes an honest trigger, and fails every one that breaks a promise."""

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest

from reactor.core.event import Event
from reactor.testing import trigger_suite
from reactor.testing.trigger_suite import Rig, TriggerSuite
from reactor.tests.testing import memory_source as broken
from reactor.triggers.contract import Traits


class TestMemory(TriggerSuite):
    trigger = broken.MemoryTrigger
    QUIET_S = 0.02

    @pytest.fixture
    async def rig(self) -> AsyncIterator[Rig]:
        async with broken.MemoryRig() as rig:
            yield rig


class Quick(TriggerSuite):
    """Gives up soon: what is broken makes it wait for what never comes."""

    LIMIT_S = 0.25
    QUIET_S = 0.02


class Patient(TriggerSuite):
    """For what is to pass, on a slow machine too."""

    QUIET_S = 0.02


async def failures(
    kind: type[broken.MemoryTrigger], monkeypatch: pytest.MonkeyPatch, suite: type[TriggerSuite] = Quick
) -> tuple[set[str], set[str]]:
    """Names of the tests that fail, and of those excused."""
    monkeypatch.setattr(trigger_suite, "CLOSE_S_MAX", 0.1)
    failed: set[str] = set()
    of_kind = type("Suite", (suite,), {"trigger": kind})
    for name, test in inspect.getmembers(of_kind(), inspect.iscoroutinefunction):
        if not name.startswith("test_"):
            continue
        rig = broken.MemoryRig(kind)
        try:
            await test(rig)
        except (AssertionError, TimeoutError, RuntimeError):
            failed.add(name.removeprefix("test_"))
        for trigger in rig._made:
            closing = asyncio.ensure_future(trigger.close())
            await asyncio.wait({closing}, timeout=0.01)
            closing.cancel()
    return failed, {name.removeprefix("test_") for name in of_kind.excused}


@pytest.mark.parametrize(
    ("kind", "caught_by"),
    [
        (broken.DropsEveryTenth, "many_at_once_all_arrive_once"),
        (broken.SettlesBeforeDurable, "what_was_not_settled_comes_again_after_a_restart"),
        (broken.NewIdsOnRedelivery, "what_was_not_settled_comes_again_after_a_restart"),
        (broken.NewIdsOnRedelivery, "a_refused_event_comes_back"),
        (broken.IdsOfTheContent, "equal_payloads_are_two_events"),
        (broken.IgnoresRefusals, "a_refused_event_comes_back"),
        (broken.NeverSettles, "what_was_settled_does_not_come_again"),
        (broken.SettlesAllBefore, "settling_out_of_order_never_skips_one"),
        (broken.LosesACancelledRead, "cancelling_loses_nothing"),
        (broken.ForgetsToReconnect, "all_arrive_although_the_connection_is_cut"),
        (broken.Shuffles, "keeps_the_order_of_a_partition"),
        (broken.HasNoIds, "events_are_whole"),
        (broken.HangsInClose, "opens_and_closes"),
        (broken.LeavesATask, "closing_leaves_nothing_at_work"),
        (broken.CannotCloseTwice, "closes_twice_and_before_it_was_connected"),
        (broken.ReadsOnlyWhatIsNew, "reads_what_came_before_reading_began"),
    ],
)
async def test_catches(kind: type[broken.MemoryTrigger], caught_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failed, _ = await failures(kind, monkeypatch)
    assert caught_by in failed


async def test_lets_the_honest_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    failed, excused = await failures(broken.MemoryTrigger, monkeypatch, Patient)
    assert (failed, excused) == (set(), {"keeps_the_order_of_a_partition"})


async def test_excuses_by_trait_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same broken trigger passes once it promises less."""

    class Modest(broken.SettlesBeforeDurable):
        traits = Traits(acknowledges=False, stable_ids=False, ordered=False, replays=False, shared=False)

        def event(self, number: int, payload: bytes) -> Event:
            return super().event(number, payload).replace(id="")

    failed, excused = await failures(Modest, monkeypatch, Patient)
    assert failed == set()
    assert "what_was_not_settled_comes_again_after_a_restart" in excused


ACKNOWLEDGING = {
    "test_nobody_reads_for_a_while": "the source keeps nothing for a slow reader",
    "test_what_was_not_settled_comes_again_after_a_restart": "the source cannot redeliver",
    "test_a_refused_event_comes_back": "the source cannot redeliver",
    "test_what_was_settled_does_not_come_again": "the source cannot redeliver",
    "test_settling_out_of_order_never_skips_one": "the source cannot redeliver",
    "test_all_arrive_although_the_connection_is_cut": "the source cannot redeliver",
}
ORDERED = {"test_keeps_the_order_of_a_partition": "the source promises no order"}


@pytest.mark.req("Q-12")
def test_what_is_not_promised_is_no_test_and_the_suite_says_so() -> None:
    """Nothing is left to skip; a class below one that promises less has the tests again."""

    class Nothing(broken.MemoryTrigger):
        traits = Traits(acknowledges=False, stable_ids=False, ordered=False, replays=False, shared=False)

    class OfNothing(TriggerSuite):
        trigger = Nothing

    class OfMore(OfNothing):
        trigger = broken.Shuffles

    assert OfNothing.excused == ACKNOWLEDGING | ORDERED
    assert [getattr(OfNothing, name) for name in OfNothing.excused] == [None] * 7
    assert OfMore.excused == {}
    assert all(getattr(OfMore, name) is vars(TriggerSuite)[name] for name in OfNothing.excused)


async def test_the_trigger_of_a_suite_is_the_one_that_its_rig_makes() -> None:
    class OfAnother(TriggerSuite):
        trigger = broken.Shuffles

    rig = broken.MemoryRig(broken.MemoryTrigger)
    with pytest.raises(AssertionError):
        await OfAnother().test_the_rig_makes_the_trigger_of_this_suite(rig)
    with pytest.raises(AssertionError, match=r"name the class of the trigger in the suite: trigger = \.\.\."):
        await TriggerSuite().test_the_rig_makes_the_trigger_of_this_suite(rig)
