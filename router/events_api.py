"""What faces do with events: publish, look, explain, replay; and with dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ..core.durations import format_instant
from ..core.errors import ErrorInfo, PermanentError, StepError, StoreUnavailable, input_in_doubt
from ..core.event import Delivery, Event, InvalidEvent, Receipt, Settlement, check, decode, decode_stored, encode
from ..core.ids import event_number, event_text, fresh_id, run_text
from ..core.keys import whole
from ..core.limits import EVENT_BYTES_MAX, PAGE_ROWS_MAX
from ..core.pages import BadPage, page_before, page_rows
from ..core.plain import json_fault
from ..language.cel import Activation
from ..store.contract import DeadLetter, EventRow, Heard, RunFilter, RunStart, Store, Unit
from .arrival import Arrivals
from .contract import Runs, StartBinding
from .explain import explain
from .intake import Intake
from .rules import Rules
from .unmatched import Unmatched

_any = msgspec.json.Decoder().decode
_Row = TypeVar("_Row")
POSTED = "post"
"""The trigger name of events that were handed in directly: `POST /events`, `reactor emit`, `app.emit`."""

REPLAY_KEY = "replay_key"
"""The member of a replay's `meta` that names the Idempotency-Key it was asked for with."""

LETTER_STATES = ("open", "retried", "dropped")


class EventNotFound(PermanentError):
    """No event, or dead letter, has this name."""

    code = "not_found"


async def _all(page: Callable[[int, int], Awaitable[Sequence[_Row]]], key: str) -> list[_Row]:
    """The rows of all pages, newest first: `page` gives those before a row's `key`, as many as asked for at most."""
    found, before, more = list[_Row](), 0, True
    while more:
        rows = await page(before, PAGE_ROWS_MAX)
        found += rows
        before, more = getattr(rows[-1], key) if rows else 0, len(rows) == PAGE_ROWS_MAX
    return found


def _again(error: ErrorInfo) -> StepError:
    hint = "mend what is wrong first, or put it aside: `reactor dead-letters drop`"
    return StepError(error.code, f"it failed again: {error.message}", hint=hint)


