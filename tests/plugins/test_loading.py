"""What a plugin does when it is imported: whatever that is, it is named, and it ends nothing but itself."""

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reactor.core.clock import SYSTEM
from reactor.core.errors import ConfigError
from reactor.language.built_in import BUILT_IN
from reactor.plugins.found import discover
from reactor.plugins.installed import Plugins
from reactor.plugins.loading import Loader, Slow
from reactor.tests.plugins.pack import ACTION, SOURCE, install

pytestmark = pytest.mark.req("T-PLUG-3")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("lab_"):
            del sys.modules[name]


def loader(
    path: Path, target: str, text: str, *, group: str = "reactor.triggers", limit_s: float = 30.0, trial_s: float = 60.0
) -> Loader:
    module = target.partition(":")[0]
    install(path, "lab", {group: {"tick": target}}, {module: text})
    (found,) = discover([str(path)])
    return Loader(found, limit_s=limit_s, trial_s=trial_s)


def test_is_imported_once_when_it_is_asked_for(path: Path) -> None:
    made = loader(path, "lab_fine:Ticker", SOURCE)
    assert "lab_fine" not in sys.modules
    assert made.status().state == "found"
    assert made() is made()
    assert (made().__name__, made.status().state) == ("Ticker", "loaded")


def test_an_action_is_made_once(path: Path) -> None:
    made = loader(path, "lab_action:Shout", ACTION, group="reactor.actions")
    assert made() is made()
    assert made().name == "shout"


WHOSE = "the trigger kind tick of plugin lab 1.0"
HINT = "correct or uninstall lab"


