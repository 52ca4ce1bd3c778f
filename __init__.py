"""Reactor: when something happens, run a durable workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "App",
    "ConfigError",
    "Event",
    "PermanentError",
    "Retry",
    "RunFailed",
    "Step",
    "StepError",
    "TransientError",
    "Workflow",
    "WorkflowBuilder",
    "__version__",
    "action",
    "approval",
    "branch",
    "emit",
    "for_each",
    "group",
    "on",
    "parallel",
    "run_workflow",
    "step",
    "try_",
    "wait",
    "while_",
]

if TYPE_CHECKING:
    from .app import App
    from .core.errors import ConfigError, PermanentError, StepError, TransientError
    from .core.event import Event
    from .engine.handle import RunFailed
    from .language import on
    from .language.builder import WorkflowBuilder
    from .language.python_form import Workflow, step
    from .language.python_keys import Retry
    from .language.python_nodes import (
        action,
        approval,
        branch,
        emit,
        for_each,
        group,
        parallel,
        run_workflow,
        try_,
        wait,
        while_,
    )
    from .language.python_step import Step

_NODES = (
    "action",
    "approval",
    "branch",
    "emit",
    "for_each",
    "group",
    "parallel",
    "run_workflow",
    "try_",
    "wait",
    "while_",
)
_HOMES = {
    "App": ".app",
    "Event": ".core.event",
    "Retry": ".language.python_keys",
    "RunFailed": ".engine.handle",
    "Step": ".language.python_step",
    "Workflow": ".language.python_form",
    "WorkflowBuilder": ".language.builder",
    "step": ".language.python_form",
    **dict.fromkeys(("ConfigError", "PermanentError", "StepError", "TransientError"), ".core.errors"),
    **dict.fromkeys(_NODES, ".language.python_nodes"),
}


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is first used: importing the package alone costs next to nothing."""
    from importlib import import_module

    if name == "on":
        found: Any = import_module(".language.on", __name__)
    elif name in _HOMES:
        found = getattr(import_module(_HOMES[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted({*globals(), *__all__})
