"""The public suite of actions finds what it is there to find: each planted fault turns one of its tests red."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from reactor.core.errors import StepError
from reactor.engine.actions.contract import ActionBase, ActionInput, Call
from reactor.testing.action_suite import ActionSuite, LentServices


class Given(ActionInput):
    n: int = 1


class Loose(BaseModel):
    n: int = 1


class Good(ActionBase):
    name: ClassVar[str] = "shop.good"
    Input: ClassVar[type[BaseModel] | None] = Given
    errors: ClassVar[tuple[str, ...]] = ("shop.closed",)
    key_goes: ClassVar[str] = "header X-Key"

    async def execute(self, call: Call) -> Any:
        if call.inputs.n == 2:
            raise StepError("shop.closed", "closed")
        if call.inputs.n == 3:
            await asyncio.sleep(60)
        return {"n": call.inputs.n}


class TakesAnything(Good):
    Input: ClassVar[type[BaseModel] | None] = Loose


class HidesItsCodes(Good):
    errors: ClassVar[tuple[str, ...]] = ("shop.open",)


class HidesWhereTheKeyGoes(Good):
    key_goes: ClassVar[str] = ""


class GivesNoJson(Good):
    async def execute(self, call: Call) -> Any:
        return {1: (2,)}


class SwallowsTheCancel(Good):
    async def execute(self, call: Call) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


class FindsFaultInWhatIsRight(Good):
    def check(self, with_: Any) -> list[tuple[str, str]]:
        return [("n", "I do not like it")]


def suite(action: ActionBase) -> Any:
    class Suite(ActionSuite):
        pass

    Suite.action = action
    return Suite()


async def run(test: Callable[..., Any], *args: Any) -> None:
    result = test(*args)
    if isinstance(result, Awaitable):
        await result


def parts(action: ActionBase) -> dict[str, tuple[Any, ...]]:
    tests, lent = suite(action), LentServices()
    return {
        "schemas": (tests.test_publishes_its_schemas,),
        "declares": (tests.test_declares_codes_and_where_the_key_goes,),
        "valid": (tests.test_valid_with_has_no_fault, {"n": 1}),
        "unknown": (tests.test_unknown_key_is_refused, {"n": 1}),
        "succeeds": (tests.test_succeeds_with_a_json_value, {"n": 1}, lent),
        "codes": (tests.test_raises_declared_codes_alone, {"n": 2}, lent),
        "cancel": (tests.test_cancel_ends_it_in_time, {"n": 3}, lent),
    }


async def test_a_good_action_passes() -> None:
    for test, *args in parts(Good()).values():
        await run(test, *args)


@pytest.mark.parametrize(
    ("action", "part"),
    [
        (TakesAnything(), "schemas"),
        (TakesAnything(), "unknown"),
        (HidesItsCodes(), "codes"),
        (HidesWhereTheKeyGoes(), "declares"),
        (GivesNoJson(), "succeeds"),
        (SwallowsTheCancel(), "cancel"),
        (FindsFaultInWhatIsRight(), "valid"),
    ],
)
async def test_a_planted_fault_is_found(action: ActionBase, part: str) -> None:
    test, *args = parts(action)[part]
    with pytest.raises(AssertionError):
        await run(test, *args)
