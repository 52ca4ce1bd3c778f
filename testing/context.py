"""A context for unit tests of Python steps: call the step as the function that it is.

```python
context = step_context(results={"previous_step": {"data": "test"}})
assert (await Process().execute(context))["processed"]
```

Source: requirement H-1; the actions page, python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.clock import SYSTEM
from ..core.durations import format_instant
from ..core.errors import ReactorError
from ..engine.actions.context import Context, State

KEY = "0123456789abcdef0123456789abcdef"


class Told:
    """What a step told by its context: log lines as (level, message, fields), progress as (share, message)."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str, Mapping[str, Any]]] = []
        self.progress: list[tuple[float, str]] = []


def step_context(
    inputs: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    *,
    state: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    output: Any = None,
    error: ReactorError | Mapping[str, Any] | None = None,
    step: str = "step",
    attempt: int = 1,
    idempotency_key: str = KEY,
    cancelled: bool = False,
    asynchronous: bool = True,
    told: Told | None = None,
) -> Context:
    """The context that a run would give to a step.

    `results`: outputs of the steps before, by name. `state`: durable values of the workflow; changes are in
    `context.state.ops`. `output` and `error`: of the step that is undone. `asynchronous`: `state.get` is awaited, as
    in `async` steps; False for plain functions. `told` collects log lines and progress.
    """
    values = dict(state or {})

    def read(scope: str, key: str) -> Any:
        return values.get(key)

    async def read_later(scope: str, key: str) -> Any:
        return values.get(key)

    started = format_instant(SYSTEM.now())
    about = {"id": "run-1", "workflow": "test", "version": "0.0.0", "created_at": started, "started_at": started}
    failed = error.info(step=step, attempt=attempt) if isinstance(error, ReactorError) else error
    collected = told or Told()
    return Context(
        {
            "run": {**about, "event": None, "labels": {}, **(run or {})},
            "inputs": dict(inputs or {}),
            "results": dict(results or {}),
            "metadata": dict(metadata or {}),
            "output": output,
            "error": _mapping(failed),
        },
        step=step,
        attempt=attempt,
        key=idempotency_key,
        state=State("test", "run-1", read_later if asynchronous else read),
        log=lambda level, message, fields: collected.log.append((level, message, fields)),
        progress=lambda share, message: collected.progress.append((share, message)),
        cancelled=lambda: cancelled,
    )


def _mapping(error: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(error) if isinstance(error, msgspec.Struct) else error
