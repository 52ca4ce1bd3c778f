"""`python`: conversion by hints, results as JSON, errors as codes, threads, `Step` classes."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

from reactor.core.errors import ConfigError, PermanentError, ReactorError, StepError, TransientError
from reactor.engine.actions.contract import StateEffect, Step
from reactor.engine.actions.functions import resolve
from reactor.engine.actions.python import PythonAction
from reactor.store.contract import StateOp
from reactor.testing.action_suite import ActionSuite, LentServices
from reactor.tests.actions.rig import KEY, Rig


def services(**functions: Callable[..., Any]) -> LentServices:
    return LentServices(functions=functions, states={("workflow/ship-order", "n"): 5})


async def call(function: Callable[..., Any], args: Any = None, **more: Any) -> Any:
    rig = Rig(services(f=function))
    try:
        return await rig("python", {"function": "f", "args": args or {}}, **more)
    finally:
        await rig.catalogue.close()


async def failure(function: Callable[..., Any], args: Any = None, **more: Any) -> ReactorError:
    with pytest.raises(ReactorError) as caught:
        await call(function, args, **more)
    return caught.value


async def nap() -> None:
    await asyncio.sleep(60)


def add(a: int, b: int = 1) -> int:
    return a + b


class TestContract(ActionSuite):
    action = PythonAction()
    valid: ClassVar = {"function": "add", "args": {"a": 1}}
    failing: ClassVar = {"function": "add", "args": {"a": "x"}}
    slow: ClassVar = {"function": "nap"}

    @pytest.fixture
    def services(self) -> Any:
        return services(add=add, nap=nap)


@dataclasses.dataclass
class Order:
    id: str
    total: float
    paid: datetime.date | None = None


class Item(msgspec.Struct):
    sku: str
    n: int = 1


class Model(pydantic.BaseModel):
    name: str
    when: datetime.datetime


class Point(NamedTuple):
    x: int
    y: int


class Box(TypedDict):
    items: list[Item]


class Color(enum.Enum):
    RED = "red"


async def everything(
    order: Order,
    items: list[Item],
    model: Model,
    point: Point,
    box: Box,
    color: Color,
    kind: Literal["a", "b"],
    ratio: float,
    data: bytes,
    price: decimal.Decimal,
    ident: uuid.UUID,
    maybe: int | None,
    free: Any,
    plain: dict[str, int],
) -> Any:
    assert isinstance(order, Order)
    assert isinstance(items[0], Item)
    assert isinstance(model, Model)
    assert isinstance(point, Point)
    assert isinstance(box["items"][0], Item)
    assert (color, kind, ratio, data, maybe) == (Color.RED, "b", 2.0, b"\x00\xff", None)
    assert isinstance(ratio, float)
    return [order, items, model, point, box, color, data, price, ident, {1: (2, 3)}, {Color.RED: {4}}, free, plain]


async def test_hints_are_the_schemas() -> None:
    args = {
        "order": {"id": "o1", "total": 5, "paid": "2026-03-01"},
        "items": [{"sku": "s"}],
        "model": {"name": "m", "when": "2026-03-01T10:00:00Z"},
        "point": [1, 2],
        "box": {"items": [{"sku": "t", "n": 2}]},
        "color": "red",
        "kind": "b",
        "ratio": 2,
        "data": "AP8=",
        "price": "1.50",
        "ident": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "maybe": None,
        "free": {"deep": [1]},
        "plain": {"a": 1},
    }
    assert await call(everything, args) == [
        {"id": "o1", "total": 5.0, "paid": "2026-03-01"},
        [{"sku": "s", "n": 1}],
        {"name": "m", "when": "2026-03-01T10:00:00Z"},
        [1, 2],
        {"items": [{"sku": "t", "n": 2}]},
        "red",
        "AP8=",
        "1.50",
        "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        {"1": [2, 3]},
        {"red": [4]},
        {"deep": [1]},
        {"a": 1},
    ]


@pytest.mark.req("K-9")
@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (int, "5", 'argument `x` of f: expected a whole number (int); found "5" (str)'),
        (int, 5.5, "argument `x` of f: expected a whole number (int); found 5.5 (float)"),
        (int, True, "argument `x` of f: expected a whole number (int); found true (bool)"),
        (str, 5, "argument `x` of f: expected text (str); found 5 (int)"),
        (float, "5", 'argument `x` of f: expected a number (float); found "5" (str)'),
        (bool, 1, "argument `x` of f: expected true or false (bool); found 1 (int)"),
        (list[int], [1, "b"], "argument `x[1]` of f: expected `int`, got `str`"),
        (Order, {"id": "a"}, "argument `x` of f: object missing required field `total`"),
        (Order, {"id": 1, "total": 1}, "argument `x.id` of f: expected `str`, got `int`"),
        (Item | None, {"sku": None}, "argument `x.sku` of f: expected `str`, got `null`"),
        (Literal["a", "b"], "c", "argument `x` of f: invalid enum value 'c'"),
        (
            Model,
            {"name": 1, "when": "2026-03-01T10:00:00Z"},
            "argument `x.name` of f: input should be a valid string; found 1",
        ),
    ],
)
async def test_wrong_types_are_refused_before_the_call(hint: Any, value: Any, text: str) -> None:
    called: list[Any] = []

    async def f(x: Any) -> None:
        called.append(x)

    f.__annotations__["x"] = hint
    error = await failure(f, {"x": value})
    assert (error.code, error.class_, str(error)) == ("invalid_input", "park", text)
    assert called == []


async def test_a_hint_of_names_that_only_type_checkers_know_takes_anything() -> None:
    names: dict[str, Any] = {}
    source = 'def f(x: list["Order"], y: "Order", n: int) -> "Order":\n    return [x, y, n]\n'
    exec(source.replace('"', "") if sys.version_info >= (3, 14) else source, names)  # no quotes are needed there
    assert await call(names["f"], {"x": 1, "y": [2], "n": 3}) == [1, [2], 3]
    error = await failure(names["f"], {"x": 1, "y": 2, "n": "3"})
    assert str(error) == 'argument `n` of f: expected a whole number (int); found "3" (str)'


async def test_arguments_by_name() -> None:
    def f(order_id: str, total: float = 1.0, **others: Any) -> Any:
        return [order_id, total, others]

    assert await call(f, {"order_id": "a", "x": [1]}) == ["a", 1.0, {"x": [1]}]
    error = await failure(add, {"b": 1})
    assert (str(error), error.hint) == (
        "f needs the argument `a`, which `args` does not give",
        "write `args: {a: …}`, or give the parameter a default",
    )
    error = await failure(add, {"a": 1, "c": 1})
    assert (str(error), error.hint) == ("f has no parameter `c`", "did you mean a?")


@pytest.mark.req("E-EXE-9")
async def test_values_are_copies() -> None:
    shared = {"list": [1], "map": {"a": 1}}

    async def f(list: Any, map: dict[str, int]) -> Any:
        list.append(2)
        map["b"] = 2
        return [list, map]

    assert await call(f, shared) == [[1, 2], {"a": 1, "b": 2}]
    assert shared == {"list": [1], "map": {"a": 1}}
    kept: list[int] = [1]

    async def g() -> Any:
        return kept

    output = await call(g)
    kept.append(2)
    assert output == [1]


async def test_generators_become_lists() -> None:
    def numbers() -> Iterator[int]:
        yield from (1, 2)

    async def later() -> AsyncIterator[int]:
        yield 3

    assert await call(numbers) == [1, 2]
    assert await call(later) == [3]
    assert await call(later, isolation="thread") == [3]


class Score(float):
    """As numpy's numbers are: a number of a class of its own."""


