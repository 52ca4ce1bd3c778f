"""What users and plugin authors test with: suites, rigs, the virtual clock, contexts of single steps.

Each public name is loaded when it is first used: the suites need pytest, contexts and clocks do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
    "ActionSuite",
    "Rig",
    "StoreSuite",
    "TestApp",
    "TriggerSuite",
    "VirtualClock",
    "build_parallel_workflow",
    "step_context",
]

if TYPE_CHECKING:
    from .action_suite import ActionSuite
    from .app import TestApp
    from .clock import VirtualClock
    from .context import step_context
    from .store_suite import StoreSuite
    from .trigger_suite import Rig, TriggerSuite
    from .workflows import build_parallel_workflow

_HOMES = {
    "ActionSuite": ".action_suite",
    "Rig": ".trigger_suite",
    "StoreSuite": ".store_suite",
    "TestApp": ".app",
    "TriggerSuite": ".trigger_suite",
    "VirtualClock": ".clock",
    "build_parallel_workflow": ".workflows",
    "step_context": ".context",
}


def __getattr__(name: str) -> Any:
    """A public name, loaded now."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = found
    return found
