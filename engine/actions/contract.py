"""The contract of an action: one call with checked inputs, one JSON value or an error.

A plugin needs nothing of ours but this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

from msgspec import UNSET, Struct
from pydantic import BaseModel, ConfigDict

from ...core.clock import SYSTEM, Clock
from ...core.errors import ConfigError, PermanentError, ReactorError, StepError, TransientError
from ...language.python_step import Step
from ...store.contract import StateOp, StateResult

__all__ = [
    "Action",
    "ActionBase",
    "ActionInput",
    "Call",
    "ConfigError",
    "Effect",
    "EmitEffect",
    "PermanentError",
    "ReactorError",
    "Services",
    "StateEffect",
    "Step",
    "StepError",
    "TransientError",
]


Isolation = Literal["task", "thread", "process"]


class ActionInput(BaseModel):
    """Base of an action's `with`: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)


class Services(Protocol):
    """What the application lends to actions; `connection` raises StepError `missing_connection`."""

    project: str
    files: tuple[str, ...]
    """Folders that `file` may touch, absolute."""
    output_bytes_max: int
    """So many bytes a step's output may have as JSON: `server.limits.output`."""

    def connection(self, kind: str, name: str | None) -> Any:
        """The named connection of this kind, or the only one; opened at first use, shared."""
        ...

    def function(self, reference: str, /) -> Callable[..., Any]:
        """The Python function or class that `module:name` names, or a registered one. Raises StepError."""
        ...

    async def state(self, scope: str, key: str) -> StateResult | None:
        """A durable value as the store has it now: what `context.state.get` shows. `scope` as in StateOp."""
        ...


class Call:
    """One attempt of one step: what the action is given.

    `inputs` are rendered and checked; `key` is the idempotency key (semantics 4.6), equal over attempts, crashes and
    nodes; `timeout_s` the time left for this attempt, or None.
    """

    __slots__ = (
        "actor",
        "attempt",
        "clock",
        "context",
        "event_driven",
        "inputs",
        "isolation",
        "key",
        "log",
        "progress",
        "run",
        "services",
        "step",
        "temp_dir",
        "timeout_s",
        "traceparent",
        "tracestate",
        "undo",
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
        tracestate: str = "",
        actor: str = "",
        services: Services | None = None,
        clock: Clock = SYSTEM,
        context: Mapping[str, Any] | None = None,
        temp_dir: Callable[[], str] | None = None,
        log: Callable[[str, str, Mapping[str, Any]], None] | None = None,
        progress: Callable[[float, str], None] | None = None,
        event_driven: bool = False,
        isolation: Isolation | None = None,
        undo: bool = False,
    ) -> None:
        self.inputs = inputs
        self.key = key
        self.run = run
        self.workflow = workflow
        self.step = step
        self.attempt = attempt
        self.timeout_s = timeout_s
        self.traceparent = traceparent
        self.tracestate = tracestate
        self.actor = actor
        self.services = services
        self.clock = clock
        self.context: Mapping[str, Any] = context if context is not None else {}
        """`run step attempt inputs results metadata` as a Python step's `context` shows them."""
        self.temp_dir = temp_dir
        """Makes (once) and names the run's own temporary folder, removed when the run ends."""
        self.log = log
        """`log(level, message, fields)`: a line of `reactor logs RUN`."""
        self.progress = progress
        self.event_driven = event_driven
        """Does the target's host come from event, inputs or steps (http: private addresses are then refused)?"""
        self.isolation: Isolation | None = isolation
        """Where the step says that a Python function runs; None: async ones in the loop, plain ones in a thread."""
        self.undo = undo
        """Is this a handler that undoes a step (of a `Step` class its `compensate`)? `context` then has `output` and
        `error` too.
        """


class EmitEffect(Struct, frozen=True):
    """What `emit` asks of the engine: this event, in the commit of the step's result; the step's output is `{id}`."""

    type: str
    data: Any = UNSET
    subject: str | None = None


class StateEffect(Struct, frozen=True):
    """What `state` and `context.state` ask of the engine: these changes, in the commit of the step's result.

    `output` is the step's output; UNSET: it is made of what the changes found (`made_of`). `several` says whether
    `ops` was a list.
    """

    ops: tuple[StateOp, ...]
    output: Any = UNSET
    several: bool = False

    def made_of(self, results: Sequence[StateResult]) -> Any:
        """The step's output, once the store has carried out the changes."""
        if self.output is not UNSET:
            return self.output
        shown = [{"value": r.value, "previous": r.previous, "version": r.version} for r in results]
        return shown if self.several else shown[0]


Effect = EmitEffect | StateEffect
"""What `execute` may return in place of a JSON value: the engine commits it together with the step's result."""


class Action(Protocol):
    """Something a step can use. One instance serves all calls.

    `Input` is a pydantic model of `with` (None: any value); `pure` actions have no effect and no journal row;
    `timeout_s` is the default limit of one attempt. Cancelling the task stops the action; it then cleans up within
    CANCEL_GRACE_S and re-raises.
    """

    name: ClassVar[str]
    Input: ClassVar[type[BaseModel] | None]
    pure: ClassVar[bool]
    timeout_s: ClassVar[float | None]

    def check(self, with_: Any) -> list[tuple[str, str]]:
        """Faults that only this action can see in an unrendered `with`: (path inside it, message). At load."""
        ...

    async def execute(self, call: Call) -> Any:
        """Do it; the output as a JSON value. Raises StepError and other ReactorErrors; anything else is
        `step_failed`.
        """
        ...


class ActionBase:
    """What most actions have in common; a convenience, an action need not descend from it.

    Beside the members of Action it declares what is published: the JSON Schema of the output, the codes (patterns)
    that it may raise, and in words where the idempotency key goes. The suite
    fails an action for a code that it does not declare.
    """

    Input: ClassVar[type[BaseModel] | None] = None
    pure: ClassVar[bool] = False
    timeout_s: ClassVar[float | None] = None
    output: ClassVar[Mapping[str, Any]] = {}
    errors: ClassVar[tuple[str, ...]] = ()
    key_goes: ClassVar[str] = "nowhere"

    def check(self, with_: Any) -> list[tuple[str, str]]:
        """Nothing beyond what `Input` says."""
        return []

    def host(self, with_: Any) -> str:
        """The part of an unrendered `with` that decides which host is called, templates included.

        What it reads (`event`, `inputs`, `steps`) makes a call `event_driven`; empty: a connection decides.
        """
        return ""

    async def close(self) -> None:
        """Release what calls share (sessions, workers); called once, when the application ends."""


Executed = Awaitable[Any]
