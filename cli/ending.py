"""How a serving process ends: in order when it is asked to, at once when it is asked again, and in any case.

Its signals are taken by Python itself, not by the loop: a second Ctrl-C is heard also where something holds the loop
up, and a signal that comes while the process starts or ends does not kill it. What does not end is named, and left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Mapping
from typing import Any, NoReturn

from ..engine.actions.orphans import WARDS

INTERRUPTED = 130
REST_S = 14.0  # beyond the drain time: for triggers, connections and the store to close
LEFT_S = 3.0  # once all that is closed: for threads that are still at work
SAID_S = 2.0  # for the last words: whoever reads them may have stopped reading
NAMED_MAX = 5

Take = Callable[[], object]


class Ending:
    """The latest end of this process; `say` tells the operator why it comes."""

    def __init__(self) -> None:
        self.say: Callable[[str], None] = print
        self._timer: threading.Timer | None = None

    def at_once(self, text: str, code: int = INTERRUPTED) -> NoReturn:
        """End now, and the programs of `command` steps with it."""
        if hasattr(signal, "setitimer"):  # its signal ends us, in the middle of a print that nobody reads
            signal.setitimer(signal.ITIMER_REAL, SAID_S)
        try:
            WARDS.end_all()
            self.say(text)
            sys.stdout.flush()
        finally:
            os._exit(code)

    def by(self, seconds: float, code: int, text: str = "", loop: asyncio.AbstractEventLoop | None = None) -> None:
        """End within so many seconds, whatever happens; this replaces what was set before. What is at work in the
        `loop` then is named after the `text`.
        """
        self.not_yet()
        self._timer = threading.Timer(seconds, self._overdue, (code, text, loop))
        self._timer.daemon = True
        self._timer.start()

    def not_yet(self) -> None:
        """Nothing is set any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _overdue(self, code: int, text: str, loop: asyncio.AbstractEventLoop | None) -> None:
        if loop is None:
            os._exit(code)
        try:
            text += "; still at work: " + "; ".join(at_work(loop))
        finally:
            self.at_once(text, code)


def at_work(loop: asyncio.AbstractEventLoop) -> list[str]:
    """What goes on: where the loop's thread is, other threads that the process would wait for, and tasks by name."""
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  # there is no other way
    found: list[str] = []
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.ident not in frames:
            continue
        if thread is threading.main_thread() or not thread.daemon:
            found.append(f"the thread {thread.name} in {_line(frames[thread.ident])}")
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    found += [f"the task {task.get_name()} in {_line(_innermost(task))}" for task in tasks[:NAMED_MAX]]
    if len(tasks) > NAMED_MAX:
        found.append(f"{len(tasks) - NAMED_MAX} more tasks")
    return found


def _innermost(task: asyncio.Task[Any]) -> Any:
    """The frame that a task waits in."""
    awaited: Any = task.get_coro()
    frame = None
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None) or frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return frame


def _line(frame: Any) -> str:
    if frame is None:
        return "no Python code"
    last = traceback.extract_stack(frame, limit=1)[-1]
    return f"{last.name} ({last.filename}:{last.lineno})"


@contextlib.contextmanager
def kept() -> Generator[None]:
    """Afterwards the signals of a server mean what they did before."""
    before = {number: signal.getsignal(number) for number in _numbers()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def taken(takers: Mapping[signal.Signals, Take], last: Take) -> Generator[None]:
    """Call these when their signals come, in the main thread, wherever that is at work. Afterwards Ctrl-C calls `last`,
    and nothing happens on the others: the process is about to end.
    """
    loop = asyncio.get_running_loop()
    for number, take in takers.items():
        loop.add_signal_handler(number, _nothing)  # so that it wakes the loop
        signal.signal(number, _calling(take))
    try:
        yield
    finally:
        for number in takers:
            loop.remove_signal_handler(number)
            signal.signal(number, _calling(last) if number == signal.SIGINT else _nothing)


def _numbers() -> list[signal.Signals]:
    return [number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP")]


def _calling(take: Take) -> Callable[[int, object], None]:
    def handler(number: int, frame: object) -> None:
        take()

    return handler


def _nothing(*_: object) -> None:
    """The signal is heard, and that is all."""
