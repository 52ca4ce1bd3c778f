"""No program outlives the process that started it: the warden, which is told of all of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactor.engine.actions import orphans, warden
from reactor.engine.actions.orphans import WARDS, Wards
from reactor.tests.actions.rig import Rig
from reactor.tests.actions.test_command import alive, gone, written
from reactor.tests.waiting import until

FORKS = """
import os, subprocess, sys, time
from reactor.engine.actions.orphans import WARDS
ticket = WARDS.take("k")
program = subprocess.Popen(["sleep", "600"], start_new_session=True)
ticket.started(program.pid)
if (child := os.fork()) == 0:
    time.sleep(600)
print(program.pid, child, flush=True)
time.sleep(600)
"""


@pytest.fixture
def wards() -> Iterator[Wards]:
    found = Wards()
    yield found
    found.close()


def program(key: str = "") -> subprocess.Popen[bytes]:
    """A program with a child, as `command` starts them."""
    return subprocess.Popen(
        ["/bin/sh", "-c", "sleep 600 & wait"], env={"REACTOR_IDEMPOTENCY_KEY": key}, start_new_session=True
    )


async def died(*programs: subprocess.Popen[bytes]) -> None:
    await until(lambda: all(each.poll() is not None for each in programs))
    assert [each.returncode for each in programs] == [-signal.SIGKILL] * len(programs)


async def test_it_ends_what_is_open_and_nothing_else(wards: Wards) -> None:
    """Also one that was about to start: it is known by its key, before its session was told."""
    open_, about, ended, foreign = program(), program("key-2"), program("key-3"), program("key-4")
    try:
        wards.take("key-1").started(open_.pid)
        wards.take("key-2")
        over = wards.take("key-3")
        over.started(ended.pid)
        over.over()
        over.over()
        pid = wards.pid
        assert pid is not None
        wards.close()
        await died(open_, about)
        await gone(pid)
        assert alive(ended.pid)
        assert alive(foreign.pid)
    finally:
        for each in (ended, foreign):
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()


async def test_one_that_is_killed_is_replaced_by_one_that_is_told_all(wards: Wards) -> None:
    first, second = program(), program()
    wards.take("1").started(first.pid)
    before = wards.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await gone(before)
    wards.take("2").started(second.pid)
    assert wards.pid != before
    wards.close()
    await died(first, second)


async def test_it_ends_only_with_its_process(wards: Wards) -> None:
    """What a terminal or a service manager sends to all of them is not for it."""
    one = program()
    wards.take("1").started(one.pid)
    assert wards.pid is not None

    def ignores() -> bool:
        status = Path(f"/proc/{wards.pid}/status").read_text()
        ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
        return all(ignored >> number - 1 & 1 for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

    await until(ignores)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(wards.pid, number)
    assert os.getsid(wards.pid) == wards.pid
    wards.close()
    await died(one)


async def test_a_forked_child_does_not_keep_it_waiting() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", FORKS, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    pid, forked = (int(word) for word in (await asyncio.wait_for(child.stdout.readline(), 20)).split())
    try:
        child.kill()
        await gone(pid)
        assert alive(forked)
    finally:
        os.kill(forked, signal.SIGKILL)
        await child.communicate()


async def test_all_are_ended_before_a_process_that_ends_at_once(rig: Rig, tmp_path: Path) -> None:
    shell = "sleep 600 & echo $! $$ > pids; wait"
    task = asyncio.ensure_future(rig("command", {"shell": shell, "ok": [0, -9, 137]}))
    pids = await written(tmp_path / "pids", 2)
    await until(lambda: pids[1] in {ticket.session for ticket in WARDS.open.values()})
    WARDS.end_all()
    await gone(*pids)
    await task
    assert pids[1] not in {ticket.session for ticket in WARDS.open.values()}


async def test_a_command_goes_on_without_it(
    rig: Rig, wards: Wards, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a guard for the worst, and no reason to fail."""
    monkeypatch.setattr(orphans.sys, "executable", "/nowhere/python")
    wards.take("1").over()
    wards.take("2").over()
    (record,) = caplog.records
    why = "[Errno 2] No such file or directory: '/nowhere/python'"
    assert record.getMessage() == f"a kill of this process will not end programs of `command`: {why}"


def test_where_there_is_no_list_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(warden.os, "listdir", refuse)
    assert warden.processes() == []


def test_it_reads_lines_however_they_are_cut() -> None:
    theirs, ours = os.pipe()
    os.write(ours, b"+1 one\n+2 t")
    os.write(ours, b"wo\n=1 77\n-2\n-1\n")
    os.close(ours)
    warden.main(theirs)
    found = warden.Open()
    for line in (b"+1 one", b"+2 ", b"+3 three", b"=2 55", b"-3"):
        found.hear(line)
    assert (found.keys, found.sessions) == ({b"1": b"one"}, {b"2": 55})
    os.close(theirs)
