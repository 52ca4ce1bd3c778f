"""`explain`: why an event started a run, or did not."""

from __future__ import annotations

from typing import Any

from . import output
from .client import Client
from .parsing import Given


async def explain(given: Given, client: Client) -> None:
    """Every binding's verdict."""
    found = await client.get("events", given.word("event"), "explain", workflow=given.word("workflow"))
    if given.output != "table":
        output.dump(found, given.output)
        return
    event: dict[str, Any] = found["event"]
    print(f"event {event['key']}  {event['type']}  from {event['source']}  at {output.moment(event['accepted_at'])}")
    if found["dead"]:
        print(f"dead letter: {found['dead']}")
    findings(found["findings"])
    if found["revision"] != found["revision_now"]:
        output.note(
            f"the rules have changed since: revision {found['revision']} took the event, "
            f"this is by revision {found['revision_now']}"
        )


def findings(found: list[dict[str, Any]]) -> None:
    """Findings, one a line: the binding, the verdict, the reason."""
    if not found:
        print("no workflow has an entry that could take it")
    for each in found:
        print(f"  {each['workflow']} {each['binding']}: {each['finding'].replace('_', ' ')}")
        if each["text"] != each["finding"]:
            print(f"      {output.cell(each['text'])}")
