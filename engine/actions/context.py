"""The read-only context that a Python step is given under the parameter name `context`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast, get_args

from .contract import StateOp
from .convert import copied
from .state import key_of_value, operation, scope_text

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: tuple[str, ...] = get_args(Level)
Fetch = Callable[[str, str], Any]
"""Reads a durable value (scope, key): an awaitable for async functions, the value for plain ones."""


class State:
    """`context.state`: durable values of this workflow, run or project.

    `get` shows what is committed (awaited in async functions). The changes are written in the same commit as the step's
    result, all or none of them: before that nobody sees them, and a failed step changes nothing.
    """

    __slots__ = ("_fetch", "_run", "_workflow", "ops")

    def __init__(self, workflow: str, run: str, fetch: Fetch) -> None:
        self._workflow = workflow
        self._run = run
        self._fetch = fetch
        self.ops: list[StateOp] = []

    def get(self, key: str, *, scope: str = "workflow") -> Any:
        """The committed value, None if there is none; in an async function `await` it."""
        return self._fetch(scope_text(scope, self._workflow, self._run), key_of_value(key))

    def set(self, key: str, value: Any, *, scope: str = "workflow") -> None:
        """Replace the value."""
        self._add("set", scope, key, value)

    def merge(self, key: str, value: Mapping[str, Any], *, scope: str = "workflow") -> None:
        """Set these fields of a mapping, leaving the others."""
        self._add("merge", scope, key, dict(value))

    def increment(self, key: str, by: float = 1, *, scope: str = "workflow") -> None:
        """Add to a number; an absent one counts as 0."""
        self._add("increment", scope, key, by)

    def delete(self, key: str, *, scope: str = "workflow") -> None:
        """Remove the value."""
        self._add("delete", scope, key, None)

    def compare_and_set(self, key: str, expected: Any, value: Any, *, scope: str = "workflow") -> None:
        """Replace the value if it equals `expected` then; otherwise the step fails with `conflict`."""
        self._add("compare_and_set", scope, key, value, expected)

    def _add(self, op: Any, scope: str, key: str, value: Any, expected: Any = None) -> None:
        self.ops.append(operation(op, scope_text(scope, self._workflow, self._run), key, value, expected))


class Context:
    """What a step may know of itself: `run step attempt inputs results metadata state idempotency_key log progress
    cancelled`, and `output error` while it is undone. Values are copies: changing them changes nothing.
    """

    __slots__ = ("_cancelled", "_copies", "_log", "_progress", "_values", "attempt", "idempotency_key", "state", "step")

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        step: str,
        attempt: int,
        key: str,
        state: State,
        log: Callable[[str, str, Mapping[str, Any]], None] | None,
        progress: Callable[[float, str], None] | None,
        cancelled: Callable[[], bool],
    ) -> None:
        put = object.__setattr__
        put(self, "_values", values)
        put(self, "_copies", {})
        put(self, "_log", log)
        put(self, "_progress", progress)
        put(self, "_cancelled", cancelled)
        put(self, "step", step)
        put(self, "attempt", attempt)
        put(self, "idempotency_key", key)
        put(self, "state", state)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the context is read-only: `{name}` cannot be set")

    def _copy(self, name: str) -> Any:
        copies = cast("dict[str, Any]", self._copies)
        if name not in copies:
            copies[name] = copied(cast("Mapping[str, Any]", self._values).get(name))
        return copies[name]

    @property
    def run(self) -> Any:
        """`id workflow version created_at started_at labels temp_dir …` of the run."""
        return self._copy("run")

    @property
    def inputs(self) -> Any:
        """The run's inputs."""
        return self._copy("inputs")

    @property
    def results(self) -> Any:
        """Outputs of the steps that have ended, by name."""
        return self._copy("results")

    @property
    def metadata(self) -> Any:
        """The workflow's free metadata."""
        return self._copy("metadata")

    @property
    def output(self) -> Any:
        """In `compensate`: what the step returned, None if it failed."""
        return self._copy("output")

    @property
    def error(self) -> Any:
        """In `compensate`: the error object that made undoing necessary."""
        return self._copy("error")

    @property
    def cancelled(self) -> bool:
        """Has somebody asked to stop? A long loop in a plain function looks here."""
        return bool(cast("Callable[[], bool]", self._cancelled)())

    def log(self, message: str, level: Level = "info", **fields: Any) -> None:
        """Write a line of `reactor logs RUN`. Raises ValueError for a level that there is not."""
        if level not in _LEVELS:
            raise ValueError(f"`level` of `context.log` is {', '.join(_LEVELS)}; found {level!r}")
        if self._log is not None:
            self._log(level, message, fields)

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far it is, from 0 to 1."""
        if self._progress is not None:
            self._progress(min(1.0, max(0.0, float(fraction))), message)
