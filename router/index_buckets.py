"""Where rules are filed, so that an event touches only those that its own values name.

A branch of a rule is filed once, under its most selective field (one entry for each alternative of it). A bucket that
grows crowded is divided by the next field that tells its entries apart. Buckets are tuples that are replaced, never
changed, so a reader in another thread sees a bucket before or after a change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from .index_probes import Probe, seek
from .index_values import ABSENT, NOT, Container, Key, scalar

FieldCheck: TypeAlias = tuple[int, Container, tuple[Key, ...]]  # path number, test, keys it can be filed under
# the checks that are left to do, the first one spread out: most have no other, and each further object costs time
Entry: TypeAlias = "tuple[Branch, int, Container | None, tuple[FieldCheck, ...]]"

_CROWDED = 4  # a bucket of more entries than this is divided
_INNER_KINDS = frozenset(("eq", "fold", "pre", "suf", "num"))
_INNER_KEYS_MAX = 8
_RANGES_COST = 10.0  # what finding a number's ranges costs, in entries checked
_PAIR_KINDS = frozenset(("eq", "fold", "pre", "suf", "fpre", "fsuf", "ends"))
_PAIR_KEYS_MAX = 8
_PAIR_FROM = 32  # branches that a pair of paths must serve: each pair costs every event a look-up
_PAIRS_MAX = 12
# candidates that a rule filed under such a key costs, for each rule that shares the key; ranges and presence come last
_COST = {
    "eq": 1.0,
    "fold": 1.2,
    "pre": 1.5,
    "suf": 1.5,
    "fpre": 2.0,
    "fsuf": 2.0,
    "ends": 2.0,
    "net": 2.0,
    "gram": 12.0,
}
_COST_RANGE, _COST_PRESENCE, _COST_ABSENCE = 20.0, 1e3, 1e9  # nearly every event lacks what a rule wants absent


class Branch:
    """One conjunction of a rule. `linked`: two of its fields may lie in one array and must agree on its element;
    `twice`: two of them are the same."""

    __slots__ = ("checks", "died", "linked", "number", "place", "rule", "rule_id", "twice")

    def __init__(self, rule: Any, number: int, checks: tuple[FieldCheck, ...], linked: bool) -> None:
        self.rule, self.number, self.checks, self.linked = rule, number, checks, linked
        self.twice = linked and len({check[0] for check in checks}) < len(checks)
        # copies of what `match` asks of every hit: with many rules each further object is a miss of the cache
        self.rule_id, self.place, self.died = rule.id, rule.place, rule.died


class Level:
    """A divided bucket: entries that can be told apart by one path, and the rest."""

    __slots__ = ("_above", "_probe", "path", "rest", "whole")

    def __init__(self, path: int, above: tuple[int, ...], entries: tuple[Entry, ...]) -> None:
        self.path, self._above = path, (*above, path)
        self._probe = Probe()
        self.rest: Any = None
        self.whole: Callable[[Any], Any] | None = None  # the probe's, for the shortest way
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """File one more entry."""
        check = _inner_check(entry[0], self.path)
        if check is None:
            self.rest = grow(self.rest, entry, self._above)
        else:
            _file(self._probe, check, None, entry, self._above)
            self.whole = self._probe.whole

    def discard(self, branch: Branch) -> None:
        """Remove all entries of a branch."""
        check = _inner_check(branch, self.path)
        if check is None:
            self.rest = shrink(self.rest, branch)
        else:
            _unfile(self._probe, check, None, branch)
            self.whole = self._probe.whole

    def is_empty(self) -> bool:
        """Nothing is filed here any more."""
        return self.rest is None and self._probe.is_empty()

    def spread(self, values: Any, found: list[Any]) -> None:
        """Append to `found` the buckets below that the values lead to."""
        # the rest first: a bucket that another thread divides meanwhile is then seen here or below, not missed
        if self.rest is not None:
            found.append(self.rest)
        value = values[self.path]
        if type(value) is not str and type(value) is not list:
            value = scalar(value)
        if value is not ABSENT:
            seek(self._probe, value, found)


class Root:
    """The top of the index: a probe for each path, and the branches that no key can stand for."""

    def __init__(self) -> None:
        self.probes: dict[int, Probe] = {}
        self.absent: dict[int, Any] = {}  # path -> bucket of branches that want it absent
        self.always: tuple[Entry, ...] = ()
        self.pairs: dict[tuple[int, int], Probe] = {}  # guarded probes, by their path and that of the guard
        self._wanted: dict[tuple[int, int], int] = {}  # branches that a guarded probe would serve
        self._frequency: dict[tuple[int, str], dict[Any, int]] = {}

    def count(self, branch: Branch, step: int) -> None:
        """Take the keys of a branch into the statistics (1) or out of them (-1); first of all, and last of all."""
        for path, _, keys in branch.checks:
            for kind, key in keys:
                if kind == "num":
                    key = None
                counts = self._frequency.setdefault((path, kind), {})
                left = counts.get(key, 0) + step
                if left:
                    counts[key] = left
                else:
                    del counts[key]

    def want(self, branch: Branch) -> None:
        """Note by which pair of fields a branch, counted before, is best told apart."""
        check = self._choose(branch)
        guard = check and self._guard(branch, check)
        if check and guard:
            pair = check[0], guard[0]
            self._wanted[pair] = wanted = self._wanted.get(pair, 0) + 1
            if wanted >= _PAIR_FROM and len(self.pairs) < _PAIRS_MAX and pair not in self.pairs:
                self.pairs[pair] = Probe(guarded=True)

    def add(self, branch: Branch) -> int | tuple[int, int]:
        """File a branch that was counted; the path or pair whose probe changed, or -1."""
        checks = branch.checks
        entry = _entry(branch, tuple(sorted(checks, key=_dearness)) if len(checks) > 1 else checks)
        check = self._choose(branch)
        if check is None:
            self.always = (*self.always, entry)
            return -1
        path = check[0]
        guard = self._guard(branch, check)
        if guard is not None and (path, guard[0]) in self.pairs:
            pair = path, guard[0]
            _file(self.pairs[pair], check, guard, entry, pair)
            return pair
        if NOT in check[2]:
            exact = len(check[2]) == 1
            self.absent[path] = grow(self.absent.get(path), _without(entry, check) if exact else entry, (path,))
        probe = self.probes.get(path)
        if probe is None:
            probe = self.probes[path] = Probe()
        _file(probe, check, None, entry, (path,))
        return path

    def discard(self, branch: Branch) -> None:
        """Remove a branch, wherever it was filed."""
        for check in branch.checks:
            path, _, keys = check
            if NOT in keys and path in self.absent:
                left = shrink(self.absent[path], branch)
                if left is None:
                    del self.absent[path]
                else:
                    self.absent[path] = left
            if path in self.probes and keys:
                _unfile(self.probes[path], check, None, branch)
            for guard in branch.checks:
                if (path, guard[0]) in self.pairs:
                    _unfile(self.pairs[path, guard[0]], check, guard, branch)
        if any(entry[0] is branch for entry in self.always):
            self.always = tuple(entry for entry in self.always if entry[0] is not branch)

    def _choose(self, branch: Branch) -> FieldCheck | None:
        best, least = None, 0.0
        for check in branch.checks:
            if check[2]:
                cost = self._cost(check)
                if best is None or cost < least:
                    best, least = check, cost
        return best

    def _cost(self, check: FieldCheck) -> float:
        path, _, keys = check
        cost = 0.0
        for kind, key in keys:
            if kind == "num":
                cost += _COST_RANGE + 0.3 * self._frequency[path, kind][None]
            else:
                each = _COST_ABSENCE if kind == "not" else _COST.get(kind, _COST_PRESENCE)
                cost += each * self._frequency[path, kind][key]
        return cost

    def _guard(self, branch: Branch, check: FieldCheck) -> FieldCheck | None:
        """The field of whole values that tells most beside `check`."""
        if len(branch.checks) < 2 or not all(kind in _PAIR_KINDS for kind, _ in check[2]):
            return None
        best, least = None, 0.0
        for other in branch.checks:
            keys = other[2]
            if other[0] == check[0] or not 0 < len(keys) * len(check[2]) <= _PAIR_KEYS_MAX:
                continue
            if all(kind == "eq" for kind, _ in keys):
                cost = self._cost(other)
                if best is None or cost < least:
                    best, least = other, cost
        return best


def grow(bucket: Any, entry: Entry, above: tuple[int, ...]) -> Any:
    """The bucket with one more entry; `above`: paths that led here and tell no more.

    A bucket is None, a branch with nothing left to check, a tuple of entries, or a level.
    """
    if bucket is None:
        return entry[0] if entry[2] is None else (entry,)
    if type(bucket) is Level:
        bucket.add(entry)
        return bucket
    if type(bucket) is Branch:
        bucket = (_entry(bucket, ()),)
    entries: tuple[Entry, ...] = (*bucket, entry)
    size = len(entries)
    # tried again only when the size has doubled: a bucket that cannot be divided stays cheap to add to
    if size > _CROWDED and not (size - 1) & (size - 2):
        path = _dividing_path(entries, above)
        if path is not None:
            return Level(path, above, entries)
    return entries


def shrink(bucket: Any, branch: Branch) -> Any:
    """The bucket without a branch; None if nothing is left."""
    if bucket is None:
        return None
    if type(bucket) is Level:
        bucket.discard(branch)
        return None if bucket.is_empty() else bucket
    if type(bucket) is Branch:
        return None if bucket is branch else bucket
    left = tuple(entry for entry in bucket if entry[0] is not branch)
    return left or None


def candidates(values: Any, found: list[Any]) -> list[Branch]:
    """The branches in the buckets all of whose checks hold, each field taken by itself; one may come twice."""
    hits: list[Branch] = []
    for bucket in found:  # grows meanwhile
        if type(bucket) is Branch:
            hits.append(bucket)
            continue
        if type(bucket) is Level:
            whole = bucket.whole
            if whole is None or type(value := values[bucket.path]) is not str:
                bucket.spread(values, found)
                continue
            if bucket.rest is not None:
                found.append(bucket.rest)
            below = whole(value)
            if below is not None:
                found.append(below)
            continue
        for branch, path, test, rest in bucket:
            if test is not None:
                value = values[path]
                if type(value) is str or type(value) is float:
                    if value not in test:
                        continue
                elif not holds(value, test):
                    continue
                if rest and not _all_hold(values, rest):
                    continue
            hits.append(branch)
    return hits


def holds(value: Any, test: Container) -> bool:
    """Does a field's value (scalar, normalised or not, normalised list, or ABSENT) satisfy a test?"""
    if type(value) is not list:
        return scalar(value) in test
    several = cast("list[Any]", value)
    if type(test) is frozenset:
        return not test.isdisjoint(several)
    return any(one in test for one in several)


