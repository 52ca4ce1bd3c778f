"""What the application lends to actions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..core.clock import SYSTEM
from ..store.contract import StateResult, Store
from .patience import patiently


class ActionServices:
    """Connections, functions, folders and durable values, for actions (see actions/contract.py: Services)."""

    def __init__(
        self,
        store: Store,
        project: str,
        files: tuple[str, ...],
        output_bytes_max: int,
        connection: Callable[[str, str | None], Any],
        function: Callable[[str], Callable[..., Any]],
    ) -> None:
        self.output_bytes_max = output_bytes_max
        self.project = os.path.abspath(project)
        self.files = tuple(os.path.abspath(os.path.join(project, folder)) for folder in files)
        self._store = store
        self._connection = connection
        self.function = function  # see Services

    def connection(self, kind: str, name: str | None) -> Any:
        """See Services."""
        return self._connection(kind, name)

    async def state(self, scope: str, key: str) -> StateResult | None:
        """See Services."""
        return await patiently(SYSTEM, lambda: self._store.state(scope, key))
