"""From an event and a binding, or a direct call, to the run that is to exist: inputs computed and checked, labels,
limits, key.

Pure but for the numbers it draws; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ..core.clock import Clock
from ..core.errors import ErrorInfo, PermanentError, ReactorError
from ..core.event import Event, encode as encode_event
from ..core.ids import Numbers, digest, event_text
from ..core.keys import key_text, whole
from ..core.limits import NESTED_RUNS_MAX
from ..core.plain import json_fault
from ..core.priority import PRIORITY_WORDS, priority_in
from ..core.trace import kept
from ..language.cel import Activation, Expression, ExpressionError, compile_expression
from ..language.definition import When, WorkflowDefinition
from ..language.templates import Compiled, compile_value
from ..store.contract import EventRow, RunRow, RunStart, RunState
from .admission import Limit, accept, encode, limits_of
from .plan import OPEN, Node, Plan, wrong

_encode = msgspec.json.Encoder().encode
_NO_FIELDS: Mapping[str, Any] = {}
MANUAL = "manual"
"""The trigger name of events that were given to a direct start."""


class InvalidInput(PermanentError):
    """A run's inputs are not what its workflow declares."""

    code = "invalid_input"


class Form:
    """What a plan needs compiled to make runs of it; made at its first use."""

    __slots__ = ("cancel_keys", "constant", "entries", "labels", "limit_keys", "names", "priority")

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.entries: tuple[Compiled | None, ...] = tuple(
            compile_value(w.with_, OPEN) if w.with_ is not None else None for w in definition.when
        )
        self.labels = compile_value(definition.labels, OPEN)
        self.priority: Compiled = compile_value(definition.priority, OPEN)
        keys = [t.key for t in definition.throttle] + [c.key for c in definition.concurrency]
        self.limit_keys: tuple[Expression | None, ...] = tuple(compile_expression(k, OPEN) if k else None for k in keys)
        self.cancel_keys: tuple[Expression | None, ...] = tuple(
            compile_expression(c.by, OPEN) if c.by else None for c in definition.cancel_on
        )
        self.names: tuple[str, ...] = tuple(definition.inputs.get("properties", {}))
        self.constant: int | None = None
        """The priority of every run, if that is all there is to compute for one."""
        if self.priority.constant and not (definition.labels or keys or definition.cancel_on):
            self.constant = priority_of(definition.priority)


