"""A test of the tests: with a defect planted, the judge of the crash tests must find something wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from reactor.core import companion
from reactor.core.clock import SYSTEM
from reactor.core.event import Delivery, Event, Mark, Settlement
from reactor.store import resolve, sqlite
from reactor.store.contract import RunFilter
from reactor.testing.clock import VirtualClock
from reactor.tests.crash.lives import Life, Outside, Trial
from reactor.tests.crash.plants import PLANTS, told_before_it_is_written
from reactor.tests.crash.scenarios import COMPLETES, SCENARIOS
from reactor.tests.crash.writers import Forked, Killed
from reactor.tests.store.disk import Disk


@pytest.mark.uncovered
@pytest.mark.parametrize("plant", PLANTS)
async def test_a_planted_defect_is_found(plant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, put, wrap = PLANTS[plant]
    scenario = SCENARIOS[name]
    if put is not None:
        put(monkeypatch)
    longest, seen_whole = 0, False  # how many points a life passed at most; was one of them not killed?
    for at in sorted(range(80), key=lambda at: (at % 5, at)):  # spread, as most defects show in one stretch alone
        if seen_whole and at > longest:
            continue
        clock = VirtualClock(auto=True, patience_s=0.005) if scenario.virtual else SYSTEM
        trial = Trial(scenario, f"sqlite:///{tmp_path}/{at}.db", lambda clock=clock: clock, wrap, quiet_s=0.8)
        faults, reached = await trial.case(f"at-{at}", at)
        if faults:
            return
        longest = max(longest, reached)
        seen_whole = seen_whole or reached < at
    pytest.fail(f"nothing was found wrong with: {plant}")


@pytest.mark.uncovered
async def test_a_writer_that_answers_before_its_commit_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion, "Popen", Forked)
    monkeypatch.setattr(Forked, "plant", told_before_it_is_written)
    found: list[str] = []
    for at in range(1, 30, 2):  # before each commit
        trial = Trial(COMPLETES, f"sqlite:///{tmp_path}/{at}.db", writer="process", quiet_s=0.8)
        found += (await trial.case(f"at-{at}", Killed(at, both=True)))[0]
        if found:
            return
    pytest.fail("nothing was found wrong")


async def lost_in_a_power_cut(disk: Disk, folder: Path) -> list[str]:
    """What is wrong once an event is acknowledged, the power is cut at once, and another process opens what is left."""
    outside = Outside()
    life = Life(f"sqlite:///{folder}/r.db", outside)
    await life.rig.open()
    await life.rig.deploy(COMPLETES.flows)
    await life.post("cut", "order.new", {"id": "cut"})
    left = folder / "left"
    disk.after_power_cut(folder, left)
    life.die()
    await life.rig.crash()
    trial = Trial(COMPLETES, f"sqlite:///{left}/r.db", quiet_s=2.0)
    after = Outside()
    after.acknowledged = outside.acknowledged
    await trial._live("cut", after, 0)
    return after.faults


@pytest.mark.uncovered
async def test_an_acknowledged_event_outlives_a_power_cut_and_without_syncs_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    try:
        (tmp_path / "synced").mkdir()
        assert await lost_in_a_power_cut(disk, tmp_path / "synced") == []
        monkeypatch.setitem(sqlite.SYNCHRONOUS, "power", "OFF")
        (tmp_path / "not").mkdir()
        assert await lost_in_a_power_cut(disk, tmp_path / "not") != []
    finally:
        disk.unregister()


async def misplaced(url: str) -> list[str]:
    """What is wrong after two readers of one partition, and a topic that begins again."""
    life = Life(url, Outside())
    rig = life.rig
    await rig.open()
    await rig.deploy(COMPLETES.flows)
    found: list[str] = []

    async def read(number: int, before: bytes | None, *, taken: bool) -> None:
        """A reader that stood at `before` hands in message `number`."""
        settled: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()

        async def settle(settlement: Settlement) -> None:
            settled.set_result(settlement)

        event = Event(type="order.new", source="/topic", id=f"{number}", data={"id": f"{number}"},
                      datacontenttype="application/json")  # fmt: skip
        mark = Mark("topic", "0", b"%06d" % number, before)
        await rig.intake.publish("topic", Delivery((event,), settle, "0", (mark,), positioned=True))
        if (await asyncio.wait_for(settled, 5)).again is taken:
            found.append(f"message {number} after {before!r} was {'refused' if taken else 'taken'}")

    await read(4, None, taken=True)
    await read(5, b"000004", taken=True)
    await read(7, b"000004", taken=False)  # who stood there lost the partition: the messages between are not its own
    await read(0, b"000005", taken=True)  # the topic was made anew, and whoever stands at its head says so
    await read(1, b"000000", taken=True)
    await rig.until(lambda: life.quiet())
    rows = await rig.store.runs(RunFilter(workflow="order"), limit=50)
    if len(rows) != 4:
        found.append(f"{len(rows)} runs, not 4")
    await rig.crash()
    return found


@pytest.mark.uncovered
@pytest.mark.rule("3.1")
async def test_a_position_moves_by_compare_and_set_and_one_that_only_rises_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await misplaced(f"sqlite:///{tmp_path}/right.db") == []

    def rising(self: Any, mark: Mark) -> None:
        key = (mark.scope, mark.key)
        stands = self.facts.marks.get(key)
        if mark.expected is not UNSET and stands is not None and mark.value is not None and mark.value <= stands:
            raise resolve._Refused("position", "it stands further on")
        self._put(self.rows.marks, key, mark)
        self._put(self.facts.marks, key, mark.value)

    monkeypatch.setattr(resolve._Resolver, "_mark", rising)
    assert await misplaced(f"sqlite:///{tmp_path}/rising.db") != []
