"""The rule index: which of many event patterns an event satisfies.

Its cost hardly grows with the number of rules: an event touches only the rules filed under its own values
(index_buckets.py), of which only the members that some rule names are read (index_reader.py). Adding and removing a
rule changes a few buckets.

Every change makes a new revision, and a `Snapshot` of it answers for that revision as long as somebody holds it: a
rule carries the revisions of its birth and its death, and leaves the tables only when no older snapshot is left. One
thread may change the index while others match.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import msgspec

from ..core.event import InvalidEvent
from ..language.pattern_form import FieldTest, Pattern
from ..language.patterns import parse_pattern
from .index_buckets import Branch, FieldCheck, Root, candidates, holds
from .index_explain import Explanation, array_failed, field_failed
from .index_paths import PathTree, agree, whole
from .index_reader import Read, Reader
from .index_source import Place
from .index_values import container, filing, shown

RuleId: TypeAlias = Hashable
Json: TypeAlias = bytes | bytearray | memoryview
Event: TypeAlias = Mapping[str, Any] | Json
_FOREVER = 1 << 62
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Rule:
    __slots__ = ("born", "branches", "died", "id", "pattern", "place")

    def __init__(self, rule_id: RuleId, pattern: Pattern, place: int, born: int) -> None:
        self.id, self.pattern, self.place, self.born = rule_id, pattern, place, born
        self.died = _FOREVER
        self.branches: tuple[Branch, ...] = ()


class Snapshot:
    """The rules as of one revision; never changes. Holding it keeps the rules of its revision in memory."""

    __slots__ = ("__weakref__", "_index", "_places", "_size", "revision")

    def __init__(self, index: RuleIndex, revision: int, size: int, places: int) -> None:
        self._index, self.revision, self._size, self._places = index, revision, size, places

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[RuleId]:
        return (rule.id for rule in self._index.rules_at(self.revision))

    def match(self, event: Event) -> list[RuleId]:
        """The ids of the rules that the event satisfies, in the order in which they were added.

        The event is plain data, or a JSON object as bytes. Raises InvalidEvent for bytes that are no JSON object;
        what no rule names is skipped and only its syntax is checked.
        """
        values, hits, arrays = self._index.search(event)
        if not hits:
            return []
        revision, places, plain = self.revision, self._places, None
        found: dict[int, RuleId] = {}
        for branch in hits:
            place = branch.place
            if place >= places or revision >= branch.died or place in found:
                continue
            if branch.linked and (arrays > 1 or branch.twice) and _in_arrays(branch, values):
                plain = whole(event) if plain is None else plain
                if not _agrees(branch.rule.pattern.branches[branch.number], branch, values, plain):
                    continue
            found[place] = branch.rule_id
        return [found[place] for place in sorted(found)] if len(found) > 1 else list(found.values())

    def explain(self, rule_id: RuleId, event: Event) -> Explanation:
        """Why a rule takes the event or not. Raises KeyError if this revision has no such rule, InvalidEvent as
        `match`."""
        return self._explain(self._index.rule_at(rule_id, self.revision), event, *self._index.read(event))

    def explain_all(self, event: Event) -> Iterator[Explanation]:
        """`explain` for every rule, in the order of adding; the event is read once. Raises InvalidEvent as `match`."""
        values, plain = self._index.read(event)
        for rule in self._index.rules_at(self.revision):
            yield self._explain(rule, event, values, plain)

    def _explain(self, rule: _Rule, event: Event, values: Any, plain: Any) -> Explanation:
        furthest, best = -1, None
        for branch in rule.branches:
            fields = rule.pattern.branches[branch.number]
            for at, (path, test, _) in enumerate(branch.checks):
                if not holds(values[path], test):
                    if at > furthest:
                        furthest, best = at, (branch.number, fields[at], values[path])
                    break
            else:
                if not branch.linked or not _in_arrays(branch, values) or _agrees(fields, branch, values, plain):
                    return Explanation(rule.id, True, branch.number)
                furthest, best = len(fields), (branch.number, None, None)
        assert best is not None, "a pattern has at least one branch, a branch at least one field"
        number, field, value = best
        if field is None:
            return array_failed(rule.id, number, [field.path for field in rule.pattern.branches[number]])
        return field_failed(rule.id, number, field, shown(value))


class RuleIndex:
    """Rules that can be added and removed at any time; `match` and `explain` speak for the newest revision.

    Rule ids are anything hashable. `change` adds and removes many rules as one revision.
    """

    def __init__(self) -> None:
        self._root = Root()
        self._tree = PathTree()
        self._flavours: dict[Place, int] = {}
        self._writing = threading.Lock()
        self._reader = Reader(self._tree, self._root, self._flavours, self._writing)
        self._rules: dict[RuleId, _Rule] = {}
        self._places = 0
        self._dead: list[_Rule] = []
        self._older: list[weakref.ref[Snapshot]] = []
        self._snapshot = Snapshot(self, 0, 0, 0)

    def __len__(self) -> int:
        return len(self._snapshot)

    def __contains__(self, rule_id: RuleId) -> bool:
        return rule_id in self._rules

    def __iter__(self) -> Iterator[RuleId]:
        return iter(self._snapshot)

    @property
    def revision(self) -> int:
        """Counts the changes."""
        return self._snapshot.revision

    def snapshot(self) -> Snapshot:
        """The rules as they are now."""
        return self._snapshot

    def match(self, event: Event) -> list[RuleId]:
        """The ids of the rules that the event satisfies, in the order of adding; see `Snapshot.match`."""
        return self._snapshot.match(event)

    def explain(self, rule_id: RuleId, event: Event) -> Explanation:
        """Why a rule takes the event or not; see `Snapshot.explain`."""
        return self._snapshot.explain(rule_id, event)

    def explain_all(self, event: Event) -> Iterator[Explanation]:
        """`explain` for every rule, in the order of adding."""
        return self._snapshot.explain_all(event)

    def add(self, rule_id: RuleId, pattern: Mapping[str, Any] | Pattern) -> None:
        """Add a rule. Raises PatternError (nothing is added), ValueError if the id is there already."""
        self.change(add=((rule_id, pattern),))

    def remove(self, rule_id: RuleId) -> None:
        """Remove a rule. Raises KeyError if there is none of that id."""
        self.change(remove=(rule_id,))

    def change(
        self, *, add: Iterable[tuple[RuleId, Mapping[str, Any] | Pattern]] = (), remove: Iterable[RuleId] = ()
    ) -> Snapshot:
        """Remove rules, then add rules, as one revision: all or, if an error is raised, none. Errors as `add` and
        `remove`."""
        parsed = [(rule_id, p if isinstance(p, Pattern) else parse_pattern(p)) for rule_id, p in add]
        with self._writing:
            gone: dict[RuleId, _Rule] = {}
            for rule_id in remove:
                if rule_id in gone:
                    raise KeyError(rule_id)
                gone[rule_id] = self._rules[rule_id]
            coming: set[RuleId] = set()
            for rule_id, _ in parsed:
                if rule_id in coming or (rule_id in self._rules and rule_id not in gone):
                    raise ValueError(f"rule {rule_id!r} is in the index already; remove it first")
                coming.add(rule_id)
            return self._swap(gone, parsed)

    def _swap(self, gone: dict[RuleId, _Rule], parsed: list[tuple[RuleId, Pattern]]) -> Snapshot:
        revision = self._snapshot.revision + 1
        for rule_id, rule in gone.items():
            rule.died = revision
            for branch in rule.branches:
                branch.died = revision
            del self._rules[rule_id]
            self._dead.append(rule)
        new = [self._rule(rule_id, pattern, revision) for rule_id, pattern in parsed]
        for rule in new:
            for branch in rule.branches:
                self._root.count(branch, 1)
        for rule in new:
            for branch in rule.branches:
                self._root.want(branch)
        for rule in new:
            for branch in rule.branches:
                self._probe_changed(self._root.add(branch))
        self._older.append(weakref.ref(self._snapshot))
        self._snapshot = Snapshot(self, revision, len(self._rules), self._places)
        self._bury()
        return self._snapshot

    def _rule(self, rule_id: RuleId, pattern: Pattern, revision: int) -> _Rule:
        rule = self._rules[rule_id] = _Rule(rule_id, pattern, self._places, revision)
        self._places += 1
        rule.branches = tuple(
            Branch(rule, number, tuple(map(self._check, fields)), _linked(fields))
            for number, fields in enumerate(pattern.branches)
        )
        return rule

    def _check(self, field: FieldTest) -> FieldCheck:
        return self._tree.take(field.path), container(field.any_of), filing(field.any_of)

    def _bury(self) -> None:
        """Take the dead out of the tables, but for those that a snapshot in use can still see."""
        self._older = [ref for ref in self._older if ref() is not None]
        if not self._dead:
            return
        oldest = min((held.revision for ref in self._older if (held := ref()) is not None), default=_FOREVER)
        kept: list[_Rule] = []
        for rule in self._dead:
            if oldest < rule.died:
                kept.append(rule)
                continue
            for branch in rule.branches:
                self._root.count(branch, -1)
                self._root.discard(branch)
                self._probes_changed(branch)
            for fields in rule.pattern.branches:
                for field in fields:
                    self._tree.release(field.path)
        self._dead = kept

    def _probes_changed(self, branch: Branch) -> None:
        paths = {check[0] for check in branch.checks}
        for place in (*paths, *((path, guard) for path in paths for guard in paths)):
            self._probe_changed(place)

    def _probe_changed(self, place: Place) -> None:
        if self._reader.version >= 0 and not self._reader.refresh(place):
            self._reader.version = -1

    def rules_at(self, revision: int) -> list[_Rule]:
        """The rules of a revision that a snapshot holds, in the order of adding."""
        rules = [rule for rule in (*self._rules.values(), *self._dead) if rule.born <= revision < rule.died]
        rules.sort(key=lambda rule: rule.place)
        return rules

    def rule_at(self, rule_id: RuleId, revision: int) -> _Rule:
        """The rule of an id at a revision that a snapshot holds. Raises KeyError."""
        rule = self._rules.get(rule_id)
        for known in (rule, *reversed(self._dead)):
            if known is not None and known.id == rule_id and known.born <= revision < known.died:
                return known
        raise KeyError(rule_id)

    def search(self, event: Event) -> tuple[Any, list[Branch], int]:
        """The event's values, and the branches that hold field by field, of all revisions that are still in the
        tables."""
        values, found, arrays = self._scan(event)
        if not found:
            return values, found, arrays
        try:
            return values, candidates(values, found), arrays
        except IndexError:
            # another thread added a rule with a new path after the event was read: read it again
            if len(values) >= self._tree.size:
                raise
            return self.search(event)

    def read(self, event: Event) -> tuple[Any, Any]:
        """The event's values, and the event as plain data."""
        try:
            plain = whole(event)
        except _UNREADABLE as error:
            raise InvalidEvent(f"the event is no JSON object: {error}") from error
        if type(plain) is not dict:
            raise InvalidEvent(f"the event is no JSON object: found {type(plain).__name__}")
        members = cast("dict[str, Any]", plain)
        return self._scan(members)[0], members

    def _scan(self, event: Event) -> Read:
        reader = self._reader
        if reader.version != self._tree.version:
            with self._writing:
                reader = self._reader = Reader(self._tree, self._root, self._flavours, self._writing)
        try:
            if type(event) is dict:
                return reader.from_mapping(event)
            if type(event) is not bytes and isinstance(event, Mapping):
                return reader.from_mapping(dict(event))
            return reader.from_json(event)
        except _UNREADABLE as error:
            raise InvalidEvent(f"the event is no JSON object: {error}") from error


def _linked(fields: tuple[FieldTest, ...]) -> bool:
    heads = [field.path[0] for field in fields]
    return len(set(heads)) < len(heads)


def _in_arrays(branch: Branch, values: Any) -> bool:
    return sum(type(values[path]) is list for path, _, _ in branch.checks) > 1


def _agrees(fields: tuple[FieldTest, ...], branch: Branch, values: Any, event: Any) -> bool:
    checks = [
        (field.path, test)
        for field, (path, test, _) in zip(fields, branch.checks, strict=True)
        if values[path] is not msgspec.UNSET
    ]
    return agree(event, checks)
