"""`fail`: ends its block with an error of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import BaseModel, Field

from ...connections.fields import Keys
from .contract import ActionBase, Call, StepError


class FailInput(Keys):
    """`with` of `fail`."""

    message: str
    code: str = Field(default="failed", pattern=r"^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$")
    class_: Literal["retry", "fix", "park"] = Field(default="park", alias="class")
    details: dict[str, Any] = Field(default_factory=dict)


class FailAction(ActionBase):
    """Raises what it is told to; never retried, whatever the class says: it would fail again."""

    name: ClassVar[str] = "fail"
    Input: ClassVar[type[BaseModel] | None] = FailInput
    pure: ClassVar[bool] = True
    errors: ClassVar[tuple[str, ...]] = ("*",)
    output: ClassVar[Mapping[str, Any]] = {"not": {}}
    key_goes: ClassVar[str] = "nowhere: it has no effect"

    async def execute(self, call: Call) -> NoReturn:
        """Raise the error."""
        given: FailInput = call.inputs
        raise StepError(given.code, given.message, given.class_, details=given.details)
