"""`reactor plugin check` and `plugin new`: what is written earns its guarantee, what breaks the contract does not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import ConfigError, PermanentError
from reactor.plugins import checking
from reactor.plugins.checking import Checked, Outcome, check_plugin
from reactor.plugins.found import discover
from reactor.plugins.template import new_plugin
from reactor.tests.plugins.pack import install


def installed(folder: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that `plugin new` wrote, installed into a folder of its own."""
    new_plugin(name, "trigger" if kind == "trigger" else "action", folder=folder)
    pip = [sys.executable, "-P", "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "-t", str(folder / "site"), str(folder / name)], check=True)
    monkeypatch.syspath_prepend(str(folder / "site"))
    return folder / "site"


def outcomes(checked: Checked) -> dict[str, str]:
    return {test.name: test.outcome for test in checked.tests}


@pytest.mark.slow
@pytest.mark.req("T-PLUG-1")
async def test_a_new_trigger_earns_its_guarantee_and_a_broken_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = installed(tmp_path, "reactor-lines", "trigger", monkeypatch)
    found = discover([str(site)])
    assert [(each.what, each.words) for each in found] == [("trigger", ("lines", "reactor-lines.lines"))]
    (checked,) = await check_plugin("lines", found)
    assert (checked.passed, checked.declared, checked.earned) == (True, "at_most_once", "at_most_once")
    assert set(outcomes(checked).values()) == {"passed", "excused"}
    assert outcomes(checked)["test_keeps_the_order_of_a_partition"] == "passed"
    tests = {test.name: test.message for test in checked.tests}
    assert tests["test_a_refused_event_comes_back"] == "the source cannot redeliver"

    source = site / "reactor_lines" / "source.py"
    source.write_text(source.read_text().replace("acknowledges=False", "acknowledges=True"))
    suite = site / "reactor_lines" / "suite.py"
    suite.write_text(suite.read_text().replace('below."""\n', 'below."""\n\n    LIMIT_S = QUIET_S = 0.3\n'))
    monkeypatch.delitem(sys.modules, "reactor_lines.source")
    (checked,) = await check_plugin("reactor-lines", found)
    assert (checked.passed, checked.declared, checked.earned) == (False, "at_least_once", "")
    assert outcomes(checked)["test_what_was_not_settled_comes_again_after_a_restart"] == "failed"
    assert outcomes(checked)["test_opens_and_closes"] == "passed"


@pytest.mark.slow
@pytest.mark.req("T-PLUG-1")
async def test_a_new_action_passes_and_its_own_tests_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = installed(tmp_path, "shout", "action", monkeypatch)
    (checked,) = await check_plugin("shout.shout", discover([str(site)]))
    assert (checked.passed, checked.declared, checked.earned) == (True, "", "")
    assert set(outcomes(checked).values()) == {"passed"}
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    env = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path / "shout", env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


SUITES = {
    "lab_ok": "from reactor.testing import ActionSuite\nfrom lab_thing import A\n"
    "class TestA(ActionSuite):\n    action = A()\n    valid = {}\n",
    "lab_thing": "from reactor.engine.actions.contract import ActionBase\n"
    "class A(ActionBase):\n    name = 'lab.a'\n    async def execute(self, call): return 1\n",
    "lab_none": "class TestA: pass\n",
    "lab_own": "from lab_ok import TestA as B\nclass TestA(B):\n    def test_publishes_its_schemas(self): pass\n",
    "lab_skips": "import pytest\nfrom lab_ok import TestA as B\nclass TestA(B):\n"
    "    @pytest.fixture\n    def valid_with(self): pytest.skip('no server')\n",
    "lab_dies": "import os\nprint('no more')\nos._exit(7)\n",
    "lab_hangs": "while True: pass\n",
    "lab_raises": "1 / 0\n",
}


@pytest.mark.slow
@pytest.mark.req("T-PLUG-3")
@pytest.mark.parametrize(
    ("suite", "problem", "hint"),
    [
        ("lab_none:TestA", "lab_none:TestA is no subclass of ActionSuite", "see reactor.testing"),
        (
            "lab_own:TestA",
            "lab_own:TestA replaces tests of the suite: test_publishes_its_schemas",
            "leave them as they are",
        ),
        (
            "lab_dies:TestA",
            "the process of the suite of a ended with exit code 7 before its report: no more",
            "run the plugin's own tests with pytest",
        ),
        (
            "lab_raises:TestA",
            "the suite cannot be imported from lab_raises: ZeroDivisionError: division by zero",
            "correct lab_raises, or the entry point `reactor.suites`",
        ),
        (
            "lab_hangs:TestA",
            "the suite of a did not end within 3 s",
            "see which of its tests hangs, or what it waits for when it is imported",
        ),
        (
            "",
            "lab ships no suite for a: nothing is proven",
            "name a subclass of ActionSuite in an entry point `reactor.suites`: a = module:Class",
        ),
    ],
)
async def test_a_suite_that_cannot_run_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: str, problem: str, hint: str
) -> None:
    points = {"reactor.actions": {"a": "lab_thing:A"}, "reactor.suites": {"a": suite} if suite else {}}
    monkeypatch.syspath_prepend(str(install(tmp_path, "lab", points, SUITES)))
    limit = 3.0 if "hangs" in suite else 60.0
    (checked,) = await check_plugin("lab", discover([str(tmp_path)]), limit_s=limit)
    monkeypatch.delitem(sys.modules, "lab_thing")
    assert (checked.passed, checked.problem, checked.hint) == (False, problem, hint)


