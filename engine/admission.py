"""Flow control: which runs may begin now. Pure decisions over the flow rows of `limits` (semantics 5.1, 5.3, 5.6, 5.7).

A concurrency row counts the runs of its key that have begun and not ended (`n`) and the held ones (`held`); under
`cancel_running` it also names the running ones, oldest first. A throttle row holds the instants of the starts in its
window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..language.definition import Throttle, WorkflowDefinition
from ..store.contract import Flow, FlowDecision, FlowKey, FlowState, RunRow, RunStart

_encode = msgspec.json.Encoder().encode


class Limit(Struct, frozen=True):
    """One limit that a run stands under, with its key computed: stored in the run's row."""

    kind: Literal["concurrency", "throttle"]
    policy: str
    key: str
    max: int
    overflow: str
    per_s: float = 0.0

    @property
    def flow_key(self) -> FlowKey:
        """Its row."""
        return FlowKey(self.policy, self.key)


_limits = msgspec.json.Decoder(list[Limit]).decode
States = Mapping[FlowKey, FlowState | None]


def limits_of(definition: WorkflowDefinition, keys: list[str]) -> list[Limit]:
    """The limits of a run of this definition; `keys` are the computed keys, throttles first, in order of the text."""
    found: list[Limit] = []
    for i, limit in enumerate((*definition.throttle, *definition.concurrency)):
        if isinstance(limit, Throttle):
            policy = f"throttle/{definition.workflow}/{i}"
            found.append(Limit("throttle", policy, keys[i], limit.max, limit.overflow, limit.per_s))
        else:
            policy = f"concurrency/{definition.workflow}/{i}"
            found.append(Limit("concurrency", policy, keys[i], limit.max, limit.overflow))
    return found


def encode(limits: list[Limit]) -> bytes:
    """As a run's row keeps them."""
    return _encode(limits) if limits else b""


def of_row(row: RunRow) -> list[Limit]:
    """The limits of a stored run."""
    return decode(row.flow)


def decode(flow: bytes) -> list[Limit]:
    """What `encode` made."""
    return _limits(flow) if flow else []


def accept(limits: list[Limit], run: int) -> Flow | None:
    """The decision for a run that is accepted: begin, hold, or refuse (`skip`, `drop`)."""
    if not limits:
        return None

    def decide(states: States, now: float) -> FlowDecision:
        blocked = [limit for limit in limits if not _free(limit, states.get(limit.flow_key), now, queued=True)]
        for limit in blocked:
            if limit.overflow == "skip":
                return FlowDecision("refuse", {}, "skipped")
            if limit.overflow == "drop":
                return FlowDecision("refuse", {}, "throttled")
        if not blocked:
            return FlowDecision(
                "begin", {k: _take(limit, states.get(k), run, now) for limit in limits if (k := limit.flow_key)}
            )
        cancel = tuple(
            i
            for limit in blocked
            if limit.overflow == "cancel_running"
            for i in _oldest(limit, states.get(limit.flow_key))
        )
        held = {limit.flow_key: _hold(limit, states.get(limit.flow_key), now, cancel) for limit in limits}
        return FlowDecision("hold", held, blocked[0].kind, cancel)

    return Flow(tuple(limit.flow_key for limit in limits), decide)


class Closed(Struct, frozen=True):
    """A limit that admits none now; a throttle says until when."""

    limit: Limit
    until: float | None = None


def closed(limits: Iterable[Limit], states: States, now: float) -> list[Closed]:
    """Which of these limits admit no held run now."""
    found: list[Closed] = []
    for limit in limits:
        state = states.get(limit.flow_key)
        if state is not None and not _free(limit, state, now, queued=False):
            until = min(_window(limit, state, now)) + limit.per_s if limit.kind == "throttle" else None
            found.append(Closed(limit, until))
    return found


def admit(limits: list[Limit], run: int, met: list[Closed]) -> Flow:
    """The decision for a held run whose turn it is: begin, or stay held. `met` has then what holds it; it may be
    written from another thread, until the unit is answered.
    """

    def decide(states: States, now: float) -> FlowDecision:
        met[:] = closed(limits, states, now)  # it may be asked again
        if met:
            waiting = {
                k: _look_again(limit, s, now) for limit in limits if (s := states.get(k := limit.flow_key)) is not None
            }
            return FlowDecision("hold", waiting, met[0].limit.kind)
        return FlowDecision(
            "begin",
            {k: _unheld(_take(limit, states.get(k), run, now)) for limit in limits if (k := limit.flow_key)},
        )

    return Flow(tuple(limit.flow_key for limit in limits), decide)


