"""The contract of an action: one call with checked inputs, one JSON value or an error.

A plugin needs nothing of ours but this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from ...core.clock import SYSTEM, Clock
from ...core.errors import ConfigError, PermanentError, ReactorError, StepError, TransientError

__all__ = [
    "Action",
    "ActionInput",
    "Call",
    "ConfigError",
    "PermanentError",
    "ReactorError",
    "Services",
    "StepError",
    "TransientError",
]


class ActionInput(BaseModel):
    """Base of an action's `with`: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Services(Protocol):
    """What the application lends to actions; `connection` raises StepError `missing_connection`."""

    project: str
    files: tuple[str, ...]
    """Folders that `file` may touch, absolute."""

    def connection(self, kind: str, name: str | None) -> Any:
        """The named connection of this kind, or the only one; opened at first use, shared."""
        ...

    def function(self, reference: str) -> Callable[..., Any]:
        """The Python function or class that `module:name` names, or a registered one. Raises StepError."""
        ...

    async def publish_local(self, events: Any) -> None:
        """Hand events to this deployment's own router."""
        ...


class Call:
    """One attempt of one step: what the action is given.

    `inputs` are rendered and checked; `key` is the idempotency key (semantics 4.6), equal over attempts, crashes and nodes;
    `timeout_s` the time left for this attempt, or None.
    """

    __slots__ = (
        "actor",
        "attempt",
        "clock",
        "context",
        "event_driven",
        "inputs",
        "key",
        "log",
        "progress",
        "run",
        "services",
        "step",
        "temp_dir",
        "timeout_s",
        "traceparent",
        "workflow",
    )

    def __init__(
        self,
        inputs: Any,
        *,
        key: str = "",
        run: str = "",
        workflow: str = "",
        step: str = "",
        attempt: int = 1,
        timeout_s: float | None = None,
        traceparent: str = "",
        actor: str = "",
        services: Services | None = None,
        clock: Clock = SYSTEM,
        context: Mapping[str, Any] | None = None,
        temp_dir: Callable[[], str] | None = None,
        log: Callable[[str, str, Mapping[str, Any]], None] | None = None,
        progress: Callable[[float, str], None] | None = None,
        event_driven: bool = False,
    ) -> None:
        self.inputs = inputs
        self.key = key
        self.run = run
        self.workflow = workflow
        self.step = step
        self.attempt = attempt
        self.timeout_s = timeout_s
        self.traceparent = traceparent
        self.actor = actor
        self.services = services
        self.clock = clock
        self.context = context or {}
        """`run step attempt inputs results metadata` as a Python step's `context` shows them."""
        self.temp_dir = temp_dir
        """Makes (once) and names the run's own temporary folder, removed when the run ends."""
        self.log = log
        """`log(level, message, fields)`: a line of `reactor logs RUN`."""
        self.progress = progress
        self.event_driven = event_driven
        """Does the target's host come from event, inputs or steps (http: private addresses are then refused)?"""


class Action(Protocol):
    """Something a step can use. One instance serves all calls.

    `Input` is a pydantic model of `with` (None: any value); `pure` actions have no effect and no journal row; `timeout_s` is the
    default limit of one attempt. Cancelling the task stops the action; it then cleans up within CANCEL_GRACE_S and re-raises.
    """

    name: ClassVar[str]
    Input: ClassVar[type[BaseModel] | None]
    pure: ClassVar[bool]
    timeout_s: ClassVar[float | None]

    def check(self, with_: Any) -> list[tuple[str, str]]:
        """Faults that only this action can see in an unrendered `with`: (path inside it, message). At load."""
        ...

    async def execute(self, call: Call) -> Any:
        """Do it; the output as a JSON value. Raises StepError and other ReactorErrors; anything else is `step_failed`."""
        ...


Executed = Awaitable[Any]
Isolation = Literal["task", "thread", "process"]
