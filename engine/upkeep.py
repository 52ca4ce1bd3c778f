"""What must be done now and then: old rows go, in small batches behind the writer (semantics 11.2)."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from ..core.clock import Clock
from ..core.errors import StoreFailed, StoreUnavailable
from ..core.loops import LOOPS
from ..store.contract import Store

log = logging.getLogger("reactor.upkeep")
EVERY_S = 60.0
BATCH_ROWS = 1_000


class Retention(Protocol):
    """How long each sort of row is kept, in seconds."""

    @property
    def runs_s(self) -> float:
        """Ended runs."""
        ...

    @property
    def events_s(self) -> float:
        """Accepted events."""
        ...

    @property
    def unmatched_s(self) -> float:
        """Events that matched nothing."""
        ...

    @property
    def dedupe_s(self) -> float:
        """Identities."""
        ...

    @property
    def dead_letters_s(self) -> float:
        """Dead letters."""
        ...

    @property
    def ledger_s(self) -> float:
        """Due instants."""
        ...


def keep_of(retention: Retention) -> Mapping[str, float]:
    """As `Store.retain` takes it."""
    return {
        "runs": retention.runs_s,
        "events": retention.events_s,
        "unmatched": retention.unmatched_s,
        "dedupe": retention.dedupe_s,
        "dead_letters": retention.dead_letters_s,
        "ledger": retention.ledger_s,
    }


def upkeep(
    store: Store, clock: Clock, retention: Retention, fatal: Callable[[StoreFailed], None]
) -> asyncio.Task[None]:
    """Remove what is older than it is kept, until cancelled; `fatal` hears that the store closed for good."""
    loop = functools.partial(_upkeep, store, clock, keep_of(retention))
    return LOOPS.start("upkeep of the store", loop, fatal=fatal)


async def _upkeep(store: Store, clock: Clock, keep: Mapping[str, float]) -> None:
    while True:
        await clock.sleep(EVERY_S)
        try:
            while any(count >= BATCH_ROWS for count in (await store.retain(keep, limit=BATCH_ROWS)).values()):
                await clock.sleep(0.05)
        except StoreUnavailable as e:
            log.warning("old rows stay for now: %s", e)
