"""Workflow classes: the same definitions as YAML gives."""

import dataclasses
import inspect
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reactor import Retry, Workflow, action, group, on, parallel, step, wait
from reactor.language.built_in import BUILT_IN
from reactor.language.definition import Loaded, WorkflowDefinition, encode
from reactor.language.loader import load_text
from reactor.language.python_mapping import coded
from reactor.language.python_nodes import called
from reactor.tests.language.python_samples import (
    BLOCKS_YAML,
    SHIP_ORDER_YAML,
    Apart,
    Blocks,
    Charge,
    ShipOrder,
)


def load(cls: type[Workflow]) -> Loaded:
    return coded(cls).load(BUILT_IN)


def of_yaml(text: str) -> WorkflowDefinition:
    result = load_text(text, "flow.yaml", BUILT_IN)
    assert result.diagnostics.errors == []
    return result.definitions[0]


@pytest.mark.req("E-DEF-3")
def test_a_class_gives_the_definition_that_yaml_gives() -> None:
    assert encode(load(ShipOrder).definition) == encode(of_yaml(SHIP_ORDER_YAML))


@pytest.mark.req("E-DEF-3")
def test_blocks_and_actions_as_attributes_give_what_yaml_gives() -> None:
    assert encode(load(Blocks).definition) == encode(of_yaml(BLOCKS_YAML))


def test_functions_are_found_by_workflow_and_step() -> None:
    functions = coded(ShipOrder).functions
    assert list(functions) == ["ship-order:charge", "ship-order:charge.compensate", "ship-order:ship"]
    assert str(inspect.signature(functions["ship-order:ship"])) == (
        "(charge: 'Charge', context: 'Any', express: 'bool' = False) -> 'dict[str, str]'"
    )


# As a module writes it that imports `Order` under `if TYPE_CHECKING` alone; from Python 3.14 on it needs no quotes.
UNKNOWN_NAMES = """
class Shipping(Workflow):
    def __init__(self, order: "Order" = None) -> None:
        pass

    @step
    def charge(self, order: "Order", count: int = 1) -> "Charge":
        return order, count

    @step
    async def ship(self, charge: list["Charge"]) -> None:
        return charge
"""


async def test_names_that_only_type_checkers_know_are_no_hindrance() -> None:
    names: dict[str, Any] = {"Workflow": Workflow, "step": step}
    exec(UNKNOWN_NAMES.replace('"', "") if sys.version_info >= (3, 14) else UNKNOWN_NAMES, names)
    loaded = load(names["Shipping"])
    assert loaded.definition.inputs["properties"] == {"order": {}, "count": {"type": "integer", "default": 1}}
    assert names["Shipping"].charge("A1") == ("A1", 1)
    assert await names["Shipping"].ship([2]) == [2]


@pytest.mark.req("E-DEF-6")
def test_metadata() -> None:
    definition = load(ShipOrder).definition
    assert definition.version == "1.2.0"
    assert definition.description == "Ship orders that were paid"
    assert definition.tags == ("orders", "eu")
    assert definition.metadata == {"team": "shop"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ShipOrder", "ship-order"),
        ("MyWorkflow", "my-workflow"),
        ("HTTPServer", "http-server"),
        ("Order2Parcel", "order2-parcel"),
        ("_Hidden", "hidden"),
        ("ETL", "etl"),
        ("lower", "lower"),
    ],
)
def test_names_of_classes(name: str, expected: str) -> None:
    assert called(type(name, (Workflow,), {})) == expected


def test_a_name_of_its_own_is_not_inherited() -> None:
    class Base(Workflow, name="base", version="1.0.0", tags=["a"]):
        @step
        def first(self) -> int:
            return 1

    class Derived(Base, tags=["b"]):
        @step
        def second(self, first: int) -> int:
            return first

    definition = load(Derived).definition
    assert (definition.workflow, definition.version, definition.tags) == ("derived", "1.0.0", ("b",))
    assert [each.name for each in definition.steps.steps] == ["first", "second"]
    assert load(Base).definition.workflow == "base"


def test_a_step_that_is_replaced_or_taken_away() -> None:
    class Base(Workflow):
        @step(timeout=1)
        def first(self) -> int:
            return 1

        @step
        def second(self) -> int:
            return 2

    class Derived(Base):
        @step(timeout=9)
        def first(self) -> int:
            return 3

        second: Any = None

    assert [(each.name, each.timeout_s) for each in load(Derived).definition.steps.steps] == [("first", 9.0)]
    assert coded(Derived).functions["derived:first"]() == 3


