"""Lives of an engine that die at a chosen point, the world outside that remembers what they did, and the judge."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reactor.core import faults
from reactor.core.clock import SYSTEM, Clock
from reactor.core.errors import StoreFailed, StoreUnavailable, TransientError
from reactor.store.contract import BUS, ROUTER, Committed, Kind, RunFilter, RunState, Unit
from reactor.tests.crash.writers import Forked, Killed
from reactor.tests.engine.rig import Rig
from reactor.tests.store.proxy import Proxy

QUIET_S_MAX = 8.0


class Cut(NamedTuple):
    """Nobody dies: the line to PostgreSQL is cut as so many a group of one statement goes, `before` or `after` it."""

    line: Proxy
    passage: int
    way: str


Death = int | str | tuple[str, int] | Killed | Cut
"""At this passage of any named point, counted from the start (never for 0), at the first of this one, at so many a one,
of a writer, or of a line.
"""


class Dead(BaseException):
    """The process is gone."""


@dataclass
class Call:
    """One call from a step, as the other side saw it."""

    what: str
    run: str
    key: str
    begun: int
    ended: int = 0  # 0: the caller died before it had the answer


class Outside:
    """The other side of every step: it outlives all lives, and is what the judge believes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.acknowledged: dict[str, tuple[str, ...]] = {}
        self.faults: list[str] = []
        self.fails: set[str] = set()  # what is refused for good
        self.weak: set[str] = set()  # what fails the first time it is asked for under a key
        self.tired: set[str] = set()  # what fails each time, and may be asked again
        self.hangs: set[str] = set()  # what never answers
        self.first: dict[str, float] = {}  # key → when it was first done, by the clock of the engine
        self.last: dict[str, float] = {}  # what was done, or a point → when last
        self.deaths = 0
        self.died_at: list[str] = []
        self._ticks = itertools.count(1)

    async def do(self, life: Life, what: str, context: Any, value: Any = None) -> Any:
        """Take effect."""
        key, run = context.idempotency_key, context.run["id"]
        if life.dead:
            await asyncio.Event().wait()
        await self._may_run(life, run, context)
        call = Call(what, run, key, next(self._ticks))
        self.calls.append(call)
        self.last[what] = life.clock.now()
        self.first.setdefault(key, life.clock.now())
        await asyncio.sleep(0)
        if life.dead:
            await asyncio.Event().wait()
        call.ended = next(self._ticks)
        if what in self.hangs:
            await asyncio.Event().wait()
        if what in self.tired:
            raise TransientError("not now")
        if what in self.fails:
            raise ValueError(f"{what} is refused")
        if what in self.weak and sum(c.key == key for c in self.calls) == 1:
            raise TransientError("come again")
        return "x" * value if isinstance(value, int) else value if value is not None else what

    async def _may_run(self, life: Life, run: str, context: Any) -> None:
        """A step whose result is durable never runs again (semantics 4.2)."""
        number = life.rig.runs.number(run)
        active = life.rig.engine.executor.runs.get(number)
        if active is None:
            return
        place = active.plan.by_path[context.step]
        kind = Kind.UNDO if active.state is RunState.COMPENSATING else Kind.RESULT
        try:
            journal = await life.rig.store.journal(number)
        except StoreUnavailable:
            return
        for row in journal:
            if row.kind == kind and row.ord >> 40 == place and row.gen == active.row.gen:
                self.faults.append(f"`{context.step}` of {run} ran although its result is durable")


