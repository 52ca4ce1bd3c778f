"""What happens at a server, or in this process, as it happens: Server-Sent Events, read on after every interruption.

A connection that is lost is made again with the id of what was seen last, so that nothing is missed; where the server
cannot go on from there it says so by `reset`. Source: HTML, server-sent events; language page, section 7.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec

from ..core.clock import SYSTEM
from .failures import Unreachable

AWAY_S_MAX = 30.0  # a server that was there may be away this long, to be started again
_AGAIN_S, _AGAIN_S_MAX = 0.1, 2.0
OPEN, RESET, EVENT = "open", "reset", "message"


class Told(NamedTuple):
    """`open`: from now on nothing is missed; `reset`: something was; `message`: an event."""

    kind: str
    event: dict[str, Any]


class Block(NamedTuple):
    """One block of the stream, its fields."""

    kind: str
    id: str
    data: str


Connect = Callable[[str], AsyncGenerator[bytes, None]]
"""The bytes of the stream after an id (empty: from now on). Raises Unreachable."""


async def told(connect: Connect) -> AsyncGenerator[Told, None]:
    """What comes, over all connections, until the caller has enough.

    Raises Unreachable: the server was never there, or is away for longer than AWAY_S_MAX.
    """
    last, wait, away = "", _AGAIN_S, 0.0
    while True:
        try:
            async with aclosing(connect(last)) as parts:
                async for block in blocks(parts):
                    last, wait, away = block.id or last, _AGAIN_S, 0.0
                    if block.kind == RESET:
                        yield Told(RESET, {})
                    elif block.data:
                        yield Told(EVENT, msgspec.json.decode(block.data))
                    else:
                        yield Told(OPEN, {})
        except Unreachable:
            away = away or SYSTEM.monotonic()
            if not last or SYSTEM.monotonic() - away > AWAY_S_MAX:
                raise
        await SYSTEM.sleep(wait)
        wait = min(2 * wait, _AGAIN_S_MAX)


async def blocks(parts: AsyncIterator[bytes]) -> AsyncGenerator[Block, None]:
    """The blocks of a stream of bytes; comments, and what its end cuts off, are left out."""
    left = b""
    async for part in parts:
        *whole, left = (left + part).split(b"\n\n")
        for text in whole:
            fields = dict[str, str]()
            for line in text.decode().split("\n"):
                name, _, value = line.partition(":")
                if name:
                    fields[name] = value.removeprefix(" ")
            if "id" in fields:
                yield Block(fields.get("event", EVENT), fields["id"], fields.get("data", ""))