@pytest.mark.req("E-DEF-16")
def test_an_argument_called_like_a_step_makes_the_dependency() -> None:
    class Chain(Workflow):
        @step
        def save(self, processed: int, package: int) -> None:
            pass

        @step
        def processed(self, fetched: int) -> int:
            return fetched

        @step
        def fetched(self) -> int:
            return 1

        @step
        def package(self) -> int:
            return 1

    steps = {each.name: each.with_ for each in load(Chain).definition.steps.steps}
    assert steps["save"]["args"] == {
        "processed": "${{ steps.processed.output }}",
        "package": '${{ steps["package"].output }}',  # a word of CEL
    }
    assert steps["processed"]["args"] == {"fetched": "${{ steps.fetched.output }}"}
    assert "args" not in steps["fetched"]


@pytest.mark.req("E-DEF-15")
def test_an_argument_given_by_path() -> None:
    class Mapped(Workflow):
        @step
        def fetch_data(self) -> dict[str, Any]:
            return {"result": 1}

        @step(with_={"args": {"raw_data": "${{ steps.fetch_data.output.result }}"}}, output={"required": ["metrics"]})
        def process_data(self, raw_data: int, unit: str = "s") -> dict[str, Any]:
            return {"metrics": raw_data}

    definition = load(Mapped).definition
    assert definition.steps.steps[1].with_ == {
        "function": "mapped:process_data",
        "args": {"raw_data": "${{ steps.fetch_data.output.result }}", "unit": "${{ inputs.unit }}"},
    }
    assert definition.inputs["properties"] == {"unit": {"type": "string", "default": "s"}}
    assert definition.steps.steps[1].output == {"required": ["metrics"]}


def test_declared_inputs_are_the_only_ones() -> None:
    class Declared(Workflow, inputs={"order_id": "string", "note": {"type": "string", "default": ""}}):
        @step
        def charge(self, order_id: str, client: Any = None) -> None:
            pass

    definition = load(Declared).definition
    assert list(definition.inputs["properties"]) == ["order_id", "note"]
    assert definition.steps.steps[0].with_["args"] == {"order_id": "${{ inputs.order_id }}"}


def test_a_handler_may_take_error_output_and_other_steps() -> None:
    class Undone(Workflow):
        @step
        def reserve(self) -> str:
            return "r"

        @step
        def write(self, reserve: str) -> str:
            return "w"

        @write.compensate
        def erase(self, output: Any, error: Any, reserve: str, write: Any, reason: str = "failed") -> None:
            pass

    definition = load(Undone).definition
    handler = definition.steps.steps[1].compensate
    assert handler is not None
    assert handler.with_["args"] == {
        "output": "${{ output }}",
        "error": "${{ error }}",
        "reserve": "${{ steps.reserve.output }}",
        "write": "${{ output }}",
        "reason": "${{ inputs.reason }}",
    }
    assert definition.inputs["properties"] == {"reason": {"type": "string", "default": "failed"}}


def test_numbers_are_seconds() -> None:
    class Timed(Workflow, timeout=0.5, retry={"attempts": 2, "delay": 3, "max_delay": "1m"}):
        @step(retry=Retry(delay=0.25, max_delay=90), on_error={"http.5xx": {"retry": {"delay": 4}}, "*": "continue"})
        def first(self) -> None:
            pass

        second = action("log", message="x", timeout=2, compensate=action("log", message="y", timeout=7))

    definition = load(Timed).definition
    first, second = definition.steps.steps
    assert definition.timeout_s == 0.5
    assert (definition.retry.delay_s, definition.retry.max_delay_s) == (3.0, 60.0)
    assert (first.retry.delay_s, first.retry.max_delay_s) == (0.25, 90.0)
    assert first.on_error[0].retry.delay_s == 4.0
    assert second.timeout_s == 2.0
    assert second.compensate.timeout_s == 7.0


def test_places_of_steps_are_lines_of_the_program() -> None:
    places = load(Blocks).places
    assert places["steps.left"].file.endswith("python_samples.py")
    assert places["steps.both.steps.left"].line == places["steps.left"].line > 0
    assert places["steps.left"].path == "steps.both.steps.left"


# -- steps as functions


async def test_steps_can_be_called_in_tests() -> None:
    assert await ShipOrder().charge("A1", total=2.0) == Charge("c-A1", 2.0)
    assert await ShipOrder.charge("A1", total=2.0) == Charge("c-A1", 2.0)
    assert ShipOrder().ship(Charge("c", 1.0), None) == {"tracking": "c"}
    assert await ShipOrder().refund(None, "A1", None) is None


