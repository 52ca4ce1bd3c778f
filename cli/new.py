"""new project, new workflow: files to begin with; nothing that exists is overwritten."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ..core.errors import PermanentError
from ..language.loader import load_text
from . import output
from .failures import Usage
from .output import relative
from .parsing import Given
from .place import find

PROJECT = """\
# Every key may be left out. REACTOR_<KEY> in the environment overrides one; `reactor doctor` says which won.
server: {host: 127.0.0.1, port: 8484}
store: sqlite:///reactor.db
"""
IGNORED = "reactor.db*\n.secrets.yaml\n.reactor/\n"
WORKFLOW = """\
workflow: __NAME__
description: Say hello to whoever is named
inputs:
  name: {type: string, default: world}
when:
  - event: __NAME__.requested         # reactor emit __NAME__.requested --data '{"name": "Ada"}'
    with: {name: "${{ event.data.name }}"}
outputs: {greeting: "${{ steps.greet.output.value }}"}
steps:
  - name: greet
    transform: {value: "Hello, ${{ inputs.name }}!"}
  - name: told
    log: {message: "${{ steps.greet.output.value }}"}
"""


def project(given: Given) -> None:
    """A folder with `reactor.yaml` and a first workflow."""
    folder = Path(given.word("folder"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PermanentError(f"{folder} exists and is not empty", code="exists", hint="name a new folder")
    wanted = {"reactor.yaml": PROJECT, ".gitignore": IGNORED}
    wanted["workflows/hello.yaml"] = WORKFLOW.replace("__NAME__", "hello")
    for name, text in wanted.items():
        _write(folder / name, text)
    output.wrote([folder / name for name in wanted], f"cd {shlex.quote(str(folder))} && reactor dev", given.output)


def workflow(given: Given) -> None:
    """A file below `workflows/`."""
    name = given.word("workflow")
    text = WORKFLOW.replace("__NAME__", name)
    app = find(given.project, os.environ).app(listen=False)
    checked = load_text(text, f"{name}.yaml", app.vocabulary())
    if checked.diagnostics:
        raise Usage(
            f"`{name}` is no name for a workflow",
            hint="begin with a letter; then letters, digits, - and _, and dots between words",
        )
    file = Path(relative(given.project / "workflows" / f"{name}.yaml"))
    if file.exists():
        raise PermanentError(f"{file} exists already", code="exists", hint="choose another name, or edit the file")
    _write(file, text)
    output.wrote([file], f"reactor run {name} --input name=Ada", given.output)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as out:
        out.write(text)
