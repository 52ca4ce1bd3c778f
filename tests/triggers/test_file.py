"""The file trigger on a real file system."""

import asyncio
import base64
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import ConfigError, NotConnected
from reactor.core.event import Delivery, Event, Settlement, Undecodable
from reactor.language.definition import TriggerSpec
from reactor.tests.waiting import until
from reactor.triggers.catalogue import Kinds
from reactor.triggers.contract import TriggerContext
from reactor.triggers.file import LOOK_S, FileTrigger, _read
from reactor.triggers.file_tree import Names, Tree
from reactor.triggers.supervisor import Supervisor

QUICK = {"stable": "40ms"}


class Reader:
    """Reads one folder as the supervisor would, and keeps what the store would keep."""

    def __init__(self, path: Path, **config: Any) -> None:
        common = {key: config.pop(key) for key in ("start", "schema", "max_bytes", "id") if key in config}
        self.config = {"path": str(path), "ready": QUICK, **config}
        self.spec = TriggerSpec(name="inbox", kind="file", config=self.config, **common)
        self.marks: dict[str, bytes] = {}
        self.events: list[Event | Undecodable] = []
        self.refuse = 0
        self.lost: NotConnected | None = None
        self.task: asyncio.Task[None] | None = None
        self.trigger: FileTrigger | None = None

    async def start(self) -> "Reader":
        self.trigger = FileTrigger(
            Kinds().config("file", self.config),
            TriggerContext(name="inbox", spec=self.spec, marks=self.marks),
        )
        await self.trigger.connect()
        self.task = asyncio.ensure_future(self._read(self.trigger))
        return self

    async def stop(self) -> None:
        if self.task is not None and self.trigger is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            await self.trigger.close()
            self.task = None

    async def _read(self, trigger: FileTrigger) -> None:
        while True:
            try:
                await self._accept(await trigger.read())
            except NotConnected as lost:
                self.lost = lost
                await asyncio.sleep(0.05)
                try:
                    await trigger.connect()
                    self.lost = None
                except NotConnected:
                    continue

    async def _accept(self, delivery: Delivery) -> None:
        if self.refuse:
            self.refuse -= 1
            await delivery.settle(Settlement(again=True))
            return
        for mark in delivery.marks:
            assert mark.scope == "inbox"
            assert mark.value is not None
            self.marks[mark.key] = mark.value
        self.events += delivery.events
        await delivery.settle(Settlement())

    @property
    def seen(self) -> list[str]:
        return [f"{e.data['change']} {e.subject}" for e in self.events if isinstance(e, Event)]

    async def until(self, condition: Callable[[], Any], limit_s: float = 10.0) -> None:
        await until(condition, limit_s)

    async def sees(self, *expected: str) -> None:
        """Exactly these, in any order."""
        try:
            await self.until(lambda: len(self.seen) >= len(expected))
        except TimeoutError:
            pass
        assert sorted(self.seen) == sorted(expected)

    async def quiet(self) -> None:
        """Nothing is on its way any more: everything was looked at, and nothing waits."""
        assert self.trigger is not None
        trigger = self.trigger
        trigger._rescans = [(0.0, "")]
        trigger._stir()
        await self.until(lambda: trigger._rescans and trigger._rescans[0][0] > 0 and not trigger._changes.waiting)
        await self.until(lambda: not trigger._changes.complete and not trigger._changes.lines)


@pytest.fixture
async def watching(tmp_path: Path) -> AsyncIterator[Any]:
    made: list[Reader] = []

    async def start(**config: Any) -> Reader:
        (tmp_path / "inbox").mkdir(exist_ok=True)
        made.append(Reader(tmp_path / "inbox", **config))
        await made[-1].start()
        await made[-1].until(lambda: "." in made[-1].marks)
        return made[-1]

    yield start
    for reader in made:
        await reader.stop()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir(exist_ok=True)
    return tmp_path / "inbox"


