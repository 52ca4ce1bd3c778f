"""The part of the store suite about what goes when it is old (semantics 11.1, 11.2)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ..core.event import Mark
from ..core.limits import BLOB_GRACE_S, UNMATCHED_ROWS_MAX
from ..store.contract import DeadLetter, LedgerRow, RunStart, Store, Unit
from .clock import START, VirtualClock
from .store_units import accept, end, event_row, run_row, start, step

DAY_S = 86_400.0
KEEP: Mapping[str, float] = dict.fromkeys(("runs", "events", "unmatched", "dead_letters", "ledger"), 10 * DAY_S)


async def retain_all(store: Store, keep: Mapping[str, float] = KEEP, *, limit: int = 100) -> dict[str, int]:
    """Come again while something goes; how many went in all, without those tables of which none did."""
    gone: dict[str, int] = {}
    while any(went := await store.retain(keep, limit=limit)) and any(went.values()):
        for table, count in went.items():
            gone[table] = gone.get(table, 0) + count
    return {table: count for table, count in gone.items() if count}


class RetentionTests:
    """Part of StoreSuite."""

    @pytest.mark.rule("11.2")
    async def test_old_ended_runs_go_and_open_ones_stay(self, store: Store, clock: VirtualClock) -> None:
        """With their journals; age is counted from the end."""
        numbers = [*range(1, 51), (7 << 40) + 1]
        for number in numbers:
            row = run_row(number, created_at=START, labels=b'{"a":"b"}')
            await store.submit(Unit(runs=(RunStart(row, keys=(("b", "k"),)),)))
            await store.submit(step(number))
            if number not in (3, 4):
                await store.submit(end(number, at=START + DAY_S if number == 5 else START))
        clock.step(10 * DAY_S + 60)
        await store.submit(Unit(runs=(start(60, created_at=clock.now()),)))
        await store.submit(end(60, at=clock.now()))
        assert await retain_all(store, limit=7) == {"runs": 48}
        for number in numbers:
            kept = number in (3, 4, 5)
            assert (await store.run(number) is not None) == kept
            assert bool(await store.journal(number)) == kept
        assert await store.run(60) is not None
        clock.step(DAY_S)
        assert await retain_all(store) == {"runs": 1}

    @pytest.mark.rule("11.2")
    async def test_old_events_go_unless_an_open_run_may_look_back(self, store: Store, clock: VirtualClock) -> None:
        """An event that started an open run stays, and one taken for a wait."""
        await store.submit(Unit(accept=(accept(1, start(10, event=1, created_at=START)), accept(2), accept(3))))
        await store.submit(Unit(accept=(accept(4, waits=(("w", "k"),)),)))
        clock.step(10 * DAY_S + 60)
        await store.submit(Unit(accept=(accept(5),)))
        later = event_row(9, at=clock.now())
        await store.log_unmatched([event_row(8), later])
        assert await retain_all(store) == {"events": 3, "unmatched": 1}
        assert [row.key for row in await store.events()] == [9, 4, 1]
        await store.submit(end(10, at=clock.now()))
        assert await retain_all(store) == {"events": 2}
        assert list(await store.waited("w", "k", after=0, limit=9)) == []

    async def test_old_dead_letters_ledger_rows_and_marks_go(self, store: Store, clock: VirtualClock) -> None:
        """A mark without an instant is kept for ever."""
        dead = DeadLetter(1, START, "t", "/s", "1", "invalid_data", b"{}")
        marks = (Mark("files", "a", b"1", at=START + DAY_S), Mark("files", "b", b"2"))
        await store.submit(Unit(dead=(dead,), ledger=(LedgerRow("t", START, "fired"),), marks=marks))
        assert await retain_all(store) == {}
        clock.step(11 * DAY_S)
        assert await retain_all(store) == {"dead_letters": 1, "ledger": 1, "marks": 1}
        assert await store.marks("files") == {"b": b"2"}

    @pytest.mark.rule("1.1")
    async def test_dedupe_records_go_by_days_with_rows(self, store: Store, clock: VirtualClock) -> None:
        """Days without a service do not count."""
        clock.step(3_600)  # past the minute in which two days are written
        for key in range(1, 8):
            await store.submit(Unit(accept=(accept(key),)))
            clock.step(DAY_S if key < 7 else 30 * DAY_S)  # a month without a service shortens no window
        assert (await store.retain({"dedupe": 3 * DAY_S}, limit=10))["dedupe"] == 3
        known = [
            not (await store.submit(Unit(accept=(accept(10 + key, id=str(key)),)))).accepted[0].new
            for key in range(1, 8)
        ]
        assert known == [False] * 3 + [True] * 4

    @pytest.mark.rule("11.1")
    async def test_blobs_that_nothing_can_name_go(self, store: Store, clock: VirtualClock) -> None:
        """What a run may name is kept."""
        old, used, named = [await store.put_blob(text) for text in (b"old", b"used", b"named")]
        clock.step(BLOB_GRACE_S + 1)
        await store.put_blob(b"named")
        await store.submit(Unit(runs=(start(1, vars=used, created_at=clock.now()),)))
        await retain_all(store)
        assert [await store.blob(name) for name in (old, used, named)] == [None, b"used", b"named"]
        await store.submit(Unit(runs=(start(2, created_at=START),)))
        fresh = await store.put_blob(b"fresh")
        clock.step(9 * DAY_S)
        await retain_all(store)
        assert await store.blob(fresh) == b"fresh"  # an open run is older than it

    @pytest.mark.rule("1.4")
    async def test_the_unmatched_log_is_bounded(self, store: Store) -> None:
        """The newest stay."""
        for first in range(1, UNMATCHED_ROWS_MAX + 1_500, 1_000):
            await store.log_unmatched([event_row(key) for key in range(first, first + 1_000)])
        sizes = await store.sizes()
        assert sizes["unmatched"] == UNMATCHED_ROWS_MAX
        assert await store.event(1) is None
