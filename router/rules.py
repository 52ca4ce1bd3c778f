"""The rules in force: every binding of the live workflows, filed in one index, under a revision that events
remember.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, cast

from ..core.errors import ConfigError
from ..core.event import Event
from ..language.cel import Expression, compile_expression
from ..language.definition import CancelOn, Step, When, WorkflowDefinition
from ..language.scope import Name, Scope
from ..language.values import is_mapping
from ..language.versions import split_reference
from .contract import Binding, CancelBinding, StartBinding, WaitBinding
from .index import RuleIndex

log = logging.getLogger("reactor.router")
SCOPE = Scope({n: Name() for n in ("event", "events", "vars", "env", "run", "inputs")})
OWN_TYPES = "reactor."  # what the types of our own events begin with
_BAD_ENDS = ("failed", "timed_out", "compensated", "compensation_failed")


class Rules:
    """Bindings by workflow, and the index over them. Changes are made between two events: matching never sees half of
    one.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.index = RuleIndex()
        self.bindings: dict[str, Binding] = {}
        self._of: dict[str, list[str]] = {}  # workflow -> its rules
        self._follows: dict[str, bool] = {}  # types of our own events that were asked for
        self._live: dict[str, str] = {}  # workflow -> digest, in hex
        self._aside: dict[str, list[str]] = {}  # digest, in hex, of a definition that is not in force -> its rules

    def replace(self, workflow: str, digest: bytes | None, bindings: Iterable[tuple[Binding, dict[str, Any]]]) -> None:
        """Put a workflow's rules in place of those it had; none for a workflow that is gone or switched off."""
        self._remove(self._of.pop(workflow, ()))
        added = self._add(bindings)
        if added:
            self._of[workflow] = added
        if digest is None:
            self._live.pop(workflow, None)
        else:
            self._live[workflow] = digest.hex()

    def set_aside(self, digest: bytes, bindings: Iterable[tuple[Binding, dict[str, Any]]]) -> None:
        """What the open runs of a definition that is not in force wait for; none once they have ended."""
        self._remove(self._aside.pop(digest.hex(), ()))
        added = self._add((binding, pattern) for binding, pattern in bindings if not isinstance(binding, StartBinding))
        if added:
            self._aside[digest.hex()] = added

    def _remove(self, rules: Iterable[str]) -> None:
        for rule in rules:
            self.index.remove(rule)
            del self.bindings[rule]
        self._follows.clear()

    def _add(self, bindings: Iterable[tuple[Binding, dict[str, Any]]]) -> list[str]:
        added: list[str] = []
        for binding, pattern in bindings:
            self.index.add(binding.rule, pattern)
            self.bindings[binding.rule] = binding
            added.append(binding.rule)
        self._follows.clear()
        return added

    def follows(self, type: str) -> bool:
        """Does any rule name this type of our own events? If none does, no such event is built."""
        found = self._follows.get(type)
        if found is None:
            found = self._follows[type] = any(
                _names(word, type) for binding in self.bindings.values() for word in binding.own_types
            )
        return found

    def body(self) -> Mapping[str, str]:
        """What a stored revision holds: the definitions in force, by workflow."""
        return dict(sorted(self._live.items()))

    def aside(self) -> tuple[str, ...]:
        """The digests, in hex, of the definitions that are not in force and still have rules."""
        return tuple(sorted(self._aside))

    def rules_aside(self) -> frozenset[str]:
        """The rules of these definitions."""
        return frozenset(rule for rules in self._aside.values() for rule in rules)

    def match(self, event: Event) -> list[Binding]:
        """The bindings whose pattern an event satisfies, in order. Pure and synchronous."""
        bindings = self.bindings
        return [bindings[cast("str", rule)] for rule in self.index.match(event.view())]


def bindings_of(definition: WorkflowDefinition, digest: bytes) -> list[tuple[Binding, dict[str, Any]]]:
    """All bindings of one definition with their patterns. Raises ConfigError (PatternError) with the place."""
    found: list[tuple[Binding, dict[str, Any]]] = []
    name, short = definition.workflow, digest.hex()[:12]
    own = _guards(definition.if_, definition.unless, "")
    for i, when in enumerate(definition.when):
        guards = (*_guards(when.if_, when.unless, f"when[{i}]."), *own)
        version = split_reference(when.workflow)[1]
        binding = StartBinding(
            f"{name}/{i}",
            name,
            definition.version,
            digest,
            i,
            guards,
            version,
            takes_own(when.event),
            _own_types(_end_types(when) if when.workflow else (when.event,)),
        )
        found.append((binding, pattern_of(when, f"when[{i}]")))
    for path, step in definition.walk():
        wanted = _awaited(step)
        if wanted is not None:
            by = compile_expression(wanted["by"], SCOPE) if wanted.get("by") else None
            pattern = _merged(_of_type(wanted.get("type", "*")), wanted.get("match"), f"steps.{path}.with.event")
            own_types = _own_types((str(wanted.get("type", "")),))
            found.append((WaitBinding(f"{name}/wait/{short}/{path}", name, f"{short}/{path}", by, own_types), pattern))
    for i, cancel in enumerate(definition.cancel_on):
        guard = compile_expression(cancel.if_, SCOPE) if cancel.if_ else None
        by = compile_expression(cancel.by, SCOPE) if cancel.by else None
        own_types = _own_types((cancel.event,))
        binding = CancelBinding(f"{name}/cancel/{short}/{i}", name, f"{short}/cancel/{i}", guard, by, own_types)
        found.append((binding, _cancel_pattern(cancel, i)))
    return found