class Prepare:
    """Makes RunStarts."""

    def __init__(
        self, store_id: str, numbers: Numbers, clock: Clock, vars_: Mapping[str, Any], vars_digest: bytes
    ) -> None:
        self._store = store_id
        self._numbers = numbers
        self._clock = clock
        self.vars = vars_
        self.vars_digest = vars_digest
        self._forms: dict[bytes, Form] = {}

    def form(self, plan: Plan) -> Form:
        """The compiled form of a plan."""
        form = self._forms.get(plan.digest)
        if form is None:
            form = self._forms[plan.digest] = Form(plan.definition)
        return form

    def for_event(
        self, plan: Plan, entry: int, event: Event, key: int, at: float, scope: Activation
    ) -> RunStart | ErrorInfo:
        """The run that an event starts by one entry of `when`; or why it cannot (a dead letter of this binding)."""
        definition, form = plan.definition, self.form(plan)
        try:
            inputs = self._inputs(plan, form, entry, event, scope)
            row = self._row(
                plan,
                inputs,
                at,
                digest("run", definition.workflow, event.source, event.id, whole(event.extensions.get("replay", 0))),
            )
            extensions = event.extensions
            row.event = key
            row.cause = key_text(str(extensions.get("runid", "")))
            row.correlation = key_text(str(extensions.get("correlationid", ""))) or event_text(key)
            row.hops = whole(extensions.get("hops", 0))
            row.traceparent = kept(extensions)
            when = definition.when[entry]
            if form.constant is not None and when.overlap == "allow":
                row.priority = form.constant
                return RunStart(row, None)
            return self._start(plan, form, row, scope.extended({"inputs": inputs}), when, entry)
        except ReactorError as e:
            return e.info()

    def direct(
        self,
        plan: Plan,
        inputs: Any,
        *,
        key: bytes,
        actor: str = "",
        labels: Mapping[str, str] | None = None,
        priority: int | str | None = None,
        event: Event | None = None,
        stored: int = 0,
        parent: RunRow | None = None,
        parent_ord: int = 0,
        detached: bool = False,
        parent_id: str = "",
    ) -> RunStart:
        """A run that somebody, or a step of another run, starts; it sees `event`, whose key is `stored` if the store
        has it.

        Raises InvalidInput, ExpressionError.
        """
        form, now = self.form(plan), self._clock.now()
        row = self._row(plan, self.checked(plan, inputs), now, key)
        row.actor = actor
        if event is not None:
            row.event = stored or self._numbers.draw()
            row.traceparent = kept(event.extensions)
        if parent is not None:
            if parent.depth + 1 > NESTED_RUNS_MAX:
                raise PermanentError(f"runs are nested more than {NESTED_RUNS_MAX} deep", code="depth_limit")
            row.parent, row.parent_ord = (0, 0) if detached else (parent.id, parent_ord)
            row.depth, row.cause, row.correlation = parent.depth + 1, parent_id, parent.correlation or parent_id
            row.hops, row.traceparent, row.priority = parent.hops, parent.traceparent, parent.priority
            row.actor = actor or parent.actor
        if form.constant is None:
            start = self._start(plan, form, row, self._scope_of(event, msgspec.json.decode(row.input)), None, -1)
        else:
            row.priority = form.constant
            start = RunStart(row, None)
        if labels:
            given = mapping(labels, "`labels`")
            if found := json_fault(given, "labels"):
                raise InvalidInput(found)
            own = {name: key_text(value) for name, value in given.items()}
            row.labels = _encode({**(msgspec.json.decode(row.labels) if row.labels else {}), **own})
        if priority is not None:
            row.priority = priority_of(priority)
        elif parent is not None:
            row.priority = parent.priority
        return start

    def checked(self, plan: Plan, inputs: Any) -> Any:
        """Inputs with defaults, checked. Raises InvalidInput naming each."""
        if plan.inputs is None:
            return inputs if inputs is not None else {}
        filled = plan.inputs.filled(inputs if inputs is not None else {})
        fault = wrong(plan.inputs, filled, f"inputs of `{plan.definition.workflow}`")
        if fault is not None:
            raise InvalidInput(fault, hint=f"`reactor show {plan.definition.workflow}` lists its inputs")
        return filled

    def _inputs(self, plan: Plan, form: Form, entry: int, event: Event, scope: Activation) -> Any:
        mapping = form.entries[entry]
        if mapping is not None:
            return self.checked(plan, mapping.render(scope))
        return self.checked(plan, self._fields(form, event))

    def fields(self, plan: Plan, event: Event) -> dict[str, Any]:
        """The inputs that an event's data has by name: what an entry without `with` gives its run."""
        return self._fields(self.form(plan), event)

    def _fields(self, form: Form, event: Event) -> dict[str, Any]:
        data = event.data
        fields: Mapping[str, Any] = cast("Mapping[str, Any]", data) if isinstance(data, dict) else _NO_FIELDS
        return {n: fields[n] for n in form.names if n in fields}

    def _row(self, plan: Plan, inputs: Any, at: float, key: bytes) -> RunRow:
        definition = plan.definition
        try:
            body = _encode(inputs)
        except (TypeError, ValueError):
            if found := json_fault(inputs, "inputs"):
                raise InvalidInput(f"inputs of `{definition.workflow}`: {found}") from None
            raise
        return RunRow(
            self._numbers.draw(),
            key,
            definition.workflow,
            definition.version,
            plan.digest,
            int(RunState.RUNNING),
            body,
            at,
            started_at=at,
            vars=self.vars_digest,
        )

    def _start(self, plan: Plan, form: Form, row: RunRow, scope: Activation, when: When | None, entry: int) -> RunStart:
        definition = plan.definition
        if definition.labels:
            labels: dict[str, Any] = form.labels.render(scope)
            row.labels = _encode({k: key_text(v) for k, v in labels.items() if v is not None})
        row.priority = priority_of(form.priority.render(scope))
        limits: list[Limit] = []
        if form.limit_keys:
            limits = limits_of(definition, [key_text(k.value(scope)) if k is not None else "" for k in form.limit_keys])
        if when is not None and when.overlap != "allow":
            limits.append(Limit("concurrency", f"overlap/{definition.workflow}/{entry}", "", 1, when.overlap))
        row.flow = encode(limits)
        keys: list[tuple[str, str]] = []
        for i, by in enumerate(form.cancel_keys):
            try:
                keys.append((cancel_pattern(plan, i), key_text(by.value(scope)) if by is not None else ""))
            except ExpressionError as e:
                if when is not None or not e.absent:
                    raise  # a direct start has no event that could agree with another one: nothing cancels it so
        return RunStart(row, accept(limits, row.id), tuple(keys))

    def _scope_of(self, event: Event | None, inputs: Any) -> Activation:
        return Activation(
            {
                "event": event.view() if event is not None else None,
                "inputs": inputs,
                "vars": self.vars.get("vars", {}),
                "env": self.vars.get("env", {}),
            }
        )


def given_event(event: Event, run: RunRow) -> EventRow:
    """The row of an event that was given to a direct start: it is on record, and matched against no rules."""
    body = encode_event(event, meta=True)
    return EventRow(run.event, event.source, event.id, event.type, MANUAL, run.created_at, 0, body)


def cancel_pattern(plan: Plan, index: int) -> str:
    """The name of a `cancel_on` entry: of this very definition."""
    return f"{plan.digest.hex()[:12]}/cancel/{index}"


def wait_pattern(plan: Plan, node: Node) -> str:
    """The name of a wait's pattern in the router's index: of this very definition."""
    return f"{plan.digest.hex()[:12]}/{node.path}"


def mapping(value: Any, what: str) -> dict[str, Any]:
    """Names with values that have a JSON form, as a program gives them; none for None. Raises InvalidInput."""
    if value is not None and not isinstance(value, Mapping):
        raise InvalidInput(f"{what} must be a mapping of names to values; found {value!r:.80}")
    return {str(name): each for name, each in cast("Mapping[Any, Any]", value or {}).items()}


def priority_of(value: Any) -> int:
    """0 … 9 out of a number or a name. Raises InvalidInput."""
    number = priority_in(value)
    if number is None:
        raise InvalidInput(f"priority must be {PRIORITY_WORDS}; found {value!r}")
    return number