def withdraw(limits: list[Limit]) -> Flow:
    """A held run ends without having begun."""

    def decide(states: States, now: float) -> FlowDecision:
        return FlowDecision(
            "refuse",
            {k: _unheld(s) for limit in limits if (s := states.get(k := limit.flow_key)) is not None},
            "cancelled",
        )

    return Flow(tuple(limit.flow_key for limit in limits), decide)


def without_ancestors(start: RunStart, held: set[FlowKey]) -> RunStart:
    """A child that its parent waits for needs no place of a key that an ancestor holds (semantics 5.8)."""
    limits = [limit for limit in of_row(start.run) if limit.flow_key not in held]
    start.run.flow = encode(limits)
    return RunStart(start.run, accept(limits, start.run.id), start.keys)


def release(row: RunRow) -> Flow | None:
    """The decision at the end of a run that had begun: its places are free."""
    limits = [limit for limit in of_row(row) if limit.kind == "concurrency"]
    if not limits:
        return None

    def decide(states: States, now: float) -> FlowDecision:
        found: dict[FlowKey, FlowState | None] = {}
        for limit in limits:
            state = states.get(limit.flow_key)
            value: dict[str, Any] = dict(state.value) if state is not None else {"n": 1}
            value["n"] = max(0, value.get("n", 1) - 1)
            if "runs" in value:
                value["runs"] = [i for i in value["runs"] if i != row.id]
            found[limit.flow_key] = FlowState(value) if value["n"] or value.get("held") else None
        return FlowDecision("begin", found)

    return Flow(tuple(limit.flow_key for limit in limits), decide)


def _free(limit: Limit, state: FlowState | None, now: float, *, queued: bool) -> bool:
    """Does this row admit one more? With `queued`, not past others that are held."""
    if state is None:
        return True
    if queued and state.value.get("held"):
        return False
    if limit.kind == "concurrency":
        return state.value.get("n", 0) < limit.max
    return len(_window(limit, state, now)) < limit.max


def _window(limit: Limit, state: FlowState, now: float) -> list[float]:
    return [t for t in state.value.get("at", ()) if t > now - limit.per_s]


def _take(limit: Limit, state: FlowState | None, run: int, now: float) -> FlowState:
    value: dict[str, Any] = dict(state.value) if state is not None else {}
    if limit.kind == "throttle":
        value["at"] = [*(_window(limit, state, now) if state is not None else ()), now]
        return FlowState(value, now + limit.per_s)
    value["n"] = value.get("n", 0) + 1
    if limit.overflow == "cancel_running":
        value["runs"] = [*value.get("runs", ()), run]
    return FlowState(value, state.deadline if state is not None else None)


def _hold(limit: Limit, state: FlowState | None, now: float, cancelled: tuple[int, ...]) -> FlowState:
    value: dict[str, Any] = dict(state.value) if state is not None else {}
    value["held"] = value.get("held", 0) + 1
    if cancelled and "runs" in value:
        value["runs"] = [i for i in value["runs"] if i not in cancelled]
    return _look_again(limit, FlowState(value, state.deadline if state is not None else None), now)


def _look_again(limit: Limit, state: FlowState, now: float) -> FlowState:
    """A throttle's row says when its oldest start leaves the window."""
    if limit.kind != "throttle":
        return state
    window = _window(limit, state, now)
    return FlowState(state.value, min(window) + limit.per_s if window else now)


def _unheld(state: FlowState) -> FlowState | None:
    """A row with one held run less; None if it says nothing any more."""
    value = dict(state.value)
    held = value.pop("held", 0) - 1
    if held > 0:
        value["held"] = held
    return FlowState(value, state.deadline) if held > 0 or value.get("n") or value.get("at") else None


def _oldest(limit: Limit, state: FlowState | None) -> tuple[int, ...]:
    return tuple(state.value.get("runs", ())[:1]) if state is not None else ()
