"""The API of connections: what the project is connected to, and does the other side answer? No credential leaves."""

from __future__ import annotations

from typing import Any

from ..core.errors import ReactorError
from ..core.http import Refused
from ..language.diagnostics import did_you_mean
from .endpoint import Call, Endpoint


def view(call: Call, name: str) -> dict[str, Any]:
    """A connection as lists show it: `set_by` is the file or variable that it comes from."""
    project = call.app.project
    origin = project.origin(f"connections.{name}")
    return {"name": name, "kind": project.connections[name].kind, "set_by": origin.where or None}


async def list_connections(call: Call) -> dict[str, Any]:
    """Every connection, by name."""
    return {"items": [view(call, name) for name in sorted(call.app.project.connections)], "next": None}


async def show_connection(call: Call) -> dict[str, Any]:
    """One connection."""
    return view(call, _known(call))


async def test_connection(call: Call) -> dict[str, Any]:
    """Ask the other side who it is. Raises Refused 502 with what the connection says."""
    name = _known(call)
    try:
        answer = await call.app.connections.test(name)
    except ReactorError as error:  # its `unauthorized` is not ours
        said = call.app.secrets.mask(str(error))
        raise Refused(502, error.code, said, hint=error.hint, details={"connection": name}) from None
    return {**view(call, name), "answer": call.app.secrets.mask(answer)}


def _known(call: Call) -> str:
    name, there = call.params["name"], call.app.project.connections
    if name not in there:
        hint = did_you_mean(name, there) or "declare it under `connections:` in reactor.yaml"
        raise Refused(404, "not_found", f"there is no connection `{name}`", hint=hint)
    return name


_NAMED = "/connections/{name}"
ENDPOINTS = (
    Endpoint("GET", "/connections", "read", list_connections, "List the project's connections", shape="ConnectionPage"),
    Endpoint("GET", _NAMED, "read", show_connection, "Show a connection", shape="Connection"),
    Endpoint("POST", f"{_NAMED}/test", "operate", test_connection, "Ask the other side of a connection",
             shape="Connection"),
)  # fmt: skip
