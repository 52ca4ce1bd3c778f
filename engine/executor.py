"""Carries out runs: starts ready steps under their limits, makes each result durable before what depends on it,
records the end.

A *strand* is one task that carries out a step, journals its result and goes on with the next ready step, so that a
sequence costs one task. Every move of a run is asked of the table in `run.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, cast

import msgspec

from ..core import faults
from ..core.errors import ErrorInfo, StoreFailed
from ..core.limits import CANCEL_GRACE_S
from ..language.cel import Activation, Expression, compile_expression
from ..store.contract import Kind, RunRow, RunState, Unit, UnitRefused
from .actions.catalogue import Catalogue
from .actions.contract import Services
from .active import ActiveRun
from .attempts import Attempt, Attempts, unexpected
from .control import Control
from .endings import Endings
from .owner import Owner
from .plan import OPEN, PARKED, Node
from .progress import Outcome, reaction_of
from .pure import caught, guarded, transformed
from .records import Records
from .run import CancelRequest, Cause, StepRecord, StepState
from .telling import Telling
from .timers import Timers
from .waits import Waits
from .work import Work, work_of

log = logging.getLogger("reactor.engine")
_encode = msgspec.json.Encoder().encode
_NOTHING = Activation({})
_STATES = {state.value: state for state in StepState}
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_GIVEN_UP_S = 1.0  # for a step to end that was cancelled a second time


class Executor:
    """All open runs of this node."""

    def __init__(
        self,
        owner: Owner,
        actions: Catalogue,
        services: Services,
        telling: Telling,
        *,
        fatal: Callable[[StoreFailed], None],
    ) -> None:
        self.owner = owner
        self.store = owner.store
        self.clock = owner.clock
        self.actions = actions
        self.services = services
        self.telling = telling
        self.place = owner.place
        self.fatal = fatal
        self.runs: dict[int, ActiveRun] = {}
        self.timers = Timers(owner.clock)
        self.records = Records(owner.store, telling, owner.clock, services.output_bytes_max)
        self.attempts = Attempts(self)
        self.waits = Waits(self)
        self.endings = Endings(self)
        self.control = Control(self)
        self.draining = False
        self.closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._resting: set[asyncio.Task[Any] | None] = set()  # those of them that only wait
        self._rests = asyncio.Event()

    # -- life of a run
    def begin(self, run: ActiveRun) -> None:
        """Carry out a run that is durable and begun; at recovery, one whose journal is in `run.recorded`."""
        self.runs[run.row.id] = run
        self.control.set_timeout(run)
        if not run.again:
            self.telling.entered(run, RunState.RUNNING)
        self.walk(run, run.progress.start())
        if run.again and (not self.control.as_before(run) or self.control.overdue(run)):
            return
        self.pump(run)
        self.look(run)

    def found(self, run: ActiveRun, request: CancelRequest) -> None:
        """Put in place what a run's journal has, where it is to be ended at once and nothing is to start."""
        run.cause, run.cancel, run.ending = Cause.CANCEL, request, True
        self.walk(run, run.progress.start())
        run.found_again()
        run.progress.stop()
        self.control.drop_queue(run)

    def walk(self, run: ActiveRun, out: Outcome) -> None:
        """Settle at once what needs no action (recorded ends, skips, blocks, pure steps); queue the rest."""
        progress, nodes = run.progress, run.plan.nodes
        ready = list(out.ready)
        cancel = list(out.cancel)
        while ready:
            if run.recorded or run.overs:  # as it happened: what was under way when a step failed had begun before
                ready.sort(key=run.recorded_at)
            index = ready.pop(0)
            if index < 0:
                more = self.control.over_again(run, ~index)
                ready += more.ready
                cancel += more.cancel
                continue
            node = nodes[index]
            record = run.recorded.pop(index, None) if run.recorded else None
            if record is None and (node.if_ is not None or node.unless is not None):
                record = guarded(run, node, self.clock.now(), self.place)
            if record is None and node.parts:
                self.control.limit_block(run, node)
                more = progress.open_block(index)
                if index in run.overs:
                    more.ready.append(~index)
            else:
                if record is None and node.uses == "transform":
                    record = transformed(run, node, self.clock.now(), self.place)
                if record is None:
                    run.queue.append(index)
                    continue
                more = self.ended_step(run, node, record)
            ready += more.ready
            cancel += more.cancel
        for index in cancel:
            self.control.stop_step(run, index)

    def ended_step(self, run: ActiveRun, node: Node, record: StepRecord) -> Outcome:
        """A step's end, in memory: it is durable, or needs no row."""
        out = self.settle(run, node, record)
        self.telling.step_ended(run, node, record)
        return out

    def settle(self, run: ActiveRun, node: Node, record: StepRecord) -> Outcome:
        """Only the progress of a step's end."""
        run.values[node.index] = record
        reaction = reaction_of(node, record.error) if record.error is not None and record.state == "failed" else ""
        return run.progress.ended(node.index, _STATES[record.state], record.output, record.error, reaction=reaction)

    # -- starting steps
    def pump(self, run: ActiveRun) -> None:
        """Start what may start now."""
        while (node := self._take(run)) is not None:
            self._spawn(run, node)

    def _take(self, run: ActiveRun) -> Node | None:
        """The next queued step that may start now; waits are parked on the way, they need no place."""
        while run.queue and not (run.progress.stopped or run.state is RunState.PAUSED or self.draining):
            node = run.plan.nodes[run.queue[0]]
            frame = run.progress.frames[node.part]
            if frame is not None and frame.stopping and node.index not in run.begun:
                self.control.withdraw(run, run.queue.popleft())
            elif node.uses in PARKED:
                run.queue.popleft()
                self.waits.park(run, node)
            elif not run.busy or run.has_room(node):
                run.queue.popleft()
                run.busy += 1
                return node
            else:
                return None
        return None

    def _spawn(self, run: ActiveRun, node: Node) -> None:
        run.tasks[node.index] = self.spawn(self._strand(run, node), f"{run.id}/{node.path}", run)

    def spawn(
        self, coroutine: Coroutine[Any, Any, None], name: str, run: ActiveRun | None = None
    ) -> asyncio.Task[None]:
        """A task that the executor owns; a fault of ours in it pauses the run it works for, and harms nothing else."""
        if self.closing:
            coroutine.close()
            coroutine = _nothing()
        task = asyncio.get_running_loop().create_task(self._guard(coroutine, run), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, coroutine: Coroutine[Any, Any, None], run: ActiveRun | None) -> None:
        try:
            await coroutine
        except StoreFailed as e:
            self.fatal(e)
        except Exception as e:  # noqa: BLE001 - a defect must not leave a run open for ever and unseen
            await self.control.broken(run, e)

    async def _strand(self, run: ActiveRun, node: Node | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        while node is not None:
            if self.telling.listeners:
                self.telling.step_started(run, node)
            attempt = await self._perform(run, node)
            run.tasks.pop(node.index, None)
            run.busy -= 1
            await self.conclude(run, node, attempt)
            node = self._take(run)
            if node is not None:
                run.tasks[node.index] = task  # before others are looked at: it may be one that runs alone
            if run.queue:
                self.pump(run)
        self.look(run)

    async def _perform(self, run: ActiveRun, node: Node) -> Attempt:
        index = node.index
        try:
            if node.at_most_once and not await self._intend(run, node):
                error = ErrorInfo(
                    "interrupted",
                    f"`{node.path}` may run at most once, and the process died while it ran: whether it took effect "
                    "is unknown",
                    "fix",
                    node.path,
                    1,
                    None,
                    self.place(run, node),
                    "look at the other side, then `reactor retry` the run or cancel it",
                )
                now = self.clock.now()
                return Attempt(StepRecord("failed", error=error, started_at=now, ended_at=now))
            due = run.timers_due.pop(index, None)
            return await self.attempts.perform(
                run,
                work_of(node, self.actions.action(node.uses)),
                attempt=due["attempt"] if due else 1,
                wait_until=due["due"] if due else 0.0,
            )
        except asyncio.CancelledError:
            if self.closing:
                raise
            now = self.clock.now()
            started, attempt = run.started.pop(index, (now, 1))
            return Attempt(StepRecord("cancelled", None, self.endings.why_stopped(run, node), attempt, started, now))

    async def _intend(self, run: ActiveRun, node: Node) -> bool:
        """Make the intent of an at_most_once step durable; False if it was there already."""
        if (node.index, Kind.INTENT) in run.intents:
            return False
        await self.store.submit(Unit(journal=(self.records.row(run, node, Kind.INTENT, b"{}"),)))
        return True

    def render(self, run: ActiveRun, work: Work, extra: Mapping[str, Any]) -> Any:
        """The inputs of one attempt, checked; secrets are resolved here and nowhere earlier (semantics 11.3)."""
        with_ = work.with_
        if with_.constant:
            return work.read(with_.render(_NOTHING))
        if work.reads_error and "error" not in extra:
            extra = {**extra, "error": caught(run, work.node)}
        if work.secrets:
            extra = {**extra, "secrets": {name: self.telling.secrets.get(name) for name in work.secrets}}
        scope = run.activation(work.reads, extra)
        rendered = with_.render(scope)
        for key, (template, encode) in work.addresses.items():
            rendered[key] = template.render(scope, encode)
        return work.read(rendered)

    def rendered(self, run: ActiveRun, node: Node) -> dict[str, Any]:
        """The `with` of a step that waits: its expressions are evaluated when they are needed."""
        value = node.with_.render(run.activation(node.reads, {"error": caught(run, node)}))
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

    def expression(self, text: str) -> Expression:
        """An expression of a `wait`, compiled once. Raises InvalidDefinition."""
        return compile_expression(text, OPEN)

    # -- ends of steps
    async def conclude(self, run: ActiveRun, node: Node, attempt: Attempt) -> None:
        """Make a step's end durable, then walk on from it."""
        record = attempt.record
        if record.state == "failed":
            in_flight = tuple(i for i in run.under_way() if i != node.index)
            record = msgspec.structs.replace(record, in_flight=in_flight)
        if run.state is RunState.CANCELLED and run.ending:
            return  # let go by `--force`: its end is recorded
        if record.state == "completed" and attempt.effect is None and self.endings.is_last(run, node):
            await self.endings.complete_with(run, node, record)
            return
        if record.state != "cancelled":
            faults.point("step.result")
            try:
                record = await self.records.write(run, node, record, attempt.effect, self.telling)
            except UnitRefused as e:
                record = await self._unwritable(run, node, record, e)
            faults.point("step.recorded")
        self.walk(run, self.ended_step(run, node, record))

    async def _unwritable(self, run: ActiveRun, node: Node, record: StepRecord, e: UnitRefused) -> StepRecord:
        """The store does not take this result: the step failed, and that is recorded in its place."""
        error = unexpected(e, node.path, record.attempts, self.place(run, node))
        record = StepRecord("failed", None, error, record.attempts, record.started_at, record.ended_at)
        return await self.records.write(run, node, record, None, self.telling)

    async def record_back_off(self, run: ActiveRun, node: Node, due: float, attempt: int) -> None:
        """A back-off over BACKOFF_TIMER_S survives a crash: its instant and the number of the next attempt."""
        body = _encode({"due": due, "attempt": attempt})
        row = self.records.row(run, node, Kind.TIMER, body, occurrence=attempt)
        await self.store.submit(Unit(journal=(row,)))
        faults.point("retry.recorded")

    def look(self, run: ActiveRun) -> None:
        """After every change: is the run through, or did a step fail it?"""
        failure = run.progress.failure
        if failure is not None and run.progress.failing and run.cause is None and run.state is RunState.RUNNING:
            run.cause, run.error = Cause.FAILURE, failure[1]
            self.waits.stop_all(run, children=False)
        if run.progress.through and not run.ending and run.state is not RunState.PAUSED:
            run.ending = True
            self.spawn(self.endings.end(run), f"{run.id}/end", run)

    # -- the end
    def ended(self, run: ActiveRun, row: RunRow) -> None:
        """The end is durable: forget the run and tell who waits for it."""
        self.runs.pop(row.id, None)
        self.owner.forget(run)
        for timer in (run.timeout, *run.blocks):
            if timer is not None:
                timer.cancel()
        self.telling.ended(run, row)

    # -- what attempts and waits ask for
    def resume(self, run: ActiveRun) -> None:
        """Go on after a step that waited."""
        self.pump(run)
        self.look(run)

    def log(self, run: ActiveRun, node: Node, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """A line of `reactor logs RUN`: it rides in the step's row, and goes to the process log at once."""
        run.logs.setdefault(node.index, []).append((self.clock.now(), level, message, dict(fields)))
        if node.uses != "log":  # that action writes to the process log itself
            more = {"run": run.id, "step": node.path, "fields": dict(fields)}
            log.log(_LEVELS.get(level, 20), "%s", message, extra=more)

    def tell_step(self, run: ActiveRun, node: Node, what: str, **more: Any) -> None:
        """An event of a step, from memory."""
        error, attempt = more.pop("error", None), more.pop("attempt", 1)
        self.telling.tell_step(run, node, what, attempt=attempt, error=error, more=more)

    def tell_progress(self, run: ActiveRun, node: Node, share: float, text: str) -> None:
        """A step's own report of how far it is."""
        self.tell_step(run, node, "progress", share=share, text=text)

    async def close(self, grace_s: float) -> None:
        """Start nothing more, give steps under way `grace_s` seconds, then cut them: they run again at the next
        start. One that does not let itself be cut, such as a call in a thread that does not return, is left behind.
        """
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._at_rest()
        self.closing = True
        for limit_s in (CANCEL_GRACE_S, _GIVEN_UP_S):  # when it is cancelled again, a step gives up what it waits for
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=limit_s)
        for task in self._tasks:
            if not task.done():
                log.error("%s does not let itself be stopped: left behind", task.get_name())
        await self.timers.close()

    async def rest(self, waited: Awaitable[Any]) -> Any:
        """Wait for something that a stop of the process need not wait for: the next start waits for it again."""
        task = asyncio.current_task()
        self._resting.add(task)
        self._rests.set()
        try:
            return await waited
        finally:
            self._resting.discard(task)

    async def _at_rest(self) -> None:
        """Return when no task does more than wait."""
        while working := self._tasks - self._resting:
            self._rests.clear()
            rests = asyncio.ensure_future(self._rests.wait())
            through = asyncio.ensure_future(asyncio.wait(working))
            try:
                await asyncio.wait((rests, through), return_when=asyncio.FIRST_COMPLETED)
            finally:
                rests.cancel()
                through.cancel()


async def _nothing() -> None:
    """What a node that is closing still begins."""
