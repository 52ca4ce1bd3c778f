"""An SQLite file that a process of its own writes: the same suite, and what only two processes can do to each other."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from reactor.core import companion
from reactor.core.errors import ConfigError, StoreFailed, StoreUnavailable
from reactor.store import open_store, sqlite, sqlite_child, sqlite_wire
from reactor.store.contract import Committed, Flow, FlowDecision, RunStart, Store, Unit, UnitRefused
from reactor.testing.clock import VirtualClock
from reactor.testing.store_suite import Reopen, StoreSuite
from reactor.testing.store_units import KEY, run_row, start, step


class InThread:
    """Stands in for Popen: what the other process would do is done by a thread, where coverage sees it."""

    def __init__(self, command: list[str], *, pass_fds: tuple[int, ...], **_: Any) -> None:
        end = socket.socket(fileno=os.dup(pass_fds[0]))
        self._thread = threading.Thread(target=sqlite_child.serve, args=(end,))
        self._thread.start()

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        return 0


@pytest.fixture
def in_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companion, "Popen", InThread)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/reactor.db"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def opened() -> AsyncIterator[list[Store]]:
    stores: list[Store] = []
    yield stores
    for store in stores:
        await store.close()


@pytest.fixture
async def store(url: str, clock: VirtualClock, opened: list[Store]) -> Store:
    opened.append(open_store(url, clock=clock, writer="process"))
    await opened[0].open()
    return opened[0]


class ByProcess(StoreSuite):
    """The suite, on stores of a file that another one writes."""

    @pytest.fixture
    def reopen(self, store: Store, url: str, clock: VirtualClock, opened: list[Store]) -> Reopen:
        async def reopen() -> Store:
            await store.close()
            opened.append(open_store(url, clock=clock, writer="process"))
            await opened[-1].open()
            return opened[-1]

        return reopen


class TestByProcess(ByProcess):
    """As it is."""


@pytest.mark.usefixtures("in_thread")
class TestByThreadOverTheSameWire(ByProcess):
    """The other process's part in this one."""


def child_of(store: Any) -> int:
    """The number of the process that writes for this store."""
    return store._writer._process.pid


async def test_it_ends_with_the_store(store: Store) -> None:
    await store.submit(Unit(runs=(start(1),)))
    pid = child_of(store)
    await store.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_signals_to_the_whole_group_do_not_end_it(store: Store) -> None:
    await store.submit(Unit(runs=(start(1),)))
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(child_of(store), each)
    assert await store.submit(step(1)) == Committed()


async def test_one_that_is_killed_closes_the_store_for_good(
    store: Store, url: str, clock: VirtualClock, opened: list[Store], tmp_path: Path
) -> None:
    await store.submit(Unit(runs=(start(1),)))
    os.kill(child_of(store), signal.SIGSTOP)
    waiting = asyncio.ensure_future(store.submit(step(1)))
    asking = asyncio.ensure_future(store.put_blob(b"x"))
    await asyncio.sleep(0.05)
    os.kill(child_of(store), signal.SIGKILL)
    text = (
        f"the process that writes {tmp_path / 'reactor.db'} has ended by signal 9; whether it wrote its last group is"
        " unknown"
    )
    for lost in (waiting, asking, store.submit(step(1))):
        with pytest.raises(StoreFailed) as caught:
            await lost
        assert str(caught.value) == text
    assert caught.value.hint == (
        "start again: the next opening reads what stands; the system's log may say what ended it"
    )
    await store.close()
    opened.append(open_store(url, clock=clock, writer="process"))
    await opened[-1].open()
    assert await opened[-1].run(1) is not None


async def test_one_that_ends_before_it_is_needed_is_told(
    url: str, clock: VirtualClock, opened: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion, "_PROGRAM", "raise SystemExit(3)")
    opened.append(open_store(url, clock=clock, writer="process"))
    await opened[0].open()
    for _ in range(2):
        with pytest.raises(StoreFailed) as caught:
            await opened[0].submit(Unit(runs=(start(1),)))
        assert str(caught.value) == (
            f"the process that writes {tmp_path / 'reactor.db'} has ended with code 3; whether it wrote its last group"
            " is unknown"
        )


async def test_a_store_that_cannot_be_opened_leaves_no_process(url: str, clock: VirtualClock, tmp_path: Path) -> None:
    (tmp_path / "reactor.db").write_bytes(b"no database at all" * 400)
    before = children()
    with pytest.raises(StoreFailed):
        await open_store(url, clock=clock, writer="process").open()
    assert children() == before


def children() -> str:
    """The processes that this one has started and not waited for."""
    return Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children").read_text()


@pytest.mark.usefixtures("in_thread")
async def test_a_file_that_it_cannot_open_closes_the_store(
    url: str, clock: VirtualClock, opened: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, synchronous: str) -> apsw.Connection:
        raise apsw.CantOpenError("unable to open database file")

    monkeypatch.setattr(sqlite_child, "connect", refuse)
    opened.append(open_store(url, clock=clock, writer="process"))
    await opened[0].open()
    with pytest.raises(StoreFailed) as caught:
        await opened[0].submit(Unit(runs=(start(1),)))
    assert str(caught.value) == (
        f"the process that writes {tmp_path / 'reactor.db'} cannot open it: unable to open database file"
    )


