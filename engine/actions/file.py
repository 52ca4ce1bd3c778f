"""`file`: files and folders under `server.files`. Source: actions.md, section 3 (file)."""

from __future__ import annotations

import base64
import csv
import glob
import hashlib
import io
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, cast

import msgspec
from pydantic import BaseModel, Field

from ...connections.fields import Fault, Keys
from ...core.charsets import lines_of
from ...core.depth import decoded
from ...core.durations import format_instant, format_size
from ...core.errors import legible
from ...core.keys import distinct
from ...core.limits import MIB
from .blocking import StopSign, blocking
from .contract import ActionBase, Call, StepError
from .file_append import append
from .file_write import TEMP_PREFIX, AtomicFile
from .payload import decode_base64
from .places import Place, disk_errors, locate, opened

READ_BYTES_MAX = 64 * MIB
LIST_FILES_MAX = 100_000
CHUNK_BYTES = 1 * MIB

Op = Literal["read", "write", "append", "copy", "move", "delete", "list", "stat", "mkdir", "hash"]
_NO_DELIMITERS = ('"', "\n", "\r")
_CONTENT = ("text", "json", "base64")
_KEYS_OF: dict[str, tuple[str, ...]] = {
    "read": ("as", "delimiter", "header", "missing"),
    "write": (*_CONTENT, "overwrite", "parents"),
    "append": (*_CONTENT, "parents"),
    "copy": ("to", "overwrite", "parents"),
    "move": ("to", "overwrite", "parents"),
    "delete": ("missing",),
    "list": ("glob", "missing"),
    "stat": ("missing",),
    "mkdir": ("parents",),
    "hash": ("missing",),
}


class FileInput(Keys):
    """`with` of `file`."""

    at_most_one: ClassVar = (_CONTENT,)

    op: Op
    path: str = Field(min_length=1)
    to: str | None = Field(default=None, min_length=1)
    text: str | None = None
    json_: Any = Field(default=None, alias="json")
    base64: str | None = None
    as_: Literal["text", "json", "lines", "csv", "ndjson", "base64"] = Field(default="text", alias="as")
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    header: bool = True
    glob: str = Field(default="*", min_length=1)
    overwrite: bool = False
    parents: bool = True
    missing: Literal["fail", "ignore"] = "fail"

    def content(self) -> bytes:
        """What is to be written."""
        if self.text is not None:
            return self.text.encode()
        if self.base64 is not None:
            return decode_base64(self.base64, "base64")
        return msgspec.json.encode(self.json_)


class FileAction(ActionBase):
    """Reads, writes and moves files."""

    name: ClassVar[str] = "file"
    Input: ClassVar[type[BaseModel] | None] = FileInput
    errors: ClassVar[tuple[str, ...]] = (
        *("file_not_found", "exists", "forbidden", "resource_limit", "too_large", "invalid_data", "invalid_input"),
        "conflict",
    )
    key_goes: ClassVar[str] = "`append`: into a note beside the file; the others may be repeated as they are"
    output: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "size": {"type": ["integer", "null"]},
            "mtime": {"type": ["string", "null"]},
            "sha256": {"type": ["string", "null"]},
            "content": {},
            "files": {"type": "array"},
        },
        "required": ["path", "size", "mtime", "sha256"],
        "additionalProperties": False,
    }

    def check(self, with_: Any) -> list[Fault]:
        """Keys that the operation does not read, and those that it lacks."""
        if not isinstance(with_, Mapping):
            return []
        keys = cast("Mapping[str, Any]", with_)
        op = keys.get("op")
        if not isinstance(op, str) or op not in _KEYS_OF:
            return []
        allowed = ("op", "path", *_KEYS_OF[op])
        known = [field.alias or name for name, field in FileInput.model_fields.items()]
        faults = [(name, f"is not read by `{op}`") for name in keys if name in known and name not in allowed]
        if "to" in _KEYS_OF[op] and "to" not in keys:
            faults.append(("", f"`to` is missing: `{op}` needs it"))
        if keys.get("delimiter") in _NO_DELIMITERS:
            faults.append(("delimiter", "must not be a quotation mark or a line break"))
        if op in ("write", "append") and not any(name in keys for name in _CONTENT):
            faults.append(("", "one of `text`, `json` or `base64` is missing: what is to be written?"))
        return faults

    async def execute(self, call: Call) -> dict[str, Any]:
        """Do it, in a thread."""
        given: FileInput = call.inputs
        faults = self.check(given.model_dump(by_alias=True, exclude_unset=True))
        if faults:
            raise StepError("invalid_input", f"file: {' '.join(part for part in faults[0] if part)}")
        return await blocking(partial(_OPERATIONS[given.op], call, given))


def _outcome(
    given: FileInput, size: int | None = None, mtime: float | None = None, sha256: str | None = None
) -> dict[str, Any]:
    when = None if mtime is None else format_instant(mtime)
    return {"path": given.path, "size": size, "mtime": when, "sha256": sha256}


