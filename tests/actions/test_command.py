"""`command`: real programs, their groups, their limits."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from reactor.core.errors import StepError
from reactor.engine.actions.command import CommandAction
from reactor.engine.actions.kept_output import KeptOutput
from reactor.engine.actions.process_watch import usages
from reactor.testing.action_suite import ActionSuite
from reactor.tests.actions.rig import KEY, Rig

PYTHON = sys.executable


def alive(pid: int) -> bool:
    """Is there such a process, not only its remains?"""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


async def gone(*pids: int) -> None:
    """Wait until none of these processes lives."""
    async with asyncio.timeout(10):
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.01)


async def written(path: Path, words: int = 1) -> list[int]:
    """Wait for a file with so many numbers."""
    async with asyncio.timeout(20):
        while not path.exists() or len(path.read_text().split()) < words:
            await asyncio.sleep(0.01)
    return [int(word) for word in path.read_text().split()]


class TestContract(ActionSuite):
    action = CommandAction()
    valid: ClassVar = {"argv": ["echo", "hello"]}
    failing: ClassVar = {"argv": ["false"]}
    slow: ClassVar = {"argv": ["sleep", "60"]}


@pytest.mark.req("E-ACT-1")
async def test_takes_arguments_env_folder_and_input(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    output = await rig(
        "command",
        {"shell": 'echo "$GREETING" "$N"; cat; pwd; echo oops >&2', "env": {"GREETING": "a; rm -rf $HOME", "N": 5}}
        | {"stdin": "given\n", "cwd": "sub"},
    )
    duration = output.pop("duration_ms")
    assert 0 <= duration < 10_000
    assert output == {
        "exit_code": 0,
        "stdout": f"a; rm -rf $HOME 5\ngiven\n{tmp_path / 'sub'}\n",
        "stderr": "oops\n",
        "json": None,
        "lines": None,
        "truncated": False,
    }


async def test_sees_a_clean_environment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("TZ", "UTC")
    output = await rig("command", {"argv": ["env"], "parse": "lines", "env": {"OWN": "1"}})
    names = {line.partition("=")[0]: line.partition("=")[2] for line in output["lines"]}
    assert set(names) <= {"PATH", "HOME", "LANG", "TZ", "OWN", "REACTOR_IDEMPOTENCY_KEY", "REACTOR_RUN"} | {
        "REACTOR_STEP",
        "TRACEPARENT",
    }
    assert names["REACTOR_IDEMPOTENCY_KEY"] == KEY
    assert names["REACTOR_RUN"] == "5f3a-1-7"
    assert names["REACTOR_STEP"] == "charge"
    assert names["TRACEPARENT"] == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert names["TZ"] == "UTC"
    output = await rig("command", {"argv": ["env"], "parse": "lines"}, tracestate="a=1")
    assert "TRACESTATE=a=1" in output["lines"]


async def test_arguments_are_never_a_shells(rig: Rig, tmp_path: Path) -> None:
    output = await rig("command", {"argv": ["printf", "%s|", "$(touch bad)", "`id`", "; ls", 7, 1.5, True]})
    assert output["stdout"] == "$(touch bad)|`id`|; ls|7|1.5|true|"
    assert not (tmp_path / "bad").exists()


def test_templates_in_shell_are_refused_at_load(rig: Rig) -> None:
    assert rig.catalogue.faults("command", {"shell": "echo ${{ event.data.name }}"}) == [
        (
            "shell",
            '`${{ }}` is refused here, where a value could become code: pass it by `env` and write "$NAME"',
        )
    ]
    assert rig.catalogue.faults("command", {"argv": ["echo", "${{ event.data.name }}"]}) == []


@pytest.mark.parametrize(
    ("with_", "faults"),
    [
        ({}, [("", "one of `argv` or `shell` is missing")]),
        ({"argv": ["a"], "shell": "b"}, [("", "only one of `argv` or `shell` may be given; found `argv` and `shell`")]),
        ({"argv": []}, [("argv", "must not be empty")]),
        ({"argv": "echo"}, [("argv", 'expected a list; found "echo"')]),
        ({"argv": ["a"], "graze": "5s"}, [("graze", "unknown key `graze`; did you mean grace?")]),
        (
            {"argv": ["a"], "grace": 5},
            [("grace", "the duration '5' has no unit; write 5s for seconds or 5ms for milliseconds")],
        ),
        (
            {"argv": ["a"], "parse": "jsn"},
            [("parse", 'expected one of none, json, lines; found "jsn"; did you mean json?')],
        ),
        ({"argv": ["a"], "limits": {"memory": "1B"}}, [("limits.memory", "must be at least 1MiB; found 1B")]),
        (
            {"argv": ["a"], "limits": {"mem": "1B"}},
            [("limits.mem", "unknown key `mem`; one of: cpu, memory, output, processes")],
        ),
        ({"argv": ["a"], "ok": ["${{ vars.ok }}"], "limits": {"cpu": "${{ vars.cpu }}"}}, []),
    ],
)
def test_faults_at_load(rig: Rig, with_: Any, faults: list[tuple[str, str]]) -> None:
    assert rig.catalogue.faults("command", with_) == faults


@pytest.mark.parametrize("open_before", [0, 1, 2, 3])
async def test_without_a_descriptor_to_spare_it_is_tried_again_and_keeps_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, open_before: int
) -> None:
    await rig("command", {"argv": ["true"]})  # what is opened once is open
    before = os.listdir("/proc/self/fd")
    made, pipe = [0], os.pipe

    def scarce() -> tuple[int, int]:
        if made[0] == open_before:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made[0] += 1
        return pipe()

    async def none(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", scarce)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", none)
    with pytest.raises(StepError) as caught:
        await rig("command", {"argv": ["true"]})
    error = caught.value.info()
    assert (error.code, error.message, error.class_, error.hint) == (
        "resource_limit",
        "`true` cannot be started: Too many open files",
        "retry",
        "raise what this process may have: LimitNOFILE, TasksMax",
    )
    assert len(os.listdir("/proc/self/fd")) == len(before)


async def test_exit_codes(rig: Rig) -> None:
    assert (await rig("command", {"shell": "exit 3", "ok": [0, 3]}))["exit_code"] == 3
    with pytest.raises(StepError) as caught:
        await rig("command", {"shell": "echo out; echo first >&2; echo no such order >&2; exit 4"})
    error = caught.value
    assert str(error) == "`the shell command` ended with exit code 4: no such order"
    assert (error.code, error.class_) == ("command.exit", "retry")
    assert error.details == {"exit_code": 4, "stdout": "out\n", "stderr": "first\nno such order\n"}


async def test_ended_by_a_signal(rig: Rig) -> None:
    with pytest.raises(StepError) as caught:
        await rig("command", {"shell": "kill -SEGV $$"})
    assert str(caught.value) == "`the shell command` was ended by SIGSEGV"
    assert caught.value.details["signal"] == "SIGSEGV"


async def test_what_cannot_be_started(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        await rig("command", {"argv": ["no-such-program-xyz"], "env": {"PATH": "/bin"}})
    assert str(caught.value) == "there is no program `no-such-program-xyz`"
    assert caught.value.hint == f"PATH is /bin; the working folder is {tmp_path}"
    assert (caught.value.code, caught.value.class_) == ("command.not_found", "fix")
    with pytest.raises(StepError) as caught:
        await rig("command", {"argv": ["echo"], "cwd": "nowhere"})
    assert (caught.value.code, str(caught.value)) == (
        "file_not_found",
        f"the working folder {tmp_path}/nowhere does not exist",
    )
    (tmp_path / "plain.txt").write_text("text")
    with pytest.raises(StepError) as caught:
        await rig("command", {"argv": ["./plain.txt"]})
    assert (caught.value.code, str(caught.value)) == (
        "forbidden",
        "`./plain.txt` may not be executed: Permission denied",
    )
    with pytest.raises(StepError) as caught:
        await rig("command", {"argv": ["echo", "a\0b"]})
    assert (caught.value.code, str(caught.value)) == (
        "invalid_input",
        "`echo` cannot be started: an argument or a variable holds a null character",
    )


async def test_parses_json(rig: Rig) -> None:
    output = await rig("command", {"argv": ["echo", '{"a": [1, 2]}'], "parse": "json"})
    assert output["json"] == {"a": [1, 2]}
    with pytest.raises(StepError) as caught:
        await rig("command", {"argv": ["echo", "hello"], "parse": "json"})
    assert caught.value.code == "invalid_output"
    assert str(caught.value) == (
        '`echo` did not write JSON: JSON is malformed: invalid character (byte 0); found "hello\\n"'
    )
    with pytest.raises(StepError) as caught:
        await rig("command", {"shell": "head -c 5000 /dev/zero", "parse": "json", "limits": {"output": "1KiB"}})
    assert str(caught.value) == "`the shell command` wrote 5000 bytes, to be parsed as JSON; 1KiB are kept"


async def test_long_output_is_cut_in_the_middle(rig: Rig) -> None:
    code = "import sys; w=sys.stdout.write; w('begin'); [w('x'*1000000) for _ in range(100)]; w('the end')"
    output = await rig("command", {"argv": [PYTHON, "-c", code], "limits": {"output": "2KiB"}})
    assert output["truncated"] is True
    text = output["stdout"]
    assert text.startswith("beginxxx")
    assert text.endswith("xxxthe end")
    assert f"\n… {100_000_012 - 2048} bytes left out …\n" in text
    assert len(text) < 2200


def test_kept_output_cuts_no_character_in_two() -> None:
    for limit in range(2, 30):
        kept = KeptOutput(limit)
        whole = "aé€😀" * 20
        data = whole.encode()
        for i in range(0, len(data), 7):
            kept.add(data[i : i + 7])
        text = kept.text()
        head, _, rest = text.partition("\n… ")
        left_out, _, tail = rest.partition(" bytes left out …\n")
        assert whole.startswith(head)
        assert whole.endswith(tail)
        assert len(head.encode()) + len(tail.encode()) + int(left_out) == len(data)
        assert "\ufffd" not in text


def test_kept_output_is_bounded() -> None:
    kept = KeptOutput(1000)
    for _ in range(1000):
        kept.add(b"y" * 10_000)
    assert kept.total == 10_000_000
    assert len(kept._head) + len(kept._tail) < 100_000
    whole = KeptOutput(1000)
    whole.add(b"z" * 1000)
    assert (whole.truncated, whole.text()) == (False, "z" * 1000)


@pytest.mark.req("E-CANC-1")
async def test_cancel_ends_the_whole_group_gently(rig: Rig, tmp_path: Path) -> None:
    shell = """
    trap 'echo stopped > note; exit 0' TERM
    sleep 600 & echo $! $$ > pids
    wait
    """
    task = asyncio.ensure_future(rig("command", {"shell": shell}))
    pids = await written(tmp_path / "pids", 2)
    assert all(alive(pid) for pid in pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(*pids)
    assert (tmp_path / "note").read_text() == "stopped\n"


@pytest.mark.req("E-CANC-1")
async def test_cancel_kills_after_the_grace(rig: Rig, tmp_path: Path) -> None:
    shell = "trap '' TERM; sleep 600 & echo $! $$ > pids; while true; do sleep 0.1; done"
    task = asyncio.ensure_future(rig("command", {"shell": shell, "grace": "300ms"}))
    pids = await written(tmp_path / "pids", 2)
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0.25 < time.monotonic() - begun < 5
    await gone(*pids)


async def test_a_second_cancel_ends_the_grace(rig: Rig, tmp_path: Path) -> None:
    shell = "trap '' TERM; echo $$ > pids; while true; do sleep 0.1; done"
    task = asyncio.ensure_future(rig("command", {"shell": shell, "grace": "1h"}))
    (pid,) = await written(tmp_path / "pids")
    task.cancel()
    await asyncio.wait([task], timeout=0.1)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    await gone(pid)


async def test_what_it_left_behind_ends_with_it(rig: Rig, tmp_path: Path) -> None:
    shell = "sleep 600 & echo $! >> pids; (set -m; sleep 600 >/dev/null 2>&1 & echo $! >> pids); echo done"
    output = await rig("command", {"shell": shell})
    assert output["stdout"] == "done\n"
    await gone(*await written(tmp_path / "pids", 2))


async def test_memory_limit(rig: Rig) -> None:
    code = "b = bytearray(400_000_000)"
    with pytest.raises(StepError) as caught:
        await rig("command", {"argv": [PYTHON, "-c", code], "limits": {"memory": "200MiB"}})
    assert caught.value.code == "resource_limit"
    # the kernel refuses it, or, where the program was quicker than the limit, the watch finds it
    refused = f"`{PYTHON}` wanted more than 200MiB of memory (`limits.memory`)"
    assert str(caught.value).replace(" used ", " wanted ").partition(": ")[0] == refused


async def test_memory_limit_counts_all_processes(rig: Rig) -> None:
    code = "b = bytearray(b'x') * 70_000_000; import time; time.sleep(60)"
    shell = 'for i in 1 2 3 4; do "$PY" -c "$CODE" & done; wait'
    with pytest.raises(StepError) as caught:
        await rig("command", {"shell": shell, "env": {"PY": PYTHON, "CODE": code}, "limits": {"memory": "200MiB"}})
    assert caught.value.code == "resource_limit"
    assert str(caught.value).startswith("`the shell command` used more than 200MiB of memory (`limits.memory`): ")
    assert caught.value.details["limit"] == "memory"


async def test_cpu_limit(rig: Rig) -> None:
    with pytest.raises(StepError) as caught:
        await rig("command", {"argv": [PYTHON, "-c", "while True: pass"], "limits": {"cpu": "1s"}})
    assert caught.value.code == "resource_limit"
    assert str(caught.value).startswith(f"`{PYTHON}` used more than 1s of CPU time (`limits.cpu`)")


async def test_process_limit(rig: Rig) -> None:
    with pytest.raises(StepError) as caught:
        await rig("command", {"shell": "for i in 1 2 3 4 5 6; do sleep 60 & done; wait", "limits": {"processes": 5}})
    assert caught.value.code == "resource_limit"
    assert str(caught.value) == "`the shell command` used more than 5 processes at once (`limits.processes`): 7"


async def test_large_input_that_is_not_read(rig: Rig) -> None:
    output = await rig("command", {"argv": ["true"], "stdin": "x" * 5_000_000})
    assert output["exit_code"] == 0
    output = await rig("command", {"argv": ["wc", "-c"], "stdin": "é" * 1_000_000})
    assert output["stdout"].strip() == "2000000"


async def test_many_at_once(rig: Rig) -> None:
    before = set(usages([os.getpid()])[os.getpid()].pids)
    outputs = await asyncio.gather(*(rig("command", {"argv": ["echo", i]}) for i in range(20)))
    assert [output["stdout"] for output in outputs] == [f"{i}\n" for i in range(20)]
    assert set(usages([os.getpid()])[os.getpid()].pids) <= before


@pytest.mark.req("E-CANC-1")
async def test_cancel_at_any_moment_of_the_start_leaves_nothing(rig: Rig) -> None:
    for turns in range(30):
        task = asyncio.ensure_future(rig("command", {"argv": ["sleep", "613"], "grace": "1s"}))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(10):
        while b"sleep\x00613\x00" in commands():
            await asyncio.sleep(0.01)


def commands() -> set[bytes]:
    """The command lines of all processes."""
    found: set[bytes] = set()
    for name in os.listdir("/proc"):
        if name.isdigit() and alive(int(name)):
            try:
                found.add(Path(f"/proc/{name}/cmdline").read_bytes())
            except OSError:  # it has just ended
                continue
    return found
