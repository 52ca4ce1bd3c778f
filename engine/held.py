"""How many runs of each workflow wait to begin, and which workflows have as many as may (semantics 5.9)."""

from __future__ import annotations

from collections import Counter

from ..core.limits import PENDING_RUNS_MAX


class HeldRuns:
    """Counts the held runs of this node."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.full: set[str] = set()  # at PENDING_RUNS_MAX; mostly empty, so that asking costs nothing

    def change(self, workflow: str, by: int) -> None:
        """So many more, or fewer, runs of a workflow wait."""
        self.counts[workflow] += by
        if self.counts[workflow] >= PENDING_RUNS_MAX:
            self.full.add(workflow)
        else:
            self.full.discard(workflow)
