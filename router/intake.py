"""Intake: from a delivery to durable events and begun runs, then the source is told. The heart of the router.

`publish` matches at once, hands one unit to the store and returns; the store answers when the unit is durable. A
source is settled only then. Every trigger has its own share of the inbox: a held one holds no other (semantics 1.9).
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ..core import faults
from ..core.clock import Clock
from ..core.durations import format_instant
from ..core.errors import ErrorInfo, ReactorError, StoreFailed, StoreUnavailable
from ..core.event import Delivery, Event, Outcome, Receipt, Settlement, Undecodable, check, encode
from ..core.ids import Numbers, event_text, fresh_id, identity, run_text
from ..core.keys import key_text
from ..core.limits import EVENT_HOPS_MAX, FAN_OUT_RUNS_MAX, INBOX_DELIVERIES_MAX, SETTLE_WAIT_S_MAX
from ..language.cel import Activation
from ..store.contract import (
    Acceptance,
    Accepted,
    Committed,
    DeadLetter,
    EventRow,
    LedgerRow,
    RunStart,
    Store,
    Unit,
    UnitRefused,
)
from .contract import CancelBinding, Runs, StartBinding, WaitBinding
from .counts import Counts
from .rules import Rules, fits
from .unmatched import Unmatched

log = logging.getLogger("reactor.router")
_encode = msgspec.json.Encoder().encode
OWN = ""  # the trigger name of events of our own


class Share:
    """One trigger's part of the inbox."""

    __slots__ = ("free", "open")

    def __init__(self) -> None:
        self.open = 0  # deliveries that are not durable yet
        self.free = asyncio.Event()
        self.free.set()


