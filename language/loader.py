"""Text (YAML or JSON) → checked workflow definitions, with every error of a file at once (signatures first)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from .catalogue import Catalogue
from .definition import Loaded, WorkflowDefinition
from .diagnostics import Diagnostics


@dataclass(slots=True)
class LoadResult:
    """What could be loaded without an error, in the order of the text, and all diagnostics (warnings too)."""

    loaded: list[Loaded] = field(default_factory=list[Loaded])
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    failed: set[str] = field(default_factory=set[str])
    """Files with at least one error: their last good revision stays live (semantics 10.3)."""


class LoadCache:
    """What `load_files` keeps between two calls: a file whose content has not changed is not read again."""


def load_text(text: str | bytes, file: str, catalogue: Catalogue) -> LoadResult:
    """The workflows of one text, several documents included. Errors are in `diagnostics`; nothing is raised."""


def load_files(paths: Iterable[str | FilePath], catalogue: Catalogue, cache: LoadCache | None = None) -> LoadResult:
    """The workflows of many files, checked against each other too (`check_together`)."""


def load_mapping(value: Mapping[str, Any], catalogue: Catalogue, file: str = "") -> WorkflowDefinition:
    """A definition from plain data (API, builder). Raises InvalidDefinition with every error, places by path."""
