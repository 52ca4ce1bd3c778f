"""`schedule preview`: when a schedule fires."""

from __future__ import annotations

import asyncio
import os

from . import output
from .client import Client
from .in_process import InProcess
from .parsing import Given
from .place import find


def preview(given: Given) -> None:
    """The next instants, one a line."""
    app = find(given.project, os.environ).app(listen=False)
    client = Client(InProcess(app))  # never opened: a schedule is plain arithmetic
    found = asyncio.run(
        client.get(
            "schedule",
            "preview",
            spec=given.word("spec"),
            timezone=given.text("timezone") or app.project.server.timezone,
            from_=given.text("from"),
            count=given.text("count"),
        )
    )
    if given.output != "table":
        output.dump(found["items"], given.output)
    else:
        for instant in found["items"]:
            print(instant)
        if not found["items"]:
            output.note("it does not fire any more: look from an earlier instant with --from")
