"""The tables of one path: from a value to the buckets of rules filed under it.

A probe that has only whole values is a dictionary look-up; others are written as Python source for exactly the tables
and key lengths in use, and kept by that shape: thousands of probes share a few functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, cast

from .index_ranges import Ranges
from .index_values import ABSENT, GRAM_CHARS, ipv6, values

Table: TypeAlias = dict[Any, Any]  # key -> bucket
Change: TypeAlias = Callable[[Any], Any]  # bucket or None -> bucket or None
Size: TypeAlias = tuple[int, ...]
Shape: TypeAlias = tuple[tuple[str, tuple[Size, ...]], ...]

SEEK_FROM = 8  # an array of so many values is freed of equal ones before each is looked up
_SIZES_MAX = 8  # key lengths of one table before further ones are rounded down to powers of two
_GRAMS_MAX = 32  # of a literal's grams, this many are candidates for the one it is filed under


class Probe:
    """All tables of one path at one place of the index; of a guarded one, keys are pairs with the value of a second
    path.

    `whole` is set when there are but whole values to look up: value (or pair) -> bucket or None. Else `scan(value,
    add)`, with a guard `scan(value, guard, add)`, hands every bucket to `add`; None if there is no table. `has`: the
    bucket of rules that only want the field to be there.
    """

    __slots__ = ("_guarded", "_ranges", "_sizes", "_tables", "has", "scan", "whole")

    def __init__(self, guarded: bool = False) -> None:
        self._guarded = guarded
        self._tables: dict[str, Table] = {}
        self._sizes: dict[str, dict[Size, int]] = {}
        self._ranges: Ranges[Any] | None = None
        self.has: Any = None
        self.whole: Callable[[Any], Any] | None = None
        self.scan: Callable[..., None] | None = None

    def stored(self, kind: str, key: Any) -> tuple[Any, bool]:
        """The key that a new entry is filed under, and whether all events found by it satisfy the test."""
        if kind == "eq" or kind == "fold":
            return key, True
        if kind == "has":
            return key, False
        if kind == "gram":
            table = self._tables.get(kind, {})
            return min(_grams(key), key=lambda gram: gram in table), False
        candidates = _candidates(kind, key)
        sizes = self._sizes.get(kind, {})
        size, filed = candidates[0]
        if size not in sizes and len(sizes) >= _SIZES_MAX:
            size, filed = candidates[-1]
        return filed, kind not in ("ends", "net") and filed == key

    def change(self, kind: str, key: Any, change: Change) -> None:
        """Replace the bucket at a stored key by what `change` makes of it; None removes it."""
        if kind == "has":
            self.has = change(self.has)
            return
        table = self._tables.get(kind)
        if table is None:
            table = self._tables[kind] = {}
        before = table.get(key)
        after = change(before)
        if after is not None:
            table[key] = after
        elif before is not None:
            del table[key]
        if (before is None) != (after is None):
            resized = self._count(kind, key, 1 if before is None else -1)
            if not table:
                del self._tables[kind]
            if resized or len(table) <= 1:
                self._bind()

    def add_range(self, bounds: tuple[float, float], entry: Any) -> None:
        """File an entry under a range of numbers."""
        if self._ranges is None:
            self._ranges = Ranges()
        self._ranges.add(bounds, entry)
        if self._ranges.count == 1:
            self._bind()

    def discard_range(self, bounds: tuple[float, float], drop: Callable[[Any], bool]) -> None:
        """Remove the entry of these bounds that `drop` names."""
        if self._ranges is not None and self._ranges.discard(bounds, drop) and not self._ranges.count:
            self._ranges = None
            self._bind()

    def remove(self, kind: str, key: Any, guards: tuple[Any, ...], change: Change) -> None:
        """`change` at every stored key that a filing of this key (and of a guarded probe, these guards) may have
        used."""
        if kind in ("eq", "fold", "has"):
            filed = [key]
        elif kind == "gram":
            filed = _grams(key)
        else:
            filed = [stored for _, stored in _candidates(kind, key)]
        for stored in ((one, guard) for one in filed for guard in guards) if self._guarded else filed:
            if self.bucket(kind, stored) is not None:
                self.change(kind, stored, change)

    def bucket(self, kind: str, stored: Any) -> Any:
        """What is filed under a stored key, or None."""
        return self.has if kind == "has" else self._tables.get(kind, {}).get(stored)

    def is_empty(self) -> bool:
        """Nothing is filed here any more."""
        return not self._tables and self.has is None and self._ranges is None

    def _count(self, kind: str, stored: Any, step: int) -> bool:
        if kind in ("eq", "fold", "gram"):
            return False
        sizes = self._sizes.setdefault(kind, {})
        size = _size(kind, stored[0] if self._guarded else stored)
        before = sizes.get(size, 0)
        if before + step:
            sizes[size] = before + step
        else:
            del sizes[size]
        return not before or not before + step

    def _bind(self) -> None:
        """Choose `whole` and `scan` for the tables there are now."""
        tables = self._tables
        ranged = self._ranges is not None
        if not ranged and len(tables) == 1 and "eq" in tables:
            self.whole, self.scan = tables["eq"].get, None
        elif not ranged and not tables:
            self.whole = self.scan = None
        else:
            shape: Shape = tuple((kind, tuple(sorted(self._sizes.get(kind, ())))) for kind in sorted(tables))
            make = _factory(shape, ranged, self._guarded)
            self.scan, self.whole = make({**tables, "num": self._ranges}, ipv6), None


def seek(probe: Probe, value: Any, found: list[Any]) -> None:
    """Append to `found` the buckets that a value (scalar or list, not ABSENT) leads to."""
    if probe.has is not None:
        found.append(probe.has)
    whole, scan = probe.whole, probe.scan
    if type(value) is list:
        several = cast("list[Any]", value)
        each: Any = several if len(several) < SEEK_FROM else set(several)
        if whole is not None:
            for one in each:
                bucket = whole(one)
                if bucket is not None:
                    found.append(bucket)
        elif scan is not None:
            for one in each:
                scan(one, found.append)
    elif whole is not None:
        bucket = whole(value)
        if bucket is not None:
            found.append(bucket)
    elif scan is not None:
        scan(value, found.append)


def seek_pair(probe: Probe, value: Any, guard: Any, found: list[Any]) -> None:
    """`seek` at a guarded probe; both values in any form."""
    value, guard = values(value), values(guard)
    if value is ABSENT or guard is ABSENT:
        return
    for one in _distinct(value):
        for other in _distinct(guard):
            if probe.whole is not None:
                bucket = probe.whole((one, other))
                if bucket is not None:
                    found.append(bucket)
            elif probe.scan is not None:
                probe.scan(one, other, found.append)


def _distinct(value: Any) -> set[Any]:
    return set(cast("list[Any]", value)) if type(value) is list else {value}


def _grams(literal: str) -> list[str]:
    count = min(len(literal) - GRAM_CHARS + 1, _GRAMS_MAX)
    return [literal[at : at + GRAM_CHARS] for at in range(count)]


def _size(kind: str, stored: Any) -> Size:
    if kind == "ends":
        return len(stored[0]), len(stored[1])
    if kind == "net":
        return (4, stored.count(".") + 1 if stored else 0) if isinstance(stored, str) else (6, stored[0])
    return (len(stored),)


def _power(length: int) -> int:
    return 1 << length.bit_length() - 1


def _candidates(kind: str, key: Any) -> list[tuple[Size, Any]]:
    """Where a key may be filed: under itself first, then under what it is rounded down to."""
    if kind == "ends":
        head, tail = key
        short = head[: _power(len(head))], tail[-_power(len(tail)) :]
        return [((len(a), len(b)), (a, b)) for a, b in (key, short)]
    if kind == "net":
        version, network, length = key
        parts = length // 8 if version == 4 else length // 16
        if version == 4:
            stored: Any = ".".join(str(octet) for octet in network.to_bytes(4, "big")[:parts])
        else:
            stored = parts, network >> 128 - 16 * parts
        return [((version, parts), stored)]
    cut = _power(len(key))
    short_text = key[:cut] if kind.endswith("pre") else key[-cut:]
    return [((len(key),), key), ((cut,), short_text)]


@lru_cache(maxsize=512)
def _factory(shape: Shape, ranged: bool, guarded: bool) -> Callable[[dict[str, Any], Any], Any]:
    lines: list[str] = []
    kinds = dict(shape)

    def look(indent: int, kind: str, key: str) -> None:
        pad = " " * indent
        key = f"({key}, g)" if guarded else key
        lines.extend((f"{pad}b = {kind}({key})", f"{pad}if b is not None: add(b)"))

    if "eq" in kinds:
        look(0, "eq", "v")
    texts = [kind for kind in kinds if kind != "eq"]
    if texts:
        lines.append("if type(v) is str:")
    if any(kind in ("fold", "fpre", "fsuf") for kind in texts):
        lines.append(" w = v.casefold()")
    for kind in texts:
        name = "w" if kind.startswith("f") else "v"
        if kind == "fold":
            look(1, kind, name)
        elif kind == "gram":
            _gram_source(lines)
        elif kind == "net":
            _net_source(lines, kinds[kind])
        else:
            for size in kinds[kind]:
                head = f"{name}[:{size[0]}]"
                tail = f"{name}[-{size[-1]}:]"
                look(1, kind, f"({head}, {tail})" if kind == "ends" else head if kind.endswith("pre") else tail)
    if ranged:
        lines.append("if type(v) is float or type(v) is int:")
        lines.append(" num(v, add)")
    names = ", ".join([*kinds, "num"])
    gets = ", ".join([*(f"tables[{kind!r}].get" for kind in kinds), "tables['num'] and tables['num'].find"])
    grams = "gram_table = tables['gram']\n " if "gram" in kinds else ""
    body = "\n  ".join(lines)
    taken = "v, g, add" if guarded else "v, add"
    source = f"def make(tables, ipv6):\n {names} = {gets}\n {grams}def scan({taken}):\n  {body}\n return scan"
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102 - the text holds names and lengths alone, nothing from rules
    return namespace["make"]


def _gram_source(lines: list[str]) -> None:
    lines += [
        " if len(gram_table) < len(v):",
        "  for g, b in tuple(gram_table.items()):",
        "   if g in v: add(b)",
        " else:",
        f"  for i in range(len(v) - {GRAM_CHARS - 1}):",
        f"   b = gram(v[i:i + {GRAM_CHARS}])",
        "   if b is not None: add(b)",
    ]


def _net_source(lines: list[str], sizes: tuple[Size, ...]) -> None:
    octets = [parts for version, parts in sizes if version == 4]
    groups = [parts for version, parts in sizes if version == 6]
    keys = {4: "v", 3: "v.rpartition('.')[0]", 2: "'.'.join(v.split('.', 2)[:2])", 1: "v.partition('.')[0]", 0: "''"}
    for parts in octets:
        lines += [f" b = net({keys[parts]})", " if b is not None: add(b)"]
    if groups:
        lines += [" a = ipv6(v)", " if a is not None:"]
        for parts in groups:
            lines += [f"  b = net(({parts}, a >> {128 - 16 * parts}))", "  if b is not None: add(b)"]