def _open(place: Place, folder: int) -> int:
    """A regular file for reading. Raises StepError `conflict` for anything else: a pipe would never end."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(place.name or ".", flags, dir_fd=folder)
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        os.close(file)
        kind = "a folder" if stat.S_ISDIR(mode) else "no plain file"
        raise StepError("conflict", f"`{place.written}` is {kind}")
    return file


def _ignored(given: FileInput, error: StepError) -> bool:
    return error.code == "file_not_found" and given.missing == "ignore"


def _read(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    place = locate(call, given.path)
    try:
        with disk_errors(given.path, "read"), opened(place) as folder, os.fdopen(_open(place, folder), "rb") as stream:
            found = os.fstat(stream.fileno())
            data = stream.read(READ_BYTES_MAX + 1)
    except StepError as e:
        if _ignored(given, e):
            return {**_outcome(given), "content": None}
        raise
    if len(data) > READ_BYTES_MAX:
        said = f"`{given.path}` has {format_size(found.st_size)}; at most {format_size(READ_BYTES_MAX)} are read"
        raise StepError("too_large", said)
    content = parsed(data, given)
    return {**_outcome(given, len(data), found.st_mtime, hashlib.sha256(data).hexdigest()), "content": content}


def parsed(data: bytes, given: FileInput) -> Any:
    """What was read, as `as` says. Raises StepError `invalid_data`, naming the line."""
    if given.as_ == "base64":
        return base64.b64encode(data).decode()
    try:
        if given.as_ == "json":
            return decoded(data)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        hint = "read it `as: base64`"
        raise StepError("invalid_data", f"`{given.path}` is not UTF-8: byte {e.start}", hint=hint) from None
    except ValueError as e:
        raise StepError("invalid_data", f"`{given.path}` is not JSON: {e}") from None
    if given.as_ == "lines":
        return lines_of(text)
    if given.as_ == "ndjson":
        return _ndjson(text, given.path)
    return _csv(text, given) if given.as_ == "csv" else text


def _ndjson(text: str, path: str) -> list[Any]:
    found: list[Any] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found.append(decoded(line))
            except ValueError as e:
                raise StepError("invalid_data", f"`{path}`, line {number}, is not JSON: {e}") from None
    return found


def _csv(text: str, given: FileInput) -> list[Any]:
    csv.field_size_limit(max(csv.field_size_limit(), READ_BYTES_MAX))  # the library's own: 128 KiB, for the process
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=given.delimiter, strict=True)
    found: list[Any] = []
    try:
        header = distinct(next(reader, list[str]())) if given.header else None
        for row in reader:
            if not row:
                continue
            if header is None:
                found.append(row)
                continue
            if len(row) != len(header):
                said = f"`{given.path}`, line {reader.line_num}, has {len(row)} fields; the header has {len(header)}"
                raise StepError("invalid_data", said)
            found.append(dict(zip(header, row, strict=True)))
    except csv.Error as e:
        raise StepError("invalid_data", f"`{given.path}`, line {reader.line_num}: {e}") from None
    return found


def _write(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    data = given.content()
    place = locate(call, given.path)
    with disk_errors(given.path, "write"):
        with AtomicFile(place, parents=given.parents, overwrite=given.overwrite) as file:
            file.write(data)
            try:
                mtime = file.commit()
            except FileExistsError:
                found = _same(place, file.sha256, sign)
                if found is None:
                    raise
                mtime = found
            return _outcome(given, file.size, mtime, file.sha256)


def _same(place: Place, sha256: str, sign: StopSign) -> float | None:
    """The time of change of a file that has this content already: the work of an attempt before a crash."""
    with opened(place) as folder, os.fdopen(_open(place, folder), "rb") as stream:
        mtime = os.fstat(stream.fileno()).st_mtime
        return mtime if _hashed(stream, sign) == sha256 else None


def _hashed(stream: io.BufferedReader, sign: StopSign) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        sign.look()
        digest.update(chunk)
    return digest.hexdigest()


def _append(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    place = locate(call, given.path)
    with disk_errors(given.path, "append"), opened(place, make=given.parents) as folder:
        if not place.name:
            raise IsADirectoryError
        size, mtime = append(folder, place.name, given.content(), call.key)
    return _outcome(given, size, mtime)


def _copy(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    source = locate(call, given.path)
    to = _target(call, given, source)
    with (
        disk_errors(given.path, "copy"),
        opened(source) as folder,
        os.fdopen(_open(source, folder), "rb") as stream,
        disk_errors(given.to or "", "copy"),
        AtomicFile(to, parents=given.parents, overwrite=given.overwrite) as file,
    ):
        while chunk := stream.read(CHUNK_BYTES):
            sign.look()
            file.write(chunk)
        try:
            mtime = file.commit()
        except FileExistsError:
            found = _same(to, file.sha256, sign)
            if found is None:
                raise
            mtime = found
        return {**_outcome(given, file.size, mtime, file.sha256), "path": given.to}


def _target(call: Call, given: FileInput, source: Place) -> Place:
    """Where `to` leads; into a folder under the source's own name."""
    to = locate(call, given.to or "")
    if os.path.isdir(to.path):
        to = Place(to.written, to.path, source.name, to.roots)
    return to


