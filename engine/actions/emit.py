"""`emit`: an event of the workflow's own, stored in the commit of the step's result and sent by the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import msgspec
from msgspec import UNSET
from pydantic import BaseModel, Field

from ...connections.fields import Keys
from ...core.limits import EVENT_BYTES_MAX
from .contract import ActionBase, Call, EmitEffect, StepError


class EmitInput(Keys):
    """`with` of `emit`."""

    type: str = Field(min_length=1, max_length=1024, examples=["order.shipped"])
    data: Any = None
    subject: str | None = Field(default=None, min_length=1)


class EmitAction(ActionBase):
    """Asks the engine for an event."""

    name: ClassVar[str] = "emit"
    Input: ClassVar[type[BaseModel] | None] = EmitInput
    errors: ClassVar[tuple[str, ...]] = ("too_large", "forbidden")
    key_goes: ClassVar[str] = "the event's `id`"
    output: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"id": {"type": "string"}},
        "required": ["id"],
        "additionalProperties": False,
    }

    def check(self, with_: Any) -> list[tuple[str, str]]:
        """Events of Reactor's own types come from Reactor alone."""
        type_ = cast("Mapping[str, Any]", with_).get("type") if isinstance(with_, Mapping) else None
        if isinstance(type_, str) and type_.startswith("reactor."):
            return [("type", "types that begin with `reactor.` are Reactor's own: choose another")]
        return []

    async def execute(self, call: Call) -> EmitEffect:
        """The event, as the engine commits it."""
        given: EmitInput = call.inputs
        if given.type.startswith("reactor."):
            raise StepError("forbidden", f"the event type `{given.type}` is Reactor's own: choose another")
        size = len(msgspec.json.encode(given.data))
        if size > EVENT_BYTES_MAX:
            raise StepError("too_large", f"the event's data has {size} bytes; at most {EVENT_BYTES_MAX} are taken")
        return EmitEffect(given.type, given.data if given.has("data") else UNSET, given.subject)
