"""The kinds of connections as the loader knows them: the language's words, each with its keys and their check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..language.built_in import BUILT_IN
from ..language.catalogue import Check, ConnectionWords, Fault
from ..language.paths import parse_path
from ..language.renamed import Renames
from .catalogue import KINDS, ConnectionKind
from .fields import model_faults, renamed_in


def connection_words(*, schemas: bool = False) -> Mapping[str, ConnectionWords]:
    """Every kind by name; with `schemas`, its keys as JSON Schema."""
    return {
        name: replace(
            BUILT_IN.connection_kinds.get(name) or ConnectionWords(name),
            inputs=kind.config.model_json_schema(by_alias=True) if schemas else None,
            check=_check(kind),
            renames=_renames(kind),
        )
        for name, kind in KINDS.items()
    }


def _check(kind: ConnectionKind) -> Check:
    def check(config: Any) -> Sequence[Fault]:
        return [Fault(parse_path(path), message) for path, message in model_faults(kind.config, config)]

    return check


def _renames(kind: ConnectionKind) -> Renames:
    return lambda config: renamed_in(kind.config, config)
