"""The long-lived tasks of this process: none of them ends unseen.

A loop that raises what nobody foresaw is logged with its name, counted, shown by `/readyz` and `/metrics`, and begun
again after longer and longer waits. A store that closed for good ends the process instead: there is nothing to go on
with. Every task that is to live as long as what it serves is begun here, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from .backoff import Backoff
from .clock import SYSTEM
from .errors import StoreFailed

log = logging.getLogger("reactor.loops")
DELAY_S = 0.5  # a loop begins again after this, doubling …
DELAY_S_MAX = 30.0  # … up to this; one that went well for so long begins with DELAY_S again
STEADY_S = 10.0  # a loop that began again is shown as failing until it has gone well for so long


class Loops:
    """Begins loops, and knows which of them fail. `LOOPS` is the one of this process."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        """How often each loop failed since the process began."""
        self._failing: dict[str, tuple[str, float]] = {}  # loop → why, and until when (monotonic) that is shown

    def start(
        self,
        name: str,
        loop: Callable[[], Coroutine[Any, Any, None]],
        *,
        fatal: Callable[[StoreFailed], None] | None = None,
    ) -> asyncio.Task[None]:
        """Run `loop()` until it returns or the task is cancelled, again whenever it raises anything else.

        `fatal` hears of StoreFailed, which ends the loop.
        """
        return asyncio.get_running_loop().create_task(self._keep(name, loop, fatal), name=name)

    def failed(self, name: str, error: BaseException, *, again_s: float = 0.0) -> None:
        """Log and count what nobody foresaw; a loop that catches it itself and goes on says so here."""
        self.failures[name] += 1
        self._failing[name] = (f"{type(error).__name__}: {error}", SYSTEM.monotonic() + again_s + STEADY_S)
        log.error(
            "%s failed in a way that nobody foresaw%s; please report this",
            name,
            f", and begins again in {again_s:.1f} s" if again_s else " and goes on",
            exc_info=error,
        )

    def failing(self) -> dict[str, str]:
        """The loops that failed just now, or wait to begin again: name → why."""
        now = SYSTEM.monotonic()
        self._failing = {name: found for name, found in self._failing.items() if found[1] > now}
        return {name: why for name, (why, _) in sorted(self._failing.items())}

    async def _keep(
        self, name: str, loop: Callable[[], Coroutine[Any, Any, None]], fatal: Callable[[StoreFailed], None] | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        backoff: Backoff | None = None  # most loops never need one, and there are many of them
        while True:
            began = SYSTEM.monotonic()
            try:
                return await loop()
            except asyncio.CancelledError as e:
                if task.cancelling():
                    raise
                error: BaseException = e  # from inside: nobody wanted this loop to end
            except StoreFailed as e:
                if fatal is not None:
                    fatal(e)
                    return None
                error = e
            except Exception as e:  # noqa: BLE001  # whatever it is, the loop must not vanish
                error = e
            if backoff is None or SYSTEM.monotonic() - began > DELAY_S_MAX:
                backoff = Backoff(DELAY_S, max_delay_s=DELAY_S_MAX)
            delay = backoff.next_s()
            self.failed(name, error, again_s=delay)
            del error  # its traceback holds what the loop held
            await SYSTEM.sleep(delay)


LOOPS = Loops()
