"""Stands between a store and its PostgreSQL, and cuts the line at the worst moment."""

import asyncio
import contextlib

COMMIT = b"COMMIT"
AT_ONCE = b"WITH f AS (UPDATE lane"
PARSE, BIND = b"PB"


class Proxy:
    """Passes bytes on. With `cut_at_commit` the next COMMIT, or group that is one statement, is lost on its way
    (`before`), or its answer is (`after`), or it arrives when whoever sent it is gone (`late`): on `arrive`.
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.port = 0
        self.cut_at_commit = ""
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._arrives = asyncio.Event()
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def silence(self) -> None:
        """Keep every line, and pass nothing on, until `speak`."""
        self._speaks.clear()

    def speak(self) -> None:
        """Pass on what came meanwhile, too."""
        self._speaks.set()

    def arrive(self) -> None:
        """Let through what is late; `arrived` is set when it was answered."""
        self._arrives.set()

    async def __aenter__(self) -> "Proxy":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut all lines and refuse new ones."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            their_reader, their_writer = await asyncio.open_connection(*self._to)
            lost = asyncio.Event()
            back = asyncio.ensure_future(self._back(their_reader, writer, lost))
            try:
                late = await self._there(reader, their_writer, lost)
                if late:
                    writer.transport.abort()
                    await self._arrives.wait()
                    their_writer.write(late)
                    await asyncio.wait([back], timeout=5)
                    self.arrived.set()
            finally:
                if lost.is_set():
                    await asyncio.wait([back], timeout=0.05)  # the answer arrives, and goes nowhere
                back.cancel()
                their_writer.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event) -> bytes:
        """Until the line is cut; what is late then."""
        at_once: set[bytes] = set()  # names of prepared statements
        while data := await reader.read(65_536):
            await self._speaks.wait()
            if _commits(data, at_once) and self.cut_at_commit:
                cut, self.cut_at_commit = self.cut_at_commit, ""
                if cut == "before":
                    return b""
                lost.set()
                if cut == "late":
                    return data
                writer.write(data)
                await writer.drain()
                return b""
            writer.write(data)
            await writer.drain()
        return b""

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._speaks.wait()
                if lost.is_set():
                    return
                writer.write(data)
                await writer.drain()
            writer.transport.abort()


def _commits(data: bytes, at_once: set[bytes]) -> bool:
    """Does it commit? What groups as one statement are called on this line is added to `at_once`."""
    if data[0] not in (PARSE, BIND):
        return COMMIT in data[:32]
    first, second, _ = data[5:].split(b"\0", 2)
    if data[0] == PARSE:
        if second.startswith(AT_ONCE):
            at_once.add(first)
        return False
    return second in at_once
