"""A step that creates a resource, and deletes it when a later step fails: python examples/my_step.py"""

from __future__ import annotations

import asyncio
from typing import Any

from reactor import App, RunFailed, Step, WorkflowBuilder

RESOURCES: set[str] = set()  # stands for a service elsewhere


class MyStep(Step):
    """Creates a resource; `compensate` is called when the run fails later."""

    async def execute(self, resource_id: str) -> dict[str, str]:
        RESOURCES.add(resource_id)
        return {"resource_id": resource_id}

    async def compensate(self, context: Any, error: Any) -> None:
        RESOURCES.discard(context.output["resource_id"])


def use(my_step: dict[str, str], works: bool = True) -> str:
    """A later step."""
    if not works:
        raise RuntimeError(f"{my_step['resource_id']} cannot be used")
    return f"used {my_step['resource_id']}"


workflow = WorkflowBuilder("resource").step("my_step", MyStep).step("use", use).build()


async def main() -> None:
    """Run it once well and once not."""
    app = App()
    app.register(workflow)
    async with app:
        print(await (await app.start(workflow, resource_id="122")).result(timeout=60), RESOURCES)
        try:
            await (await app.start(workflow, resource_id="123", works=False)).result(timeout=60)
        except RunFailed as failed:
            print(failed.state, RESOURCES)


if __name__ == "__main__":
    asyncio.run(main())
