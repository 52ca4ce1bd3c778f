"""Mocked steps, and what can be asserted about how a run ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from reactor import RunFailed
from reactor.core.errors import ConfigError, StepError
from reactor.language.loader import load_text
from reactor.testing import TestApp
from reactor.tests.examples.rig import folder

__all__ = ["folder"]

NAME = "code_generation_transaction"
REQUIREMENTS = {"requirements": {"name": "add", "arguments": ["a", "b"], "returns": "a + b"}}


@pytest.fixture
async def app(folder: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestApp]:
    async with TestApp(project=folder, carry_on=True) as app:
        await app.load()
        yield app


async def failed(app: TestApp) -> RunFailed:
    run = await app.start(NAME, REQUIREMENTS)
    with pytest.raises(RunFailed) as told:
        await run.result(timeout=20)
    return told.value


@pytest.mark.req("H-2")
@pytest.mark.req("H-3")
async def test_a_mocked_failure_is_the_runs_error_and_what_was_done_is_undone(app: TestApp, folder: Any) -> None:
    app.mock_step_failure("validate_code", "syntax_error")
    error = await failed(app)
    assert (error.code, error.failed_step, error.state) == ("syntax_error", "validate_code", "compensated")
    assert error.error is not None
    assert error.error.message == "`validate_code` fails in this test"
    await app.assert_compensation_executed("generate_code")
    await app.assert_compensation_executed("reserve_resources")
    await app.assert_no_partial_results()
    assert list((folder / "generated").glob("*")) == []
    with pytest.raises(AssertionError) as not_undone:
        await app.assert_compensation_executed("commit_code")
    (run,) = (await app.runs())["items"]
    assert str(not_undone.value) == (
        f"`commit_code` was not undone (its handler did not run): the run {run['id']} is compensated; "
        "undone: reserve_resources, generate_code"
    )
    with pytest.raises(AssertionError) as unknown:
        await app.assert_compensation_executed("comit")
    assert str(unknown.value) == (
        f"the run {run['id']} has no step `comit`; it has: reserve_resources, generate_code, validate_code, commit_code"
    )


@pytest.mark.req("H-2")
async def test_a_mocked_value_takes_the_place_of_the_call(app: TestApp, folder: Any) -> None:
    app.mock("generate_code", StepError("busy", "later"), {"generated_code": "x = 1", "temp_files": []})
    assert (await failed(app)).code == "busy"
    run = await app.start(NAME, REQUIREMENTS)
    await run.result(timeout=20)
    shown = {each["name"]: each["output"] for each in (await run.status())["steps"]}
    assert shown["generate_code"] == {"generated_code": "x = 1", "temp_files": []}
    assert shown["validate_code"] == {"validation_result": {"statements": 1}}, "the others are carried out"
    app.mock("generate_code", {"code": "x"})
    assert (await failed(app)).code == "invalid_output", "what is mocked is checked all the same"
    with pytest.raises(ValueError, match="say what the step `a` gives") as nothing:
        app.mock("a")
    assert str(nothing.value) == "say what the step `a` gives"


@pytest.mark.req("H-3")
async def test_results_that_are_left_are_named(app: TestApp, folder: Any) -> None:
    with pytest.raises(AssertionError) as none:
        await app.assert_no_partial_results()
    assert str(none.value) == "no run was started"
    await (await app.start(NAME, REQUIREMENTS)).result(timeout=20)
    (run,) = (await app.runs())["items"]
    with pytest.raises(AssertionError) as completed:
        await app.assert_no_partial_results()
    assert str(completed.value) == f"the run {run['id']} completed"
    text = (folder / "workflows" / f"{NAME}.yaml").read_text()
    changed = load_text(text.replace("compensate_all", "fail_fast"), "changed.yaml", app.vocabulary())
    await app.deploy(*changed.loaded)
    app.mock_step_failure("commit_code", "exists", "there is one already")
    assert (await failed(app)).state == "failed"
    (run, _) = (await app.runs())["items"]
    with pytest.raises(AssertionError) as left:
        await app.assert_no_partial_results()
    assert str(left.value) == (
        f"the run {run['id']} is failed, and these steps are not undone: reserve_resources, generate_code"
    )


ODD = """
workflow: odd
steps:
  - {name: sum, transform: 1}
  - {name: rest, wait: {for: 1h}}
  - {name: asked, approval: {message: ok?}}
  - {name: child, run-workflow: {workflow: code_generation_transaction, mode: detached}}
  - {name: both, group: {steps: [{name: say, log: {message: x}}]}}
"""


@pytest.mark.req("H-2")
@pytest.mark.parametrize(
    ("step", "message", "hint"),
    [
        (
            "sum",
            "the step `sum` of `odd` cannot be mocked: `transform` calls no action",
            "it is computed: mock the steps whose outputs it reads",
        ),
        (
            "rest",
            "the step `rest` of `odd` cannot be mocked: `wait` calls no action",
            "send what it waits for, or let the clock go on",
        ),
        (
            "asked",
            "the step `asked` of `odd` cannot be mocked: `approval` calls no action",
            "answer it: app.runs_api.answer(…)",
        ),
        (
            "child",
            "the step `child` of `odd` cannot be mocked: `run-workflow` calls no action",
            "mock the steps of the workflow that it runs",
        ),
        ("both", "the step `both` of `odd` cannot be mocked: a block calls no action", "mock the steps inside"),
        ("validate_cod", "no workflow in force has the mocked step `validate_cod`", "did you mean validate_code?"),
    ],
)
async def test_a_mock_that_could_take_nothings_place_is_refused(
    step: str, message: str, hint: str, app: TestApp
) -> None:
    await app.deploy(*load_text(ODD, "odd.yaml", app.vocabulary()).loaded)
    app.mock(step, {"value": 1})
    for refused in (app.start(NAME, REQUIREMENTS), app.emit("any")):
        with pytest.raises(ConfigError) as told:
            await refused
        assert (str(told.value), told.value.hint) == (message, hint)
    assert (await app.runs())["items"] == []


async def test_a_name_that_one_of_several_workflows_can_mock_is_taken(app: TestApp) -> None:
    pure = ODD.replace("name: sum", "name: validate_code")
    await app.deploy(*load_text(pure, "odd.yaml", app.vocabulary()).loaded)
    app.mock_step_failure("validate_code", "syntax_error")
    assert (await failed(app)).code == "syntax_error"