@pytest.mark.req("T-FILE-1")
async def test_a_new_file_is_an_event(watching: Any, inbox: Path) -> None:
    r = await watching(glob="*.csv")
    (inbox / "a.txt").write_text("no")
    (inbox / "a.csv").write_text("1,2\n")
    await r.sees("created a.csv")
    event = r.events[0]
    mtime = str(event.data["mtime"])
    assert (event.source, event.type, event.subject, event.time) == (
        "/file/inbox",
        "reactor.file.created",
        "a.csv",
        mtime,
    )
    assert event.data == {
        "path": str(inbox / "a.csv"),
        "name": "a.csv",
        "dir": str(inbox),
        "size": 4,
        "mtime": mtime,
        "change": "created",
    }
    assert event.meta == {"trigger": "inbox"}


@pytest.mark.req("T-FILE-2")
async def test_a_slow_writer_gives_one_event_when_it_is_complete(watching: Any, inbox: Path) -> None:
    r = await watching(ready={"stable": "300ms"}, read="text")
    with (inbox / "a.csv").open("w") as file:
        for part in range(10):
            file.write(f"{part}")
            file.flush()
            await asyncio.sleep(0.1)
    await r.sees("created a.csv")
    assert r.events[0].data["content"] == "0123456789"


@pytest.mark.req("T-FILE-2")
async def test_a_restart_runs_nothing_twice_and_misses_nothing(watching: Any, inbox: Path) -> None:
    r = await watching()
    (inbox / "a").write_text("a")
    await r.sees("created a")
    await r.stop()
    (inbox / "b").write_text("b")
    await r.start()
    await r.sees("created a", "created b")
    await r.quiet()
    await r.sees("created a", "created b")


async def test_what_was_there_at_the_first_start_is_old(watching: Any, inbox: Path) -> None:
    for number in range(1200):
        (inbox / f"old{number}").touch()
    r = await watching()
    (inbox / "new").touch()
    await r.sees("created new")
    assert len(r.marks) == 1202
    await r.stop()
    await r.start()
    await r.quiet()
    assert r.seen == ["created new"]


async def test_unless_everything_is_wanted(watching: Any, inbox: Path) -> None:
    (inbox / "old").touch()
    r = await watching(start="earliest")
    await r.sees("created old")


async def test_all_four_changes(watching: Any, inbox: Path) -> None:
    r = await watching(events=["created", "modified", "deleted", "moved"])
    (inbox / "a").write_text("1")
    await r.sees("created a")
    (inbox / "a").write_text("22")
    await r.sees("created a", "modified a")
    (inbox / "a").rename(inbox / "b")
    await r.sees("created a", "modified a", "moved b")
    assert r.events[-1].data["from"] == str(inbox / "a")
    (inbox / "b").unlink()
    await r.sees("created a", "modified a", "moved b", "deleted b")
    assert r.events[-1].data["size"] == 2
    assert len({event.id for event in r.events}) == 4


async def test_a_name_that_comes_again_is_new(watching: Any, inbox: Path) -> None:
    r = await watching()
    other = inbox.parent / "done"
    (inbox / "a").write_text("1")
    await r.sees("created a")
    shutil.move(inbox / "a", other)
    await r.until(lambda: r.marks and b"false" in r.marks["a"])
    shutil.move(other, inbox / "a")
    await r.sees("created a", "created a")
    first, second = r.events
    assert first.data == second.data, "the same bytes with the same times"
    assert first.id != second.id


async def test_removed_and_made_anew_within_a_moment(watching: Any, inbox: Path) -> None:
    r = await watching()
    (inbox / "a").write_text("1")
    await r.sees("created a")
    (inbox / "a").unlink()
    (inbox / "a").write_text("22")
    await r.sees("created a", "created a")


async def test_an_atomic_replacement(watching: Any, inbox: Path) -> None:
    r = await watching(events=["modified"])
    (inbox / "a").write_text("1")
    await r.quiet()
    (inbox / ".a.tmp").write_text("22")
    (inbox / ".a.tmp").rename(inbox / "a")
    await r.sees("modified a")


