"""What the loader is told: the actions and trigger kinds that there are, and the project around a workflow."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from .engine.actions.catalogue import Catalogue as Actions
from .language.built_in import BUILT_IN
from .language.catalogue import ActionWords, Check, Fault, KindWords, Vocabulary
from .language.project import Project
from .triggers.catalogue import Kinds

_PARTS = re.compile(r"[^.\[\]]+")


def vocabulary(
    project: Project, actions: Actions, kinds: Kinds, *, secrets: Collection[str] | None = None
) -> Vocabulary:
    """The words of this project, each with the check of whoever carries it out."""
    return replace(
        BUILT_IN,
        actions={name: _action(actions, name) for name in actions.names()},
        kinds={name: _kind(kinds, name) for name in kinds.all if kinds.reads(name)},
        connections={name: c.kind for name, c in project.connections.items()},
        triggers=project.triggers,
        vars=project.vars,
        env=project.env,
        secrets=secrets,
        timezone=project.server.timezone,
    )


def _action(actions: Actions, name: str) -> ActionWords:
    words = BUILT_IN.actions.get(name) or ActionWords(name)
    return replace(words, check=_told(lambda with_: actions.faults(name, with_)))


def _kind(kinds: Kinds, name: str) -> KindWords:
    words = BUILT_IN.kinds.get(name) or KindWords(name)
    return replace(words, check=_told(lambda config: kinds.faults(name, config)))


def _told(faults: Callable[[Any], Sequence[Any]]) -> Check:
    """Faults of models as the loader takes them: a path of keys, a message, a hint."""

    def check(value: Any) -> Sequence[Fault]:
        found: list[Fault] = []
        for fault in faults(value):
            path: Any = fault[0]
            parts = tuple(_part(p) for p in _PARTS.findall(path)) if isinstance(path, str) else tuple(path)
            found.append(Fault(parts, fault[1], fault[2] if len(fault) > 2 else ""))
        return found

    return check


def _part(text: str) -> str | int:
    return int(text) if text.isdigit() else text
