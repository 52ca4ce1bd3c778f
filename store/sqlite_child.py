"""The process that writes an SQLite file for another one, over a socket pair, and ends when that one does."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
from pathlib import Path
from typing import Any

import apsw

from . import sqlite_wire as wire
from .sqlite_file import connect
from .sqlite_transactions import Transactions, answer
from .sqlite_wire import Channel, Unpacker

COLLECT_AFTER = 10_000  # objects that are made and not dropped between two collections of reference cycles
_IGNORED = ("SIGINT", "SIGTERM", "SIGHUP")
"""They come to every process of a terminal's or a unit's group; this one ends when its parent does, and not before."""


class _GivenUp(Exception):
    """The other end has ended its questions by an error of its own."""


class Child:
    """Answers frames in turn, each group and each row of questions in a transaction of its own."""

    def __init__(self, channel: Channel, transactions: Transactions) -> None:
        self._channel = channel
        self._transactions = transactions
        self._unpack = Unpacker(self._elsewhere).unpack
        self._tables = transactions.seen_tables

    def serve(self) -> None:
        """Answer until the other end is closed."""
        while (received := self._channel.receive()) is not None:
            kind, body = received
            if kind == wire.GROUP:
                self._group(body)
            elif kind == wire.ASK:
                self._asked(body)
            elif kind == wire.COMMIT:  # of a generator that asked nothing
                self._channel.send(wire.WRITTEN)
            elif kind == wire.FORGET:
                self._transactions.forget(wire.unpickled(body))
                self._tables = self._transactions.seen_tables

    def _group(self, body: memoryview) -> None:
        try:
            now, units = self._unpack(body)
            result = self._transactions.group(units, now)
        except Exception as error:  # noqa: BLE001  # it is the group's: the waiters hear of it
            result = error
        if self._transactions.seen_tables is not self._tables:
            self._tables = self._transactions.seen_tables
            self._channel.send(wire.TABLES, wire.pickled(self._tables))
        if isinstance(result, BaseException):
            self._failed(result)
        else:
            self._channel.send(wire.RECEIPTS, wire.pack_receipts(result))

    def _failed(self, error: BaseException) -> None:
        self._channel.send(wire.FAILED, wire.pickled_error(error))

    def _elsewhere(self, number: int, arguments: tuple[Any, ...]) -> Any:
        """What a callable of the other end returns."""
        self._channel.send(wire.DECIDE, wire.pickled((number, arguments)))
        received = self._channel.receive()
        if received is None:
            raise ConnectionResetError("the process that asked is gone")
        raised, value = wire.unpickled(received[1])
        if raised:
            raise type(raised, (Exception,), {})(value)  # its own type may not be known here
        return value

    def _asked(self, body: memoryview) -> None:
        """Questions in one transaction, until the other end says that they were all."""
        first = wire.unpickled(body)

        def work(connection: apsw.Connection) -> None:
            ask = first
            while True:
                self._channel.send(wire.ANSWERED, wire.pickled(answer(connection, ask)))
                received = self._channel.receive()
                if received is None or received[0] == wire.GIVE_UP:
                    raise _GivenUp
                if received[0] == wire.COMMIT:
                    return
                ask = wire.unpickled(received[1])

        result = self._transactions.attempt(work)
        if isinstance(result, _GivenUp):
            return
        if isinstance(result, BaseException):
            self._failed(result)
        else:
            self._channel.send(wire.WRITTEN)


def main(descriptor: int) -> None:
    """Be that process: the other end of the socket pair is `descriptor`."""
    for each in _IGNORED:
        signal.signal(getattr(signal, each), signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    serve(socket.socket(fileno=descriptor))


def serve(end: socket.socket) -> None:
    """Write for the other end until that is closed; which file, its first frame says. From before it on the file's lock
    is held here too.
    """
    with end, contextlib.suppress(ConnectionError):  # it was killed while it was being answered
        _, locks, _, _ = socket.recv_fds(end, len(wire.LOCK), 1)
        try:
            _serve(Channel(end))
        finally:
            for lock in locks:
                os.close(lock)


def _serve(channel: Channel) -> None:
    first = channel.receive()
    if first is None:
        return
    path, synchronous, node = wire.unpickled(first[1])
    try:
        connection = connect(Path(path), synchronous)
        child = Child(channel, Transactions(connection, Path(path), node))
    except Exception as error:  # noqa: BLE001  # the other end says it, where it is read
        channel.send(wire.NOT_OPEN, wire.pickled(str(error)))
        while channel.receive():  # closed with something unread, the other end might not hear why
            pass
        return
    with contextlib.closing(connection):
        child.serve()
