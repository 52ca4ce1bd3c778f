"""What a program is told that asks an `App` for what cannot be."""

import re
from typing import Any, cast

import pytest

from reactor import App, RunFailed, WorkflowBuilder
from reactor.core.errors import ConfigError
from reactor.core.event import InvalidEvent
from reactor.core.pages import BadPage
from reactor.core.plain import json_fault
from reactor.engine.prepare import InvalidInput
from reactor.language.definition import TriggerSpec
from reactor.language.diagnostics import InvalidDefinition
from reactor.testing import TestApp


def _same(x: Any) -> Any:
    return x


WORKFLOW = WorkflowBuilder("same").step("one", _same).build()
WAITS = WorkflowBuilder("waits").step("nap", "wait", with_={"for": "1h"}).build()


async def test_before_it_is_open_a_call_says_how_it_is_opened() -> None:
    app = App()
    for call in (app.start("same"), app.emit("a"), app.get("1"), app.handle("1"), app.runs(), app.deploy(WORKFLOW)):
        with pytest.raises(AttributeError, match=r"before it is open: write `async with app:` around its calls$"):
            await call


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"connections": {"broker": {"kafak": {}}}}, "`kafak` is not a key of a connection"),
        ({"connections": {"broker": {"kafka": {"servers": ["a:1"], "sevrers": []}}}}, "did you mean servers?"),
        ({"connections": {"broker": {}}}, "a connection has one kind; found nothing"),
        ({"triggers": {"inbox": {"flie": {"path": "inbox"}}}}, "there is no trigger kind `flie`"),
        ({"triggers": {"beat": {"every": "15"}}}, "the duration '15' has no unit"),
    ],
)
def test_what_is_wrong_in_its_connections_and_triggers_is_told_at_once(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDefinition, match=re.escape(said)):
        App(**given)


async def test_triggers_are_given_in_the_words_of_the_file() -> None:
    spec = TriggerSpec(name="other", kind="every", config={"interval": "1h"})
    async with App(triggers={"beat": {"every": "15s"}, "other": spec}) as app:
        assert sorted(app.supervisor.readers) == ["beat", "other"]
    broker = {"broker": {"kafka": {"servers": ["localhost:1"]}}}
    app = App(connections=broker, triggers={"orders": {"kafka": {"connection": "broker", "topic": "t"}}})
    assert app.project.triggers["orders"].kind == "kafka"


def test_a_writer_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="is thread or process; found `proces`"):
        App(writer=cast("Any", "proces"))


async def test_runs_are_asked_for_by_what_there_is() -> None:
    async with App() as app:
        with pytest.raises(BadPage, match="not asked for by `stat`; there are: correlation, event, label,"):
            await app.runs(stat="failed")


async def test_what_is_no_json_is_named_with_its_place() -> None:
    async with App() as app:
        await app.deploy(WORKFLOW)
        with pytest.raises(InvalidEvent, match=r"^the event `a`: `data\.x\[1\]` is not JSON: object has no JSON form$"):
            await app.emit("a", {"x": [1, object()]})
        with pytest.raises(InvalidInput, match=r"^inputs of `same`: `inputs\.x` is not JSON: object has no JSON form$"):
            await app.start("same", x=object())


def test_a_value_that_holds_itself_is_no_json() -> None:
    whole: list[Any] = []
    whole.append(whole)
    assert json_fault(whole, "data") == "`data` is not JSON: it is nested too deeply, or holds itself"
    assert json_fault({"a": [1, None]}, "data") is None
    assert json_fault({"a": "\ud800"}, "data") is not None


async def test_a_result_that_takes_too_long_names_the_run() -> None:
    async with App() as app:
        await app.deploy(WAITS)
        run = await app.start("waits")
        with pytest.raises(TimeoutError, match=f"^the run {run.id} has not ended within 0.01 s: "):
            await run.result(timeout=0.01)


async def test_the_run_that_an_event_started_has_a_handle() -> None:
    when = WorkflowBuilder("same", when=[{"event": "order.placed"}]).step("one", _same).build()
    async with TestApp() as app:
        await app.deploy(when)
        receipt = await app.emit("order.placed", {"x": 7})
        run = await app.handle(receipt.runs[0])
        assert (run.id, await run.result(timeout=60)) == (receipt.runs[0], {"one": 7})


def _logs(context: Any) -> None:
    context.log("packed", level="waning")


async def test_a_level_that_there_is_not_fails_the_step() -> None:
    async with App() as app:
        await app.deploy(WorkflowBuilder("logs").step("one", _logs).build())
        with pytest.raises(RunFailed, match=r"`level` of `context.log` is debug, info, warning, error; found 'waning'"):
            await (await app.start("logs")).result(timeout=60)
