"""Kills a process that writes to a store, again and again, and looks at what it left."""

import asyncio
import os
import random
import signal
import sys

SOAK = bool(os.environ.get("REACTOR_SOAK"))


async def killed(
    url: str, *, after: int, lanes: int, lying: bool = False, writer: str = "thread"
) -> tuple[set[int], list[int]]:
    """Numbers that a child had acknowledged when kill -9 met it, and all that it had submitted."""
    child = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-P",
            "-m",
            "reactor.tests.store.child",
            url,
            str(lanes),
            writer,
            *(["lying"] if lying else []),
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    acknowledged: set[int] = set()
    submitted: list[int] = []
    async with asyncio.timeout(60):
        while line := await child.stdout.readline():
            number = int(line[1:])
            if line[:1] == b"?":
                submitted.append(number)
                continue
            acknowledged.add(number)
            if len(acknowledged) == after:
                child.send_signal(signal.SIGKILL)
    await child.wait()
    assert child.returncode == -signal.SIGKILL
    return acknowledged, submitted


def afters(kills: int) -> list[int]:
    """How many acknowledgements each child lives, the same in every run."""
    seeded = random.Random(7)
    return [seeded.randint(1, 400) for _ in range(kills * (20 if SOAK else 1))]
