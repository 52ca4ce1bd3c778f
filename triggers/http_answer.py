"""What an http trigger answers once its event is durable: the acceptance, the run's result, or a template of either."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..core.clock import Clock
from ..core.durations import format_duration
from ..core.errors import ErrorInfo
from ..core.event import Event, Outcome, Receipt
from ..core.http import Behind, HttpResponse, Refused
from ..language.cel import Activation
from ..language.templates import as_text
from .http_config import HttpConfig

_encode = msgspec.json.Encoder(enc_hook=str).encode
_JSON = {"Content-Type": "application/json"}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Answers:
    """Makes the answers of one trigger."""

    def __init__(self, config: HttpConfig, clock: Clock) -> None:
        respond = config.answer
        self._respond = respond
        self._wait = config.wait
        self._clock = clock
        self.result = respond.on == "result"
        self._template = respond.template()
        self._reads = {path[0] for path in self._template.reads} if self._template is not None else set[str]()

    async def make(self, events: Sequence[Event], receipts: Sequence[Receipt], behind: Behind | None) -> HttpResponse:
        """The answer to durable events. Raises what becomes a problem document."""
        runs = [run for receipt in receipts for run in receipt.runs]
        if not self.result:
            return await self._accepted(events, receipts, runs, behind)
        if not runs:
            raise _no_run(receipts)
        if len(runs) > 1:
            raise Refused(
                500,
                "config",
                f"one request started {len(runs)} runs, and only one can be its answer: {', '.join(runs)}",
                hint="let one workflow alone bind this path, or answer with `respond: accepted`",
            )
        if behind is None:
            raise Refused(500, "config", "nobody can tell how the run ends: the trigger has no web server")
        outcome = await self._outcome(behind, runs[0])
        if outcome.state != "completed":
            raise RunFailed(outcome)
        if self._template is None:
            return HttpResponse(self._respond.status or 200, _encode(outcome.outputs), _JSON)
        return await self._rendered(events[0], outcome.run, outcome.outputs, behind)

    async def _accepted(
        self, events: Sequence[Event], receipts: Sequence[Receipt], runs: Sequence[str], behind: Behind | None
    ) -> HttpResponse:
        if self._template is not None and events:
            return await self._rendered(events[0], runs[0] if runs else "", None, behind)
        if len(events) == 1:
            receipt = receipts[0]
            said: dict[str, Any] = {"id": events[0].id, "key": receipt.event, "verdict": receipt.verdict, "runs": runs}
        else:
            said = {
                "ids": [event.id for event in events],
                "keys": [receipt.event for receipt in receipts],
                "verdicts": [receipt.verdict for receipt in receipts],
                "runs": runs,
            }
        return HttpResponse(self._respond.status or 202, _encode(said), _JSON)

    async def _rendered(self, event: Event, run: str, outputs: Any, behind: Behind | None) -> HttpResponse:
        values: dict[str, Any] = {"event": event.view(), "inputs": {}, "outputs": outputs, "run": {}}
        if run and behind is not None and not self._reads.isdisjoint(("inputs", "run")):
            view = await behind.run(run)
            values["inputs"], values["run"] = view["inputs"], dict(view)
        assert self._template is not None
        made: Mapping[str, Any] = self._template.render(Activation(values))
        respond = self._respond
        headers = {name: _header(name, as_text(value)) for name, value in made["headers"].items()}
        body = b""
        if respond.has("body") and made["body"] is not None:
            body = as_text(made["body"]).encode()
            headers = {"Content-Type": "text/plain; charset=utf-8", **headers}
        elif respond.has("json_"):
            body, headers = _encode(made["json"]), {**_JSON, **headers}
        return HttpResponse(respond.status or (200 if self.result else 202), body, headers)

    async def _outcome(self, behind: Behind, run: str) -> Outcome:
        """How the run ended; 504 after `wait`, and the run goes on."""
        ending = asyncio.ensure_future(behind.outcome(run))
        limit = asyncio.ensure_future(self._clock.sleep(self._wait))
        try:
            await asyncio.wait((ending, limit), return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return ending.result()
        finally:
            limit.cancel()
            ending.cancel()
        raise Refused(
            504,
            "timeout",
            f"the run {run} has not ended in {format_duration(self._wait)}; it goes on",
            hint=f"GET /api/v1/runs/{run} shows how it ends",
            details={"run": run},
        )


def _header(name: str, value: str) -> str:
    """A header's value in the characters of the wire: what Latin-1 lacks goes as UTF-8.

    Raises Refused for a line break or another control character: data of an event must not write headers of its own.
    """
    if _CONTROL.search(value) is not None:
        raise Refused(422, "expression", f"the header {name} of the answer would hold a control character")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode("latin-1")
    return value


_OF_THE_DATA = frozenset(("invalid_input", "invalid_data", "expression"))


def _no_run(receipts: Sequence[Receipt]) -> Refused:
    for receipt in receipts:
        if receipt.held_back:
            return Refused(
                429,
                "rate_limited",
                "a limit of the workflow left no run",
                headers={"Retry-After": "1"},
                details={"event": receipt.event},
            )
        if receipt.error is not None:
            error = receipt.error
            status = 422 if error.code in _OF_THE_DATA else 500  # the sender's fault, or ours
            return Refused(status, error.code, error.message, hint=error.hint, details={"event": receipt.event})
    key = receipts[0].event if receipts else ""
    return Refused(
        404,
        "not_found",
        "no workflow took the request",
        hint=f"`reactor explain {key}` tells why" if key else "",
        details={"event": key},
    )


class RunFailed(Refused):
    """The run whose result was to be the answer ended otherwise: 500, whatever the code of its error."""

    def __init__(self, outcome: Outcome) -> None:
        error = _for_outside(outcome.error or ErrorInfo("failed", f"the run ended {outcome.state}"))
        details = {**error.details, "run": outcome.run, "state": outcome.state}
        super().__init__(500, error.code, error.message, hint=error.hint, details=details)
        self._error = error

    def info(self, **more: Any) -> ErrorInfo:
        """The run's error, with the step that it came from."""
        return msgspec.structs.replace(self._error, details=self.details)


def _for_outside(error: ErrorInfo) -> ErrorInfo:
    """An error without tracebacks and places in files: whoever calls a hook is not to read the project's code."""
    details = {name: value for name, value in error.details.items() if name != "traceback"}
    cause = error.cause if error.cause is None else _for_outside(error.cause)
    return msgspec.structs.replace(error, details=details, cause=cause, place=None)