def _move(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    source = _within(locate(call, given.path, follow=False))
    to = _target(call, given, source)
    with disk_errors(given.to or "", "move"), opened(to, make=given.parents) as there:
        arrived = _status(to.name, there)
        with disk_errors(given.path, "move"), opened(source) as here:
            if _status(source.name, here) is None:
                if arrived is None:
                    raise FileNotFoundError
            elif arrived is not None and not given.overwrite:
                raise StepError("exists", f"move: `{given.to}` is there already", hint="write `overwrite: true`")
            else:
                os.rename(source.name, to.name, src_dir_fd=here, dst_dir_fd=there)
        found = os.stat(to.name, dir_fd=there, follow_symlinks=False)
    return {**_outcome(given, found.st_size, found.st_mtime), "path": given.to}


def _status(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _within(place: Place) -> Place:
    """A place that may go away. Raises StepError `forbidden`."""
    if not place.name:
        raise StepError("forbidden", f"`{place.written}` is one of the folders of `server.files` itself")
    return place


def _delete(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    place = _within(locate(call, given.path, follow=False))
    strict = given.has("missing") and given.missing == "fail"
    try:
        with disk_errors(given.path, "delete"), opened(place) as folder:
            found = _status(place.name, folder)
            if found is None:
                raise FileNotFoundError
            if stat.S_ISDIR(found.st_mode):
                os.rmdir(place.name, dir_fd=folder)
            else:
                os.unlink(place.name, dir_fd=folder)
    except StepError as e:
        if e.code != "file_not_found" or strict:
            raise
        return _outcome(given)
    return _outcome(given, found.st_size, found.st_mtime)


def _list(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    if given.glob.startswith("/") or ".." in given.glob.split("/"):
        raise StepError("invalid_input", f"the pattern `{given.glob}` leads out of its folder")
    place = locate(call, given.path)
    files: list[dict[str, Any]] = []
    try:
        with disk_errors(given.path, "list"):
            mtime = os.stat(place.path).st_mtime
            if not os.path.isdir(place.path):
                raise NotADirectoryError
            for name in sorted(glob.iglob(given.glob, root_dir=place.path, recursive=True)):
                sign.look()
                entry = _entry(place, name)
                if entry is not None:
                    files.append(entry)
                if len(files) > LIST_FILES_MAX:
                    raise StepError("too_large", f"`{given.path}` has more than {LIST_FILES_MAX} files that fit")
    except StepError as e:
        if _ignored(given, e):
            return {**_outcome(given), "files": []}
        raise
    return {**_outcome(given, len(files), mtime), "files": files}


def _entry(place: Place, name: str) -> dict[str, Any] | None:
    """One line of a list; None for our own temporary files, and for what lies behind a link that leads out."""
    if not name or os.path.basename(name).startswith(TEMP_PREFIX):
        return None
    path = os.path.join(place.path, name)
    real = os.path.realpath(os.path.dirname(path))
    if not any(real == root or real.startswith(root.rstrip("/") + "/") for root in place.roots):
        return None
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    kind = "folder" if stat.S_ISDIR(found.st_mode) else "link" if stat.S_ISLNK(found.st_mode) else "file"
    shown = os.path.normpath(os.path.join(place.written, name))
    return {
        "path": legible(shown),
        "name": legible(os.path.basename(name)),
        "kind": kind,
        "size": found.st_size,
        "mtime": format_instant(found.st_mtime),
    }


def _stat(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    place = locate(call, given.path)
    try:
        with disk_errors(given.path, "stat"), opened(place) as folder:
            found = os.stat(place.name or ".", dir_fd=folder, follow_symlinks=False)
    except StepError as e:
        if _ignored(given, e):
            return _outcome(given)
        raise
    return _outcome(given, found.st_size, found.st_mtime)


def _mkdir(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    place = locate(call, given.path)
    with disk_errors(given.path, "mkdir"), opened(place, make=given.parents) as folder:
        try:
            if place.name:
                os.mkdir(place.name, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(place.name, dir_fd=folder, follow_symlinks=False).st_mode):
                said = f"mkdir: `{given.path}` is there already, and no folder"
                raise StepError("exists", said) from None
        found = os.stat(place.name or ".", dir_fd=folder, follow_symlinks=False)
    return _outcome(given, found.st_size, found.st_mtime)


def _hash(call: Call, given: FileInput, sign: StopSign) -> dict[str, Any]:
    place = locate(call, given.path)
    try:
        with disk_errors(given.path, "hash"), opened(place) as folder, os.fdopen(_open(place, folder), "rb") as stream:
            found = os.fstat(stream.fileno())
            return _outcome(given, found.st_size, found.st_mtime, _hashed(stream, sign))
    except StepError as e:
        if _ignored(given, e):
            return _outcome(given)
        raise


_OPERATIONS: dict[str, Callable[[Call, FileInput, StopSign], dict[str, Any]]] = {
    "read": _read,
    "write": _write,
    "append": _append,
    "copy": _copy,
    "move": _move,
    "delete": _delete,
    "list": _list,
    "stat": _stat,
    "mkdir": _mkdir,
    "hash": _hash,
}
