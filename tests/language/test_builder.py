"""Workflows built at run time: the same definitions as YAML and classes give, and every error named at once."""

import itertools
import re
from typing import Any

import pytest

from reactor import Step, WorkflowBuilder, action, group, wait
from reactor.engine.plan import compile_plan
from reactor.language.builder import BuiltWorkflow
from reactor.language.built_in import BUILT_IN
from reactor.language.definition import WorkflowDefinition, decode, encode
from reactor.language.diagnostics import InvalidDefinition
from reactor.language.loader import load_text
from reactor.testing.workflows import build_parallel_workflow


def of_yaml(text: str) -> WorkflowDefinition:
    result = load_text(text, "flow.yaml", BUILT_IN)
    assert result.diagnostics.errors == []
    return result.definitions[0]


def first() -> dict[str, int]:
    return {"value": 1}


def second(step1: dict[str, int], unit: str = "s") -> str:
    return f"{step1['value']}{unit}"


def undo(step1: dict[str, int]) -> None:
    pass


@pytest.mark.req("E-DEF-4")
@pytest.mark.req("EX-2")
def test_it_gives_the_definition_that_yaml_gives() -> None:
    built = WorkflowBuilder("dynamic_workflow").step("step1", first).step("step2", second, needs=["step1"]).build()
    assert built == of_yaml("""
workflow: dynamic_workflow
inputs: {unit: {type: string, default: s}}
steps:
  step1: {python: {function: "dynamic_workflow:step1"}}
  step2:
    needs: [step1]
    python:
      function: "dynamic_workflow:step2"
      args: {step1: "${{ steps.step1.output }}", unit: "${{ inputs.unit }}"}
""")
    assert built.coded.functions == {"dynamic_workflow:step1": first, "dynamic_workflow:step2": second}


@pytest.mark.req("EX-2")
def test_the_order_of_the_steps_does_not_matter() -> None:
    built = WorkflowBuilder("dynamic_workflow").step("step2", second, needs=["step1"]).step("step1", first).build()
    assert compile_plan(built).levels() == [["step1"], ["step2"]]


def test_what_is_built_is_a_definition() -> None:
    built = WorkflowBuilder("a", version="1.0.0").step("one", "log", with_={"message": "x"}).build()
    assert isinstance(built, WorkflowDefinition)
    assert isinstance(built, BuiltWorkflow)
    plain = decode(encode(built))
    assert built == plain
    assert plain == built
    assert hash(built) == hash(WorkflowBuilder("a", version="1.0.0").step("one", action("log", message="x")).build())
    assert built != WorkflowBuilder("b", version="1.0.0").step("one", action("log", message="x")).build()


def test_all_that_can_be_a_step() -> None:
    class Made(Step):
        def execute(self, order_id: str) -> int:
            return 1

        def compensate(self, context: Any, error: Any) -> None:
            pass

    built = (
        WorkflowBuilder("every", inputs={"order_id": "string"})
        .step("step1", first, retry={"attempts": 2, "delay": 3}, compensate={"uses": undo, "when": "both"})
        .step("class", Made)
        .step("action", "log", with_={"message": "x"}, timeout=2)
        .step("reference", "samples:fetch", with_={"args": {"a": 1}})
        .step("value", wait(for_=1), needs="all")
        .step("block", group([lambda order_id: None, action("log", message="y")]), if_="inputs.order_id != ''")
        .step("undone", first, compensate={"when": "failed", "log": {"message": "undone"}})
        .build()
    )
    assert built == of_yaml("""
workflow: every
inputs: {order_id: string}
steps:
  step1:
    python: {function: "every:step1"}
    retry: {attempts: 2, delay: 3s}
    compensate: {when: both, python: {function: "every:step1.compensate", args: {step1: "${{ output }}"}}}
  class:
    python: {function: "every:class", args: {order_id: "${{ inputs.order_id }}"}}
    compensate: {python: {function: "every:class", args: {order_id: "${{ inputs.order_id }}"}}}
  action: {log: {message: x}, timeout: 2s}
  reference: {python: {function: "samples:fetch", args: {a: 1}}}
  value: {wait: {for: 1s}, needs: all}
  block:
    if: inputs.order_id != ''
    group:
      steps:
        - python: {function: "every:block_step1", args: {order_id: "${{ inputs.order_id }}"}}
        - log: {message: y}
  undone: {python: {function: "every:undone"}, compensate: {when: failed, log: {message: undone}}}
""")


def test_a_value_is_not_changed_by_its_builder() -> None:
    pause = wait(for_=1)
    WorkflowBuilder("a").step("one", pause, timeout=3).step("two", pause, needs=["one"])
    assert pause.keys == {}


def parse(files: list[str]) -> dict[str, Any]:
    return {"ast": files}


def semantic(parse: dict[str, Any]) -> dict[str, Any]:
    return {"semantic_results": parse["ast"]}


def security(parse: dict[str, Any]) -> dict[str, Any]:
    return {"security_results": parse["ast"]}


def enhance(all_results: dict[str, Any]) -> dict[str, Any]:
    return {"enhanced_results": sorted(all_results)}


