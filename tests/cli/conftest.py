"""A project a test, current folder included."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactor.tests.cli.rig import HELLO, Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    for name in ("REACTOR_URL", "REACTOR_TOKEN", "REACTOR_TOKEN_FILE", "REACTOR_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, capsys)
    project.write(hello=HELLO)
    root, ours = logging.getLogger(), logging.getLogger("reactor")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield project
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
