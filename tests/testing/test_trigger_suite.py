"""The suite passes an honest trigger, and fails every one that breaks a promise."""

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest
from _pytest.outcomes import Skipped

from reactor.core.event import Event
from reactor.testing import trigger_suite
from reactor.testing.trigger_suite import Rig, TriggerSuite
from reactor.tests.testing import memory_source as broken
from reactor.triggers.contract import Traits


class TestMemory(TriggerSuite):
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
    excused: set[str] = set()
    for name, test in inspect.getmembers(suite(), inspect.iscoroutinefunction):
        if not name.startswith("test_"):
            continue
        rig = broken.MemoryRig(kind)
        try:
            await test(rig)
        except Skipped:
            excused.add(name.removeprefix("test_"))
        except (AssertionError, TimeoutError, RuntimeError):
            failed.add(name.removeprefix("test_"))
        for trigger in rig._made:
            closing = asyncio.ensure_future(trigger.close())
            await asyncio.wait({closing}, timeout=0.01)
            closing.cancel()
    return failed, excused


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
