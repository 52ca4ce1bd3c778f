"""Steps as values in Python: blocks and actions, for the attributes of a workflow class and for the builder.

What they hold is checked when the workflow is registered or built, all of it at once. Source: the language page,
sections 3 and 8.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, Unpack, cast

from .python_keys import STEP_KEYS, ItemKeys, Seconds, duration, spelled


class Node:
    """A step as a value: what it does, the keys beside it, and where in the program it was written."""

    __slots__ = ("file", "keys", "line", "name")

    def __init__(self, keys: Mapping[str, Any], place: tuple[str, int]) -> None:
        self.keys = {spelled(key): value for key, value in keys.items() if key != "name"}
        self.name = str(keys.get("name", ""))
        self.file, self.line = place

    def with_keys(self, keys: Mapping[str, Any]) -> Self:
        """The same step with these keys as well."""
        other = copy.copy(self)
        other.keys = {**self.keys, **{spelled(key): value for key, value in keys.items()}}
        return other


StepValue = Node | Callable[..., Any] | Mapping[str, Any]
"""A step: a value of this module, a function or `Step` class, or plain data as in YAML."""
StepsValue = Sequence[StepValue] | Mapping[str, StepValue]
"""Steps in a list, each after the one before, or by name in a graph."""


class ActionNode(Node):
    """A step that uses an action."""

    __slots__ = ("uses", "with_")

    def __init__(self, uses: str, with_: Any, keys: Mapping[str, Any], place: tuple[str, int]) -> None:
        super().__init__(keys, place)
        self.uses = uses
        self.with_ = with_


class BlockNode(Node):
    """A block: its word, the keys inside it, and which of them hold steps."""

    __slots__ = ("body", "word")
    STEPS: ClassVar[frozenset[str]] = frozenset(("steps", "catch", "finally"))

    def __init__(self, word: str, body: Mapping[str, Any], keys: Mapping[str, Any], place: tuple[str, int]) -> None:
        super().__init__(keys, place)
        self.word = word
        self.body = {key: value for key, value in body.items() if value is not None}


class FunctionNode(Node):
    """A step that calls a Python function, or a `Step` class; `method`: of a workflow class, with `self`."""

    __slots__ = ("method", "target")

    def __init__(
        self, target: Any, keys: Mapping[str, Any], place: tuple[str, int] = ("", 0), *, method: bool = False
    ) -> None:
        super().__init__(keys, place)
        self.target = target
        self.method = method


def place_of_caller(depth: int = 2) -> tuple[str, int]:
    """File and line of whoever called the function that asks."""
    frame = inspect.currentframe()
    while frame is not None and depth:
        frame, depth = frame.f_back, depth - 1
    return ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def called(workflow: Any) -> str:
    """The name of a workflow given as text, class, or definition: `ship-order` for a class ShipOrder without `name`."""
    if isinstance(workflow, str):
        return workflow
    if isinstance(workflow, type):
        own: Mapping[str, Any] = getattr(workflow, "__workflow_keys__", {})
        return str(own.get("name") or dashed(workflow.__name__))
    return str(getattr(workflow, "workflow", ""))


def dashed(name: str) -> str:
    """The name of a workflow that a class of this name has."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name.strip("_"))
    return parted.lower()


def action(uses: str, with_: Any = None, **keys: Any) -> ActionNode:
    """A step that uses an action: `action("http", {"method": "GET", "url": "…"}, timeout=5)`.

    Keywords that are keys of a step (`needs if_ retry timeout …`) are the step's, all others the action's own. What
    belongs to the action but is called like a key of a step goes into the mapping `with_`.
    """
    own = {spelled(key): value for key, value in keys.items() if key not in STEP_KEYS}
    if own:
        with_ = {**cast("Mapping[str, Any]", with_ or {}), **own}
    return ActionNode(uses, with_, {k: v for k, v in keys.items() if k in STEP_KEYS}, place_of_caller())


