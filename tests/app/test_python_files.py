"""Python files among a project's workflows: registered by being there, read again when they change, never half."""

import asyncio
import importlib
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reactor.app import App
from reactor.engine.files import WorkflowFiles

SHIP = """\
from reactor import Workflow, WorkflowBuilder, on, step
import {helper}

class _Base(Workflow):
    pass

class Ship(Workflow, version="1.0.0", when=[on.event("order.paid")]):
    @step
    async def pack(self, order: str) -> str:
        return "{text} " + order

built = WorkflowBuilder("built").step("say", "transform", with_={{"value": 1}}).build()
"""
WAITS = """\
from reactor import Workflow, step, wait

class Waits(Workflow):
    gate = wait(event="go")

    @step
    def after(self, gate) -> str:
        return "{text}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "reactor.yaml").write_text("vars: {}\n")
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("workflows", "helper_of")):
            del sys.modules[name]
    sys.path[:] = path


def write(folder: Path, name: str, text: str) -> str:
    path = folder / "workflows" / name
    path.write_text(text)
    return str(path)


async def text_of(app: App, order: str) -> Any:
    receipt = await app.emit("order.paid", {"order": order})
    return (await app.runs_api.outcome(receipt.runs[0])).outputs


async def test_classes_and_what_is_built_are_in_force_and_changes_too(folder: Path) -> None:
    file = write(folder, "ship.py", SHIP.format(helper="json", text="packed"))
    write(folder, "other.yaml", "workflow: other\nsteps: [{log: {message: x}}]\n")
    write(folder, "notes.py", "raise RuntimeError('nothing of Reactor: never imported')\n")
    async with App(project=folder) as app:
        result = await app.load()
        assert (result.failed, sorted(app.engine.workflows.names())) == (set(), ["built", "other", "ship"])
        assert await text_of(app, "A1") == {"pack": "packed A1"}
        write(folder, "ship.py", SHIP.format(helper="json", text="PACKED"))  # as long as it was, in the same second
        await app.load()
        assert await text_of(app, "A2") == {"pack": "PACKED A2"}
        Path(file).unlink()
        await app.load()
        assert (await app.emit("order.paid", {"order": "A3"})).runs == ()


BREAKS = [
    ("def broken(:\n", "wrong_syntax", 13, "this is not Python: invalid syntax", "correct the file"),
    (
        "\n1 / 0\n",
        "import_failed",
        14,
        "the file cannot be imported: ZeroDivisionError: division by zero",
        "correct what is raised here",
    ),
    (
        "import helper_of_nobody\n",
        "import_failed",
        13,
        "the file cannot be imported: ModuleNotFoundError: No module named 'helper_of_nobody'",
        "install what holds `helper_of_nobody`, or put it into the project",
    ),
    (
        "raise SystemExit(3)\n",
        "import_failed",
        13,
        "the file cannot be imported: SystemExit: 3",
        "correct what is raised here",
    ),
]


@pytest.mark.parametrize(("more", "code", "line", "message", "hint"), BREAKS)
async def test_a_file_that_breaks_keeps_its_last_good_state(
    more: str, code: str, line: int, message: str, hint: str, folder: Path
) -> None:
    good = SHIP.format(helper="json", text="packed")
    file = write(folder, "ship.py", good)
    async with App(project=folder) as app:
        await app.load()
        write(folder, "ship.py", good.replace("packed", "broken") + more)
        for _ in range(2):
            result = await app.load()
            (found,) = result.diagnostics.errors
            assert (found.code, found.message, found.hint) == (code, message, hint)
            assert (found.place.file, found.place.line, result.failed) == (file, line, {file})
        assert await text_of(app, "A1") == {"pack": "packed A1"}


async def test_an_import_that_hangs_is_named_and_taken_once_it_is_through(folder: Path) -> None:
    good = SHIP.format(helper="json", text="packed")
    file = write(folder, "ship.py", good)
    gate = types.ModuleType("helper_of_hanging")
    vars(gate).update(go=threading.Event(), begun=[])
    sys.modules[gate.__name__] = gate
    async with App(project=folder) as app:
        app.files = WorkflowFiles(str(folder), app.functions, import_s=0.05)
        await app.load()
        hangs = "import helper_of_hanging as gate\ngate.begun.append(1)\nassert gate.go.wait(60)\n"
        write(folder, "ship.py", hangs + good.replace("packed", "late"))
        write(folder, "other.yaml", "workflow: other\nsteps: [{log: {message: x}}]\n")
        for _ in range(2):
            result = await app.load()
            (found,) = result.diagnostics.errors
            assert (found.code, found.place.file, result.failed) == ("import_slow", file, {file})
            assert found.message == "the file is still being imported: it takes over 0.05 s and has not ended"
            assert found.hint == (
                "see what it does when it is imported: it must not wait for anything there; then change or reload it"
            )
        assert gate.begun == [1], "it is not begun again"
        assert "other" in app.engine.workflows.names()
        assert await text_of(app, "A1") == {"pack": "packed A1"}
        thread = next(t for t in threading.enumerate() if t.name == "import workflows.ship")
        gate.go.set()
        thread.join(60)
        assert not (await app.load()).failed
        assert await text_of(app, "A2") == {"pack": "late A2"}
        assert gate.begun == [1]


async def test_while_a_file_is_imported_others_have_their_turn(folder: Path) -> None:
    gate = types.ModuleType("helper_of_waiting")
    vars(gate)["go"] = threading.Event()
    sys.modules[gate.__name__] = gate
    good = SHIP.format(helper="json", text="packed")
    write(folder, "ship.py", good)
    async with App(project=folder) as app:
        app.files = WorkflowFiles(str(folder), app.functions, import_s=10)
        await app.load()
        write(
            folder,
            "ship.py",
            "import helper_of_waiting as gate\nassert gate.go.wait(60)\n" + good.replace("packed", "PACKED"),
        )
        loading = [asyncio.ensure_future(app.load()) for _ in range(2)]
        assert await text_of(app, "A1") == {"pack": "packed A1"}
        assert [each.done() for each in loading] == [False, False]
        gate.go.set()
        for each in loading:
            assert not (await each).diagnostics.errors
        assert await text_of(app, "A2") == {"pack": "PACKED A2"}


async def test_what_a_file_lacked_may_come_without_a_change_of_the_file(folder: Path) -> None:
    write(folder, "ship.py", SHIP.format(helper="helper_of_ours", text="packed"))
    async with App(project=folder) as app:
        assert (await app.load()).failed
        (folder / "helper_of_ours.py").write_text("")
        importlib.invalidate_caches()
        assert not (await app.load()).failed
        assert await text_of(app, "A1") == {"pack": "packed A1"}


async def test_what_is_wrong_in_a_class_is_told_with_its_line(folder: Path) -> None:
    text = "from reactor import Workflow, action\n\nclass Wrong(Workflow):\n    a = action('httpp', url='x')\n"
    file = write(folder, "wrong.py", text)
    async with App(project=folder) as app:
        result = await app.load()
        (found,) = result.diagnostics.errors
        assert (result.failed, found.place.file, found.place.line) == ({file}, file, 4)
        assert "httpp" in found.message


async def test_the_same_name_in_a_text_is_told(folder: Path) -> None:
    file = write(folder, "ship.py", SHIP.format(helper="json", text="packed"))
    text = write(folder, "ship.yaml", "workflow: ship\nversion: 1.0.0\nsteps: [{log: {message: x}}]\n")
    async with App(project=folder) as app:
        result = await app.load()
        assert result.failed == {file, text}
        assert [each.code for each in result.diagnostics.errors] == ["duplicate_name", "duplicate_name"]


async def test_runs_go_on_after_a_restart_before_files_are_read(folder: Path) -> None:
    write(folder, "waits.py", WAITS.format(text="old"))
    store = f"sqlite:///{folder / 's.db'}"
    async with App(store, project=folder) as app:
        await app.load()
        run = (await app.start("waits")).id
    write(folder, "waits.py", WAITS.format(text="new"))
    async with App(store, project=folder) as app:
        await app.emit("go")
        async with asyncio.timeout(20):
            await app.runs_api.outcome(run)
        assert (await app.get(run))["outputs"] == {"after": "new"}


async def test_a_program_may_import_the_file_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "ship.py", SHIP.format(helper="json", text="packed"))
    monkeypatch.syspath_prepend(str(folder))
    module = importlib.import_module("workflows.ship")
    app = App(project=folder)
    app.register(module.Ship)
    async with app:
        result = await app.load()
        assert (result.failed, sorted(app.engine.workflows.names())) == (set(), ["built", "ship"])
        assert sys.modules["workflows.ship"] is module
        assert await text_of(app, "A1") == {"pack": "packed A1"}
