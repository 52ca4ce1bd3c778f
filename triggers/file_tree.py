"""A folder as the file trigger sees it: which names count, what is there now, and a thread that tells what changed.

Names that are no UTF-8 are shown and stored escaped; the file system is asked by their bytes.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ..core import host
from ..core.errors import ConfigError, NotConnected

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

STEP_MS = 50  # a change is told when nothing more came for so long
BATCH_MS = 400  # or after so long
ROOT_CHECK_MS = 1_000  # a root that was removed and made again falls silent: so often it is compared

ADDED, DELETED = 1, 2
"""What a notice says of a name, as bits; 0: it was written to."""
_BITS = {1: ADDED, 2: 0, 3: DELETED}  # by watchfiles' numbers


class Stamp(NamedTuple):
    """A version of a file: whatever changes its content changes one of these."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, at: os.stat_result) -> Stamp:
        """That of a file that was asked for."""
        return cls(at.st_ino, at.st_size, at.st_mtime_ns)


class Names:
    """Which files count. Patterns without `/` are about names at any depth, with it about the whole relative path."""

    def __init__(self, glob: str, ignore: list[str], sentinel: str | None) -> None:
        self._glob = _pattern(glob)
        self._ignore = [_pattern(each) for each in ignore]
        self._sentinel = sentinel

    def ignored(self, relative: str) -> bool:
        """Is this file or folder, or one above it, left out?"""
        if not self._ignore:
            return False
        parts = relative.split("/")
        return any(
            pattern.fullmatch(part) if by_name else pattern.fullmatch("/".join(parts[: i + 1]))
            for i, part in enumerate(parts)
            for by_name, pattern in self._ignore
        )

    def wanted(self, relative: str) -> bool:
        """Can this file be an event? (Ignored ones are sorted out before.)"""
        name = relative.rpartition("/")[2]
        if self._sentinel is not None and fnmatchcase(name, self._sentinel):
            return False
        by_name, pattern = self._glob
        return pattern.fullmatch(name if by_name else relative) is not None

    def is_sentinel(self, relative: str) -> bool:
        """Does this file say that another is complete?"""
        return self._sentinel is not None and fnmatchcase(relative.rpartition("/")[2], self._sentinel)

    def has_sentinel(self, path: str) -> bool:
        """Is the sentinel there? Its `*` stands for the file's name, with its suffix or without."""
        if self._sentinel is None:
            return True
        folder, name = os.path.split(path)
        return any(
            os.path.exists(os.path.join(folder, self._sentinel.replace("*", each)))
            for each in {name, os.path.splitext(name)[0]}
        )


