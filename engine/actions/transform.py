"""`transform`: its output is its `with`, rendered. Pure: computed again at replay, never stored."""

from __future__ import annotations

from typing import Any, ClassVar

from .contract import ActionBase, Call


class TransformAction(ActionBase):
    """Gives back what it was given."""

    name: ClassVar[str] = "transform"
    pure: ClassVar[bool] = True
    errors: ClassVar[tuple[str, ...]] = ("expression", "too_large")
    key_goes: ClassVar[str] = "nowhere: it has no effect"

    async def execute(self, call: Call) -> Any:
        """The rendered value."""
        return call.inputs
