"""Intake: from a delivery to durable events and begun runs, then the source is told. The heart of the router.

`publish` matches at once, hands one unit to the store and returns; the store answers when the unit is durable. A
source is settled only then. Every trigger has its own share of the inbox: a held one holds no other (semantics 1.9).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ..core import faults
from ..core.clock import Clock
from ..core.errors import ErrorInfo, ReactorError, StoreFailed, StoreUnavailable
from ..core.event import Delivery, Event, Outcome, Receipt, Settlement, encode
from ..core.ids import event_text, run_text
from ..core.limits import CAUSE_RUNS_MAX, CLOSE_S_MAX, INBOX_DELIVERIES_MAX, OUTBOX_INBOX_MAX, SETTLE_WAIT_S_MAX
from ..core.loops import LOOPS
from ..store.contract import Accepted, Committed, DeadLetter, Store, Unit, UnitRefused
from .arrival import Arrival, Arrivals, Pending, Share
from .contract import Runs
from .counts import Counts

log = logging.getLogger("reactor.router")
OWN = ""  # the trigger name of events of our own


class Intake:
    """Accepts deliveries."""

    def __init__(
        self,
        store: Store,
        arrivals: Arrivals,
        runs: Runs,
        clock: Clock,
        counts: Counts,
        *,
        fatal: Callable[[StoreFailed], None],
        outcomes: Callable[[tuple[str, ...]], Awaitable[tuple[Outcome, ...]]],
    ) -> None:
        self._store = store
        self._arrivals = arrivals
        self._runs = runs
        self._clock = clock
        self._counts = counts
        self._fatal = fatal
        self._outcomes = outcomes
        self._shares: dict[str, Share] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._completing: set[asyncio.Task[Any]] = set()  # of them, those that wait for ends of runs
        self.completes: Callable[[str], bool] = lambda trigger: False  # does this trigger settle when runs have ended?
        self.listeners: list[Callable[[Event], None]] = []  # told of every event that is new and durable
        self.keyed: list[Callable[[Event, int], None]] = []  # the same, with the event's key in the store

    async def publish(self, trigger: str, delivery: Delivery, *, done: tuple[tuple[int, int], ...] = ()) -> None:
        """Take a delivery; returns when it is with the store, not when it is durable. `done`: outbox marks of its
        unit.
        """

        def settled(settlement: Settlement) -> None:
            self._spawn(delivery.settle(settlement), f"`settle` of trigger {trigger}")

        await self.take(trigger, delivery, settled, done=done)

    async def take(
        self,
        trigger: str,
        delivery: Delivery,
        settled: Callable[[Settlement], object],
        *,
        done: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """The same for who is told by a plain call in place of the delivery's own `settle`."""
        share = self._shares.get(trigger)
        if share is None:
            share = self._shares[trigger] = Share(INBOX_DELIVERIES_MAX if trigger != OWN else OUTBOX_INBOX_MAX)
        while (no_room := share.open >= share.most) or self._arrivals.crowded(trigger, delivery):
            if trigger == OWN and not no_room:
                return  # its row waits in the outbox for the next sweep, and holds none behind it
            share.free.clear()
            try:
                async with asyncio.timeout(1.0):
                    await share.free.wait()
            except TimeoutError:
                continue
        for cause in self._arrivals.chains.unknown(delivery.events):
            with contextlib.suppress(StoreUnavailable):  # then nothing begins either
                self._arrivals.chains.known(cause, await self._store.correlated(cause, most=CAUSE_RUNS_MAX))
        share.open += 1
        pending = Pending(trigger, delivery, share, settled)
        try:
            unit = self._arrivals.unit(pending, done)
        except BaseException:
            self._left(share)
            raise
        if unit is None:
            self._left(share)
            settled(Settlement(receipts=tuple(r for r in pending.receipts if r is not None)))
            return
        faults.point("intake.submit")
        future = self._store.submit(unit)
        future.add_done_callback(functools.partial(self._committed, pending, unit))

    # -- after the commit
    def _committed(self, pending: Pending, unit: Unit, future: asyncio.Future[Committed]) -> None:
        self._left(pending.share)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._durable(pending, future.result())
        elif isinstance(error, UnitRefused):
            self._spawn(self._one_by_one(pending, unit), f"a refused delivery of trigger {pending.trigger}")
        else:
            self._not_taken(pending, error)

    def _not_taken(self, pending: Pending, error: BaseException) -> None:
        if isinstance(error, StoreUnavailable):
            pending.settled(Settlement(again=True, retry_after_s=error.retry_after_s))
        elif isinstance(error, StoreFailed):
            pending.settled(Settlement(again=True, in_doubt=True))
            self._fatal(error)
        else:
            log.error("an event and its runs could not be written", exc_info=error)
            pending.settled(Settlement(again=True))

    def _durable(self, pending: Pending, committed: Committed) -> None:
        if committed.refused:  # another reader moved the position: this one starts again from where it stands
            pending.settled(Settlement(again=True))
            return
        faults.point("intake.durable")
        for taken, accepted in zip(pending.arrivals, committed.accepted, strict=True):
            self._taken(pending, *taken, accepted)
        if committed.superseded:
            self._runs.superseded(committed.superseded)
        self._settle(pending)

    def _taken(self, pending: Pending, place: int, event: Event, arrival: Arrival, accepted: Accepted) -> None:
        """An event is durable: tell who listens, and begin its runs."""
        pending.receipts[place] = self._receipt(accepted, arrival)
        if not accepted.new:
            self._counts.duplicate(pending.trigger)
            return
        self._counts.accepted(pending.trigger)
        try:
            for listener in self.listeners:
                listener(event)
            for keyed in self.keyed:
                keyed(event, accepted.event)
        except Exception as e:  # noqa: BLE001  # who listens must not cost a durable run its start
            LOOPS.failed("listeners of events", e)
        if accepted.runs or accepted.cancelled:
            self._runs.begin(arrival.starts, accepted, event)
        if accepted.runs:
            self._arrivals.chains.began(event, len(accepted.runs))
        if arrival.waits:
            self._runs.deliver(accepted.event, event, tuple(arrival.waits))

    def _settle(self, pending: Pending) -> None:
        receipts = tuple([r for r in pending.receipts if r is not None])
        runs = tuple([run for receipt in receipts for run in receipt.runs])
        if runs and self.completes(pending.trigger):
            self._completing.add(self._spawn(self._settle_completed(pending, receipts, runs)))
        else:
            pending.settled(Settlement(receipts=receipts))

    def _receipt(self, accepted: Accepted, arrival: Arrival) -> Receipt:
        runs = tuple([run_text(self._store.id, s.run) for s in accepted.runs if s.run and s.verdict != "refused"])
        error = msgspec.json.decode(arrival.dead[0].error, type=ErrorInfo) if arrival.dead and not runs else None
        verdict = (
            "duplicate" if not accepted.new else "dead" if error is not None and not arrival.starts else "accepted"
        )
        return Receipt(verdict, event_text(accepted.event), runs, error, not runs and bool(arrival.starts))

    async def _settle_completed(self, pending: Pending, receipts: tuple[Receipt, ...], runs: tuple[str, ...]) -> None:
        """After every run has ended, or SETTLE_WAIT_S_MAX (semantics 1.6)."""
        outcomes: tuple[Outcome, ...] = ()
        waiting = asyncio.ensure_future(self._outcomes(runs))
        limit = asyncio.ensure_future(self._clock.sleep(SETTLE_WAIT_S_MAX))
        await asyncio.wait((waiting, limit), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            outcomes = waiting.result()
        waiting.cancel()
        limit.cancel()
        pending.settled(Settlement(receipts=receipts, outcomes=outcomes))

    async def _one_by_one(self, pending: Pending, unit: Unit) -> None:
        """The store takes this unit in no form: its events go alone, so that one harms no other, and the one that is to
        blame is a dead letter. The position moves last; if the process dies before, what comes again is known.
        """
        letters = list(unit.dead)
        try:
            for (place, event, arrival), acceptance in zip(pending.arrivals, unit.accept, strict=True):
                alone = Unit(accept=(acceptance,), bytes_=len(acceptance.event.body))
                try:
                    committed = await self._store.submit(alone)
                except UnitRefused as error:
                    pending.receipts[place] = self._unwritable(pending, event, error, letters)
                else:
                    self._taken(pending, place, event, arrival, committed.accepted[0])
                    if committed.superseded:
                        self._runs.superseded(committed.superseded)
            rest = Unit(dead=tuple(letters), marks=unit.marks, ledger=unit.ledger, outbox_done=unit.outbox_done)
            committed = await self._store.submit(rest)
        except (ReactorError, UnitRefused) as error:
            self._not_taken(pending, error)
            return
        if committed.refused:
            pending.settled(Settlement(again=True))
        else:
            self._settle(pending)

    def _unwritable(self, pending: Pending, event: Event, error: UnitRefused, letters: list[DeadLetter]) -> Receipt:
        reason = ErrorInfo(
            "too_large" if "too large" in str(error) else "invalid_data", f"the event cannot be stored: {error}", "park"
        )
        raw = encode(event, meta=True)
        letters.append(self._arrivals.letter(0, self._clock.now(), pending.trigger, event, reason, raw=raw))
        return Receipt("dead", error=reason)

    def _spawn(self, coroutine: Any, name: str | None = None) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._completing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, StoreFailed):
                self._fatal(error)
            else:
                log.error("a source could not be told what became of its events", exc_info=error)

    def _left(self, share: Share) -> None:
        share.open -= 1
        share.free.set()

    def recorded(self, event: Event, key: int) -> None:
        """Tell the listeners of an event that was stored beside the intake: one that was given to a direct start."""
        for listener in self.listeners:
            listener(event)
        for keyed in self.keyed:
            keyed(event, key)

    async def drain(self) -> None:
        """Wait until everything taken is durable and settled: sources are closed by now. What was to be settled when
        its runs have ended is not; what is being settled has CLOSE_S_MAX.
        """
        while any(s.open for s in self._shares.values()) or self._tasks:
            for task in self._completing:
                task.cancel()
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=CLOSE_S_MAX)
                for task in late:
                    log.error("%s has not ended after %g s: cut off", task.get_name(), CLOSE_S_MAX)
                    task.cancel()
                if late:
                    await asyncio.wait(late, timeout=1.0)
                    self._tasks -= late  # who swallows even that is left behind
            await asyncio.sleep(0)
