"""A disk that a test owns: it remembers what was synced, and can be full or broken. A shim over SQLite's own file
layer.
"""

import errno
from pathlib import Path

import apsw


class Disk(apsw.VFS):
    """The default file layer while it is open. Between two syncs, what was written may be lost in a power cut."""

    def __init__(self) -> None:
        self.full = False
        self.broken_sync = False
        self.broken_write = False
        self.synced: dict[Path, bytes] = {}  # the content of each file when it was last synced
        super().__init__("reactor-test-disk", "unix", makedefault=True)

    def xOpen(self, name: "apsw.URIFilename | str | None", flags: list[int]) -> "_File":
        """A file that asks this disk."""
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """What is deleted does not come back."""
        super().xDelete(filename, syncdir)
        self.synced.pop(Path(filename), None)

    def after_power_cut(self, folder: Path, left: Path) -> None:
        """Put down in `left` what a power cut now would leave, for certain, of a folder's files."""
        left.mkdir()
        for path, content in self.synced.items():
            if path.parent == folder:
                (left / path.name).write_bytes(content)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: "apsw.URIFilename | str | None", flags: list[int]) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._path = Path(path) if path else None
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        """Refused while the disk is full or broken."""
        if self._disk.full:
            raise apsw.FullError("no space left")
        if self._disk.broken_write:
            raise apsw.IOError(errno.EIO, "broken")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        """Remember what is safe now."""
        if self._disk.broken_sync:
            raise apsw.IOError(errno.EIO, "broken")
        super().xSync(flags)
        if self._path is not None:
            self._disk.synced[self._path] = self._path.read_bytes()
