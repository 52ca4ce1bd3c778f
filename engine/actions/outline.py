"""What `wait`, `run-workflow` and `approval` are given: they are carried out by the engine, not by an action's
`execute`.

Here are their inputs, the faults that can be seen at load, and the schemas of what they put out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NoReturn, cast

from pydantic import BaseModel, Field

from ...connections.fields import Duration, Fault, Keys, has_template, shown
from ...core.limits import WAIT_S_MAX
from ...core.priority import PRIORITIES
from .contract import ActionBase, Call

OnTimeout = Literal["fail", "continue"]


class EngineAction(ActionBase):
    """An action that the engine carries out itself."""

    name: ClassVar[str] = ""

    async def execute(self, call: Call) -> NoReturn:
        """Never called: raises AssertionError."""
        raise AssertionError(f"`{self.name}` is carried out by the engine")


class WaitEvent(Keys):
    """Which event ends a wait; `if`, `by` and `equals` are CEL."""

    type: str = Field(min_length=1)
    match: dict[str, Any] | None = None
    if_: str = Field(default="", alias="if")
    by: str = ""
    equals: str = ""
    since: Literal["run", "step"] = "run"


class WaitInput(Keys):
    """`with` of `wait`."""

    exactly_one: ClassVar = (("for", "until", "event", "run"),)

    for_: Duration | None = Field(default=None, alias="for", ge=0, le=WAIT_S_MAX)
    until: str | None = Field(default=None, min_length=1, description="CEL: an instant")
    event: WaitEvent | None = None
    run: str | None = Field(default=None, min_length=1)
    timeout: Duration | None = Field(default=None, gt=0, le=WAIT_S_MAX)
    on_timeout: OnTimeout = "fail"


class WaitAction(EngineAction):
    """A pause, an instant, an event or the end of a run."""

    name: ClassVar[str] = "wait"
    Input: ClassVar[type[BaseModel] | None] = WaitInput
    errors: ClassVar[tuple[str, ...]] = ("timeout", "child_failed")
    output: ClassVar[Mapping[str, Any]] = {
        "description": "{waited_ms}, the event, or the child's outputs; null after `on_timeout: continue`"
    }

    def check(self, with_: Any) -> list[Fault]:
        """`on_timeout` without a `timeout`, a `timeout` of a plain pause, `equals` without `by`."""
        if not isinstance(with_, Mapping):
            return []
        keys = cast("Mapping[str, Any]", with_)
        faults: list[Fault] = []
        if "on_timeout" in keys and "timeout" not in keys:
            faults.append(("on_timeout", "has no meaning without `timeout`"))
        for name in ("for", "until"):
            if name in keys and "timeout" in keys:
                faults.append(("timeout", f"has no meaning beside `{name}`: the wait ends by itself"))
        event = keys.get("event")
        if isinstance(event, Mapping):
            event_keys = cast("Mapping[str, Any]", event)
            if "equals" in event_keys and "by" not in event_keys:
                faults.append(("event.equals", "is compared with `by`, which is missing"))
        return faults


class RunWorkflowInput(Keys):
    """`with` of `run-workflow`."""

    workflow: str = Field(min_length=1, description="`name` or `name@range`")
    inputs: dict[str, Any] = Field(default_factory=dict)
    mode: Literal["sync", "async", "detached"] = "sync"
    priority: int | str | None = None


class RunWorkflowAction(EngineAction):
    """A run of another workflow."""

    name: ClassVar[str] = "run-workflow"
    Input: ClassVar[type[BaseModel] | None] = RunWorkflowInput
    errors: ClassVar[tuple[str, ...]] = ("child_failed", "invalid_input", "unknown_workflow", "depth_limit")
    key_goes: ClassVar[str] = "the child's id is made of it: a repeat finds the same child"
    output: ClassVar[Mapping[str, Any]] = {"description": "`sync`: the child's outputs; else {run}"}

    def check(self, with_: Any) -> list[Fault]:
        """A range that is empty, a priority that is none."""
        if not isinstance(with_, Mapping):
            return []
        keys = cast("Mapping[str, Any]", with_)
        faults: list[Fault] = []
        name = keys.get("workflow")
        if isinstance(name, str) and "${{" not in name:
            before, at, after = name.partition("@")
            if not before or (at and not after):
                faults.append(("workflow", f"expected name or name@range, such as ship@^1; found {name!r}"))
        priority = keys.get("priority")
        whole = isinstance(priority, int) and not isinstance(priority, bool) and 0 <= priority <= 9
        if not (priority is None or whole or priority in PRIORITIES or has_template(priority)):
            faults.append(("priority", f"expected 0 … 9, or {', '.join(PRIORITIES)}; found {shown(priority)}"))
        return faults


class NatsApprovers(Keys):
    """Whom a request for approval is sent to."""

    nats: str = Field(min_length=1)
    connection: str | None = None


class ApprovalInput(Keys):
    """`with` of `approval`; no `approvers`: anyone with the right to approve."""

    message: str
    approvers: Annotated[list[str], Field(min_length=1)] | NatsApprovers | None = None
    need: int = Field(default=1, ge=1, le=100)
    fields: dict[str, Any] | None = None
    timeout: Duration | None = Field(default=None, gt=0, le=WAIT_S_MAX)
    on_timeout: Literal["reject", "approve"] = "reject"


class ApprovalAction(EngineAction):
    """A decision by people."""

    name: ClassVar[str] = "approval"
    Input: ClassVar[type[BaseModel] | None] = ApprovalInput
    errors: ClassVar[tuple[str, ...]] = ("rejected", "timeout")
    key_goes: ClassVar[str] = "the request's event id"
    output: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "approved": {"type": "boolean"},
            "by": {"type": ["string", "null"]},
            "at": {"type": "string"},
            "via": {"type": "string"},
            "reason": {"type": ["string", "null"]},
            "fields": {},
        },
        "required": ["approved", "by", "at", "via", "reason", "fields"],
        "additionalProperties": False,
    }

    def check(self, with_: Any) -> list[Fault]:
        """`on_timeout` without a `timeout`; more needed than may approve; a form that is no mapping of a schema."""
        if not isinstance(with_, Mapping):
            return []
        keys = cast("Mapping[str, Any]", with_)
        faults: list[Fault] = []
        if "on_timeout" in keys and "timeout" not in keys:
            faults.append(("on_timeout", "has no meaning without `timeout`"))
        listed, need = keys.get("approvers"), keys.get("need", 1)
        if isinstance(listed, list) and isinstance(need, int):
            names = cast("list[Any]", listed)
            if not names:
                faults.append(("approvers", "must not be empty: leave it out, and anyone with the right may approve"))
            elif need > len(names) and not any(str(name).startswith("role:") or has_template(name) for name in names):
                faults.append(("need", f"{need} approvals are needed, but only {len(names)} may approve"))
        return faults
