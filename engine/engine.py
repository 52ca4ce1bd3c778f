"""The engine as the rest of the system sees it: prepare and begin runs, start them directly, signal them, bring them
back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from ..core.clock import SYSTEM, Clock
from ..core.errors import ErrorInfo, ErrorPlace, ReactorError, StepError, StoreFailed, StoreUnavailable
from ..core.event import Event, Mark
from ..core.ids import Numbers, digest, fresh_key, identity, run_text
from ..core.limits import SWEEP_S
from ..core.loops import LOOPS
from ..language.cel import Activation
from ..store.contract import (
    Acceptance,
    Accepted,
    EventRow,
    FlowKey,
    Heard,
    RunRow,
    RunStart,
    RunState,
    Started,
    Store,
    Unit,
)
from . import admission, temp_dirs
from .actions.catalogue import Catalogue
from .actions.contract import Services
from .active import ActiveRun
from .admitting import Admitting
from .executor import Executor
from .heard import heard
from .held import HeldRuns
from .plan import Node, Plan
from .prepare import Prepare, given_event
from .recovery import Recovery
from .run import CancelRequest, Cause
from .signals import Signals
from .telling import Counts, Interest, Secrets, Telling
from .views import state_of
from .workflows import Workflows

log = logging.getLogger("reactor.engine")
_any = msgspec.json.Decoder().decode
VARS_NAMED_S = 3_600.0  # so often is the blob of `vars` named anew; far below BLOB_GRACE_S
SCOPE = "engine"  # of its own mark: was it closed?


class DuplicateStart(ReactorError):
    """The key of a direct start was used before, with other inputs."""

    code = "conflict"


class Engine:
    """All runs of this node. `open`, then `recover`, then events."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        actions: Catalogue,
        services: Services,
        interest: Interest,
        counts: Counts,
        *,
        secrets: Secrets,
        fatal: Callable[[StoreFailed], None],
    ) -> None:
        self.store = store
        self.clock = clock
        self.numbers = Numbers(store.node)
        self.workflows = Workflows(store, clock)
        self.telling = Telling(store.id, clock, self.numbers, interest, counts, secrets)
        self.telling.traced = self.workflows.traced
        self.executor = Executor(self, actions, services, self.telling, fatal=fatal)
        self.signals = Signals(self)
        self.recovery = Recovery(self)
        self.admitting = Admitting(self)
        self._notes_end = True
        self._stops_at: float | None = None  # monotonic
        self.url = ""  # of the server, as the outside sees it
        self.unclean = False  # did the process before this one end without closing the store?
        self.parked_runs: dict[int, tuple[RunRow, ErrorInfo]] = {}  # paused at recovery, not in memory
        self.prepare: Prepare
        self._vars: dict[bytes, Mapping[str, Any]] = {}
        self._own_vars = b""
        self._vars_named = 0.0
        self.held = HeldRuns()
        self._fatal = fatal
        self._sweeping: asyncio.Task[None] | None = None
        self.recorded: Callable[[Event, int], None] = lambda event, key: None  # told of events of direct starts

    async def open(self, vars_: Mapping[str, Any], env: Mapping[str, str], *, carry_on: bool = True) -> None:
        """Read the workflows; keep `vars` and `env` as runs that start now will see them (semantics 4.4).

        Without `carry_on` open runs are only looked at: then how the process before ended stays noted.
        """
        self._notes_end = carry_on
        await self.workflows.open()
        marks = await self.store.marks(SCOPE)
        self.unclean = "open" in marks
        if carry_on:
            await self.store.submit(Unit(marks=(Mark(SCOPE, "open", b"1"),)))
        values = {"vars": vars_, "env": env}
        self._own_vars = msgspec.json.encode(values, order="deterministic")
        name = await self._name_vars()
        self._vars[name] = values
        self.prepare = Prepare(self.store.id, self.numbers, self.clock, values, name)

    async def _name_vars(self) -> bytes:
        """Runs name the blob of their `vars` without writing it: so that it is as young as the youngest of them."""
        name = await self.store.put_blob(self._own_vars)
        self._vars_named = self.clock.now()
        return name

    async def vars_of(self, name: bytes) -> Mapping[str, Any]:
        """The `vars` and `env` of a run's start."""
        if name not in self._vars:
            body = await self.store.blob(name) if name else None
            self._vars[name] = _any(body) if body is not None else {"vars": {}, "env": {}}
        return self._vars[name]

    async def recover(self) -> int:
        """Bring back every open run and try the held ones; how many came back."""
        for workflow, count in (await self.store.held_counts()).items():
            self.held.change(workflow, count)
        count = await self.recovery.all()
        for key in await self.store.flow_waiting(limit=10_000):
            await self.admitting.admit(key)
        self._sweeping = LOOPS.start("sweep", self._sweep, fatal=self._fatal)
        return count

    async def _sweep(self) -> None:
        """Take on what no living process has: the lease of one that was killed runs out only after this one has
        begun. Leases are on the database's clock, so this is not on ours.
        """
        while True:
            await SYSTEM.sleep(SWEEP_S)
            try:
                if not self.executor.draining and await self.recovery.all():
                    log.info("takes over the runs of a process that is gone")
                if self.clock.now() - self._vars_named > VARS_NAMED_S:
                    await self._name_vars()
            except StoreUnavailable:
                continue

    async def stop_sweeping(self) -> None:
        """Take on nothing more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    # -- from the router
    def for_event(
        self, digest_: bytes, entry: int, event: Event, key: int, at: float, scope: Activation
    ) -> RunStart | ErrorInfo:
        """Prepare: the run that an event would start; or why it cannot."""
        plan = self.workflows.plan(digest_)
        assert plan is not None, "bindings are made of deployed definitions"
        start = self.prepare.for_event(plan, entry, event, key, at, scope)
        return self._announced(start) if isinstance(start, RunStart) else start

    def _announced(self, start: RunStart) -> RunStart:
        """A start with its `started` event, for those who can take it."""
        row = start.run
        outbox = self.telling.entered_outbox(row, RunState.RUNNING, row.transitions, row.created_at)
        return msgspec.structs.replace(start, outbox=outbox) if outbox else start

    def begin(self, starts: Iterable[RunStart], accepted: Accepted, event: Event) -> None:
        """Begin: carry out what an acceptance began."""
        for start, started in zip(starts, accepted.runs, strict=True):
            self.telling.sent(start.outbox)
            self.began(start.run, started, event)
        for number in accepted.cancelled:
            self.executor.spawn(self.signals.cancelled(number), f"cancel {number}")

    def started(self, start: RunStart, started: Started, event: Event) -> None:
        """Carry out one run of a dead letter's retry, if it is new."""
        self.began(start.run, started, event)

    def deliver(self, key: int, event: Event, waits: tuple[tuple[str, str], ...]) -> None:
        """Offer an accepted event to the steps that wait for it."""
        self.executor.waits.deliver(key, event, waits)

    async def heard(self, workflow: str, event: EventRow) -> tuple[list[Heard], bool]:
        """The runs of a workflow that an accepted event woke or cancelled; were all that may have heard looked at?"""
        return await heard(self.store, self.workflows.stored_plan, self.state_of, workflow, event)

    def state_of(self, row: RunRow) -> str:
        """A run's state as faces show it."""
        return state_of(row, self.executor.runs.get(row.id))

    def superseded(self, numbers: Iterable[int]) -> None:
        """Runs that a `cancel_running` cancelled, in the unit that did."""
        for number in numbers:
            self.executor.spawn(self.signals.cancelled(number), f"supersede {number}")

    def began(self, row: RunRow, started: Started, event: Event | None) -> None:
        """What follows the commit that began a run, or held it."""
        if started.verdict == "begun":
            plan = self.workflows.plan(row.digest)
            assert plan is not None
            self._carry_out(ActiveRun(row, plan, self.store.id, event, self.prepare.vars, url=self.url))
        elif started.verdict == "held":
            row.state, row.started_at = int(RunState.QUEUED), None
            self.held.change(row.workflow, 1)
            limits = admission.of_row(row)
            # under one key whose places are taken, the end that frees one looks; trying now could overtake the urgent
            if len(limits) > 1 or limits[0].kind == "throttle":
                for limit in limits:
                    self.admitting.soon(limit.flow_key)

    def _carry_out(self, run: ActiveRun) -> None:
        try:
            self.executor.begin(run)
        except Exception as e:  # noqa: BLE001 - a defect stops this run, and none that begin with it
            self.executor.spawn(self.executor.control.broken(run, e), f"{run.id}/broken")

    # -- direct starts
    async def start(
        self,
        reference: str,
        inputs: Any,
        *,
        key: str = "",
        actor: str = "",
        labels: Mapping[str, str] | None = None,
        priority: int | str | None = None,
        event: Event | None = None,
        stored: int = 0,
    ) -> RunRow:
        """Start a run and make it durable (semantics 2.3), together with the event that it is to see, if one is given;
        `stored`: the key of that event if the store has it.

        Raises StepError `unknown_workflow`, InvalidInput, DuplicateStart (the key was used with other inputs).
        """
        entry = self.workflows.find(reference)
        plan = self._plan(entry.digest)
        name = entry.definition.workflow
        if name in self.full:
            raise StepError(
                "rate_limited",
                f"`{name}` has {self.held.counts[name]} runs that wait to begin; no more are taken",
                hint="raise its `limits`, or cancel runs that nobody needs",
            )
        start_key = digest("direct", name, key) if key else fresh_key()
        start = self.prepare.direct(
            plan, inputs, key=start_key, actor=actor, labels=labels, priority=priority, event=event, stored=stored
        )
        row = given_event(event, start.run) if event is not None and not stored else None
        if row is not None and key and await self.store.run_by_key(start_key) is not None:
            row = None  # it is stored with the run that this key started
        started = await self._submit_start(start, row)
        if started.verdict == "foreign":
            if started.input != start.run.input:
                raise DuplicateStart(
                    f"the key `{key}` started the run {run_text(self.store.id, started.run)} with other inputs",
                    hint="use a new Idempotency-Key for a new run",
                )
            found = await self.store.run(started.run)
            assert found is not None
            return found
        if started.verdict == "refused":
            raise StepError(
                "rate_limited",
                f"`{entry.definition.workflow}` takes no more runs now ({started.reason})",
                hint="try again later, or raise its `limits`",
            )
        if row is not None and event is not None:
            self.recorded(event, row.key)
        self.began(start.run, started, event)
        return start.run

    @property
    def full(self) -> Collection[str]:
        """The workflows that have as many held runs as may wait (semantics 5.9)."""
        return self.held.full

    async def _submit_start(self, start: RunStart, event: EventRow | None = None) -> Started:
        start = self._announced(start)
        if event is None:
            whole = Unit(runs=(start,))
        else:  # an identity of its own, so that it is no duplicate, and found by its id
            known = identity(f"{event.trigger}/{start.run.id}", event.source, event.id, 0)
            whole = Unit(accept=(Acceptance(event, known, (start,)),))
        committed = await self.store.submit(whole)
        self.telling.sent(start.outbox)
        self.superseded(committed.superseded)
        return committed.started[0] if event is None else committed.accepted[0].runs[0]

    async def start_child(self, run: ActiveRun, node: Node, inputs: Mapping[str, Any]) -> RunRow:
        """The run of a `run-workflow` step; its key is made of the step's, so that a repetition finds the same
        child.
        """
        entry = self.workflows.find(str(inputs["workflow"]))
        mode = inputs.get("mode") or "sync"
        start = self.prepare.direct(
            self._plan(entry.digest),
            inputs.get("inputs"),
            key=digest("child", run.key(node)),
            priority=inputs.get("priority"),
            parent=run.row,
            parent_ord=node.ord,
            parent_id=run.id,
            detached=mode == "detached",
        )
        if mode == "sync":
            start = admission.without_ancestors(start, await self._ancestor_limits(run.row))
        started = await self._submit_start(start)
        if started.verdict == "foreign":
            found = await self.store.run(started.run)
            assert found is not None
            return found
        if started.verdict == "refused":
            raise StepError("rate_limited", f"`{entry.definition.workflow}` takes no more runs now ({started.reason})")
        self.began(start.run, started, None)
        return start.run

    async def _ancestor_limits(self, row: RunRow) -> set[FlowKey]:
        """Flow keys that a run and those above it hold: a child that they wait for needs no place there (semantics
        5.8).
        """
        found: set[FlowKey] = set()
        above: RunRow | None = row
        while above is not None:
            found |= {limit.flow_key for limit in admission.of_row(above)}
            above = await self.store.run(above.parent) if above.parent else None
        return found

    async def cancel_child(self, number: int, request: CancelRequest) -> bool:
        """Cancel a child run if it is open; False if it has ended already."""
        return await self.signals.cancel_child(number, request)

    def _plan(self, digest_: bytes) -> Plan:
        plan = self.workflows.plan(digest_)
        assert plan is not None
        return plan

    def freed(self, keys: Iterable[FlowKey]) -> None:
        """Places became free: try the held runs of these keys."""
        self.admitting.freed(keys)

    # -- recovery
    def resume_recovered(self, run: ActiveRun) -> None:
        """Carry on with a run that was brought back."""
        self._carry_out(run)
        if run.cause is Cause.CANCEL and run.state in (RunState.RUNNING, RunState.PAUSED):
            self.executor.spawn(self.signals.cancelled(run.row.id), f"{run.id}/cancel")

    # -- the rest
    def place(self, run: ActiveRun, node: Node | None) -> ErrorPlace | None:
        """Where a step stands in its file, if this process loaded it; None: where the run's outputs do."""
        entry = self.workflows.versions(run.row.workflow).get(run.row.version)
        if entry is None or entry.loaded is None or entry.digest != run.row.digest:
            return None
        path = "outputs" if node is None else f"steps.{node.path.replace('/', '.steps.')}"
        return entry.loaded.places.get(path)

    def forget(self, run: ActiveRun) -> None:
        """Clean up after a run's end."""
        if run.has_folder:
            temp_dirs.remove(run.id)

    def request(self, reason: str, actor: str, *, force: bool = False, key: str = "") -> CancelRequest:
        """A cancel request as of now."""
        return CancelRequest(reason, actor, self.clock.now(), force, key=key)

    def stops(self, within_s: float) -> None:
        """The process is to stop: others wait first, and `close` gives what they leave of these seconds."""
        self._stops_at = SYSTEM.monotonic() + within_s

    async def close(self, grace_s: float) -> None:
        """Stop; steps under way get `grace_s` seconds. What had to be cut counts as in flight, but not as a crash."""
        await self.stop_sweeping()
        if self._stops_at is not None:
            grace_s = min(grace_s, max(0.0, self._stops_at - SYSTEM.monotonic()))
        await self.executor.close(grace_s)
        if self._notes_end and not self.store.refusing:
            noted = asyncio.ensure_future(self.store.submit(Unit(marks=(Mark(SCOPE, "open", None),))))
            while not noted.done() and not self.store.refusing:  # it may be this very write that finds the disk full
                await asyncio.wait([noted], timeout=0.05)
            if noted.done():
                with contextlib.suppress(StoreFailed):  # told already; the next opening takes this end for a crash
                    noted.result()
            else:
                noted.add_done_callback(lambda late: late.cancelled() or late.exception())  # the store is closed next
