"""Workflows written in Python, carried out by a whole application."""

import os
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from reactor import App, RunFailed, Step, Workflow, WorkflowBuilder, step
from reactor.testing import build_parallel_workflow
from reactor.tests.language.python_samples import Apart, Charge


class Pay(Workflow):
    """Pays, and gives the money back when shipping fails."""

    refunds: ClassVar[list[Any]] = []

    @step
    async def charge(self, order_id: str, total: float = 2) -> Charge:
        return Charge(f"c-{order_id}", total)

    @charge.compensate
    async def refund(self, charge: Charge, error: Any, order_id: str) -> None:
        self.refunds.append((charge, error["code"], order_id))

    @step
    def ship(self, charge: Charge) -> str:
        if charge.total > 5:
            raise ValueError("too heavy")
        return f"{charge.charge_id}-shipped"


class Resource(Step):
    """Makes a resource, and removes it."""

    there: ClassVar[list[str]] = []

    async def execute(self, name: str) -> str:
        self.there.append(name)
        return name

    async def compensate(self, context: Any, error: Any) -> None:
        assert error["code"] == "connection"
        self.there.remove(context.output)


def fail(made: str) -> None:
    raise ConnectionError(f"nobody answers {made} {Resource.there}")


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App(listen=False)
    app.register(Pay)
    app.register(Apart)
    async with app:
        yield app


@pytest.mark.req("E-DEF-3")
@pytest.mark.req("E-DEF-14")
async def test_a_class(app: App) -> None:
    run = await app.start(Pay, order_id="A1")
    assert await run.result(timeout=30) == {"ship": "c-A1-shipped"}


@pytest.mark.req("E-DEF-3")
@pytest.mark.req("S-6")
async def test_a_class_is_undone(app: App) -> None:
    run = await app.start(Pay, order_id="A2", total=9)
    with pytest.raises(RunFailed) as told:
        await run.result(timeout=30)
    assert (told.value.code, told.value.failed_step, told.value.state) == ("step_failed", "ship", "compensated")
    assert Pay.refunds == [(Charge("c-A2", 9.0), "step_failed", "A2")]


@pytest.mark.req("EX-2")
@pytest.mark.req("P-12")
@pytest.mark.req("E-EXE-25")
async def test_a_builder(app: App) -> None:
    built = (
        WorkflowBuilder("dynamic_workflow", outputs={"both": "${{ steps }}"})
        .step("step2", lambda step1: step1 + 1, needs=["step1"])
        .step("step1", lambda: 1)
        .build()
    )
    assert await app.deploy(built) == ["dynamic_workflow"]
    result = await (await app.start(built)).result(timeout=30)
    assert [result["both"][name]["output"] for name in ("step1", "step2")] == [1, 2]


@pytest.mark.req("E-STEP-1")
@pytest.mark.req("EX-13")
@pytest.mark.req("S-6")
async def test_a_step_class_undoes_what_it_did(app: App) -> None:
    await app.deploy(WorkflowBuilder("made").step("made", Resource).step("fails", fail).build())
    run = await app.start("made", name="123")
    with pytest.raises(RunFailed) as told:
        await run.result(timeout=30)
    assert told.value.error is not None
    assert told.value.error.message == "made:fails raised ConnectionError: nobody answers 123 ['123']"
    assert told.value.state == "compensated"
    assert Resource.there == []


class Cleaner(Step):
    """Takes away what another step made: a handler of its own, for any step."""

    async def compensate(self, context: Any, error: Any) -> None:
        assert error["code"] == "connection"
        Resource.there.remove(context.output)


@pytest.mark.req("S-6")
async def test_a_component_of_its_own_undoes_a_step(app: App) -> None:
    async def make(name: str) -> str:
        Resource.there.append(name)
        return name

    await app.deploy(WorkflowBuilder("cleaned").step("made", make, compensate=Cleaner).step("fails", fail).build())
    run = await app.start("cleaned", name="456")
    with pytest.raises(RunFailed) as told:
        await run.result(timeout=30)
    assert told.value.error is not None
    assert told.value.error.message == "cleaned:fails raised ConnectionError: nobody answers 456 ['456']"
    assert (told.value.state, Resource.there) == ("compensated", [])


async def test_steps_in_processes_of_their_own(app: App) -> None:
    where, here = (await (await app.start(Apart)).result(timeout=60))["after"]
    assert here == os.getpid()
    assert where != here
    run = await app.start(Apart, fails=True)
    with pytest.raises(RunFailed) as told:
        await run.result(timeout=60)
    assert told.value.state == "compensated"


@pytest.mark.req("Q-6")
@pytest.mark.req("EX-14")
@pytest.mark.uncovered
@pytest.mark.alone
@pytest.mark.req("E-EXE-5")
@pytest.mark.req("E-EXE-11")
async def test_ten_parallel_seconds_take_less_than_two(app: App) -> None:
    await app.deploy(build_parallel_workflow(10))
    run = await app.start("parallel_ten")
    assert list((await run.result(timeout=30)).values()) == list(range(1, 11))
    assert 1_000 <= (await run.status())["execution_ms"] <= 2_000
