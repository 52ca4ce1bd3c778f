"""A pipe to a program: one end is the program's, the other is read or written in the loop."""

from __future__ import annotations

import asyncio
import contextlib
import os

from .kept_output import KeptOutput

CHUNK_BYTES = 65_536


class Pipe:
    """Both ends as file descriptors, neither inherited by anybody unless passed."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def close_read(self) -> None:
        """Close the end to read from; safe twice."""
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def close_write(self) -> None:
        """Close the end to write to; safe twice."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    async def read_all(self, kept: KeptOutput) -> None:
        """Read until nobody holds the other end."""
        os.set_blocking(self.read_end, False)
        while True:
            try:
                data = os.read(self.read_end, CHUNK_BYTES)
            except BlockingIOError:
                await self._ready(self.read_end, reading=True)
                continue
            if not data:
                return
            kept.add(data)
            await asyncio.sleep(0)

    async def write_all(self, data: bytes) -> None:
        """Write and close; a program need not read its input."""
        if not data:
            self.close_write()
            return
        os.set_blocking(self.write_end, False)
        rest = memoryview(data)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while rest:
                try:
                    rest = rest[os.write(self.write_end, rest[:CHUNK_BYTES]) :]
                except BlockingIOError:
                    await self._ready(self.write_end, reading=False)
        self.close_write()

    @staticmethod
    async def _ready(end: int, *, reading: bool) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        if reading:
            loop.add_reader(end, wake)
        else:
            loop.add_writer(end, wake)
        try:
            await future
        finally:
            if reading:
                loop.remove_reader(end)
            else:
                loop.remove_writer(end)
