"""`state`: durable values, changed in the commit of the step's result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import msgspec
from pydantic import BaseModel, Field

from ...connections.fields import Keys
from ...core.errors import StepError
from ...core.limits import STATE_VALUE_BYTES_MAX
from .contract import ActionBase, Call, StateEffect, StateOp

Op = Literal["get", "set", "merge", "increment", "delete", "compare_and_set"]
Scope = Literal["workflow", "run", "project"]

_NEEDS_VALUE = ("set", "merge", "increment", "compare_and_set")


def scope_text(scope: str, workflow: str, run: str) -> str:
    """The scope of a StateOp: `workflow/<name>`, `run/<id>` or `project`. Raises StepError `invalid_input`."""
    if scope == "workflow":
        return f"workflow/{workflow}"
    if scope == "run":
        return f"run/{run}"
    if scope == "project":
        return "project"
    raise StepError("invalid_input", f"the scope of a durable value is workflow, run or project; found `{scope}`")


def key_of_value(key: str) -> str:
    """A key as every store can keep it; raises StepError `invalid_input`."""
    if not key:
        raise StepError("invalid_input", "the key of a durable value must not be empty")
    if "\0" in key:
        raise StepError("invalid_input", f"the key {key!r} of a durable value must hold no null character")
    return key


def operation(op: Op, scope: str, key: str, value: Any = None, expected: Any = None) -> StateOp:
    """A checked operation; raises StepError `invalid_input` or `too_large`."""
    key_of_value(key)
    if op == "merge" and not isinstance(value, dict):
        raise StepError("invalid_input", f"`merge` of `{key}` needs a mapping as value")
    if op == "increment" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise StepError("invalid_input", f"`increment` of `{key}` needs a number as value")
    try:
        size = len(msgspec.json.encode(value))
    except (TypeError, ValueError) as e:
        raise StepError("invalid_input", f"the value of `{key}` is not JSON: {e}") from None
    if size > STATE_VALUE_BYTES_MAX:
        raise StepError(
            "too_large",
            f"the value of `{key}` has {size} bytes; at most {STATE_VALUE_BYTES_MAX} are kept under one key",
        )
    return StateOp(op, scope, key, value, expected)


class StateItem(Keys):
    """One operation of several."""

    op: Op
    key: str = Field(min_length=1)
    value: Any = None
    expected: Any = None
    scope: Scope = "workflow"


class StateInput(Keys):
    """`with` of `state`: one operation, or a list of them, all or none."""

    exactly_one: ClassVar = (("op", "ops"),)

    op: Op | None = None
    key: str | None = Field(default=None, min_length=1)
    value: Any = None
    expected: Any = None
    scope: Scope = "workflow"
    ops: list[StateItem] | None = Field(default=None, min_length=1)


class StateAction(ActionBase):
    """Asks the engine for changes of durable values."""

    name: ClassVar[str] = "state"
    Input: ClassVar[type[BaseModel] | None] = StateInput
    errors: ClassVar[tuple[str, ...]] = ("conflict", "too_large", "invalid_input")
    key_goes: ClassVar[str] = "nowhere: the change is written with the step's result, exactly once"
    output: ClassVar[Mapping[str, Any]] = {
        "oneOf": [{"$ref": "#/$defs/result"}, {"type": "array", "items": {"$ref": "#/$defs/result"}}],
        "$defs": {
            "result": {
                "type": "object",
                "properties": {"value": {}, "previous": {}, "version": {"type": "integer"}},
                "required": ["value", "previous", "version"],
                "additionalProperties": False,
            }
        },
    }

    def check(self, with_: Any) -> list[tuple[str, str]]:
        """`key` beside `op`, nothing but `ops` beside `ops`, a value where the operation needs one."""
        if not isinstance(with_, dict):
            return []
        keys = cast("dict[str, Any]", with_)
        if "ops" in keys:
            faults = [(name, "stands beside `op`; under `ops` each has its own") for name in keys if name != "ops"]
            for i, item in enumerate(cast("list[Any]", keys["ops"]) if isinstance(keys["ops"], list) else []):
                if isinstance(item, dict):
                    inside = _item_faults(cast("dict[str, Any]", item))
                    faults += [(f"ops[{i}]{'.' if path else ''}{path}", text) for path, text in inside]
            return faults
        faults = list[tuple[str, str]]()
        if "op" in keys and "key" not in keys:
            faults.append(("", "`key` is missing: which durable value?"))
        return faults + _item_faults(keys)

    async def execute(self, call: Call) -> StateEffect:
        """The changes, as the engine commits them."""
        given: StateInput = call.inputs
        faults = self.check(given.model_dump(exclude_unset=True))
        if faults:
            raise StepError("invalid_input", f"state: {faults[0][1]}")
        if given.ops is not None:
            items = given.ops
        else:
            items = [given]
        ops = tuple(_op(call, item) for item in items)
        return StateEffect(ops, several=given.ops is not None)


def _item_faults(item: dict[str, Any]) -> list[tuple[str, str]]:
    op = item.get("op")
    faults: list[tuple[str, str]] = []
    if op in _NEEDS_VALUE and "value" not in item and op != "increment":
        faults.append(("", f"`value` is missing: `{op}` needs it"))
    if op == "compare_and_set" and "expected" not in item:
        faults.append(("", "`expected` is missing: `compare_and_set` needs it (null: no value yet)"))
    if "expected" in item and op != "compare_and_set":
        faults.append(("expected", "is read by `compare_and_set` alone"))
    if "value" in item and op in ("get", "delete"):
        faults.append(("value", f"is not read by `{op}`"))
    return faults


def _op(call: Call, item: StateInput | StateItem) -> StateOp:
    op = item.op or "get"
    value = 1 if op == "increment" and not item.has("value") else item.value
    return operation(op, scope_text(item.scope, call.workflow, call.run), item.key or "", value, item.expected)
