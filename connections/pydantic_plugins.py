"""Plugins of Pydantic, such as Logfire's: where Pydantic cannot look them up or use them, it goes without.

Pydantic reads the entry points of every installed package when the first model is made. One package whose
`entry_points.txt` is torn, as an installation that was broken off leaves it, would stop Reactor with an error that
names nobody.
"""

from __future__ import annotations

import logging
import os
from importlib import metadata

from pydantic import TypeAdapter

SWITCH = "PYDANTIC_DISABLE_PLUGINS"
"""Pydantic's own: what it names is left alone. The processes that we start inherit it."""

_log = logging.getLogger("reactor.connections")


def go_without_broken_plugins() -> None:
    """Make a first schema; if its plugins keep Pydantic from it, switch them off and say so once."""
    try:
        TypeAdapter(int)
    except Exception as error:  # noqa: BLE001  # whatever a foreign package raises: it must stop nobody
        os.environ[SWITCH] = "__all__"
        said = f"{type(error).__name__}: {error}"
        _log.warning("Pydantic's plugins are left out: %s", " and ".join(_unreadable()) or said)


def _unreadable() -> list[str]:
    """The installed packages whose entry points cannot be read, in words."""
    found: list[str] = []
    for distribution in metadata.distributions():
        try:
            _ = distribution.entry_points
        except Exception:  # noqa: BLE001  # whatever the library says of a torn file
            where = getattr(distribution, "_path", "of an installed package")
            found.append(f"{where}/entry_points.txt cannot be read; correct or uninstall that package")
    return found
