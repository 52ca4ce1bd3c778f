"""The plan of a workflow: its definition as a tree of numbered nodes, with everything compiled that a run evaluates.

A node's number is its place in the text, blocks before what they hold: a journal row names it, so it must be the same
for equal definitions. Expressions were checked when the file was loaded; here their scope is open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote

from msgspec import Struct

from ..core.errors import ConfigError
from ..language.cel import Expression, compile_expression
from ..language.definition import (
    Compensate,
    Group,
    Parallel,
    Reaction,
    Retry,
    Step,
    Steps,
    Try,
    WorkflowDefinition,
    digest,
    parts,
)
from ..language.diagnostics import Path, path_text
from ..language.json_schema import Checker, compile_schema
from ..language.scope import Name, Scope
from ..language.templates import Compiled, Encode, compile_value

PARKED = frozenset(("wait", "approval", "run-workflow"))
"""Actions that wait: they hold no task and no place."""
OPEN = Scope(
    {
        name: Name()
        for name in (
            "event",
            "events",
            "vars",
            "env",
            "inputs",
            "run",
            "steps",
            "secrets",
            "output",
            "error",
            "item",
            "index",
        )
    }
)
"""Every name of the language: for text that was checked already."""


def _addresses(uses: str, with_: Any) -> dict[str, tuple[Compiled, Encode]]:
    """The parts of an address with templates, and how the values in them are written: percent-encoded, for values from
    events must not change its shape.
    """
    given: Mapping[str, Any] = cast("Mapping[str, Any]", with_) if uses == "http" and isinstance(with_, Mapping) else {}
    parts: tuple[tuple[str, Encode], ...] = (("url", _in_url), ("path", _in_path))
    return {key: (compile_value(given[key], OPEN), encode) for key, encode in parts if "${{" in str(given.get(key, ""))}


def _in_path(text: str, before: str) -> str:
    return quote(text, safe="")


def _in_url(text: str, before: str) -> str:
    """What begins an address is its base, taken as it is; within the host a port may stand."""
    if not before:
        return text
    return quote(text, safe=":[]" if before.endswith("://") else "")


class Undo(Struct, frozen=True):
    """A compiled `compensate`."""

    spec: Compensate
    with_: Compiled
    if_: Expression | None
    addresses: Mapping[str, tuple[Compiled, Encode]]


class Part:
    """One list or graph of steps: the root, a branch, the `steps`, `catch` or `finally` of a block."""

    __slots__ = ("index", "leaves", "name", "needing", "nodes", "owner", "roots")

    def __init__(self, index: int, name: str, owner: int) -> None:
        self.index = index
        self.name = name
        self.owner = owner  # the block's node; -1 for the root
        self.nodes: tuple[int, ...] = ()
        self.roots: tuple[int, ...] = ()
        self.needing: tuple[tuple[int, int], ...] = ()  # the others, with how many each needs
        self.leaves: tuple[int, ...] = ()


class Node:
    """A step in its place. `deps` and `dependents` are siblings; `parts` are those of a block, in order."""

    __slots__ = (
        "addresses",
        "at_most_once",
        "dependents",
        "deps",
        "if_",
        "index",
        "kept",
        "name",
        "name_hash",
        "ord",
        "output",
        "part",
        "parts",
        "path",
        "reactions",
        "reads",
        "retry",
        "retry_if",
        "step",
        "timeout_s",
        "undo",
        "unless",
        "uses",
        "with_",
    )

    def __init__(self, index: int, path: str, step: Step, part: int) -> None:
        self.index = index
        self.ord = index << 40  # the journal's name for its only occurrence (blocks that repeat come later)
        self.path = path
        self.name = step.name
        self.step = step
        self.part = part
        self.uses = step.uses
        self.deps: tuple[int, ...] = ()
        self.dependents: tuple[int, ...] = ()
        self.parts: tuple[int, ...] = ()
        self.reads: tuple[tuple[str, int], ...] = ()  # steps it reads: name and place
        self.kept: object = None  # what `work_of` made of it at its first execution
        self.if_ = compile_expression(step.if_, OPEN) if step.if_ else None
        self.unless = compile_expression(step.unless, OPEN) if step.unless else None
        self.with_: Compiled = compile_value(step.with_, OPEN)
        self.addresses = _addresses(step.uses, step.with_)
        self.retry: Retry | None = step.retry
        self.retry_if = compile_expression(step.retry.if_, OPEN) if step.retry is not None and step.retry.if_ else None
        self.reactions: tuple[Reaction, ...] = step.on_error
        self.timeout_s = step.timeout_s
        self.at_most_once = step.at_most_once
        self.output: Checker | None = compile_schema(step.output) if step.output is not None else None
        undo = step.compensate
        self.undo = (
            Undo(
                undo,
                compile_value(undo.with_, OPEN),
                compile_expression(undo.if_, OPEN) if undo.if_ else None,
                _addresses(undo.uses, undo.with_),
            )
            if undo is not None
            else None
        )
        self.name_hash = int.from_bytes(hashlib.blake2b(f"{path}:{step.uses}".encode(), digest_size=6).digest(), "big")

    def reads_of_all(self) -> Iterator[Path]:
        """The paths that its expressions read."""
        undo = self.undo
        for each in (self.if_, self.unless, self.with_, *((undo.with_, undo.if_) if undo is not None else ())):
            if each is not None:
                yield from each.reads


class Plan:
    """A definition ready to be carried out."""

    __slots__ = (
        "by_name",
        "by_path",
        "definition",
        "digest",
        "inputs",
        "loners",
        "names_folder",
        "nodes",
        "output_reads",
        "outputs",
        "parts",
        "root",
        "starts_runs",
    )

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.definition = definition
        self.digest = digest(definition)
        self.nodes: list[Node] = []
        self.parts: list[Part] = []
        self.root = self._part("", definition.steps, "", -1)
        self.by_name: Mapping[str, int] = {node.name: node.index for node in self.nodes}
        self.by_path: Mapping[str, int] = {node.path: node.index for node in self.nodes}
        for part in self.parts:
            self._connect(part)
        self.starts_runs = any(node.uses == "run-workflow" for node in self.nodes)
        self.loners = any(not node.step.parallel for node in self.nodes)  # is there a step that runs alone?
        self.outputs = compile_value(definition.outputs, OPEN) if definition.outputs is not None else None
        self.output_reads = self._output_reads()
        self.inputs: Checker | None = compile_schema(definition.inputs) if definition.inputs else None
        read = {path[:2] for node in self.nodes for path in node.reads_of_all()}
        self.names_folder = not read.isdisjoint((("run", "temp_dir"), ("run",)))  # does a step read its folder's path?

    def _output_reads(self) -> tuple[tuple[str, int], ...] | None:
        """The steps that the declared outputs look at; None: at all of them."""
        reads = self.outputs.reads if self.outputs is not None else frozenset[Any]()
        if ("steps",) in reads:
            return None
        names = {str(path[1]) for path in reads if path[0] == "steps"}
        return tuple((name, place) for name, place in self.by_name.items() if name in names)

    def _part(self, name: str, steps: Steps, prefix: str, owner: int) -> Part:
        part = Part(len(self.parts), name, owner)
        self.parts.append(part)
        numbers: list[int] = []
        for step in steps.steps:
            node = Node(len(self.nodes), prefix + step.name, step, part.index)
            self.nodes.append(node)
            numbers.append(node.index)
            node.parts = tuple(self._part(n, s, node.path + "/", node.index).index for n, s in parts(step))
        part.nodes = tuple(numbers)
        return part

    def _connect(self, part: Part) -> None:
        """Dependencies of one part: what is written, what is read, and in a list the step before."""
        ordered = self._steps_of(part).ordered
        deps: dict[int, set[int]] = {}
        for position, index in enumerate(part.nodes):
            node = self.nodes[index]
            found = {self.by_name[name] for name in node.step.needs}
            if ordered and position:
                found.add(part.nodes[position - 1])
            found |= {sibling for sibling in map(self._sibling(part), self._read_below(node)) if sibling >= 0}
            found.discard(index)
            deps[index] = found
        for index in part.nodes:
            if self.nodes[index].step.needs_all:
                deps[index] = {other for other in part.nodes if other != index and not _reaches(deps, other, index)}
        for index in part.nodes:
            node = self.nodes[index]
            node.deps = tuple(sorted(deps[index]))
            node.dependents = tuple(other for other in part.nodes if index in deps[other])
        part.roots = tuple(i for i in part.nodes if not self.nodes[i].deps)
        part.needing = tuple((i, len(self.nodes[i].deps)) for i in part.nodes if self.nodes[i].deps)
        part.leaves = tuple(i for i in part.nodes if not self.nodes[i].dependents)

    def _steps_of(self, part: Part) -> Steps:
        if part.owner < 0:
            return self.definition.steps
        return dict(parts(self.nodes[part.owner].step))[part.name]

    def _read_below(self, node: Node) -> set[int]:
        """Places of the steps that a node, or anything inside it, reads."""
        names = {path[1] for path in _reads(node) if path[0] == "steps" and len(path) > 1}
        node.reads = tuple((str(n), self.by_name[str(n)]) for n in sorted(map(str, names)) if str(n) in self.by_name)
        found = {place for _, place in node.reads}
        for part in node.parts:
            for index in self.parts[part].nodes:
                found |= self._read_below(self.nodes[index])
        return found

    def _sibling(self, part: Part) -> Any:
        """The function from a step's place to the node of `part` that is it or holds it; -1 if none does."""

        def find(place: int) -> int:
            node = self.nodes[place]
            while node.part != part.index:
                owner = self.parts[node.part].owner
                if owner < 0:
                    return -1
                node = self.nodes[owner]
            return node.index

        return find

    def levels(self) -> list[list[str]]:
        """The root's steps by depth: what `show --plan` prints."""
        depth: dict[int, int] = {}

        def of(index: int) -> int:
            if index not in depth:
                depth[index] = 1 + max((of(d) for d in self.nodes[index].deps), default=-1)
            return depth[index]

        found: list[list[str]] = []
        for index in self.root.nodes:
            level = of(index)
            while len(found) <= level:
                found.append([])
            found[level].append(self.nodes[index].name)
        return found


