"""The end of a server comes whatever holds it up: imports, steps that do not let go, parts that do not close."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import pytest

from reactor.tests.cli.rig import HELLO, LIMIT_S, Process, Project, with_server

HELD = "workflow: held\nsteps: [{name: s, python: {function: 'holding:held'}}]\n"
ODD = """
import asyncio, time
import reactor
from reactor.cli import ending
"""


def holding(project: Project, body: str) -> Path:
    """A project whose one step calls `held` of this module; the file that it makes there when it is at it."""
    project.write(held=HELD)
    begun = project.root / "begun"
    head = f"import asyncio, pathlib, time\nbegun = pathlib.Path({str(begun)!r})\n"
    (project.root / "holding.py").write_text(head + body)
    with_server(project)
    return begun


def held_up(project: Project, begun: Path, server: Process) -> None:
    server.ready()
    project.say("run", "held", "--detach")
    server.until(begun.exists)


@pytest.mark.parametrize(
    "body",
    [
        "begun.touch()\ntime.sleep(60)\ndef held(): pass\n",
        "async def held():\n    begun.touch()\n    time.sleep(60)\n",
    ],
    ids=["an import", "the loop itself"],
)
def test_a_second_ctrl_c_ends_it_at_once_whatever_holds_it_up(project: Project, body: str) -> None:
    begun = holding(project, body)
    with project.start("serve") as server:
        held_up(project, begun, server)
        until = time.monotonic() + LIMIT_S / 2
        while server.lives() and time.monotonic() < until:
            server.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.1)
        assert not server.lives()
        assert server.ended() == 130
        assert server.err[-1] == "stopped at once: what was under way is taken up at the next start"


def test_the_import_of_a_steps_module_holds_up_nobody_else(project: Project) -> None:
    body = "begun.touch()\nwhile not begun.with_name('go').exists(): time.sleep(0.02)\ndef held(): return 1\n"
    begun = holding(project, body)
    project.write(hello=HELLO)
    with project.start("serve") as server:
        held_up(project, begun, server)
        other = project.say("run", "hello", "-o", "json")
        assert (other.code, other.json["state"]) == (0, "completed")
        begun.with_name("go").touch()
        assert project.say("run", "held", "-o", "json").json["state"] == "completed"


@pytest.mark.parametrize("verb", ["serve", "dev"])
def test_a_reload_that_is_asked_for_before_it_can_be_done_is_no_end(project: Project, verb: str) -> None:
    project.write(hello=HELLO)
    with_server(project)
    with project.start(verb) as server:
        maps = Path(f"/proc/{server.pid}/maps")
        server.until(lambda: "msgspec" in maps.read_text())  # it is at its own imports
        server.signal(signal.SIGHUP)
        server.ready()
        server.interrupt()
        assert server.ended() == 0


def test_a_part_that_does_not_close_is_named_and_left(project: Project) -> None:
    project.write(hello=HELLO)
    with_server(project)
    (project.root / "reactor.yaml").write_text((project.root / "reactor.yaml").read_text().replace("5s", "1s"))
    (project.root / "workflows" / "odd.py").write_text(
        f"{ODD}"
        "from reactor.store.group import GroupCommit\n"
        "async def never(self): await asyncio.Event().wait()\n"
        "GroupCommit.close = never\n"
        "ending.REST_S = 0.5\n"
    )
    with project.start("serve") as server:
        server.ready()
        server.interrupt()
        assert server.ended() == 1
    text = "1.5 s after Ctrl-C not all has ended, and is left as it is: "
    assert server.err[-1].startswith(
        text + "what was under way is taken up at the next start; still at work: the thread "
    )
    assert " MainThread in " in server.err[-1]
    assert "the task Task-1 in wait (" in server.err[-1]


def test_a_thread_that_nobody_waits_for_any_more_holds_up_no_end(project: Project) -> None:
    call = "asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)"
    body = f"async def held():\n    begun.touch()\n    {call}\n"
    begun = holding(project, body)
    with project.start("serve") as server:
        held_up(project, begun, server)
        server.interrupt()
        assert server.ended() == 0
        assert server.err[-1] == "Ctrl-C: letting what is under way finish (at most 5 s)"


def test_an_end_that_nobody_reads_comes_all_the_same(project: Project) -> None:
    """Whoever reads its output has stopped to, and the pipe is full."""
    project.write(hello=HELLO)
    with_server(project)
    (project.root / "workflows" / "odd.py").write_text(
        f"{ODD}"
        "import os, sys\n"
        "here, there = os.pipe()\n"
        "os.set_blocking(there, False)\n"
        "try:\n"
        "    while True: os.write(there, bytes(65536))\n"
        "except BlockingIOError: pass\n"
        "os.set_blocking(there, True)\n"
        "class Full:\n"
        "    def write(self, text): os.write(there, text.encode())\n"
        "    def flush(self): pass\n"
        "reactor_stderr, sys.stderr = sys.stderr, Full()\n"
        "ending.REST_S = 0.5\n"
    )
    with project.start("serve") as server:
        server.ready()
        server.interrupt()
        assert server.ended() == -signal.SIGALRM
