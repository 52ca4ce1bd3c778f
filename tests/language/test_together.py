"""Workflows against each other: calls, recursion, names, triggers that are one reader."""

from pathlib import Path

import pytest

from reactor.language.definition import Loaded
from reactor.language.loader import load_files, load_mapping
from reactor.tests.language.words import WORDS


def told(folder: Path, **files: str) -> str:
    paths: list[Path] = []
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(text)
        paths.append(path)
    return load_files(paths, WORDS).diagnostics.render().replace(f"{folder}/", "")


def call(name: str, callee: str, more: str = "", version: str = "1.0.0") -> str:
    return f"workflow: {name}\nversion: {version}\nsteps:\n  call:\n    run-workflow: {{workflow: {callee}}}\n{more}"


END = """workflow: end
version: 1.2.0
inputs: {id: string, count: {type: integer, default: 1}}
steps: [{log: {message: a}}]
"""


@pytest.mark.req("V-6")
def test_recursion_without_end(tmp_path: Path) -> None:
    assert told(tmp_path, a=call("a", "b"), b=call("b", "a")) == (
        "error: these workflows run each other: a → b → a without end\n"
        "  --> a.yaml:5:5 (steps.call)\n"
        " 5 |     run-workflow: {workflow: b}\n"
        "   |     ^\n"
        "  = found: a → b → a\n"
        "  = help: give one of the steps an `if` that ends it"
    )


@pytest.mark.req("V-6")
def test_recursion_with_a_condition_is_a_warning(tmp_path: Path) -> None:
    assert told(tmp_path, a=call("a", "a", "    if: vars.dry_run\n")) == (
        "warning: this workflow runs itself: a → a\n"
        "  --> a.yaml:5:5 (steps.call)\n"
        " 5 |     run-workflow: {workflow: a}\n"
        "   |     ^\n"
        "  = found: a → a\n"
        "  = help: see that the condition ends it"
    )


@pytest.mark.req("V-3")
def test_unknown_workflow(tmp_path: Path) -> None:
    assert told(tmp_path, a=call("a", "edn"), end=END) == (
        "error: there is no workflow `edn`\n"
        "  --> a.yaml:5:30 (steps.call.with.workflow)\n"
        " 5 |     run-workflow: {workflow: edn}\n"
        "   |                              ^\n"
        "  = found: edn\n"
        "  = help: did you mean end?"
    )


@pytest.mark.req("V-3")
def test_no_version_in_the_range(tmp_path: Path) -> None:
    assert told(tmp_path, a=call("a", "end@^2"), end=END) == (
        "error: no version of `end` is in the range ^2\n"
        "  --> a.yaml:5:30 (steps.call.with.workflow)\n"
        " 5 |     run-workflow: {workflow: end@^2}\n"
        "   |                              ^\n"
        "  = found: end@^2\n"
        "  = help: there is 1.2.0"
    )


@pytest.mark.req("V-3")
def test_inputs_of_the_called_workflow(tmp_path: Path) -> None:
    text = (
        "workflow: a\nsteps:\n  none: {run-workflow: {workflow: end}}\n"
        '  wrong: {run-workflow: {workflow: end, inputs: {id: 5, cuont: 1, count: "${{ vars.rate }}"}}}\n'
    )
    assert told(tmp_path, a=text, end=END) == (
        "error: `end` needs the input `id`\n"
        "  --> a.yaml:3:9 (steps.none)\n"
        " 3 |   none: {run-workflow: {workflow: end}}\n"
        "   |         ^\n"
        "  = expected: id\n"
        "  = help: add it under `inputs`\n"
        "\n"
        "error: the input `id` of `end`: expected text; found the number 5\n"
        "  --> a.yaml:4:54 (steps.wrong.with.inputs.id)\n"
        ' 4 |   wrong: {run-workflow: {workflow: end, inputs: {id: 5, cuont: 1, count: "${{ vars.rate }}"}}}\n'
        "   |                                                      ^\n"
        "  = expected: text\n"
        "  = found: the number 5\n"
        "\n"
        "error: `end` has no input `cuont`\n"
        "  --> a.yaml:4:64 (steps.wrong.with.inputs.cuont)\n"
        ' 4 |   wrong: {run-workflow: {workflow: end, inputs: {id: 5, cuont: 1, count: "${{ vars.rate }}"}}}\n'
        "   |                                                                ^\n"
        "  = found: cuont\n"
        "  = help: did you mean count?"
    )


