"""The ledger against a model: whatever happens between scans and crashes, the events tell what is in the folder."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st

from reactor.triggers.file_changes import Changed, Changes, Entry, decode_line, encode_line
from reactor.triggers.file_tree import ADDED, DELETED, Names, Stamp, Tree

NAMES = st.sampled_from(["a", "b", "c", "d/a", "d/b"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("replace"), NAMES),
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("scan"), st.integers(0, 5)),
        st.tuples(st.just("crash")),
    ),
    max_size=25,
)


class World:
    """A folder, its trigger's state, and the store: marks, and a mirror that the events build."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "d").mkdir()
        self.tree = Tree(root, Names("*", [], None), recursive=True, follow_symlinks=False)
        self.changes = Changes(["created", "modified", "deleted", "moved"], 0.0)
        self.marks: dict[str, bytes] = {}
        self.mirror: dict[str, tuple[int, int]] = {}
        self.ids: set[tuple[object, ...]] = set()
        self.tick = 1_700_000_000

    def do(self, step: Sequence[object]) -> None:
        what, *names = step
        path = self.root / str(names[0]) if names else self.root
        if what == "write":
            path.write_text("x" * (self.tick % 3))
            self.touch(path)
        elif what == "replace":
            (self.root / "new").write_text("y")
            self.touch(self.root / "new")
            (self.root / "new").rename(path)
        elif what == "remove" and path.exists():
            path.unlink()
        elif what == "rename" and path.exists():
            path.rename(self.root / str(names[1]))
        elif what == "scan":
            self.scan(int(str(names[0])))
        elif what == "crash":
            self.changes = Changes(["created", "modified", "deleted", "moved"], 0.0)
            self.changes.ledger = {name: decode_line(value) for name, value in self.marks.items()}

    def touch(self, path: Path) -> None:
        """Every version has its own time, as on a disk that is not faster than its clock."""
        self.tick += 1
        os.utime(path, (self.tick, self.tick))

    def scan(self, accepted: int) -> None:
        """Look at everything; the store takes at most so many of the events."""
        found, gone = self.changes.differing(self.tree.walk(), "")
        self.changes.compare(found, gone, 0.0)
        waiting = list(self.changes.waiting.values())
        self.changes.ripened([(each, self.tree.look(each.name), 0.0) for each in waiting], 0.0)
        while self.changes.complete and accepted:
            accepted -= 1
            self.accept(self.changes.complete.popleft())
        if accepted:
            self.marks |= {name: encode_line(line) for name, line in self.changes.lines.items()}
            self.changes.lines.clear()

    def accept(self, changed: Changed) -> None:
        assert changed.line is not None
        id = (changed.name, changed.stamp.mtime_ns, changed.stamp.size, changed.change, changed.line.appeared)
        self.marks[changed.name] = encode_line(changed.line)
        if id in self.ids:
            return  # a duplicate, for the intake
        self.ids.add(id)
        if changed.change == "moved":
            self.mirror.pop(changed.origin, None)
        if changed.change == "deleted":
            self.mirror.pop(changed.name, None)
        else:
            self.mirror[changed.name] = (changed.stamp.size, changed.stamp.mtime_ns)


BACK_AND_FORTH = [
    ("write", "a"),
    ("scan", 5),
    *[("rename", "a", "b"), ("scan", 5), ("rename", "b", "a"), ("scan", 5)] * 2,
]


@settings(max_examples=300)
@example(BACK_AND_FORTH[:-2])
@given(STEPS)
def test_the_events_tell_what_is_there(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        world = World(Path(root))
        for step in steps:
            world.do(step)
        for _ in range(3):
            world.scan(1_000)
        there = {name: (stamp.size, stamp.mtime_ns) for name, stamp in world.tree.scan().items()}
        assert world.mirror == there
        before = len(world.ids)
        world.do(("crash",))
        world.scan(1_000)
        assert len(world.ids) == before, "nothing is told twice after a restart"


def known(wanted: list[str], inode: int = 1) -> Changes:
    changes = Changes(wanted, 1.0)  # type: ignore[arg-type]  # plain text, as a config has it
    changes.ledger["a"] = Entry(inode, 5, 100, 1)
    return changes


@pytest.mark.parametrize(
    ("wanted", "inode", "told", "change"),
    [
        (["created"], 1, 0, None),
        (["created"], 2, 0, "created"),
        (["created"], 1, DELETED | ADDED, "created"),
        (["created"], 1, ADDED, "created"),
        (["modified"], 2, 0, "modified"),
        (["modified"], 1, DELETED | ADDED, "modified"),
        (["created", "modified"], 1, 0, "modified"),
        (["created", "modified"], 2, ADDED, "modified"),
        (["created", "modified"], 2, DELETED | ADDED, "created"),
        (["deleted"], 2, 0, None),
    ],
)
def test_another_version_of_a_known_file(wanted: list[str], inode: int, told: int, change: str | None) -> None:
    changes = known(wanted)
    changes.compare({"a": Stamp(inode, 6, 200)}, (), 0.0, {"a": told})
    assert ({name: each.change for name, each in changes.waiting.items()}.get("a")) == change
    if change is None:
        assert changes.lines == {"a": Entry(inode, 6, 200, 1)}, "known from now on, without an event"


def test_a_growing_file_waits_until_it_rests() -> None:
    changes = Changes(["created"], 1.0)
    changes.compare({"a": Stamp(1, 1, 1)}, (), 10.0)
    waiting = changes.waiting["a"]
    assert waiting.look_at == 11.0
    assert changes.ripened([(waiting, Stamp(1, 2, 2), 0.0)], 11.0) == []
    assert (waiting.look_at, list(changes.complete)) == (12.0, [])
    assert changes.ripened([(waiting, Stamp(1, 2, 2), 0.5)], 12.0) == []
    assert waiting.look_at == 12.5
    assert changes.ripened([(waiting, None, 0.0)], 12.5) == ["a"]
    assert (changes.waiting, list(changes.complete), changes.ledger) == ({}, [], {})


def test_what_was_not_complete_after_all_waits_again() -> None:
    changes = Changes(["created"], 0.0)
    changes.compare({"a": Stamp(1, 1, 1)}, (), 0.0)
    changes.ripened([(changes.waiting["a"], Stamp(1, 1, 1), 0.0)], 0.0)
    changes.undo(changes.complete.popleft(), 5.0)
    assert (changes.ledger, changes.waiting["a"].look_at, changes.waiting["a"].change) == ({}, 5.0, "created")