async def test_a_rename_within_the_folder_is_no_new_file(watching: Any, inbox: Path) -> None:
    r = await watching(recursive=True)
    (inbox / "a").write_text("1")
    await r.sees("created a")
    (inbox / "sub").mkdir()
    (inbox / "a").rename(inbox / "sub" / "b")
    await r.until(lambda: "sub/b" in r.marks)
    (inbox / "c.part").write_text("1")
    (inbox / "c.part").rename(inbox / "c")
    await r.sees("created a", "created c")


@pytest.mark.req("T-FILE-3")
async def test_folders_within(watching: Any, inbox: Path) -> None:
    r = await watching(recursive=True, glob="*.csv", ignore=["skip", "old/*"])
    deep = inbox / "x" / "y"
    deep.mkdir(parents=True)
    (deep / "a.csv").touch()
    for ignored in ("skip", "old"):
        (inbox / ignored).mkdir()
        (inbox / ignored / "no.csv").touch()
    await r.sees("created x/y/a.csv")
    (deep / "b.csv").touch()
    await r.sees("created x/y/a.csv", "created x/y/b.csv")


async def test_a_moved_folder_moves_its_files(watching: Any, inbox: Path) -> None:
    r = await watching(recursive=True, events=["created", "moved", "deleted"])
    (inbox / "x").mkdir()
    (inbox / "x" / "a").touch()
    await r.sees("created x/a")
    (inbox / "x").rename(inbox / "y")
    await r.sees("created x/a", "moved y/a")
    (inbox / "y").rename(inbox.parent / "away")
    await r.sees("created x/a", "moved y/a", "deleted y/a")


async def test_without_recursive_only_the_folder_itself(watching: Any, inbox: Path) -> None:
    r = await watching()
    (inbox / "x").mkdir()
    (inbox / "x" / "a").touch()
    (inbox / "b").touch()
    await r.sees("created b")


@pytest.mark.req("T-FILE-3")
async def test_polling_needs_no_notices(watching: Any, inbox: Path) -> None:
    r = await watching(force_polling=True, poll="100ms", recursive=True, events=["created", "modified", "deleted"])
    assert r.trigger._watch is None
    (inbox / "x").mkdir()
    (inbox / "x" / "a").write_text("1")
    await r.sees("created x/a")
    (inbox / "x" / "a").write_text("22")
    await r.sees("created x/a", "modified x/a")
    shutil.rmtree(inbox / "x")
    await r.sees("created x/a", "modified x/a", "deleted x/a")


async def test_a_root_that_is_removed_and_made_again(watching: Any, inbox: Path) -> None:
    r = await watching()
    (inbox / "a").touch()
    await r.sees("created a")
    shutil.rmtree(inbox)
    await r.until(lambda: r.lost)
    assert str(r.lost) == f"the folder {inbox} was removed" or str(r.lost).startswith(
        f"the folder {inbox} cannot be read"
    )
    inbox.mkdir()
    (inbox / "b").touch()
    await r.sees("created a", "created b")
    inbox.rename(inbox.parent / "elsewhere")
    inbox.mkdir()
    (inbox / "c").touch()
    await r.sees("created a", "created b", "created c")


async def test_no_such_folder(tmp_path: Path) -> None:
    trigger = Reader(tmp_path / "nowhere")
    with pytest.raises(NotConnected) as caught:
        await trigger.start()
    assert str(caught.value) == f"the folder {tmp_path / 'nowhere'} cannot be read: No such file or directory"
    assert caught.value.hint == "make it, or correct `path`"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as refused:
        await Reader(tmp_path / "file").start()
    assert str(refused.value) == f"{tmp_path / 'file'} is no folder"


