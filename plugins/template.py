"""`reactor plugin new`: a package that works, with its tests, to begin a plugin of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Literal

from .. import __version__
from ..core.errors import ConfigError
from .found import taken

_FOLDER = Path(__file__).parent / "templates"
_is_name = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*").fullmatch

_TRIGGER_USAGE = """A workflow that it starts:

    workflow: hello
    when:
      - $word: {port: 7000}
        with: {line: "${{ event.data }}"}
    inputs: {line: string}
    steps:
      - log: {message: "a line: ${{ inputs.line }}"}"""
_ACTION_USAGE = """A step that uses it:

    - uses: $plugin.$word
      with: {text: "${{ event.data }}"}"""


def new_plugin(
    name: str,
    kind: Literal["trigger", "action"] = "trigger",
    *,
    language: Literal["python", "go"] = "python",
    folder: str | Path = ".",
) -> list[Path]:
    """Write the package `name` below `folder`; the files that were written.

    `name` is the distribution's; the kind or action has it too, without a leading `reactor-`. Raises ConfigError: no
    such name, there is something already, or (`unavailable`) a language that is not carried out yet.
    """
    if language != "python":
        hint = "write it in Python; plugins in other languages speak gRPC, which is not carried out by this version yet"
        raise ConfigError(f"plugins in {language} are not available in this version", hint=hint, code="unavailable")
    if kind not in ("trigger", "action"):
        raise ConfigError(f"a plugin supplies a trigger or an action; found {kind}", hint="write trigger or action")
    if not _is_name(name):
        hint = "lower-case letters and digits, words joined by `-`, such as reactor-serial"
        raise ConfigError(f"`{name}` cannot be the name of a plugin", hint=hint)
    word = name.removeprefix("reactor-")
    if word in taken(kind):
        hint = f"choose another, such as reactor-my-{word}"
        raise ConfigError(f"`{word}` is a word of Reactor's own: a plugin cannot have it", hint=hint)
    root = Path(folder, name)
    if root.exists():
        raise ConfigError(f"{root} is there already", hint="choose another name, or another folder")
    files = _files(name, kind)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return [root / path for path in files]


def _files(name: str, kind: Literal["trigger", "action"]) -> dict[str, str]:
    """Every file of the package, by its path."""
    module, word = name.replace("-", "_"), name.removeprefix("reactor-")
    file = "source" if kind == "trigger" else "action"
    class_name = "".join(part.capitalize() for part in word.split("-"))
    major, minor = __version__.split(".")[:2]
    words = {
        "plugin": name,
        "module": module,
        "word": word,
        "file": file,
        "class_name": f"C{class_name}" if class_name[0].isdigit() else class_name,
        "group": f"{kind}s",
        "version": __version__,
        "next_version": f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1),
        "description": "A source of events for Reactor" if kind == "trigger" else "An action for Reactor",
    }
    usage = Template(_TRIGGER_USAGE if kind == "trigger" else _ACTION_USAGE).safe_substitute(words)

    def written(template: str) -> str:
        return Template((_FOLDER / template).read_text()).substitute(words, usage=usage)

    return {
        "pyproject.toml": written("pyproject.txt"),
        "README.md": written("readme.txt"),
        f"{module}/__init__.py": f'"""{words["description"]}."""\n',
        f"{module}/{file}.py": written(f"{kind}/source.txt"),
        f"{module}/suite.py": written(f"{kind}/suite.txt"),
        f"tests/test_{module}.py": (
            '"""The suite that `reactor plugin check` runs too."""\n\n'
            f"from {module}.suite import Test{words['class_name']}\n\n"
            f'__all__ = ["Test{words["class_name"]}"]\n'
        ),
    }
