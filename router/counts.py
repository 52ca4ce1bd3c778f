"""What the router counts, by trigger."""

from __future__ import annotations

from collections import Counter


class Counts:
    """Counters since the start of the process; the metrics page reads them."""

    def __init__(self) -> None:
        self.by_verdict: Counter[tuple[str, str]] = Counter()  # (trigger, verdict)
        self.dead_by_code: Counter[tuple[str, str]] = Counter()  # (trigger, code)

    def accepted(self, trigger: str) -> None:
        """An event was accepted."""
        self.by_verdict[trigger, "accepted"] += 1

    def duplicate(self, trigger: str) -> None:
        """An event was accepted before."""
        self.by_verdict[trigger, "duplicate"] += 1

    def unmatched(self, trigger: str) -> None:
        """Nobody wanted an event."""
        self.by_verdict[trigger, "unmatched"] += 1

    def dead(self, trigger: str, code: str) -> None:
        """An event, or one binding of it, became a dead letter."""
        self.by_verdict[trigger, "dead"] += 1
        self.dead_by_code[trigger, code] += 1