async def test_one_that_cannot_be_started_is_told(
    url: str, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion.sys, "executable", str(tmp_path / "no-python"))
    store = open_store(url, clock=clock, writer="process")
    with pytest.raises(StoreFailed) as caught:
        await store.open()
    assert str(caught.value) == (
        f"the process that writes {tmp_path / 'reactor.db'} cannot be started: No such file or directory"
    )
    assert caught.value.hint == "see what this machine lets a user start; with `writer: thread` none is needed"
    monkeypatch.undo()
    later = open_store(url, clock=clock, writer="process")
    await later.open()
    await later.close()


async def test_one_that_was_started_ahead_is_taken_by_the_next_opening(
    url: str, clock: VirtualClock, opened: list[Store]
) -> None:
    before = children()
    companion.start_ahead(companion.WRITER)
    ahead = children()
    opened.append(open_store(url, clock=clock, writer="process"))
    await opened[0].open()
    assert children() == ahead == f"{before}{child_of(opened[0])} "
    await opened[0].submit(Unit(runs=(start(1),)))
    await opened[0].close()
    assert children() == before


def test_one_that_was_started_ahead_and_is_not_needed_ends() -> None:
    before = children()
    companion.start_ahead(companion.WRITER)
    assert children() != before
    companion.drop(companion.WRITER)
    assert children() == before


async def test_where_none_can_be_started_ahead_the_opening_says_so(
    url: str, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion.sys, "executable", str(tmp_path / "no-python"))
    companion.start_ahead(companion.WRITER)
    with pytest.raises(StoreFailed, match="cannot be started: No such file or directory"):
        await open_store(url, clock=clock, writer="process").open()


async def test_what_has_no_form_on_the_wire_harms_its_own_unit_alone(store: Store) -> None:
    strange: Any = object()
    bad = Unit(runs=(start(1),), rules=(1, strange))
    good = [store.submit(Unit(runs=(start(n),))) for n in (2, 3)]
    refused = store.submit(bad)
    assert [receipt.started[0].verdict for receipt in await asyncio.gather(*good)] == ["begun", "begun"]
    with pytest.raises(UnitRefused) as caught:
        await refused
    assert str(caught.value) == "the unit cannot be written: TypeError: a unit cannot hold a object"
    assert await store.run(1) is None


class Strange(Exception):
    """One that cannot be made again from its text."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


async def test_a_decision_that_fails_is_told_by_its_own_name(store: Store) -> None:
    def decide(states: Any, now: float) -> FlowDecision:
        raise Strange(1, 2)

    with pytest.raises(UnitRefused) as caught:
        await store.submit(Unit(runs=(RunStart(run_row(1), Flow((KEY,), decide)),)))
    assert str(caught.value) == "the unit cannot be written: Strange: 1 and 2"


def test_an_error_that_cannot_be_made_again_says_its_name_and_text() -> None:
    made = sqlite_wire.unpickled(sqlite_wire.pickled_error(Strange(1, 2)))
    assert repr(made) == "RuntimeError('Strange: 1 and 2')"
    kept = sqlite_wire.unpickled(sqlite_wire.pickled_error(StoreUnavailable("full", hint="free some", retry_after_s=2)))
    assert (type(kept), str(kept), kept.hint, kept.retry_after_s) == (StoreUnavailable, "full", "free some", 2)


async def test_large_units_and_rows_pass_whole(store: Store) -> None:
    body = bytes(range(256)) * 12_000  # 3 MB: many times what a socket takes at once
    digest = await store.put_blob(body)
    assert await store.blob(digest) == body
    await store.submit(Unit(runs=(start(1),), journal=step(1, 0, body).journal))
    assert (await store.journal(1))[0].body == body


async def test_a_generator_that_fails_between_two_questions_leaves_nothing(store: Any, tmp_path: Path) -> None:
    def asking() -> Any:
        yield "INSERT INTO meta VALUES ('x', 1)", ()
        raise ValueError("changed its mind")

    with pytest.raises(ValueError, match="changed its mind"):
        await store._ask(asking())

    def nothing() -> Any:
        return 5
        yield

    assert await store._ask(nothing()) == 5
    with pytest.raises(apsw.SQLError, match="no such table"):
        await store._ask(iter_of("SELECT * FROM missing"))
    assert await store.submit(Unit(runs=(start(1),))) != Committed()
    other = apsw.Connection(str(tmp_path / "reactor.db"))
    assert other.execute("SELECT count(*) FROM meta WHERE k = 'x'").fetchall() == [(0,)]


def iter_of(sql: str) -> Any:
    """One question."""
    return (yield sql, ())


async def test_the_lock_is_held_until_both_are_gone(
    url: str, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from reactor.core.clock import SYSTEM\n"
        "from reactor.store import open_store\n"
        "async def main():\n"
        "    store = open_store(sys.argv[1], clock=SYSTEM, writer='process')\n"
        "    await store.open()\n"
        "    await store.put_blob(b'x')\n"
        "    print(store._writer._process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", program, url), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    writer = int(await parent.stdout.readline())
    os.kill(writer, signal.SIGSTOP)  # as if its disk were slow
    parent.kill()
    await parent.wait()
    monkeypatch.setattr(sqlite, "_ORPHAN_S_MAX", 0.5)
    with pytest.raises(ConfigError) as caught:
        await open_store(url, clock=clock).open()
    assert str(caught.value) == f"the store {tmp_path / 'reactor.db'} is in use by process {parent.pid}"
    monkeypatch.undo()
    later = open_store(url, clock=clock)
    opening = asyncio.ensure_future(later.open())
    await asyncio.sleep(0.5)  # longer than a living holder is waited for
    assert not opening.done()
    os.kill(writer, signal.SIGCONT)
    async with asyncio.timeout(10):
        await opening
    await later.close()
