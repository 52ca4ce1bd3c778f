"""Old names of keys: what they are called today, and how long they are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .diagnostics import Path


@dataclass(frozen=True, slots=True)
class Renamed:
    """What an old key is called today, and since which version (`0.2`). It is taken in that version and the next."""

    name: str
    since: str

    @property
    def until(self) -> str:
        """The last version that takes the old name: two minor releases do."""
        major, minor = self.since.split(".")
        return f"{major}.{int(minor) + 1}"


Renames = Callable[[Any], Iterable[tuple[Path, Mapping[str, Renamed]]]]
"""Given an unrendered `with` or a kind's keys: the mappings in it that have old names, the outer ones first."""


def no_renames(value: Any) -> Iterable[tuple[Path, Mapping[str, Renamed]]]:
    """Of something whose keys have kept their names."""
    return ()
