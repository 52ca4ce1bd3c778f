"""Projects in a folder of their own, the command line in this process, and real processes of it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reactor.cli.main import main
from reactor.tests.servers.process import free_port

HELLO = """\
workflow: hello
version: 1.2.0
description: Say hello
tags: [greeting]
inputs: {name: {type: string, default: world}, times: {type: integer, default: 1}}
when:
  - event: greet
    if: event.data.name != "nobody"
    with: {name: "${{ event.data.name }}"}
labels: {who: "${{ inputs.name }}"}
outputs: {text: "${{ steps.say.output.value }}"}
steps:
  say: {transform: {value: "hello ${{ inputs.name }}"}}
  told: {needs: [say], log: {message: "said ${{ steps.say.output.value }}"}}
"""
FAILS = """\
workflow: fails
steps:
  - {name: first, transform: {value: 1}}
  - {name: second, fail: {message: no luck, code: unlucky}}
"""
NAP = "workflow: nap\nsteps: [{name: sleeps, wait: {for: 60s}}]\n"
BROKEN = "workflow: broken\nsteps:\n  a: {httpp: {url: x}}\n"
BROKEN_TEXT = """\
error: `httpp` is neither an action nor a key of a step
  --> {file}:3:7 (steps.a.httpp)
 3 |   a: {{httpp: {{url: x}}}}
   |       ^^^^^
  = found: httpp
  = help: did you mean http?
"""
COMMAND = (sys.executable, "-P", "-m", "reactor.cli.main")
LIMIT_S = 30.0


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Project:
    """A folder with a project, and the command line in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def write(self, **workflows: str) -> None:
        (self.root / "workflows").mkdir(exist_ok=True)
        for name, text in workflows.items():
            (self.root / "workflows" / f"{name}.yaml").write_text(text)

    def say(self, *words: str) -> Said:
        """Carry out a command in this process."""
        self._capsys.readouterr()
        code = main(list(words))
        out, err = self._capsys.readouterr()
        return Said(code, out, err)

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Process:
        return Process(words, self.root, env)


class Process:
    """A real process of the command line; what it prints is read as it comes."""

    def __init__(self, words: tuple[str, ...], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self._child = subprocess.Popen(
            [*COMMAND, *words],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._child.pid
        self.out: list[str] = []
        self.err: list[str] = []
        self._fresh: queue.Queue[None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
            for pipe, lines in ((self._child.stdout, self.out), (self._child.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()

    def _read(self, pipe: Any, lines: list[str]) -> None:
        for line in pipe:
            lines.append(line.rstrip("\n"))
            self._fresh.put(None)
        self._fresh.put(None)

    def until(self, found: Callable[[], bool]) -> None:
        """Wait until what was printed is enough."""
        end = time.monotonic() + LIMIT_S
        while not found():
            left = end - time.monotonic()
            if left <= 0 or not any(reader.is_alive() for reader in self._readers):
                if not found():
                    pytest.fail(f"it did not come; stdout: {self.out}; stderr: {self.err}")
                return
            with contextlib.suppress(queue.Empty):
                self._fresh.get(timeout=min(left, 0.5))

    def ready(self) -> Process:
        self.until(lambda: "ready" in self.out)
        return self

    def interrupt(self) -> None:
        self._child.send_signal(signal.SIGINT)

    def signal(self, number: int) -> None:
        self._child.send_signal(number)

    def lives(self) -> bool:
        return self._child.poll() is None

    def wait(self, seconds: float) -> int:
        """Its exit code; raises TimeoutExpired."""
        return self._child.wait(seconds)

    def ended(self) -> int:
        code = self._child.wait(LIMIT_S)
        for reader in self._readers:
            reader.join(LIMIT_S)
        return code


def with_server(project: Project, **keys: Any) -> int:
    """Give the project a server's address of its own; the port."""
    port = free_port()
    lines = [f"server: {{port: {port}, drain: 5s}}", *(f"{key}: {json.dumps(value)}" for key, value in keys.items())]
    (project.root / "reactor.yaml").write_text("\n".join(lines) + "\n")
    return port
