"""The process dies at every named point between receipt and completion event; what was acknowledged ends once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.core import faults
from reactor.store.contract import Committed, RunFilter, Unit

from .rig import Rig

ORDER = """
workflow: order
inputs: {id: string}
when: [{event: order.new, with: {id: "${{ event.data.id }}"}}]
on_error: compensate_all
steps:
  - name: reserve
    python: {function: "m:do", args: {what: reserve}}
    compensate: {python: {function: "m:do", args: {what: release}}}
  - {name: price, transform: {total: "${{ size(inputs.id) }}"}}
  - name: charge
    python: {function: "m:do", args: {what: charge}}
    compensate: {python: {function: "m:do", args: {what: refund}}}
  - {name: ship, python: {function: "m:ship", args: {id: "${{ inputs.id }}"}}}
---
workflow: after
when: [{workflow: order, state: [completed, failed], with: {run: "${{ event.data.run }}"}}]
inputs: {run: string}
steps: [{name: tell, python: {function: "m:do", args: {what: tell}}}]
"""

POINTS = (
    "intake.submit",
    "intake.durable",
    "step.call",
    "step.called",
    "step.result",
    "step.recorded",
    "run.end",
    "run.ended",
)


class Dead(BaseException):
    """The process is gone."""


class Ledger:
    """The world outside: what was done, under which key."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self.done: list[tuple[str, str]] = []
        self.bad: set[str] = set()

    async def do(self, what: str, context: Any) -> str:
        await asyncio.sleep(0)
        self.keys[context.idempotency_key] += 1
        if self.keys[context.idempotency_key] == 1:
            self.done.append((what, context.run["id"]))
        return what

    async def ship(self, id: str, context: Any) -> str:
        if id in self.bad:
            raise ValueError("no such address")
        return await self.do("ship", context)


class Mortal:
    """A store that a dead process cannot use: what was not committed by then never is."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def submit(self, unit: Unit) -> Any:
        if self.dead:
            future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
            return future
        return self._store.submit(unit)


@contextlib.contextmanager
def dying_at(point: str, nth: int, rig: Rig) -> Iterator[list[str]]:
    seen: list[str] = []

    def hook(name: str) -> None:
        if rig.store.dead:
            raise Dead
        if name == point:
            seen.append(name)
            if len(seen) == nth:
                rig.store.dead = True
                raise Dead

    faults.hook = hook
    try:
        yield seen
    finally:
        faults.hook = None


async def live(url: str, ledger: Ledger, point: str, nth: int, id: str) -> int:
    """One life: post the event (unless it was acknowledged before), run until all is quiet or the process dies."""
    rig = Rig(url, {"m:do": ledger.do, "m:ship": ledger.ship}, wrap=Mortal)
    await rig.open()
    with dying_at(point, nth, rig) as seen:
        with contextlib.suppress(Dead, asyncio.TimeoutError):
            await rig.deploy(ORDER)
            posting = asyncio.ensure_future(rig.emit("order.new", {"id": id}, id="event-1", source="/shop"))
            await rig.until(lambda: posting.done() or rig.store.dead)
            posting.cancel()
            await rig.until(lambda: quiet(rig))
        await (rig.crash() if len(seen) >= nth else rig.close())
    return len(seen)


async def quiet(rig: Rig) -> bool:
    if rig.store.dead:
        return True
    rows = await rig.store.runs(RunFilter(), limit=10)
    return len(rows) == 2 and all(r.ended_at is not None for r in rows)


@pytest.mark.parametrize("fails", [False, True], ids=["completes", "compensates"])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.rule("4.2")
@pytest.mark.req("O-2")
async def test_a_death_at_any_point_loses_nothing_and_starts_nothing_twice(
    tmp_path: Any, point: str, fails: bool
) -> None:
    for nth in range(1, 20):
        url = f"sqlite:///{tmp_path}/{point}-{nth}.db"
        ledger = Ledger()
        if fails:
            ledger.bad.add("A1")
        reached = await live(url, ledger, point, nth, "A1")
        assert reached >= 1, "the point is on the way"
        await live(url, ledger, "none", 1, "A1")
        wanted = ["refund", "release", "tell"] if fails else ["ship", "tell"]
        assert [what for what, _ in ledger.done] == ["reserve", "charge", *wanted], (point, nth)
        assert len({run for _, run in ledger.done}) == 2, "two runs: the order, and what follows it"
        assert max(ledger.keys.values()) <= 2, "only what was in flight is done again"
        if reached < nth:
            break