async def test_a_folder_that_is_made_later_is_seen_to_come(tmp_path: Path) -> None:
    made = Reader(tmp_path / "deep" / "inbox")
    with pytest.raises(NotConnected):
        await made.start()
    assert made.trigger is not None
    coming = asyncio.ensure_future(made.trigger.comes())
    (tmp_path / "deep").mkdir()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(coming), 1.5 * LOOK_S)
    (tmp_path / "deep" / "inbox").mkdir()
    await asyncio.wait_for(coming, 20)
    await made.trigger.connect()
    there = asyncio.ensure_future(made.trigger.comes())  # it is there, and nothing to look for
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(there, 0.2)
    await made.trigger.close()


async def test_files_of_a_folder_that_is_made_long_after_the_start_are_taken_within_two_seconds(tmp_path: Path) -> None:
    taken: list[float] = []
    loop = asyncio.get_running_loop()

    async def publish(name: str, delivery: Delivery) -> None:
        taken.extend(loop.time() for _ in delivery.events)
        await delivery.settle(Settlement())

    async def marks(scope: str) -> dict[str, bytes]:
        return {}

    config = {"path": str(tmp_path / "inbox"), "ready": QUICK}
    reconnect = {"delay_s": 60.0, "factor": 1.0, "max_delay_s": 60.0, "jitter": False}
    supervisor = Supervisor(publish, read_marks=marks, connections=lambda kind, name: None)
    await supervisor.apply({"inbox": TriggerSpec(name="inbox", kind="file", config=config, reconnect=reconnect)})
    await until(lambda: [each.state for each in supervisor.status()] == ["down"])
    begun = loop.time()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a").touch()
    await until(lambda: taken)
    assert taken[0] - begun < 5.0  # of the sixty
    await supervisor.close()


async def test_all_is_new_in_a_folder_that_comes_after_the_first_start(tmp_path: Path) -> None:
    trigger = Reader(tmp_path / "inbox")
    with pytest.raises(NotConnected):
        await trigger.start()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a").touch()
    assert trigger.trigger is not None
    await trigger.trigger.connect()
    trigger.task = asyncio.ensure_future(trigger._read(trigger.trigger))
    await trigger.sees("created a")
    await trigger.stop()


async def test_a_sentinel_says_when(watching: Any, inbox: Path) -> None:
    r = await watching(ready={"stable": "20ms", "sentinel": "*.done"})
    (inbox / "a.csv").touch()
    (inbox / "b.csv").touch()
    await r.until(lambda: len(r.trigger._changes.waiting) == 2)
    (inbox / "a.csv.done").touch()
    await r.sees("created a.csv")
    (inbox / "b.done").touch()
    await r.sees("created a.csv", "created b.csv")


async def test_a_locked_file_waits(watching: Any, inbox: Path) -> None:
    r = await watching(ready={"stable": "20ms", "lock": True})
    with (inbox / "a").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (inbox / "b").touch()
        await r.sees("created b")
        fcntl.flock(file, fcntl.LOCK_UN)
        await r.sees("created a", "created b")


async def test_a_young_file_waits(watching: Any, inbox: Path) -> None:
    r = await watching(ready={"stable": "0s", "min_age": "2s"})
    (inbox / "young").touch()
    (inbox / "old").touch()
    os.utime(inbox / "old", (1_700_000_000, 1_700_000_000))
    await r.sees("created old")
    await r.until(lambda: len(r.seen) == 2)


async def test_in_order_of_their_times(watching: Any, inbox: Path) -> None:
    r = await watching()
    await r.stop()
    for number in (3, 1, 2):
        (inbox / str(number)).touch()
        os.utime(inbox / str(number), (1_700_000_000 + number, 1_700_000_000 + number))
    await r.start()
    await r.until(lambda: len(r.seen) == 3)
    assert r.seen == ["created 1", "created 2", "created 3"]


