"""A process is a row of `node`: a number drawn from a sequence, and a lease on the database's clock, renewed by its
own thread.

The thread has a connection of its own, so that a busy pool does not cost the lease, and stops renewing when the event
loop has not turned for a whole lease: a process that does nothing is not alive (journal.md, "Fencing").
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from ..core.clock import SYSTEM
from ..core.errors import Fenced, ReactorError
from ..core.limits import NODE_TTL_S, SWEEP_S
from ..core.loops import LOOPS
from .postgres_sql import Connection, connect, meaning

LIVING_S = 2.5 * SWEEP_S  # in this time a living process has renewed its lease

_NEW = (
    "INSERT INTO node (id, address, expires)"
    " VALUES (nextval('node_id'), $1, now() + make_interval(secs => $2)) RETURNING id"
)
_RENEW = "UPDATE node SET expires = now() + make_interval(secs => $2) WHERE id = $1 RETURNING 1"
_SERVERS = "SELECT id, address, expires FROM node WHERE id < $1 AND address <> '' AND expires > now()"
_EXPIRED = (
    "DELETE FROM node WHERE id IN (SELECT id FROM node WHERE expires < now() FOR UPDATE SKIP LOCKED) RETURNING id"
)


async def new_node(connection: Connection, address: str, lanes: int) -> int:
    """Draw a number and take its lease, with a row for each lane."""
    async with connection.transaction():
        node: int = await connection.fetchval(_NEW, address, NODE_TTL_S)
        await connection.execute(
            "INSERT INTO lane (node, no, grp) SELECT $1, generate_series(0, $2 - 1), 0", node, lanes
        )
    return node


async def living_server(connection: Connection, node: int) -> str:
    """The address of another process that serves from this database, and began before this one; empty: there is none.

    One that was killed has its lease still, but renews it no more: waits LIVING_S to see that.
    """
    seen = {row[0]: row[2] for row in await connection.fetch(_SERVERS, node)}
    until = SYSTEM.monotonic() + LIVING_S
    while seen and SYSTEM.monotonic() < until:
        await SYSTEM.sleep(0.1)
        now = {row[0]: row for row in await connection.fetch(_SERVERS, node)}
        for id, expires in tuple(seen.items()):
            if id not in now:
                del seen[id]
            elif now[id][2] != expires:
                return str(now[id][1])
    return ""


async def end_node(connection: Connection, node: int) -> None:
    """Give the lease back: what it had is free at once."""
    await connection.execute("DELETE FROM node WHERE id = $1", node)


class Lease:
    """Renews a node's lease until it is stopped, or finds that others have taken its work."""

    def __init__(self, url: str, node: int, lost: Callable[[Fenced], None]) -> None:
        self._url = url
        self._node = node
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._turned_at = SYSTEM.monotonic()
        self._good_since: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="store-lease", daemon=True)
        self._thread.start()

    @property
    def good_standing(self) -> bool:
        """Have all renewals of one whole lease succeeded? Only then may expired nodes be buried: if the database was
        away, all nodes look dead to the first that is back.
        """
        since = self._good_since
        return since is not None and SYSTEM.monotonic() - since >= NODE_TTL_S

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        asyncio.run(self._renew())

    async def _renew(self) -> None:
        connection: Connection = None
        while not self._ended.is_set():
            try:
                if self._loop.is_closed():
                    return
                self._loop.call_soon_threadsafe(self._turned)
                if SYSTEM.monotonic() - self._turned_at < NODE_TTL_S:
                    if connection is None:
                        connection = await connect(self._url, statement_s=NODE_TTL_S)
                    if await connection.fetchval(_RENEW, self._node, NODE_TTL_S) is None:
                        self._loop.call_soon_threadsafe(self._lost, fenced(self._node))
                        return
                    if self._good_since is None:
                        self._good_since = SYSTEM.monotonic()
                else:
                    self._good_since = None
            except Exception as error:  # noqa: BLE001  # without renewals the work of this node goes to others
                self._good_since = None
                if connection is not None:
                    connection.terminate()
                    connection = None
                if not isinstance(meaning(error, self._url), ReactorError) and not isinstance(error, RuntimeError):
                    LOOPS.failed("lease of the store", error)
            await asyncio.get_running_loop().run_in_executor(None, self._ended.wait, SWEEP_S)
        if connection is not None:
            connection.terminate()  # it has nothing under way: there is nothing to wait for

    def _turned(self) -> None:
        self._turned_at = SYSTEM.monotonic()


def fenced(node: int) -> Fenced:
    """The end of a process whose row is gone."""
    return Fenced(
        f"node {node} was taken for dead and its work given to others: this process must write nothing more",
        hint="start it again; it was stopped or cut off from the database for longer than its lease",
    )


async def bury(connection: Connection) -> list[int]:
    """Remove nodes whose lease has run out; waits for their groups under way, and fences all later ones."""
    return [row[0] for row in await connection.fetch(_EXPIRED)]
