"""Why an event started a run, or did not: each binding's verdict, recomputed from the stored event and rules
(semantics 11.4).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..core.errors import ReactorError
from ..core.event import Event
from ..language.cel import Activation
from .contract import Binding, CancelBinding, StartBinding, WaitBinding
from .rules import Rules, fits

TURN_S = 0.005  # after so long others have their turn


async def explain(
    rules: Rules,
    event: Event,
    vars_: Mapping[str, Any],
    *,
    workflow: str = "",
    runs: Mapping[str, tuple[str, str]],
    notes: Mapping[str, str],
    dead: Mapping[str, str],
) -> list[dict[str, Any]]:
    """One finding a binding, in the order of the rules. Over many rules others have their turn in between.

    `runs`: workflow → (run, state) that the event started; `notes`: workflow → what held it back; `dead`: workflow →
    reason.
    """
    found: list[dict[str, Any]] = []
    begun = time.perf_counter()
    for finding in _findings(rules, event, vars_, workflow, runs, notes, dead):
        found.append(finding)
        if time.perf_counter() - begun > TURN_S:
            await asyncio.sleep(0)
            begun = time.perf_counter()
    return found


def _findings(
    rules: Rules,
    event: Event,
    vars_: Mapping[str, Any],
    workflow: str,
    runs: Mapping[str, tuple[str, str]],
    notes: Mapping[str, str],
    dead: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    scope = Activation({"event": event.view(), **vars_})
    taken: set[str] = set()
    bindings = dict(rules.bindings)  # as they are now, whatever is deployed meanwhile
    aside = rules.rules_aside()
    for explanation in rules.index.explain_all(event.view()):
        binding = bindings[str(explanation.rule_id)]
        if workflow and binding.workflow != workflow:
            continue
        if not explanation.matched and binding.rule in aside:
            continue  # the wait of a definition that is not in force any more: nobody asks why it took nothing
        entry: dict[str, Any] = {"workflow": binding.workflow, **_what(binding)}
        if not explanation.matched:
            entry |= {
                "finding": "no_match",
                "path": explanation.path,
                "expected": list(explanation.expected),
                "actual": list(explanation.actual),
                "text": explanation.text,
            }
        elif isinstance(binding, StartBinding):
            entry |= _start(binding, event, scope, taken, runs, notes, dead)
        else:
            entry |= {
                "finding": "noted",
                "text": "accepted for those who wait"
                if isinstance(binding, WaitBinding)
                else "cancels runs whose key agrees",
            }
        yield entry


def _what(binding: Binding) -> dict[str, Any]:
    if isinstance(binding, StartBinding):
        return {"binding": f"when[{binding.entry}]", "version": binding.version}
    if isinstance(binding, CancelBinding):
        return {"binding": f"cancel_on[{binding.pattern.rpartition('/')[2]}]"}
    return {"binding": f"wait {binding.pattern.partition('/')[2]}"}


def _start(
    binding: StartBinding,
    event: Event,
    scope: Activation,
    taken: set[str],
    runs: Mapping[str, tuple[str, str]],
    notes: Mapping[str, str],
    dead: Mapping[str, str],
) -> dict[str, Any]:
    if not fits(binding, event):
        return {
            "finding": "no_match",
            "text": "the entry does not take events of our own, or another version of the workflow",
        }
    if binding.workflow in taken:
        return {
            "finding": "not_first",
            "text": "an entry above started the run: one event starts one run of a workflow",
        }
    for name, guard, wanted in binding.guards:
        try:
            value = guard.guard(scope)
        except ReactorError as e:
            taken.add(binding.workflow)
            return {"finding": "dead", "clause": name, "text": f"{name}: {guard.text}: {e}"}
        if value is not wanted:
            actual = _values(guard.reads, scope)
            shown = ", ".join(f"{k} is {_json(v)}" for k, v in actual.items() if k != guard.text)
            return {
                "finding": "guard",
                "clause": name,
                "expression": guard.text,
                "actual": actual,
                "text": f"{name}: {guard.text} is {str(value).lower()}" + (f" ({shown})" if shown else ""),
            }
    taken.add(binding.workflow)
    if binding.workflow in runs:
        run, state = runs[binding.workflow]
        return {
            "finding": "matched",
            "run": run,
            "state": state,
            "text": f"started {run}" if state != "queued" else f"{run} is held: it is queued",
        }
    if binding.workflow in dead:
        return {"finding": "dead", "text": dead[binding.workflow]}
    if binding.workflow in notes:
        return {"finding": notes[binding.workflow], "text": f"no run: {notes[binding.workflow]}"}
    return {"finding": "matched", "text": "matched"}


def _values(reads: Iterable[Any], scope: Activation) -> dict[str, Any]:
    """What the paths that a guard reads hold in this event."""
    found: dict[str, Any] = {}
    for path in sorted(reads, key=str):
        try:
            value: Any = scope.root(str(path[0]))
            for part in path[1:]:
                value = value[part]
        except (KeyError, TypeError, IndexError):
            value = None
        found[".".join(map(str, path))] = value
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
