"""The tables of dedupe records: one a UTC day, so that they expire by being dropped (journal.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

DAY_S = 86_400
OVERLAP_S = 60.0  # so long after midnight both days are written: two nodes that see another day still meet


def table_of(at: float) -> str:
    """The table of the UTC day of an instant in Unix seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("seen_%Y%m%d")


def tables_at(now: float) -> list[str]:
    """The tables that a group of this instant writes, newest first."""
    tables = [table_of(now)]
    if now % DAY_S < OVERLAP_S:
        tables.append(table_of(now - DAY_S))
    return tables


def expired(tables: Sequence[str], keep_s: float) -> list[str]:
    """Which of the tables that have rows (newest first) are of no more use: days without a service do not shorten the
    window.
    """
    return list(tables[math.ceil(keep_s / DAY_S) + 1 :])