async def test_self_keeps_nothing() -> None:
    class Counting(Workflow):
        count = 0

        @step
        async def first(self) -> int:
            self.count += 1
            return self.count

        @step
        def second(self) -> int:
            self.count += 1
            return self.count

        @step
        async def third(self) -> AsyncIterator[int]:
            self.count += 1
            yield self.count

        @step
        @staticmethod
        def fourth(given: int) -> int:
            return given

    functions = coded(Counting).functions
    for _ in range(2):
        assert await functions["counting:first"]() == 1
        assert functions["counting:second"]() == 1
        assert [each async for each in functions["counting:third"]()] == [1]
    assert functions["counting:fourth"](given=5) == 5
    assert inspect.iscoroutinefunction(functions["counting:first"])
    assert inspect.isasyncgenfunction(functions["counting:third"])


def test_a_process_gets_a_reference_that_it_can_import() -> None:
    step_ = load(Apart).definition.steps.steps[0]
    assert step_.with_["function"] == "reactor.tests.language.python_samples:Apart.where"
    assert step_.compensate.with_["function"] == "reactor.tests.language.python_samples:Apart.undo"


def test_a_step_of_a_block_stands_only_there() -> None:
    class Inner(Workflow):
        @step
        def first(self) -> int:
            return 1

        @step
        def second(self) -> int:
            return 2

        both = parallel({"a": group([first], name="inner"), "b": [second]})
        after = wait(for_=1, needs=[both])

    definition = load(Inner).definition
    assert [path for path, _ in definition.walk()] == ["both", "both/inner", "both/inner/first", "both/second", "after"]


def test_triggers_in_python() -> None:
    class Started(
        Workflow,
        inputs={},
        when=[
            on.http("/orders", method="POST", wait=5, with_={}),
            on.file("in", glob="*.csv", ready={"stable": 2}),
            on.cron("0 6 * * *", timezone="Europe/Berlin", jitter=30, data={"wait": 3}),
            on.every(15, from_="2026-01-01T00:00:00Z"),
            on.at("2026-12-24T18:00:00+01:00"),
            on.kafka(topics=["a", "b"], start="earliest", reconnect={"delay": 1, "jitter": False}),
            on.jetstream("orders", subject="eu.>", ack_wait=60, id="event.data.id"),
            on.event("order.*", source="/shop", unless="vars.quiet"),
            on.workflow("charge-card", state="failed"),
            on.trigger("orders", match={"type": ["a"]}),
        ],
    ):
        @step
        def first(self) -> None:
            pass

    made = load(Started).definition
    assert encode(made) == encode(
        of_yaml("""
workflow: started
when:
  - {http: {path: /orders, method: POST, wait: 5s}, with: {}}
  - file: {path: in, glob: "*.csv", ready: {stable: 2s}}
  - cron: {schedule: "0 6 * * *", timezone: Europe/Berlin, jitter: 30s, data: {wait: 3}}
  - every: {interval: 15s, from: "2026-01-01T00:00:00Z"}
  - at: {time: "2026-12-24T18:00:00+01:00"}
  - {kafka: {topics: [a, b]}, start: earliest, reconnect: {delay: 1s, jitter: false}}
  - {jetstream: {stream: orders, subject: eu.>, ack_wait: 1m}, id: event.data.id}
  - {event: order.*, source: /shop, unless: vars.quiet}
  - {workflow: charge-card, state: [failed]}
  - {trigger: orders, match: {type: [a]}}
steps: {first: {python: {function: "started:first"}}}
""")
    )


def test_a_kind_of_a_plugin_by_its_name() -> None:
    assert on.serial_line(device="/dev/ttyS0", match={"data": {"ok": [True]}}) == {
        "serial_line": {"device": "/dev/ttyS0"},
        "match": {"data": {"ok": [True]}},
    }
    with pytest.raises(AttributeError, match=r"^module 'reactor.language.on' has no attribute '_private'$"):
        _ = on._private


def test_retry_writes_what_was_given() -> None:
    assert Retry().mapping() == {}
    assert Retry(attempts=2, if_="error.code == 'x'", jitter=True).mapping() == {
        "attempts": 2,
        "jitter": True,
        "if": "error.code == 'x'",
    }
    assert dataclasses.is_dataclass(Charge)
