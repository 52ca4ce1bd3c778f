"""What actions send: scalars as text, base64, the parts of a multipart body."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field

from ...connections.fields import Keys
from ...core.errors import StepError
from ...core.limits import MIB
from .contract import Call
from .places import disk_errors, locate, opened

PARTS_BYTES_MAX = 64 * MIB


class Part(Keys):
    """A file to attach: from a path, base64 or text, with its file name and media type."""

    exactly_one: ClassVar = (("path", "base64", "text"),)

    path: str | None = Field(default=None, min_length=1)
    base64: str | None = None
    text: str | None = None
    name: str | None = Field(default=None, min_length=1)
    type: str | None = Field(default=None, min_length=1)

    def content(self, call: Call, limit: int) -> bytes:
        """Its bytes; blocking. Raises StepError."""
        if self.text is not None:
            return self.text.encode()
        if self.base64 is not None:
            return decode_base64(self.base64, "base64")
        return read_file(call, self.path or "", limit)

    def file_name(self) -> str:
        """As given, else the path's last part."""
        return self.name or (os.path.basename(self.path) if self.path else "file")


def decode_base64(text: str, where: str) -> bytes:
    """The bytes; raises StepError `invalid_input`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise StepError("invalid_input", f"`{where}` is not base64: {e}") from None


def read_file(call: Call, written: str, limit: int) -> bytes:
    """A file under `server.files`, whole; blocking. Raises StepError `file_not_found`, `forbidden`, `too_large`."""
    place = locate(call, written)
    with disk_errors(written, "read"), opened(place) as folder:
        file = os.open(place.name or ".", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(file, "rb") as stream:
            data = stream.read(limit + 1)
    if len(data) > limit:
        raise StepError("too_large", f"`{written}` has more than {limit // MIB}MiB")
    return data


def multipart(parts: Mapping[str, Any], call: Call) -> Callable[[], Any]:
    """A function that makes the body anew each time; the files are read once, now."""
    read: list[tuple[str, bytes | str, str | None, str | None]] = []
    room = PARTS_BYTES_MAX
    for name, part in parts.items():
        if isinstance(part, Part):
            data = part.content(call, room)
            room -= len(data)
            is_file = part.path is not None or part.base64 is not None or part.name is not None
            read.append((name, data, part.type, part.file_name() if is_file else None))
        else:
            read.append((name, part, None, None))

    def make() -> Any:
        import aiohttp

        form = aiohttp.FormData(default_to_multipart=True)
        for name, data, kind, file_name in read:
            form.add_field(name, data, content_type=kind, filename=file_name)
        return form

    return make