@pytest.mark.parametrize(
    ("how", "content"), [("text", '{"a": 1}'), ("json", {"a": 1}), ("base64", base64.b64encode(b'{"a": 1}').decode())]
)
async def test_the_content(watching: Any, inbox: Path, how: str, content: Any) -> None:
    r = await watching(read=how, hash=True)
    (inbox / "a").write_bytes(b'{"a": 1}')
    await r.sees("created a")
    assert r.events[0].data["content"] == content
    assert r.events[0].data["sha256"] == hashlib.sha256(b'{"a": 1}').hexdigest()


async def test_what_cannot_be_read_is_a_dead_letter_once(watching: Any, inbox: Path) -> None:
    r = await watching(read="json", max_bytes=1024)
    (inbox / "bad").write_bytes(b"{not")
    (inbox / "big").write_bytes(b" " * 1025)
    (inbox / "good").write_bytes(b"[]")
    await r.sees("created good")
    await r.until(lambda: len(r.events) == 3)
    dead = {event.meta["name"]: event for event in r.events if isinstance(event, Undecodable)}
    assert (dead["bad"].reason.code, dead["bad"].raw) == ("invalid_data", b"{not")
    assert dead["bad"].reason.message.startswith("the file is not valid JSON: ")
    assert (dead["big"].reason.code, dead["big"].raw) == ("too_large", b"")
    assert dead["big"].reason.message == "the file has 1025 bytes; the trigger reads at most 1KiB"
    await r.stop()
    await r.start()
    await r.quiet()
    assert len(r.events) == 3


async def test_a_schema_on_the_content(watching: Any, inbox: Path) -> None:
    schema = {"properties": {"content": {"required": ["order"]}}}
    r = await watching(read="json", schema=schema)
    (inbox / "a").write_text('{"order": 1}')
    (inbox / "b").write_text("{}")
    await r.until(lambda: len(r.events) == 2)
    assert r.seen == ["created a"]


async def test_a_refused_file_comes_again_with_its_id(watching: Any, inbox: Path) -> None:
    r = await watching()
    r.refuse = 2
    (inbox / "a").touch()
    await r.sees("created a")
    await r.quiet()
    assert (r.seen, r.refuse) == (["created a"], 0)


async def test_ledger_lines_are_written_although_they_were_refused(watching: Any, inbox: Path) -> None:
    (inbox / "old").touch()
    reader = Reader(inbox)
    reader.refuse = 2
    await reader.start()
    await reader.until(lambda: len(reader.marks) == 2)
    await reader.stop()


async def test_names_that_are_no_utf8(watching: Any, inbox: Path) -> None:
    r = await watching(read="text")
    with open(os.path.join(os.fsencode(inbox), b"caf\xe9.txt"), "wb") as file:
        file.write(b"hello")
    await r.sees("created caf\\xe9.txt")
    assert r.events[0].data["content"] == "hello"
    os.unlink(os.path.join(os.fsencode(inbox), b"caf\xe9.txt"))
    await r.until(lambda: b"false" in r.marks["caf\\xe9.txt"])


