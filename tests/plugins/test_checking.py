"""`reactor plugin check` and `plugin new`: what is written earns its guarantee, what breaks the contract does not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import ConfigError
from reactor.plugins.checking import Checked, check_plugin
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
            "the process of the suite of a ended with 7 before its report: no more",
            "run the plugin's own tests with pytest",
        ),
        (
            "lab_raises:TestA",
            "the suite cannot be imported from lab_raises: ZeroDivisionError: division by zero",
            "correct the entry point `reactor.suites`",
        ),
        ("lab_hangs:TestA", "the suite of a did not end within 3 s", "see which of its tests hangs"),
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
    with pytest.raises(ConfigError) as caught:
        await check_plugin("tic", discover([str(tmp_path)]))
    assert str(caught.value) == "no installed plugin is called `tic`, and none supplies a kind or action of that name"
    assert caught.value.hint == "did you mean tick?"
    with pytest.raises(ConfigError) as caught:
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
