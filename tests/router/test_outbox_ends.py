"""A loop of the outbox ends when it is told to, also in the very moment in which something came."""

from __future__ import annotations

import asyncio
from pathlib import Path

from reactor.core.errors import StoreFailed
from reactor.tests.engine.rig import Rig


async def test_a_cancel_that_comes_with_a_row_is_not_swallowed(tmp_path: Path) -> None:
    """Else a server would wait for ever for its own end."""

    def fatal(error: StoreFailed) -> None:
        raise error

    async with Rig(f"sqlite:///{tmp_path}/r.db") as rig:
        assert rig.outbox is not None
        loops = rig.outbox.start(fatal)
        for turns in range(6):
            await asyncio.sleep(0.01)  # they wait
            rig.outbox.sent()
            for _ in range(turns):
                await asyncio.sleep(0)
            for loop in loops:
                loop.cancel()
            ended, running = await asyncio.wait(loops, timeout=5)
            assert not running, f"{len(running)} of {len(loops)} loops went on after a cancel {turns} turns after a row"
            assert len(ended) == 2
            loops = rig.outbox.start(fatal)
        for loop in loops:
            loop.cancel()
        await asyncio.wait(loops)