@pytest.mark.req("V-3")
def test_the_type_of_what_is_mapped(tmp_path: Path) -> None:
    text = (
        "workflow: a\ninputs: {total: number}\nsteps:\n  call:\n    run-workflow:\n      workflow: end\n"
        '      inputs: {id: "${{ inputs.total }}", count: "${{ inputs.total }}"}\n'
    )
    assert told(tmp_path, a=text, end=END) == (
        "error: the input `id` of `end` must be text; this is a number\n"
        "  --> a.yaml:7:20 (steps.call.with.inputs.id)\n"
        ' 7 |       inputs: {id: "${{ inputs.total }}", count: "${{ inputs.total }}"}\n'
        "   |                    ^\n"
        "  = expected: text\n"
        "  = found: a number\n"
        "  = help: convert it: string(…)"
    )


def test_a_call_of_a_workflow_with_errors_is_no_error(tmp_path: Path) -> None:
    broken = "workflow: end\nretri: {}\nsteps: [{log: {message: a}}]"
    assert "unknown" not in told(tmp_path, a=call("a", "end"), end=broken)
    assert load_files([tmp_path / "a.yaml", tmp_path / "end.yaml"], WORDS).failed == {str(tmp_path / "end.yaml")}


def test_one_version_twice(tmp_path: Path) -> None:
    assert told(tmp_path, a=END, b=END) == (
        "error: the workflow `end` 1.2.0 is defined more than once: also in b.yaml:1:11\n"
        "  --> a.yaml:1:11 (workflow)\n"
        " 1 | workflow: end\n"
        "   |           ^\n"
        "  = found: end\n"
        "  = help: give one of them another name or another `version`, or remove it\n"
        "\n"
        "error: the workflow `end` 1.2.0 is defined more than once: also in a.yaml:1:11\n"
        "  --> b.yaml:1:11 (workflow)\n"
        " 1 | workflow: end\n"
        "   |           ^\n"
        "  = found: end\n"
        "  = help: give one of them another name or another `version`, or remove it"
    )


def test_one_version_three_times(tmp_path: Path) -> None:
    found = told(tmp_path, a=END, b=END, c=END).splitlines()
    assert [line for line in found if line.startswith("error")] == [
        f"error: the workflow `end` 1.2.0 is defined more than once: also in {other} and 1 more"
        for other in ("b.yaml:1:11", "a.yaml:1:11", "a.yaml:1:11")
    ]


def test_equal_triggers_must_agree(tmp_path: Path) -> None:
    text = "workflow: {}\nwhen:\n  - http: /a\n    settle: {}\nsteps: [{{log: {{message: a}}}}]"
    assert told(tmp_path, a=text.format("a", "accepted"), b=text.format("b", "completed")) == (
        "error: this trigger is declared with other keys beside it in a.yaml:3:5; equal triggers are one reader\n"
        "  --> b.yaml:3:5 (when[0])\n"
        " 3 |   - http: /a\n"
        "   |     ^\n"
        "  = found: http-375b381a\n"
        "  = help: write them alike, or declare it once under `triggers` in reactor.yaml"
    )


def test_one_answer_for_a_path(tmp_path: Path) -> None:
    text = "workflow: {}\nwhen: [{{http: {{path: /a, respond: result}}}}]\nsteps: [{{log: {{message: a}}}}]"
    assert told(tmp_path, a=text.format("a"), b=text.format("b")) == (
        "error: `a` (a.yaml:2:8) answers this path with its result already\n"
        "  --> b.yaml:2:8 (when[0])\n"
        " 2 | when: [{http: {path: /a, respond: result}}]\n"
        "   |        ^\n"
        "  = help: give one of them another path"
    )


def test_one_trigger_for_a_path_whatever_its_parameters_are_called(tmp_path: Path) -> None:
    text = "workflow: {}\nwhen: [{{http: {{path: '/x/{{{}}}', method: PUT}}}}]\nsteps: [{{log: {{message: a}}}}]"
    assert told(tmp_path, a=text.format("a", "id"), b=text.format("b", "other"), c=text.format("c", "id")) == (
        "error: PUT /hooks/x/{} is served by the trigger of `a` (a.yaml:2:8) already\n"
        "  --> b.yaml:2:8 (when[0])\n"
        " 2 | when: [{http: {path: '/x/{other}', method: PUT}}]\n"
        "   |        ^\n"
        "  = found: PUT /hooks/x/{}\n"
        "  = help: give one of the two another path or method, or write their keys alike"
    )


def test_a_workflow_with_a_fault_between_files_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(call("a", "edn"))
    (tmp_path / "end.yaml").write_text(END)
    result = load_files(sorted(tmp_path.iterdir()), WORDS)
    assert [definition.name for definition in result.definitions] == ["end"]
    assert result.failed == {str(tmp_path / "a.yaml")}


def test_what_is_beside_the_files_may_be_called(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(call("a", "end"))
    end = load_mapping({"workflow": "end", "steps": [{"log": {"message": "a"}}]}, WORDS)
    assert load_files([tmp_path / "a.yaml"], WORDS).failed
    assert not load_files([tmp_path / "a.yaml"], WORDS, beside=[Loaded(end, {})]).diagnostics
