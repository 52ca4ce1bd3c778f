"""`log`: a line in `reactor logs RUN`, the console and the process log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from ...connections.fields import Keys
from .contract import ActionBase, Call

_log = logging.getLogger("reactor.run")


class LogInput(Keys):
    """`with` of `log`."""

    message: str
    level: Literal["debug", "info", "warning", "error"] = "info"
    fields: dict[str, Any] = Field(default_factory=dict)


class LogAction(ActionBase):
    """Writes one line."""

    name: ClassVar[str] = "log"
    Input: ClassVar[type[BaseModel] | None] = LogInput
    output: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False}
    key_goes: ClassVar[str] = "nowhere: a repeat writes the line again"

    async def execute(self, call: Call) -> dict[str, Any]:
        """Write it; the output is empty."""
        given: LogInput = call.inputs
        if call.log is not None:
            call.log(given.level, given.message, given.fields)
        _log.log(
            logging.getLevelNamesMapping()[given.level.upper()],
            "%s",
            given.message,
            extra={"run": call.run, "workflow": call.workflow, "step": call.step, "fields": given.fields},
        )
        return {}
