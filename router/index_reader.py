"""Reads an event: a value for each path that rules name, and the buckets that the values lead to.

The work is done by generated functions (index_source.py): for JSON bytes, whose decoder is a msgspec Struct with the
named members alone (the others are skipped, not built), and for mappings. What they leave to `gather` is rare: arrays
in arrays, foreign mappings, open nodes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from .index_buckets import Root
from .index_paths import Node, PathTree, gather
from .index_probes import Probe, seek, seek_pair
from .index_source import MIXED, NO_PROBE, WHOLE, WITH_HAS, MappingWriter, Place, StructWriter, Writer, suffix
from .index_values import ABSENT, plain, type_of, values

# values, found buckets, and how many paths may lie in arrays of objects (0 or 1: no two fields can disagree)
Read: TypeAlias = tuple[Any, list[Any], int]
Scan: TypeAlias = Callable[[Any], Read]


class Reader:
    """Gives an event's values and found buckets. Made for one version of the tree; `flavours` outlives it: a probe
    that was there once will come again."""

    def __init__(self, tree: PathTree, root: Root, flavours: dict[Place, int], writing: threading.Lock) -> None:
        self._tree, self._root, self._flavours, self._writing = tree, root, flavours, writing
        self.version = tree.version
        self._namespaces: list[dict[str, Any]] = []
        # both are replaced by the generated function at their first call
        self.from_json: Scan = self._first_json  # JSON bytes; raises msgspec.DecodeError or UnicodeDecodeError
        self.from_mapping: Scan = self._first_mapping  # plain data; a member may be a msgspec.Raw
        for place in (*root.probes, *root.pairs):
            self._raise(place)

    def _first_json(self, text: Any) -> Read:
        with self._writing:  # the tree must hold still
            self.from_json = self._compile(StructWriter)
        return self.from_json(text)

    def _first_mapping(self, event: Any) -> Read:
        with self._writing:
            self.from_mapping = self._compile(MappingWriter)
        return self.from_mapping(event)

    def refresh(self, place: Place) -> bool:
        """A probe has changed: take its new tables. False if the text must be written anew."""
        if self._raise(place):
            return False
        for namespace in self._namespaces:
            self._bind(namespace, place)
        return True

    def _probe(self, place: Place) -> Probe | None:
        return self._root.probes.get(place) if isinstance(place, int) else self._root.pairs.get(place)

    def _raise(self, place: Place) -> bool:
        probe = self._probe(place)
        if probe is None:
            return False
        flavour = WHOLE if probe.whole else MIXED if probe.scan else NO_PROBE
        if probe.has is not None:
            flavour = WITH_HAS
        if flavour <= self._flavours.get(place, NO_PROBE):
            return False
        self._flavours[place] = flavour
        return True

    def _bind(self, namespace: dict[str, Any], place: Place) -> None:
        probe = self._probe(place)
        if probe is not None:
            name = suffix(place)
            namespace["P" + name] = probe
            namespace["whole" + name] = probe.whole or _nothing
            namespace["scan" + name] = probe.scan or (_scan_of if isinstance(place, int) else _scan_pair_of)(probe)

    def _compile(self, writer_of: type[Writer]) -> Scan:
        sparse = self._tree.layout()
        writer = writer_of(self._tree, self._flavours, sparse)
        source = writer.write()
        namespace: dict[str, Any] = {
            **writer.constants,
            "A": ABSENT,
            "Raw": msgspec.Raw,
            "V": values,
            "fresh": self._tree.fresh,
            "nested": _nested,
            "absent": _absent,
            "plain": plain,
            "plain_leaf": frozenset[Any]((str, int, float, bool, type(None), type_of(ABSENT))),
            "root": self._root,
            "put": _put,
            "seek": seek,
            "seek_pair": seek_pair,
            "spread": self._spread,
        }
        for place in self._flavours:
            self._bind(namespace, place)
        self._namespaces.append(namespace)
        exec(source, namespace)  # noqa: S102 - names in it are our own, members' names are literals
        return namespace["scan"]

    def _spread(self, node: Node, value: Any, found_values: Any, found: list[Any]) -> None:
        touched: list[int] = []
        gather(node, value, found_values, touched)
        probes = self._root.probes
        for path in touched:
            probe = probes.get(path)
            if probe is not None:
                seek(probe, found_values[path], found)


def _nothing(_value: Any) -> Any:
    return None


def _scan_of(probe: Probe) -> Callable[[Any, Callable[[Any], None]], None]:
    whole = probe.whole or _nothing

    def scan(value: Any, add: Callable[[Any], None]) -> None:
        bucket = whole(value)
        if bucket is not None:
            add(bucket)

    return scan


def _scan_pair_of(probe: Probe) -> Callable[[Any, Any, Callable[[Any], None]], None]:
    scan = _scan_of(probe)
    return lambda value, guard, add: scan((value, guard), add)


def _absent(root: Root, found_values: Any, found: list[Any]) -> None:
    for path, bucket in tuple(root.absent.items()):
        if values(found_values[path]) is ABSENT:
            found.append(bucket)


def _put(value: Any, into: list[Any]) -> None:
    value = values(value)
    if type(value) is list:
        into += value
    elif value is not ABSENT:
        into.append(value)


def _nested(node: Node, value: Any, paths: tuple[int, ...], lists: tuple[list[Any], ...]) -> None:
    found: dict[int, Any] = dict.fromkeys(paths, ABSENT)
    gather(node, value, found, [], True)
    for path, into in zip(paths, lists, strict=True):
        if found[path] is not ABSENT:
            into += found[path]
