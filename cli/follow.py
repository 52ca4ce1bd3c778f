"""A run's changes as they come: what `run --wait` and `watch` print."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from . import output
from .client import Client
from .failures import RUN_FAILED, Unreachable, tell_text
from .parsing import Given

SETTLES_S = 0.2  # what is shown but not told of is looked at this long after what was told

ENDED = frozenset(("completed", "failed", "timed_out", "cancelled", "compensated", "compensation_failed"))
_QUIET = frozenset(("pending",))


async def changes(client: Client, run: str) -> AsyncGenerator[dict[str, Any], None]:
    """Each change of the run's or a step's state; the last one is the run's end, with the whole run.

    The run is read when the stream tells of it, and again when it falls silent: that a run waits is shown, not told.
    """
    fresh, steps, state = asyncio.Event(), dict[str, tuple[str, int]](), ""
    listening = asyncio.ensure_future(_listen(client, run, fresh))
    limit_s: float | None = None
    try:
        while True:
            limit_s = SETTLES_S if await _news(fresh, listening, limit_s) else None
            try:
                found = await client.get("runs", run)
            except Unreachable:
                if client.app is not None or listening.done():
                    raise
                continue  # the server starts again: the stream says when
            if found["state"] != state and found["state"] not in ENDED:  # before its steps: it begins before they do
                state = found["state"]
                yield _run(found)
            for step in found["steps"]:
                now = (step["state"], max(1, step["attempts"]))  # a moment after it runs, its first attempt does
                if steps.get(step["name"], ("pending", 0)) != now and step["state"] not in _QUIET:
                    steps[step["name"]] = now
                    yield {"kind": "step", "run": found["id"], **step}
            if found["state"] in ENDED:
                yield _run(found)
                return
    finally:
        listening.cancel()
        await asyncio.wait((listening,))


def _run(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "run", "run": found["id"], "state": found["state"], "progress": found["progress"], "whole": found,
    }  # fmt: skip


async def _listen(client: Client, run: str, fresh: asyncio.Event) -> None:
    async with aclosing(client.stream(run=run)) as told:
        async for _ in told:
            fresh.set()


async def _news(fresh: asyncio.Event, listening: asyncio.Future[None], limit_s: float | None) -> bool:
    """Wait for something to read; was there anything? Raises what ended the listening."""
    news = asyncio.ensure_future(fresh.wait())
    await asyncio.wait((news, listening), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    news.cancel()
    if listening.done():
        listening.result()
    found = fresh.is_set()
    fresh.clear()
    return found


async def follow(client: Client, run: str, *, lines: bool) -> dict[str, Any]:
    """Print the changes until the run has ended; the run. `lines`: as JSON on stdout, else for people on stderr."""
    whole: dict[str, Any] = {}
    async for change in changes(client, run):
        whole = change.pop("whole", whole)
        if lines:
            output.line(change)
        elif change["kind"] == "step":
            output.note(_step(change))
        elif change["state"] not in ENDED:
            output.note(f"{change['run']}  {change['state']}" + _remedy(change["state"], run))
    return whole


def _step(change: dict[str, Any]) -> str:
    text = f"  {change['name']}  {change['state']}"
    if change["attempts"] > 1:
        text += f"  attempt {change['attempts']}"
    error = change.get("error")
    return text + (f"  {error['code']}: {error['message']}" if error else "")


def _remedy(state: str, run: str) -> str:
    if state == "paused":
        return f": `reactor resume {run}` lets it go on"
    return ": `reactor status` shows for what" if state == "waiting" else ""


def result(whole: dict[str, Any]) -> int:
    """The exit code of an ended run; one that did not complete is told on stderr, with step and reason."""
    if whole["state"] == "completed":
        return 0
    error: dict[str, Any] = whole["error"] or {}
    step = error.get("step") or error.get("failed_step")
    at = f" at step `{step}`" if step else ""
    print(
        tell_text(
            f"run {whole['id']} of {whole['workflow']} {whole['state'].replace('_', ' ')}{at}: "
            f"{error.get('message') or 'no reason is on record'}",
            where=f"code {error['code']}" if error.get("code") else "",
            hint=error.get("hint")
            or f"`reactor status {whole['id']}` shows its steps, `reactor retry` runs them again",
        ),
        file=sys.stderr,
    )
    return RUN_FAILED


async def watch(given: Given, client: Client) -> int:
    """Follow a run to its end: live lines on a terminal, JSON lines in a pipe, the whole run as YAML."""
    lines = given.output == "json" or (given.output == "table" and not sys.stdout.isatty())
    whole = await follow(client, given.word("run"), lines=lines)
    if given.output == "yaml":
        output.dump(whole, "yaml")
    elif not lines:
        print(f"{whole['id']}  {whole['state']}  {output.cell(output.took(whole['execution_ms']))}")
    return result(whole)
