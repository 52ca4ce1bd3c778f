"""Ten steps of one second, side by side: python examples/parallel_ten.py"""

from __future__ import annotations

import asyncio

from reactor import App
from reactor.testing import build_parallel_workflow

workflow = build_parallel_workflow(10)


async def main() -> None:
    """Run it once, and say how long it took."""
    app = App()
    app.register(workflow)
    async with app:
        run = await app.start(workflow)
        print(await run.result(timeout=60))
        print(f"{(await run.status())['execution_ms'] / 1000:.2f} s")


if __name__ == "__main__":
    asyncio.run(main())
