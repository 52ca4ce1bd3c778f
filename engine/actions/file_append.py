"""Appending once: where a key's bytes go is noted, durably, before they are written.

The notes lie beside the file (`.reactor-append-<name>`), one line a key: key, offset, length. A repeat writes to the
same place, unless somebody else's bytes are there by now: then the first attempt had not written.
"""

from __future__ import annotations

import os

from ...core import host

NOTE_PREFIX = ".reactor-append-"
NOTES_KEPT = 1_000


def append(folder: int, name: str, data: bytes, key: str) -> tuple[int, float]:
    """Append to `name` in an open folder; (size, time of change) after it. Blocking; raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    notes = os.open(NOTE_PREFIX + name, flags, 0o600, dir_fd=folder)
    try:
        host.lock(notes, wait=True)
        file = os.open(name, flags, 0o666, dir_fd=folder)
        try:
            _append(file, notes, data, key)
            os.fsync(file)
            found = os.fstat(file)
            return found.st_size, found.st_mtime
        finally:
            os.close(file)
    finally:
        os.close(notes)


def _append(file: int, notes: int, data: bytes, key: str) -> None:
    size = os.fstat(file).st_size
    offset = _noted(notes, key, len(data)) if key else None
    if offset is not None and offset < size:
        if _read_at(file, offset, len(data)) == data:
            return
        part = _read_at(file, offset, size - offset)
        if not data.startswith(part):
            offset = None  # another's bytes: ours were not written
    if offset is None:
        offset = size
        if key:
            _note(notes, key, offset, len(data))
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _lines(notes: int) -> list[str]:
    return _read_at(notes, 0, os.fstat(notes).st_size).decode(errors="replace").splitlines()


def _noted(notes: int, key: str, length: int) -> int | None:
    """The offset of the key's newest note."""
    for line in reversed(_lines(notes)):
        parts = line.split(" ")
        if len(parts) == 3 and parts[0] == key and parts[1].isdigit() and parts[2] == str(length):
            return int(parts[1])
    return None


def _note(notes: int, key: str, offset: int, length: int) -> None:
    lines = _lines(notes)
    text = f"{key} {offset} {length}\n"
    if len(lines) >= 2 * NOTES_KEPT:
        kept = "".join(line + "\n" for line in lines[-NOTES_KEPT:])
        os.pwrite(notes, (kept + text).encode(), 0)
        os.ftruncate(notes, len((kept + text).encode()))
    else:
        os.pwrite(notes, text.encode(), os.fstat(notes).st_size)
    os.fsync(notes)


def _read_at(file: int, offset: int, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        part = os.pread(file, length - len(found), offset + len(found))
        if not part:
            break
        found += part
    return bytes(found)
