"""The writer of an SQLite file as a process of its own: it writes while the loop of this one works."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any, TypeVar, cast

from ..core import companion
from ..core.clock import Clock
from ..core.errors import StoreFailed
from . import sqlite_wire as wire
from .contract import Unit
from .group import Result
from .sqlite_writer import Asking

T = TypeVar("T")
AT_ONCE = 32  # units; with 16 or 64 a hundred runs at once are 5 to 10 % slower
_END_S_MAX = 0.5  # an ending process is waited for so long, so that what ended it can be told


class _Group:
    """Units under way, and who hears of them."""

    def __init__(self, units: Sequence[Unit], done: Callable[[Result], None]) -> None:
        self.units = units
        self.done = done


class _Questions:
    """A generator's questions under way; its result once it has returned, which counts when it is committed."""

    def __init__(self, asking: Asking[Any], future: asyncio.Future[Any]) -> None:
        self.asking = asking
        self.future = future
        self.result: Any = None

    def done(self, result: Any) -> None:
        """Tell who waits."""
        if self.future.done():
            return
        if isinstance(result, BaseException):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class ProcessWriter(asyncio.Protocol):
    """Implements `Writer`. One group, or one generator's questions, is with the other process at a time.

    What decides (flow keys) and what makes rows of results is called here, in the loop. The other process has the
    file's lock as well: the next one can open the file when both are gone. If it ends by itself `lost` hears of it.
    """

    at_once = AT_ONCE

    def __init__(self, path: Path, clock: Clock, lost: Callable[[StoreFailed], None]) -> None:
        self.seen_tables: Sequence[str] = ()
        self._path = path
        self._clock = clock
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._packer = wire.Packer()
        self._waiting: deque[_Group | _Questions] = deque()
        self._now: _Group | _Questions | None = None
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._process: Popen[bytes] | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._not_open = ""  # why it could not open the file
        self._error: StoreFailed | None = None  # it has ended by itself

    async def begin(self, lock: int) -> None:
        """Let the other process, started now unless it is already, have the descriptor of the file's lock. It is not
        waited for. Raises StoreFailed.
        """
        try:
            other = companion.taken(companion.WRITER)
        except OSError as error:
            raise StoreFailed(
                f"the process that writes {self._path} cannot be started: {error.strerror or error}",
                hint="see what this machine lets a user start; with `writer: thread` none is needed",
            ) from None
        self._process = other.process
        with contextlib.suppress(ConnectionError):  # it has ended: that is heard below
            socket.send_fds(other.end, [wire.LOCK], [lock])
        await self._loop.create_connection(lambda: self, sock=other.end)

    def open(self, synchronous: str, node: int, seen_tables: Sequence[str]) -> None:
        """From now on it writes, as this node; the file is as it is to be."""
        self.seen_tables = seen_tables
        self._send(wire.OPEN, wire.pickled((str(self._path.absolute()), synchronous, node)))

    def commit(self, units: Sequence[Unit], done: Callable[[Result], None]) -> None:
        """See `group.Writer`."""
        self._put(_Group(units, done))

    async def ask(self, asking: Asking[T]) -> T:
        questions = _Questions(asking, self._loop.create_future())
        self._put(questions)
        return cast("T", await questions.future)

    def forget(self, tables: Sequence[str]) -> None:
        self.seen_tables = [table for table in self.seen_tables if table not in tables]
        self._send(wire.FORGET, wire.pickled(tables))

    async def close(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.write_eof()
            await self._ended
        if self._process is not None:
            await self._loop.run_in_executor(None, self._process.wait)

    # -- one job after another

    def _put(self, job: _Group | _Questions) -> None:
        if self._error is not None:
            self._loop.call_soon(job.done, self._error)
            return
        self._waiting.append(job)
        if self._now is None:
            self._next()

    def _next(self) -> None:
        self._now = None
        while self._waiting and self._now is None:
            job = self._waiting.popleft()
            begun = self._begin_group(job) if isinstance(job, _Group) else self._ask_on(job, None)
            self._now = job if begun else None

    def _begin_group(self, group: _Group) -> bool:
        try:
            body = self._packer.pack(group.units, self._clock.now())
        except Exception as error:  # noqa: BLE001  # something in it has no form: the group is split until it is found
            self._loop.call_soon(group.done, error)
            return False
        return self._send(wire.GROUP, body)

    def _ask_on(self, questions: _Questions, rows: Any) -> bool:
        """Send the generator these rows, and the other process its next question; false if there is nothing to wait
        for.
        """
        try:
            ask = questions.asking.send(rows)
        except StopIteration as ended:
            questions.result = ended.value
            return self._send(wire.COMMIT)
        except Exception as error:  # noqa: BLE001  # the generator's own: who asked hears of it
            questions.done(error)
            self._send(wire.GIVE_UP)
            return False
        return self._send(wire.ASK, wire.pickled(ask))

    def _send(self, kind: int, body: bytes = b"") -> bool:
        if self._transport is None:
            return False
        self._transport.write(wire.frame(kind, body))
        return True

    # -- what comes back

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pair is ours to read and write."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Frames, or parts of them."""
        received = self._received
        received += data
        at, size = 0, len(received)
        while size - at >= wire.HEAD.size:
            length, kind = wire.HEAD.unpack_from(received, at)
            end = at + wire.HEAD.size - 1 + length
            if size < end:
                break
            body = bytes(received[at + wire.HEAD.size : end])
            at = end
            self._frame(kind, body)
        del received[:at]

    def _frame(self, kind: int, body: bytes) -> None:
        job = self._now
        if kind == wire.TABLES:
            self.seen_tables = wire.unpickled(body)
        elif kind == wire.DECIDE:
            self._send(wire.DECIDED, self._decided(*wire.unpickled(body)))
        elif kind == wire.ANSWERED:
            if isinstance(job, _Questions) and not self._ask_on(job, wire.unpickled(body)):
                self._next()
        elif kind == wire.NOT_OPEN:
            self._not_open = wire.unpickled(body)
            if self._transport is not None:
                self._transport.close()
        elif job is not None:
            if kind == wire.FAILED:
                job.done(wire.unpickled(body))
            elif isinstance(job, _Group):
                job.done(wire.unpack_receipts(body, len(job.units)))
            else:
                job.done(job.result)
            self._next()

    def _decided(self, number: int, arguments: tuple[Any, ...]) -> bytes:
        try:
            return wire.pickled(("", self._packer.callables[number](*arguments)))
        except Exception as error:  # noqa: BLE001  # it harms its own unit alone, over there
            return wire.pickled((type(error).__name__, str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        """The other process has ended: as it was asked to, or by itself."""
        self._transport = None
        if not self._ended.done():
            self._ended.set_result(None)
        if self._closing:
            return
        error = self._error = self._ended_by_itself()
        jobs = [*((self._now,) if self._now is not None else ()), *self._waiting]
        self._now = None
        self._waiting.clear()
        for job in jobs:
            job.done(error)
        self._lost(error)

    def _ended_by_itself(self) -> StoreFailed:
        """Why, as far as it is known in a moment."""
        if self._not_open:
            return StoreFailed(f"the process that writes {self._path} cannot open it: {self._not_open}")
        how = ""
        assert self._process is not None
        with contextlib.suppress(TimeoutExpired):
            code = self._process.wait(_END_S_MAX)
            how = f" by signal {-code}" if code < 0 else f" with code {code}"
        return StoreFailed(
            f"the process that writes {self._path} has ended{how}; whether it wrote its last group is unknown",
            hint="start again: the next opening reads what stands; the system's log may say what ended it",
        )
