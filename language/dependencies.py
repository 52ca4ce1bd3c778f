"""What waits for what among the steps of one list or graph: cycles, and steps that nothing can reach.

Source: the language page, section 3; requirements V-3 and V-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Reason = Literal["needs", "reads", "order"]
Graph = dict[str, dict[str, Reason]]
"""Step → the steps it waits for, and why."""


def add_waits_for_all(graph: Graph, name: str) -> None:
    """`needs: all`: waits for every other step that does not wait for it."""
    behind = _behind(graph, name)
    for other in graph:
        if other != name and other not in behind:
            graph[name].setdefault(other, "needs")


def _behind(graph: Mapping[str, Mapping[str, Reason]], name: str) -> set[str]:
    """The steps that wait for this one, also by way of others."""
    waiting: dict[str, list[str]] = {}
    for step, needs in graph.items():
        for need in needs:
            waiting.setdefault(need, []).append(step)
    found: set[str] = set()
    todo = [name]
    while todo:
        for step in waiting.get(todo.pop(), ()):
            if step not in found:
                found.add(step)
                todo.append(step)
    return found


def cycles(graph: Mapping[str, Mapping[str, Reason]]) -> list[list[str]]:
    """Every way back found in one walk: `[a, b]` for a → b → a; each step is in one of them at most."""
    state: dict[str, int] = {}  # 1: on the way, 2: done
    found: list[list[str]] = []
    told: set[str] = set()
    for start in graph:
        if start in state:
            continue
        way = [start]
        branches = [iter(graph[start])]
        state[start] = 1
        while way:
            need = next(branches[-1], None)
            if need is None:
                state[way.pop()] = 2
                branches.pop()
            elif state.get(need) == 1:
                cycle = way[way.index(need) :]
                if told.isdisjoint(cycle):
                    told.update(cycle)
                    found.append(cycle)
            elif need not in state and need in graph:
                state[need] = 1
                way.append(need)
                branches.append(iter(graph[need]))
    return found


def after(graph: Mapping[str, Mapping[str, Reason]], name: str) -> list[str]:
    """The steps that wait for this one, in the order of the text."""
    behind = _behind(graph, name)
    return [step for step in graph if step in behind]
