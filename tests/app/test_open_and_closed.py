"""An `App` is opened once, and called between opening and close, in the event loop that opened it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from reactor import App, WorkflowBuilder
from reactor.core.errors import ConfigError, ReactorError, StoreFailed
from reactor.core.event import Event

CLOSED = "the app is closed, and takes no calls any more; this one did nothing"
CLOSED_HINT = "call it before `close()`, inside its `async with` block; or make a new App of the same store"
ELSEWHERE = "the app is used outside the event loop that opened it"
ELSEWHERE_HINT = "hand the call to its loop: `asyncio.run_coroutine_threadsafe(app.emit(…), app.loop).result()`"


def _same(x: Any) -> Any:
    return x


WORKFLOW = WorkflowBuilder("same").step("one", _same).build()
CALLS: dict[str, Callable[[App], Awaitable[Any]]] = {
    "emit": lambda app: app.emit("order.paid"),
    "publish": lambda app: app.events_api.publish((Event(type="a", source="/a"),)),
    "start": lambda app: app.start("same", x=1),
    "runs": lambda app: app.runs(),
    "get": lambda app: app.get("1-1"),
    "handle": lambda app: app.handle("1-1"),
    "cancel": lambda app: app.cancel("1-1"),
    "deploy": lambda app: app.deploy(WORKFLOW),
    "load": lambda app: app.load(),
}


def _told(error: ReactorError) -> tuple[str, str]:
    return str(error), error.hint


@pytest.mark.parametrize("name", CALLS)
async def test_a_closed_app_says_that_it_takes_no_calls(name: str) -> None:
    async with App() as app:
        await app.deploy(WORKFLOW)
    with pytest.raises(StoreFailed) as told:
        await CALLS[name](app)
    assert _told(told.value) == (CLOSED, CLOSED_HINT)


async def test_so_does_the_handle_of_a_run() -> None:
    async with App() as app:
        await app.deploy(WORKFLOW)
        run = await app.start("same", x=1)
        assert await run.result(timeout=60) == {"one": 1}
    for call in (run.result(), run.status(), run.cancel()):
        with pytest.raises(StoreFailed) as told:
            await call
        assert _told(told.value) == (CLOSED, CLOSED_HINT)
    assert run.id


async def test_a_step_under_way_may_call_the_app_while_it_closes() -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()
    verdicts: list[str] = []

    async def tells() -> None:
        begun.set()
        await goes_on.wait()
        verdicts.append((await app.emit("order.packed")).verdict)

    app = App()
    app.register(WorkflowBuilder("tells").step("one", tells).build())
    app.register(WorkflowBuilder("hears", when=[{"event": "order.packed"}]).step("one", lambda: 1).build())
    async with app:
        await app.start("tells")
        await begun.wait()
        closing = asyncio.ensure_future(app.close())
        await asyncio.sleep(0)
        goes_on.set()
        await closing
    assert verdicts == ["accepted"]


@pytest.mark.parametrize("store", [":memory:", "orders.db"])
async def test_a_closed_app_is_not_opened_again(store: str, tmp_path: Path) -> None:
    app = App(store if store == ":memory:" else f"sqlite:///{tmp_path / store}")
    async with app:
        pass
    with pytest.raises(ConfigError) as told:
        await app.open()
    expected = ("the app is closed, and an App is opened once", "make a new App(…) for each opening")
    assert _told(told.value) == expected


async def test_an_open_app_says_that_it_is_open(tmp_path: Path) -> None:
    expected = ("the app is open already", "use it as it is, or make another App with its own store")
    async with App(f"sqlite:///{tmp_path / 'orders.db'}") as app:
        with pytest.raises(ConfigError) as told:
            await app.open()
        assert _told(told.value) == expected
        assert (await app.emit("order.paid")).verdict == "unmatched"  # it goes on


async def test_an_app_whose_store_was_not_there_yet_may_be_opened_again(tmp_path: Path) -> None:
    app = App(f"sqlite:///{tmp_path / 'later' / 'orders.db'}")
    with pytest.raises(ConfigError, match="No such file or directory"):
        await app.open()
    (tmp_path / "later").mkdir()
    async with app:
        assert (await app.emit("order.paid")).verdict == "unmatched"


@pytest.mark.parametrize("name", CALLS)
async def test_another_event_loop_is_told_how_to_call_it(name: str) -> None:
    def elsewhere() -> None:
        async def call() -> None:
            await CALLS[name](app)

        asyncio.run(call())

    async with App() as app:
        with pytest.raises(ReactorError) as told:
            await asyncio.to_thread(elsewhere)
    assert _told(told.value) == (ELSEWHERE, ELSEWHERE_HINT)


async def test_it_is_not_closed_from_another_event_loop() -> None:
    async with App() as app:
        with pytest.raises(ReactorError) as told:
            await asyncio.to_thread(lambda: asyncio.run(app.close()))
        assert _told(told.value) == (ELSEWHERE, ELSEWHERE_HINT)
        assert (await app.emit("order.paid")).verdict == "unmatched"


async def test_what_the_hint_says_works_in_another_thread() -> None:
    def elsewhere() -> str:
        assert app.loop is not None
        return asyncio.run_coroutine_threadsafe(app.emit("order.paid"), app.loop).result(60).verdict

    async with App() as app:
        assert await asyncio.to_thread(elsewhere) == "unmatched"


def test_a_loop_that_has_ended_took_its_app_with_it() -> None:
    app = App()
    asyncio.run(app.open())
    with pytest.raises(ReactorError) as told:
        asyncio.run(app.emit("order.paid"))
    assert _told(told.value) == (
        "the event loop that opened the app has ended, and the app with it",
        "open an App, use it and close it inside one `asyncio.run(…)`",
    )
