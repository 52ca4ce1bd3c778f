"""`demo`: hands over to the demonstration that ships with Reactor."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from ..core.errors import ReactorError
from .parsing import Given


def demo(given: Given) -> int:
    """Start it."""
    package = __package__ or ""
    if find_spec(".demo", package) is None:
        raise ReactorError(
            "`reactor demo` is not available in this version",
            code="unavailable",
            hint="`reactor new project DIR` makes a project with a first workflow, `reactor dev` runs it",
        )
    return int(import_module(".demo", package).demo(given) or 0)
