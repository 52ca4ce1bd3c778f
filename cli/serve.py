"""`serve`: the project's triggers, workflows and HTTP API, until a signal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .. import __version__
from ..core.errors import ReactorError
from .parsing import Given
from .place import find

if TYPE_CHECKING:
    from ..language.loader import LoadResult
    from .serving import Serving


def serve(given: Given) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    role = given.text("role")
    if role not in ("", "all"):
        raise ReactorError(
            f"the role `{role}` is not available in this version",
            code="unavailable",
            hint="leave --role out: every process does all",
        )
    app = find(given.project, os.environ).served()
    from .serving import serve as run  # it takes a while: the process that writes starts meanwhile

    return run(app, hello)


def hello(serving: Serving, result: LoadResult) -> None:
    """Where it listens, what is in force, what to do next."""
    app, failed = serving.app, len(result.failed)
    workflows = len(app.engine.workflows.names())
    in_force = f"{workflows} in force" + (f", {failed} file{'s' if failed > 1 else ''} with errors" if failed else "")
    print(f"Reactor {__version__} listens on {serving.url}")
    print(f"  workflows  {in_force}")
    print(f"  triggers   {len(app.supervisor.readers)}")
    print("  next       reactor list · reactor run NAME · reactor emit TYPE · reactor runs")
    print("ready", flush=True)