def _pattern(glob: str) -> tuple[bool, re.Pattern[str]]:
    """Is it about the name alone, and what must match; `**` crosses folders."""
    text = ""
    at = 0
    while at < len(glob):
        if glob.startswith("**/", at):
            text, at = text + "(?:.*/)?", at + 3
        elif glob.startswith("**", at):
            text, at = text + ".*", at + 2
        elif glob[at] == "[" and (end := glob.find("]", at + 2)) > 0:
            inside = glob[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            text, at = text + "[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]", end + 1
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(glob[at], re.escape(glob[at]))
            at += 1
    return "/" not in glob, re.compile(text, re.DOTALL)


class Tree:
    """The folder itself. Its methods ask the disk: call them in a thread."""

    def __init__(self, root: Path, names: Names, *, recursive: bool, follow_symlinks: bool) -> None:
        self.root = root
        self.names = names
        self._recursive = recursive
        self._follow = follow_symlinks
        self._odd: dict[str, str] = {}  # escaped → as the file system has it

    def identity(self) -> tuple[int, int]:
        """Device and inode of the root. Raises NotConnected if it is not there, ConfigError if it is a file."""
        try:
            found = os.stat(self.root)
        except OSError as error:
            raise NotConnected(
                f"the folder {self.root} cannot be read: {error.strerror}", hint="make it, or correct `path`"
            ) from error
        if not S_ISDIR(found.st_mode):
            raise ConfigError(f"{self.root} is no folder", path="path", hint="name the folder, and the files by `glob`")
        return found.st_dev, found.st_ino

    def path(self, relative: str) -> str:
        """Where a file is."""
        return os.path.join(self.root, self._odd.get(relative, relative))

    def relative(self, path: str) -> str | None:
        """The shown name of a path that the watch told; None outside the root, "" for the root."""
        root = str(self.root)
        if path == root:
            return ""
        return self._shown(path[len(root) + 1 :]) if path.startswith(root + os.sep) else None

    def scan(self, under: str = "") -> dict[str, Stamp]:
        """All files that count below a folder (relative). Raises NotConnected if the root is not there."""
        return {name: Stamp(*version) for name, version in self.walk(under)}

    def walk(self, under: str = "") -> Iterator[tuple[str, tuple[int, int, int]]]:
        """The same one by one, the version as a plain tuple: nothing is kept of files that are known."""
        self.identity()
        folders = [under]
        visited: set[tuple[int, int]] = set()
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(self.path(folder) if folder else self.root) as entries:
                    for entry in entries:
                        found = self._take(entry, f"{folder}/{entry.name}" if folder else entry.name, folders, visited)
                        if found is not None:
                            yield found
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                    raise

    def _take(
        self, entry: os.DirEntry[str], name: str, folders: list[str], visited: set[tuple[int, int]]
    ) -> tuple[str, tuple[int, int, int]] | None:
        relative = self._shown(name)
        if self.names.ignored(relative):
            return None
        try:
            at = entry.stat(follow_symlinks=self._follow)
        except OSError:
            return None  # gone again, or a link to nowhere
        if S_ISDIR(at.st_mode):
            if self._recursive and (at.st_dev, at.st_ino) not in visited:  # a link may lead back up
                visited.add((at.st_dev, at.st_ino))
                folders.append(relative)
        elif S_ISREG(at.st_mode) and self.names.wanted(relative):
            return relative, (at.st_ino, at.st_size, at.st_mtime_ns)
        return None

    def look(self, relative: str) -> Stamp | None:
        """One file that counts; None if there is none."""
        at = self._stat(relative)
        return Stamp.of(at) if at is not None and S_ISREG(at.st_mode) else None

    def is_folder(self, relative: str) -> bool:
        """Is this a folder to go into?"""
        at = self._stat(relative) if self._recursive else None
        return at is not None and S_ISDIR(at.st_mode)

    def opened(self, relative: str) -> BinaryIO:
        """The file, to be read, without waiting for a pipe's writer. Raises OSError."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if self._follow else os.O_NOFOLLOW)
        return os.fdopen(os.open(self.path(relative), flags), "rb")

    def _stat(self, relative: str) -> os.stat_result | None:
        """None: it is not there, or lies below a link that is not to be followed (the watch tells of such files)."""
        if not self._follow:
            folder = relative.rpartition("/")[0]
            while folder:
                if os.path.islink(self.path(folder)):
                    return None
                folder = folder.rpartition("/")[0]
        try:
            return os.stat(self.path(relative), follow_symlinks=self._follow)
        except OSError:
            return None

    def counts(self, relative: str) -> bool:
        """Is this a name that can be an event?"""
        deep = "/" in relative and not self._recursive
        return not deep and not self.names.ignored(relative) and self.names.wanted(relative)

    def _shown(self, name: str) -> str:
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if shown != name:
            self._odd[shown] = name
        return shown


def is_locked(path: str) -> bool:
    """Does another process hold a lock on this file (flock or POSIX)?"""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        return host.is_locked(descriptor)
    finally:
        os.close(descriptor)


class Watch:
    """The operating system's notices for a tree, on a thread of its own.

    `told` is called on that thread with what was said of each path; `lost` when the root is another or none.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        recursive: bool,
        told: Callable[[dict[str, int]], None],
        lost: Callable[[], None],
    ) -> None:
        self._tree = tree
        self._recursive = recursive
        self._told = told
        self._lost = lost
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Start; from the return on nothing is missed but what the kernel drops. Raises NotConnected."""
        from watchfiles._rust_notify import WatchfilesRustInternalError

        root = str(self._tree.root)
        identity = self._tree.identity()
        first = self._notices()

        def run() -> None:
            notices = first
            while not self._stop.is_set():
                try:
                    batch = notices.watch(BATCH_MS, STEP_MS, ROOT_CHECK_MS, self._stop)
                except WatchfilesRustInternalError:  # a name that is no UTF-8: it would say no more
                    notices.close()
                    try:
                        notices = self._notices()
                    except NotConnected:
                        self._lost()
                        return
                    self._told({root: ADDED})  # look everywhere
                    continue
                told: dict[str, int] = {}
                for kind, path in batch if isinstance(batch, set) else ():
                    told[path] = told.get(path, 0) | _BITS[kind]
                removed = bool(told.pop(root, 0) & DELETED)  # the next root may get its inode
                if told:
                    self._told(told)
                if (removed or self._gone(identity)) and not self._stop.is_set():
                    self._lost()
                    break
            notices.close()

        self._thread = threading.Thread(target=run, name=f"watch {root}", daemon=True)
        self._thread.start()

    def _notices(self) -> RustNotify:
        from watchfiles._rust_notify import RustNotify

        root = str(self._tree.root)
        try:
            return RustNotify([root], False, False, 0, self._recursive, True)
        except OSError as error:
            hint = "see fs.inotify.max_user_watches and max_user_instances, or set `force_polling: true`"
            raise NotConnected(f"the folder {root} cannot be watched: {error}", hint=hint) from error

    def _gone(self, identity: tuple[int, int]) -> bool:
        try:
            return self._tree.identity() != identity
        except (NotConnected, ConfigError):
            return True

    def close(self) -> None:
        """Stop. Safe twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)
            self._thread = None
