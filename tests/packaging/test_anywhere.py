"""The installed wheel at work: without a network, with nothing beside it, and without the modules of Linux."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from reactor.tests.packaging.test_wheel import IMPORT_ALL, on_every_python
from reactor.tests.tidy.tree import ROOT

pytestmark = pytest.mark.uncovered
HERE = Path(__file__).parent
FIRST = ROOT / "examples" / "first"
OF_LINUX = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "spwd", "uvloop", "inotify")
WITHOUT_UNIX = """
import os, signal
for name in ("register_at_fork fork forkpty killpg setsid getsid getpgid getuid geteuid getgid fchmod statvfs uname "
             "O_NOFOLLOW O_CLOEXEC O_NONBLOCK O_DIRECTORY pidfd_open sched_getaffinity mkfifo").split():
    delattr(os, name)
for name in "SIGKILL SIGHUP SIGXCPU SIGUSR1 SIGCHLD".split():
    delattr(signal, name)
"""
LIMIT_S = 60.0


def environment(folder: Path, *, hidden: tuple[str, ...] = ()) -> dict[str, str]:
    """Of a process that watched.py looks at; nothing of this one but what finds programs."""
    site = folder / "site"
    site.mkdir()
    shutil.copy(HERE / "watched.py", site / "sitecustomize.py")
    own = {"PYTHONPATH": str(site), "OUTSIDE_TRIED": str(folder / "tried"), "HIDDEN_MODULES": ",".join(hidden)}
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "REACTOR_SERVER__PORT": "0", **own}


def without_network() -> list[str]:
    """What starts a program in a namespace without a network, where this machine lets us make one."""
    try:
        made = subprocess.run(["unshare", "-rn", "true"], capture_output=True)
    except FileNotFoundError:
        return []
    return ["unshare", "-rn", sys.executable, str(HERE / "alone.py")] if made.returncode == 0 else []


@contextmanager
def dev(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[Callable[[str], None]]:
    """`reactor dev FILE` in a folder until the block ends; what is given waits until it has said something."""
    with (folder / "said").open("w+") as said:
        child = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=subprocess.STDOUT)

        def wait(text: str) -> None:
            until = time.monotonic() + LIMIT_S
            while text not in (folder / "said").read_text():
                assert child.poll() is None, (folder / "said").read_text()
                assert time.monotonic() < until, (folder / "said").read_text()
                time.sleep(0.02)

        try:
            wait("ready\n")
            yield wait
            child.send_signal(signal.SIGINT)
            assert child.wait(LIMIT_S) == 0, (folder / "said").read_text()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def completed(reactor: Path, folder: Path, env: dict[str, str]) -> list[dict[str, Any]]:
    """The runs that the store in a folder holds, read once the server is gone."""
    said = subprocess.run([reactor, "runs", "-o", "json"], capture_output=True, text=True, cwd=folder, env=env)
    assert said.returncode == 0, said.stderr
    return [each for each in json.loads(said.stdout) if each["state"] == "completed"]


@pytest.mark.req("P-6")
def test_one_file_is_served_without_a_network_and_nothing_outside_is_tried(installed: Path, tmp_path: Path) -> None:
    """uvloop is hidden: of its connections Python is not told."""
    env = environment(tmp_path, hidden=("uvloop",))
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(FIRST / "schedule.yaml", folder / "flow.yaml")
    with dev([*without_network(), str(installed / "reactor"), "dev", "flow.yaml"], folder, env) as wait:
        wait("run: tick 1 ")
    assert len(completed(installed / "reactor", folder, env)) >= 1
    assert (folder / "reactor.db").read_bytes()[:15] == b"SQLite format 3"
    assert not (tmp_path / "tried").exists(), (tmp_path / "tried").read_text()


@pytest.mark.parametrize("call", ["create_connection(('192.0.2.1', 9), 1)", "getaddrinfo('example.org', 80)"])
def test_what_is_tried_outside_would_be_seen(tmp_path: Path, call: str) -> None:
    env = environment(tmp_path)
    done = subprocess.run([sys.executable, "-c", f"import socket; socket.{call}"], env=env, capture_output=True)
    assert (done.returncode, (tmp_path / "tried").read_text().split()[1]) in [(1, "192.0.2.1"), (1, "example.org")]


@pytest.mark.req("P-7")
def test_the_file_example_runs_without_the_modules_of_linux(installed: Path, tmp_path: Path) -> None:
    env = environment(tmp_path, hidden=OF_LINUX)
    folder = tmp_path / "project"
    (folder / "inbox").mkdir(parents=True)
    shutil.copy(FIRST / "file_drop.yaml", folder / "flow.yaml")
    with dev([str(installed / "reactor"), "dev", "flow.yaml"], folder, env):
        until = time.monotonic() + LIMIT_S
        report = folder / "report.txt"
        for number in count():  # what lies there before the trigger is connected is no event
            (folder / "inbox" / f"people{number}.csv").write_text("name,age\nAda,36\nAlan,41\n")
            until_next = time.monotonic() + 1
            while time.monotonic() < until_next and not (report.exists() and report.read_text()):
                time.sleep(0.02)
            if report.exists() and report.read_text():
                break
            assert time.monotonic() < until, (folder / "said").read_text()
    assert re.match(r"people\d+\.csv: 2 rows\n", report.read_text())


@pytest.mark.req("P-7")
@on_every_python
@pytest.mark.parametrize("hidden", [(), OF_LINUX], ids=["all there", "hidden"])
def test_the_schedule_example_runs(installed: Path, tmp_path: Path, hidden: tuple[str, ...]) -> None:
    env = environment(tmp_path, hidden=hidden)
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(FIRST / "schedule.yaml", folder / "flow.yaml")
    with dev([str(installed / "reactor"), "dev", "flow.yaml"], folder, env) as wait:
        wait("run: tick 1 ")
    assert len(completed(installed / "reactor", folder, env)) >= 1


@pytest.mark.req("P-7")
def test_every_module_is_imported_without_the_modules_of_linux(installed: Path, tmp_path: Path) -> None:
    env = environment(tmp_path, hidden=OF_LINUX)
    for name in ("fcntl", "uvloop"):
        done = subprocess.run([installed / "python", "-c", f"import {name}"], env=env, capture_output=True, text=True)
        assert done.stderr.endswith(f"ModuleNotFoundError: No module named '{name}'\n"), "nothing was hidden"
    done = subprocess.run([installed / "python", "-c", IMPORT_ALL], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.req("P-7")
def test_every_module_is_imported_where_there_is_no_fork_and_no_signal_of_unix(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed / "python", "-c", WITHOUT_UNIX + IMPORT_ALL],
        env=environment(tmp_path, hidden=OF_LINUX),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.req("P-7")
def test_the_texts_say_what_is_untested() -> None:
    told = " ".join((ROOT / "docs" / "operations.md").read_text().split())
    assert "tested on Linux, on amd64. macOS, Windows and arm64 are untested" in told
