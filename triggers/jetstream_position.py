"""How far a JetStream stream was read: what was accepted, and what a look at the server shows.

The server's own floor cannot say that: a purge moves it over what nobody read, and what was given to a reader that was
leaving counts as delivered. So each accepting unit holds a mark with what was accepted. Source: semantics 1.2 and 1.5.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

RANGES_MAX = 64  # one node reads in order but for what came again; of nodes in turns the oldest ranges are joined


class Known(Struct, frozen=True):
    """What the stream's mark holds: when it was made, and up to which sequence nothing of ours is open (-1: unknown).

    What was accepted above it stands in the marks of those who read, one for each node (Accepted).
    """

    created: str
    floor: int = -1


class Look(Struct, frozen=True):
    """What the server says of a stream and a consumer, the stream looked at first."""

    first: int
    last: int
    floor: int  # all up to there is acknowledged, or was removed
    delivered: int  # how often something was
    pending: int  # to be delivered yet
    open: int  # delivered and not acknowledged

    @classmethod
    def of(cls, info: Any, consumer: Any) -> Look:
        """From the library's answers."""
        state, floor = info.state, consumer.ack_floor
        return cls(
            int(state.first_seq), int(state.last_seq), int(floor.stream_seq), int(consumer.delivered.consumer_seq),
            int(consumer.num_pending or 0), int(consumer.num_ack_pending or 0),
        )  # fmt: skip

    def removed_since(self, before: Look | None) -> bool:
        """Did less stay to be delivered than deliveries since then explain? New messages may hide it."""
        return before is not None and before.pending - (self.delivered - before.delivered) > self.pending


class Accepted:
    """Sequences, as ranges: first and last of each, in order, none of them touching the next."""

    def __init__(self, value: bytes | None = None) -> None:
        self._ranges = msgspec.json.decode(value, type=list[tuple[int, int]]) if value is not None else []

    def __bytes__(self) -> bytes:
        """The value of a mark."""
        return msgspec.json.encode(self._ranges)

    @property
    def last(self) -> int:
        """The greatest; 0: there is none."""
        return self._ranges[-1][1] if self._ranges else 0

    @property
    def first(self) -> int:
        """The smallest; 0: there is none."""
        return self._ranges[0][0] if self._ranges else 0

    def add(self, first: int, last: int) -> None:
        """Add a whole range."""
        ranges = self._ranges
        if ranges and ranges[-1][1] == first - 1:  # in order, as nearly always
            ranges[-1] = (ranges[-1][0], last)
            return
        begin = bisect_left(ranges, first - 1, key=lambda one: one[1])  # the first one that touches or comes after
        end = begin
        while end < len(ranges) and ranges[end][0] <= last + 1:
            first, last = min(first, ranges[end][0]), max(last, ranges[end][1])
            end += 1
        ranges[begin:end] = [(first, last)]
        if len(ranges) > RANGES_MAX:
            ranges[:2] = [(ranges[0][0], ranges[1][1])]

    def join(self) -> None:
        """Count what lies between as accepted: where subjects are filtered, it is of others."""
        if self._ranges:
            self._ranges = [(self.first, self.last)]

    def remove(self, sequence: int) -> None:
        """Take one out again: it was refused."""
        at = bisect_left(self._ranges, sequence, key=lambda one: one[1])
        if at < len(self._ranges) and self._ranges[at][0] <= sequence:
            first, last = self._ranges[at]
            parts = ((first, sequence - 1), (sequence + 1, last))
            self._ranges[at : at + 1] = [part for part in parts if part[0] <= part[1]]

    def forget(self, floor: int) -> None:
        """Drop what is at or below `floor`."""
        self._ranges = [(max(first, floor + 1), last) for first, last in self._ranges if last > floor]

    def ranges(self) -> Iterator[tuple[int, int]]:
        """All of them, in order."""
        return iter(self._ranges)

    def missing(self, floor: int, end: int) -> list[tuple[int, int]]:
        """The ranges between `floor` and `end`, both left out, that do not belong here."""
        found: list[tuple[int, int]] = []
        at = floor + 1
        for first, last in self._ranges:
            if at >= end:
                break
            if first > at:
                found.append((at, min(first, end) - 1))
            at = max(at, last + 1)
        if at < end:
            found.append((at, end - 1))
        return found


def union(values: Iterable[bytes]) -> Accepted:
    """What several readers accepted."""
    found = Accepted()
    for value in values:
        for first, last in Accepted(value).ranges():
            found.add(first, last)
    return found
