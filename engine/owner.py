"""What the executor and its parts ask of the engine that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..core.clock import Clock
from ..core.errors import ErrorPlace
from ..store.contract import FlowKey, RunRow, Store
from .active import ActiveRun
from .plan import Node
from .run import CancelRequest


class Owner(Protocol):
    """The engine, as the executor sees it."""

    store: Store
    clock: Clock

    def place(self, run: ActiveRun, node: Node | None) -> ErrorPlace | None:
        """Where a step, or the workflow, stands in its file."""
        ...

    async def start_child(self, run: ActiveRun, node: Node, inputs: Mapping[str, Any]) -> RunRow:
        """Start the run of a `run-workflow` step; the same again after a crash."""
        ...

    async def cancel_child(self, number: int, request: CancelRequest) -> bool:
        """Cancel a child run if it is open; False if it has ended already."""
        ...

    def freed(self, keys: Iterable[FlowKey]) -> None:
        """Places became free: try the held runs of these keys."""
        ...

    def forget(self, run: ActiveRun) -> None:
        """Clean up after a run's end."""
        ...
