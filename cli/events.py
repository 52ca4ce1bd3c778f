"""emit, events, replay, and dead letters."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import Any

from ..core.ids import fresh_id
from . import output, values
from .client import Client
from .failures import USAGE, Unreachable, Usage, tell_text
from .live import EVENT, OPEN, RESET
from .parsing import Given

_KEPT = (
    "`reactor dead-letters list` shows it; `reactor dead-letters retry` takes it again, once what is wrong is mended"
)


async def emit(given: Given, client: Client) -> int:
    """Hand in an event; its key, and the runs it started."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": given.text("id") or fresh_id(),
        "source": given.text("source") or "/reactor",
        "type": given.word("type"),
    }
    if given.text("subject"):
        event["subject"] = given.text("subject")
    if given.text("data"):
        event |= {"datacontenttype": "application/json", "data": values.data(given.text("data"), "--data")}
    return _receipt(given, client, await client.emit(event))


async def replay(given: Given, client: Client) -> int:
    """Route an event anew."""
    receipt = await client.post("events", given.word("event"), "replay")
    found = {"key": receipt["event"], "verdict": receipt["verdict"], "runs": receipt["runs"]}
    return _receipt(given, client, found | ({"error": receipt["error"]} if receipt["error"] else {}))


def _receipt(given: Given, client: Client, found: dict[str, Any]) -> int:
    """What became of an event; a dead letter is a fault of the input, although it is kept."""
    if given.output != "table":
        output.dump(found, given.output)
    else:
        print("  ".join([found["key"] or "-", found["verdict"], *found["runs"]]))
    error: dict[str, Any] = found.get("error") or {}
    if error and found["verdict"] in (
        "dead",
        "duplicate",
    ):  # who sends it again has perhaps not heard of the first time
        what = f"the event {found['key']} is a dead letter: {error['message']}"
        print(tell_text(what, where=f"code {error['code']}", hint=_KEPT), file=sys.stderr)
        return USAGE
    if not found["runs"]:
        told = "what became of it" if found["verdict"] == "accepted" else "why"  # accepted: for a run that waited
        output.note(f"it started no run: `reactor explain {found['key'] or found.get('id')}` says {told}")
    elif client.app is not None:
        output.note(f"{client.unserved()}: what is left of the runs goes on with `reactor serve`")
    return 0


async def events(given: Given, client: Client) -> None:
    """A page of events, or with `--follow` all that come."""
    query: dict[str, Any] = {
        "type": given.text("type"),
        "source": given.text("source"),
        "since": values.instant(given.text("since")),
        "limit": given.text("limit"),
    }
    if given.flag("follow"):
        await _follow(given, client, query)
        return
    page = await client.get("events", cursor=given.text("cursor"), **query)
    if given.output != "table":
        output.dump(page["items"], given.output)
    elif page["items"]:
        output.table(("key", "accepted", "type", "source", "id", "trigger"), [_row(each) for each in page["items"]])
    else:
        output.note("there are no such events")
    if page["next"]:
        output.note(f"there are more: --cursor {page['next']}")


async def _follow(given: Given, client: Client, query: dict[str, Any]) -> None:
    """Print what comes, one a line; with `--since` first what came since then."""
    if client.app is not None:
        raise Unreachable("no server has this store: nothing can come", hint="start one with `reactor serve`")
    if given.text("cursor") or given.text("limit"):
        raise Usage("--follow has no pages: it takes no --cursor and no --limit", hint="leave them out")
    seen = set[str]()
    async with aclosing(client.stream(type=query["type"])) as stream:
        async for told in stream:
            if told.kind == OPEN and not seen:
                if query["since"]:
                    page = await client.get("events", **query)
                    for event in reversed(page["items"]):
                        seen.add(event["key"])
                        _come(given, event)
                output.note("waiting for events; Ctrl-C ends it")
            elif told.kind == RESET:
                output.note("some events were missed here; `reactor events` lists them")
            elif (
                told.kind == EVENT
                and (event := _told(told.event, query["type"]))
                and event["key"] not in seen
                and query["source"] in ("", event["source"])
            ):
                _come(given, event)


def _told(event: dict[str, Any], type: str) -> dict[str, Any] | None:
    """An event of the stream in the form of lists; None for one of runs and steps that nobody asked for."""
    meta: dict[str, Any] = event.get("meta", {})
    if "key" not in meta and not type.startswith("reactor."):
        return None
    about = {name: meta.pop(name, None) for name in ("key", "trigger", "accepted_at", "verdict")}
    return {**{name: about[name] for name in ("key", "trigger", "accepted_at")}, **event}


def _come(given: Given, event: dict[str, Any]) -> None:
    if given.output == "json" or not sys.stdout.isatty():
        output.line(event)
    else:
        print("  ".join(output.cell(value) for value in _row(event)), flush=True)


def _row(event: dict[str, Any]) -> tuple[Any, ...]:
    return (
        event["key"],
        output.moment(event["accepted_at"]),
        event["type"],
        event["source"],
        event["id"],
        event["trigger"],
    )


async def letters(given: Given, client: Client) -> None:
    """A page of dead letters."""
    page = await client.get(
        "dead-letters", state=given.text("state"), cursor=given.text("cursor"), limit=given.text("limit")
    )
    if given.output != "table":
        output.dump(page["items"], given.output)
    elif page["items"]:
        output.table(
            ("id", "at", "trigger", "workflow", "event", "reason"),
            [
                (
                    each["id"],
                    output.moment(each["at"]),
                    each["trigger"],
                    each["workflow"],
                    each["event"],
                    each["error"]["message"],
                )
                for each in page["items"]
            ],
        )
    else:
        output.note("there are no such dead letters")
    if page["next"]:
        output.note(f"there are more: --cursor {page['next']}")


async def retry_letter(given: Given, client: Client) -> None:
    """Take one again."""
    _letter(given, await client.post("dead-letters", given.word("letter"), "retry"))


async def drop_letter(given: Given, client: Client) -> None:
    """Put one aside."""
    _letter(given, await client.post("dead-letters", given.word("letter"), "drop"))


def _letter(given: Given, found: dict[str, Any]) -> None:
    if given.output != "table":
        output.dump(found, given.output)
    else:
        print("  ".join([found["id"], found["state"], *found.get("runs", ())]))
