"""Python files among the workflows, on the command line."""

import sys
from collections.abc import Iterator
from itertools import count

import pytest

from reactor.tests.app.test_python_files import SHIP
from reactor.tests.cli.rig import Project, with_server


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.modules.pop("workflows.ship", None)
    sys.path[:] = path


def test_they_are_validated_listed_and_run(project: Project) -> None:
    file = project.root / "workflows" / "ship.py"
    file.write_text(SHIP.format(helper="json", text="packed"))
    with_server(project)
    assert "ship 1.0.0: 1 step" in project.say("validate").out.splitlines()
    assert "ship 1.0.0: 1 step" in project.say("validate", "workflows/ship.py").out.splitlines()
    assert {row["name"] for row in project.say("list", "-o", "json").json} == {"hello", "ship", "built"}
    said = project.say("run", "ship", "-i", "order=A1", "-o", "json")
    assert (said.code, said.json["outputs"]) == (0, {"pack": "packed A1"})
    file.write_text("import reactor\n1 / 0\n")
    assert project.say("validate", "workflows/ship.py") == (
        2,
        (
            "error: the file cannot be imported: ZeroDivisionError: division by zero\n"
            f"  --> {file}:2\n"
            " 2 | 1 / 0\n"
            "   | ^\n"
            "  = help: correct what is raised here\n\n"
        ),
        "1 error in 1 of 1 files\n",
    )


def test_dev_reads_them_again(project: Project) -> None:
    file = project.root / "workflows" / "ship.py"
    file.write_text(SHIP.format(helper="json", text="packed"))
    with_server(project)
    with project.start("dev") as dev:
        dev.ready()
        assert project.say("run", "ship", "-i", "order=A1", "-o", "json").json["outputs"] == {"pack": "packed A1"}
        file.write_text(SHIP.format(helper="json", text="wrapped").replace("1.0.0", "1.0.1"))
        dev.until(lambda: "loaded: ship" in dev.err)
        assert project.say("run", "ship", "-i", "order=A1", "-o", "json").json["outputs"] == {"pack": "wrapped A1"}
        file.write_text("import reactor\n1 / 0\n")
        dev.until(lambda: any("stays in force until its errors are mended" in line for line in dev.err))
        assert project.say("run", "ship", "-i", "order=A1", "-o", "json").json["outputs"] == {"pack": "wrapped A1"}
        dev.interrupt()
        assert dev.ended() == 0


def test_dev_says_that_the_project_is_read_at_its_start(project: Project) -> None:
    with_server(project)
    file = project.root / "reactor.yaml"
    with project.start("dev") as dev:
        dev.ready()
        dev.until(lambda: "watching workflows" in dev.err)
        file.write_text(file.read_text() + "vars: {a: 1}\n")
        dev.until(lambda: "reactor.yaml: start again to let it take effect" in dev.err)
        dev.interrupt()
        assert dev.ended() == 0


def test_dev_says_that_a_module_that_changed_is_read_at_the_start_alone(project: Project) -> None:
    with_server(project)
    file = project.root / "counting.py"
    file.write_text("def one() -> int:\n    return 1\n")
    project.write(count="workflow: count\nsteps: [{name: a, python: {function: 'counting:one'}, timeout: 9s}]\n")
    with project.start("dev") as dev:
        dev.ready()
        dev.until(lambda: "watching workflows" in dev.err)
        assert project.say("run", "count", "-o", "json").json["outputs"] == {"a": 1}
        told, numbers = "counting.py: start again to let it take effect", count(2)

        def is_told() -> bool:
            file.write_text(f"def one() -> int:\n    return {next(numbers)}\n")
            return told in dev.err

        dev.until(is_told)
        dev.interrupt()
        assert dev.ended() == 0


def test_a_call_of_one_with_errors_of_its_own_is_not_told_as_unknown(project: Project) -> None:
    file = project.root / "workflows" / "ship.py"
    file.write_text(
        "from reactor import Workflow, step\nclass Ship(Workflow):\n    @step(needs=['pack'])\n    def go(self): ...\n"
    )
    project.write(calls="workflow: calls\nsteps: [{run-workflow: {workflow: ship}}]\n")
    said = project.say("validate")
    assert (said.code, said.out) == (
        2,
        (
            "error: there is no step `pack`\n"
            f"  --> {file}:3 (steps.go.needs[0])\n"
            " 3 |     @step(needs=['pack'])\n"
            "   | ^\n"
            "  = found: pack\n\n"
            "calls 0.0.0: 1 step\n"
            "hello 1.2.0: 2 steps\n"
        ),
    )
