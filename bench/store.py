"""The store alone under the load of W2 (docs/budgets.md): starts, step results and ends, a hundred workflows in flight.

    python -P -m reactor.bench.store [--url sqlite:////tmp/bench.db] [--workflows 20000] [--accept] [--durability power]

Each workflow is one unit that starts its run (with --accept: an event with identity and run), five units of one
journal row, and one that ends it; the next is submitted when the one before is durable. The driver does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time

from reactor.core import ids
from reactor.core.clock import SYSTEM
from reactor.store import open_store
from reactor.store.contract import (
    Acceptance,
    EventRow,
    JournalRow,
    RunChange,
    RunRow,
    RunStart,
    RunState,
    Store,
    Unit,
)

STEPS = 5
BODY = b'{"output":{"order":4711,"total":99.5},"started_at":1767225600.0}'
EVENT = b'{"specversion":"1.0","id":"1","source":"/shop","type":"created","data":{"pad":"' + b"x" * 800 + b'"}}'


def start_unit(number: int, event: int, accept: bool) -> Unit:
    """The unit that starts a run; with `accept` it brings the event that does."""
    run = RunRow(
        number, ids.digest("bench", number), "bench", "1.0.0", b"d" * 16, 0, b'{"order":4711}', SYSTEM.now(),
        event=event if accept else 0, correlation=str(number),
    )  # fmt: skip
    if not accept:
        return Unit(runs=(RunStart(run),))
    row = EventRow(event, "/shop", str(number), "order.created", "shop", SYSTEM.now(), 1, EVENT)
    return Unit(
        accept=(Acceptance(row, ids.identity("shop", "/shop", str(number)), (RunStart(run),)),), bytes_=len(EVENT)
    )


async def workflow(store: Store, number: int, event: int, accept: bool) -> None:
    """One run from its start to its end."""
    receipt = await store.submit(start_unit(number, event, accept))
    assert not receipt.refused
    for step in range(STEPS):
        await store.submit(Unit(journal=(JournalRow(number, step << 40, 0, BODY, 0, 12345),)))
    end = RunChange(
        number, "open", state=RunState.COMPLETED, output=BODY, steps=BODY, transitions=2, ended_at=SYSTEM.now()
    )
    receipt = await store.submit(Unit(changes=(end,)))
    assert not receipt.refused


async def measure(store: Store, numbers: ids.Numbers, workflows: int, in_flight: int, accept: bool) -> float:
    """Workflows a second."""
    left = workflows

    async def lane() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            number = numbers.draw()
            await workflow(store, number, number, accept)

    began = time.perf_counter()
    await asyncio.gather(*[lane() for _ in range(in_flight)])
    return workflows / (time.perf_counter() - began)


async def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="")
    parser.add_argument("--workflows", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--durability", default="power", choices=["power", "process"])
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(wanted.url or f"sqlite:///{folder}/bench.db", durability=wanted.durability, clock=SYSTEM)
        await store.open()
        numbers = ids.Numbers(store.node)
        try:
            cpu = time.process_time()
            rate = await measure(store, numbers, wanted.workflows, wanted.in_flight, wanted.accept)
            cpu = (time.process_time() - cpu) / wanted.workflows * 1e6
            one = await measure(store, numbers, 200, 1, wanted.accept)
        finally:
            await store.close()
    kind = "events" if wanted.accept else "runs"
    speed = f"{rate:,.0f} workflows/s, {cpu:.0f} us CPU each"
    print(f"{kind}, {wanted.in_flight} in flight: {speed}; alone: {1000 / one:.2f} ms")


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
