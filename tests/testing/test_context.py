"""Unit tests of single steps, with a context of prior results."""

from typing import Any, ClassVar

import pytest

import reactor.testing
from reactor import Step, StepError
from reactor.testing.context import KEY, Told, step_context


class ProcessData(Step):
    """Reads what the step before gave."""

    async def execute(self, context: Any) -> dict[str, Any]:
        context.log("processing", size=4)
        context.progress(0.5, "half")
        return {"processed": context.results["previous_step"]["data"] == "test"}


class CreateResource(Step):
    """Makes a resource, and removes it."""

    resources: ClassVar[set[str]] = set()

    async def execute(self, context: Any) -> dict[str, str]:
        self.resources.add(context.inputs["id"])
        return {"resource_id": context.inputs["id"]}

    async def compensate(self, context: Any, error: Any) -> None:
        self.resources.discard(context.output["resource_id"])


@pytest.mark.req("H-1")
async def test_a_step_with_a_prior_result() -> None:
    told = Told()
    context = step_context(results={"previous_step": {"data": "test"}}, told=told)
    assert await ProcessData().execute(context) == {"processed": True}
    assert told.log == [("info", "processing", {"size": 4})]
    assert told.progress == [(0.5, "half")]


@pytest.mark.req("H-1")
async def test_undoing_leaves_no_resource() -> None:
    await CreateResource().execute(step_context({"id": "123"}))
    assert CreateResource.resources == {"123"}
    context = step_context(output={"resource_id": "123"}, error=StepError("failed", "no", "park"))
    await CreateResource().compensate(context, context.error)
    assert CreateResource.resources == set()
    assert context.error["code"] == "failed"


async def test_what_a_context_has() -> None:
    context = step_context({"a": 1}, run={"workflow": "w"}, metadata={"team": "shop"}, state={"n": 5}, attempt=2)
    assert (context.inputs, context.metadata, context.attempt, context.idempotency_key) == (
        {"a": 1},
        {"team": "shop"},
        2,
        KEY,
    )
    assert context.run["workflow"] == "w"
    assert await context.state.get("n") == 5
    context.state.increment("n")
    assert [(op.op, op.key) for op in context.state.ops] == [("increment", "n")]
    assert step_context(state={"n": 5}, asynchronous=False).state.get("n") == 5
    assert step_context(cancelled=True).cancelled
    with pytest.raises(AttributeError, match=r"^the context is read-only: `step` cannot be set$"):
        context.step = "other"


def test_public_names() -> None:
    for name in reactor.testing.__all__:
        assert getattr(reactor.testing, name).__name__ == name
    with pytest.raises(AttributeError, match=r"^module 'reactor.testing' has no attribute 'nothing'$"):
        _ = reactor.testing.nothing
