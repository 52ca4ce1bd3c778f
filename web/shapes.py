"""The shapes of the API's answers, as JSON Schemas: what the document at `/api/openapi.json` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_NAME: dict[str, Any] = {"type": "string", "minLength": 1}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
_NUMBER: dict[str, Any] = {"type": "number"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_FREE: dict[str, Any] = {"type": "object", "additionalProperties": True}
_FLAG: dict[str, Any] = {"type": "boolean"}
_AT: dict[str, Any] = {"type": ["string", "null"], "format": "date-time"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(shape: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [shape, {"type": "null"}]}


def _object(properties: Mapping[str, Any], *, optional: tuple[str, ...] = (), more: bool = True) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": more,
    }


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return _object({"items": {"type": "array", "items": item}, "next": _TEXT_OR_NULL}, more=False)


STATES = (
    "pending", "queued", "running", "waiting", "paused", "cancelling", "compensating", "completed", "failed",
    "timed_out", "cancelled", "compensated", "compensation_failed",
)  # fmt: skip
_ERROR = {
    "code": _TEXT,
    "message": _TEXT,
    "class": {"enum": ["retry", "fix", "park", "none"]},
    "step": _TEXT_OR_NULL,
    "attempt": {"type": ["integer", "null"]},
    "cause": _or_null(_ref("Error")),
    "place": _or_null(_FREE),
    "hint": _TEXT,
    "details": _FREE,
}
_EVENT = {
    "specversion": {"const": "1.0"},
    "id": _NAME,
    "source": _NAME,
    "type": _NAME,
    "subject": _TEXT,
    "time": _TEXT,
    "datacontenttype": _TEXT,
    "dataschema": _TEXT,
    "data": {},
    "data_base64": _TEXT,
}
_ABSENT = ("subject", "time", "datacontenttype", "dataschema", "data", "data_base64")

SHAPES: Mapping[str, dict[str, Any]] = {
    "Error": _object(_ERROR, optional=("step", "attempt", "cause", "place", "hint", "details")),
    "Problem": _object(
        {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT, **_ERROR},
    ),
    "CloudEvent": _object(_EVENT, optional=_ABSENT),
    "Event": _object(
        {"key": _TEXT, "trigger": _TEXT_OR_NULL, "accepted_at": _AT, **_EVENT, "meta": _FREE, "runs": _TEXTS},
        optional=(*_ABSENT, "runs"),
    ),
    "Taken": _object(
        {
            "id": _TEXT,
            "key": _TEXT,
            "verdict": {"enum": ["accepted", "duplicate", "unmatched", "dead"]},
            "ids": _TEXTS,
            "keys": _TEXTS,
            "verdicts": _TEXTS,
            "runs": _TEXTS,
            "error": _ref("Error"),
        },
        optional=("id", "key", "verdict", "ids", "keys", "verdicts", "error"),
        more=False,
    ),
    "Receipt": _object(
        {
            "verdict": {"enum": ["accepted", "duplicate", "unmatched", "dead"]},
            "event": _TEXT,
            "runs": _TEXTS,
            "error": _or_null(_ref("Error")),
            "held_back": _FLAG,
        }
    ),
    "Step": _object(
        {
            "name": _TEXT,
            "state": _TEXT,
            "attempts": _COUNT,
            "started_at": _AT,
            "ended_at": _AT,
            "output": {},
            "error": _or_null(_ref("Error")),
            "waiting": _or_null(_FREE),
        }
    ),
    "Run": _object(
        {
            "id": _TEXT,
            "workflow": _TEXT,
            "version": _TEXT,
            "state": {"enum": list(STATES)},
            "priority": {"type": "integer", "minimum": 0, "maximum": 9},
            "inputs": {},
            "outputs": {},
            "error": _or_null(_ref("Error")),
            "event": _or_null(_FREE),
            "cause": _TEXT_OR_NULL,
            "created_at": _AT,
            "started_at": _AT,
            "ended_at": _AT,
            "execution_ms": {"type": ["number", "null"]},
            "progress": _NUMBER,
            "labels": _FREE,
            "metadata": _FREE,
            "steps": {"type": "array", "items": _ref("Step")},
        },
        optional=("event", "steps"),
    ),
    "Workflow": _object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "description": _TEXT,
            "tags": _TEXTS,
            "triggers": _TEXTS,
            "enabled": _FLAG,
            "last_run": _or_null(_object({"state": _TEXT, "at": _AT})),
        }
    ),
    "Deployed": _object({"name": _TEXT, "version": _TEXT, "changed": _FLAG, "diagnostics": {"type": "array"}}),
    "Trigger": _object(
        {
            "name": _TEXT,
            "kind": _TEXT,
            "description": _TEXT,
            "state": {"enum": ["connecting", "connected", "down", "paused", "finished", "failed", "gap"]},
            "since": _AT,
            "guarantee": _TEXT_OR_NULL,
            "error": _or_null(_ref("Error")),
            "next_attempt_at": _AT,
            "read": _COUNT,
            "settled": _COUNT,
            "refused": _COUNT,
            "reconnects": _COUNT,
            "in_flight": _COUNT,
            "oldest_unsettled_s": _NUMBER,
            "held": _FLAG,
            "details": _FREE,
        }
    ),
    "Connection": _object(
        {"name": _TEXT, "kind": _TEXT, "set_by": _TEXT_OR_NULL, "answer": _TEXT}, optional=("answer",)
    ),
    "ConnectionPage": _page(_ref("Connection")),
    "Page": _page({}),
    "RunPage": _page(_ref("Run")),
    "EventPage": _page(_ref("Event")),
    "WorkflowPage": _page(_ref("Workflow")),
    "TriggerPage": _page(_ref("Trigger")),
}
"""Shapes by name."""
