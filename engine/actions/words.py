"""The actions as the loader knows them: the language's words, each with the check of whoever carries it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...language.built_in import BUILT_IN
from ...language.catalogue import ActionWords, Check, Fault
from ...language.paths import parse_path
from ...language.renamed import Renames
from .catalogue import Catalogue


def action_words(actions: Catalogue, *, schemas: bool = False) -> Mapping[str, ActionWords]:
    """Every action by name; with `schemas`, what each takes as JSON Schema (that loads them all)."""
    return {
        name: replace(
            BUILT_IN.actions.get(name) or ActionWords(name),
            inputs=actions.schema(name)["with"] if schemas else None,
            check=_check(actions, name),
            renames=_renames(actions, name),
        )
        for name in actions.names()
    }


def _check(actions: Catalogue, name: str) -> Check:
    def check(with_: Any) -> Sequence[Fault]:
        found = [*actions.faults(name, with_), *actions.numbers(name, with_)]
        return [Fault(parse_path(path), message) for path, message in found]

    return check


def _renames(actions: Catalogue, name: str) -> Renames:
    return lambda with_: actions.renamed(name, with_)
