"""What leaves the engine: completion events by the outbox, step events from memory, counts, and whoever waits for an
end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

import msgspec

from ..core.clock import Clock, elapsed_s
from ..core.durations import format_instant
from ..core.errors import ErrorInfo
from ..core.event import Event, Scalar, encode
from ..core.ids import Numbers, event_text, run_text
from ..core.trace import split
from ..store.contract import OutboxRow, RunRow, RunState
from .actions.contract import EmitEffect
from .active import ActiveRun
from .plan import Node
from .run import StepRecord, StepState, event_type, name

_any = msgspec.json.Decoder().decode
_log = logging.getLogger("reactor.engine")


class Interest(Protocol):
    """What the engine asks of the router about its own events: pure."""

    def listens(self, type: str) -> bool:
        """Could anybody take an event of our own of this type?"""
        ...

    def wants(self, event: Event) -> int:
        """Who can take it: ROUTER | BUS; 0 if nobody can, then no outbox row is written (semantics 7.2)."""
        ...

    def follows(self, type: str) -> bool:
        """Does a binding, a wait or the bus name this type of step event?"""
        ...

    def sent(self) -> None:
        """Outbox rows were committed: look at once."""
        ...


class Secrets(Protocol):
    """The project's secrets: resolved at the call, hidden wherever they would show."""

    def get(self, name: str) -> str:
        """The value. Raises ConfigError `missing_secret`."""
        ...

    def shows(self, body: bytes) -> bool:
        """May JSON hold a value that was ever resolved?"""
        ...

    def mask_json(self, body: bytes) -> bytes:
        """JSON without any value that was ever resolved; the same object if there is none in it."""
        ...

    def mask_value(self, value: Any) -> Any:
        """A JSON value without any value that was ever resolved."""
        ...


class Counts(Protocol):
    """Where durations and ends are counted; see `core/telemetry.py` for the names."""

    def run_ended(self, workflow: str, state: str, seconds: float) -> None: ...

    def step_ended(self, workflow: str, step: str, state: str, seconds: float) -> None: ...


