"""Signals to a server that is still starting: here it imports a Python file that takes its time."""

from __future__ import annotations

import signal
from pathlib import Path

from reactor.tests.cli.rig import HELLO, Process, Project, with_server

SLOW = """
import pathlib, time
import reactor
here = pathlib.Path(__file__).parent
(here / "begun").touch()
while not (here / "go").exists():
    time.sleep(0.02)
"""


def starting(project: Project) -> tuple[Process, Path]:
    """A server that has begun to import, and the folder of its workflows."""
    project.write(hello=HELLO)
    folder = project.root / "workflows"
    (folder / "slow.py").write_text(SLOW)
    with_server(project)
    server = project.start("serve")
    server.until(lambda: (folder / "begun").exists())
    return server, folder


def test_a_stop_while_it_starts_never_says_that_it_is_there(project: Project) -> None:
    server, folder = starting(project)
    with server:
        server.signal(signal.SIGTERM)
        server.until(lambda: bool(server.err))
        (folder / "go").touch()
        assert server.ended() == 0
        assert (server.out, server.err[0]) == ([], "SIGTERM: letting what is under way finish (at most 5 s)")


def test_a_second_ctrl_c_ends_it_while_it_starts(project: Project) -> None:
    server, _ = starting(project)
    with server:
        server.interrupt()
        server.until(lambda: bool(server.err))
        server.interrupt()
        assert server.ended() == 130
        assert server.err[1:] == ["stopped at once: what was under way is taken up at the next start"]


def test_a_reload_that_is_asked_for_while_it_starts_is_done_then(project: Project) -> None:
    server, folder = starting(project)
    with server:
        server.signal(signal.SIGHUP)
        (folder / "hello.yaml").write_text(HELLO.replace("workflow: hello", "workflow: other"))
        (folder / "go").touch()
        server.ready()
        server.until(lambda: "reading the workflow files again" in server.err)
        assert project.say("list", "-o", "json").json[0]["name"] == "other"
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        assert not [line for line in server.err if "defect" in line]
