"""The durable state of a deployment. Above this level only `contract` is seen; `open_store` is for `app.py` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import ConfigError

if TYPE_CHECKING:
    from ..core.clock import Clock
    from .contract import Store


def open_store(
    url: str, *, durability: str = "power", clock: Clock, address: str = "", writer: str = "thread"
) -> Store:
    """The store of a URL (`sqlite:///reactor.db`, `:memory:`, `postgresql://user@host/db`), not open yet: await `open`.

    `durability` is `power` (an acknowledged unit survives a power cut) or `process` (it survives a kill -9). `address`
    is what a second process is told of this one. `writer`: an SQLite file is written by a `thread`, or a `process` of
    its own. Raises ConfigError for a URL that names no store.
    """
    if writer not in ("thread", "process"):
        raise ConfigError(f"the `writer` of a store is thread or process; found `{writer}`")
    if url.startswith(("postgresql://", "postgres://")):
        from .postgres import PostgresStore

        return PostgresStore(url, durability=durability, clock=clock, address=address)
    from .sqlite import SqliteStore

    return SqliteStore(url, durability=durability, clock=clock, address=address, writer=writer)