def wait(
    event: str | Mapping[str, Any] | None = None,
    *,
    for_: Seconds | None = None,
    until: str | datetime | None = None,
    run: str | None = None,
    match: Mapping[str, Any] | None = None,
    by: str | None = None,
    equals: str | None = None,
    since: Literal["run", "step"] | None = None,
    on_timeout: Literal["fail", "continue"] | None = None,
    **keys: Unpack[ItemKeys],
) -> ActionNode:
    """Wait for an event (`match by equals since` say which), for a time, until an instant (CEL), or for a run's end.

    `timeout` is the wait's own. `if_` is the step's, as everywhere: the event's own condition stands in the mapping,
    `event={"type": "order.confirmed", "if": "…"}`.
    """
    beside = {"match": match, "by": by, "equals": equals, "since": since}
    about = {key: value for key, value in beside.items() if value is not None}
    given: dict[str, Any] = {
        "for": duration(for_),
        "until": f'timestamp("{until.isoformat()}")' if isinstance(until, datetime) else until,
        "event": {**({"type": event} if isinstance(event, str) else event or {}), **about} or None,
        "run": run,
        "timeout": duration(keys.get("timeout")),
        "on_timeout": on_timeout,
    }
    return _own_timeout("wait", given, keys, place_of_caller())


def approval(
    message: str,
    *,
    approvers: Sequence[str] | Mapping[str, Any] | None = None,
    need: int | None = None,
    fields: Mapping[str, Any] | None = None,
    on_timeout: Literal["reject", "approve"] | None = None,
    **keys: Unpack[ItemKeys],
) -> ActionNode:
    """Wait for the decision of people; `timeout` is the approval's own."""
    given: dict[str, Any] = {
        "message": message,
        "approvers": approvers,
        "need": need,
        "fields": fields,
        "timeout": duration(keys.get("timeout")),
        "on_timeout": on_timeout,
    }
    return _own_timeout("approval", given, keys, place_of_caller())


def _own_timeout(uses: str, given: Mapping[str, Any], keys: Mapping[str, Any], place: tuple[str, int]) -> ActionNode:
    with_ = {key: value for key, value in given.items() if value is not None}
    return ActionNode(uses, with_, {key: value for key, value in keys.items() if key != "timeout"}, place)


def emit(type: str, data: Any = None, *, subject: str | None = None, **keys: Unpack[ItemKeys]) -> ActionNode:
    """Send an event to Reactor itself; `${{ }}` is replaced in all three."""
    given = {"type": type, "data": data, "subject": subject}
    with_ = {key: value for key, value in given.items() if value is not None}
    return ActionNode("emit", with_, keys, place_of_caller())


def run_workflow(
    workflow: str | type[Any],
    inputs: Mapping[str, Any] | None = None,
    *,
    mode: Literal["sync", "async", "detached"] | None = None,
    priority: int | str | None = None,
    **keys: Unpack[ItemKeys],
) -> ActionNode:
    """Run another workflow (`name`, `name@range`, or its class); the output is its outputs under `mode="sync"`."""
    given = {"workflow": called(workflow), "inputs": inputs, "mode": mode, "priority": priority}
    with_ = {key: value for key, value in given.items() if value is not None}
    return ActionNode("run-workflow", with_, keys, place_of_caller())


def parallel(branches: Mapping[str, StepsValue], *, join: Any = None, **keys: Unpack[ItemKeys]) -> BlockNode:
    """Branches of steps that run at once; done when all have succeeded."""
    return BlockNode("parallel", {"branches": branches, "join": join}, keys, place_of_caller())


def try_(
    steps: StepsValue,
    *,
    catch: StepsValue | None = None,
    finally_: StepsValue | None = None,
    **keys: Unpack[ItemKeys],
) -> BlockNode:
    """Steps; what to do if one of them fails (`error` is in scope); what to do in any case."""
    return BlockNode("try", {"steps": steps, "catch": catch, "finally": finally_}, keys, place_of_caller())


def group(steps: StepsValue, **keys: Unpack[ItemKeys]) -> BlockNode:
    """Steps under one name."""
    return BlockNode("group", {"steps": steps}, keys, place_of_caller())


def for_each(
    items: str, do: StepValue | StepsValue, *, max_parallel: int | None = None, **keys: Unpack[ItemKeys]
) -> BlockNode:
    """Steps for each item of a list (CEL). Not carried out by this version: refused when it is registered."""
    return BlockNode("for_each", {"items": items, "max_parallel": max_parallel, "do": do}, keys, place_of_caller())


def branch(*arms: Mapping[str, Any], **keys: Unpack[ItemKeys]) -> BlockNode:
    """The first arm whose `if` holds. Not carried out by this version: refused when it is registered."""
    return BlockNode("branch", {"arms": arms}, keys, place_of_caller())


def while_(
    cond: str, do: StepValue | StepsValue, *, max_iterations: int | None = None, **keys: Unpack[ItemKeys]
) -> BlockNode:
    """Steps as long as a condition (CEL) holds. Not carried out by this version: refused when it is registered."""
    return BlockNode("while", {"cond": cond, "max_iterations": max_iterations, "do": do}, keys, place_of_caller())
