"""A server that is killed: the programs of its steps end with it, before the next start runs the steps again."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from reactor.tests.actions.test_command import alive, gone, written
from reactor.tests.cli.rig import Process, Project, with_server

BEAT = """
workflow: beat
steps:
  - name: s
    command:
      shell: |
        sh -c 'echo $$ >> pids; while :; do date +%s.%N > beat; sleep 0.02; done' &
        echo $$ >> pids
        wait
"""


def kill(child: Process) -> int:
    """As the kernel does when memory is short."""
    child.signal(signal.SIGKILL)
    return -signal.SIGKILL


def interrupt_twice(child: Process) -> int:
    child.interrupt()
    child.until(lambda: any(line.startswith("Ctrl-C") for line in child.err))
    child.interrupt()
    return 130


@pytest.mark.parametrize("end", [kill, interrupt_twice])
def test_a_program_and_its_children_end_with_the_server(project: Project, end: Callable[[Process], int]) -> None:
    project.write(beat=BEAT)
    with_server(project)
    with project.start("serve") as child:
        child.ready()
        project.say("run", "beat", "--detach")
        first = asyncio.run(written(project.root / "pids", 2))
        assert all(alive(pid) for pid in first)
        code = end(child)
        assert child.ended() == code
    asyncio.run(gone(*first))
    (project.root / "beat").unlink()
    assert not (project.root / "beat").exists()  # nobody is left who would write it anew
    with project.start("serve") as child:
        child.ready()
        again = asyncio.run(written(project.root / "pids", 4))[2:]
        assert not any(alive(pid) for pid in first)
        assert all(alive(pid) for pid in again)
        child.signal(signal.SIGKILL)
        child.ended()
    asyncio.run(gone(*again))


def test_what_a_worker_of_python_steps_started_ends_too(project: Project) -> None:
    (project.root / "naps.py").write_text(
        "import os, subprocess\n\ndef nap():\n    child = subprocess.Popen(['sleep', '600'])\n"
        "    open('pids', 'w').write(f'{os.getpid()} {child.pid}')\n    child.wait()\n"
    )
    step = "{name: s, python: {function: 'naps:nap'}, isolation: process}"
    project.write(nap=f"workflow: nap\nsteps: [{step}]\n")
    with_server(project)
    with project.start("serve") as child:
        child.ready()
        project.say("run", "nap", "--detach")
        pids = asyncio.run(written(project.root / "pids", 2))
        child.signal(signal.SIGKILL)
        child.ended()
    asyncio.run(gone(*pids))
