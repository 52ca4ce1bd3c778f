"""`run`: start a run, and follow it to its end."""

from __future__ import annotations

import asyncio
from typing import Any

from ..language.export import dump_yaml
from . import output, values
from .client import Client
from .failures import Usage
from .follow import follow, result
from .parsing import Given


async def run(given: Given, client: Client) -> int:
    """Start it, and follow it to end with its result; with `--detach` print what was accepted: as a table its id."""
    if given.flag("wait") and given.flag("detach"):
        raise Usage("--wait and --detach cannot be given together", hint="give one of them")
    name, version = given.word("name"), given.text("version")
    reference = f"{name}@{version}" if version else name
    shown = await client.get("workflows", reference)
    inputs = values.inputs(given.many("input"), shown["inputs"])
    labels = values.labels(given.many("label"))
    body: dict[str, Any] = {"workflow": name, "version": version, "inputs": inputs, "labels": labels}
    if given.text("event"):
        body["event"] = values.mapping(given.text("event"), "--event")
    started = await client.post("runs", body=body)
    if given.flag("detach"):
        if given.output == "table":
            print(started["id"])
        else:
            output.dump(started, given.output)
        if client.app is not None:
            output.note(f"{client.unserved()}: what is left of the run goes on with `reactor serve`")
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


def _show(given: Given, whole: dict[str, Any]) -> None:
    if given.output != "table":
        output.dump(whole, given.output)
        return
    print("  ".join([whole["id"], whole["state"], *filter(None, [output.took(whole["execution_ms"])])]))
    if whole["outputs"]:
        print(dump_yaml(whole["outputs"]).rstrip())
