"""A folder -> events for files that were created, modified, deleted or moved, each version once.

Promise: effectively once per version of a file; by mtime within a scan; found again by a scan after any time away. What
is in the folder and in the ledger (the trigger's marks) decides, not the operating system's notices: those say where to
look soon. Source: triggers.md section 3; the library's traps in dependencies.md section 5.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from ..connections.fields import Keys
from ..core.durations import format_instant, format_size
from ..core.errors import NotConnected, PermanentError
from ..core.event import Delivery, Event, InvalidEvent, Mark, Settlement, Undecodable
from ..core.ids import digest
from .contract import Duration, Traits, TriggerConfig, TriggerContext
from .file_changes import Change, Changed, Changes, Entry, decode_line, encode_line
from .file_tree import ADDED, Names, Stamp, Tree, Watch, is_locked
from .isolation import within
from .shape import Shaper

STARTED = "."
"""The mark that says: this is not the first start. No file has this name."""

TOMBSTONE_S = 100 * 86_400.0
"""How long a file that went is remembered: its next coming has another id. Over the longest `retention.dedupe`."""

MARKS_AT_ONCE = 500
AT_ONCE = 1_000
"""Files compared in one turn of the loop, which is shared."""
RESCANS_S = (0.3, 1.5)
"""When an added folder is looked through again: the kernel tells nothing of what came before it watched it."""
TOLD_MAX = 1_000  # files that cannot be read are named in the log up to so many
RETRY_S = 0.5  # for what is not ready for another reason than time
LOOK_S = 1.0  # so often a folder that is missing is looked for

_log = logging.getLogger("reactor.triggers")


class Ready(Keys):
    """When a file is complete; all that are given must hold."""

    stable: Duration = Field(default=1.0, ge=0, le=3600, description="size, mtime and inode unchanged for so long")
    min_age: Duration = Field(default=0.0, ge=0, le=86_400, description="since its mtime")
    sentinel: str | None = Field(default=None, min_length=1, examples=["*.done"], description="* is the file's name")
    lock: bool = Field(default=False, description="nobody holds a lock on it")


class FileConfig(TriggerConfig):
    """`file`: a folder, and which of its files are events."""

    path: str = Field(min_length=1, examples=["inbox"])
    glob: str = Field(default="*", min_length=1, examples=["*.csv", "**/in/*.xml"])
    ignore: list[str] = Field(default_factory=lambda: [".*", "*~", "*.tmp", "*.part"])
    recursive: bool = False
    events: list[Change] = Field(default_factory=lambda: ["created"], min_length=1)
    ready: Ready = Ready()
    read: Literal["none", "text", "json", "base64"] = "none"
    hash: bool = False
    force_polling: bool = False
    poll: Duration = Field(default=1.0, ge=0.1, le=3600)
    scan: Duration = Field(default=60.0, ge=1, le=86_400)
    follow_symlinks: bool = False


class FileTrigger:
    """Watches one folder."""

    Config = FileConfig
    traits: ClassVar[Traits] = Traits(acknowledges=True, stable_ids=True, ordered=False, replays=True, shared=False)

    def __init__(self, config: FileConfig, context: TriggerContext) -> None:
        self._config = config
        self._context = context
        self._clock = context.clock
        self._names = Names(config.glob, config.ignore, config.ready.sentinel)
        root = Path(os.path.abspath(os.path.join(context.project, os.path.expanduser(config.path))))
        self._tree = Tree(root, self._names, recursive=config.recursive, follow_symlinks=config.follow_symlinks)
        self._shaper = Shaper(context.spec, clock=context.clock)
        self._changes = Changes(config.events, config.ready.stable)
        self._started = False  # is what was there at the first start in the ledger?
        self._came_later = False  # was there no folder yet when it was first looked for? then all in it is new
        self._missing = False  # was there no folder when it was last looked for?
        self._loaded = False
        self._watch: Watch | None = None
        self._lost = False
        self._again: deque[Delivery] = deque()
        self._unreadable: set[str] = set()  # paths of which the log has it
        self._touched: dict[str, int] = {}  # told by the watch and not yet looked at
        self._rescans: list[tuple[float, str]] = []
        self._wake: asyncio.Future[None] | None = None

    async def connect(self) -> None:
        """Watch, then compare everything with the ledger. Raises NotConnected: no such folder, no watch to be had."""
        await self.close()
        self._lost = self._missing = False
        try:
            await asyncio.to_thread(self._tree.identity)
        except NotConnected as error:
            self._missing = isinstance(error.__cause__, FileNotFoundError)
            self._came_later |= self._missing
            raise
        if not self._config.force_polling:
            loop = asyncio.get_running_loop()
            self._watch = Watch(
                self._tree,
                recursive=self._config.recursive,
                told=lambda batch: _call(loop, lambda: self._told(batch)),
                lost=lambda: _call(loop, self._root_lost),
            )
            await asyncio.to_thread(self._watch.open)
        if not self._loaded:
            marks = self._context.marks
            self._changes.ledger = {name: decode_line(value) for name, value in marks.items() if name != STARTED}
            self._started = STARTED in marks
            if not self._started and not self._came_later and self._context.spec.start != "earliest":
                for name, stamp in (await asyncio.to_thread(self._tree.scan)).items():
                    self._changes.note(name, Entry(*stamp, 1))
            self._loaded = True
        self._rescans = [(self._clock.monotonic(), "")]

    async def comes(self) -> None:
        """Return once a folder that was missing is there. Only then is it looked for, and no more once it is found."""
        if not self._missing:
            await asyncio.get_running_loop().create_future()
        while not await asyncio.to_thread(os.path.isdir, self._tree.root):
            await self._clock.sleep(LOOK_S)

    async def read(self) -> Delivery:
        """The next file that is complete. Raises NotConnected when the folder goes away."""
        changes = self._changes
        while True:
            if self._again:
                return self._again.popleft()
            if not self._started or (changes.lines and not changes.complete):
                return self._lines()
            if not changes.complete:
                await self._look()
                continue
            delivery = await self._deliver(changes.complete[0])
            changed = changes.complete.popleft()
            if delivery is not None:
                return delivery
            changes.undo(changed, self._clock.monotonic())

    async def close(self) -> None:
        """Stop watching. What is not settled is found again by the next scan."""
        watch, self._watch = self._watch, None
        if watch is not None:
            await asyncio.to_thread(watch.close)

    def details(self) -> Mapping[str, Any]:
        """How many files are known, seen and not yet complete, complete and not yet read."""
        changes = self._changes
        known = sum(line.there for line in changes.ledger.values())
        return {"known": known, "waiting": len(changes.waiting), "complete": len(changes.complete)}

    # -- what the watch tells, on the loop

    def _told(self, batch: Mapping[str, int]) -> None:
        for path, bits in batch.items():
            name = self._tree.relative(path)
            if name == "":
                self._rescans.append((self._clock.monotonic(), ""))
            elif name:
                self._touched[name] = self._touched.get(name, 0) | bits
        self._stir()

    def _root_lost(self) -> None:
        self._lost = True
        self._stir()

    def _stir(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # -- looking

    async def _look(self) -> None:
        """One turn: look where something was told or is due, else wait until it is."""
        if self._lost:
            self._missing = not await asyncio.to_thread(os.path.exists, self._tree.root)
            raise NotConnected(f"the folder {self._tree.root} was removed", hint="make it again")
        busy = bool(self._touched)
        if busy:
            touched, self._touched = self._touched, {}
            try:
                await self._look_at(touched)
            except BaseException:  # cancelled: what was told is not lost
                self._touched = {**touched, **self._touched}
                raise
        now = self._clock.monotonic()
        due = {folder for at, folder in self._rescans if at <= now}
        if due:
            await self._rescan_all(due, now)
        waiting = self._changes.waiting
        ripe = [each for each in waiting.values() if each.look_at <= now]
        if ripe:
            await self._ripen(ripe)
        if not (busy or due or ripe):
            next_at = min([each.look_at for each in waiting.values()] + [at for at, _ in self._rescans])
            self._wake = asyncio.get_running_loop().create_future()
            await within(self._clock, next_at - now, self._wake)

    async def _rescan_all(self, due: set[str], now: float) -> None:
        """Look through these folders; the root takes in all others, and is due again after `scan` (or `poll`)."""
        before, config = list(self._rescans), self._config
        for folder in ("",) if "" in due else due:
            await self._rescan(folder)
        told_meanwhile = self._rescans[len(before) :]  # they are appended only
        left = [entry for entry in before if entry[0] > now and not ("" in due and entry[1] == "")]
        self._rescans = left + told_meanwhile
        if "" in due:
            self._rescans.append((self._clock.monotonic() + (config.poll if config.force_polling else config.scan), ""))

    async def _look_at(self, touched: Mapping[str, int]) -> None:
        """What the watch told: stat each; a folder that came is looked through, and again a little later."""
        tree = self._tree

        def ask() -> tuple[dict[str, Stamp], list[str], set[str]]:
            found: dict[str, Stamp] = {}
            folders: list[str] = []
            gone: set[str] = set()
            for name, told in touched.items():
                stamp = tree.look(name) if tree.counts(name) else None
                if stamp is not None:
                    found[name] = stamp
                elif told & ADDED and tree.is_folder(name):
                    folders.append(name)
                    found.update(tree.scan(name))
                elif not os.path.lexists(tree.path(name)):
                    gone.add(name)
            return found, folders, gone

        found, folders, gone = await asyncio.to_thread(ask)
        now = self._clock.monotonic()
        self._rescans += [(now + delay, folder) for folder in folders for delay in RESCANS_S]
        if any(self._names.is_sentinel(name) for name in touched):
            for each in self._changes.waiting.values():
                each.look_at = min(each.look_at, now + self._config.ready.stable)
        self._changes.compare(found, self._changes.known_within(gone) - found.keys(), now, touched)

    async def _rescan(self, under: str) -> None:
        # The comparison is in the thread as well: a hundred thousand files would hold the loop up.
        found, gone = await asyncio.to_thread(lambda: self._changes.differing(self._tree.walk(under), under))
        names = list(found)
        for start in range(0, max(1, len(names)), AT_ONCE):
            part = {name: found[name] for name in names[start : start + AT_ONCE]}
            self._changes.compare(part, gone if not start else (), self._clock.monotonic())
            await asyncio.sleep(0)

    async def _ripen(self, ripe: list[Changed]) -> None:
        """Look again at what has waited."""
        ready, tree, wall = self._config.ready, self._tree, self._clock.now()

        def ask(name: str, before: Stamp) -> tuple[Stamp | None, float]:
            """The version now, and in how many seconds to look again (0: it is ready)."""
            stamp = tree.look(name)
            if stamp is None or stamp != before:
                return stamp, 0.0
            age, path = wall - stamp.mtime_ns / 1e9, tree.path(name)
            if age < ready.min_age:
                return stamp, ready.min_age - age + 0.001
            return stamp, RETRY_S if not tree.names.has_sentinel(path) or (ready.lock and is_locked(path)) else 0.0

        def ask_all(part: list[Changed]) -> list[tuple[Changed, Stamp | None, float]]:
            return [(each, *ask(each.name, each.stamp)) for each in part]

        ripe.sort(key=lambda each: each.stamp.mtime_ns)
        for start in range(0, len(ripe), AT_ONCE):
            answers = await asyncio.to_thread(ask_all, ripe[start : start + AT_ONCE])
            for name in self._changes.ripened(answers, self._clock.monotonic()):
                self._touched.setdefault(name, 0)  # gone: if it was known, that may be an event as well

    # -- the ledger, and what is delivered

    def _mark(self, name: str, line: Entry) -> Mark:
        until = 0.0 if line.there else self._clock.now() + TOMBSTONE_S
        return Mark(self._context.name, name, encode_line(line), at=until)

    def _lines(self) -> Delivery:
        """Ledger lines without an event; after the last of the first start, that it was."""
        names = list(self._changes.lines)[:MARKS_AT_ONCE]
        lines = {name: self._changes.lines.pop(name) for name in names}
        marks = [self._mark(name, line) for name, line in lines.items()]
        first = not self._started and not self._changes.lines
        if first:
            marks.append(Mark(self._context.name, STARTED, b"1"))
            self._started = True

        async def settle(settlement: Settlement) -> None:
            if settlement.again:
                self._changes.lines = {**lines, **self._changes.lines}
                self._started = self._started and not first
                self._stir()

        return Delivery((), settle, marks=tuple(marks))

    async def _deliver(self, changed: Changed) -> Delivery | None:
        """The event of a complete file, with its line of the ledger; None if the file has changed or gone meanwhile."""
        config, limit, line = self._config, self._context.spec.max_bytes, changed.line
        assert line is not None
        content: bytes | None = None
        sha256 = ""
        too_large = config.read != "none" and changed.stamp.size > limit
        if changed.change != "deleted" and (config.hash or config.read != "none"):
            keep = config.read != "none" and not too_large
            try:
                got = await asyncio.to_thread(_read, self._tree, changed.name, changed.stamp, config.hash, keep)
            except OSError as error:
                self._tell_unreadable(self._tree.path(changed.name), error)
                return None
            if got is None:
                return None
            self._unreadable.discard(self._tree.path(changed.name))
            content, sha256 = got
        event = self._event(changed, line.appeared, content, sha256, too_large and changed.change != "deleted")
        marks = (self._mark(changed.name, line),)

        async def settle(settlement: Settlement) -> None:
            if settlement.again:
                self._again.append(delivery)
                self._stir()

        delivery = Delivery((event,), settle, marks=marks)
        return delivery

    def _tell_unreadable(self, path: str, error: OSError) -> None:
        """Once: it is tried again for as long as it is there."""
        if path not in self._unreadable and len(self._unreadable) < TOLD_MAX:
            self._unreadable.add(path)
            why = error.strerror or error
            _log.warning("trigger %s: the file %s cannot be read: %s; it waits", self._context.name, path, why)

    def _event(
        self, what: Changed, appeared: int, content: bytes | None, sha256: str, too_large: bool
    ) -> Event | Undecodable:
        name, stamp, source = what.name, what.stamp, f"/file/{self._context.name}"
        mtime = format_instant(stamp.mtime_ns / 1e9)
        path = os.path.join(self._tree.root, name)
        id = digest(name, stamp.mtime_ns, stamp.size, what.change, appeared, sha256).hex()
        data: dict[str, Any] = {
            "path": path,
            "name": os.path.basename(name),
            "dir": os.path.dirname(path),
            "size": stamp.size,
            "mtime": mtime,
            "change": what.change,
        }
        if what.origin:
            data["from"] = os.path.join(self._tree.root, what.origin)
        if sha256:
            data["sha256"] = sha256
        raw = content or b""
        try:
            if too_large:
                limit = format_size(self._context.spec.max_bytes)
                raise PermanentError(
                    f"the file has {stamp.size} bytes; the trigger reads at most {limit}",
                    code="too_large",
                    hint="raise the trigger's `max_bytes`, or leave `read` out",
                )
            if content is not None:
                data["content"] = _content(content, self._config.read)
        except PermanentError as error:
            return self._shaper.refused(error, raw, source=source, id=id, meta=data)
        type = f"reactor.file.{what.change}"
        return self._shaper.event(Event(type=type, source=source, id=id, subject=name, time=mtime, data=data), raw=raw)


def _content(raw: bytes, how: str) -> Any:
    """The content in the asked form. Raises InvalidEvent."""
    if how == "base64":
        return msgspec.json.decode(msgspec.json.encode(raw))
    try:
        return msgspec.json.decode(raw) if how == "json" else raw.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "valid JSON" if how == "json" else "text in UTF-8"
        raise InvalidEvent(
            f"the file is not {what}: {error}", hint="read it with `read: base64`, or not at all"
        ) from None


def _read(tree: Tree, name: str, stamp: Stamp, hashed: bool, keep: bool) -> tuple[bytes | None, str] | None:
    """Content and digest of this very version; None if it is another by now. In a thread. Raises OSError."""
    sha256 = hashlib.sha256()
    parts: list[bytes] = []
    try:
        with tree.opened(name) as file:
            if Stamp.of(os.fstat(file.fileno())) != stamp:  # put there since: a link, a pipe
                return None
            while part := file.read(1 << 20):
                if hashed:
                    sha256.update(part)
                if keep:
                    parts.append(part)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            raise
        return None
    if tree.look(name) != stamp:
        return None
    return (b"".join(parts) if keep else None), sha256.hexdigest() if hashed else ""


def _call(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call on the loop's own thread; nothing if it is closed."""
    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:
            return  # closed between the two