@pytest.mark.slow
async def test_only_the_suite_itself_excuses_a_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"reactor.actions": {"a": "lab_thing:A"}, "reactor.suites": {"a": "lab_skips:TestA"}}
    monkeypatch.syspath_prepend(str(install(tmp_path, "lab", points, SUITES)))
    (checked,) = await check_plugin("lab", discover([str(tmp_path)]))
    monkeypatch.delitem(sys.modules, "lab_thing")
    assert not checked.passed
    message = "skipped by the plugin: only the suite itself excuses a test, by the traits"
    assert {test.message for test in checked.tests if test.outcome == "failed"} == {message}


TRIGGER = """
import asyncio, os, subprocess, sys, threading, time
from reactor.triggers.contract import Delivery, Event, NotConnected, Traits, TriggerConfig

class Source:
    Config = TriggerConfig
    traits = Traits(acknowledges=False, stable_ids=False, ordered=True, replays=False, shared=False)

    def __init__(self, config):
        self.queue = asyncio.Queue()

    async def connect(self):
        pass

    async def read(self):
        payload = await self.queue.get()
        return Delivery((Event(type="lab.row", source="/lab", data=payload.decode()),))

    async def close(self):
        pass
"""
OF_TRIGGER = """
import pytest
from lab_source import Source
from reactor.testing import Rig, TriggerSuite

class World(Rig):
    async def make(self):
        self.made = Source(Source.Config())
        return self.made

    async def emit(self, payload):
        self.made.queue.put_nowait(payload)

    def payload(self, event):
        return event.data.encode()

    async def cut(self, trigger):
        pass

class TestSource(TriggerSuite):
    trigger = Source
    LIMIT_S = 0.5
    QUIET_S = 0.05

    @pytest.fixture
    async def rig(self):
        async with World() as rig:
            yield rig
"""


async def of_a_trigger(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: tuple[str, str] = ("", ""), suite: tuple[str, str] = ("", "")
) -> Checked:
    """Checked with one thing of the source, or of its suite, replaced."""
    points = {"reactor.triggers": {"rows": "lab_source:Source"}, "reactor.suites": {"rows": "lab_suite:TestSource"}}
    modules = {"lab_source": TRIGGER.replace(*source), "lab_suite": OF_TRIGGER.replace(*suite)}
    monkeypatch.syspath_prepend(str(install(folder, "lab", points, modules)))
    (checked,) = await check_plugin("lab", discover([str(folder)]), limit_s=100.0)
    monkeypatch.delitem(sys.modules, "lab_source", raising=False)
    return checked


