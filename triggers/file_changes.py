"""The ledger of a folder, and what differs from it: which files came, changed, went, moved, and which are complete.

Plain state, no disk and no waiting: whoever looks at the disk says what was found. A line of the ledger is written when
a change is complete; it becomes durable with the event, or by itself where no event is wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Struct

from .file_tree import ADDED, DELETED, Stamp

Change = Literal["created", "modified", "deleted", "moved"]


class Entry(Struct, frozen=True, array_like=True):
    """A line of the ledger: the version seen last, how often the path appeared, and whether it is there."""

    inode: int
    size: int
    mtime_ns: int
    appeared: int
    there: bool = True

    @property
    def stamp(self) -> Stamp:
        """The version."""
        return Stamp(self.inode, self.size, self.mtime_ns)


@dataclass(slots=True)
class Changed:
    """A change that was seen; `look_at` (monotonic): when its file may be complete; `line`: its ledger line, then."""

    name: str
    change: Change
    stamp: Stamp
    look_at: float = 0.0
    origin: str = ""
    line: Entry | None = None
    before: Entry | None = None


decode_line = msgspec.json.Decoder(Entry).decode
encode_line = msgspec.json.Encoder().encode


class Changes:
    """Of one folder. `complete` is for the reader to empty; `lines` are those of the ledger that no event carries."""

    def __init__(self, wanted: Iterable[Change], stable_s: float) -> None:
        self._wanted = frozenset(wanted)
        self._stable_s = stable_s
        self.ledger: dict[str, Entry] = {}
        self.waiting: dict[str, Changed] = {}
        self.complete: deque[Changed] = deque()
        self.lines: dict[str, Entry] = {}

    def note(self, name: str, line: Entry) -> None:
        """A line without an event."""
        self.ledger[name] = self.lines[name] = line

    def known_under(self, folder: str) -> set[str]:
        """Files that are there, or seem to be coming, below a folder ("" is the root)."""
        prefix = f"{folder}/" if folder else ""
        there = {name for name, line in self.ledger.items() if line.there and name.startswith(prefix)}
        return there.union(name for name in self.waiting if name.startswith(prefix))

    def differing(
        self, found: Iterable[tuple[str, tuple[int, int, int]]], folder: str
    ) -> tuple[dict[str, Stamp], set[str]]:
        """Of what a walk finds below a folder, what is not as the ledger has it; and what is gone. Changes nothing.

        What has the version of something gone comes first: it was moved.
        """
        other: dict[str, Stamp] = {}
        gone = self.known_under(folder)
        for name, version in found:
            gone.discard(name)
            line = self.ledger.get(name)
            known = line is not None and line.there and (line.inode, line.size, line.mtime_ns) == version
            if not known or name in self.waiting:
                other[name] = Stamp(*version)
        if gone and other:
            left = {line.stamp for name in gone if (line := self.ledger.get(name)) is not None and line.there}
            other = dict(sorted(other.items(), key=lambda item: item[1] not in left))
        return other, gone

    def known_within(self, gone: set[str]) -> set[str]:
        """Known files that are named, or that lie in a folder that is."""
        folders = {name for name in gone if name not in self.ledger and name not in self.waiting}
        found = gone - folders
        if folders:
            for name in self.known_under(""):
                parts = name.split("/")
                if any("/".join(parts[:i]) in folders for i in range(1, len(parts))):
                    found.add(name)
        return found

    def compare(
        self, found: Mapping[str, Stamp], gone: Iterable[str], now: float, told: Mapping[str, int] | None = None
    ) -> None:
        """Set what is there against the ledger. `told`: what the watch said of a name, ADDED and DELETED as bits."""
        left: dict[str, Entry] = {}
        for name in gone:
            self.waiting.pop(name, None)
            line = self.ledger.get(name)
            if line is not None and line.there:
                left[name] = line
        by_stamp = {line.stamp: name for name, line in left.items()}
        for name, stamp in found.items():
            line = self.ledger.get(name)
            if line is not None and line.there:
                if line.stamp == stamp:
                    self.waiting.pop(name, None)
                else:
                    self._wait(self._kind(line, stamp, told.get(name, 0) if told else 0), name, stamp, now)
                continue
            origin = by_stamp.get(stamp)
            if origin is not None and origin in left:
                self._moved(left.pop(origin), origin, name, stamp)
            else:
                self._wait("created", name, stamp, now)
        for name, line in left.items():
            last = Entry(*line.stamp, line.appeared, False)
            if "deleted" in self._wanted:
                self._finish(Changed(name, "deleted", line.stamp, line=last))
            else:
                self.note(name, last)

    def _kind(self, line: Entry, stamp: Stamp, told: int) -> Change:
        """Of a known file with another version: written to, put in its place, or removed and come anew."""
        if told & DELETED and told & ADDED and "created" in self._wanted:
            return "created"
        replaced = line.inode != stamp.inode or told & ADDED
        return "created" if replaced and "modified" not in self._wanted else "modified"

    def _moved(self, old: Entry, origin: str, name: str, stamp: Stamp) -> None:
        """The same file under another name: complete already, and no new file for who asked for those."""
        self.note(origin, Entry(*old.stamp, old.appeared, False))
        line = Entry(*stamp, self._appeared(name) + 1)
        if "moved" in self._wanted:
            self._finish(Changed(name, "moved", stamp, origin=origin, line=line))
        else:
            self.note(name, line)

    def _wait(self, change: Change, name: str, stamp: Stamp, now: float) -> None:
        if change not in self._wanted:
            self.note(name, Entry(*stamp, max(1, self._appeared(name))))
            return
        waiting = self.waiting.get(name)
        if waiting is None:
            self.waiting[name] = Changed(name, change, stamp, now + self._stable_s)
        elif waiting.stamp != stamp:
            waiting.stamp, waiting.look_at = stamp, now + self._stable_s

    def ripened(self, ripe: Iterable[tuple[Changed, Stamp | None, float]], now: float) -> list[str]:
        """What waited, its version now (None: gone), and in how many seconds to look again (0: it is ready).

        Unchanged and ready is complete, oldest first. Gives the names of those that are gone.
        """
        complete: list[Changed] = []
        gone: list[str] = []
        for each, stamp, wait in ripe:
            if self.waiting.get(each.name) is not each:
                continue
            if stamp is None:
                del self.waiting[each.name]
                gone.append(each.name)
            elif stamp != each.stamp:
                each.stamp, each.look_at = stamp, now + self._stable_s
            elif wait:
                each.look_at = now + wait
            else:
                del self.waiting[each.name]
                each.line = Entry(*stamp, self._appeared(each.name) + (each.change != "modified"))
                complete.append(each)
        for each in sorted(complete, key=lambda each: each.stamp.mtime_ns):
            self._finish(each)
        return gone

    def _finish(self, changed: Changed) -> None:
        assert changed.line is not None
        changed.before = self.ledger.get(changed.name)
        self.ledger[changed.name] = changed.line
        self.lines.pop(changed.name, None)
        self.complete.append(changed)

    def undo(self, changed: Changed, now: float) -> None:
        """It turned out not to be complete: it waits again."""
        if self.ledger.get(changed.name) is changed.line:
            if changed.before is None:
                del self.ledger[changed.name]
            else:
                self.ledger[changed.name] = changed.before
            changed.look_at, changed.line = now, None
            self.waiting.setdefault(changed.name, changed)

    def _appeared(self, name: str) -> int:
        line = self.ledger.get(name)
        return line.appeared if line is not None else 0
