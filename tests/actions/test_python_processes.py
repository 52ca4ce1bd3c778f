"""`python` with `isolation: process`: calls, crashes, limits, and how a cancel ends it."""

from __future__ import annotations

import asyncio
import os
import textwrap
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import StepError
from reactor.store.contract import StateOp
from reactor.testing.action_suite import LentServices
from reactor.tests.actions.rig import KEY, Rig
from reactor.tests.actions.test_command import gone, written

MODULE = """
import os, sys, time, signal, subprocess

def add(a: int, b: int = 1) -> int:
    return a + b

def crash(how):
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGSEGV)

def fail():
    raise ValueError("bad")

def sleepy(note):
    child = subprocess.Popen(["sleep", "600"])
    with open(note, "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    try:
        time.sleep(600)
    finally:
        with open(note + ".end", "w") as file:
            file.write("cleaned")

def stubborn(note):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(note, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)

def greedy():
    return len(bytearray(500_000_000))

def spin():
    while True:
        pass

async def talk(context):
    print("printed")
    print("to stderr", file=sys.stderr)
    context.log("logged", n=1)
    context.progress(0.25)
    context.state.increment("n")
    return [context.idempotency_key, await context.state.get("n"), context.inputs]

def huge(n):
    return [n + 1, -(2**70)]

def half(name):
    return {"name": "bad" + chr(0xDCFF)}

async def stop():
    raise __import__("asyncio").CancelledError

class Panic(BaseException):
    def __str__(self):
        raise RuntimeError

def panic():
    raise Panic

def pid():
    return os.getpid()
"""


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Rig]:
    name = f"steps_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE))
    rig = Rig(LentServices(str(tmp_path), states={("workflow/ship-order", "n"): 5}))
    rig.module = name
    yield rig
    await rig.catalogue.close()


async def isolated(rig: Any, function: str, args: Any = None, **more: Any) -> Any:
    with_ = {"function": f"{rig.module}:{function}", "args": args or {}, **more}
    return await rig("python", with_, isolation="process", context={"inputs": {"a": 1}})


@pytest.mark.req("E-EXE-9")
async def test_processes(processes: Rig) -> None:
    assert await isolated(processes, "add", {"a": 1}) == 2
    first, second = await isolated(processes, "pid"), await isolated(processes, "pid")
    assert first == second != os.getpid()
    with pytest.raises(StepError) as caught:
        await isolated(processes, "add", {"a": "x"})
    assert str(caught.value).endswith(':add: expected a whole number (int); found "x" (str)')
    with pytest.raises(StepError) as caught:
        await isolated(processes, "fail")
    assert (caught.value.code, caught.value.details["exception"]) == ("step_failed", "ValueError")
    assert 'raise ValueError("bad")' in caught.value.details["traceback"]
    effect = await isolated(processes, "talk")
    assert effect.output == [KEY, 5, {"a": 1}]
    assert effect.ops == (StateOp("increment", "workflow/ship-order", "n", 1),)
    assert processes.lines == [
        ("info", "printed", {}),
        ("warning", "to stderr", {}),
        ("info", "logged", {"n": 1}),
    ]
    assert processes.reports == [(0.25, "")]


async def test_what_is_odd_comes_through_as_without_a_process(processes: Rig) -> None:
    assert await isolated(processes, "huge", {"n": 10**40}) == [10**40 + 1, -(2**70)]
    half = "the returned value is not JSON: 'utf-8' codec can't encode character '\\udcff' in "
    for function, code, message in (
        ("half", "invalid_output", half),
        ("stop", "step_failed", f"{processes.module}:stop was cancelled from within"),
        ("panic", "step_failed", f"{processes.module}:panic raised Panic: (its text cannot be made: RuntimeError)"),
    ):
        with pytest.raises(StepError) as caught:
            await isolated(processes, function, {"name": "x"} if function == "half" else {})
        assert (caught.value.code, str(caught.value).partition("position")[0]) == (code, message)


@pytest.mark.req("E-EXE-8")
async def test_crashes_are_the_steps_alone(processes: Any) -> None:
    with pytest.raises(StepError) as caught:
        await isolated(processes, "crash", {"how": "exit"})
    assert (caught.value.code, caught.value.class_) == ("step_crashed", "retry")
    assert str(caught.value) == f"the process of {processes.module}:crash ended with exit code 3"
    assert caught.value.details == {"signal": None, "exit_code": 3}
    with pytest.raises(StepError) as caught:
        await isolated(processes, "crash", {"how": "signal"})
    assert str(caught.value) == f"the process of {processes.module}:crash was ended by SIGSEGV"
    assert await isolated(processes, "add", {"a": 2}) == 3


@pytest.mark.req("K-11")
async def test_limits_of_a_process(processes: Any) -> None:
    with pytest.raises(StepError) as caught:
        await isolated(processes, "greedy", limits={"memory": "200MiB"})
    assert caught.value.code == "resource_limit"
    with pytest.raises(StepError) as caught:
        await isolated(processes, "spin", limits={"cpu": "1s"})
    assert (caught.value.code, str(caught.value)) == (
        "resource_limit",
        f"{processes.module}:spin used more CPU time than `limits.cpu` allows",
    )
    assert await isolated(processes, "greedy") == 500_000_000
    with pytest.raises(StepError) as caught:
        await processes("python", {"function": f"{processes.module}:pid", "limits": {"cpu": "1s"}})
    assert str(caught.value) == "`limits` of a Python step need `isolation: process` on the step"


@pytest.mark.req("E-CANC-1")
async def test_cancel_ends_a_process_and_its_children(processes: Any, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    task = asyncio.ensure_future(isolated(processes, "sleepy", {"note": str(note)}))
    pids = await written(note, 2)
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 5
    assert (tmp_path / "pids.end").read_text() == "cleaned"
    await gone(*pids)
    assert await isolated(processes, "add", {"a": 1}) == 2


async def test_a_second_cancel_kills_at_once(processes: Any, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    task = asyncio.ensure_future(isolated(processes, "stubborn", {"note": str(note)}))
    (pid,) = await written(note)
    task.cancel()
    await asyncio.wait([task], timeout=0.2)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    await gone(pid)
