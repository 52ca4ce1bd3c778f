"""Steps that wait: for a time, an event, a person, another run. They hold no task and no place; only their instants
are durable.

Nothing falls through between look-back and live delivery (semantics 6.7): a wait registers in memory, makes its row
durable, then looks back; an event that is accepted later finds it registered, one accepted before is found. What
another process was committing meanwhile is found by a second look, once that commit is through or given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from ..core import faults
from ..core.durations import format_duration, format_instant, parse_instant
from ..core.errors import ConfigError, ErrorInfo, ReactorError, StepError
from ..core.event import Event, decode_stored
from ..core.ids import own_run_number, run_text
from ..core.keys import key_text
from ..core.limits import GROUP_S_MAX, WAIT_S_MAX
from ..store.contract import EventRow, Kind, RunRow, RunState, Unit, UnitRefused
from .actions.catalogue import read_input
from .actions.contract import EmitEffect
from .active import ActiveRun
from .attempts import Attempt, unexpected
from .children import children_of, end_child
from .patience import patiently
from .plan import Node, wrong
from .prepare import wait_pattern
from .run import CancelRequest, StepRecord, StepState, name
from .timers import Timer

if TYPE_CHECKING:
    from .actions.outline import WaitEvent
    from .executor import Executor

_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder().decode
LOOK_BACK_ROWS = 500  # events that are read at once
SECONDS_MAX = 1e9  # what `timedelta` takes; far over WAIT_S_MAX


class Parked:
    """One waiting step."""

    __slots__ = (
        *("again", "answers", "before", "child", "come", "inputs", "key"),
        *("mode", "open", "pattern", "since", "started", "stopping", "timer"),
    )

    def __init__(self, started: float) -> None:
        self.started = started
        self.inputs: dict[str, Any] = {}
        self.timer: Timer | None = None
        self.again: Timer | None = None  # of an event wait: the second look back
        self.pattern = ""  # of an event wait
        self.key = ""
        self.since = 0.0
        self.before = 0  # events that the run had taken as it began to wait
        self.come: list[tuple[int, Event]] | None = None  # while it looks back: what has come, to be offered after that
        self.child = 0
        self.mode = ""
        self.stopping = False  # of a sub-workflow: its step is cancelled once it has ended
        self.open = False  # may it be answered: is the request durable?
        self.answers: list[dict[str, Any]] = []  # of an approval, so far


class Waits:
    """The parked steps of this node."""

    def __init__(self, executor: Executor) -> None:
        self._x = executor
        self._events: dict[tuple[str, str], list[tuple[ActiveRun, Node]]] = {}

    def park(self, run: ActiveRun, node: Node) -> None:
        """A step that waits is ready."""
        run.parked[node.index] = Parked(self._x.clock.now())
        run.progress.states[node.index] = StepState.WAITING
        self._x.spawn(self._park(run, node, run.parked[node.index]), f"{run.id}/{node.path}", run)

    async def _park(self, run: ActiveRun, node: Node, parked: Parked) -> None:
        x = self._x
        x.telling.step_started(run, node)
        try:
            parked.inputs = self._inputs(node, x.rendered(run, node))
            if node.uses == "run-workflow":
                await self._child(run, node, parked)
            elif node.uses == "approval":
                await self._approval(run, node, parked)
            else:
                await self._wait(run, node, parked)
        except ReactorError as e:
            await self._fail(run, node, e.info(step=node.path, attempt=1, place=x.place(run, node)))
        except UnitRefused as e:
            await self._fail(run, node, unexpected(e, node.path, 1, x.place(run, node)))

    def _inputs(self, node: Node, rendered: dict[str, Any]) -> dict[str, Any]:
        """What a step waits for, checked; a number that an expression gave for a duration is seconds.

        Raises StepError `invalid_input`.
        """
        model = self._x.actions.action(node.uses).Input
        assert model is not None
        given = {key: value for key, value in rendered.items() if value is not None}
        for key in ("for", "timeout"):
            seconds = given.get(key)
            if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds < SECONDS_MAX:
                given[key] = timedelta(seconds=seconds)
        checked = read_input(node.uses, model, given)
        values = {field.alias or name: getattr(checked, name) for name, field in model.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}

    # -- time, event, run
    async def _wait(self, run: ActiveRun, node: Node, parked: Parked) -> None:
        inputs, noted = parked.inputs, run.timers_due.pop(node.index, None)
        if noted:
            parked.started = noted["started"]
        if "for" in inputs or "until" in inputs:
            due = noted["due"] if noted else self._due(run, node, inputs, parked.started)
            await self._note(run, node, noted, {"due": due, "started": parked.started})
            limit = node.timeout_s
            if limit is not None and parked.started + limit < due:
                self._limit(run, node, parked, parked.started + limit)
            else:
                parked.timer = self._x.timers.at(due, lambda: self._timed(run, node))
            return
        limit = node.timeout_s if node.timeout_s is not None else inputs.get("timeout")
        noted_due = noted["due"] if noted else (parked.started + limit if limit is not None else None)
        if inputs.get("run") is not None:
            await self._note(run, node, noted, {"due": noted_due, "started": parked.started})
            self._limit(run, node, parked, noted_due)
            await self._join(run, node, parked, inputs["run"])
            return
        parked.pattern = wait_pattern(run.plan, node)
        parked.key = noted["key"] if noted else self.key_of(run, node, inputs)
        parked.since = run.row.created_at if inputs["event"].since == "run" else parked.started
        parked.before = noted.get("before", len(run.taken)) if noted else len(run.taken)
        parked.come = []
        self._events.setdefault((parked.pattern, parked.key), []).append((run, node))
        note = {"due": noted_due, "started": parked.started, "key": parked.key, "before": parked.before}
        await self._note(run, node, noted, note)
        faults.point("wait.noted")
        self._limit(run, node, parked, noted_due)
        await self._look_back(run, node, parked)
        come, parked.come = parked.come, None
        for key, event in come:
            await self._offer(run, node, key, event)
        if run.parked.get(node.index) is parked:
            again = self._x.clock.now() + GROUP_S_MAX
            parked.again = self._x.timers.at(again, lambda: self._look_again(run, node, parked))

    def _look_again(self, run: ActiveRun, node: Node, parked: Parked) -> None:
        """What was on its way into the store during the first look is there by now, or will not come."""
        if run.parked.get(node.index) is parked:
            self._x.spawn(self._look_back(run, node, parked), f"{run.id}/{node.path}", run)

    async def _look_back(self, run: ActiveRun, node: Node, parked: Parked) -> None:
        """Offer what was accepted before, the oldest first, all of it: keys do not rise in the order of commits."""
        after = run.row.event
        while rows := await self._looked_back(parked, after):
            for row in rows:
                if run.parked.get(node.index) is not parked:
                    return
                if row.at >= parked.since and not self._taken(run, parked, row.key):
                    await self._offer(run, node, row.key, decode_stored(row.body))
            after = rows[-1].key

    async def _looked_back(self, parked: Parked, after: int) -> Sequence[EventRow]:
        x = self._x
        return await patiently(
            x.clock, lambda: x.store.waited(parked.pattern, parked.key, after=after, limit=LOOK_BACK_ROWS)
        )

    def _due(self, run: ActiveRun, node: Node, inputs: Mapping[str, Any], now: float) -> float:
        if "for" in inputs:
            return now + inputs["for"]
        until = self._x.expression(inputs["until"]).value(run.activation(node.reads))
        try:
            due = until if isinstance(until, (int, float)) else parse_instant(str(until))
        except ConfigError as e:
            raise StepError("invalid_input", f"wait: until: {e}", hint=e.hint) from None
        if due - now > WAIT_S_MAX:
            longest = format_duration(WAIT_S_MAX)
            raise StepError("invalid_input", f"wait: until: {until} is further away than a wait may last, {longest}")
        return due

    def _limit(self, run: ActiveRun, node: Node, parked: Parked, due: float | None) -> None:
        if due is not None and run.parked.get(node.index) is parked:
            parked.timer = self._x.timers.at(due, lambda: self._over(run, node))

    def _over(self, run: ActiveRun, node: Node) -> None:
        self._x.spawn(self._timed_out(run, node), f"{run.id}/{node.path}", run)

    async def _note(self, run: ActiveRun, node: Node, noted: Any, body: dict[str, Any]) -> None:
        if noted is None:
            await self._x.store.submit(Unit(journal=(self._x.records.row(run, node, Kind.TIMER, _encode(body)),)))

    def key_of(self, run: ActiveRun, node: Node, inputs: Mapping[str, Any]) -> str:
        """The text that an event's `by` must equal: `equals`, else `by` of the run's own event; or none."""
        event: WaitEvent = inputs["event"]
        if event.equals:
            value = self._x.expression(event.equals).value(run.activation(node.reads))
        elif event.by:
            if run.event is None:
                raise StepError(
                    "expression",
                    f"`{node.path}` waits by {event.by}, but the run was started without an event",
                    hint="give `equals`",
                )
            value = self._x.expression(event.by).value(run.activation(node.reads))
        else:
            return ""
        return key_text(value)

    def deliver(self, key: int, event: Event, waits: tuple[tuple[str, str], ...]) -> None:
        """An accepted event: offer it to every step that waits for it (one event may wake many)."""
        for wait in waits:
            for run, node in tuple(self._events.get(wait, ())):
                parked: Parked | None = run.parked.get(node.index)
                if parked is not None and parked.come is not None:
                    parked.come.append((key, event))
                else:
                    self._x.spawn(self._offer(run, node, key, event), f"{run.id}/{node.path}", run)

    async def _offer(self, run: ActiveRun, node: Node, key: int, event: Event) -> None:
        parked: Parked | None = run.parked.get(node.index)
        if parked is None or self._taken(run, parked, key):
            return
        condition = parked.inputs["event"].if_
        if condition:
            try:
                if not self._x.expression(condition).guard(run.activation(node.reads, {"event": event.view()})):
                    return
            except ReactorError as e:
                await self._fail(run, node, e.info(step=node.path, place=self._x.place(run, node)))
                return
        run.taken.setdefault(key, len(run.taken))
        await self._finish(run, node, "completed", output=event.view(), taken=key)

    def _taken(self, run: ActiveRun, parked: Parked, key: int) -> bool:
        """Did a step of this run take the event before this one began to wait? Those that wait side by side all take
        it.
        """
        return key in run.taken and run.taken[key] < parked.before

    def _timed(self, run: ActiveRun, node: Node) -> None:
        parked: Parked | None = run.parked.get(node.index)
        if parked is not None:
            waited = round((self._x.clock.now() - parked.started) * 1000)
            self._x.spawn(
                self._finish(run, node, "completed", output={"waited_ms": waited}), f"{run.id}/{node.path}", run
            )

    async def _timed_out(self, run: ActiveRun, node: Node) -> None:
        parked: Parked | None = run.parked.get(node.index)
        if parked is None:
            return
        inputs = parked.inputs
        if node.uses == "approval":
            approved = inputs.get("on_timeout") == "approve"
            await self._decided(
                run,
                node,
                {"approved": approved, "by": "", "via": "timeout", "reason": "nobody answered in time", "fields": None},
            )
        elif inputs.get("on_timeout") == "continue":
            await self._finish(run, node, "completed", output=None)
        else:
            await self._fail(
                run,
                node,
                ErrorInfo(
                    "timeout",
                    f"`{node.path}` waited longer than its limit",
                    "retry",
                    node.path,
                    1,
                    None,
                    self._x.place(run, node),
                ),
            )

    # -- other runs
    async def _child(self, run: ActiveRun, node: Node, parked: Parked) -> None:
        parked.mode = parked.inputs["mode"]
        row: RunRow = await patiently(self._x.clock, lambda: self._x.owner.start_child(run, node, parked.inputs))
        faults.point("child.started")
        parked.child = row.id
        if parked.mode != "sync":
            await self._finish(run, node, "completed", output={"run": run_text(self._x.store.id, row.id)})
        elif parked.stopping:
            await self._stop(run, node)
        else:
            self._limit(run, node, parked, parked.started + node.timeout_s if node.timeout_s is not None else None)
            await self._await_run(run, node, row.id)

    async def _join(self, run: ActiveRun, node: Node, parked: Parked, text: str) -> None:
        number = own_run_number(self._x.store.id, text)
        if number is None:
            raise StepError("not_found", f"`{node.path}` waits for the run `{text}`, which is no run of this store")
        parked.child, parked.mode = number, "join"
        await self._await_run(run, node, number)

    async def _await_run(self, run: ActiveRun, node: Node, number: int) -> None:
        with self._x.telling.watching(number) as future:
            row = await patiently(self._x.clock, lambda: self._x.store.run(number))
            if row is None:
                raise StepError("not_found", f"`{node.path}` waits for a run that is not in this store")
            if not RunState(row.state).ended:
                row = await self._x.rest(future)
        parked: Parked | None = run.parked.get(node.index)
        if parked is None or parked.stopping:
            return
        if row.state == RunState.COMPLETED:
            await self._made(run, node, row)
        else:
            await self._fail(run, node, self._child_failed(node, row))

    async def _made(self, run: ActiveRun, node: Node, row: RunRow) -> None:
        await self._finish(run, node, "completed", output=_any(row.output) if row.output is not None else None)

    def _child_failed(self, node: Node, row: RunRow) -> ErrorInfo:
        cause = msgspec.json.decode(row.error, type=ErrorInfo) if row.error else None
        why = f": {cause.message}" if cause is not None else ""
        return ErrorInfo(
            "child_failed",
            f"`{node.path}`: the run {run_text(self._x.store.id, row.id)} of `{row.workflow}` ended "
            f"{name(row.state)}{why}",
            cause.class_ if cause is not None else "park",
            node.path,
            1,
            cause.as_cause() if cause is not None else None,
        )

    # -- people
    async def _approval(self, run: ActiveRun, node: Node, parked: Parked) -> None:
        noted = run.timers_due.pop(node.index, None)
        limit = node.timeout_s if node.timeout_s is not None else parked.inputs.get("timeout")
        due = noted["due"] if noted else (parked.started + limit if limit is not None else None)
        if noted is None:
            expires = format_instant(due) if due is not None else None
            effect = EmitEffect(
                "reactor.approval.requested",
                {"run": run.id, "step": node.path, "message": parked.inputs.get("message"), "expires_at": expires},
                node.path,
            )
            _, outbox = self._x.telling.emitted(run, node, effect)
            row = self._x.records.row(run, node, Kind.TIMER, _encode({"due": due, "started": parked.started}))
            await self._x.store.submit(Unit(journal=(row,), outbox=outbox))
            self._x.telling.sent(outbox)
        self._limit(run, node, parked, due)
        parked.open = True
        for answer in run.signals.pop(node.index, ()):
            parked.answers.append(answer)
        await self._settled_by(run, node, parked)

    async def decide(self, run: ActiveRun, node: Node, answer: dict[str, Any]) -> bool:
        """A person's answer, durable when it returns; False if somebody took this place before, or this person did."""
        parked: Parked = run.parked[node.index]
        if answer["by"] and any(other["by"] == answer["by"] for other in parked.answers):
            return False
        row = self._x.records.row(run, node, Kind.SIGNAL, _encode(answer), occurrence=len(parked.answers))
        parked.answers.append(answer)
        try:
            await self._x.store.submit(Unit(journal=(row,)))
        except UnitRefused:
            parked.answers.remove(answer)
            return False
        await self._settled_by(run, node, parked)
        return True

    async def _settled_by(self, run: ActiveRun, node: Node, parked: Parked) -> None:
        """One refusal decides; else as many approvals as are needed."""
        refused = next((a for a in parked.answers if not a["approved"]), None)
        if refused is not None:
            await self._decided(run, node, refused)
        elif len(parked.answers) >= (parked.inputs["need"]):
            await self._decided(run, node, parked.answers[-1])

    async def _decided(self, run: ActiveRun, node: Node, answer: Mapping[str, Any]) -> None:
        output = {"at": format_instant(self._x.clock.now()), **answer}
        actor = str(answer.get("by") or "")
        if answer["approved"]:
            await self._finish(run, node, "completed", output=output, actor=actor)
            return
        code = "timeout" if answer.get("via") == "timeout" else "rejected"
        said = f": {answer['reason']}" if answer.get("reason") else ""
        by = f" by {actor}" if actor else ""
        error = ErrorInfo(
            code,
            f"`{node.path}` was rejected{by}{said}",
            "park",
            node.path,
            1,
            None,
            self._x.place(run, node),
            "",
            {"answer": output},
        )
        await self._fail(run, node, error, actor=actor)

    # -- the end of a wait
    async def _finish(
        self,
        run: ActiveRun,
        node: Node,
        state: str,
        *,
        output: Any = None,
        error: ErrorInfo | None = None,
        taken: int = 0,
        actor: str = "",
    ) -> None:
        parked = self._unpark(run, node.index)
        if parked is None:
            return
        run.progress.states[node.index] = StepState.RUNNING
        if state == "completed" and node.output is not None:
            fault = wrong(node.output, output, f"output of `{node.path}`")
            if fault is not None:
                error = ErrorInfo("invalid_output", fault, "park", node.path, 1, None, self._x.place(run, node))
                state, output = "failed", None
        record = StepRecord(
            state, output, error, 1, parked.started, self._x.clock.now(), node.index in run.refound, actor, taken=taken
        )
        await self._x.conclude(run, node, Attempt(record))
        self._x.resume(run)

    async def _fail(self, run: ActiveRun, node: Node, error: ErrorInfo, *, actor: str = "") -> None:
        await self._finish(run, node, "failed", error=error, actor=actor)

    def _unpark(self, run: ActiveRun, index: int) -> Parked | None:
        parked: Parked | None = run.parked.pop(index, None)
        if parked is not None:
            for timer in (parked.timer, parked.again):
                if timer is not None:
                    timer.cancel()
            waiting = self._events.get((parked.pattern, parked.key))
            if waiting is not None:
                waiting[:] = [(r, n) for r, n in waiting if not (r is run and n.index == index)]
                if not waiting:
                    del self._events[parked.pattern, parked.key]
        return parked

    def stop(self, run: ActiveRun, index: int) -> None:
        """A parked step is cancelled."""
        self._x.spawn(self._stop(run, run.plan.nodes[index]), f"{run.id}/stop", run)

    async def _stop(self, run: ActiveRun, node: Node) -> None:
        parked: Parked | None = run.parked.get(node.index)
        if parked is not None and node.uses == "run-workflow":
            parked.stopping = True
            if not parked.child:
                return  # it is being started, and is stopped then
            reason = run.cancel.reason if run.cancel is not None else "its parent was stopped"
            request = CancelRequest(reason, "parent", self._x.clock.now())
            row = await end_child(self._x, parked.child, request)
            if row is not None and row.state == RunState.COMPLETED:  # it was faster: its effects are the step's to undo
                await self._made(run, node, row)
                return
        await self._finish(run, node, "cancelled", error=self._x.endings.why_stopped(run, node))

    def stop_found(self, run: ActiveRun, node: Node) -> None:
        """At recovery: a `run-workflow` step was under way when its run was stopped. Its child, if it has one, ends
        first.
        """
        run.parked[node.index] = Parked(self._x.clock.now())
        run.progress.states[node.index] = StepState.WAITING
        self._x.spawn(self._stop_found(run, node, run.parked[node.index]), f"{run.id}/stop", run)

    async def _stop_found(self, run: ActiveRun, node: Node, parked: Parked) -> None:
        async for row in children_of(self._x, run):
            if row.parent_ord == node.ord:
                parked.child = row.id
                await self._stop(run, node)
                return
        await self._finish(run, node, "cancelled", error=self._x.endings.why_stopped(run, node))

    def stop_all(self, run: ActiveRun, *, children: bool) -> None:
        """Cancel what is parked; without `children`, sub-workflows are left to finish, as running siblings are."""
        for index in list(run.parked):
            if children or run.plan.nodes[index].uses != "run-workflow":
                self.stop(run, index)
