"""The API of events and dead letters: look, explain, replay, retry, drop."""

from __future__ import annotations

from typing import Any

import msgspec

from .endpoint import PAGE, Call, Endpoint, Param


async def list_events(call: Call) -> dict[str, Any]:
    """A page of events, newest first."""
    return await call.app.events_api.list(**call.query)


async def get_event(call: Call) -> dict[str, Any]:
    """One event, with the runs it started."""
    return await call.app.events_api.get(call.params["id"])


async def explain(call: Call) -> dict[str, Any]:
    """Why an event started a run, or did not: each binding's verdict."""
    workflow: str = call.query.get("workflow", "")
    found = await call.app.events_api.explain(call.params["id"], workflow=workflow)
    if workflow and not found["findings"]:
        call.app.engine.workflows.find(workflow)  # one that was removed has findings where it had rules
    return found


async def replay(call: Call) -> dict[str, Any]:
    """Route an event anew, under the rules of today; once for a key."""
    return msgspec.to_builtins(await call.app.events_api.replay(call.params["id"], key=call.key))


async def list_letters(call: Call) -> dict[str, Any]:
    """A page of dead letters, newest first."""
    return await call.app.events_api.letters(**call.query)


async def retry_letter(call: Call) -> dict[str, Any]:
    """The same delivery again."""
    return await call.app.events_api.retry(call.params["id"])


async def drop_letter(call: Call) -> dict[str, Any]:
    """Put a dead letter aside for good."""
    await call.app.events_api.drop(call.params["id"])
    return {"id": call.params["id"], "state": "dropped"}


ENDPOINTS = (
    Endpoint(
        "GET",
        "/events",
        "read",
        list_events,
        "List events, newest first, unmatched ones among them",
        (
            Param("type", "of this type"),
            Param("source", "of this source"),
            Param("since", "accepted at or after this instant", "instant"),
            *PAGE,
        ),
        shape="EventPage",
    ),
    Endpoint(
        "GET",
        "/events/{id:path}/explain",
        "read",
        explain,
        "For every binding: matched, or the first clause that says no",
        (Param("workflow", "only the bindings of this workflow"),),
    ),
    Endpoint(
        "POST",
        "/events/{id:path}/replay",
        "operate",
        replay,
        "Route an event anew, under the rules of today",
        status=202,
        shape="Receipt",
        keyed=True,
    ),
    Endpoint("GET", "/events/{id:path}", "read", get_event, "Show an event by its key or id", shape="Event"),
    Endpoint(
        "GET",
        "/dead-letters",
        "read",
        list_letters,
        "List dead letters, newest first",
        (Param("state", "open by default", among=("open", "retried", "dropped")), *PAGE),
        shape="Page",
    ),
    Endpoint("POST", "/dead-letters/{id}/retry", "operate", retry_letter, "The same delivery again", status=202),
    Endpoint("POST", "/dead-letters/{id}/drop", "operate", drop_letter, "Put a dead letter aside", status=202),
)