OPEN = """    async def open(self):
        from reactor.testing.trigger_suite import connect
        trigger = await self.make()
        await connect(trigger, 0.2)
        return trigger

"""
SOON = ("    async def cut(", OPEN + "    async def cut(")
FIRST = "test_closes_after_a_cancelled_read"
PROMISE = "Nothing of a read that was cancelled holds `close` up."
WAITS = "payload = await self.queue.get()"
PASS = "async def connect(self):\n        pass"


@pytest.mark.slow
@pytest.mark.req("T-PLUG-3")
@pytest.mark.parametrize(
    ("source", "told", "problem"),
    [
        (
            (WAITS, "os._exit(7)"),
            Outcome(FIRST, "failed", "it ended the process, with exit code 7", "", PROMISE),
            "9 of 19 tests did not run",
        ),
        (
            (WAITS, "os.write(2, b'no more\\n'); os.kill(os.getpid(), 9)"),
            Outcome(FIRST, "failed", "it ended the process, by SIGKILL: no more", "", PROMISE),
            "9 of 19 tests did not run",
        ),
        (
            (WAITS, "time.sleep(1e6)"),
            Outcome(
                FIRST,
                "failed",
                "it did not end within 3 s, and kept the others from running",
                "lab_source.py:16",
                PROMISE,
            ),
            "9 of 19 tests did not run",
        ),
        (
            (WAITS, "payload = 1 / 0"),
            Outcome(FIRST, "failed", "ZeroDivisionError: division by zero", "lab_source.py:16", PROMISE),
            "",
        ),
        (
            (WAITS, "await asyncio.Event().wait()"),
            Outcome(
                "test_reads_what_came_before_reading_began",
                "failed",
                "AssertionError: 0 of 1 events came within 0.5 s",
                "lab_source.py:16",
                "From `connect` on nothing is missed.",
            ),
            "",
        ),
        (
            (PASS, "async def connect(self):\n        raise NotConnected('no line')"),
            Outcome(
                "test_opens_and_closes",
                "failed",
                "AssertionError: `connect` did not come to an end within 0.2 s; "
                "the last time it raised NotConnected: no line",
                "lab_source.py:13",
                "Connect, then close within CLOSE_S_MAX.",
            ),
            "",
        ),
        (
            ("return Delivery(", "return ("),
            Outcome(
                "test_reads_what_came_before_reading_began",
                "failed",
                "AssertionError: `read` must give a Delivery; it gave tuple",
                "",
                "From `connect` on nothing is missed.",
            ),
            "",
        ),
        (
            (PASS, "async def connect(self):\n        self.task = asyncio.ensure_future(asyncio.Event().wait())"),
            Outcome(
                "test_closing_leaves_nothing_at_work",
                "failed",
                "AssertionError: a trigger that was closed left 3 tasks behind: Event.wait",
                "",
                "No task and no thread of a trigger outlives its `close`.",
            ),
            "",
        ),
    ],
    ids=["exits", "is-killed", "blocks", "raises", "waits", "never-connects", "gives-a-tuple", "leaves-a-task"],
)
async def test_a_broken_trigger_is_told_with_its_place_and_the_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: tuple[str, str], told: Outcome, problem: str
) -> None:
    monkeypatch.setattr(checking, "CHECK_TEST_S_MAX", 3.0 if "sleep" in source[1] else 60.0)
    checked = await of_a_trigger(tmp_path, monkeypatch, source, SOON if "NotConnected" in source[1] else ("", ""))
    (found,) = [each for each in checked.tests if each.name == told.name]
    place = found.place.rpartition("/")[2]
    assert (checked.passed, checked.earned, checked.problem) == (False, "", problem)
    assert Outcome(found.name, found.outcome, found.message, place, found.promise) == told


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        ("async def close(self):", "async def close(self, *, _=subprocess.Popen(['sleep', '900'])):"),
        ("class Source:", "threading.Thread(target=time.sleep, args=(900,)).start()\n\nclass Source:"),
        (WAITS, WAITS + "; print('rubbish', flush=True); os.write(1, b'\\xff' * 300_000)"),
        (PASS, "async def connect(self):\n        os.close(1); os.close(2); os.open('/dev/null', 2); os.dup(1)"),
    ],
    ids=["a-program", "a-thread", "rubbish", "closed-output"],
)
async def test_what_a_plugin_leaves_behind_or_prints_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: tuple[str, str]
) -> None:
    checked = await of_a_trigger(tmp_path, monkeypatch, source)
    assert (checked.passed, checked.earned) == (True, "at_most_once"), checked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "problem", "hint"),
    [
        (
            ("    trigger = Source", "    trigger = type('Other', (Source,), {})"),
            "lab_suite:TestSource tests lab_suite:Other, not lab_source:Source",
            "name what is to be proven: trigger = Source",
        ),
        (
            ("    @pytest.fixture\n    async def rig", "    async def _rig"),
            "lab_suite:TestSource has no `rig`",
            "it says what is tested, and in which world: see the page of plugins",
        ),
        (
            (
                "    LIMIT_S",
                "    excused = {'test_opens_and_closes': 'no'}\n    test_opens_and_closes = None\n    LIMIT_S",
            ),
            "lab_suite:TestSource replaces tests of the suite: test_opens_and_closes",
            "leave them as they are",
        ),
        (
            ("import pytest", "raise KeyboardInterrupt"),
            "the suite cannot be imported from lab_suite: KeyboardInterrupt: ",
            "correct lab_suite, or the entry point `reactor.suites`",
        ),
    ],
    ids=["another", "no-rig", "excuses-itself", "ctrl-c"],
)
async def test_a_suite_that_proves_nothing_earns_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: tuple[str, str], problem: str, hint: str
) -> None:
    checked = await of_a_trigger(tmp_path, monkeypatch, suite=suite)
    assert (checked.passed, checked.earned, checked.problem, checked.hint) == (False, "", problem, hint)


