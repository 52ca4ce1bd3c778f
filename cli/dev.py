"""`dev`: the project, or one file, served and read again whenever something changes."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..language.loader import LoadResult
from .failures import Usage, text_of
from .output import note, relative
from .parsing import Given
from .place import find
from .serve import hello
from .serving import Serving, serve

if TYPE_CHECKING:
    from ..app import App

SUFFIXES = (".yaml", ".yml", ".json", ".py")
WAKE_MS = 1_000


def dev(given: Given) -> int:
    """Serve and watch until Ctrl-C."""
    root, file = given.project, given.word("file")
    if file:
        path = Path(file).absolute()
        if not path.is_file():
            raise Usage(f"there is no file {file}", hint="name a workflow file, or none for the whole project")
        root = root if path.is_relative_to(root) else path.parent
        app = find(root, os.environ).served()
        app.project = replace(app.project, workflows=(escape(str(path.relative_to(root))),))
    else:
        app = find(root, os.environ).served()
    folders = watched(app)

    async def beside(serving: Serving) -> None:
        await _watch(serving, folders)

    def greet(serving: Serving, result: LoadResult) -> None:
        hello(serving, result)
        note("watching " + ", ".join(relative(folder) for folder in folders))

    return serve(app, greet, beside)


def watched(app: App) -> list[Path]:
    """The folders that the project's globs lead into; those inside another are left out."""
    root = Path(app.project.root)
    found = {_base(root, glob) for glob in app.project.workflows}
    return sorted(each for each in found if not any(other in each.parents for other in found))


def _base(root: Path, glob: str) -> Path:
    base = root
    for part in Path(glob).parts[:-1]:
        if any(character in part for character in "*?[{"):
            break
        base /= part
    return base if base.is_dir() else root


async def _watch(serving: Serving, folders: Iterable[Path]) -> None:
    from watchfiles import (
        Change,
        DefaultFilter,
        awatch,  # pyright: ignore[reportUnknownVariableType]  # it takes any kind of event
    )

    usual = DefaultFilter()

    def wanted(change: Change, path: str) -> bool:
        return path.endswith(SUFFIXES) and usual(change, path)

    seen: AsyncGenerator[set[tuple[Change, str]], None] = awatch(
        *folders,
        watch_filter=wanted,
        debounce=200,
        step=50,
        stop_event=serving.stopping,
        rust_timeout=WAKE_MS,
        yield_on_timeout=True,
    )
    unread = True  # what was changed between the first reading and the first watching
    async for changes in seen:
        serving.tell_settings()  # they are seldom in the folders that are watched
        if not changes:
            if unread:
                unread = False
                await _reload(serving, quietly=True)
            continue
        unread = False
        paths = {path for _, path in changes}
        note("changed: " + ", ".join(sorted(relative(path) for path in paths)))
        await _reload(serving)


async def _reload(serving: Serving, *, quietly: bool = False) -> None:
    try:
        result = await serving.reload()
    except Exception as error:  # noqa: BLE001  # a file in the middle of being written: the last good state stays
        note(text_of(error))
        return
    if quietly and not serving.changed:
        return
    for file in sorted(result.failed):
        note(f"{relative(file)}: what was good of it stays in force until its errors are mended")
    note("loaded: " + (", ".join(serving.changed) or "nothing new"))
