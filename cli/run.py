"""`run`: start a run, and follow it to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..core.event import from_mapping
from ..core.ids import fresh_id
from ..language.export import dump_yaml
from ..language.values import is_mapping
from . import output, values
from .client import Client
from .failures import Usage
from .follow import follow, result
from .parsing import Given


async def run(given: Given, client: Client) -> int:
    """Start it; with `--detach` print its id alone, else follow it and end with its result."""
    if given.flag("wait") and given.flag("detach"):
        raise Usage("--wait and --detach exclude each other", hint="give one of them")
    name, version = given.word("name"), given.text("version")
    reference = f"{name}@{version}" if version else name
    shown = await client.get("workflows", reference)
    inputs = values.inputs(given.many("input"), shown["inputs"])
    labels = values.labels(given.many("label"))
    if given.text("event"):
        started = await _with_event(given, client, reference, shown["inputs"], inputs, labels)
    else:
        body = {"workflow": name, "version": version, "inputs": inputs, "labels": labels}
        started = await client.post("runs", body=body)
    if given.flag("detach"):
        print(started["id"])
        if client.app is not None:
            output.note("no server has this store: what is left of the run goes on with `reactor serve`")
        return 0
    try:
        whole = await follow(client, started["id"], lines=False)
    except asyncio.CancelledError:  # Ctrl-C
        output.note(
            f"the run goes on: `reactor watch {started['id']}` follows it, `reactor cancel {started['id']}` ends it"
        )
        raise
    _show(given, whole)
    return result(whole)


async def _with_event(
    given: Given,
    client: Client,
    reference: str,
    schema: dict[str, Any],
    inputs: dict[str, Any],
    labels: dict[str, str],
) -> dict[str, Any]:
    """A run that sees an event; inputs that are not given are the fields of its data, as without a `with`."""
    if client.app is None:
        raise Usage(
            "a server takes no event together with a run",
            hint="hand the event in with `reactor emit`, or stop the server",
        )
    written = values.mapping(given.text("event"), "--event")
    event = from_mapping({"specversion": "1.0", "id": fresh_id(), "source": "/reactor", **written})
    taken: Mapping[str, Any] = event.data if is_mapping(event.data) else {}
    fields = {name: taken[name] for name in schema.get("properties", {}) if name in taken}
    return await client.app.runs_api.start(
        reference, {**fields, **inputs}, event=event, labels=labels, actor="cli:local"
    )


def _show(given: Given, whole: dict[str, Any]) -> None:
    if given.output != "table":
        output.dump(whole, given.output)
        return
    took = whole["execution_ms"]
    print(f"{whole['id']}  {whole['state']}" + (f"  {took:g} ms" if took is not None else ""))
    if whole["outputs"]:
        print(dump_yaml(whole["outputs"]).rstrip())