class Count(int):
    pass


class Name(str):
    __slots__ = ()


async def test_numbers_and_texts_of_a_class_of_their_own_are_numbers_and_texts() -> None:
    output = await call(lambda: {Name("k"): [Score(0.5), Count(3), Name("n")], "b": True})
    assert output == {"k": [0.5, 3, "n"], "b": True}
    assert [type(each) for each in output["k"]] == [float, int, str]


class Strange:
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [float("nan")]}, "the returned value is not JSON at `a[0]`: nan is no JSON number"),
        ({"a": Strange()}, "the returned value is not JSON at `a`: Strange has no JSON form"),
        ({("a", 1): 2}, "the returned value is not JSON: tuple cannot be a key of a JSON object"),
    ],
)
async def test_results_that_are_not_json(value: Any, text: str) -> None:
    error = await failure(lambda: value)
    assert (error.code, str(error)) == ("invalid_output", text)
    loop: list[Any] = []
    loop.append(loop)
    error = await failure(lambda: loop)
    assert str(error) == "the returned value is nested too deep, or contains itself"


@pytest.mark.req("K-9")
async def test_results_are_checked_against_the_hint() -> None:
    async def f() -> int:
        return "no"

    error = await failure(f)
    assert (error.code, str(error)) == (
        "invalid_output",
        'the result of f: expected a whole number (int); found "no" (str)',
    )

    async def g() -> list[Item]:
        return [{"sku": 5}]

    assert str(await failure(g)) == "the result[0].sku of f: expected `str`, got `int`"

    async def h() -> Order:
        return {"id": "a", "total": 1}

    assert await call(h) == {"id": "a", "total": 1}


