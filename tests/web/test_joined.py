"""An answer's head and body leave in one write; a head without a body does not wait for one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reactor.web.joined import Joined


class Written(asyncio.Transport):
    """Notes what is asked of the connection."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 4711)})
        self.calls: list[Any] = []
        self.pause_reading = self.resume_reading = lambda: None
        self.is_closing = lambda: "closed" in self.calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def close(self) -> None:
        self.calls.append("closed")

    def write_eof(self) -> None:
        self.calls.append("ended")


async def test_head_and_body_are_one_write_and_what_follows_goes_at_once() -> None:
    """One call to the kernel for an answer; chunks of a stream are not kept."""
    connection = Written()
    joined = Joined(connection, asyncio.get_running_loop())
    joined.write(b"HTTP/1.1 202 Accepted\r\n\r\n")
    assert connection.calls == []
    joined.write(b"{}")
    assert connection.calls == [b"HTTP/1.1 202 Accepted\r\n\r\n{}"]
    joined.write(b"a chunk")
    assert connection.calls[1:] == [b"a chunk"]
    await asyncio.sleep(0)
    assert len(connection.calls) == 2
    assert joined.get_extra_info("peername") == ("127.0.0.1", 4711)
    joined.close()
    assert joined.is_closing()
    assert connection.calls[2:] == ["closed"]


async def test_a_head_alone_leaves_with_this_turn_of_the_loop() -> None:
    """Whoever opens a stream of events sees its head before the first event."""
    connection = Written()
    joined = Joined(connection, asyncio.get_running_loop())
    joined.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.sleep(0)
    assert connection.calls == [b"HTTP/1.1 200 OK\r\n\r\n"]


@pytest.mark.parametrize(("end", "called"), [("close", "closed"), ("write_eof", "ended")])
async def test_a_head_is_not_lost_when_the_connection_ends(end: str, called: str) -> None:
    """It is written first."""
    connection = Written()
    joined = Joined(connection, asyncio.get_running_loop())
    joined.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    getattr(joined, end)()
    assert connection.calls == [b"HTTP/1.1 204 No Content\r\n\r\n", called]


@pytest.mark.parametrize(("end", "called"), [("close", "closed"), ("write_eof", "ended")])
async def test_what_comes_after_the_end_is_not_written(end: str, called: str) -> None:
    """The first of several requests may be answered when its client is gone: uvloop would raise."""
    connection = Written()
    joined = Joined(connection, asyncio.get_running_loop())
    getattr(joined, end)()
    joined.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.sleep(0)
    joined.write(b"HTTP/1.1 200 OK\r\n\r\n")
    joined.write(b"{}")
    joined.write(b"more")
    assert connection.calls == [called]


async def test_a_head_that_is_kept_goes_nowhere_once_the_client_is_gone() -> None:
    """It went between the head and the end of this turn of the loop."""
    connection = Written()
    joined = Joined(connection, asyncio.get_running_loop())
    joined.write(b"HTTP/1.1 200 OK\r\n\r\n")
    connection.close()
    await asyncio.sleep(0)
    assert connection.calls == ["closed"]
