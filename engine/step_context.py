"""`context` of a Python step, as a mapping that is made only when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .run import StepState

if TYPE_CHECKING:
    from .active import ActiveRun
    from .plan import Node


class StepContext(Mapping[str, Any]):
    """`run step inputs results metadata`: what came before, read-only; while undoing also `output error`."""

    __slots__ = ("_extra", "_node", "_run", "_values")

    def __init__(self, run: ActiveRun, node: Node, extra: Mapping[str, Any]) -> None:
        self._extra = extra
        self._run = run
        self._node = node
        self._values: dict[str, Any] | None = None

    def _made(self) -> dict[str, Any]:
        if self._values is None:
            run = self._run
            definition = run.plan.definition
            self._values = {
                "run": run.run_view(),
                "step": self._node.path,
                "inputs": run.inputs,
                "results": {
                    node.name: run.progress.outputs[node.index]
                    for node in run.plan.nodes
                    if run.progress.states[node.index] is StepState.COMPLETED
                },
                "metadata": {**definition.metadata, "tags": list(definition.tags), "workflow": definition.workflow},
                **self._extra,
            }
        return self._values

    def __getitem__(self, key: str) -> Any:
        if key == "run":
            self._run.folder()  # its path is in there
        return self._made()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())
