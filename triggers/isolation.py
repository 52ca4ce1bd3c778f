"""The seam between our code and a plugin's: what hangs is cut off, what raises anything unexpected is named.

Libraries tie connections to the task that opened them, so everything here runs in the caller's own task.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast

import msgspec

from ..core.clock import Clock
from ..core.errors import ReactorError, TransientError, is_ctrl_c, is_given_up, legible, said_by, shortened
from ..core.limits import CLOSE_S_MAX
from ..core.loops import LOOPS

log = logging.getLogger("reactor.triggers")

T = TypeVar("T")
COMES_S_MIN = 0.5  # a source that is said to be there is tried no more often


class Crashed(TransientError):
    """Code of others raised what it may not; `__cause__` has it."""

    code = "plugin_crashed"


class Hangs(TransientError):
    """Code of others did not return in time, and was cancelled."""

    code = "timeout"


class guarding:  # noqa: N801  # used like a statement, as contextlib's own
    """`with guarding("`settle` of", kind):` around code of others, awaited in it.

    ReactorError and our own cancellation pass; everything else becomes Crashed, naming whose it was. A class and not a
    generator, and its words are joined when they are needed: ten thousand triggers wait inside of one.
    """

    __slots__ = ("_kind", "_what")

    def __init__(self, what: str, kind: str) -> None:
        self._what = what
        self._kind = kind

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise Crashed in place of what a plugin may not raise."""
        if error is None or isinstance(error, ReactorError) or is_ctrl_c(error) or is_given_up(error):
            return
        what = legible(shortened(f"{type(error).__name__}: {said_by(error)}"))
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return
            what = "it was cancelled from inside"
        raise Crashed(f"{self._what} {self._kind} crashed: {what}", hint="the log has its traceback") from error


class Limits:
    """Time limits of many calls, with one timer for all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._open: set[int] = set()
        self._number = 0
        self._task: asyncio.Task[None] | None = None

    async def limited(self, seconds: float, call: Awaitable[T], whose: str, told: Callable[[Hangs], None]) -> T:
        """Await one verb; over the limit `told` hears of it and the verb is cancelled. Raises Hangs."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        expired: list[Hangs] = []

        def expire() -> None:
            expired.append(Hangs(f"{whose} hangs: it took over {seconds:g} s", hint="see whether its source answers"))
            told(expired[0])
            task.cancel()

        number = self._add(seconds, expire)
        try:
            result = await call
            if expired:
                task.uncancel()  # it came to an end all the same
            return result
        except BaseException as error:
            if expired and task.uncancel() <= before:  # also where it made another failure of our cancellation
                raise expired[0] from (None if isinstance(error, asyncio.CancelledError) else error)
            raise
        finally:
            self._open.discard(number)

    def _add(self, seconds: float, expire: Callable[[], None]) -> int:
        self._number += 1
        heapq.heappush(self._heap, (self._clock.monotonic() + seconds, self._number, expire))
        self._open.add(self._number)
        if self._task is not None and self._heap[0][1] == self._number:
            self._task.cancel()  # it sleeps for a later one
            self._task = None
        if self._task is None:
            self._task = LOOPS.start("time limits of triggers", self._watch)
        return self._number

    async def _watch(self) -> None:
        while self._heap:
            at, number, expire = self._heap[0]
            wait = at - self._clock.monotonic() if number in self._open else 0.0
            if wait > 0:
                await self._clock.sleep(wait)
                continue
            heapq.heappop(self._heap)
            if number in self._open:
                try:
                    expire()
                except Exception as error:  # noqa: BLE001  # one trigger's limit must not cost the others theirs
                    LOOPS.failed("time limits of triggers", error)
        self._task = None


async def within(clock: Clock, seconds: float, task: asyncio.Future[Any]) -> None:
    """Wait until a task is done, at most so long; it is not cancelled, and what it raises is not raised here."""
    if not task.done():
        timer = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()


async def until_it_comes(clock: Clock, trigger: Any, seconds: float) -> None:
    """Wait before the next attempt to connect: so long, or until the trigger sees its source come (`comes`)."""
    comes: Callable[[], Awaitable[None]] | None = getattr(trigger, "comes", None)
    first = seconds if comes is None else min(seconds, COMES_S_MIN)
    await clock.sleep(first)
    if comes is None or first == seconds:
        return
    coming = asyncio.ensure_future(comes())
    try:
        await within(clock, seconds - first, coming)
    finally:
        if not coming.cancel() and not coming.cancelled():
            coming.exception()  # taken: the next attempt says what is wrong


async def awhile(clock: Clock, call: Coroutine[Any, Any, None]) -> None:
    """Await a call, for CLOSE_S_MAX at most; it failing ends the wait too."""
    waiting = asyncio.ensure_future(call)
    await within(clock, CLOSE_S_MAX, waiting)
    if not waiting.cancel() and not waiting.cancelled() and (error := waiting.exception()) is not None:
        log.warning("a trigger failed to answer what came before it closes", exc_info=error)


async def left(clock: Clock, trigger: Any) -> None:
    """Let a trigger whose paths are to be another's take what came (`leave`), for CLOSE_S_MAX at most."""
    leave: Callable[[], Coroutine[Any, Any, None]] | None = getattr(trigger, "leave", None)
    if leave is not None:
        await awhile(clock, leave())


def details_of(trigger: Any, kind: str) -> Mapping[str, Any]:
    """What a connected trigger tells of itself (`details`); its failure to, in place of that."""
    tell: Callable[[], Any] | None = getattr(trigger, "details", None)
    try:
        with guarding("`details` of", kind):
            told: Any = tell() if tell is not None else {}
    except ReactorError as error:
        return {"error": str(error)}
    try:
        msgspec.json.encode(told)
        if isinstance(told, Mapping):
            return cast("Mapping[str, Any]", told)
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # it would cost the others their place in the list
    what = type(cast("object", told)).__name__
    return {"error": f"`details` of {kind} gave {what}; wanted is a mapping of JSON values"}
