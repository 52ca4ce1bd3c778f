"""Why an event started a run, or did not: each binding's verdict, recomputed from the stored event and rules
(semantics 11.4).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ..core.errors import ReactorError
from ..core.event import Event
from ..core.limits import EXPLAIN_RUNS_MAX
from ..language.cel import Activation, Expression
from ..store.contract import Heard
from .contract import Binding, CancelBinding, StartBinding, WaitBinding
from .rules import Rules, fits

NAMED_MAX = 3  # runs in a text; all are in `runs`
WhoHeard = Callable[[str], Awaitable[tuple[Sequence[Heard], bool]]]
"""Workflow → the runs that heard of the event, and whether all were looked at."""

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
    heard: WhoHeard | None = None,
) -> list[dict[str, Any]]:
    """One finding a binding, in the order of the rules. Over many rules others have their turn in between.

    `runs`: workflow → (run, state) that the event started; `notes`: workflow → what held it back; `dead`: workflow →
    reason; `heard`: asked for the runs of a workflow that the event woke or cancelled.
    """
    found: list[dict[str, Any]] = []
    begun = time.perf_counter()
    for binding, finding in _findings(rules, event, vars_, workflow, runs, notes, dead):
        if heard is not None and finding["finding"] == "noted":
            finding |= _told(binding, *await heard(binding.workflow))
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
) -> Iterator[tuple[Binding, dict[str, Any]]]:
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
        elif isinstance(binding, WaitBinding):
            entry |= {"finding": "noted", "text": "accepted for those who wait"}
        else:
            refused = _refused("if", binding.guard, True, scope) if binding.guard is not None else None
            entry |= refused or {"finding": "noted", "text": "cancels runs whose key agrees"}
        yield binding, entry


def _told(binding: Binding, heard: Sequence[Heard], all_: bool) -> dict[str, Any]:
    """Which runs a wait or a `cancel_on` has touched, for the finding of its binding."""
    assert not isinstance(binding, StartBinding)
    cancels = isinstance(binding, CancelBinding)
    own = binding.pattern.partition("/")[0] + "/" if cancels else binding.pattern
    runs = [{"run": each.run, "state": each.state} for each in heard if each.pattern == own]
    if runs:
        names = ", ".join(run["run"] for run in runs[:NAMED_MAX])
        more = f" and {len(runs) - NAMED_MAX} more" if len(runs) > NAMED_MAX else ""
        return {"runs": runs, "text": f"{'cancelled' if cancels else 'woke'} {names}{more}"}
    open_ = (
        "no run that was open has its key" if cancels else "no run has taken it; one that is open may, when it waits"
    )
    return {"runs": runs, "text": open_ if all_ else f"{open_} (of the newest {EXPLAIN_RUNS_MAX} runs)"}


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
        refused = _refused(name, guard, wanted, scope)
        if refused is not None:
            if refused["finding"] == "dead":
                taken.add(binding.workflow)
            return refused
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


def _refused(name: str, guard: Expression, wanted: bool, scope: Activation) -> dict[str, Any] | None:
    """What a guard that does not hold says, and by which values; None: it holds."""
    try:
        value = guard.guard(scope)
    except ReactorError as e:
        return {"finding": "dead", "clause": name, "text": f"{name}: {guard.text}: {e}"}
    if value is wanted:
        return None
    actual = _values(guard.reads, scope)
    shown = ", ".join(f"{k} is {_json(v)}" for k, v in actual.items() if k != guard.text)
    return {
        "finding": "guard",
        "clause": name,
        "expression": guard.text,
        "actual": actual,
        "text": f"{name}: {guard.text} is {str(value).lower()}" + (f" ({shown})" if shown else ""),
    }


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
