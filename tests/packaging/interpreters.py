"""The interpreters of this machine that pyproject.toml names: what runs the tests, those of PATH, those of pyenv."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from reactor.tests.tidy.tree import ROOT

CLASSIFIER = re.compile(r'"Programming Language :: Python :: (\d+\.\d+)"')
ASKED = "import ensurepip, venv, sys; print('%d.%d' % sys.version_info[:2])"


def named() -> list[str]:
    """The versions that the project says it was tested on, as in `3.11`."""
    return CLASSIFIER.findall((ROOT / "pyproject.toml").read_text())


def found(path: str | None = None, pyenv: Path | None = None) -> dict[str, str]:
    """Version → interpreter that can make environments, for the versions that are named; our own is first."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    interpreters = {own: sys.executable}
    for version in named():
        for python in _candidates(version, path, pyenv):
            if version not in interpreters and _is(python, version):
                interpreters[version] = python
    return interpreters


def _candidates(version: str, path: str | None, pyenv: Path | None) -> Iterator[str]:
    on_path = shutil.which(f"python{version}", path=path)
    if on_path is not None:
        yield on_path
    root = pyenv or Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from map(str, sorted(root.glob(f"versions/{version}.*/bin/python{version}")))


def _is(python: str, version: str) -> bool:
    """Does it start, as that version, with what environments need? A shim of pyenv may name what is not chosen."""
    done = subprocess.run([python, "-c", ASKED], capture_output=True, text=True)
    return (done.returncode, done.stdout.strip()) == (0, version)
