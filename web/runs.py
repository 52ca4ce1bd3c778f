"""The API of runs: start, list, show, signal, answer."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ..core.priority import PRIORITIES
from .endpoint import PAGE, Answer, Call, Endpoint, Param
from .shapes import STATES

ACTOR = "api"


class StartRun(Struct, frozen=True, forbid_unknown_fields=True):
    """A run to start. `event`: a CloudEvent that it is to see; `id` and `source` may be left out, and inputs that are
    not given are the fields of its data.
    """

    workflow: str
    version: str = ""
    inputs: dict[str, Any] = {}
    labels: dict[str, str] = {}
    priority: int | str | None = None
    event: dict[str, Any] | None = None


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: str = ""


class CancelRun(Struct, frozen=True, forbid_unknown_fields=True):
    """Why, and whether without grace and handlers."""

    reason: str = ""
    force: bool = False


class RetryRun(Struct, frozen=True, forbid_unknown_fields=True):
    """Why, and whether the failed handlers instead of the failed steps."""

    reason: str = ""
    compensation: bool = False


class Decision(Struct, frozen=True, forbid_unknown_fields=True):
    """An approval's answer. `by` is taken from a caller without a token alone."""

    by: str = ""
    reason: str = ""
    fields: Any = None


def actor(call: Call) -> str:
    """Who asks, for histories: the token's name."""
    return f"{ACTOR}:{call.caller.name}"


async def list_runs(call: Call) -> dict[str, Any]:
    """A page of runs, newest first."""
    wanted = dict(call.query)
    if "event" in wanted:
        wanted["event"] = (await call.app.events_api.row(wanted["event"])).key
    return await call.app.runs_api.list(**wanted)


async def start_run(call: Call) -> Answer:
    """Start a run; durable when answered."""
    body: StartRun = call.body
    reference = f"{body.workflow}@{body.version}" if body.version else body.workflow
    found = await call.app.runs_api.start(
        reference,
        body.inputs,
        event=body.event,
        key=call.key,
        actor=actor(call),
        labels=body.labels,
        priority=body.priority,
    )
    return Answer(found, 201, {"Location": f"{call.base}/api/v1/runs/{found['id']}"})


async def get_run(call: Call) -> dict[str, Any]:
    """One run with its steps."""
    return await call.app.runs_api.get(call.params["id"])


async def history(call: Call) -> dict[str, Any]:
    """A run's journal in words."""
    return {"items": await call.app.runs_api.history(call.params["id"]), "next": None}


async def logs(call: Call) -> dict[str, Any]:
    """What a run's steps logged."""
    return {"items": await call.app.runs_api.logs(call.params["id"]), "next": None}


async def cancel(call: Call) -> dict[str, Any]:
    """Cancel a run."""
    body: CancelRun = call.body
    await call.app.runs_api.cancel(
        call.params["id"], reason=body.reason, actor=actor(call), force=body.force, key=call.key
    )
    return await get_run(call)


async def pause(call: Call) -> dict[str, Any]:
    """Let running steps finish and no new one start."""
    await call.app.runs_api.pause(call.params["id"], reason=call.body.reason, actor=actor(call), key=call.key)
    return await get_run(call)


async def resume(call: Call) -> dict[str, Any]:
    """Go on after a pause."""
    await call.app.runs_api.resume(call.params["id"], reason=call.body.reason, actor=actor(call), key=call.key)
    return await get_run(call)


async def retry(call: Call) -> dict[str, Any]:
    """The failed steps, or handlers, again."""
    body: RetryRun = call.body
    await call.app.runs_api.retry(
        call.params["id"], reason=body.reason, actor=actor(call), compensation=body.compensation, key=call.key
    )
    return await get_run(call)


async def rerun(call: Call) -> Answer:
    """A new run with the same workflow, version, inputs and event."""
    found = await call.app.runs_api.rerun(call.params["id"], actor=actor(call), key=call.key)
    return Answer(found, 202, {"Location": f"{call.base}/api/v1/runs/{found['id']}"})


async def approve(call: Call) -> dict[str, Any]:
    """Approve what a run waits for."""
    return await _answer(call, True)


async def reject(call: Call) -> dict[str, Any]:
    """Reject what a run waits for."""
    return await _answer(call, False)


async def _answer(call: Call, approved: bool) -> dict[str, Any]:
    body: Decision = call.body
    by = body.by if call.caller.name == "local" and body.by else call.caller.name
    await call.app.runs_api.answer(
        call.params["id"],
        call.params["step"],
        approve=approved,
        by=by,
        reason=body.reason,
        fields=body.fields,
        roles=None if call.caller.name == "local" else call.caller.roles,
        key=call.key,
    )
    return await get_run(call)


_FILTERS = (
    Param("workflow", "of this workflow"),
    Param("state", "in one of these states", "texts", among=STATES),
    Param("event", "that this event started"),
    Param("tag", "of workflows that have this tag, or all of several", "texts"),
    Param("label", "with this label, as key=value"),
    Param("priority", "of this priority: 0 to 9, or its name", among=(*"0123456789", *PRIORITIES)),
    Param("since", "created at or after this instant", "instant"),
    Param("until", "created before this instant", "instant"),
    Param("parent", "started by this run"),
    Param("correlation", "of this correlationid"),
)


def _signal(word: str, handler: Any, body: Any, summary: str) -> Endpoint:
    path = f"/runs/{{id}}/{word}"
    return Endpoint("POST", path, "operate", handler, summary, body=body, status=202, shape="Run", keyed=True)


ENDPOINTS = (
    Endpoint("GET", "/runs", "read", list_runs, "List runs, newest first", (*_FILTERS, *PAGE), shape="RunPage"),
    Endpoint(
        "POST",
        "/runs",
        "operate",
        start_run,
        "Start a run",
        body=StartRun,
        status=201,
        shape="Run",
        keyed=True,
    ),
    Endpoint("GET", "/runs/{id}", "read", get_run, "Show a run with its steps", shape="Run"),
    Endpoint("GET", "/runs/{id}/history", "read", history, "A run's journal in words", shape="Page"),
    Endpoint("GET", "/runs/{id}/logs", "read", logs, "What a run's steps logged", shape="Page"),
    _signal("cancel", cancel, CancelRun, "Cancel a run"),
    _signal("pause", pause, Reason, "Let running steps finish and no new one start"),
    _signal("resume", resume, Reason, "Go on after a pause"),
    _signal("retry", retry, RetryRun, "The failed steps, or handlers, again"),
    _signal("rerun", rerun, Reason, "A new run with the same workflow, version, inputs and event"),
    _signal("steps/{step:path}/approve", approve, Decision, "Approve what a run waits for"),
    _signal("steps/{step:path}/reject", reject, Decision, "Reject what a run waits for"),
)
