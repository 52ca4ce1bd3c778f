"""What faces do with runs: start, look, signal. Every answer is plain data, every refusal a ReactorError."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.errors import ErrorInfo
from ..core.event import Event, Outcome, decode_stored, from_mapping
from ..core.ids import fresh_id, own_run_number, run_text
from ..core.limits import PAGE_ROWS_MAX
from ..core.pages import BadPage, page_before, page_rows
from ..core.priority import PRIORITY_WORDS, priority_in
from ..store.contract import RunFilter, RunRow, RunState
from .patience import patiently
from .plan import Plan
from .prepare import MANUAL
from .repeats import Repeats
from .run import name
from .signals import RunNotFound, SignalRefused
from .views import Views

if TYPE_CHECKING:
    from .engine import Engine

_FILTERS = frozenset(
    ("workflow", "state", "tag", "label", "priority", "since", "until", "event", "parent", "correlation")
)

_any = msgspec.json.Decoder().decode
_error = msgspec.json.Decoder(ErrorInfo).decode


def _half(asked: str | Iterable[str]) -> str:
    """`running` or `waiting`, if one of them is asked for without the other."""
    both = {"running", "waiting"} & {state.lower() for state in ((asked,) if isinstance(asked, str) else asked)}
    return both.pop() if len(both) == 1 else ""


class RunsApi:
    """Runs, by their text ids."""

    def __init__(self, engine: Engine) -> None:
        self._e = engine
        self.views = Views(engine.store, engine.telling.secrets.mask_json)
        self.store_id = engine.store.id
        self._repeats = Repeats(engine.store)

    # -- look
    def number(self, run: str) -> int:
        """The number in a run's id. Raises RunNotFound."""
        number = self._number(run)
        if number is None:
            raise RunNotFound(
                f"`{run}` is no run of this store",
                hint="a run's id looks like " + run_text(self._e.store.id, 1 << 40 | 1),
            )
        return number

    def _number(self, run: str) -> int | None:
        return own_run_number(self._e.store.id, str(run))

    async def row(self, run: str) -> RunRow:
        """A run's row. Raises RunNotFound."""
        number = self.number(run)
        row = await self._e.store.run(number)
        if row is None:
            raise RunNotFound(f"there is no run {run}", hint="`reactor runs` lists them")
        return row

    async def get(self, run: str) -> dict[str, Any]:
        """The run of language §7. Raises RunNotFound."""
        row = await self.row(run)
        active = self._e.executor.runs.get(row.id)
        if active is not None and RunState(row.state).ended:
            active = None
        return await self.views.full(row, await self._e.workflows.stored_plan(row.digest), active)

    async def list(self, *, cursor: str = "", limit: int = 50, **wanted: Any) -> dict[str, Any]:
        """A page: `{items, next}`, newest first; filters: workflow state tag label priority since until event parent
        correlation. Raises BadPage.
        """
        if unknown := sorted(wanted.keys() - _FILTERS):
            raise BadPage(f"runs are not asked for by `{unknown[0]}`; there are: {', '.join(sorted(_FILTERS))}")
        limit, before = page_rows(limit), page_before(cursor, self._number)
        tagged = self._tagged(wanted.get("tag") or ())
        if tagged is not None and not tagged:
            return {"items": [], "next": None}
        filter_ = msgspec.structs.replace(self._filter(wanted), workflows=tagged or ())
        rows = await self._rows(filter_, _half(wanted.get("state") or ()), before, limit + 1)
        items = [self._head(row) for row in rows[:limit]]
        return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}

    async def _rows(self, filter_: RunFilter, half: str, before: int, limit: int) -> Sequence[RunRow]:
        """So many rows that fit. Where of the runs that are stored as running one `half` is asked for, `running` or
        `waiting`, the other is left out here: the store does not know them apart.
        """
        if not half:
            return await self._e.store.runs(filter_, before=before, limit=limit)
        other = "waiting" if half == "running" else "running"
        found: list[RunRow] = []
        while len(found) < limit:
            rows = await self._e.store.runs(filter_, before=before, limit=PAGE_ROWS_MAX)
            found += [row for row in rows if self._e.state_of(row) != other]
            if len(rows) < PAGE_ROWS_MAX:
                break
            before = rows[-1].id
        return found[:limit]

    def _tagged(self, tags: str | Iterable[str]) -> tuple[str, ...] | None:
        """The workflows in force that have all these tags; None: no tag is asked for."""
        asked = {tags} if isinstance(tags, str) else set(tags)
        workflows = self._e.workflows
        entries = [workflows.current(name) for name in workflows.names()] if asked else []
        found = [e.definition.workflow for e in entries if e is not None and asked <= set(e.definition.tags)]
        return tuple(found) if asked else None

    def _filter(self, wanted: Mapping[str, Any]) -> RunFilter:
        states: list[int] = []
        asked = wanted.get("state") or ()
        for text in (asked,) if isinstance(asked, str) else asked:
            if text == "waiting":
                text = "running"
            try:
                states.append(int(RunState[text.upper()]))
            except KeyError:
                raise BadPage(
                    f"`{text}` is no state of a run; there are: {', '.join(s.name.lower() for s in RunState)}, waiting"
                ) from None
        label: str = wanted.get("label") or ""
        if label and "=" not in label:
            raise BadPage(f"a label is asked for as key=value; found `{label}`")
        key, _, value = label.partition("=")
        asked = wanted.get("priority")
        priority = None if asked is None else priority_in(asked)
        if asked is not None and priority is None:
            raise BadPage(f"a priority is {PRIORITY_WORDS}; found `{asked}`")
        return RunFilter(
            wanted.get("workflow") or "",
            tuple(states),
            event=wanted.get("event") or 0,
            label=(key, value) if label else None,
            parent=self.number(wanted["parent"]) if wanted.get("parent") else 0,
            correlation=wanted.get("correlation") or "",
            priority=priority,
            since=wanted.get("since"),
            until=wanted.get("until"),
        )

    async def history(self, run: str) -> list[dict[str, Any]]:
        """The run's journal in words. Raises RunNotFound."""
        row = await self.row(run)
        return self.views.history(await self._e.store.journal(row.id), await self._e.workflows.stored_plan(row.digest))

    async def logs(self, run: str) -> list[dict[str, Any]]:
        """What the run's steps logged; of steps under way too. Raises RunNotFound."""
        row = await self.row(run)
        return self.views.logs(await self._e.store.journal(row.id), await self._e.workflows.stored_plan(row.digest))

    # -- start
    async def start(
        self,
        workflow: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        event: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Start a run; its head. `event`: the members of an event that it is to see; inputs that are not given are the
        fields of its data, as in an entry without `with`.

        Raises InvalidEvent, and as Engine.start.
        """
        seen = None
        if event is not None:
            seen = from_mapping({"specversion": "1.0", "id": fresh_id(), "source": "/reactor", **event})
            seen.meta = {"trigger": MANUAL}
            inputs = {**self._e.prepare.fields(self.plan_of(workflow), seen), **(inputs or {})}
        return self._head(await self._e.start(workflow, inputs, event=seen, **more))

    async def rerun(self, run: str, *, actor: str = "", key: str = "") -> dict[str, Any]:
        """A new run with the same workflow, version, inputs and event; one for each `key`. Raises RunNotFound."""
        row = await self.row(run)
        event = await self._event(row)
        stored = row.event if event is not None else 0
        name = f"{row.workflow}@{row.version}"
        again = f"rerun {row.id} {key}" if key else ""
        return self._head(
            await self._e.start(name, _any(row.input), actor=actor, event=event, stored=stored, key=again)
        )

    def _head(self, row: RunRow) -> dict[str, Any]:
        return self.views.head(row, self._e.executor.runs.get(row.id))

    async def _event(self, row: RunRow) -> Event | None:
        stored = await self._e.store.event(row.event) if row.event else None
        return decode_stored(stored.body) if stored is not None else None

    # -- wait
    async def ended(self, number: int) -> RunRow:
        """A run's row once it has ended (it may have already)."""
        with self._e.telling.watching(number) as future:
            if number in self._e.executor.runs:  # its end is told here
                return await future
            row = await self._e.store.run(number)
            if row is None:
                raise RunNotFound(f"there is no run {run_text(self._e.store.id, number)}")
            return row if RunState(row.state).ended else await future

    async def outcome(self, run: str) -> Outcome:
        """How a run ended, once it has. Raises RunNotFound."""
        return await self.outcome_of(self.number(run))

    async def outcome_of(self, number: int) -> Outcome:
        """The same by the run's number."""
        return self.outcome_in(await self.ended(number))

    def outcome_in(self, row: RunRow) -> Outcome:
        """What the row of an ended run says of its end."""
        return Outcome(
            run_text(self.store_id, row.id),
            row.workflow,
            name(row.state),
            _any(row.output) if row.output is not None else None,
            _error(row.error) if row.error is not None else None,
        )

    async def outcomes(self, runs: tuple[str, ...]) -> tuple[Outcome, ...]:
        """Of several runs, once all have ended: a store that does not answer meanwhile is asked again."""
        clock = self._e.clock
        asked = (patiently(clock, functools.partial(self.outcome, run)) for run in runs)
        return tuple(await asyncio.gather(*asked))

    # -- signals: with a `key`, once for it
    async def cancel(self, run: str, *, reason: str = "", actor: str = "", force: bool = False, key: str = "") -> None:
        """Durable when it returns. Raises RunNotFound, SignalRefused."""
        number, asked = self.number(run), functools.partial(self._e.request, reason, actor, force=force)
        word = "force" if force else "cancel"
        await self._repeats.once(number, word, key, lambda left: self._e.signals.cancel(number, asked(key=left)))

    async def pause(self, run: str, *, reason: str = "", actor: str = "", key: str = "") -> None:
        """Running steps finish, no new one starts. Raises RunNotFound, SignalRefused."""
        number, asked = self.number(run), functools.partial(self._e.request, reason, actor)
        await self._repeats.once(number, "pause", key, lambda left: self._e.signals.pause(number, asked(key=left)))

    async def resume(self, run: str, *, reason: str = "", actor: str = "", key: str = "") -> None:
        """Go on after a pause. Raises RunNotFound, SignalRefused."""
        number, asked = self.number(run), functools.partial(self._e.request, reason, actor)
        await self._repeats.once(number, "resume", key, lambda left: self._e.signals.resume(number, asked(key=left)))

    async def retry(
        self, run: str, *, reason: str = "", actor: str = "", compensation: bool = False, key: str = ""
    ) -> None:
        """The failed steps, or handlers, again. Raises RunNotFound, SignalRefused."""
        number, asked = self.number(run), functools.partial(self._e.request, reason, actor)
        await self._repeats.once(
            number,
            "retry",
            key,
            lambda left: self._e.signals.retry(number, asked(key=left), compensation=compensation),
        )

    async def answer(
        self,
        run: str,
        step: str,
        *,
        approve: bool,
        by: str = "",
        reason: str = "",
        fields: Any = None,
        via: str = "api",
        roles: Collection[str] | None = None,
        key: str = "",
    ) -> None:
        """Approve or reject; `roles` None: a person on this machine; with a `key`, an answer that was given before in
        the same words is given already. Raises as Signals.answer.
        """
        answer = {"approved": approve, "by": by, "via": via, "reason": reason, "fields": fields}
        number = self.number(run)
        try:
            await self._e.signals.answer(number, step, answer, roles)
        except SignalRefused:
            plan = await self._e.workflows.stored_plan((await self.row(run)).digest) if key else None
            place = plan.by_path.get(step, plan.by_name.get(step)) if plan is not None else None
            if place is None or not await self._repeats.answered(number, place, answer):
                raise

    def plan_of(self, reference: str) -> Plan:
        """The plan of a workflow in force. Raises StepError `unknown_workflow`."""
        plan = self._e.workflows.plan(self._e.workflows.find(reference).digest)
        assert plan is not None
        return plan
