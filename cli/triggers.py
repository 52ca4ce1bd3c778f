"""trigger list, test, pause, resume."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from ..core.clock import SYSTEM
from ..core.durations import format_instant
from ..core.errors import ReactorError
from ..plugins.installed import Plugins
from ..triggers.catalogue import UNAVAILABLE, Kinds
from . import output, values
from .client import Client
from .explanation import findings
from .failures import Unreachable, text_of
from .parsing import Given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..app import App

NEXT = 3  # fires that are shown ahead
SWITCH_S_MAX = 2.0  # until a resumed trigger says that it reads
MUST_ACT = ("gap", "failed")  # states that nobody but a person ends


async def list_(given: Given, client: Client) -> None:
    """The triggers; with `--kinds` the kinds there are."""
    if given.flag("kinds"):
        _kinds(given, client.app.kinds if client.app is not None else Kinds(Plugins().kinds))
        return
    items = [*unread(client.app)] if client.app is not None else (await client.get("triggers"))["items"]
    if given.output != "table":
        output.dump(items, given.output)
    elif items:
        output.table(
            ("name", "kind", "state", "guarantee", "read", "in flight", "details"),
            [
                (
                    each["name"],
                    each["kind"],
                    each["state"],
                    each["guarantee"],
                    each["read"],
                    each["in_flight"],
                    _details(each),
                )
                for each in items
            ],
        )
    else:
        output.note("there are no triggers that read a source")
    if client.app is not None and items:
        output.note("no server has this store: nothing reads these triggers now; `reactor serve` does")


def _details(each: dict[str, Any]) -> str:
    parts: list[str] = []
    if each["error"]:
        parts.append(f"{each['error']['code']}: {each['error']['message']}")
    if each["next_attempt_at"]:
        parts.append(f"next attempt {output.moment(each['next_attempt_at'])}")
    parts += [f"{name} {output.cell(value)}" for name, value in each["details"].items() if value]
    return "; ".join(parts)


def unread(app: App) -> Iterator[dict[str, Any]]:
    """The triggers of a store that no server has, in the form of those that are read."""
    for name, spec in sorted(app.deploys.specs.items()):
        if not app.kinds.reads(spec.kind):
            continue
        yield {
            "name": name,
            "kind": spec.kind,
            "description": spec.description,
            "state": "not read",
            "since": None,
            "guarantee": app.kinds.load(spec.kind)[1].traits.guarantee,
            "error": None,
            "next_attempt_at": None,
            "read": 0,
            "settled": 0,
            "refused": 0,
            "reconnects": 0,
            "in_flight": 0,
            "oldest_unsettled_s": 0.0,
            "held": False,
            "details": {"next": list(islice(_fires(app, spec.kind, spec.config), NEXT))},
        }


def _fires(app: App, kind: str, config: Any) -> Iterator[str]:
    """When a schedule fires, from now on."""
    if kind not in ("cron", "every", "at"):
        return
    made: Any = app.kinds.config(kind, config)
    table, anchor = made.plan().table, app.clock.now()
    at = table.after(anchor, anchor)
    while at is not None:
        yield format_instant(at)
        at = table.after(at, anchor)


def _kinds(given: Given, kinds: Kinds) -> None:
    rows = list[dict[str, Any]]()
    for name, kind in kinds.all.items():
        guarantee, state = None, "available"
        if kind.reads:
            try:
                guarantee = kinds.load(name)[1].traits.guarantee
            except ReactorError as error:
                state = f"cannot be used: {error}"
        rows.append({"kind": name, "state": state, "guarantee": guarantee, "connection": kind.connection or None})
    rows += [
        {"kind": name, "state": f"unavailable: {instead}", "guarantee": None, "connection": None}
        for name, instead in UNAVAILABLE.items()
    ]
    if given.output != "table":
        output.dump(rows, given.output)
    else:
        output.table(("kind", "state", "guarantee", "connection"), [tuple(row.values()) for row in rows])


async def test(given: Given, client: Client) -> None:
    """What a sample would start."""
    body: dict[str, Any] = {"type": given.text("type")}
    if given.text("data"):
        body["data"] = values.data(given.text("data"), "--data")
    if given.text("subject"):
        body["subject"] = given.text("subject")
    found = await client.post("triggers", given.word("trigger"), "test", body=body)
    if given.output != "table":
        output.dump(found, given.output)
    elif found["refused"]:
        print(f"it would be a dead letter: {found['refused']['message']}")
    else:
        print("it would start: " + (", ".join(found["matches"]) or "nothing"))
        findings(found["findings"])


async def pause(given: Given, client: Client) -> None:
    """Stop reading."""
    await _switch(given, client, "pause", {})


async def resume(given: Given, client: Client) -> None:
    """Read on."""
    start = given.text("start")
    await _switch(given, client, "resume", {"start": values.loosely(start)} if start else {})


async def _switch(given: Given, client: Client, word: str, body: dict[str, Any]) -> None:
    name = given.word("trigger")
    if client.app is not None:
        raise Unreachable(
            f"no server reads the triggers of {client.app.project.root}", hint="start one with `reactor serve`"
        )
    found = await client.post("triggers", name, word, body=body)
    until = SYSTEM.monotonic() + SWITCH_S_MAX
    while word == "resume" and found["state"] == "connecting" and SYSTEM.monotonic() < until:
        await SYSTEM.sleep(0.02)
        found = await client.get("triggers", name)
    if given.output != "table":
        output.dump(found, given.output)
    else:
        print(f"{name}  {found['state']}", flush=True)
    error = found["error"]
    if word == "resume" and error:
        wrong = ReactorError(error["message"], code=error["code"], hint=error["hint"])
        if found["state"] in MUST_ACT:
            raise wrong
        output.note(text_of(wrong))
    if word == "pause" and found["guarantee"] == "at_most_once":
        output.note(f"a source of kind {found['kind']} keeps nothing: what comes during the pause is lost")
