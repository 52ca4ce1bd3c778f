"""cancel, pause, resume, retry, rerun, approve, reject: what people do to runs."""

from __future__ import annotations

import getpass
from typing import Any

from ..core.errors import ReactorError
from . import output
from .client import Client
from .follow import ENDED, changes
from .parsing import Given


async def cancel(given: Given, client: Client) -> None:
    """Cancel it; returns when it has ended, compensation included."""
    run = given.word("run")
    found = await client.get("runs", run)
    if found["state"] in ENDED:
        raise ReactorError(
            f"the run {found['id']} has ended: it is {found['state'].replace('_', ' ')}",
            code="conflict",
            hint="only open runs can be cancelled",
        )
    await client.post("runs", run, "cancel", body={"reason": given.text("reason"), "force": given.flag("force")})
    whole: dict[str, Any] = {}
    async for change in changes(client, run):
        whole = change.get("whole", whole)
    _show(given, whole)


async def pause(given: Given, client: Client) -> None:
    """Running steps finish, no new one starts."""
    await _signal(given, client, "pause")


async def resume(given: Given, client: Client) -> None:
    """Go on."""
    await _signal(given, client, "resume")


async def retry(given: Given, client: Client) -> None:
    """The failed steps, or handlers, again."""
    await _signal(given, client, "retry", compensation=given.flag("compensation"))


async def _signal(given: Given, client: Client, word: str, **more: Any) -> None:
    _show(given, await client.post("runs", given.word("run"), word, body={"reason": given.text("reason"), **more}))
    _unserved(client)


async def rerun(given: Given, client: Client) -> None:
    """A new run; its id."""
    found = await client.post("runs", given.word("run"), "rerun", body={"reason": given.text("reason")})
    if given.output != "table":
        output.dump(found, given.output)
    else:
        print(found["id"])
    _unserved(client)


async def approve(given: Given, client: Client) -> None:
    """Say yes."""
    await _decide(given, client, "approve")


async def reject(given: Given, client: Client) -> None:
    """Say no."""
    await _decide(given, client, "reject")


async def _decide(given: Given, client: Client, word: str) -> None:
    body = {"by": getpass.getuser(), "reason": given.text("reason")}
    _show(given, await client.post("runs", given.word("run"), "steps", given.word("step"), word, body=body))
    _unserved(client)


def _show(given: Given, run: dict[str, Any]) -> None:
    if given.output != "table":
        output.dump(run, given.output)
    else:
        print(f"{run['id']}  {run['state']}")


def _unserved(client: Client) -> None:
    if client.app is not None:
        output.note(f"{client.unserved()}: what is left to do goes on with `reactor serve`")
