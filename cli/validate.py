"""`validate`: every fault of workflow files and of the project at once, with the line and a caret."""

from __future__ import annotations

import os
from pathlib import Path

from ..language.loader import LoadResult
from . import output
from .failures import USAGE, Usage
from .parsing import Given
from .place import find

SUFFIXES = (".yaml", ".yml", ".json", ".py")


def validate(given: Given) -> int:
    """Check; 2 if there is an error, with `--strict` also for a warning."""
    root = given.project
    app = find(root, os.environ).app(listen=False)
    files = _files(given.words("files")) if given.words("files") else app.project.workflow_files()
    result = app.files.load(files, app.vocabulary())
    result.diagnostics.extend(app.project.warnings)
    wrong = bool(result.diagnostics) or (given.flag("strict") and result.diagnostics.strictly)
    if given.output == "table":
        _tell(result, files)
    else:
        output.dump(
            {
                "valid": not wrong,
                "workflows": [
                    {"name": one.definition.workflow, "version": one.definition.version, "file": str(one.file)}
                    for one in result.loaded
                ],
                "diagnostics": result.diagnostics.to_dicts(),
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


def _tell(result: LoadResult, files: list[Path]) -> None:
    if result.diagnostics.items:
        print(result.diagnostics.render() + "\n")
    for one in result.loaded:
        count = len(one.definition.steps.steps)
        print(f"{one.definition.workflow} {one.definition.version}: {count} step{'s' if count != 1 else ''}")
    if not files:
        output.note("there are no workflow files; `reactor new workflow NAME` writes one")
    elif result.diagnostics:
        count = len(result.diagnostics.errors)
        output.note(f"{count} error{'s' if count != 1 else ''} in {len(result.failed)} of {len(files)} files")