def _awaited(step: Step) -> Mapping[str, Any] | None:
    """What a `wait` says of its event; None for other steps and waits."""
    with_: Any = step.with_
    if step.uses != "wait" or not is_mapping(with_):
        return None
    event = with_.get("event")
    return event if is_mapping(event) else None


def _guards(if_: str, unless: str, where: str) -> tuple[tuple[str, Expression, bool], ...]:
    found: list[tuple[str, Expression, bool]] = []
    if if_:
        found.append((f"{where}if", compile_expression(if_, SCOPE), True))
    if unless:
        found.append((f"{where}unless", compile_expression(unless, SCOPE), False))
    return tuple(found)


def pattern_of(when: When, where: str) -> dict[str, Any]:
    """An entry of `when` as a pattern over the whole event: trigger, type and workflow are tests in the same index."""
    if when.event:
        base = _of_type(when.event)
        if when.source:
            base["source"] = [when.source]
        if when.subject:
            base["subject"] = [when.subject]
    elif when.workflow:
        name = when.workflow.partition("@")[0]
        base = {
            "type": list(_end_types(when)),
            "source": [{"prefix": "/workflows/"}],
            "subject": [{"wildcard": name} if "*" in name else name],
        }
    else:
        base = {"meta": {"trigger": [when.trigger]}}
    return _merged(base, when.match, where)


def _cancel_pattern(cancel: CancelOn, index: int) -> dict[str, Any]:
    base: dict[str, Any] = {"meta": {"trigger": [cancel.trigger]}} if cancel.trigger else _of_type(cancel.event or "*")
    return _merged(base, cancel.match, f"cancel_on[{index}]")


def _of_type(type_: str) -> dict[str, Any]:
    """A trailing `*` is a prefix; it takes `reactor.…` only if what stands before it begins so (semantics 7.6)."""
    if not type_.endswith("*"):
        return {"type": [type_]}
    prefix = type_[:-1]
    return {"type": [{"prefix": prefix} if prefix else {"anything-but": {"prefix": "reactor."}}]}


def _end_types(when: When) -> tuple[str, ...]:
    """The types of the events that an entry with `workflow` waits for."""
    states = [s for state in when.states or ("completed",) for s in (_BAD_ENDS if state == "failed" else (state,))]
    return tuple(f"reactor.run.{s}" for s in dict.fromkeys(states))


def _own_types(types: Iterable[str]) -> tuple[str, ...]:
    """Those of these types that name events of our own."""
    return tuple(type_ for type_ in types if type_.startswith(OWN_TYPES))


def _names(word: str, type_: str) -> bool:
    return type_.startswith(word[:-1]) if word.endswith("*") else type_ == word


def takes_own(type_: str) -> bool:
    """May this type, perhaps with a trailing `*`, take events of our own? `rea*` may not, `reactor.*` may."""
    return not type_.endswith("*") or type_.startswith("reactor.")


def _merged(base: dict[str, Any], match: Mapping[str, Any] | None, where: str) -> dict[str, Any]:
    for key, value in (match or {}).items():
        if key not in base:
            base[key] = value
        elif isinstance(value, dict) and isinstance(base[key], dict):
            base[key] = {**value, **base[key]}
        else:
            raise ConfigError(
                f"{where}: `match` tests `{key}`, which the entry itself decides already",
                path=f"{where}.match.{key}",
                hint=f"take `{key}` out of `match`",
            )
    return base


def fits(binding: StartBinding, event: Event) -> bool:
    """What no pattern can say: own events only where they are meant, and the version of the workflow that ended."""
    if not binding.own and event.type.startswith("reactor."):
        return False
    if binding.versions is None:
        return True
    data = event.data
    if not isinstance(data, dict):
        return False
    return binding.versions.holds(str(cast("Mapping[str, Any]", data).get("version", "")))
