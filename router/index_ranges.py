"""Numeric ranges that contain a number, found without looking at the others.

An interval tree whose nodes need no balancing: a two-sided range is filed at the smallest binary interval of the
doubles that holds both its bounds, so a number can lie only in nodes on its own path of at most 64, of which those in
use are looked at. In a node all ranges contain its middle: left of it the lower bound decides, right of it the upper
one, and both are sorted.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Generic, TypeVar

from ..language.pattern_form import INFINITY

Item = TypeVar("Item")
_pack, _unpack = struct.Struct(">d").pack, struct.Struct(">Q").unpack
_BITS = 64
_SIGN = 1 << 63


def _rank(number: float) -> int:
    """An integer of 64 bits in the order of the doubles."""
    (bits,) = _unpack(_pack(number + 0.0))
    return (bits ^ 0xFFFF_FFFF_FFFF_FFFF) if bits & _SIGN else bits | _SIGN


class _Sorted(Generic[Item]):
    """Items by one bound. The pair of lists is replaced, never changed: a reader sees one or the other."""

    __slots__ = ("pair",)

    def __init__(self) -> None:
        self.pair: tuple[list[float], list[Item]] = ([], [])

    def add(self, bound: float, item: Item) -> None:
        bounds, items = self.pair
        at = bisect_right(bounds, bound)
        self.pair = ([*bounds[:at], bound, *bounds[at:]], [*items[:at], item, *items[at:]])

    def discard(self, bound: float, drop: Callable[[Item], bool]) -> bool:
        bounds, items = self.pair
        for at in range(bisect_left(bounds, bound), bisect_right(bounds, bound)):
            if drop(items[at]):
                self.pair = (bounds[:at] + bounds[at + 1 :], items[:at] + items[at + 1 :])
                return True
        return False

    def up_to(self, number: float) -> list[Item]:
        bounds, items = self.pair
        return items[: bisect_right(bounds, number)]

    def down_to(self, number: float) -> list[Item]:
        bounds, items = self.pair
        return items[bisect_left(bounds, number) :]


class _Node(Generic[Item]):
    __slots__ = ("by_high", "by_low", "middle")

    def __init__(self, middle: int) -> None:
        self.middle = middle
        self.by_low: _Sorted[Item] = _Sorted()
        self.by_high: _Sorted[Item] = _Sorted()


class Ranges(Generic[Item]):
    """Items filed under closed ranges `(low, high)`; infinity where there is no bound."""

    __slots__ = ("_above", "_below", "_levels", "_nodes", "count")

    def __init__(self) -> None:
        self._above: _Sorted[Item] = _Sorted()
        self._below: _Sorted[Item] = _Sorted()
        self._nodes: dict[tuple[int, int], _Node[Item]] = {}
        self._levels: dict[int, int] = {}  # level -> nodes on it
        self.count = 0

    def add(self, bounds: tuple[float, float], item: Item) -> None:
        """File an item; costs a copy of its node's lists."""
        low, high = bounds
        self.count += 1
        if high == INFINITY:
            self._above.add(low, item)
        elif low == -INFINITY:
            self._below.add(high, item)
        else:
            place = _place(low, high)
            node = self._nodes.get(place)
            if node is None:
                level, prefix = place
                node = self._nodes[place] = _Node((prefix << level) | (1 << level >> 1))
                self._levels = {**self._levels, level: self._levels.get(level, 0) + 1}
            node.by_low.add(low, item)
            node.by_high.add(high, item)

    def discard(self, bounds: tuple[float, float], drop: Callable[[Item], bool]) -> bool:
        """Remove the first item of these bounds that `drop` names; was there one?"""
        low, high = bounds
        if high == INFINITY:
            found = self._above.discard(low, drop)
        elif low == -INFINITY:
            found = self._below.discard(high, drop)
        else:
            place = _place(low, high)
            node = self._nodes.get(place)
            found = node is not None and node.by_low.discard(low, drop) and node.by_high.discard(high, drop)
            if node is not None and not node.by_low.pair[0]:
                del self._nodes[place]
                levels = {**self._levels, place[0]: self._levels[place[0]] - 1}
                self._levels = {level: nodes for level, nodes in levels.items() if nodes}
        self.count -= found
        return found

    def find(self, number: float, add: Callable[[list[Item]], None]) -> None:
        """Hand `add` lists of the items whose range contains the number; bounds count as inside."""
        if self._above.pair[0]:
            add(self._above.up_to(number))
        if self._below.pair[0]:
            add(self._below.down_to(number))
        if not self._levels:
            return
        rank, nodes = _rank(number), self._nodes
        for level in self._levels:
            node = nodes.get((level, rank >> level))
            if node is not None:
                add(node.by_low.up_to(number) if rank < node.middle else node.by_high.down_to(number))


def _place(low: float, high: float) -> tuple[int, int]:
    """Level and prefix of the smallest binary interval that holds both."""
    first, last = _rank(low), _rank(high)
    level = (first ^ last).bit_length()
    return level, first >> level
