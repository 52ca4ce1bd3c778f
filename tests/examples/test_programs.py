"""The example programs: each run as its first line says, and looked at from inside where that shows more."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import ReactorError
from reactor.engine.plan import compile_plan
from reactor.language.builder import WorkflowBuilder
from reactor.tests.examples.rig import EXAMPLES, Examples


def run(folder: Path, *arguments: str) -> list[str]:
    """What a program prints; it must end well."""
    done = subprocess.run(
        [sys.executable, "-P", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ}
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.req("EX-2")
class TestDynamic:
    def test_the_second_step_gets_what_the_first_gave(self, folder: Path) -> None:
        assert run(folder, "dynamic.py") == ["step1: hello", "step2: got hello", "{'step2': 'hello, world'}"]

    def test_the_order_in_which_steps_are_added_does_not_matter(self, examples: Examples) -> None:
        dynamic = examples.module("dynamic")
        turned = WorkflowBuilder("dynamic_workflow").step("step2", dynamic.second, needs=["step1"])
        assert compile_plan(turned.step("step1", dynamic.first).build()).levels() == [["step1"], ["step2"]]
        assert compile_plan(dynamic.workflow).levels() == [["step1"], ["step2"]]

    def test_a_missing_step_is_an_error_of_build(self, examples: Examples) -> None:
        dynamic = examples.module("dynamic")
        with pytest.raises(ReactorError) as caught:
            WorkflowBuilder("dynamic_workflow").step("step2", dynamic.second, needs=["step1"]).build()
        assert "step1" in str(caught.value)


@pytest.mark.req("EX-13")
def test_the_resource_of_a_failed_run_is_gone(folder: Path) -> None:
    assert run(folder, "my_step.py") == ["{'use': 'used 122'} {'122'}", "compensated {'122'}"]


@pytest.mark.req("EX-14")
@pytest.mark.req("Q-6")
@pytest.mark.uncovered
def test_ten_seconds_side_by_side_take_one(folder: Path) -> None:
    results, took = run(folder, "parallel_ten.py")
    assert results == str({f"step_{n}": n for n in range(1, 11)})
    assert 1.0 <= float(took.removesuffix(" s")) <= 2.0


FLAGS = list(itertools.product((False, True), repeat=3))
LEVELS: dict[tuple[bool, bool, bool], list[list[str]]] = {
    (False, False, False): [["parse"], ["report"]],
    (True, False, False): [["parse"], ["semantic"], ["report"]],
    (False, True, False): [["parse"], ["security"], ["report"]],
    (True, True, False): [["parse"], ["semantic", "security"], ["report"]],
    (False, False, True): [["parse"], ["llm_enhance"], ["report"]],
    (True, False, True): [["parse"], ["semantic"], ["llm_enhance"], ["report"]],
    (False, True, True): [["parse"], ["security"], ["llm_enhance"], ["report"]],
    (True, True, True): [["parse"], ["semantic", "security"], ["llm_enhance"], ["report"]],
}


@pytest.mark.req("EX-7")
class TestChosen:
    @pytest.mark.parametrize("flags", FLAGS)
    async def test_every_choice_has_its_steps_and_levels(
        self, examples: Examples, flags: tuple[bool, bool, bool]
    ) -> None:
        chosen = examples.module("chosen")
        workflow = chosen.build(chosen.Wanted(*flags))
        levels = LEVELS[flags]
        assert compile_plan(workflow).levels() == levels
        await examples.app.deploy(workflow)
        found = await examples.run("dynamic", {"files": [str(examples.folder / "chosen.py")]})
        assert found["state"] == "completed", found["error"]
        before = sorted(step for level in levels[:-1] for step in level)
        assert found["outputs"]["report"] == {"report": before}
        if flags[2]:
            enhanced = next(step for step in found["steps"] if step["name"] == "llm_enhance")
            assert enhanced["output"]["enhanced_results"] == [name for name in before if name != "llm_enhance"]

    def test_enhancement_alone_waits_for_parse_only(self, examples: Examples) -> None:
        chosen = examples.module("chosen")
        workflow = chosen.build(chosen.Wanted(llm_enhancement=True))
        (step,) = (step for step in workflow.steps.steps if step.name == "llm_enhance")
        assert step.needs == ("parse",)

    async def test_an_output_that_is_left_out_is_refused(
        self, examples: Examples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen = examples.module("chosen")

        def security(parse: dict[str, Any]) -> dict[str, Any]:
            return {}

        monkeypatch.setattr(chosen, "security", security)
        await examples.app.deploy(chosen.build(chosen.Wanted(security_scan=True)))
        found = await examples.run("dynamic", {"files": [str(examples.folder / "chosen.py")]})
        assert (found["error"]["code"], found["error"]["failed_step"]) == ("invalid_output", "security")

    def test_it_runs_as_a_program(self, folder: Path) -> None:
        (line,) = run(folder, "chosen.py")
        assert line == "{'report': {'report': ['llm_enhance', 'parse', 'security', 'semantic']}}"


def test_every_program_is_run_here(folder: Path) -> None:
    programs = {file.name for file in folder.glob("*.py") if '__name__ == "__main__"' in file.read_text()}
    assert programs == {"dynamic.py", "my_step.py", "parallel_ten.py", "chosen.py"}


def test_the_examples_are_valid_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reactor.cli.main", "--project", str(EXAMPLES), "validate", "--strict"],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("REACTOR_")},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_index_names_every_example() -> None:
    index = (EXAMPLES / "README.md").read_text()
    found = [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("first/*.yaml"), *EXAMPLES.glob("workflows/*.yaml")]
    assert len(found) > 20
    names = [each.relative_to(EXAMPLES).as_posix() for each in found]
    assert [name for name in names if name not in index] == []
