"""Small pieces that tests of a store are made of: rows and flow decisions with everything filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import ids
from ..store.contract import (
    Acceptance,
    Admit,
    EventRow,
    Flow,
    FlowDecision,
    FlowKey,
    FlowState,
    JournalRow,
    RunChange,
    RunRow,
    RunStart,
    RunState,
    Unit,
)
from .clock import START

KEY = FlowKey("concurrency/ship/0", "customer-7")


def run_row(number: int, **changes: Any) -> RunRow:
    """A run with this number, its key made of it."""
    cells: dict[str, Any] = {
        "id": number,
        "key": ids.digest("run", number),
        "workflow": "ship",
        "version": "1.0.0",
        "digest": b"d" * 16,
        "state": int(RunState.PENDING),
        "input": b'{"order":%d}' % number,
        "created_at": START + number,
    }
    return RunRow(**{**cells, **changes})


def start(number: int, **changes: Any) -> RunStart:
    """A run that nothing holds back."""
    return RunStart(run_row(number, **changes))


def step(run: int, ord: int = 0, body: bytes = b"{}", **changes: Any) -> Unit:
    """The unit of one step's result."""
    return Unit(journal=(JournalRow(run, ord << 40, 0, body, **changes),))


def end(run: int, *, release: Flow | None = None, state: RunState = RunState.COMPLETED, at: float = START) -> Unit:
    """The unit that ends a run, unless it has ended or is cancelled."""
    change = RunChange(run, "open", state=int(state), output=b'"done"', steps=b"[]", transitions=2, ended_at=at)
    return Unit(changes=(change,), release=release)


def event_row(key: int, id: str = "", **changes: Any) -> EventRow:
    """An event with this key; its id too, if none is given."""
    cells: dict[str, Any] = {
        "key": key,
        "source": "/shop",
        "id": id or str(key),
        "type": "order.created",
        "trigger": "shop",
        "at": START + key,
        "revision": 1,
        "body": b'{"id":"%d"}' % key,
    }
    return EventRow(**{**cells, **changes})


def accept(key: int, *runs: RunStart, id: str = "", **changes: Any) -> Acceptance:
    """The acceptance of an event that starts these runs."""
    event = event_row(key, id)
    return Acceptance(event, ids.identity(event.trigger, event.source, event.id), runs, **changes)


def slots(most: int, key: FlowKey = KEY, *, cancel: tuple[int, ...] = ()) -> Flow:
    """Take one of `most` slots of a key, or be held."""

    def decide(states: Mapping[FlowKey, FlowState | None], now: float) -> FlowDecision:
        state = states[key]
        taken = state.value["taken"] if state is not None else 0
        if taken >= most:
            return FlowDecision("hold", {}, "all slots are taken", cancel)
        return FlowDecision("begin", {key: FlowState({"taken": taken + 1})}, "", cancel)

    return Flow((key,), decide)


def free(key: FlowKey = KEY) -> Flow:
    """Give a slot back; the last one removes the key's row."""

    def decide(states: Mapping[FlowKey, FlowState | None], now: float) -> FlowDecision:
        state = states[key]
        assert state is not None
        taken = state.value["taken"] - 1
        return FlowDecision("begin", {key: FlowState({"taken": taken}) if taken else None})

    return Flow((key,), decide)


def admit(run: int, flow: Flow, *, release: bool = False) -> Unit:
    """Try to begin a held run."""
    return Unit(admit=(Admit(run, flow, START + 5, 2, release),))
