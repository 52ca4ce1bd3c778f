"""The event stream format: bytes -> messages. Source: the HTML standard, section "Server-sent events"."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `id` is None where the server gave it none of its own; `whole` is False if it was too large."""

    event: str
    data: str
    id: str | None
    whole: bool = True


class Parser:
    """Takes the stream as it comes, in pieces of any size; holds at most `bytes_max` of one message.

    `retry_s` is how long the server wants a client to wait before it connects again, once it has said so.
    """

    def __init__(self, bytes_max: int) -> None:
        self.retry_s: float | None = None
        self._bytes_max = bytes_max
        self._rest = b""  # the beginning of a line
        self._skip_lf = False  # the last piece ended with CR
        self._first = True
        self._clear()

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The messages that this piece completes."""
        if self._skip_lf and piece.startswith(b"\n"):
            piece = piece[1:]
        self._skip_lf = piece.endswith(b"\r")
        lines = (self._rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._bytes_max:
            self._rest, self._whole = self._rest[: self._bytes_max], False
        for line in lines:
            if self._first:
                line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
            if line:
                self._field(line)
            elif (message := self._dispatched()) is not None:
                yield message

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._size += len(value) + 1
                if self._size <= self._bytes_max:
                    self._data.append(value)
                else:
                    self._whole = False
            case b"event":
                self._event = value.decode(errors="replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode(errors="replace")
            case b"retry" if value.isdigit():
                self.retry_s = int(value) / 1000
            case _:
                pass  # a comment, or a field of a later standard

    def _dispatched(self) -> Message | None:
        data, event, id_, whole = self._data, self._event, self._id, self._whole
        self._clear()
        if not data and whole:
            return None
        return Message(event or "message", b"\n".join(data).decode(errors="replace"), id_, whole)

    def _clear(self) -> None:
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id: str | None = None
        self._whole = True
