"""The base class of a Python step that is more than a function.

Source: requirement E-STEP-1; the actions page, python.
"""

from __future__ import annotations

from typing import Any, cast

from ..core.errors import StepError


class Step:
    """Base of a Python step that is more than a function: `function: "module:Class"`.

    Parameters are filled from `args` by name, and `context` with the read-only context; write the methods with `async`
    or without. A class without a `compensate` of its own cannot be undone. A fresh instance serves each call.
    """

    def validate_input(self, context: Any) -> Any:
        """Refuse the input before anything happens: raise, or return False or a text that says why."""
        return None

    def execute(self, context: Any) -> Any:
        """Do it; the result becomes JSON. Whatever it raises is the step's error."""
        raise StepError("step_failed", f"{type(self).__qualname__} has no method `execute`", "fix")

    def compensate(self, context: Any, error: Any) -> Any:
        """Undo it; `error` is what made that necessary, `context.output` what `execute` returned."""
        return None


def compensable(cls: type[Any]) -> bool:
    """Has this step class a `compensate` of its own?"""
    own = getattr(cls, "compensate", None)
    return own is not None and own is not Step.compensate


def is_step_class(target: object) -> bool:
    """Is this a class with `execute`, to be made and called, and not a function?"""
    return isinstance(target, type) and (issubclass(target, Step) or hasattr(cast("Any", target), "execute"))
