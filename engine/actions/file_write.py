"""Files written whole or not at all: through a temporary file beside them, synced, then renamed."""

from __future__ import annotations

import hashlib
import os
from types import TracebackType
from typing import Self

from ...core.ids import fresh_id
from .places import Place, opened

TEMP_PREFIX = ".reactor-"


class AtomicFile:
    """Takes bytes; `commit` makes the file appear, leaving the block without it removes what was written."""

    def __init__(self, place: Place, *, parents: bool, overwrite: bool) -> None:
        self._place = place
        self._overwrite = overwrite
        self._context = opened(place, make=parents)
        self._temp = f"{TEMP_PREFIX}{fresh_id()}"
        self._file = -1
        self._folder = -1
        self._done = False
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        if not self._place.name:
            raise IsADirectoryError
        self._folder = self._context.__enter__()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(self._temp, flags, 0o666, dir_fd=self._folder)
        except BaseException:
            self._context.__exit__(None, None, None)
            raise
        return self

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        view = memoryview(data)
        self._hash.update(view)
        self.size += len(view)
        while view:
            view = view[os.write(self._file, view) :]

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hex."""
        return self._hash.hexdigest()

    def commit(self) -> float:
        """Sync and rename; the file's time of change, Unix seconds. Raises FileExistsError unless it may overwrite."""
        name = self._place.name
        try:
            mode = os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_mode & 0o7777
            os.fchmod(self._file, mode)
        except FileNotFoundError:
            pass
        os.fsync(self._file)
        mtime = os.fstat(self._file).st_mtime
        if self._overwrite:
            os.rename(self._temp, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            os.link(self._temp, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=False)
            os.unlink(self._temp, dir_fd=self._folder)
        self._done = True
        os.fsync(self._folder)
        return mtime

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._file)
        if not self._done:
            try:
                os.unlink(self._temp, dir_fd=self._folder)
            except FileNotFoundError:
                self._done = True
        self._context.__exit__(None, None, None)
