"""The trigger kinds as the loader knows them: the language's words, each with the check of its own module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..language.built_in import BUILT_IN
from ..language.catalogue import Check, Fault, KindWords
from ..language.renamed import Renames
from .catalogue import Kinds


def kind_words(kinds: Kinds, *, schemas: bool = False) -> Mapping[str, KindWords]:
    """Every kind that has a reader, by name; with `schemas`, its keys as JSON Schema (that loads them all)."""
    return {
        name: replace(
            BUILT_IN.kinds.get(name) or KindWords(name),
            inputs=kinds.schema(name) if schemas else None,
            check=_check(kinds, name),
            renames=_renames(kinds, name),
        )
        for name in kinds.all
        if kinds.reads(name)
    }


def _check(kinds: Kinds, name: str) -> Check:
    def check(config: Any) -> Sequence[Fault]:
        return [Fault(f.path, f.message, f.hint, f.code) for f in kinds.faults(name, config)]

    return check


def _renames(kinds: Kinds, name: str) -> Renames:
    return lambda config: kinds.renamed(name, config)
