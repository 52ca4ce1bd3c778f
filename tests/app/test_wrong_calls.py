"""What a program is told that asks an `App` for what cannot be."""

import re
from pathlib import Path
from typing import Any, cast

import pytest

from reactor import App, RunFailed, WorkflowBuilder
from reactor.core.errors import ConfigError
from reactor.core.event import Event, InvalidEvent, encode
from reactor.core.limits import EVENT_BYTES_MAX
from reactor.core.pages import BadPage
from reactor.core.plain import json_fault
from reactor.engine.prepare import InvalidInput
from reactor.engine.signals import RunNotFound
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


async def test_an_event_over_the_limit_is_refused_as_post_events_does() -> None:
    event = Event(type="a", source="/reactor", id="1", data="x" * EVENT_BYTES_MAX, datacontenttype="application/json")
    said = f"the event has {len(encode(event))} bytes; at most {EVENT_BYTES_MAX} are taken"
    async with App() as app:
        for call in (app.emit("a", event.data, id="1"), app.events_api.publish((event,))):
            with pytest.raises(InvalidEvent) as told:
                await call
            assert (told.value.code, str(told.value)) == ("too_large", said)
        event = Event(type="a", source="/reactor", id="1", data="x", datacontenttype="application/json")
        fits = "x" * (EVENT_BYTES_MAX - len(encode(event)) + 1)
        receipt = await app.emit("a", fits, id="1")
        assert receipt.verdict == "unmatched"
        assert (
            await app.events_api.replay(receipt.event)
        ).verdict == "unmatched"  # it is a few bytes longer, and was taken


async def test_the_limit_is_that_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "reactor.yaml").write_text("store: ':memory:'\nserver: {limits: {body: 1KiB}}\n")
    async with App(project=tmp_path) as app:
        with pytest.raises(InvalidEvent, match=r"^the event has 1\d\d\d bytes; at most 1024 are taken$"):
            await app.emit("a", "x" * 1024)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": 5}, "`type` must be text; found 5"),
        ({"type": None}, "`type` must be non-empty text; found None"),
        ({"type": "a", "id": 5}, "`id` must be text; found 5"),
        ({"type": "a", "source": 5}, "`source` must be text; found 5"),
        ({"type": "a", "subject": 5}, "`subject` must be text; found 5"),
        (
            {"type": "a", "subject": {1}.__iter__},
            "the event `a`: `subject` is not JSON: method-wrapper has no JSON form",
        ),
    ],
)
async def test_the_words_of_an_event_are_text(given: dict[str, Any], said: str) -> None:
    async with App() as app:
        with pytest.raises(InvalidEvent) as told:
            await app.emit(**given)
        assert str(told.value) == said


async def test_data_that_holds_itself_is_named() -> None:
    whole: list[Any] = []
    whole.append(whole)
    async with App() as app:
        with pytest.raises(InvalidEvent) as told:
            await app.emit("a", whole)
        assert str(told.value) == "the event `a`: `data` is not JSON: it is nested too deeply, or holds itself"


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        ({"x": 1}, {"labels": [1]}, "`labels` must be a mapping of names to values; found [1]"),
        ({"x": 1}, {"labels": "a"}, "`labels` must be a mapping of names to values; found 'a'"),
        ({"x": 1}, {"labels": {"a": object()}}, "`labels.a` is not JSON: object has no JSON form"),
        ([1], {}, "inputs of `same` must be a mapping of names to values; found [1]"),
    ],
)
async def test_labels_and_inputs_are_mappings(given: Any, more: dict[str, Any], said: str) -> None:
    async with App() as app:
        await app.deploy(WORKFLOW)
        with pytest.raises(InvalidInput) as told:
            await app.start("same", given, **more)
        assert str(told.value) == said


async def test_a_time_limit_is_a_number() -> None:
    async with App() as app:
        await app.deploy(WORKFLOW)
        run = await app.start("same", x=1)
        with pytest.raises(TypeError) as told:
            await run.result(timeout=cast("Any", "5"))
        assert str(told.value) == "`timeout` is a number of seconds, or None for no limit; found '5'"


async def test_a_run_is_named_by_text() -> None:
    async with App() as app:
        for call in (app.get(cast("Any", 5)), app.handle(cast("Any", 5)), app.cancel(cast("Any", 5))):
            with pytest.raises(RunNotFound) as told:
                await call
            assert str(told.value) == "`5` is no run of this store"
