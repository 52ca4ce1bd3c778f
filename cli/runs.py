"""status, runs, logs: looking at runs."""

from __future__ import annotations

from typing import Any

from ..language.export import dump_yaml
from . import output
from .client import Client
from .parsing import Given
from .values import instant


async def status(given: Given, client: Client) -> None:
    """One run with its steps."""
    found = await client.get("runs", given.word("run"))
    if given.output != "table":
        output.dump(found, given.output)
        return
    event: dict[str, Any] = found["event"] or {}
    error: dict[str, Any] = found["error"] or {}
    output.pairs(
        {
            "run": found["id"],
            "workflow": f"{found['workflow']} {found['version']}",
            "state": found["state"],
            "progress": output.percent(found["progress"]),
            "created": output.moment(found["created_at"]),
            "started": output.moment(found["started_at"]),
            "ended": output.moment(found["ended_at"]),
            "took": output.took(found["execution_ms"]),
            "event": " ".join(str(event[key]) for key in ("key", "type", "source") if event.get(key)),
            "parent": found["parent"],
            "labels": ", ".join(f"{name}={value}" for name, value in found["labels"].items()),
            "error": f"{error.get('code')}: {error.get('message')}" if error else None,
            "at": _place(error),
        }
    )
    if found["steps"]:
        print()
        output.table(
            ("step", "state", "attempts", "took", "error"),
            [
                (s["name"], s["state"], s["attempts"], took(s), s["error"]["message"] if s["error"] else None)
                for s in found["steps"]
            ],
        )
    if found["state"] == "queued":
        print(f"\nwaits\n  for a place under the `limits` of {found['workflow']}, or for its turn")
        print(f"    reactor runs --workflow {found['workflow']} --state running")
    if waits := [step for step in found["steps"] if step.get("waiting")]:
        print("\nwaits")
        for step in waits:
            print(f"  {output.cell(step['name'])}  {_waits_for(found['id'], step['name'], step['waiting'])}")
    if found["outputs"]:
        print("\noutputs")
        print("\n".join("  " + line for line in dump_yaml(found["outputs"]).rstrip().split("\n")))


def _place(error: dict[str, Any]) -> str | None:
    place: dict[str, Any] | None = error.get("place")
    if not place or not place.get("file"):
        return None
    return f"{output.relative(place['file'])}:{place['line']}:{place['column']} ({place['path']})"


def _waits_for(run: str, step: str, waiting: dict[str, Any]) -> str:
    """For what a step waits, until when, and what ends it."""
    kind, until = waiting["for"], f" until {output.moment(waiting['until'])}" if waiting["until"] else ""
    if kind == "answer":
        return f"for an answer{until}: {output.cell(waiting['message'])}\n    reactor approve {run} {step}"
    if kind == "event":
        key = f" with {output.cell(waiting['key'])}" if waiting["key"] else ""
        return f"for an event {output.cell(waiting['type'])}{key}{until}"
    return f"for the run {waiting['run']}{until}" if kind == "run" else until.strip()


def took(step: dict[str, Any]) -> str | None:
    """How long a step took."""
    from ..core.clock import elapsed_s
    from ..core.durations import parse_instant

    if not step["started_at"] or not step["ended_at"]:
        return None
    return output.took(elapsed_s(parse_instant(step["started_at"]), parse_instant(step["ended_at"])) * 1000)


async def runs(given: Given, client: Client) -> None:
    """A page of runs."""
    page = await client.get(
        "runs",
        workflow=given.text("workflow"),
        state=given.many("state"),
        tag=given.many("tag"),
        label=given.text("label"),
        since=instant(given.text("since")),
        cursor=given.text("cursor"),
        limit=given.text("limit"),
    )
    if given.output != "table":
        output.dump(page["items"], given.output)
    elif page["items"]:
        output.table(
            ("run", "workflow", "state", "progress", "created", "took"),
            [
                (
                    run["id"],
                    f"{run['workflow']} {run['version']}",
                    run["state"],
                    output.percent(run["progress"]),
                    output.moment(run["created_at"]),
                    output.took(run["execution_ms"]),
                )
                for run in page["items"]
            ],
        )
    else:
        output.note("there are no such runs")
    if page["next"]:
        output.note(f"there are more: --cursor {page['next']}")


async def logs(given: Given, client: Client) -> None:
    """The lines that steps logged."""
    found = (await client.get("runs", given.word("run"), "logs"))["items"]
    if given.output != "table":
        output.dump(found, given.output)
        return
    for line in found:
        logged: dict[str, Any] = line["fields"] or {}
        fields = " ".join(f"{name}={output.cell(value)}" for name, value in logged.items())
        print(f"{line['at']} {line['level']:<7} {line['step']}: {line['message']}" + (f" {fields}" if fields else ""))
    if not found:
        output.note("its steps logged nothing")
