"""Plans and progress, without an executor: order, skips, joins; random graphs against the plain rule."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from reactor.core.errors import ErrorInfo
from reactor.engine.plan import Plan, compile_plan
from reactor.engine.progress import Progress
from reactor.engine.run import StepState
from reactor.language.definition import Step, Steps, WorkflowDefinition

from .rig import definitions


def plan_of(text: str) -> Plan:
    return compile_plan(definitions(text)[0].definition)


@pytest.mark.req("E-EXE-4")
def test_levels_of_the_analysis_example() -> None:
    plan = plan_of(
        """
workflow: comprehensive
steps:
  parse_elixir: {transform: 1}
  parse_javascript: {transform: 1}
  semantic: {transform: ["${{ steps.parse_elixir.output }}", "${{ steps.parse_javascript.output }}"]}
  security: {transform: ["${{ steps.parse_elixir.output }}", "${{ steps.parse_javascript.output }}"]}
  style: {transform: ["${{ steps.parse_elixir.output }}", "${{ steps.parse_javascript.output }}"]}
  llm_review: {transform: ["${{ steps.semantic.output }}", "${{ steps.security.output }}"]}
  generate_report: {transform: ["${{ steps.llm_review.output }}", "${{ steps.style.output }}"]}
"""
    )
    assert plan.levels() == [
        ["parse_elixir", "parse_javascript"],
        ["semantic", "security", "style"],
        ["llm_review"],
        ["generate_report"],
    ]


@pytest.mark.req("E-DEF-17")
def test_needs_all_waits_for_every_other_step() -> None:
    plan = plan_of(
        "workflow: w\nsteps:\n  report: {needs: all, transform: 1}\n  a: {transform: 1}\n  b: {transform: 1}"
    )
    assert plan.levels() == [["a", "b"], ["report"]]


@st.composite
def graphs(draw: Any) -> tuple[tuple[int, ...], ...]:
    """For each step, the steps before it that it needs."""
    size = draw(st.integers(1, 40))
    return tuple(tuple(draw(st.sets(st.integers(0, i - 1), max_size=4)) if i else ()) for i in range(size))


def definition_of(graph: tuple[tuple[int, ...], ...], on_error: str = "continue") -> WorkflowDefinition:
    steps = tuple(
        Step(f"s{i}", "log", {"message": "x"}, needs=tuple(f"s{n}" for n in needs)) for i, needs in enumerate(graph)
    )
    return WorkflowDefinition("random", Steps(steps), on_error=on_error)  # type: ignore[arg-type] # drawn by the test


@given(graphs(), st.randoms(use_true_random=False), st.sets(st.integers(0, 39)))
def test_no_step_starts_before_its_needs_and_none_is_forgotten(
    graph: tuple[tuple[int, ...], ...], chance: random.Random, failing: set[int]
) -> None:
    progress = Progress(compile_plan(definition_of(graph)))
    ready = progress.start().ready
    ended: set[int] = set()
    started: list[int] = []
    while ready:
        index = ready.pop(chance.randrange(len(ready)))
        assert all(progress.states[need].ended for need in graph[index])
        started.append(index)
        failed = index in failing
        error = ErrorInfo("failed", "no") if failed else None
        ready += progress.ended(index, StepState.FAILED if failed else StepState.COMPLETED, None, error).ready
        ended.add(index)
    assert progress.through
    assert len(started) == len(set(started))

    def bad(index: int) -> bool:
        return (index in failing and index in ended) or any(bad(n) for n in graph[index])

    for index, needs in enumerate(graph):
        skipped = any(bad(n) for n in needs)
        assert (progress.states[index] is StepState.SKIPPED) == skipped
        if skipped:
            assert progress.skip_causes[index].code == "dependency_failed"


@given(graphs(), st.integers(0, 39))
def test_after_a_failure_nothing_new_starts_unless_it_is_to_continue(graph: Any, which: int) -> None:
    progress = Progress(compile_plan(definition_of(graph, "compensate_all")))
    ready = progress.start().ready
    while ready:
        index = ready.pop(0)
        if index == which:
            out = progress.ended(index, StepState.FAILED, None, ErrorInfo("failed", "no"))
            assert not out.ready
            for other in ready:
                assert not progress.ended(other, StepState.COMPLETED).ready
            ready = []
        else:
            ready += progress.ended(index, StepState.COMPLETED).ready
    assert progress.through