def _all_hold(values: Any, checks: tuple[FieldCheck, ...]) -> bool:
    for path, test, _ in checks:  # a loop: `all` would make a generator for every rule that comes so far
        value = values[path]
        if type(value) is str or type(value) is float:
            if value not in test:
                return False
        elif not holds(value, test):
            return False
    return True


def _dearness(check: FieldCheck) -> int:
    return type(check[1]) is not frozenset


def _entry(branch: Branch, checks: tuple[FieldCheck, ...]) -> Entry:
    if not checks:
        return branch, 0, None, ()
    return branch, checks[0][0], checks[0][1], checks[1:]


def _without(entry: Entry, check: FieldCheck) -> Entry:
    branch, path, test, rest = entry
    if test is check[1] and path == check[0]:
        return _entry(branch, rest)
    return branch, path, test, tuple(other for other in rest if other is not check)


def _inner_check(branch: Branch, path: int) -> FieldCheck | None:
    for check in branch.checks:
        keys = check[2]
        if check[0] == path and 0 < len(keys) <= _INNER_KEYS_MAX and all(kind in _INNER_KINDS for kind, _ in keys):
            return check
    return None


def _dividing_path(entries: tuple[Entry, ...], above: tuple[int, ...]) -> int | None:
    """The path by which an event is spared the most entries; None if no path spares it enough to pay for the look."""
    keys_of: dict[int, list[Key]] = {}
    for branch, *_ in entries:
        for path in {check[0] for check in branch.checks}:
            check = _inner_check(branch, path)
            if check is not None and path not in above:
                keys_of.setdefault(path, []).extend(check[2])
    best, most = None, 1.5
    for path, keys in keys_of.items():
        ranges = sum(kind == "num" for kind, _ in keys)
        whole = len(keys) - ranges
        distinct = len(set(keys)) - ranges if ranges < len(keys) else 0
        spared = max(0.0, 0.5 * ranges - _RANGES_COST) + (whole * (1 - 1 / distinct) if distinct > 1 else 0)
        if spared > most:
            best, most = path, spared
    return best


def _file(probe: Probe, check: FieldCheck, guard: FieldCheck | None, entry: Entry, above: tuple[int, ...]) -> None:
    if guard is not None:
        entry = _without(entry, guard)
    for kind, key in check[2]:
        if kind == "num":
            probe.add_range(key, entry)
        elif kind != "not":
            stored, exact = probe.stored(kind, key)
            filed = _without(entry, check) if exact else entry

            def add(bucket: Any, filed: Entry = filed) -> Any:
                return grow(bucket, filed, above)

            if guard is None:
                probe.change(kind, stored, add)
            else:
                for _, value in guard[2]:
                    probe.change(kind, (stored, value), add)


def _unfile(probe: Probe, check: FieldCheck, guard: FieldCheck | None, branch: Branch) -> None:
    values = () if guard is None else tuple(value for _, value in guard[2])
    for kind, key in check[2]:
        if kind == "num":
            probe.discard_range(key, lambda entry: entry[0] is branch)
        elif kind != "not":
            probe.remove(kind, key, values, lambda bucket: shrink(bucket, branch))