async def test_a_plugin_that_cannot_be_used_is_not_checked(tmp_path: Path) -> None:
    install(tmp_path, "lab", {"reactor.triggers": {"a": "lab_gone:A"}, "reactor.blocks": {"b": "lab_gone:B"}})
    checked = await check_plugin("lab", discover([str(tmp_path)]))
    whose = "the trigger kind a of plugin lab 1.0"
    assert [(each.name, each.passed, each.problem) for each in checked] == [
        ("b", False, "block plugins are not carried out by this version yet"),
        (
            "a",
            False,
            f"{whose} cannot be imported from lab_gone: ModuleNotFoundError: No module named 'lab_gone'",
        ),
    ]


async def test_a_name_that_nobody_has(tmp_path: Path) -> None:
    install(tmp_path, "lab", {"reactor.triggers": {"tick": "lab_gone:A"}})
    with pytest.raises(PermanentError) as caught:
        await check_plugin("tic", discover([str(tmp_path)]))
    assert str(caught.value) == "no installed plugin is called `tic`, and none supplies a kind or action of that name"
    assert caught.value.code == "not_found"
    assert caught.value.hint == "did you mean tick?"
    with pytest.raises(PermanentError) as caught:
        await check_plugin("tic", [])
    assert caught.value.hint == "install it first: pip install -e FOLDER"


def refused(name: str, folder: Path, **more: Any) -> tuple[str, str, str]:
    with pytest.raises(ConfigError) as caught:
        new_plugin(name, folder=folder, **more)
    return caught.value.code, str(caught.value), caught.value.hint


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert refused("my-go", tmp_path, language="go") == (
        "unavailable",
        "plugins in go are not available in this version",
        "write it in Python; plugins in other languages speak gRPC, which is not carried out by this version yet",
    )
    assert refused("My", tmp_path) == (
        "config",
        "`My` cannot be the name of a plugin",
        "lower-case letters and digits, words joined by `-`, such as reactor-serial",
    )
    assert refused("reactor-file", tmp_path) == (
        "config",
        "`file` is a word of Reactor's own: a plugin cannot have it",
        "choose another, such as reactor-my-file",
    )
    assert refused("there", tmp_path) == (
        "config",
        f"{tmp_path / 'there'} is there already",
        "choose another name, or another folder",
    )
    assert refused("x", tmp_path, kind="block") == (
        "config",
        "a plugin supplies a trigger or an action; found block",
        "write trigger or action",
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["there"]