def raising(error: BaseException) -> Callable[[], Any]:
    def f() -> Any:
        raise error.with_traceback(None)

    return f


@pytest.mark.req("E-EXE-8")
@pytest.mark.parametrize(
    ("error", "code", "class_", "text"),
    [
        (StepError("card_declined", "no funds"), "card_declined", "park", "no funds"),
        (StepError("busy", "later", "retry"), "busy", "retry", "later"),
        (TransientError("later"), "connection", "retry", "later"),
        (ConfigError("fix me"), "config", "fix", "fix me"),
        (PermanentError("never"), "failed", "park", "never"),
        (ConnectionResetError("reset"), "connection", "retry", "f raised ConnectionResetError: reset"),
        (TimeoutError(), "timeout", "retry", "f raised TimeoutError"),
        (FileNotFoundError("a.txt"), "file_not_found", "park", "f raised FileNotFoundError: a.txt"),
        (PermissionError("no"), "forbidden", "fix", "f raised PermissionError: no"),
        (msgspec.ValidationError("bad"), "invalid_input", "park", "f raised ValidationError: bad"),
        (ValueError("bad"), "step_failed", "retry", "f raised ValueError: bad"),
        (MemoryError(), "resource_limit", "park", "f raised MemoryError"),
        (SystemExit(3), "step_failed", "retry", "f called sys.exit(3)"),
    ],
)
@pytest.mark.parametrize("isolation", ["task", "thread"])
async def test_errors(error: BaseException, code: str, class_: str, text: str, isolation: Any) -> None:
    found = await failure(raising(error), isolation=isolation)
    assert (found.code, found.class_, str(found)) == (code, class_, text)
    if code == "step_failed":
        assert found.details["exception"] == type(error).__name__
        assert "raise error.with_traceback" in found.details["traceback"]
        assert "engine/actions" not in found.details["traceback"]


async def test_cancelled_from_within() -> None:
    async def f() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    error = await failure(f)
    assert (error.code, str(error)) == ("step_failed", "f was cancelled from within")


async def test_context(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def f(context: Any) -> Any:
        context.log("hello", "warning", n=1)
        context.progress(0.5, "half")
        context.inputs["order_id"] = "changed"
        context.state.increment("n", 2)
        context.state.set("last", {"a": 1}, scope="run")
        seen.append(context)
        return [context.run["id"], context.step, context.attempt, context.idempotency_key, await context.state.get("n")]

    def g(context: Any) -> Any:
        context.log("hello", "warning", n=1)
        context.progress(0.5, "half")
        context.inputs["order_id"] = "changed"
        context.state.increment("n", 2)
        context.state.set("last", {"a": 1}, scope="run")
        return [context.run["id"], context.step, context.attempt, context.idempotency_key, context.state.get("n")]

    values = {"run": {"id": "r1"}, "inputs": {"order_id": "A"}, "results": {"x": 1}, "metadata": {"team": "shop"}}
    for function in (f, g):
        rig = Rig(services(f=function))
        effect = await rig("python", {"function": "f"}, context=values, attempt=3)
        assert isinstance(effect, StateEffect)
        assert effect.made_of([]) == ["r1", "charge", 3, KEY, 5]
        assert effect.ops == (
            StateOp("increment", "workflow/ship-order", "n", 2),
            StateOp("set", "run/5f3a-1-7", "last", {"a": 1}),
        )
        async with asyncio.timeout(5):
            while not rig.reports:
                await asyncio.sleep(0)
        assert rig.lines == [("warning", "hello", {"n": 1})]
        assert rig.reports == [(0.5, "half")]
        assert values["inputs"] == {"order_id": "A"}
        await rig.catalogue.close()
    context = seen[0]
    assert (context.results, context.metadata, context.cancelled) == ({"x": 1}, {"team": "shop"}, False)
    with pytest.raises(AttributeError, match="the context is read-only: `step` cannot be set"):
        context.step = "other"


@pytest.mark.req("K-10")
async def test_cancel_ends_a_loop_in_a_thread() -> None:
    ended: list[str] = []

    def f() -> None:
        try:
            while True:
                time.sleep(0.01)
        finally:
            ended.append("yes")

    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call(f), 0.2)
    assert time.monotonic() - begun < 10
    assert ended == ["yes"]


