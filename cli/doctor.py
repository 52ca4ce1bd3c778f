"""`doctor`: what is in force and who set it, versions, extras, the store; secrets by name alone."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from importlib import metadata
from typing import Any

from .. import __version__
from ..core.durations import format_duration
from ..core.errors import ReactorError
from ..language.values import is_list
from . import output
from .parsing import Given
from .place import Place, find

DISTRIBUTION = "reactor-triggers"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_NOT_OURS = ("all", "dev")


def doctor(given: Given) -> None:
    """Look, and print."""
    place = find(given.project, os.environ)
    app = place.app(listen=False)
    for name in app.secrets:
        with contextlib.suppress(ReactorError):
            app.secrets.get(name)  # its value is masked from here on
    settings = [
        {"key": key, "value": app.secrets.mask_value(_plain(key, value)), "origin": origin.kind, "where": origin.where}
        for key, value, origin in app.project.settings()
    ]
    found: dict[str, Any] = {
        "reactor": __version__,
        "python": platform.python_version(),
        "project": {"folder": app.project.root, "file": app.project.file or None},
        "store": _store(place, app.secrets.mask(str(next(s["value"] for s in settings if s["key"] == "store")))),
        "settings": settings,
        "secrets": sorted(app.secrets),
        "extras": extras(),
        "libraries": libraries(),
    }
    if given.output != "table":
        output.dump(found, given.output)
        return
    output.pairs(
        {"reactor": found["reactor"], "python": found["python"], **found["project"], **_labelled(found["store"])}
    )
    print()
    output.table(
        ("setting", "value", "set by"),
        [(s["key"], s["value"], " ".join(filter(None, (s["origin"], s["where"])))) for s in settings],
    )
    print()
    output.table(
        ("extra", "installed", "missing"),
        [(each["extra"], each["installed"], ", ".join(each["missing"])) for each in found["extras"]],
    )
    print()
    output.table(("library", "version"), list(found["libraries"].items()))
    print()
    output.pairs({"secrets": ", ".join(found["secrets"]) or "none"})


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, float) and key.startswith(("retention.", "server.")):
        return format_duration(value)
    return [*value] if is_list(value) else value


def _store(place: Place, shown: str) -> dict[str, Any]:
    holder = place.holder()
    path = place.database
    return {
        "store": shown,
        "store_file": None if path is None else str(path) if path.exists() else f"{path} (not made yet)",
        "store_in_use_by": None
        if holder is None
        else f"process {holder.pid}" + (f" at {holder.address}" if holder.address else ""),
    }


def _labelled(values: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", " "): value for key, value in values.items()}


def extras() -> list[dict[str, Any]]:
    """Each extra with the libraries of it that are missing."""
    needs: dict[str, list[str]] = {}
    for requirement in metadata.requires(DISTRIBUTION) or ():
        library = _NAME.match(requirement)
        for extra in _EXTRA.findall(requirement):
            if library is not None and extra not in _NOT_OURS:
                needs.setdefault(extra, []).append(library[0])
    found: list[dict[str, Any]] = []
    for extra, names in sorted(needs.items()):
        missing = [name for name in names if not version_of(name)]
        found.append({"extra": extra, "installed": not missing, "missing": missing})
    return found


def libraries() -> dict[str, str]:
    """The installed libraries that Reactor needs or can use, with their versions."""
    names = {hit[0] for each in metadata.requires(DISTRIBUTION) or () if (hit := _NAME.match(each)) and _ours(each)}
    return {name: version for name in sorted(names, key=str.lower) if (version := version_of(name))}


def _ours(requirement: str) -> bool:
    found = _EXTRA.findall(requirement)
    return not found or any(extra not in _NOT_OURS for extra in found)


def version_of(library: str) -> str:
    """An installed library's version; empty if it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""
