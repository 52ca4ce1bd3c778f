"""What foreign code does that nobody expects of it: such a step has failed, and its run and all others go on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.core.errors import StepError

from .conftest import World
from .rig import Rig, steps

ONE = """
workflow: one
steps: [{name: s, python: {function: "m:odd"}}]
"""


@pytest.fixture
def ctrl_c_is_the_servers() -> Iterator[None]:
    """As in `reactor serve`, which handles SIGINT itself."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


class Panic(BaseException):
    """As libraries written in Rust raise it: no Exception."""


class Mute(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


async def _failed(rig: Rig, function: Any) -> dict[str, Any]:
    rig.functions["m:odd"] = function
    await rig.deploy(ONE)
    run = await asyncio.wait_for(rig.run("one"), 30)
    assert (run["state"], steps(run)) == ("failed", {"s": "failed"})
    assert rig.fatal == []
    return run["error"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt(), "m:odd raised KeyboardInterrupt"),
        (SystemExit(3), "m:odd called sys.exit(3)"),
        (Panic("index out of bounds"), "m:odd raised Panic: index out of bounds"),
        (asyncio.CancelledError(), "m:odd was cancelled from within"),
        (Mute(), "m:odd raised Mute: (its text cannot be made: RuntimeError)"),
        (OSError("no file bad\udcff"), "m:odd raised OSError: no file bad\\udcff"),
    ],
)
@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.usefixtures("ctrl_c_is_the_servers")
async def test_whatever_a_step_raises_is_its_own_failure(
    rig: Rig, world: World, error: BaseException, message: str, threaded: bool
) -> None:
    def plain() -> None:
        raise error

    async def in_the_loop() -> None:
        raise error

    shown = await _failed(rig, plain if threaded else in_the_loop)
    assert (shown["code"], shown["message"]) == ("step_failed", message)


async def test_a_plain_function_that_closes_a_generator_wrongly_has_failed(rig: Rig) -> None:
    def plain() -> None:
        raise GeneratorExit

    assert (await _failed(rig, plain))["message"] == "m:odd raised GeneratorExit"


async def test_a_coroutine_function_that_closes_a_generator_wrongly_has_failed(rig: Rig) -> None:
    async def in_the_loop() -> None:
        raise GeneratorExit

    assert (await _failed(rig, in_the_loop))["message"] == "m:odd raised GeneratorExit"


async def test_a_long_message_is_cut_in_its_middle(rig: Rig) -> None:
    def shouts() -> None:
        raise ValueError("a" * 5000 + "z" * 5000)

    shown = await _failed(rig, shouts)
    assert shown["message"] == "m:odd raised ValueError: " + "a" * 1975 + " … " + "z" * 2000


async def test_details_and_causes_that_are_no_json_are_told_as_text(rig: Rig) -> None:
    def tells() -> None:
        raise StepError("shop.odd", "odd", details={"what": Ellipsis, "n": 1}, cause=ValueError("why"))

    shown = await _failed(rig, tells)
    assert (shown["code"], shown["details"]) == ("shop.odd", {"what": "Ellipsis", "n": 1})
    assert (shown["cause"]["code"], shown["cause"]["message"]) == ("step_failed", "ValueError: why")


async def test_a_class_that_there_is_not_is_refused_where_it_is_written(rig: Rig) -> None:
    def tells() -> None:
        misspelt: Any = "fatal"
        raise StepError("shop.odd", "odd", misspelt)

    shown = await _failed(rig, tells)
    said = "the class of an error is retry, fix, park or none; found 'fatal'"
    assert shown["message"] == f"m:odd raised ValueError: {said}"


RETRY = """
workflow: patient
steps:
  - name: s
    retry: {attempts: 2000, delay: 1ms, factor: 10, max_delay: 1ms}
    python: {function: "m:act", args: {name: s}}
"""


async def test_hundreds_of_repetitions_do_not_overflow(rig: Rig, world: World) -> None:
    await rig.deploy(RETRY)
    world.fail["s"] = [ConnectionError("away") for _ in range(320)]
    run = await rig.run("patient")
    assert (run["state"], run["steps"][0]["attempts"]) == ("completed", 321)


CONDITION = """
workflow: picky
steps:
  - name: s
    retry: {attempts: 3, delay: 10ms, if: error.details.status > 500}
    python: {function: "m:act", args: {name: s}}
"""


async def test_a_condition_of_retry_that_cannot_be_evaluated_fails_the_step(rig: Rig, world: World) -> None:
    await rig.deploy(CONDITION)
    world.fail["s"] = [ConnectionError("away")]
    run = await asyncio.wait_for(rig.run("picky"), 30)
    assert (run["state"], run["error"]["code"]) == ("failed", "expression")
    said = "error.details has no field status (in error.details.status > 500)"
    assert run["error"]["message"] == f"`retry.if` of `s`: {said}"
    assert run["error"]["cause"]["message"] == "m:act raised ConnectionError: away"


NESTED = """
workflow: nested
inputs: {depth: {type: integer, default: 0}}
steps: [{name: c, if: inputs.depth < 40, run-workflow: {workflow: nested, inputs: {depth: "${{ inputs.depth + 1 }}"}}}]
"""


async def test_an_error_keeps_eight_causes_the_first_one_among_them(rig: Rig) -> None:
    await rig.deploy(NESTED)
    run = await rig.run("nested")
    codes, error = [], run["error"]
    while error is not None:
        codes.append(error["code"])
        error = error["cause"]
    assert codes == ["child_failed"] * 8 + ["depth_limit"]
