"""A workflow built at run time: python examples/dynamic.py"""

from __future__ import annotations

import asyncio

from reactor import App, WorkflowBuilder


def first() -> dict[str, str]:
    """The first step."""
    print("step1: hello")
    return {"greeting": "hello"}


def second(step1: dict[str, str]) -> str:
    """The second: its argument is called like the first step, so it gets that step's result."""
    print(f"step2: got {step1['greeting']}")
    return f"{step1['greeting']}, world"


workflow = WorkflowBuilder("dynamic_workflow").step("step1", first).step("step2", second, needs=["step1"]).build()


async def main() -> None:
    """Run it once."""
    app = App()
    app.register(workflow)
    async with app:
        run = await app.start(workflow)
        print(await run.result(timeout=60))


if __name__ == "__main__":
    asyncio.run(main())
