"""A run's changes as they come: what `run --wait` and `watch` print."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

from ..core.clock import SYSTEM
from . import output
from .client import Client
from .failures import RUN_FAILED, tell_text
from .parsing import Given

FIRST_S, LONGEST_S = 0.01, 0.25  # between two looks: soon at first, then four a second

ENDED = frozenset(("completed", "failed", "timed_out", "cancelled", "compensated", "compensation_failed"))
_QUIET = frozenset(("pending",))


async def changes(client: Client, run: str) -> AsyncIterator[dict[str, Any]]:
    """Each change of the run's or a step's state; the last one is the run's end, with the whole run."""
    steps: dict[str, tuple[str, int]] = {}
    state, wait = "", FIRST_S
    while True:
        found = await client.get("runs", run)
        moved = False
        for step in found["steps"]:
            now = (step["state"], step["attempts"])
            if steps.get(step["name"], ("pending", 0)) != now and step["state"] not in _QUIET:
                steps[step["name"]], moved = now, True
                yield {"kind": "step", "run": found["id"], **step}
        if found["state"] != state:
            state, moved = found["state"], True
            yield {"kind": "run", "run": found["id"], "state": state, "progress": found["progress"], "whole": found}
        if state in ENDED:
            return
        wait = FIRST_S if moved else min(LONGEST_S, wait * 1.5)
        await SYSTEM.sleep(wait)


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
    """Follow a run to its end: live lines on a terminal, JSON lines in a pipe."""
    lines = given.output == "json" or (given.output == "table" and not sys.stdout.isatty())
    whole = await follow(client, given.word("run"), lines=lines)
    if not lines:
        print(f"{whole['id']}  {whole['state']}  {output.cell(whole['execution_ms'])} ms")
    return result(whole)
