"""What a delivery leads to, before anything is written: who takes each event, and the one unit of it all. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..core.clock import Clock
from ..core.durations import format_instant
from ..core.errors import ErrorInfo, ReactorError
from ..core.event import Delivery, Event, Receipt, Settlement, Undecodable, check, encode
from ..core.ids import Numbers, event_text, fresh_id, identity
from ..core.keys import key_text, whole
from ..core.limits import CAUSE_RUNS_MAX, EVENT_HOPS_MAX, FAN_OUT_RUNS_MAX
from ..language.cel import Activation
from ..store.contract import Acceptance, DeadLetter, EventRow, LedgerRow, RunStart, Unit
from .chains import Chains
from .contract import CancelBinding, Runs, StartBinding, WaitBinding
from .counts import Counts
from .rules import Rules, fits
from .unmatched import Unmatched

_encode = msgspec.json.Encoder().encode


class Share:
    """One trigger's part of the inbox."""

    __slots__ = ("free", "most", "open")

    def __init__(self, most: int) -> None:
        self.most = most
        self.open = 0  # deliveries that are not durable yet
        self.free = asyncio.Event()
        self.free.set()


class Pending:
    """A delivery between match and settle; `settled` is told what its source is to be told."""

    __slots__ = ("arrivals", "delivery", "receipts", "settled", "share", "trigger")

    def __init__(self, trigger: str, delivery: Delivery, share: Share, settled: Callable[[Settlement], object]) -> None:
        self.trigger = trigger
        self.delivery = delivery
        self.share = share
        self.settled = settled
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


class Arrivals:
    """Makes units of deliveries, under the rules of now."""

    def __init__(
        self, rules: Rules, runs: Runs, numbers: Numbers, clock: Clock, unmatched: Unmatched, counts: Counts
    ) -> None:
        self._rules = rules
        self._runs = runs
        self._numbers = numbers
        self._clock = clock
        self._unmatched = unmatched
        self._counts = counts
        self.chains = Chains()
        self.vars: Mapping[str, Any] = {}

    def crowded(self, trigger: str, delivery: Delivery) -> bool:
        """Would it start a run of a workflow that has as many held ones as may wait (semantics 5.9)?"""
        full = self._runs.full
        if not full:
            return False
        for event in delivery.events:
            if isinstance(event, Event):
                event.meta = {**event.meta, "trigger": trigger}
                for binding in self._rules.match(event):
                    if isinstance(binding, StartBinding) and binding.workflow in full and fits(binding, event):
                        return True
        return False

    def unit(self, pending: Pending, done: tuple[tuple[int, int], ...]) -> Unit | None:
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
            if not pending.delivery.checked:
                check(event)
            self._in_bounds(event)
            arrival = self._route(event, key, at)
        except ReactorError as e:
            dead.append(self.letter(key, at, trigger, event, e.info(), raw=encode(event, meta=True)))
            pending.receipts.append(Receipt("dead", event_text(key), error=e.info()))
            return None
        if not (arrival.starts or arrival.dead or arrival.waits or arrival.cancels):
            if self._unmatched.wants(at):
                self._unmatched.add(self._row(event, key, at))
            self._counts.unmatched(trigger)
            pending.receipts.append(Receipt("unmatched", event_text(key)))
            return None
        known = (
            None
            if pending.delivery.positioned
            else identity(trigger, event.source, event.id, whole(event.extensions.get("replay", 0)))
        )
        pending.receipts.append(None)
        pending.arrivals.append((len(pending.receipts) - 1, event, arrival))
        row = self._row(event, key, at)
        return Acceptance(
            row, known, tuple(arrival.starts), tuple(arrival.dead), tuple(arrival.waits), tuple(arrival.cancels)
        )

    def _row(self, event: Event, key: int, at: float) -> EventRow:
        return EventRow(
            key,
            event.source,
            event.id,
            event.type,
            str(event.meta["trigger"]),
            at,
            self._rules.revision,
            encode(event, meta=True),
            key_text(str(event.extensions.get("correlationid", ""))),
        )

    def _in_bounds(self, event: Event) -> None:
        hops = whole(event.extensions.get("hops", 0))
        if hops > EVENT_HOPS_MAX:
            raise _Loop(
                f"the event comes after {hops} runs that started one another; at most {EVENT_HOPS_MAX} are followed",
                hint="a workflow starts itself, directly or through others: narrow its `when`",
            )
        cause = self.chains.over(event)
        if cause:
            raise _Loop(
                f"{CAUSE_RUNS_MAX} runs came of `{cause}`, each through an event of another; no more are started",
                hint="workflows start one another in breadth: narrow their `when`",
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
                self.letter(key, at, str(event.meta["trigger"]), event, start, binding.workflow, binding.entry)
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
            arrival.dead.append(self.letter(key, at, str(event.meta["trigger"]), event, e.info(), binding.workflow))
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

    def letter(
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
        """A dead letter of an event, or of one binding of it; `raw` keeps an event that has no row of its own."""
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
