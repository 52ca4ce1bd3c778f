"""Name resolution that refuses addresses: what is connected to is exactly what was judged."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from .addresses import literal, verdict


class BlockedAddressError(OSError):
    """A name that resolves to an address that must not be reached."""

    def __init__(self, host: str, address: str, why: str) -> None:
        super().__init__(f"{host} is {address}")
        self.host = host
        self.address = address
        self.why = why


class JudgingResolver(AbstractResolver):
    """The system's resolver; one refused address among several refuses the name."""

    def __init__(self, private_refused: bool) -> None:
        self._private_refused = private_refused
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp wants it. Raises BlockedAddressError."""
        found = await self._inner.resolve(host, port, family)
        for row in found:
            address = literal(row["host"])
            why = verdict(address, private_refused=self._private_refused) if address is not None else ""
            if why:
                raise BlockedAddressError(host, row["host"], why)
        return found

    async def close(self) -> None:
        """Nothing is kept."""
        await self._inner.close()
