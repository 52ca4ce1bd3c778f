"""What is carried out for a step, or for the handler that undoes it; and the call that its action is given.

A `Work` is made once for a node of a plan: what does not depend on the run is looked at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..core.clock import Clock
from ..core.trace import split
from ..language.cel import Expression
from ..language.definition import Retry
from ..language.templates import Compiled, Encode, compile_value
from .actions.catalogue import read_input
from .actions.contract import Action, Call, Services
from .active import ActiveRun
from .plan import OPEN, Node
from .step_context import StepContext
from .telling import Telling

_SAID = frozenset(("event", "inputs", "steps", "output", "error"))
_NO_VALUES: Mapping[str, Any] = {}


class Work:
    """A step, or the handler that undoes it, ready to be carried out for any run of its plan."""

    __slots__ = (
        "action",
        "addresses",
        "event_driven",
        "node",
        "reads",
        "reads_error",
        "retry",
        "retry_if",
        "secrets",
        "timeout_s",
        "undo",
        "uses",
        "usual_input",
        "with_",
    )

    def __init__(self, node: Node, action: Action, *, undo: bool = False, reads: tuple[tuple[str, int], ...]) -> None:
        handler = node.undo if undo else None
        self.node = node
        self.undo = undo
        self.action = action
        self.usual_input: Callable[[Any], Any] | None = getattr(action, "usual_input", None)
        self.reads = reads
        self.uses: str = node.uses if handler is None else handler.spec.uses
        self.with_: Compiled = node.with_ if handler is None else handler.with_
        self.addresses: Mapping[str, tuple[Compiled, Encode]] = node.addresses if handler is None else handler.addresses
        self.retry: Retry | None = node.retry if handler is None else handler.spec.retry
        self.retry_if: Expression | None = node.retry_if if handler is None else None
        self.timeout_s: float | None = node.timeout_s if handler is None else handler.spec.timeout_s
        self.secrets = tuple(sorted({str(p[1]) for p in self.with_.reads if p[0] == "secrets" and len(p) > 1}))
        self.reads_error = any(path[0] == "error" for path in self.with_.reads)
        self.event_driven = _event_driven(
            action, self.with_, node.step.with_ if handler is None else handler.spec.with_
        )

    def read(self, rendered: Any) -> Any:
        """A rendered `with` as the action's inputs. Raises StepError `invalid_input`."""
        found = self.usual_input(rendered) if self.usual_input is not None else None
        return found if found is not None else read_input(self.uses, self.action.Input, rendered)


def work_of(node: Node, action: Action) -> Work:
    """A step as work; kept with the node, as long as the action stays the same."""
    work = node.kept
    if not isinstance(work, Work) or work.action is not action:
        work = node.kept = Work(node, action, reads=node.reads)
    return work


def renewed(work: Work, action: Action) -> Work:
    """The same before it is repeated: an action of a plugin that could not be made may be there by now."""
    return work if work.action is action else Work(work.node, action, undo=work.undo, reads=work.reads)


def _event_driven(action: Action, with_: Compiled, unrendered: Any) -> bool:
    """Does what an event, the inputs or a step said decide which host is called? Of an action that does not say which
    part of its `with` decides that, all of it counts.
    """
    if not any(path[0] in _SAID for path in with_.reads):
        return False
    host = getattr(action, "host", None)
    return host is None or any(path[0] in _SAID for path in compile_value(host(unrendered), OPEN).reads)


class Carrier(Protocol):
    """Who carries a call out: what the call asks of it."""

    clock: Clock
    services: Services
    telling: Telling

    def log(self, run: ActiveRun, node: Node, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """A line of the run's log."""
        ...

    def tell_progress(self, run: ActiveRun, node: Node, share: float, text: str) -> None:
        """How far the step is, by its own word."""
        ...


class StepCall(Call):
    """A call for a step of a run. What few actions ask for is made when it is looked at."""

    __slots__ = ("_carrier", "_extra", "_run", "_work")

    def __init__(
        self,
        carrier: Carrier,
        run: ActiveRun,
        work: Work,
        inputs: Any,
        attempt: int,
        timeout_s: float | None,
        extra: Mapping[str, Any] = _NO_VALUES,
    ) -> None:
        self._carrier = carrier
        self._run = run
        self._work = work
        self._extra = extra
        self.inputs = inputs
        self.attempt = attempt
        self.timeout_s = timeout_s
        self.services = carrier.services
        self.isolation = work.node.step.isolation
        self.undo = work.undo

    def __getattr__(self, name: str) -> Any:
        """Make what was not made yet, and keep it."""
        make = _LATER.get(name)
        if make is None:
            raise AttributeError(f"a call has no `{name}`", name=name, obj=self)
        value = make(self._carrier, self._run, self._work, self._extra)
        setattr(self, name, value)
        return value


_LATER: Mapping[str, Callable[[Carrier, ActiveRun, Work, Mapping[str, Any]], Any]] = {
    "run": lambda x, run, work, extra: run.id,
    "workflow": lambda x, run, work, extra: run.row.workflow,
    "step": lambda x, run, work, extra: work.node.path,
    "traceparent": lambda x, run, work, extra: x.telling.current(run.id, work.node.path, split(run.row.traceparent)[0]),
    "tracestate": lambda x, run, work, extra: split(run.row.traceparent)[1],
    "actor": lambda x, run, work, extra: run.row.actor,
    "clock": lambda x, run, work, extra: x.clock,
    "event_driven": lambda x, run, work, extra: work.event_driven,
    "key": lambda x, run, work, extra: run.key(work.node, undo=work.undo),
    "context": lambda x, run, work, extra: StepContext(run, work.node, extra),
    "temp_dir": lambda x, run, work, extra: run.folder,
    "log": lambda x, run, work, extra: functools.partial(x.log, run, work.node),
    "progress": lambda x, run, work, extra: functools.partial(x.tell_progress, run, work.node),
}
