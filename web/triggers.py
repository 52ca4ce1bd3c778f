"""The API of triggers: their state, pause, resume, a test against a sample; and what a schedule will do."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from ..core.durations import format_instant
from ..core.event import Event, Undecodable
from ..core.http import Refused
from ..core.ids import fresh_id
from ..language.definition import TriggerSpec
from ..language.diagnostics import did_you_mean
from ..router.explain import explain
from ..triggers.shape import Shaper
from ..triggers.starts import check_resumed
from ..triggers.supervisor import TriggerStatus
from ..triggers.timetable import AtConfig, CronConfig, EveryConfig
from .endpoint import Call, Endpoint, Param

PREVIEW_MAX = 1_000
_TYPES = {"http": "request", "file": "created", "cron": "fired", "every": "fired", "at": "fired"}


class ResumeTrigger(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to go on after a gap: `earliest`, `latest`, a mapping; null: from the stored position."""

    start: str | dict[str, Any] | None = None


class Sample(Struct, frozen=True, forbid_unknown_fields=True):
    """A message as the source might bring it; what is not given is as the trigger's kind makes it."""

    data: Any = None
    type: str = ""
    subject: str | None = None
    id: str = ""
    meta: dict[str, Any] = {}


def view(status: TriggerStatus, spec: TriggerSpec | None) -> dict[str, Any]:
    """A trigger as lists show it."""
    return {
        "name": status.name,
        "kind": status.kind,
        "description": spec.description if spec is not None else "",
        "state": status.state,
        "since": format_instant(status.since),
        "guarantee": status.guarantee or None,
        "error": msgspec.to_builtins(status.error) if status.error is not None else None,
        "next_attempt_at": format_instant(status.next_attempt_at) if status.next_attempt_at is not None else None,
        "read": status.read,
        "settled": status.settled,
        "refused": status.refused,
        "reconnects": status.reconnects,
        "in_flight": status.in_flight,
        "oldest_unsettled_s": round(status.oldest_unsettled_s, 3),
        "held": status.held,
        "details": dict(status.details),
    }


async def list_triggers(call: Call) -> dict[str, Any]:
    """Every trigger that is read here, by name."""
    specs = call.app.deploys.specs
    return {"items": [view(s, specs.get(s.name)) for s in call.app.supervisor.status()], "next": None}


async def show_trigger(call: Call) -> dict[str, Any]:
    """One trigger."""
    name = _read_here(call)
    return view(call.app.supervisor.readers[name].status(), call.app.deploys.specs.get(name))


async def pause_trigger(call: Call) -> dict[str, Any]:
    """Stop reading: events wait at the source."""
    return await _switched(call, call.app.supervisor.pause(_read_here(call), key=call.key))


async def resume_trigger(call: Call) -> dict[str, Any]:
    """Read on, after a pause, a failure or a gap."""
    supervisor, name, start = call.app.supervisor, _read_here(call), call.body.start
    check_resumed(name, supervisor.readers[name].spec.kind, start)
    return await _switched(call, supervisor.resume(name, start, key=call.key))


async def test_trigger(call: Call) -> dict[str, Any]:
    """Which workflows a sample would start; none is started."""
    app, body = call.app, call.body
    name = call.params["name"]
    spec = app.deploys.specs.get(name)
    if spec is None:
        raise _missing(name, app.deploys.specs)
    event = Event(
        type=body.type or f"reactor.{spec.kind}.{_TYPES.get(spec.kind, 'message')}",
        source=f"/{spec.kind}/{name}",
        id=body.id or fresh_id(),
        subject=body.subject,
        time=format_instant(app.clock.now()),
        datacontenttype="application/json",
        data=body.data,
        meta={**body.meta, "trigger": name},
    )
    shaped = Shaper(spec, clock=app.clock).event(event)
    if isinstance(shaped, Undecodable):
        return {"event": event.view(), "refused": msgspec.to_builtins(shaped.reason), "matches": [], "findings": []}
    findings = await explain(app.rules, shaped, app.arrivals.vars, runs={}, notes={}, dead={})
    matches = [f["workflow"] for f in findings if f["finding"] == "matched"]
    return {"event": shaped.view(), "refused": None, "matches": matches, "findings": findings}


async def _switched(call: Call, switching: Awaitable[None]) -> dict[str, Any]:
    try:
        await switching
    except KeyError:  # a reload that was under way has removed it
        raise _missing(call.params["name"], call.app.supervisor.readers) from None
    return await show_trigger(call)


def _read_here(call: Call) -> str:
    name = call.params["name"]
    if name not in call.app.supervisor.readers:
        raise _missing(name, call.app.supervisor.readers)
    return name


def _missing(name: str, known: Mapping[str, Any]) -> Refused:
    hint = did_you_mean(name, known) or "`reactor trigger list` lists them"
    return Refused(404, "not_found", f"there is no trigger `{name}`", hint=hint)


async def preview(call: Call) -> dict[str, Any]:
    """The next instants of a schedule: a cron expression, an interval, an instant."""
    text = call.query.get("spec", "")
    if not text:
        raise Refused(400, "invalid_request", "`spec` is missing", hint="such as ?spec=*/5 * * * *")
    kind, config = _schedule(text.strip())
    if kind != "at" and "timezone" in call.query:
        config["timezone"] = call.query["timezone"]
    count = min(call.query.get("count", 10), PREVIEW_MAX)
    at = call.query.get("from", call.app.clock.now())
    checked = cast("AtConfig | CronConfig | EveryConfig", call.app.kinds.config(kind, config))
    table, anchor, found = checked.plan().table, float(int(at)), list[str]()
    while len(found) < count and (due := table.after(at, anchor)) is not None:
        found.append(format_instant(due))
        at = due
    return {"items": found, "next": None}


def _schedule(text: str) -> tuple[str, dict[str, Any]]:
    if text.startswith("@") or " " in text:
        return "cron", {"schedule": text}
    if text[:4].isdigit() and "T" in text.upper():
        return "at", {"time": text}
    return "every", {"interval": text}


_NAMED = "/triggers/{name}"
ENDPOINTS = (
    Endpoint("GET", "/triggers", "read", list_triggers, "List triggers with their state", shape="TriggerPage"),
    Endpoint("GET", _NAMED, "read", show_trigger, "Show a trigger", shape="Trigger"),
    Endpoint("POST", f"{_NAMED}/pause", "operate", pause_trigger, "Stop reading; events wait at the source",
             status=202, shape="Trigger", keyed=True),
    Endpoint("POST", f"{_NAMED}/resume", "operate", resume_trigger, "Read on after a pause, a failure or a gap",
             body=ResumeTrigger, status=202, shape="Trigger", keyed=True),
    Endpoint("POST", f"{_NAMED}/test", "read", test_trigger, "Which workflows a sample would start; none is",
             body=Sample),
    Endpoint("GET", "/schedule/preview", "read", preview, "The next instants of a schedule",
             (Param("spec", "a cron expression, an interval such as 15s, or an instant", required=True),
              Param("timezone", "of a cron expression; UTC by default"),
              Param("from", "look from this instant on; now by default", "instant"),
              Param("count", "how many, 10 by default", "int", 1)), shape="Page"),
)  # fmt: skip
