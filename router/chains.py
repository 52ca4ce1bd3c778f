"""How many runs came of one cause, through events of each other's: what starts itself in breadth is stopped, too
(semantics 7.5).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..core.event import Event, Undecodable
from ..core.keys import key_text, whole
from ..core.limits import CAUSE_RUNS_MAX

KEPT = 10_000  # causes of which a count is kept in memory, the latest
COUNTED_AFTER = 500  # events of a cause: then the store is asked anew, for runs also begin in other ways


class _Count:
    __slots__ = ("begun", "stored")

    def __init__(self, stored: int) -> None:
        self.stored = stored
        self.begun = 0  # since then


class Chains:
    """Counts by correlation id. Pure: whoever may wait asks the store for what is `unknown`, and makes it `known`."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def unknown(self, events: Iterable[Event | Undecodable]) -> Iterator[str]:
        """The causes of events that come of runs, of which the store is to be asked."""
        for event in events:
            if isinstance(event, Event) and (cause := _cause(event)):
                count = self._counts.get(cause)
                if count is None or count.begun >= COUNTED_AFTER:
                    yield cause

    def known(self, cause: str, runs: int) -> None:
        """So many runs has the store of this cause."""
        self._counts[cause] = _Count(runs)
        self._counts.move_to_end(cause)
        if len(self._counts) > KEPT:
            self._counts.popitem(last=False)

    def began(self, event: Event, runs: int) -> None:
        """An event began so many runs."""
        count = self._counts.get(_cause(event))
        if count is not None:
            count.begun += runs

    def over(self, event: Event) -> str:
        """The cause of an event that comes of a run, if it may begin no more; else empty."""
        cause = _cause(event)
        count = self._counts.get(cause) if cause else None
        return cause if count is not None and count.stored + count.begun >= CAUSE_RUNS_MAX else ""


def _cause(event: Event) -> str:
    """What an event of a run came of; empty for one from outside, which is the first of its chain."""
    extensions = event.extensions
    chained = extensions and whole(extensions.get("hops", 0))
    return key_text(str(extensions.get("correlationid", ""))) if chained else ""
