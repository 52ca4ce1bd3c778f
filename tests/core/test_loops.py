"""Long-lived tasks: what fails begins again, and is seen."""

from __future__ import annotations

import ast
import asyncio
import logging
from pathlib import Path

import pytest

from reactor.core import loops
from reactor.core.errors import StoreFailed
from reactor.core.loops import Loops
from reactor.testing.clock import VirtualClock

ROOT = Path(loops.__file__).parents[1]
BESIDE = {"tests", "bench", "testing", ".venv", "build"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    clock = VirtualClock(auto=True, patience_s=0.01)
    monkeypatch.setattr(loops, "SYSTEM", clock)
    return clock


class Weak:
    """A loop that fails each time with the next of these, then goes on for ever."""

    def __init__(self, clock: VirtualClock, *errors: BaseException, after_s: float = 0.0) -> None:
        self.began: list[float] = []
        self.stands = asyncio.Event()
        self._clock = clock
        self._errors = list(errors)
        self._after_s = after_s

    async def __call__(self) -> None:
        self.began.append(self._clock.monotonic())
        if self._errors:
            await self._clock.sleep(self._after_s)
            raise self._errors.pop(0)
        self.stands.set()
        await asyncio.Event().wait()


async def test_a_loop_that_fails_is_named_counted_and_begun_again(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    kept, weak = Loops(), Weak(clock, ValueError("one"), KeyError("two"), asyncio.CancelledError())
    task = kept.start("a loop", weak)
    async with asyncio.timeout(5):
        await weak.stands.wait()
    assert kept.failures == {"a loop": 3}
    assert kept.failing() == {"a loop": "CancelledError: "}
    first, second, third = [b - a for a, b in zip(weak.began, weak.began[1:], strict=False)]
    assert 0.25 <= first <= 0.5
    assert 0.5 <= second <= 1.0
    assert 1.0 <= third <= 2.0
    heads = [record.getMessage() for record in caplog.records]
    assert heads[0] == (
        f"a loop failed in a way that nobody foresaw, and begins again in {first:.1f} s; please report this"
    )
    error = caplog.records[0].exc_info
    assert error is not None
    assert repr(error[1]) == "ValueError('one')"
    await clock.sleep(loops.STEADY_S + 2)
    assert kept.failing() == {}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert kept.failures == {"a loop": 3}


async def test_one_that_went_well_for_long_begins_again_soon(clock: VirtualClock) -> None:
    weak = Weak(clock, *[ValueError(str(n)) for n in range(8)], after_s=loops.DELAY_S_MAX + 1)
    task = Loops().start("a loop", weak)
    async with asyncio.timeout(5):
        await weak.stands.wait()
    task.cancel()
    gaps = [b - a - loops.DELAY_S_MAX - 1 for a, b in zip(weak.began, weak.began[1:], strict=False)]
    assert all(gap <= loops.DELAY_S + 0.001 for gap in gaps)


async def test_a_store_that_closed_for_good_ends_the_process_and_not_the_loop_alone(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    kept, heard = Loops(), list[StoreFailed]()
    failure = StoreFailed("the disk failed")
    await kept.start("a loop", Weak(clock, failure), fatal=heard.append)
    assert heard == [failure]
    assert kept.failures == {}
    assert caplog.records == []


async def test_a_loop_that_returns_is_not_begun_again(clock: VirtualClock) -> None:
    kept, turns = Loops(), list[int]()

    async def once() -> None:
        turns.append(1)

    await kept.start("a loop", once)
    assert turns == [1]
    assert kept.failures == {}


async def test_what_is_caught_by_the_loop_itself_is_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    kept = Loops()
    with caplog.at_level(logging.ERROR):
        kept.failed("timers", ValueError("one timer"))
    assert kept.failures == {"timers": 1}
    assert kept.failing() == {"timers": "ValueError: one timer"}
    assert [r.getMessage() for r in caplog.records] == [
        "timers failed in a way that nobody foresaw and goes on; please report this"
    ]


TASKS = {
    "core/loops.py": {"_keep"},
    "cli/demo/__init__.py": {"_ready", "wait"},  # of one command, whose end is awaited
    "cli/follow.py": {"_listen", "wait"},  # of one command: `_news` raises what ended the listening
    "cli/in_process.py": {"_asgi"},  # of one stream, which ends it; the front answers whatever fails
    "cli/serving.py": {"work", "wait", "beside"},  # `until_stopped` and `_reload_again` see how they end
    "engine/actions/command.py": {"_spawn", "read_all", "write_all"},  # of one call, which awaits them
    "engine/engine.py": {"submit"},  # of `close`, which awaits it, or looks at how it ended
    "engine/executor.py": {"_guard", "wait"},  # the guard pauses the run; `_at_rest` ends the others
    "engine/timers.py": {"sleep", "wait"},
    "router/intake.py": {"_outcomes", "sleep", "coroutine"},  # of one delivery; `_ended` sees how
    "store/group.py": {"_go_again"},  # of one group
    "store/postgres_lane.py": {"_commit"},  # of one group, whose waiters hear of whatever happens
    "triggers/http_answer.py": {"outcome", "sleep"},
    "triggers/isolation.py": {"call", "comes", "sleep"},  # of one call; a fault in `comes`: the time is waited for
    "triggers/jetstream.py": {"_keep"},  # `_kept` makes `read` raise: the supervisor connects anew
    "triggers/kafka.py": {"_keep"},  # the same
    "triggers/kafka_reader.py": {"loop"},  # `_ended` does so
    "triggers/supervisor.py": {"_stop"},  # of readers whose paths are another's; `close` waits for them
    "triggers/wheel.py": {"sleep"},
    "web/server.py": {"serve"},  # `_ended` ends the process
    "web/stream.py": {"_gone"},  # of one client
}
"""Tasks that are not begun as loops: what they carry out, and who sees how they end."""


def test_every_other_task_is_short_or_somebody_sees_how_it_ends() -> None:
    found: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        where = path.relative_to(ROOT)
        if where.parts[0] in BESIDE:
            continue
        names = tasks_of(path.read_text())
        if names:
            found[where.as_posix()] = names
    assert found == TASKS


def tasks_of(text: str) -> set[str]:
    """Names of what is made a task in a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and _name(node.func) in ("create_task", "ensure_future", "TaskGroup"):
            of = node.args[0] if node.args else node
            names.add(_name(of.func if isinstance(of, ast.Call) else of))
    return names


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else "?"


def test_the_search_for_tasks_finds_them() -> None:
    text = "async def f(g, loop):\n    a = asyncio.ensure_future(self.run())\n    loop.create_task(g, name='x')\n"
    assert tasks_of(text) == {"run", "g"}