class Mortal:
    """A store that a dead process cannot use: what was not committed by then never is, and nobody hears of the rest."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def submit(self, unit: Unit) -> asyncio.Future[Committed]:
        """As the store does, but the dead hear nothing."""
        heard: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()

        def tell(future: asyncio.Future[Committed]) -> None:
            error = future.exception()
            if self.dead or heard.done():
                return
            if error is None:
                heard.set_result(future.result())
            else:
                heard.set_exception(error)

        if not self.dead:
            asyncio.ensure_future(self._store.submit(unit)).add_done_callback(tell)
        return heard

    def die(self) -> None:
        """As the kernel ends a process: a line to one that writes for it is cut."""
        self.dead = True
        writer = getattr(self._store, "_process", None)
        if writer is not None and writer._transport is not None:
            writer._closing = True
            writer._transport.abort()

    async def close(self) -> None:
        """The end of a dead process: nothing that waits is written any more."""
        if self.dead and self._store._groups is not None:
            self._store._groups.fail(StoreFailed("the process is dead"))
        await self._store.close()


class Life:
    """One process, in this one: from its start to its death or its quiet end."""

    def __init__(
        self,
        url: str,
        outside: Outside,
        clock: Clock = SYSTEM,
        wrap: Callable[[Any], Any] = Mortal,
        *,
        writer: str = "thread",
    ) -> None:
        self.outside = outside
        self.clock = clock
        self.dead = False
        self.passed: list[str] = []
        self.written: list[str] = []  # what the process that writes for it has passed
        self._loop = asyncio.get_running_loop()
        self.died: asyncio.Future[None] = self._loop.create_future()
        functions = {"m:do": self._do, "m:check": self._do}
        self.rig = Rig(url, functions, clock=clock, wrap=wrap, writer=writer)

    async def _do(self, what: str, context: Any, value: Any = None) -> Any:
        return await self.outside.do(self, what, context, value)

    def die(self) -> None:
        """From now on nothing that this process does has an effect."""
        self.dead = True
        self._loop.call_soon_threadsafe(self._buried)
        self.outside.deaths += 1
        if hasattr(self.rig, "store"):
            self.rig.store.die()

    def die_with_its_writer(self) -> None:
        """End in the moment in which the process that writes does."""
        wrap = self.rig.wrap

        def bound(store: Any) -> Any:
            lost = store._lost

            def both(error: StoreFailed) -> None:
                self.die()
                lost(error)

            store._lost = both
            return wrap(store)

        self.rig.wrap = bound

    async def failed(self) -> None:
        """Wait until the engine has said that it cannot go on."""
        while not self.rig.fatal:
            await asyncio.sleep(0.002)

    async def ended_itself(self) -> None:
        """As a server whose store failed: it ends what it can, and itself."""
        if hasattr(self.rig, "_loops"):
            async with asyncio.timeout(QUIET_S_MAX):
                with contextlib.suppress(StoreFailed):
                    await self.rig.close()
        self.die()

    def _buried(self) -> None:
        if not self.died.done():
            self.died.set_result(None)

    @contextlib.contextmanager
    def watched(self, dies_at: Death) -> Iterator[None]:
        """Die there."""

        def hook(name: str) -> None:
            if self.dead:
                raise Dead
            self.passed.append(name)
            self.outside.last[name] = self.clock.now()
            here = (name, self.passed.count(name))
            if isinstance(dies_at, Cut) and here == ("lane.before_statement", dies_at.passage):
                dies_at.line.cut_at_commit = dies_at.way
                self.outside.died_at.append(f"the line, {dies_at.way}")
            if dies_at in (len(self.passed), name, here):
                self.outside.died_at.append(name)
                self.die()
                raise Dead

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, about: None if isinstance(about.get("exception"), Dead) else
                                   loop.default_exception_handler(about))  # fmt: skip
        faults.hook = hook
        try:
            yield
        finally:
            faults.hook = None

    async def post(self, id: str, type: str, data: Mapping[str, Any]) -> None:
        """Hand in an event, unless it was acknowledged before: then its sender has forgotten it."""
        if id in self.outside.acknowledged:
            return
        receipt = await self.rig.emit(type, data, id=id, source="/outside")
        if not self.dead and self.outside.acknowledged.setdefault(id, receipt.runs) != receipt.runs:
            self.outside.faults.append(f"the event {id} gave other runs than before")

    async def quiet(self) -> bool:
        """Is there nothing that this process has still to do?"""
        store, passed = self.rig.store, len(self.passed)
        if self._busy() or await store.flow_waiting(limit=1) or await store.outbox(ROUTER | BUS, after=0, limit=1):
            return False
        return not self._busy() and passed == len(self.passed)

    def _busy(self) -> bool:
        executor, intake = self.rig.engine.executor, self.rig.intake
        return bool(
            executor.runs or executor._tasks or intake._tasks or any(share.open for share in intake._shares.values())
        )


@dataclass
class Scenario:
    """What is sent, and what the world outside must have seen when all is quiet."""

    name: str
    flows: str
    drive: Callable[[Life, str], Awaitable[None]]
    wanted: Mapping[str, int]  # what is done → under how many keys
    runs: Mapping[str, int]  # workflow → how many runs
    prepare: Callable[[Outside], None] = lambda outside: None
    judge: Callable[[Life, str, Outside], Awaitable[list[str]]] | None = None
    virtual: bool = False
    at_most_once: tuple[str, ...] = ()
    again: int = 0  # so often more may each be done: a person asked for it
    maybe: tuple[str, ...] = ()  # what may be missing: its outcome is unknown after a death
    alone: tuple[str, ...] = ()  # calls of these never overlap, over all runs


@dataclass
class Trial:
    """Deaths of one scenario, with what came of them."""

    scenario: Scenario
    url: str
    clock: Callable[[], Clock] = lambda: SYSTEM
    wrap: Callable[[Any], Any] = Mortal
    writer: str = "thread"
    kind: str = "sqlite"  # of store, as the tests call it
    writes: int = 0  # passages of the process that writes, in the first life of the last case
    points: set[str] = field(default_factory=set[str])
    died_at: set[str] = field(default_factory=set[str])
    quiet_s: float = QUIET_S_MAX

    async def case(self, id: str, *deaths: Death) -> tuple[list[str], int]:
        """Live, die at each of these passages in turn, live to the end; what is wrong, and passages of the first
        life.
        """
        outside = Outside()
        self.scenario.prepare(outside)
        reached = 0
        for turn, dies_at in enumerate((*deaths, 0)):
            life = await self._live(id, outside, dies_at)
            if turn == 0:
                reached = len(life.passed)
                self.points |= set(life.passed)
                self.writes = len(life.written)
            if not life.dead:
                break
        self.died_at.update(outside.died_at)
        return outside.faults, reached

    async def _live(self, id: str, outside: Outside, dies_at: Death) -> Life:
        life = Life(self.url, outside, self.clock(), self.wrap, writer=self.writer)
        rig = life.rig
        kill = dies_at if isinstance(dies_at, Killed) else None
        Forked.next_at = kill.passage if kill is not None else 0
        if kill is not None and kill.both:
            life.die_with_its_writer()
        with life.watched(dies_at):
            await self._until_over(life, asyncio.ensure_future(self._work(life, id)), may_fail=kill is not None)
            if not life.dead:
                outside.faults += await self._judge(life, id, outside)
            if hasattr(rig, "_loops"):
                await rig.crash()
            elif hasattr(rig, "store"):
                await rig.store.close()
        if self.writer == "process":
            life.written = Forked.last.passed
            if kill is not None and life.dead:
                outside.died_at.append(life.written[-1] + (" of both" if kill.both else ""))
        return life

    async def _until_over(self, life: Life, work: asyncio.Future[None], *, may_fail: bool) -> None:
        """Until it is done, or dead; if its store `may_fail`, then it ends itself."""
        failed = asyncio.ensure_future(life.failed())
        ends = False
        try:
            async with asyncio.timeout(self.quiet_s):
                await asyncio.wait((work, life.died, failed), return_when=asyncio.FIRST_COMPLETED)
            ends = failed.done() and may_fail
            if work.done() and not life.dead:
                work.result()
        except TimeoutError:
            life.outside.faults.append(f"not quiet after {self.quiet_s:g} s: " + await _open(life))
        except (StoreFailed, StoreUnavailable):  # a sender is told to come again
            if not may_fail:
                raise
            ends = True
        except Dead:
            pass
        work.cancel()
        failed.cancel()
        await asyncio.gather(work, failed, return_exceptions=True)
        if ends and not life.dead:
            await life.ended_itself()

    async def _work(self, life: Life, id: str) -> None:
        await life.rig.open()
        if life.dead:
            raise Dead
        await life.rig.deploy(self.scenario.flows)
        await self.scenario.drive(life, id)
        while not await life.quiet():
            await asyncio.sleep(0.004)

    async def _judge(self, life: Life, id: str, outside: Outside) -> list[str]:
        s, found = self.scenario, list[str]()
        if life.rig.fatal:
            found.append(f"the store failed: {life.rig.fatal}")
        keys: dict[str, set[str]] = defaultdict(set)
        for call in outside.calls:
            keys[call.what].add(call.key)
        for what, count in s.wanted.items():
            if len(keys.pop(what, ())) != count and not (what in s.maybe and outside.deaths):
                found.append(f"`{what}` was done under {len({c.key for c in outside.calls if c.what == what})} keys, "
                             f"not {count}")  # fmt: skip
        found += [f"`{what}` was done, which nobody wanted" for what in keys]
        for (what, key), times in Counter((c.what, c.key) for c in outside.calls).items():
            most = 1 if what in s.at_most_once else 1 + outside.deaths + (what in outside.weak) + s.again
            if times > most:
                found.append(f"`{what}` was done {times} times under {key}: only what is in flight is done again")
        for one, two in itertools.combinations([c for c in outside.calls if c.what in s.alone], 2):
            if one.run != two.run and one.ended and two.ended and one.begun < two.ended and two.begun < one.ended:
                found.append(f"{one.run} and {two.run} held the same place at once")
        rows = await life.rig.store.runs(RunFilter(), limit=500)
        counts = Counter(row.workflow for row in rows if self._of(row.input, id))
        if counts != Counter(s.runs):
            found.append(f"runs: {dict(counts)}, not {dict(s.runs)}")
        found += [f"a run of {row.workflow} is left {RunState(row.state).name.lower()}" for row in rows
                  if not RunState(row.state).ended]  # fmt: skip
        flows = await life.rig.store._all("SELECT policy, state FROM flow WHERE state IS NOT NULL")
        found += [f"the flow row {p} is left: {state}" for p, state in flows if not p.startswith("throttle")]
        if s.judge is not None:
            found += await s.judge(life, id, outside)
        return found

    def _of(self, input: bytes, id: str) -> bool:
        return f'"{id}"'.encode() in input


async def _open(life: Life) -> str:
    rows = await life.rig.store.runs(RunFilter(), limit=500)
    left = [f"{r.workflow} {RunState(r.state).name.lower()}" for r in rows if not RunState(r.state).ended]
    outbox = await life.rig.store.outbox(ROUTER | BUS, after=0, limit=10)
    return f"open runs {left}, outbox rows {len(outbox)}"
