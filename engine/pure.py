"""Steps that need no action: skipped by a guard, or computed. Nothing is stored; recovery computes them again (4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..core.errors import ErrorInfo, ErrorPlace, ReactorError
from ..core.limits import INLINE_BYTES_MAX
from .active import ActiveRun
from .plan import Node, wrong
from .run import StepRecord

_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder().decode
Places = Callable[[ActiveRun, Node | None], ErrorPlace | None]


def guarded(run: ActiveRun, node: Node, now: float, place: Places) -> StepRecord | None:
    """A skip, or the failure of a guard; None if the step is to be carried out."""
    scope = run.activation(node.reads, {"error": caught(run, node)})
    try:
        wanted = (node.if_ is None or node.if_.truth(scope)) and not (
            node.unless is not None and node.unless.truth(scope)
        )
    except ReactorError as e:
        return StepRecord("failed", error=e.info(step=node.path, place=place(run, node)), started_at=now, ended_at=now)
    return None if wanted else StepRecord("skipped", attempts=0, started_at=now, ended_at=now)


def transformed(run: ActiveRun, node: Node, now: float, place: Places) -> StepRecord:
    """A pure step: computed again at recovery, with the same value (semantics 4.4)."""
    try:
        output = node.with_.render(run.activation(node.reads, {"error": caught(run, node)}))
        fault = wrong(node.output, output, f"output of `{node.path}`") if node.output is not None else None
        error = (
            None if fault is None else ErrorInfo("invalid_output", fault, "park", node.path, 1, None, place(run, node))
        )
    except ReactorError as e:
        output, error = None, e.info(step=node.path, attempt=1, place=place(run, node))
    return StepRecord("completed" if error is None else "failed", output, error, 1, now, now)


def caught(run: ActiveRun, node: Node) -> Any:
    """`error` as a step inside a `catch` sees it."""
    error = run.progress.caught(node)
    return msgspec.to_builtins(error) if error is not None else None


def shown_output(node: Node, output: Any, mask: Callable[[bytes], bytes]) -> Any:
    """What is shown of the output of a step that has no row, before the run's end and after it: what a `transform`
    computed, up to INLINE_BYTES_MAX. It stands in the summary; a block's is that of the steps inside.
    """
    if node.uses != "transform" or output is None:
        return None
    try:
        body = _encode(output)
    except (TypeError, ValueError, RecursionError):
        return None
    if len(body) > INLINE_BYTES_MAX:
        return None
    shown = mask(body)
    return output if shown is body else _any(shown)


def fitting(outputs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Outputs by name as an error keeps them: in their order up to INLINE_BYTES_MAX together, null for the others."""
    found: dict[str, Any] = {}
    left = INLINE_BYTES_MAX
    for name, output in outputs:
        try:
            size = len(_encode(output))
        except (TypeError, ValueError, RecursionError):
            size = left + 1
        found[name] = output if size <= left else None
        left -= size if size <= left else 0
    return found