@pytest.mark.rule("9.3")
async def test_a_thread_is_awaited() -> None:
    ended: list[str] = []

    def f(context: Any) -> None:
        time.sleep(0.5)
        ended.append("slept")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call(f), 0.1)
    assert ended in ([], ["slept"])  # it was over when the call was: the sleep, or the line after it


class Reserve(Step):
    calls: ClassVar[list[Any]] = []

    def validate_input(self, context: Any, order_id: str) -> Any:
        self.calls.append(("validate", order_id, context.step))
        return None if order_id else "no order"

    async def execute(self, context: Any, order_id: str, n: int = 1) -> Any:
        self.calls.append(("execute", order_id, n))
        context.state.increment("reserved", n)
        return {"reserved": n}

    def compensate(self, context: Any, error: Any, order_id: str) -> None:
        self.calls.append(("compensate", order_id, context.output, error))


class Bare(Step):
    async def execute(self) -> str:
        return "done"


@pytest.mark.req("E-STEP-1")
async def test_step_classes() -> None:
    Reserve.calls.clear()
    effect = await call(Reserve, {"order_id": "A", "n": 2})
    assert isinstance(effect, StateEffect)
    assert effect.output == {"reserved": 2}
    assert Reserve.calls == [("validate", "A", "charge"), ("execute", "A", 2)]
    Reserve.calls.clear()
    error = await failure(Reserve, {"order_id": ""})
    assert (error.code, str(error)) == ("invalid_input", "f refused the input: no order")
    assert Reserve.calls == [("validate", "", "charge")]
    Reserve.calls.clear()
    values = {"output": {"reserved": 2}, "error": {"code": "http.503"}}
    await call(Reserve, {"order_id": "A", "n": 2}, undo=True, context=values)
    assert Reserve.calls == [("compensate", "A", {"reserved": 2}, {"code": "http.503"})]
    assert await call(Bare) == "done"
    error = await failure(Bare, undo=True)
    assert str(error) == "f has no method `compensate`: it cannot be undone"
    action = PythonAction()
    assert action.compensable(Reserve)
    assert not action.compensable(Bare)
    assert not action.compensable(add)


# -- references


def test_references(tmp_path: Path) -> None:
    name = f"refs_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text("class A:\n    def go(self): ...\nvalue = 5\n")
    (tmp_path / f"{name}_broken.py").write_text("import nowhere_to_be_found\n")
    project = str(tmp_path)
    broken = f"`{name}_broken:f`: importing `{name}_broken` failed: "
    assert resolve(f"{name}:A.go", project).__name__ == "go"
    for reference, text, hint in [
        (f"{name}:B", f"`{name}:B`: module `{name}` has no `B`", "did you mean A?"),
        (f"{name}:value", f"`{name}:value` is a int, not a function or class", ""),
        ("no-module", "`no-module` is no reference to a function", None),
        (
            f"{name}x:A",
            f"`{name}x:A`: there is no module `{name}x` in {project} or among the installed packages",
            f"did you mean {name}?",
        ),
        (
            f"{name}_broken:f",
            broken + "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
            "",
        ),
    ]:
        with pytest.raises(StepError) as caught:
            resolve(reference, project)
        assert (caught.value.code, str(caught.value)) == ("unknown_action", text)
        assert hint is None or caught.value.hint == hint


def test_threads_that_import_at_once_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[int] = []
    most: list[int] = []

    def invalidate() -> None:  # Python's own fails with KeyError if two threads are in it
        inside.append(1)
        time.sleep(0.02)
        most.append(len(inside))
        inside.pop()

    monkeypatch.setattr("importlib.invalidate_caches", invalidate)
    monkeypatch.syspath_prepend(tmp_path)
    for name in "abcd":
        (tmp_path / f"at_once_{name}.py").write_text("def f(): pass\n")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda name: resolve(f"at_once_{name}:f", str(tmp_path)), "abcd"))
    assert [each.__module__ for each in found] == ["at_once_a", "at_once_b", "at_once_c", "at_once_d"]
    assert most[-4:] == [1, 1, 1, 1]


def test_faults_at_load(rig: Rig) -> None:
    faults = rig.catalogue.faults
    assert faults("python", {"args": {}}) == [("function", "is required and missing")]
    assert faults("python", {"function": "a b:c"}) == [
        ("function", "expected module:name, such as shop.orders:charge; found 'a b:c'")
    ]
    assert faults("python", {"function": "a:b", "args": [1]}) == [("args", "expected a mapping; found [1]")]
    assert faults("python", {"function": "a:b", "limits": {"memory": "1KiB"}}) == [
        ("limits.memory", "must be at least 16MiB; found 1KiB")
    ]
