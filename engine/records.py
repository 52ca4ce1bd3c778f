"""Writes what happens to a run: journal rows, transitions, large values apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.clock import Clock
from ..core.errors import ErrorInfo, PermanentError
from ..core.limits import INLINE_BYTES_MAX
from ..store.contract import (
    JournalRow,
    Kind,
    OutboxRow,
    RunChange,
    RunRow,
    RunState,
    StateChange,
    StateResult,
    Store,
    Unit,
)
from .actions.contract import EmitEffect, StateEffect
from .active import ActiveRun
from .masking import masked_record
from .patience import patiently
from .plan import Node
from .run import CancelRequest, StepRecord, Transition, name

if TYPE_CHECKING:
    from .telling import Telling

_encode = msgspec.json.Encoder().encode
_record = msgspec.json.Decoder(StepRecord).decode
_any = msgspec.json.Decoder().decode
BLOB = "$blob"  # a value kept apart: {"$blob": digest in hex, "size": bytes}, in a record that is not `literal`
_BLOB_KEY = b'"$blob"'


class Records:
    """The journal of this node's runs."""

    def __init__(self, store: Store, telling: Telling, clock: Clock, output_bytes_max: int) -> None:
        self._store = store
        self._clock = clock
        self._output_bytes_max = output_bytes_max
        self.plain_bytes_max = min(INLINE_BYTES_MAX, output_bytes_max)
        """A record's body of up to so many bytes is written as it is; a longer one `apart` looks at."""
        self.telling = telling
        self._secrets = telling.secrets

    def row(self, run: ActiveRun, node: Node, kind: Kind, body: bytes, *, occurrence: int = 0) -> JournalRow:
        """A journal row of a step."""
        return JournalRow(run.row.id, node.ord | occurrence, kind, body, run.row.gen, node.name_hash)

    def encoded(self, node: Node, record: StepRecord) -> tuple[StepRecord, bytes]:
        """A record and its body, secrets hidden; an output that is no JSON value makes it the record of a failure.

        One that looks like a reference to a blob is marked as the value it is, where no output can set a mark.
        """
        try:
            body = _encode(record)
            if _BLOB_KEY in body:
                record = msgspec.structs.replace(record, literal=_refers(_record(body).output))
                body = _encode(record)
        except (TypeError, ValueError, RecursionError) as e:
            return _unkept(node, record, "invalid_output", f"the output of `{node.path}` is no JSON value: {e}")
        if self._secrets.shows(body):
            record = masked_record(_record(body), self._secrets.mask_value)
            body = _encode(record)
        return record, body

    async def apart(self, node: Node, record: StepRecord, body: bytes) -> tuple[StepRecord, bytes]:
        """A record whose body is over `plain_bytes_max`: a large output goes to a blob first, durable before the row
        that names it; one over `server.limits.output` makes it the record of a failure.
        """
        if record.output is None:
            return record, body
        output = _encode(record.output)
        if len(output) > self._output_bytes_max:
            message = f"the output of `{node.path}` has {len(output)} bytes; at most {self._output_bytes_max} are kept"
            hint = "give less, keep it in a file and give its path, or raise `server.limits.output`"
            return _unkept(node, record, "too_large", message, hint)
        if len(output) > INLINE_BYTES_MAX:
            blob = {
                BLOB: (await patiently(self._clock, lambda: self._store.put_blob(output))).hex(),
                "size": len(output),
            }
            body = _encode(msgspec.structs.replace(record, output=blob, literal=False))
        return record, body

    async def write(
        self,
        run: ActiveRun,
        node: Node,
        record: StepRecord,
        effect: EmitEffect | StateEffect | None,
        telling: Telling,
        *,
        kind: Kind = Kind.RESULT,
    ) -> StepRecord:
        """Make a step's end durable with its effect; the record as it was written."""
        if isinstance(effect, StateEffect):
            return await self._write_state(run, node, record, effect, kind)
        outbox: tuple[OutboxRow, ...] = ()
        if isinstance(effect, EmitEffect):
            event, outbox = telling.emitted(run, node, effect)
            record = msgspec.structs.replace(record, output={"id": event.id})
        record, body = self.encoded(node, record)
        if len(body) > self.plain_bytes_max:
            record, body = await self.apart(node, record, body)
        if kind is Kind.RESULT:
            outbox = (*outbox, *telling.step_outbox(run, node, record))
        await self._store.submit(Unit(journal=(self.row(run, node, kind, body),), outbox=outbox, bytes_=len(body)))
        if outbox:
            telling.sent(outbox)
        return record

    async def _write_state(
        self, run: ActiveRun, node: Node, record: StepRecord, effect: StateEffect, kind: Kind
    ) -> StepRecord:
        """The operations and the result in one unit; refused ones make the step fail, and nothing of them is done."""
        written: list[StepRecord] = []
        own = b""
        if effect.output is not msgspec.UNSET:  # a function's: it is kept as without changes of state
            record, own = self.encoded(node, msgspec.structs.replace(record, output=effect.output))
            if len(own) > self.plain_bytes_max:
                record, own = await self.apart(node, record, own)
            if record.state == "failed":
                await self._store.submit(Unit(journal=(self.row(run, node, kind, own),)))
                return record

        def row(results: Sequence[StateResult]) -> JournalRow:
            done = record if own else msgspec.structs.replace(record, output=effect.made_of(results))
            written[:] = [done]
            return self.row(run, node, kind, own or _encode(done))

        committed = await self._store.submit(Unit(state=StateChange(effect.ops, row)))
        if not committed.refused:
            return written[0]
        error = ErrorInfo(
            "conflict",
            f"`{node.path}`: {committed.detail}; none of its operations was done",
            "park",
            node.path,
            record.attempts,
        )
        failed = msgspec.structs.replace(record, state="failed", output=None, error=error)
        await self._store.submit(Unit(journal=(self.row(run, node, kind, _encode(failed)),)))
        return failed

    async def transition(
        self,
        run: ActiveRun,
        state: RunState,
        request: CancelRequest | None,
        *,
        error: bytes | None = None,
        at: float | None = None,
    ) -> None:
        """Number and write a state that a run enters between its start and its end."""
        run.row.transitions += 1
        body = Transition(
            name(state),
            at if at is not None else (request.at if request is not None else 0.0),
            request.actor if request is not None else "",
            request.reason if request is not None else "",
            run.error,
            run.cause.value if run.cause is not None else "",
            key=request.key if request is not None else "",
        )
        row = JournalRow(run.row.id, run.row.transitions, Kind.TRANSITION, _encode(body), run.row.gen)
        change = RunChange(run.row.id, "live", state=int(state), transitions=run.row.transitions, error=error)
        outbox = self.telling.entered_outbox(run.row, state, run.row.transitions, body.at, again=True)
        await self._store.submit(Unit(journal=(row,), changes=(change,), outbox=outbox))
        self.telling.sent(outbox)

    async def park(self, row: RunRow, state: RunState, error: ErrorInfo, before: Transition) -> None:
        """Pause a run that cannot go on by itself, and say why; `before`: how it stood. One that is paused stays so."""
        change = RunChange(row.id, "live", state=int(RunState.PAUSED), error=_encode(error))
        if state is RunState.PAUSED:
            await self._store.submit(Unit(changes=(change,)))
            return
        number, now = row.transitions + 1, self._clock.now()
        reason = f"{error.code}: {error.message}"
        body = Transition(name(RunState.PAUSED), now, "", reason, before.error, before.cause)
        journal = JournalRow(row.id, number, Kind.TRANSITION, _encode(body), row.gen)
        outbox = self.telling.entered_outbox(row, RunState.PAUSED, number, now, again=True)
        change = msgspec.structs.replace(change, transitions=number)
        committed = await self._store.submit(Unit(journal=(journal,), changes=(change,), outbox=outbox))
        if not committed.refused:
            row.state, row.transitions, row.error = int(RunState.PAUSED), number, change.error
            self.telling.sent(outbox)
            self.telling.parked(row, now)


def _unkept(node: Node, record: StepRecord, code: str, message: str, hint: str = "") -> tuple[StepRecord, bytes]:
    error = ErrorInfo(code, message, "park", node.path, record.attempts, hint=hint)
    failed = msgspec.structs.replace(record, state="failed", output=None, error=error)
    return failed, _encode(failed)


def _refers(output: Any) -> bool:
    return isinstance(output, dict) and BLOB in output


async def read_record(store: Store, body: bytes) -> StepRecord:
    """A step's record out of its row, a large output fetched."""
    record = _record(body)
    if record.literal or not _refers(record.output):
        return record
    name: str = record.output[BLOB]
    found = await store.blob(bytes.fromhex(name))
    if found is None:
        raise PermanentError(f"the blob {name} that a step's result names is not in the store", code="lost")
    return msgspec.structs.replace(record, output=_any(found))
