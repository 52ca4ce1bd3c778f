"""connection list and test, secret list: what the project is connected to."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from ..core.errors import PermanentError
from ..language.diagnostics import did_you_mean
from . import output
from .parsing import Given
from .place import find

if TYPE_CHECKING:
    from ..app import App


def list_(given: Given) -> None:
    """Names, kinds, and who set them."""
    app = find(given.project, os.environ).app(listen=False)
    rows = [
        {"name": name, "kind": each.kind, "set_by": app.project.origin(f"connections.{name}").where or None}
        for name, each in sorted(app.project.connections.items())
    ]
    if given.output != "table":
        output.dump(rows, given.output)
    elif rows:
        output.table(("name", "kind", "set by"), [tuple(row.values()) for row in rows])
    else:
        output.note("the project has no connections; declare them under `connections:` in reactor.yaml")


def test(given: Given) -> None:
    """Ask the other side who it is. Raises what the connection raises."""
    app, name = find(given.project, os.environ).app(listen=False), given.word("connection")
    if name not in app.project.connections:
        raise PermanentError(
            f"there is no connection `{name}`",
            code="not_found",
            hint=did_you_mean(name, app.project.connections) or "declare it under `connections:` in reactor.yaml",
        )
    said = app.secrets.mask(asyncio.run(_test(app, name)))
    if given.output != "table":
        output.dump({"name": name, "kind": app.project.connections[name].kind, "answer": said}, given.output)
    else:
        print(f"{name}  {said}")


async def _test(app: App, name: str) -> str:
    try:
        return await app.connections.test(name)
    finally:
        await app.connections.close()


def secrets(given: Given) -> None:
    """The names, never a value."""
    names = sorted(find(given.project, os.environ).app(listen=False).secrets)
    if given.output != "table":
        output.dump(names, given.output)
        return
    for name in names:
        print(name)
    if not names:
        output.note("there are no secrets; set REACTOR_SECRET_<NAME>, or name a file in `secrets.from`")
