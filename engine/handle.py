"""A run that a program started: its id, and its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import NoneType
from typing import Any, cast

import msgspec
from msgspec import Struct

from ..core.errors import ErrorInfo, ReactorError
from ..core.ids import run_text
from ..store.contract import RunRow, RunState
from .runs_api import RunsApi


class RunFailed(ReactorError):
    """A run ended, but not completed: `code` and `error` say why, `failed_step` where, `state` how."""

    def __init__(self, run: str, state: str, error: ErrorInfo | None, failed_step: str | None) -> None:
        message = error.message if error is not None else f"the run ended {state}"
        super().__init__(f"run {run} {state}: {message}", code=error.code if error is not None else state)
        self.run = run
        self.state = state
        self.error = error
        self.failed_step = failed_step


class _Failed(Struct):
    """What a run's error says beside what every error does."""

    failed_step: str | None = None


_failed = msgspec.json.Decoder(_Failed).decode
_any = msgspec.json.Decoder().decode


class RunHandle:
    """What `app.start` returns. `runs` is asked for at each call: it says so when the app is closed."""

    def __init__(self, runs: Callable[[], RunsApi], store: str, row: RunRow) -> None:
        self._find = runs
        self._store = store
        self._row = row

    @property
    def _runs(self) -> RunsApi:
        return self._find()

    @property
    def id(self) -> str:
        """The run's id, as the API and the command line spell it."""
        return run_text(self._store, self._row.id)

    async def result(self, timeout: float | None = None) -> Any:
        """The run's outputs once it has completed. Raises RunFailed, TimeoutError after `timeout` seconds."""
        if not isinstance(cast("object", timeout), (int, float, NoneType)):
            raise TypeError(f"`timeout` is a number of seconds, or None for no limit; found {timeout!r:.80}")
        if timeout is None:
            row = await self._runs.ended(self._row.id)
        else:
            try:
                async with asyncio.timeout(timeout):
                    row = await self._runs.ended(self._row.id)
            except TimeoutError:
                hint = "`await run.status()` says what it does, or waits for"
                raise TimeoutError(f"the run {self.id} has not ended within {timeout:g} s: {hint}") from None
        if row.state == RunState.COMPLETED:
            return _any(row.output) if row.output is not None else None
        outcome = self._runs.outcome_in(row)
        failed = _failed(row.error).failed_step if row.error is not None else None
        raise RunFailed(self.id, outcome.state, outcome.error, failed)

    async def status(self) -> dict[str, Any]:
        """The run as the API shows it, now."""
        return await self._runs.get(self.id)

    async def cancel(self, reason: str = "", *, force: bool = False) -> None:
        """Cancel it; durable when it returns. Raises SignalRefused if it has ended."""
        await self._runs.cancel(self.id, reason=reason, force=force)