async def test_links_are_followed_when_asked(watching: Any, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").touch()
    (tmp_path / "outside" / "up").symlink_to(inbox)
    r = await watching(recursive=True, follow_symlinks=True, force_polling=True, poll="100ms")
    (inbox / "link").symlink_to(tmp_path / "outside")
    await r.sees("created link/a")
    (inbox / "b").touch()
    await r.until(lambda: "created b" in r.seen)


async def test_links_are_left_alone_otherwise(watching: Any, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").touch()
    r = await watching()
    (inbox / "link").symlink_to(tmp_path / "outside")
    (inbox / "b").touch()
    await r.sees("created b")


async def test_a_file_that_cannot_be_read_waits_and_the_log_says_so_once(
    watching: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []
    opened = Tree.opened

    def refused(tree: Tree, name: str) -> Any:
        if name != "a":
            return opened(tree, name)
        tries.append(name)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Tree, "opened", refused)
    r = await watching(read="text")
    for name in ("a", "b"):
        (inbox / name).write_text(name)
    await r.until(lambda: r.seen == ["created b"] and len(tries) > 2)
    assert caplog.messages == [f"trigger inbox: the file {inbox / 'a'} cannot be read: Permission denied; it waits"]
    monkeypatch.setattr(Tree, "opened", opened)
    await r.sees("created a", "created b")


async def test_a_linked_folder_is_left_alone_and_so_is_all_below_it(watching: Any, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "secret").touch()
    r = await watching(recursive=True)
    (inbox / "link").symlink_to(tmp_path / "outside")
    (inbox / "loop").symlink_to(inbox)
    (inbox / "own").mkdir()
    (inbox / "own" / "a").touch()
    await r.until(lambda: "created own/a" in r.seen)
    (inbox / "own" / "b").touch()  # a watch that follows links tells of it below `loop` too
    (tmp_path / "outside" / "deep" / "later").touch()
    await r.until(lambda: "created own/b" in r.seen)
    tree = r.trigger._tree
    assert [tree.look(name) for name in ("link/secret", "link/deep/later", "loop/own/a")] == [None] * 3
    assert not any(tree.is_folder(name) for name in ("link", "link/deep", "loop", "loop/own"))
    await r.quiet()
    await r.sees("created own/a", "created own/b")


def test_what_stands_in_the_place_of_the_version_that_was_seen_is_not_read(inbox: Path) -> None:
    (inbox / "a").write_text("mine")
    tree = Tree(inbox, Names("*", [], None), recursive=False, follow_symlinks=False)
    seen = tree.look("a")
    assert seen is not None
    (inbox / "a").rename(inbox / "b")
    (inbox / "a").symlink_to(inbox / "b")
    assert _read(tree, "a", seen, False, True) is None
    (inbox / "a").unlink()
    os.mkfifo(inbox / "a")
    assert _read(tree, "a", seen, False, True) is None  # and nobody waits for its writer


async def test_a_burst_in_new_folders_is_seen_whole(watching: Any, inbox: Path) -> None:
    r = await watching(recursive=True)

    def burst() -> None:
        for folder in range(40):
            (inbox / f"d{folder}" / "deep").mkdir(parents=True)
            for number in range(25):
                (inbox / f"d{folder}" / "deep" / f"f{number}").touch()

    await asyncio.to_thread(burst)
    await r.until(lambda: len(r.seen) >= 1000)
    await r.quiet()
    assert len(r.seen) == len(set(r.seen)) == 1000


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ({}, "path", "is required and missing"),
        ({"path": "in", "glb": "*"}, "glb", "unknown key `glb`"),
        ({"path": "in", "events": []}, "events", "must not be empty"),
        (
            {"path": "in", "events": ["create"]},
            "events[0]",
            'expected one of created, modified, deleted, moved; found "create"',
        ),
        ({"path": "in", "ready": {"stable": "2h"}}, "ready.stable", "must be at most 1h"),
        ({"path": "in", "poll": "10ms"}, "poll", "must be at least 100ms"),
    ],
)
def test_faults_of_a_config(config: Any, path: str, message: str) -> None:
    faults = Kinds().faults("file", config)
    assert [(fault.path, fault.message.startswith(message)) for fault in faults] == [(path, True)]


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "x/a.csv", True),
        ("*.csv", "a.csv.gz", False),
        ("x/*.csv", "x/a.csv", True),
        ("x/*.csv", "x/y/a.csv", False),
        ("x/**/*.csv", "x/y/z/a.csv", True),
        ("x/**/*.csv", "x/a.csv", True),
        ("**", "x/a", True),
        ("a?[0-9]", "ab7", True),
        ("a[!0-9]", "a7", False),
        ("a[", "a[", True),
        ("(a|b)", "a", False),
    ],
)
def test_globs(glob: str, name: str, matches: bool) -> None:
    from reactor.triggers.file_tree import Names

    assert Names(glob, [], None).wanted(name) is matches
