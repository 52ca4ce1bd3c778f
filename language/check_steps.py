"""Checks of steps that need the whole workflow: expressions, dependencies, and what actions say of their inputs.

Source: the language page, sections 1 and 3; requirements V-3, V-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .catalogue import ActionWords, no_faults
from .check_waits import check_wait
from .definition import Compensate, Retry, Step, Steps, parts
from .dependencies import Graph, add_waits_for_all, after, cycles
from .diagnostics import Path, did_you_mean
from .expressions import NO_READS, Expressions, Reads
from .fitting import type_at
from .loader_steps import StepPlaces
from .loader_triggers import check_connection, tell_faults
from .names import Level, Names, step_name
from .reader import Reader
from .scope import Name, Scope
from .source_text import check_texts
from .values import is_mapping

_NO_WORDS = ActionWords("")
CALL = "run-workflow"
_ONCE = {
    "wait": "give it a longer `timeout`, or another `wait` after it",
    "approval": "give it a longer `timeout`, or ask again in a step after it",
    CALL: "write `retry` at the steps of the workflow that it runs",
}
"""Actions whose steps wait in the engine: they are carried out once, and as steps alone; and what to do instead."""


def block_of_each(steps: Steps, block: str = "") -> dict[str, str]:
    """For each step the name of the block around it, empty at the top."""
    found: dict[str, str] = {}
    for step in steps.steps:
        found[step.name] = block
        for _, inner in parts(step):
            found.update(block_of_each(inner, step.name))
    return found


class StepChecks:
    """Checks all steps of a workflow; `top` are the names that its outputs may read."""

    def __init__(self, reader: Reader, names: Names, steps: Steps, places: StepPlaces) -> None:
        self.reader = reader
        self.names = names
        self.places = places
        self.blocks = block_of_each(steps)
        self.expressions = Expressions(reader, self.blocks)
        self.top = self._names_of(steps)

    def run(self, steps: Steps) -> None:
        """Check them."""
        self._list(steps, {}, error=False)

    def _names_of(self, steps: Steps) -> dict[str, Name]:
        return {step.name: step_name(step, self.reader.catalogue) for step in steps.steps}

    def _list(
        self, steps: Steps, outer: Mapping[str, Name], *, error: bool, beside: Mapping[str, Name] | None = None
    ) -> set[str]:
        """Check one list or graph; the steps outside it that something in it reads."""
        own = self._names_of(steps)
        level = Level(self.names, {**outer, **(beside or {}), **own}, error=error)
        graph: Graph = {name: {} for name in own}
        outside: set[str] = set()
        before = ""
        for step in steps.steps:
            edges = graph[step.name]
            self._needs(step, own, edges)
            for name in self._step(step, level, outer, own, error=error):
                if name in own:
                    edges.setdefault(name, "reads")
                else:
                    outside.add(name)
            if steps.ordered and before:
                edges.setdefault(before, "order")
            before = step.name
            self._says_parallel(step, edges)
        self._waits_for_all(steps, graph)
        self._cycles(graph)
        self._unreachable(steps, graph)
        return outside

    def _needs(self, step: Step, own: Mapping[str, Name], edges: dict[str, Literal["needs", "reads", "order"]]) -> None:
        for number, name in enumerate(step.needs):
            if name in own:
                edges[name] = "needs"
                continue
            path = (*self.places.steps[step.name].path, "needs", number)
            if name in self.blocks:
                hint = f"it stands in another list of steps; put `needs: [{name}]` on the step that stands beside it"
                self.reader.error(
                    "unknown_step", path, f"`{name}` does not stand beside `{step.name}`", found=name, hint=hint
                )
            else:
                hint = did_you_mean(name, [other for other in own if other != step.name])
                self.reader.error("unknown_step", path, f"there is no step `{name}`", found=name, hint=hint)

    def _step(
        self, step: Step, level: Level, outer: Mapping[str, Name], own: Mapping[str, Name], *, error: bool
    ) -> set[str]:
        """Check one step; the steps that it reads."""
        place = self.places.steps[step.name]
        path = place.path
        reads = self._condition(step, level, path)
        if step.block is not None:
            around = {name: known for name, known in {**outer, **own}.items() if name != step.name}
            found = _steps_of(reads) | self._block(step, around, error=error)
            self._not_again(step, path)
        else:
            words = self.reader.catalogue.actions.get(step.uses, _NO_WORDS)
            self._not_by_message(step, place.with_)
            self._not_yet(step, path)
            if step.uses == "wait":
                check_wait(self.reader, step.with_, place.with_, typed=words.check is not no_faults)
            given = self._inputs(words, step.with_, level.inputs(words.secrets), level, place.with_, step.name)
            if not self._event(reads, (*path, "if" if step.if_ else "unless")):
                self._event(given, place.with_)
            found = _steps_of(reads | given)
        self._retry(step.retry, level, (*path, "retry"))
        for reaction in step.on_error:
            self._retry(reaction.retry, level, (*path, "on_error", reaction.pattern, "retry"))
            if reaction.pattern == "*" and reaction.action == "continue":
                self._continues((*path, "on_error"))
        if step.compensate is not None:
            self._undo(step, step.compensate, level)
        return found

    def _condition(self, step: Step, level: Level, path: Path) -> Reads:
        for text, key, never in ((step.if_, "if", "false"), (step.unless, "unless", "true")):
            if text.strip() == never:
                message = f"`{step.name}` never runs: its `{key}` is {never}"
                self.reader.warning("never_runs", (*path, key), message, hint="remove the step, or write a condition")
        return self.expressions.cel(step.if_, level.guard, (*path, "if"), "bool") | self.expressions.cel(
            step.unless, level.guard, (*path, "unless"), "bool"
        )

    def _block(self, step: Step, around: Mapping[str, Name], *, error: bool) -> set[str]:
        """Check the steps inside; what they read outside. `catch` and `finally` see what was tried."""
        found: set[str] = set()
        tried: dict[str, Name] = {}
        for part, inner in parts(step):
            beside = tried if part in ("catch", "finally") else None
            found |= self._list(inner, around, error=error or part == "catch", beside=beside)
            if part == "steps":
                tried = self._names_of(inner)
        return found - tried.keys()

    def _inputs(self, words: ActionWords, value: Any, scope: Scope, level: Level, path: Path, step: str = "") -> Reads:
        """An action's `with`: keys that are CEL, `${{ }}` in all others, then what the action itself says."""
        reads = NO_READS
        rest = value
        for each in words.expressions:
            text = _at(value, each.path)
            if not isinstance(text, str):
                continue
            rest = _without(rest, each.path)
            names = level.incoming() if each.names == "incoming" else scope
            got = self.expressions.cel(text, names, (*path, *each.path), each.type)
            reads |= got if each.names == "step" else frozenset(read for read in got if read[0] != "event")
        compiled = self.expressions.value(rest, scope, path)
        if compiled is not None:
            reads |= compiled.reads
            if step and words.name == CALL:
                inputs = [each for each, _ in compiled.templates if len(each) == 2 and each[0] == "inputs"]
                self.places.given[step] = {str(each[1]): type_at(compiled, each) for each in inputs}
        if words.name:
            tell_faults(self.reader, check_texts(self.reader, words.check, value, path), path, words.name)
            kinds = words.connection_kinds(value)
            alone = is_mapping(value) and words.connection_unless in value  # an address of its own
            needed = not alone and any(kind in words.needs_connection for kind in kinds)
            check_connection(self.reader, value, path, kinds, words.name, needed=needed)
        return reads

    def _undo(self, step: Step, handler: Compensate, level: Level) -> None:
        place = self.places.steps[step.name]
        path = (*place.path, "compensate")
        words = self.reader.catalogue.actions.get(handler.uses, _NO_WORDS)
        self.expressions.cel(handler.if_, level.undo(step, secrets=False), (*path, "if"), "bool")
        self._inputs(words, handler.with_, level.undo(step, words.secrets), level, place.compensate_with)
        self._retry(handler.retry, level, (*path, "retry"))

    def _not_by_message(self, step: Step, path: Path) -> None:
        """Approvals are not answered by messages yet."""
        if step.uses == "approval" and is_mapping(step.with_) and is_mapping(step.with_.get("approvers")):
            said = "approvals by NATS are not available in this version"
            hint = "list token names and role:NAME; they answer by the API or `reactor approve`"
            self.reader.error("unavailable", (*path, "approvers"), said, found="nats", hint=hint)

    def _not_yet(self, step: Step, path: Path) -> None:
        """What the engine carries out itself is not repeated, and undoes nothing; the output of some is fixed."""

        def tell(what: str, found: str, hint: str, *at: str) -> None:
            said = f"{what} is not available in this version"
            self.reader.error("unavailable", (*path, *at), said, key=True, found=found, hint=hint)

        hint = _ONCE.get(step.uses)
        if hint is not None:
            if step.retry is not None:
                tell(f"`retry` of `{step.uses}`", "retry", hint, "retry")
            for reaction in step.on_error:
                if reaction.action == "retry":
                    tell(f"`retry` in the `on_error` of `{step.uses}`", "retry", hint, "on_error", reaction.pattern)
        if step.compensate is not None and step.compensate.uses in _ONCE:
            instead = "undo it by an action of its own, or `emit` an event that starts a workflow"
            tell(f"`{step.compensate.uses}` in `compensate`", step.compensate.uses, instead, "compensate")
        if step.output is not None and step.uses in ("state", "emit"):
            tell(f"`output` of `{step.uses}`", "output", "check the value in the step that reads it", "output")

    def _not_again(self, step: Step, path: Path) -> None:
        """A block is not repeated as a whole yet."""
        hint = "write `retry` at the steps inside it"
        if step.retry is not None:
            said = "`retry` of a block is not available in this version"
            self.reader.error("unavailable", (*path, "retry"), said, key=True, found="retry", hint=hint)
        for reaction in step.on_error:
            if reaction.action == "retry":
                said = "`retry` in the `on_error` of a block is not available in this version"
                at = (*path, "on_error", reaction.pattern)
                self.reader.error("unavailable", at, said, key=True, found="retry", hint=hint)

    def _retry(self, retry: Retry | None, level: Level, path: Path) -> None:
        if retry is None:
            return
        if retry.if_:
            self.expressions.cel(retry.if_, level.failed(), (*path, "if"), "bool")
        check_delays(self.reader, retry, path)

    def _event(self, reads: Reads, path: Path) -> bool:
        """Warn where a step reads `event`."""
        if not any(read[0] == "event" for read in reads):
            return False
        hint = 'map what you need to an input: `with: {name: "${{ event.data.name }}"}` in the entry of `when`'
        message = "`event` is read in a step; a run that is started directly has none"
        self.reader.warning("event_in_step", path, message, hint=hint)
        return True

    def _continues(self, path: Path) -> None:
        message = "`on_error: continue` hides every failure of this step: its output is null, the run goes on"
        self.reader.warning("hides_errors", path, message, hint="name the codes that may be ignored, or use `try`")

    def _says_parallel(self, step: Step, edges: Mapping[str, str]) -> None:
        """Advise where `parallel: true` is written and cannot come true as it reads."""
        path = (*self.places.steps[step.name].path, "parallel")
        if not (edges or step.needs_all) or self.reader.value(path) is not True:
            return
        others = "all others" if step.needs_all else " and ".join(f"`{name}`" for name in sorted(edges)[:3])
        message = f"`parallel: true` changes nothing: `{step.name}` waits for {others}"
        self.reader.advise("without_effect", path, message, hint="leave it out: what waits for nothing runs at once")

    def _waits_for_all(self, steps: Steps, graph: Graph) -> None:
        waiting = [step.name for step in steps.steps if step.needs_all]
        for name in waiting[1:]:
            path = (*self.places.steps[name].path, "needs")
            message = f"`{waiting[0]}` and `{name}` would wait for each other: both say `needs: all`"
            self.reader.error("cycle", path, message, hint="name the steps that one of them needs")
        for name in waiting[:1]:
            add_waits_for_all(graph, name)

    def _cycles(self, graph: Graph) -> None:
        for cycle in cycles(graph):
            why = [self._because(name, need, graph) for name, need in zip(cycle, [*cycle[1:], cycle[0]], strict=True)]
            shown = " → ".join([*cycle, cycle[0]])
            message = (
                f"the step `{cycle[0]}` waits for itself" if len(cycle) == 1 else "these steps wait for each other"
            )
            path = self.places.steps[cycle[0]].path
            self.reader.error("cycle", path, f"{message}: {shown}", key=True, found=shown, hint="; ".join(why))

    def _because(self, name: str, need: str, graph: Graph) -> str:
        line = self.reader.key_place(self.places.steps[name].path).line
        where = f" (line {line})" if line else ""
        reason = graph[name][need]
        if reason == "order":
            return f"`{name}`{where} comes after `{need}`"
        return f"`{name}`{where} reads `{need}`" if reason == "reads" else f"`{name}`{where} needs `{need}`"

    def _unreachable(self, steps: Steps, graph: Graph) -> None:
        told: set[str] = set()
        for step in steps.steps:
            if step.uses == "fail" and not step.if_ and not step.unless and not step.on_error:
                for name in after(graph, step.name):
                    if name not in told:
                        told.add(name)
                        path = self.places.steps[name].path
                        message = f"`{name}` can never run: it waits for `{step.name}`, which always fails"
                        hint = f"give `{step.name}` an `if`, or put `{name}` before it"
                        self.reader.error("unreachable", path, message, key=True, found=name, hint=hint)


def check_delays(reader: Reader, retry: Retry, path: Path) -> None:
    """A first wait longer than the longest is a mistake."""
    if retry.delay_s > retry.max_delay_s:
        message = "`delay` is longer than `max_delay`"
        reader.error("out_of_bounds", (*path, "delay"), message, hint="raise `max_delay`; it is 5m if not given")


def _steps_of(reads: Reads) -> set[str]:
    return {str(read[1]) for read in reads if read[0] == "steps" and len(read) > 1}


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if not is_mapping(value):
            return None
        value = value.get(part)
    return value


def _without(value: Any, path: tuple[str, ...]) -> Any:
    if not is_mapping(value) or path[0] not in value:
        return value
    rest = {key: item for key, item in value.items() if key != path[0]}
    if len(path) > 1:
        rest[path[0]] = _without(value[path[0]], path[1:])
    return rest