class Telling:
    """The engine's mouth."""

    def __init__(
        self,
        store_id: str,
        clock: Clock,
        numbers: Numbers,
        interest: Interest,
        counts: Counts,
        secrets: Secrets,
    ) -> None:
        self._store = store_id
        self._clock = clock
        self._numbers = numbers
        self.interest = interest
        self.counts = counts
        self.secrets = secrets
        self.listeners: list[Callable[[Event], None]] = []
        self.current: Callable[[str, str, str], str] = lambda run, step, given: given  # see connections/otel.py
        self.traced: Callable[[str, str], bool] = lambda workflow, version: True
        self._waiters: dict[int, list[asyncio.Future[RunRow]]] = {}

    # -- ends
    @contextlib.contextmanager
    def watching(self, run: int) -> Generator[asyncio.Future[RunRow]]:
        """A future of the run's row at its end, on this node, while somebody wants it."""
        future: asyncio.Future[RunRow] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(run, [])
        waiters.append(future)
        try:
            yield future
        finally:
            waiters.remove(future)
            if not waiters and self._waiters.get(run) is waiters:
                del self._waiters[run]

    def ended(self, run: ActiveRun | None, row: RunRow) -> None:
        """The end of a run is durable."""
        for future in self._waiters.pop(row.id, ()):
            if not future.done():
                future.set_result(row)
        self.counts.run_ended(row.workflow, name(row.state), _took_s(row))
        if row.error is not None:
            _log.info("the run ended %s", name(row.state), extra={**self._about(row), "error": _any(row.error)})
        if self.listeners:
            self._tell(self.end_event(row))

    def end_event(self, row: RunRow) -> Event:
        """The completion event of an ended run: built from its row, always with the same id (semantics 7.1)."""
        return self.run_event(
            row,
            {
                "outputs": _any(row.output) if row.output is not None else None,
                "error": _any(row.error) if row.error is not None else None,
                "started_at": format_instant(row.started_at) if row.started_at is not None else None,
                "ended_at": format_instant(row.ended_at or 0.0),
                "duration_ms": round(_took_s(row) * 1000, 3),
            },
            row.ended_at or 0.0,
        )

    def end_outbox(self, row: RunRow) -> tuple[OutboxRow, ...]:
        """The outbox row of an ended run, if anybody can take its event; else the run's row is the record."""
        return self.outbox(self.end_event(row), row.id) if self.interest.listens(event_type(row.state)) else ()

    def entered_outbox(
        self, row: RunRow, state: RunState, transition: int, at: float, *, again: bool = False
    ) -> tuple[OutboxRow, ...]:
        """The outbox row of a run that enters a state before its end, if anybody can take its event."""
        if not self.interest.listens(event_type(state, again=again)):
            return ()
        entering = msgspec.structs.replace(row, state=int(state), transitions=transition)
        return self.outbox(self.run_event(entering, _more(entering), at, again=again), row.id)

    def run_event(self, row: RunRow, more: Mapping[str, Any], at: float, *, again: bool = False) -> Event:
        """An event of a run entering its present state."""
        run = run_text(self._store, row.id)
        return Event(
            type=event_type(row.state, again=again),
            source=f"/workflows/{row.workflow}",
            id=f"{run}/{row.transitions}",
            subject=row.workflow,
            time=format_instant(at),
            datacontenttype="application/json",
            data={"run": run, "workflow": row.workflow, "version": row.version, "state": name(row.state), **more},
            extensions=self._extensions(row, run),
        )

    def _about(self, row: RunRow) -> dict[str, Any]:
        """What a line of the log about a run carries."""
        about = {"workflow": row.workflow, "run": run_text(self._store, row.id), "correlation": row.correlation}
        return {**about, "event": event_text(row.event)} if row.event else about

    def _extensions(self, row: RunRow, run: str, step: str = "") -> dict[str, Scalar]:
        found: dict[str, Scalar] = {"runid": run, "hops": row.hops + 1, "correlationid": row.correlation or run}
        found["causationid"] = event_text(row.event) if row.event else row.cause or run
        given, tracestate = split(row.traceparent)
        traceparent = self.current(run, step, given)
        if traceparent:
            found["traceparent"] = traceparent
        if tracestate:
            found["tracestate"] = tracestate
        return found

    def outbox(self, event: Event, run: int) -> tuple[OutboxRow, ...]:
        """The outbox row of an event of our own, if anybody can take it."""
        owes = self.interest.wants(event)
        return (OutboxRow(self._numbers.draw(), run, encode(event), owes),) if owes else ()

    def sent(self, outbox: tuple[OutboxRow, ...]) -> None:
        """These rows, if there are any, are durable."""
        if outbox:
            self.interest.sent()

    def step_outbox(self, run: ActiveRun, node: Node, record: StepRecord) -> tuple[OutboxRow, ...]:
        """The event of a step's end in the commit of its result, if a rule names its type (semantics 7.3)."""
        if not self.interest.follows(_STEP_ENDS[record.state]):
            return ()
        event = self._step_event(run, node, record.state, _step_more(record), record.attempts, record.error)
        return self.outbox(event, run.row.id)

    def emitted(self, run: ActiveRun, node: Node, effect: EmitEffect) -> tuple[Event, tuple[OutboxRow, ...]]:
        """The event of an `emit` step; its id is the step's key, so that a repetition is a duplicate."""
        event = Event(
            type=effect.type,
            source=f"/workflows/{run.row.workflow}",
            id=run.key(node),
            subject=effect.subject,
            time=format_instant(self._clock.now()),
            datacontenttype="application/json",
            data=effect.data,
            extensions=self._extensions(run.row, run.id, node.path),
        )
        return event, self.outbox(event, run.row.id)

    # -- from memory
    def entered(self, run: ActiveRun, state: RunState, *, again: bool = False) -> None:
        """A run entered a state that is not its end, `again` after it had begun; durable before it is told."""
        if self.listeners:
            run.row.state = int(state)
            more = {"inputs": run.inputs} if state is RunState.RUNNING and not again else {}
            self._tell(self.run_event(run.row, more, self._clock.now(), again=again))

    def parked(self, row: RunRow, at: float) -> None:
        """A run was paused by an error of its own; its row says so already."""
        if self.listeners:
            self._tell(self.run_event(row, _more(row), at, again=True))

    def step_started(self, run: ActiveRun, node: Node) -> None:
        """A step was started on this node."""
        if self.listeners:
            self.tell_step(run, node, "started", attempt=1)

    def step_ended(self, run: ActiveRun, node: Node, record: StepRecord) -> None:
        """A step's end is durable (or needs no row)."""
        self.counts.step_ended(run.row.workflow, node.path, record.state, elapsed_s(record.started_at, record.ended_at))
        if record.error is not None:
            about = {**self._about(run.row), "step": node.path, "attempt": record.attempts, "error": record.error}
            _log.info("the step ended %s", record.state, extra=about)
        if self.listeners:
            more = {**_step_more(record), "progress": round(run.progress.percent(), 3)}
            self.tell_step(run, node, record.state, attempt=record.attempts, error=record.error, more=more)

    def tell_step(
        self,
        run: ActiveRun,
        node: Node,
        what: str,
        *,
        attempt: int,
        error: ErrorInfo | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """An event of a step: leaves from memory, in order, with `sequence` (semantics 7.3)."""
        if not self.listeners:
            return
        self._tell(self._step_event(run, node, what, more or {}, attempt, error))

    def _step_event(
        self,
        run: ActiveRun,
        node: Node,
        what: str,
        more: Mapping[str, Any],
        attempt: int,
        error: ErrorInfo | None,
    ) -> Event:
        run.sequence += 1
        data: dict[str, Any] = {
            "run": run.id,
            "workflow": run.row.workflow,
            "step": node.path,
            "attempt": attempt,
            **more,
        }
        if error is not None:
            data["error"] = msgspec.to_builtins(error)
        return Event(
            type=f"reactor.step.{what}",
            source=f"/workflows/{run.row.workflow}",
            id=f"{run.id}/{node.path}/{what}/{attempt}",
            subject=run.row.workflow,
            time=format_instant(self._clock.now()),
            datacontenttype="application/json",
            data=data,
            extensions={**self._extensions(run.row, run.id), "sequence": str(run.sequence)},
        )

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)


_STEP_ENDS = {state.value: f"reactor.step.{state.value}" for state in StepState}


def _took_s(row: RunRow) -> float:
    ended = row.ended_at or 0.0
    return elapsed_s(row.started_at or ended, ended)


def _more(row: RunRow) -> dict[str, Any]:
    """What the event of entering a state tells beside the state."""
    return {"inputs": _any(row.input)} if row.state == RunState.RUNNING and row.transitions == 1 else {}


def _step_more(record: StepRecord) -> dict[str, Any]:
    duration = round(elapsed_s(record.started_at, record.ended_at) * 1000, 3)
    return {"output": record.output, "duration_ms": duration}
