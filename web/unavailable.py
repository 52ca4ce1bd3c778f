"""Endpoints of the language that this version does not carry out: 501, with what there is in their place."""

from __future__ import annotations

from typing import Any, Literal

from ..core.http import Refused
from .endpoint import Call, Endpoint


def _refusing(method: Literal["GET", "POST"], path: str, instead: str) -> Endpoint:
    async def refuse(call: Call) -> Any:
        asked = f"{method} {call.scope['path']}"
        raise Refused(501, "unavailable", f"{asked} is not available in this version", hint=instead)

    return Endpoint(method, path, "read", refuse, "Not available in this version")


_DECLARE = "declare it in a workflow, `when: [{http: {path: /orders}}]`, and PUT that"
_HOLD = "start runs with a priority, and let `limits.concurrency` hold them"
UNAVAILABLE = (
    _refusing("GET", "/jobs", _HOLD),
    _refusing("POST", "/jobs", _HOLD),
    _refusing("GET", "/templates", "`reactor new workflow NAME` writes a file to begin with"),
    _refusing("GET", "/alerts", "watch /metrics, or let a workflow take `reactor.run.failed`"),
    _refusing("POST", "/triggers", _DECLARE),
    _refusing("POST", "/runs/{id}/migrate", "open runs end under their own version; a rerun starts one anew"),
)