def wrong(checker: Checker, value: Any, what: str) -> str | None:
    """What is wrong with a value against a schema, in one line; None if nothing is."""
    faults = checker.faults(value)
    if not faults:
        return None
    shown = "; ".join(f"{path_text(f.path)}: {f.message}" if f.path else f.message for f in faults[:5])
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    return f"{what}: {shown}{more}"


def _reads(node: Node) -> frozenset[Any]:
    """Every path that a node's own expressions read, but for its handler's: that runs after all."""
    found: set[Any] = set(node.with_.reads)
    for expression in (node.if_, node.unless):
        if expression is not None:
            found |= expression.reads
    return frozenset(found)


def _reaches(deps: Mapping[int, set[int]], start: int, goal: int) -> bool:
    """Does `start` depend, directly or not, on `goal`?"""
    open_, seen = [start], set[int]()
    while open_:
        index = open_.pop()
        if index == goal:
            return True
        if index not in seen:
            seen.add(index)
            open_.extend(deps.get(index, ()))
    return False


def is_block(step: Step) -> bool:
    """Is this step a block (of those that are carried out)?"""
    return isinstance(step.block, (Parallel, Try, Group))


def compile_plan(definition: WorkflowDefinition) -> Plan:
    """The plan of a checked definition. Raises ConfigError if it cannot be carried out (it was made by an older
    version).
    """
    try:
        return Plan(definition)
    except KeyError as missing:
        raise ConfigError(
            f"workflow `{definition.workflow}` names the step {missing}, which it does not have",
            hint="load the definition again: `reactor validate` shows the place",
        ) from None