@pytest.mark.parametrize(
    ("target", "text", "problem"),
    [
        ("lab_a:T", "import nothere", "cannot be imported from lab_a: ModuleNotFoundError: No module named 'nothere'"),
        ("lab_b:T", "1 / 0", "cannot be imported from lab_b: ZeroDivisionError: division by zero"),
        ("lab_c:T", "raise SystemExit(3)", "cannot be imported from lab_c: SystemExit: 3"),
        ("lab_d:T", "x =", "cannot be imported from lab_d: SyntaxError: invalid syntax (lab_d.py, line 1)"),
        ("lab_e:T", "", "cannot be used: there is no T in lab_e"),
        ("lab_f:T", "class T: pass", "cannot be used: lab_f:T has no `Config`, a TriggerConfig"),
        ("lab_g:Ticker", SOURCE.replace("traits =", "t ="), "cannot be used: lab_g:Ticker has no `traits`, a Traits"),
        ("lab_h:Ticker", SOURCE.replace("def close", "def closes"), "cannot be used: lab_h:Ticker has no `close`"),
        (
            "lab_i:Ticker",
            SOURCE.replace("read(self)", "read(self, timeout)"),
            "cannot be used: `read` of lab_i:Ticker must take no arguments",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(path: Path, target: str, text: str, problem: str) -> None:
    made = loader(path, target, text)
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            made()
        assert (str(caught.value), caught.value.hint) == (f"{WHOSE} {problem}", HINT)
    status = made.status()
    assert (status.state, status.problem, status.hint) == ("failed", f"{WHOSE} {problem}", HINT)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("class A:\n    def __init__(self): raise OSError('no port')", "cannot be imported from {m}: OSError: no port"),
        ("class A: pass", "cannot be used: {m}:A has no `execute`"),
        (
            "class A:\n    def execute(self, call): pass",
            "cannot be used: {m}:A has no `Input`; descend from ActionBase",
        ),
    ],
)
def test_what_is_wrong_with_an_action_is_said(path: Path, text: str, problem: str) -> None:
    module = f"lab_act{abs(hash(text))}"
    made = loader(path, f"{module}:A", text, group="reactor.actions")
    with pytest.raises(ConfigError) as caught:
        made()
    assert str(caught.value) == f"the action tick of plugin lab 1.0 {problem.format(m=module)}"


DIES = "cannot be imported from {m}: it ends the process that imports it, "


@pytest.mark.parametrize(
    ("module", "text", "problem"),
    [
        ("lab_exits", "import os\nos._exit(3)", DIES + "with exit code 3"),
        ("lab_quiet", "import os\nos._exit(0)", DIES + "with exit code 0"),
        ("lab_killed", "import os\nos.kill(os.getpid(), 9)", DIES + "by SIGKILL"),
        ("lab_wild", "import ctypes\nctypes.string_at(0)", DIES + "by SIGSEGV"),
    ],
)
@pytest.mark.parametrize("group", ["reactor.triggers", "reactor.actions"])
def test_one_that_kills_its_process_kills_another(path: Path, group: str, module: str, text: str, problem: str) -> None:
    made = loader(path, f"{module}:T", text, group=group)
    with pytest.raises(ConfigError) as caught:
        made()
    whose = WHOSE if group == "reactor.triggers" else "the action tick of plugin lab 1.0"
    assert (str(caught.value), caught.value.hint) == (f"{whose} {problem.format(m=module)}", HINT)
    assert made.status().state == "failed"
    assert module not in sys.modules


def test_an_action_that_kills_when_it_is_made(path: Path) -> None:
    text = "import os\nclass T:\n    def __init__(self): os._exit(4)"
    made = loader(path, "lab_late:T", text, group="reactor.actions")
    with pytest.raises(ConfigError) as caught:
        made()
    problem = DIES.format(m="lab_late") + "with exit code 4"
    assert str(caught.value) == f"the action tick of plugin lab 1.0 {problem}"


def test_one_that_hangs_for_good_hangs_in_another_process(path: Path) -> None:
    text = "import threading\nthreading.Event().wait()"
    made = loader(path, "lab_stuck:T", text, trial_s=3.0)
    with pytest.raises(ConfigError) as caught:
        made()
    assert str(caught.value) == f"{WHOSE} cannot be imported from lab_stuck: it has not ended after 3 s"
    assert "lab_stuck" not in sys.modules


def test_without_another_process_it_is_imported_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another process lacks what this one has: no verdict is no refusal."""
    made = loader(path, "lab_alone:Ticker", SOURCE)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert made().__name__ == "Ticker"
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert loader(path / "b", "lab_other:Ticker", SOURCE).found.state == "found"
    monkeypatch.syspath_prepend(str(path / "b"))
    (found,) = discover([str(path / "b")])
    assert Loader(found, limit_s=30.0)().__name__ == "Ticker"


def test_threads_that_it_begins_do_not_hold_the_trial(path: Path) -> None:
    begins = "threading.Thread(target=threading.Event().wait).start()"
    text = f"import sys, threading\nif 'pytest' not in sys.modules:\n    {begins}\n{SOURCE}"
    assert loader(path, "lab_threads:Ticker", text)().__name__ == "Ticker"


def test_an_import_that_hangs_holds_nobody_for_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(sys, "lab_gate", gate, raising=False)
    made = loader(path, "lab_slow:Ticker", f"import sys\nsys.lab_gate.wait()\n{SOURCE}", limit_s=0.05)
    started = SYSTEM.monotonic()
    for _ in range(100):
        with pytest.raises(Slow) as caught:
            made()
    assert SYSTEM.monotonic() - started < 5
    assert (str(caught.value), caught.value.hint, caught.value.code) == (
        f"{WHOSE} is still being imported: lab_slow takes over 0.05 s",
        "see what it does when it is imported: it must not wait for anything there",
        "plugin_slow",
    )
    assert made.status().state == "importing"
    gate.set()
    made.start().join(10)
    assert (made().__name__, made.status().state) == ("Ticker", "loaded")


def test_the_listing_names_what_is_broken(path: Path) -> None:
    install(
        path,
        "lab",
        {
            "reactor.triggers": {"tick": "lab_ok:Ticker", "boom": "lab_boom:Ticker"},
            "reactor.blocks": {"saga": "lab_boom:saga"},
        },
        {"lab_ok": SOURCE, "lab_boom": "1 / 0"},
    )
    plugins = Plugins(discover([str(path)]))
    assert [(each.name, each.state) for each in plugins.list()] == [
        ("saga", "unavailable"),
        ("boom", "found"),
        ("tick", "found"),
    ]
    boom = "the trigger kind boom of plugin lab 1.0"
    told: dict[str, Any] = {each.name: (each.state, each.problem) for each in plugins.list(load=True)}
    assert told == {
        "saga": ("unavailable", "block plugins are not carried out by this version yet"),
        "boom": ("failed", f"{boom} cannot be imported from lab_boom: ZeroDivisionError: division by zero"),
        "tick": ("loaded", ""),
    }
    assert sorted(plugins.kinds) == ["boom", "lab.boom", "lab.tick", "tick"]
    assert plugins.actions == {}
    assert plugins.missing["block"]["saga"] == "write the steps that it stands for"
    assert set(BUILT_IN.missing["block"]) < set(plugins.missing["block"])
