"""What goes between a process and the one that writes its SQLite file: frames over a socket pair.

A frame is its length (4 bytes, of what follows), its kind (1 byte), and its body. Groups and receipts, of which there
are many, are MessagePack; the rest is pickled: both ends are the same program.
"""

from __future__ import annotations

import contextlib
import pickle
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .contract import Committed, Unit, UnitRefused

LOCK = b"l"  # before all frames, with the descriptor of the file's lock
# to the writer
OPEN, GROUP, ASK, COMMIT, GIVE_UP, FORGET, DECIDED = b"ogackfd"
# from the writer
RECEIPTS, FAILED, ANSWERED, DECIDE, TABLES, WRITTEN, NOT_OPEN = b"refdtwn"

HEAD = struct.Struct("!IB")
_NOTHING = Committed()

pickled = pickle.dumps
unpickled: Callable[[bytes | memoryview], Any] = pickle.loads  # what the other end of our own socket pair has pickled


def pickled_error(error: BaseException) -> bytes:
    """An error as bytes; one that cannot be made again over there says its name and text."""
    with contextlib.suppress(Exception):
        body = pickled(error)
        unpickled(body)
        return body
    return pickled(RuntimeError(f"{type(error).__name__}: {error}"))


def frame(kind: int, body: bytes) -> bytes:
    """A frame as it is sent."""
    return HEAD.pack(len(body) + 1, kind) + body


class Packer:
    """Groups as bytes; what decides or makes a row stays here, under a number."""

    def __init__(self) -> None:
        self.callables: list[Callable[..., Any]] = []
        self._encode = msgspec.msgpack.Encoder(enc_hook=self._kept).encode

    def pack(self, units: Sequence[Unit], now: float) -> bytes:
        """A group, and its instant; from now on the numbers mean its callables."""
        self.callables.clear()
        return self._encode((now, units))

    def _kept(self, value: Any) -> int:
        if not callable(value):
            raise TypeError(f"a unit cannot hold a {type(value).__name__}")
        self.callables.append(value)
        return len(self.callables) - 1


class Unpacker:
    """Groups from bytes; `call(number, arguments)` asks the other end for what one of its callables returns."""

    def __init__(self, call: Callable[[int, tuple[Any, ...]], Any]) -> None:
        def remote(_type: type, number: int) -> Callable[..., Any]:
            return lambda *arguments: call(number, arguments)

        self.unpack = msgspec.msgpack.Decoder(tuple[float, list[Unit]], dec_hook=remote).decode


_receipts = msgspec.msgpack.Encoder().encode
_unreceipts = msgspec.msgpack.Decoder(tuple[list[Committed | None], dict[int, str]]).decode


def pack_receipts(receipts: Sequence[Committed | UnitRefused]) -> bytes:
    """Most say nothing but that it is written."""
    if all(receipt == _NOTHING for receipt in receipts):
        return b""
    plain: list[Committed | None] = []
    refused: dict[int, str] = {}
    for i, receipt in enumerate(receipts):
        if isinstance(receipt, UnitRefused):
            refused[i] = str(receipt)
            plain.append(None)
        else:
            plain.append(receipt if receipt != _NOTHING else None)
    return _receipts((plain, refused))


def unpack_receipts(body: bytes | memoryview, count: int) -> list[Committed | UnitRefused]:
    """What `pack_receipts` made for so many units."""
    if not body:
        return [_NOTHING] * count
    plain, refused = _unreceipts(body)
    found: list[Committed | UnitRefused] = [receipt or _NOTHING for receipt in plain]
    for i, text in refused.items():
        found[i] = UnitRefused(text)
    return found


class Channel:
    """The writer's end: frames one after another, waited for."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = bytearray(256 * 1024)

    def send(self, kind: int, body: bytes = b"") -> None:
        """Send a frame whole. Raises OSError if nobody is there any more."""
        self._end.sendall(frame(kind, body))

    def receive(self) -> tuple[int, memoryview] | None:
        """The next frame, valid until the one after it; None if the other end is closed."""
        head = self._exactly(HEAD.size)
        if head is None:
            return None
        length, kind = HEAD.unpack(head)
        body = self._exactly(length - 1)
        return None if body is None else (kind, body)

    def _exactly(self, size: int) -> memoryview | None:
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        view = memoryview(self._buffer)
        filled = 0
        while filled < size:
            got = self._end.recv_into(view[filled:size])
            if not got:
                return None
            filled += got
        return view[:size]
