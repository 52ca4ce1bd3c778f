"""An engine with its router over one store, without project, triggers and faces: what engine tests run on."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import Any

from reactor.core.clock import SYSTEM, Clock
from reactor.core.event import Delivery, Event, Receipt, Settlement
from reactor.core.limits import OUTPUT_BYTES_MAX
from reactor.core.telemetry import Telemetry
from reactor.engine.actions.catalogue import Catalogue
from reactor.engine.engine import Engine
from reactor.engine.runs_api import RunsApi
from reactor.engine.services import ActionServices
from reactor.language.built_in import BUILT_IN
from reactor.language.definition import Loaded
from reactor.language.loader import load_text
from reactor.language.secrets import Secrets
from reactor.router.arrival import Arrivals
from reactor.router.counts import Counts
from reactor.router.deploy import Deploys
from reactor.router.events_api import EventsApi
from reactor.router.intake import Intake
from reactor.router.outbox import Outbox
from reactor.router.rules import Rules
from reactor.router.unmatched import Unmatched
from reactor.store import open_store
from reactor.tests.waiting import until


class Rig:
    """`async with Rig(url, functions) as rig`; leaving it by `crash()` leaves the store as a kill would."""

    def __init__(
        self,
        url: str,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        *,
        clock: Clock = SYSTEM,
        vars: Mapping[str, Any] | None = None,
        project: str = ".",
        writer: str = "thread",
        wrap: Callable[[Any], Any] = lambda store: store,
    ) -> None:
        self.wrap = wrap
        self.writer = writer
        self.url = url
        self.functions = dict(functions or {})
        self.clock = clock
        self.vars = vars or {}
        self.project = project
        self.fatal: list[BaseException] = []
        self.connection: Callable[[str, str | None], Any] = lambda kind, name: None

    async def __aenter__(self) -> Rig:
        await self.open()
        return self

    async def open(self) -> None:
        self.store: Any = self.wrap(open_store(self.url, clock=self.clock, writer=self.writer))
        await self.store.open()
        services = ActionServices(
            self.store,
            self.project,
            (".",),
            OUTPUT_BYTES_MAX,
            lambda k, n: self.connection(k, n),
            self.functions.__getitem__,
        )
        self.rules = Rules()
        self.outbox = Outbox(self.store, self.rules, self.clock)
        self.engine = Engine(
            self.store,
            self.clock,
            Catalogue(),
            services,
            self.outbox,
            Telemetry(),
            secrets=Secrets(),
            fatal=self.fatal.append,
        )
        self.runs = RunsApi(self.engine)
        self.unmatched = Unmatched(self.store, self.clock)
        counts = Counts()
        self.arrivals = Arrivals(self.rules, self.engine, self.engine.numbers, self.clock, self.unmatched, counts)
        self.intake = Intake(
            self.store,
            self.arrivals,
            self.engine,
            self.clock,
            counts,
            fatal=self.fatal.append,
            outcomes=self.runs.outcomes,
        )
        self.outbox.publish = self.intake.publish
        self.deploys = Deploys(self.store, self.rules, self.engine.workflows, {}, self._apply)
        self.events = EventsApi(self.store, self.intake, self.arrivals, self.rules, self.unmatched, self.engine)
        self.events.rules_at = self.deploys.rules_at
        await self.engine.open(self.vars, {})
        self.arrivals.vars = self.engine.prepare.vars
        await self.deploys.open()
        self.recovered = await self.engine.recover()
        self._loops = self.outbox.start(self.fatal.append)

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.intake.drain()
        await self.engine.close(1.0)
        await self.crash()

    async def crash(self) -> None:
        """Leave everything as it is; only the store's lock and tasks go."""
        executor = self.engine.executor
        await self.engine.stop_sweeping()
        executor.closing = True
        tasks = [*executor._tasks, *self._loops, *self.intake._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await executor.timers.close()
        await self.store.close()

    async def _apply(self, specs: Any) -> None:
        pass

    # what tests do
    async def deploy(self, *texts: str) -> None:
        loaded: list[Loaded] = []
        for text in texts:
            loaded += definitions(text)
        await self.deploys.deploy(loaded)

    async def run(self, workflow: str, inputs: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Start a run and wait for its end."""
        head = await self.runs.start(workflow, dict(inputs or {}), **more)
        await asyncio.wait_for(self.runs.outcome(head["id"]), 20)
        return await self.runs.get(head["id"])

    async def emit(self, type: str, data: Any = None, **more: Any) -> Receipt:
        return await self.events.emit(type, data, **more)

    async def ended(self, run: str) -> dict[str, Any]:
        await asyncio.wait_for(self.runs.outcome(run), 60)
        return await self.runs.get(run)

    async def until(self, condition: Callable[[], Any], limit_s: float = 30.0) -> Any:
        """Wait for a condition (plain or async) with a limit."""
        return await until(condition, limit_s)


async def deliver(rig: Rig, trigger: str, *events: Any, **more: Any) -> Settlement:
    """What a trigger does with one read."""
    settled: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()

    async def settle(settlement: Settlement) -> None:
        if not settled.done():
            settled.set_result(settlement)

    async with asyncio.timeout(10):
        await rig.intake.publish(trigger, Delivery(events, settle, **more))
        return await settled


def go(id: str = "1", n: Any = 7, *, type: str = "go", **more: Any) -> Event:
    """An event whose data is a number."""
    return Event(type=type, source="/test", id=id, data={"n": n}, **more)


@functools.cache
def definitions(text: str) -> tuple[Loaded, ...]:
    """The definitions of a text; its errors fail the test."""
    result = load_text(text, "test.yaml", BUILT_IN)
    errors = [d for d in result.diagnostics.items if d.severity == "error"]
    assert not errors, "\n".join(d.message for d in errors)
    return tuple(result.loaded)


def steps(run: dict[str, Any]) -> dict[str, str]:
    """Step → state."""
    return {s["name"]: s["state"] for s in run["steps"]}
