"""The actions as the loader knows them: the language's words, each with the check of whoever carries it out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...language.built_in import BUILT_IN
from ...language.catalogue import ActionWords, Check, Fault
from .catalogue import Catalogue

_PARTS = re.compile(r"[^.\[\]]+")


def action_words(actions: Catalogue) -> Mapping[str, ActionWords]:
    """Every action by name."""
    return {
        name: replace(BUILT_IN.actions.get(name) or ActionWords(name), check=_check(actions, name))
        for name in actions.names()
    }


def _check(actions: Catalogue, name: str) -> Check:
    def check(with_: Any) -> Sequence[Fault]:
        return [Fault(_path(path), message) for path, message in actions.faults(name, with_)]

    return check


def _path(text: str) -> tuple[str | int, ...]:
    """`json.items[2]` as a path."""
    return tuple(int(part) if part.isdigit() else part for part in _PARTS.findall(text))
