"""Steps that need no action: skipped by a guard, or computed. Nothing is stored; recovery computes them again (4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..core.errors import ErrorInfo, ReactorError
from .active import ActiveRun
from .plan import Node, wrong
from .run import StepRecord

if TYPE_CHECKING:
    from .executor import Executor


def guarded(x: Executor, run: ActiveRun, node: Node) -> StepRecord | None:
    """A skip, or the failure of a guard; None if the step is to be carried out."""
    now = x.clock.now()
    scope = run.activation(node.reads, {"error": caught(run, node)})
    try:
        wanted = (node.if_ is None or node.if_.truth(scope)) and not (
            node.unless is not None and node.unless.truth(scope)
        )
    except ReactorError as e:
        return StepRecord(
            "failed", error=e.info(step=node.path, place=x.place(run, node)), started_at=now, ended_at=now
        )
    return None if wanted else StepRecord("skipped", attempts=0, started_at=now, ended_at=now)


def transformed(x: Executor, run: ActiveRun, node: Node) -> StepRecord:
    """A pure step: computed again at recovery, with the same value (semantics 4.4)."""
    now = x.clock.now()
    try:
        output = node.with_.render(run.activation(node.reads, {"error": caught(run, node)}))
        fault = wrong(node.output, output, f"output of `{node.path}`") if node.output is not None else None
        error = (
            None
            if fault is None
            else ErrorInfo("invalid_output", fault, "park", node.path, 1, None, x.place(run, node))
        )
    except ReactorError as e:
        output, error = None, e.info(step=node.path, attempt=1, place=x.place(run, node))
    return StepRecord("completed" if error is None else "failed", output, error, 1, now, now)


def caught(run: ActiveRun, node: Node) -> Any:
    """`error` as a step inside a `catch` sees it."""
    error = run.progress.caught(node)
    return msgspec.to_builtins(error) if error is not None else None