class Intake:
    """Accepts deliveries."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        runs: Runs,
        numbers: Numbers,
        clock: Clock,
        unmatched: Unmatched,
        counts: Counts,
        *,
        fatal: Callable[[StoreFailed], None],
        outcomes: Callable[[tuple[str, ...]], Awaitable[tuple[Outcome, ...]]],
    ) -> None:
        self._store = store
        self._rules = rules
        self._runs = runs
        self._numbers = numbers
        self._clock = clock
        self._unmatched = unmatched
        self._counts = counts
        self._fatal = fatal
        self._outcomes = outcomes
        self._shares: dict[str, Share] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.completes: Callable[[str], bool] = lambda trigger: False  # does this trigger settle when runs have ended?
        self.holds: Callable[[str], bool] = lambda trigger: False  # is a workflow of this trigger at PENDING_RUNS_MAX?
        self.vars: Mapping[str, Any] = {}

    async def publish(self, trigger: str, delivery: Delivery, *, done: tuple[tuple[int, int], ...] = ()) -> None:
        """Take a delivery; returns when it is with the store, not when it is durable. `done`: outbox marks of its
        unit.
        """
        share = self._shares.get(trigger)
        if share is None:
            share = self._shares[trigger] = Share()
        while share.open >= INBOX_DELIVERIES_MAX or self.holds(trigger):
            share.free.clear()
            try:
                await asyncio.wait_for(share.free.wait(), 1.0)
            except TimeoutError:
                continue
        share.open += 1
        pending = Pending(trigger, delivery, share)
        try:
            unit = self._unit(pending, done)
        except BaseException:
            self._left(share)
            raise
        if unit is None:
            self._left(share)
            self._settle(pending, Settlement(receipts=tuple(r for r in pending.receipts if r is not None)))
            return
        faults.point("intake.submit")
        future = asyncio.ensure_future(self._store.submit(unit))
        future.add_done_callback(functools.partial(self._committed, pending, unit))

    # -- before the commit: pure
    def _unit(self, pending: Pending, done: tuple[tuple[int, int], ...]) -> Unit | None:
        """Everything that a delivery changes, as one unit; None if nothing is to be written."""
        delivery = pending.delivery
        at = self._clock.now()
        accept: list[Acceptance] = []
        dead: list[DeadLetter] = []
        size = 0
        for item in delivery.events:
            if isinstance(item, Undecodable):
                letter = self._undecodable(pending.trigger, item, at)
                dead.append(letter)
                pending.receipts.append(Receipt("dead", error=item.reason))
                continue
            acceptance = self._acceptance(pending, item, at, dead)
            if acceptance is not None:
                accept.append(acceptance)
                size += len(acceptance.event.body)
        ledger = tuple(LedgerRow(pending.trigger, d.due, d.outcome, d.reason, at) for d in delivery.ledger)
        if not (accept or dead or delivery.marks or ledger or done):
            return None
        return Unit(
            accept=tuple(accept), dead=tuple(dead), marks=delivery.marks, ledger=ledger, outbox_done=done, bytes_=size
        )

    def _acceptance(self, pending: Pending, event: Event, at: float, dead: list[DeadLetter]) -> Acceptance | None:
        """One event with all it starts; None if nobody wants it, or it is a dead letter as a whole."""
        trigger = pending.trigger
        if not event.id:
            event.id = fresh_id()
        if event.time is None:
            event.time = format_instant(at)
        event.meta = {**event.meta, "trigger": trigger}
        key = self._numbers.draw()
        try:
            check(event)
            self._in_bounds(event)
            arrival = self._route(event, key, at)
        except ReactorError as e:
            dead.append(self._letter(key, at, trigger, event, e.info(), raw=encode(event, meta=True)))
            pending.receipts.append(Receipt("dead", event_text(key), error=e.info()))
            return None
        row = EventRow(
            key,
            event.source,
            event.id,
            event.type,
            trigger,
            at,
            self._rules.revision,
            encode(event, meta=True),
            str(event.extensions.get("correlationid", "")),
        )
        if not (arrival.starts or arrival.dead or arrival.waits or arrival.cancels):
            self._unmatched.add(row)
            self._counts.unmatched(trigger)
            pending.receipts.append(Receipt("unmatched", event_text(key)))
            return None
        known = (
            None
            if pending.delivery.positioned
            else identity(trigger, event.source, event.id, int(event.extensions.get("replay", 0)))
        )
        pending.receipts.append(None)
        pending.arrivals.append((len(pending.receipts) - 1, event, arrival))
        return Acceptance(
            row, known, tuple(arrival.starts), tuple(arrival.dead), tuple(arrival.waits), tuple(arrival.cancels)
        )

    def _in_bounds(self, event: Event) -> None:
        hops = event.extensions.get("hops", 0)
        if isinstance(hops, int) and hops > EVENT_HOPS_MAX:
            raise _Loop(
                f"the event comes after {hops} runs that started one another; at most {EVENT_HOPS_MAX} are followed",
                hint="a workflow starts itself, directly or through others: narrow its `when`",
            )

    def _route(self, event: Event, key: int, at: float) -> Arrival:
        """Who takes the event, under the rules of now (semantics 1.3)."""
        arrival = Arrival()
        scope = Activation({"event": event.view(), **self.vars})
        taken: set[str] = set()
        for binding in self._rules.match(event):
            if isinstance(binding, StartBinding):
                if binding.workflow not in taken and fits(binding, event):
                    self._start(arrival, binding, event, key, at, scope, taken)
            else:
                self._interest(arrival, binding, event, key, at, scope)
        if len(arrival.starts) > FAN_OUT_RUNS_MAX:
            raise _TooMany(
                f"the event would start {len(arrival.starts)} runs; at most {FAN_OUT_RUNS_MAX} are started by one",
                hint="narrow the `match` of the workflows that take this type",
            )
        return arrival

    def _start(
        self,
        arrival: Arrival,
        binding: StartBinding,
        event: Event,
        key: int,
        at: float,
        scope: Activation,
        taken: set[str],
    ) -> None:
        try:
            if not all(guard.guard(scope) is wanted for _, guard, wanted in binding.guards):
                return
        except ReactorError as e:
            start: RunStart | ErrorInfo = e.info()
        else:
            start = self._runs.for_event(binding.digest, binding.entry, event, key, at, scope)
        taken.add(binding.workflow)
        if isinstance(start, RunStart):
            arrival.starts.append(start)
        else:
            arrival.dead.append(
                self._letter(key, at, str(event.meta["trigger"]), event, start, binding.workflow, binding.entry)
            )

    def _interest(
        self,
        arrival: Arrival,
        binding: WaitBinding | CancelBinding,
        event: Event,
        key: int,
        at: float,
        scope: Activation,
    ) -> None:
        """A wait's pattern or a `cancel_on` entry; an absent key is a dead letter of that binding (semantics 5.2)."""
        try:
            if isinstance(binding, CancelBinding) and binding.guard is not None and not binding.guard.guard(scope):
                return
            text = key_text(binding.by.value(scope)) if binding.by is not None else ""
        except ReactorError as e:
            arrival.dead.append(self._letter(key, at, str(event.meta["trigger"]), event, e.info(), binding.workflow))
            return
        if isinstance(binding, WaitBinding):
            arrival.waits.append((binding.pattern, text))
        else:
            cancel = {
                "reason": f"the event {event.id} ({event.type}) came",
                "actor": "cancel_on",
                "at": at,
                "event": event_text(key),
            }
            arrival.cancels.append((binding.pattern, text, _encode(cancel)))

    def _undecodable(self, trigger: str, item: Undecodable, at: float) -> DeadLetter:
        self._counts.dead(trigger, item.reason.code)
        return DeadLetter(
            self._numbers.draw(),
            at,
            trigger,
            item.source,
            item.id,
            item.reason.code,
            _encode(item.reason),
            item.raw,
            meta=_encode(dict(item.meta or {})),
        )

    def _letter(
        self,
        key: int,
        at: float,
        trigger: str,
        event: Event,
        error: ErrorInfo,
        workflow: str = "",
        entry: int = -1,
        *,
        raw: bytes | None = None,
    ) -> DeadLetter:
        self._counts.dead(trigger, error.code)
        return DeadLetter(
            self._numbers.draw(),
            at,
            trigger,
            event.source,
            event.id,
            error.code,
            _encode(error),
            raw,
            0 if raw is not None else key,
            workflow,
            entry,
        )

    # -- after the commit
    def _committed(self, pending: Pending, unit: Unit, future: asyncio.Future[Committed]) -> None:
        self._left(pending.share)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._durable(pending, future.result())
        elif isinstance(error, StoreUnavailable):
            self._settle(pending, Settlement(again=True, retry_after_s=error.retry_after_s))
        elif isinstance(error, StoreFailed):
            self._settle(pending, Settlement(again=True))
            self._fatal(error)
        elif isinstance(error, UnitRefused):
            self._spawn(self._unwritable(pending, unit, error))
        else:
            log.error("a unit could not be written", exc_info=error)
            self._settle(pending, Settlement(again=True))

    def _durable(self, pending: Pending, committed: Committed) -> None:
        if committed.refused:  # another reader moved the position: this one starts again from where it stands
            self._settle(pending, Settlement(again=True))
            return
        faults.point("intake.durable")
        for (place, event, arrival), accepted in zip(pending.arrivals, committed.accepted, strict=True):
            pending.receipts[place] = self._receipt(accepted, arrival)
            if accepted.new:
                self._counts.accepted(pending.trigger)
                self._runs.begin(arrival.starts, accepted, event)
                if arrival.waits:
                    self._runs.deliver(accepted.event, event, tuple(arrival.waits))
            else:
                self._counts.duplicate(pending.trigger)
        if committed.superseded:
            self._runs.superseded(committed.superseded)
        receipts = tuple(r for r in pending.receipts if r is not None)
        runs = tuple(run for receipt in receipts for run in receipt.runs)
        if runs and self.completes(pending.trigger):
            self._spawn(self._settle_completed(pending, receipts, runs))
        else:
            self._settle(pending, Settlement(receipts=receipts))

    def _receipt(self, accepted: Accepted, arrival: Arrival) -> Receipt:
        runs = tuple(run_text(self._store.id, s.run) for s in accepted.runs if s.run and s.verdict != "refused")
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
        await pending.delivery.settle(Settlement(receipts=receipts, outcomes=outcomes))

    async def _unwritable(self, pending: Pending, unit: Unit, error: UnitRefused) -> None:
        """The store takes this unit in no form: what came is a dead letter, so that it neither vanishes nor blocks."""
        reason = ErrorInfo(
            "too_large" if "too large" in str(error) else "invalid_data", f"the event cannot be stored: {error}", "park"
        )
        at = self._clock.now()
        letters = tuple(self._letter(0, at, pending.trigger, e, reason, raw=b"") for _, e, _ in pending.arrivals)
        await self._store.submit(Unit(dead=letters, marks=unit.marks, outbox_done=unit.outbox_done))
        self._settle(
            pending, Settlement(receipts=tuple(Receipt("dead", error=reason) for _ in pending.delivery.events))
        )

    def _settle(self, pending: Pending, settlement: Settlement) -> None:
        self._spawn(pending.delivery.settle(settlement))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, StoreFailed):
                self._fatal(error)
            else:
                log.error("a delivery could not be settled at its source", exc_info=error)

    def _left(self, share: Share) -> None:
        share.open -= 1
        share.free.set()

    async def drain(self) -> None:
        """Wait until everything taken is durable and settled."""
        while any(s.open for s in self._shares.values()) or self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)


class Pending:
    """A delivery between match and settle."""

    __slots__ = ("arrivals", "delivery", "receipts", "share", "trigger")

    def __init__(self, trigger: str, delivery: Delivery, share: Share) -> None:
        self.trigger = trigger
        self.delivery = delivery
        self.share = share
        self.receipts: list[Receipt | None] = []
        self.arrivals: list[tuple[int, Event, Arrival]] = []


class Arrival:
    """What one event leads to."""

    __slots__ = ("cancels", "dead", "starts", "waits")

    def __init__(self) -> None:
        self.starts: list[RunStart] = []
        self.dead: list[DeadLetter] = []
        self.waits: list[tuple[str, str]] = []
        self.cancels: list[tuple[str, str, bytes]] = []


class _Loop(ReactorError):
    """Runs that start one another without end."""

    code = "loop"


class _TooMany(ReactorError):
    """A fan-out over its bound."""

    code = "resource_limit"
