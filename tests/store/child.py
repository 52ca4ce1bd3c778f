"""A process that is to be killed: it submits units for ever, and says the number of each that was acknowledged.

    python -P -m reactor.tests.store.child URL LANES-OF-WORK thread|process [lying]

Unit n starts run n with one journal row, one dead letter and one mark: all of them, or none, may be found afterwards.
"""

import asyncio
import os
import sys

from reactor.core import ids
from reactor.core.clock import SYSTEM
from reactor.core.event import Mark
from reactor.store import open_store
from reactor.store.contract import DeadLetter, Store, Unit
from reactor.testing.store_units import accept, start, step


def whole_unit(number: int) -> Unit:
    """A unit with rows in many tables."""
    return Unit(
        accept=(accept(number, start(number, event=number)),),
        journal=step(number, 0, b"x" * (number % 3_000)).journal,
        dead=(DeadLetter(number, 0.0, "t", "/s", str(number), "config", b"{}"),),
        marks=(Mark("t", str(number), b"1"),),
    )


async def half_there(store: Store, acknowledged: set[int], numbers: list[int]) -> dict[int, list[bool]]:
    """Which of these units are not whole, or are missing though they were acknowledged."""
    marks = await store.marks("t")
    wrong: dict[int, list[bool]] = {}
    for number in numbers:
        parts = [
            await store.run(number) is not None,
            await store.event(number) is not None,
            len(await store.journal(number)) == 1,
            await store.dead_letter(number) is not None,
            str(number) in marks,
        ]
        if len(set(parts)) > 1 or (number in acknowledged and not all(parts)):
            wrong[number] = parts
    return wrong


async def main(url: str, lanes: int, writer: str, lying: bool) -> None:
    """Submit until killed; a lying one acknowledges before the unit is durable."""
    store = open_store(url, clock=SYSTEM, writer=writer)
    await store.open()
    numbers = ids.Numbers(store.node)

    async def lane() -> None:
        while True:
            number = numbers.draw()
            os.write(1, b"?%d\n" % number)
            future = store.submit(whole_unit(number))
            if lying:
                os.write(1, b"!%d\n" % number)
            if not (await future).refused and not lying:
                os.write(1, b"!%d\n" % number)

    await asyncio.gather(*[lane() for _ in range(lanes)])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], "lying" in sys.argv))
