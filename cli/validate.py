"""`validate`: every fault of workflow files and of the project at once, with the line and a caret."""

from __future__ import annotations

import os
from pathlib import Path

from ..app import App
from ..language.diagnostics import Diagnostics
from ..language.loader import LoadResult
from ..language.project import load_project
from . import output
from .failures import USAGE, Usage
from .parsing import Given

SUFFIXES = (".yaml", ".yml", ".json", ".py")


def validate(given: Given) -> int:
    """Check; 2 if there is an error, with `--strict` also for a warning."""
    project, faults = load_project(given.project, App().words(), os.environ)
    app = App(project=project, listen=False)
    files = _files(given.words("files")) if given.words("files") else project.workflow_files()
    result = app.files.load(files, app.vocabulary())
    found = (faults, result.diagnostics)  # the settings first
    wrong = any(found) or (given.flag("strict") and any(part.strictly for part in found))
    if given.output == "table":
        _tell(faults, result, files)
    else:
        output.dump(
            {
                "valid": not wrong,
                "workflows": [
                    {"name": one.definition.workflow, "version": one.definition.version, "file": str(one.file)}
                    for one in result.loaded
                ],
                "diagnostics": [each for part in found for each in part.to_dicts()],
            },
            given.output,
        )
    return USAGE if wrong else 0


def _files(words: list[str]) -> list[Path]:
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
        elif path.exists():
            found.append(path.absolute() if path.suffix == ".py" else path)
        else:
            raise Usage(f"there is no file {word}", hint="name a workflow file, or a folder of them")
    return found


def _tell(faults: Diagnostics, result: LoadResult, files: list[Path]) -> None:
    for part in (faults, result.diagnostics):
        if part.items:
            print(part.render() + "\n")
    for one in result.loaded:
        count = len(one.definition.steps.steps)
        print(f"{one.definition.workflow} {one.definition.version}: {count} step{'s' if count != 1 else ''}")
    count = len(faults.errors) + len(result.diagnostics.errors)
    if not files:
        output.note("there are no workflow files; `reactor new workflow NAME` writes one")
    if count:
        settings = 1 if faults else 0  # they are a file more
        where = f"{len(result.failed) + settings} of {len(files) + settings} files"
        output.note(f"{count} error{'s' if count != 1 else ''} in {where}")