class EventsApi:
    """Events, by their short key or their CloudEvents id."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        arrivals: Arrivals,
        rules: Rules,
        unmatched: Unmatched,
        runs: Runs,
        bytes_max: int = EVENT_BYTES_MAX,
    ) -> None:
        self._store = store
        self._intake = intake
        self._arrivals = arrivals
        self._rules = rules
        self._unmatched = unmatched
        self._runs = runs
        self._bytes_max = bytes_max  # of an event that a program hands in
        self.rules_at: Callable[[int], Awaitable[Rules | None]]
        """The rules of a stored revision: set once there are deploys."""

    # -- in
    async def publish(
        self, events: Sequence[Event], *, trigger: str = POSTED, checked: bool = False
    ) -> tuple[Receipt, ...]:
        """Accept events as one unit (semantics 1.10); returns when they are durable. `checked`: they were decoded from
        a message or from the store, and were checked then.

        Raises InvalidEvent before anything is taken, StoreUnavailable while the store refuses, StepError
        `rate_limited` while a workflow that they would start has as many held runs as may wait (semantics 5.9).
        """
        for event in events:
            if not event.id:
                event.id = fresh_id()
            if not checked:
                decode(encode(event), bytes_max=self._bytes_max)  # is it one that `POST /events` would take?
                check(event)
        if self._store.refusing:
            raise StoreUnavailable(
                f"the store refuses writes: {self._store.refusing}",
                retry_after_s=1.0,
                hint="repeat it later: it goes on by itself once the store can write",
            )
        settled: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()

        def settle(settlement: Settlement) -> None:
            if not settled.done():
                settled.set_result(settlement)

        delivery = Delivery(tuple(events), checked=True)
        if self._arrivals.crowded(trigger, delivery):
            raise StepError(
                "rate_limited",
                "the event would start a run of a workflow that has as many waiting runs as it may; nothing was taken",
                hint="send it again later",
            )
        await self._intake.take(trigger, delivery, settle)
        if settled.done():  # nothing was to be written: who publishes in a loop must let others have their turn
            await asyncio.sleep(0)
        settlement = await settled
        if settlement.in_doubt:
            raise input_in_doubt()
        if settlement.again:
            raise StoreUnavailable(
                "the store refuses writes now; nothing was taken",
                retry_after_s=settlement.retry_after_s or 1.0,
                hint="repeat it later: it goes on by itself once the store can write",
            )
        return settlement.receipts

    async def emit(
        self, type: str, data: Any = None, *, source: str = "/reactor", subject: str | None = None, id: str = ""
    ) -> Receipt:
        """One event of a few words. Raises InvalidEvent, StoreUnavailable."""
        event = Event(type=type, source=source, id=id, subject=subject, data=data, datacontenttype="application/json")
        try:
            return (await self.publish((event,)))[0]
        except (TypeError, ValueError, RecursionError):
            given = {"type": type, "source": source, "subject": subject, "id": id, "data": data}
            for name, value in given.items():
                if found := json_fault(value, name):
                    raise InvalidEvent(f"the event `{type}`: {found}") from None
            raise

    # -- look
    async def row(self, reference: str) -> EventRow:
        """An event by its key, or by its id while one source has it. Raises EventNotFound."""
        number = event_number(reference)
        row = (await self._store.event(number) or self._unmatched.find(number)) if number is not None else None
        if row is not None:
            return row
        found = list(await self._store.events_by_id(reference))
        found += [r for r in self._unmatched.recent() if r.id == reference]
        sources = {r.source for r in found}
        if len(sources) > 1:
            raise EventNotFound(
                f"several sources have an event `{reference}`: {', '.join(sorted(sources))}", hint="name it by its key"
            )
        if not found:
            raise EventNotFound(
                f"there is no event `{reference}`",
                hint="`reactor events` lists them; unmatched ones are kept for a while only",
            )
        return max(found, key=lambda each: each.key)  # the latest

    def view(self, row: EventRow) -> dict[str, Any]:
        """An event as lists show it."""
        event = decode_stored(row.body)
        return {
            "key": event_text(row.key),
            "trigger": row.trigger or None,
            "accepted_at": format_instant(row.at),
            **event.view(),
        }

    async def get(self, reference: str) -> dict[str, Any]:
        """One event, with the runs it started. Raises EventNotFound."""
        row = await self.row(reference)
        started = await self._runs_of(row)
        return {**self.view(row), "runs": [run for run, _ in started.values()]}

    async def list(
        self, *, type: str = "", source: str = "", since: float | None = None, cursor: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """A page: `{items, next}`, newest first, unmatched ones among them. Raises BadPage."""
        limit, before = page_rows(limit), page_before(cursor, event_number)
        await self._unmatched.flush()
        rows = await self._store.events(type=type, source=source, since=since, before=before, limit=limit + 1)
        items = [self.view(row) for row in rows[:limit]]
        return {"items": items, "next": items[-1]["key"] if len(rows) > limit else None}

    async def explain(self, reference: str, *, workflow: str = "") -> dict[str, Any]:
        """For every binding: matched, or the first clause that says no, with what was expected and found."""
        row = await self.row(reference)
        event = decode_stored(row.body)
        dead = await self._dead_of(row)
        rules = await self.rules_at(row.revision) or self._rules
        known: dict[str, tuple[Sequence[Heard], bool]] = {}

        async def heard(name: str) -> tuple[Sequence[Heard], bool]:
            if name not in known:
                known[name] = await self._runs.heard(name, row)
            return known[name]

        findings = await explain(
            rules,
            event,
            self._arrivals.vars,
            workflow=workflow,
            runs=await self._runs_of(row),
            notes=_any(row.notes) if row.notes else {},
            dead=dead,
            heard=heard,
        )
        return {
            "event": self.view(row),
            "revision": row.revision,
            "revision_now": self._rules.revision,
            "dead": dead.get(""),
            "findings": findings,
        }

    async def _runs_of(self, row: EventRow) -> Mapping[str, tuple[str, str]]:
        """By workflow the run that the event started, and its state; reruns, which are later, do not stand for it."""
        runs, wanted = self._store.runs, RunFilter(event=row.key)
        rows = await _all(lambda before, limit: runs(wanted, before=before, limit=limit), "id")
        return {r.workflow: (run_text(self._store.id, r.id), self._runs.state_of(r)) for r in rows}

    async def _dead_of(self, row: EventRow) -> Mapping[str, str]:
        """By workflow, or empty for the event itself, why it became a dead letter."""
        letters = self._store.dead_letters
        found = await _all(lambda before, limit: letters(state="", event=row.key, before=before, limit=limit), "key")
        return {letter.workflow: _any(letter.error)["message"] for letter in found}

    async def replay(self, reference: str, *, key: str = "") -> Receipt:
        """Route an event anew under the rules of today: same source and data, extension `replay` (semantics 1.11).

        With a `key` once for it: what it made is handed in again, and so is a duplicate. Raises EventNotFound.
        """
        event = decode_stored((await self.row(reference)).body)
        again = await self._replayed(event, key) if key else None
        if again is None:
            count = whole(event.extensions.get("replay", 0)) + 1
            again = event.replace(extensions={**event.extensions, "replay": count})
        meta = {k: v for k, v in event.meta.items() if k not in ("trigger", REPLAY_KEY)}
        if key:
            meta[REPLAY_KEY] = key
        trigger = str(event.meta.get("trigger", POSTED))
        return (await self.publish((again.replace(meta=meta),), trigger=trigger, checked=True))[0]

    async def _replayed(self, event: Event, key: str) -> Event | None:
        """The replay of an event that this key made, if it did."""
        for row in (*await self._store.events_by_id(event.id), *self._unmatched.recent()):
            found = decode_stored(row.body) if (row.source, row.id) == (event.source, event.id) else None
            if found is not None and found.meta.get(REPLAY_KEY) == key:
                return found
        return None

    # -- dead letters
    def letter_view(self, letter: DeadLetter) -> dict[str, Any]:
        """A dead letter as lists show it."""
        raw = letter.raw[:4096].decode("utf-8", "replace") if letter.raw is not None else None
        return {
            "id": event_text(letter.key),
            "at": format_instant(letter.at),
            "trigger": letter.trigger or None,
            "workflow": letter.workflow or None,
            "event": event_text(letter.event) if letter.event else None,
            "event_id": letter.id,
            "source": letter.source,
            "code": letter.code,
            "error": _any(letter.error),
            "raw": raw,
            "raw_bytes": len(letter.raw) if letter.raw is not None else 0,
            "attempts": letter.attempts,
            "state": letter.state,
        }

    async def letters(self, *, state: str = "open", cursor: str = "", limit: int = 50) -> dict[str, Any]:
        """A page of dead letters, newest first. Raises BadPage."""
        if state not in LETTER_STATES:
            raise BadPage(f"a dead letter is {', '.join(LETTER_STATES[:-1])} or {LETTER_STATES[-1]}; found `{state}`")
        limit, before = page_rows(limit), page_before(cursor, event_number)
        rows = await self._store.dead_letters(state=state, before=before, limit=limit + 1)
        items = [self.letter_view(row) for row in rows[:limit]]
        return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}

    async def _letter(self, reference: str) -> DeadLetter:
        number = event_number(reference)
        letter = await self._store.dead_letter(number) if number is not None else None
        if letter is None:
            raise EventNotFound(f"there is no dead letter `{reference}`", hint="`reactor dead-letters list` lists them")
        return letter

    async def drop(self, reference: str) -> None:
        """Put a dead letter aside for good. Raises EventNotFound."""
        letter = await self._letter(reference)
        await self._store.submit(Unit(dead_changes=((letter.key, "dropped", letter.attempts),)))

    async def retry(self, reference: str) -> dict[str, Any]:
        """The same delivery again: what it started before is not started twice (semantics 1.11).

        Raises EventNotFound, StepError with the reason if it fails again.
        """
        letter = await self._letter(reference)
        if letter.event:
            started = await self._retry_binding(letter)
        else:
            started = await self._retry_event(letter)
        await self._store.submit(Unit(dead_changes=((letter.key, "retried", letter.attempts + 1),)))
        return {"id": reference, "state": "retried", "runs": list(started)}

    async def _retry_event(self, letter: DeadLetter) -> tuple[str, ...]:
        raw = letter.raw or b""
        try:
            event = decode_stored(raw)
        except (PermanentError, msgspec.DecodeError):
            event = decode(raw)
        receipt = (await self.publish((event,), trigger=letter.trigger, checked=True))[0]
        if receipt.verdict == "dead" and receipt.error is not None:
            raise _again(receipt.error)
        return receipt.runs

    async def _retry_binding(self, letter: DeadLetter) -> tuple[str, ...]:
        """Only the binding that failed, by the rules of today."""
        row = await self._store.event(letter.event)
        if row is None:
            raise EventNotFound("its event is not in the store any more")
        event = decode_stored(row.body)
        scope = Activation({"event": event.view(), **self._arrivals.vars})
        for binding in self._rules.match(event):
            if not isinstance(binding, StartBinding) or binding.workflow != letter.workflow:
                continue
            if all(guard.guard(scope) is wanted for _, guard, wanted in binding.guards):
                start = self._runs.for_event(binding.digest, binding.entry, event, row.key, row.at, scope)
                return await self._start(start, event)
        raise StepError(
            "failed", f"no entry of `{letter.workflow}` takes the event now", hint="`reactor explain` tells why"
        )

    async def _start(self, start: RunStart | ErrorInfo, event: Event) -> tuple[str, ...]:
        if not isinstance(start, RunStart):
            raise _again(start)
        committed = await self._store.submit(Unit(runs=(start,)))
        self._runs.started(start, committed.started[0], event)
        return (run_text(self._store.id, committed.started[0].run),)