def report(all_results: dict[str, Any]) -> dict[str, Any]:
    return {"report": sorted(all_results)}


def build_custom_workflow(semantic_analysis: bool, security_scan: bool, llm_enhancement: bool) -> BuiltWorkflow:
    builder = WorkflowBuilder("dynamic", description="Steps chosen by what was asked for", inputs={"files": "array"})
    seen: list[str] = []

    def add(name: str, function: Any, out: str, **keys: Any) -> None:
        builder.step(name, function, output={"type": "object", "required": [out]}, **keys)
        seen.append(name)

    def everything() -> dict[str, Any]:
        return {"args": {"all_results": {name: f"${{{{ steps.{name}.output }}}}" for name in seen}}}

    add("parse", parse, "ast")
    if semantic_analysis:
        add("semantic", semantic, "semantic_results", needs=["parse"])
    if security_scan:
        add("security", security, "security_results", needs=["parse"])
    if llm_enhancement:
        add("llm_enhance", enhance, "enhanced_results", needs=list(seen), with_=everything())
    add("report", report, "report", needs="all", with_=everything())
    return builder.build()


@pytest.mark.req("EX-7")
@pytest.mark.req("E-DEF-17")
@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_steps_chosen_by_what_was_asked_for(flags: tuple[bool, bool, bool]) -> None:
    asked = [name for name, wanted in zip(("semantic", "security"), flags, strict=False) if wanted]
    expected = [["parse"], *([asked] if asked else []), *([["llm_enhance"]] if flags[2] else []), ["report"]]
    built = build_custom_workflow(*flags)
    assert compile_plan(built).levels() == expected
    last = built.steps.steps[-1]
    others = [name for level in expected[:-1] for name in level]
    assert last.needs_all
    assert sorted(last.with_["args"]["all_results"]) == sorted(others)


@pytest.mark.req("EX-14")
def test_ten_parallel_steps() -> None:
    built = build_parallel_workflow(10)
    assert built.workflow == "parallel_ten"
    assert compile_plan(built).levels() == [[f"step_{number}" for number in range(1, 11)]]
    assert list(built.outputs or {}) == [f"step_{number}" for number in range(1, 11)]
    assert build_parallel_workflow(20).workflow == "parallel_20"
    assert build_parallel_workflow(20).parallel_limit == 20


# -- errors


def errors(builder: WorkflowBuilder) -> str:
    with pytest.raises(InvalidDefinition) as told:
        builder.build()
    text = str(told.value).replace(__file__, "flow.py")
    return re.sub(r"flow\.py:\d+", "flow.py", text)


@pytest.mark.req("E-DEF-4")
def test_every_error_at_once() -> None:
    def by_place(number: int, /) -> None:
        pass

    builder = (
        WorkflowBuilder("dynamic", on_error="compensate", inputs={"unit": "string"})
        .step("step2", second, needs=["step1"])
        .step("step3", None)
        .step("step2", "log", with_={"message": "again"})
        .step("step4", by_place)
        .step("step5", "lag", with_={"message": "x"})
        .step("6", first)
    )
    assert errors(builder) == (
        "error: `on_error` must be one of compensate_all, compensate_failed, fail_fast, continue; "
        'found the text "compensate"\n'
        "  --> flow.py (on_error)\n"
        "  = expected: compensate_all, compensate_failed, fail_fast, continue\n"
        '  = found: the text "compensate"\n'
        "\n"
        "error: the argument `step1` of `step2` is neither an input nor a step\n"
        "  --> flow.py (steps.step2)\n"
        "  = found: step1\n"
        "  = help: did you mean step3?\n"
        "\n"
        "error: there is no step `step1`\n"
        "  --> flow.py (steps.step2.needs[0])\n"
        "  = found: step1\n"
        "  = help: did you mean step3?\n"
        "\n"
        "error: the step `step3` has no implementation: nothing was given in place of a function\n"
        "  --> flow.py (steps.step3)\n"
        "  = help: give a function, a `Step` class or an action\n"
        "\n"
        "error: there is a step `step2` already; step names are unique in a workflow\n"
        "  --> flow.py (steps.step2)\n"
        "  = help: give one of them another name\n"
        "\n"
        "error: the argument `number` of `step4` can only be given by its place; arguments are given by name\n"
        "  --> flow.py (steps.step4)\n"
        "  = help: remove the `/` from the function's arguments\n"
        "\n"
        "error: there is no action `lag`\n"
        "  --> flow.py (steps.step5.uses)\n"
        "  = found: lag\n"
        "  = help: did you mean log?\n"
        "\n"
        "error: `6` is not a name: a letter, then letters, digits, _ and -\n"
        '  --> flow.py (steps["6"])\n'
        "  = expected: a name: a letter, then letters, digits, _ and -\n"
        "  = found: 6"
    )


@pytest.mark.req("E-DEF-5")
def test_no_step() -> None:
    assert errors(WorkflowBuilder("empty")) == (
        "error: the workflow `empty` has no step\n  --> flow.py (steps)\n  = help: add one: .step(name, function)"
    )
