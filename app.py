"""The one place that names concrete classes and puts them together; what command line, HTTP and programs speak to."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from .connections.otel import tracing
from .connections.registry import Registry as Connections
from .connections.words import connection_words
from .core.clock import SYSTEM, Clock
from .core.errors import ConfigError, StoreFailed
from .core.event import Receipt
from .core.http import Routes
from .core.opened import Face, OpenedOnce
from .core.telemetry import Telemetry
from .engine.actions.catalogue import Catalogue as Actions
from .engine.actions.words import action_words
from .engine.engine import Engine
from .engine.files import WorkflowFiles
from .engine.functions import Functions
from .engine.handle import RunHandle
from .engine.prepare import mapping
from .engine.runs_api import RunsApi
from .engine.services import ActionServices
from .engine.upkeep import upkeep
from .engine.workflows_api import WorkflowsApi
from .language.built_in import BUILT_IN
from .language.catalogue import Vocabulary
from .language.definition import Loaded, TriggerSpec
from .language.loader import LoadResult
from .language.project import Project, project_of
from .plugins.installed import Plugins
from .router.arrival import Arrivals
from .router.counts import Counts
from .router.deploy import Deploys
from .router.events_api import EventsApi
from .router.intake import Intake
from .router.outbox import Outbox
from .router.rules import Rules
from .router.unmatched import Unmatched
from .store import open_store
from .triggers.catalogue import Kinds
from .triggers.supervisor import Supervisor
from .triggers.words import kind_words


class App(OpenedOnce):
    """A whole Reactor in one asyncio program.

    `store`: a URL, `:memory:` by default. `project`: a folder with `reactor.yaml`, or a Project; what is given beside
    it (`connections`, `triggers`, `vars`) is added to it; so is the `writer` of an SQLite file, if it names none.
    """

    engine, deploys = Face[Engine](), Face[Deploys]()
    runs_api, events_api, workflows_api = Face[RunsApi](), Face[EventsApi](), Face[WorkflowsApi]()

    def __init__(
        self,
        store: str = "",
        *,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        triggers: Mapping[str, TriggerSpec | Mapping[str, Any]] | None = None,
        vars: Mapping[str, Any] | None = None,
        project: Project | str | Path | None = None,
        clock: Clock = SYSTEM,
        listen: bool = True,
        carry_on: bool = True,
        writer: Literal["thread", "process"] = "thread",
    ) -> None:
        self.plugins = Plugins()
        self.actions, self.kinds = Actions(self.plugins.actions), Kinds(self.plugins.kinds)
        given = project_of(project, words := self.words(), os.environ)
        self.project = given.plus(words, store, connections or {}, triggers or {}, vars or {})
        self.clock, self._in_folder = clock, project is not None
        self._open, self.listen = False, listen  # read triggers; without, only what is handed in is taken
        self.carry_on = carry_on  # with the runs under way; without, they stay as they are, to be looked at
        self.secrets = self.project.secrets(os.environ)
        self.functions = Functions(self.project.root, self.vocabulary)
        self.files = WorkflowFiles(self.project.root, self.functions)
        self.telemetry, self.routes = Telemetry(), Routes()
        known = {name: {c.kind: c.config} for name, c in self.project.connections.items()}
        self.connections = Connections(known, project=self.project.root, render=self._render)
        server = self.project.server
        address = f"{server.host}:{server.port}" if listen else ""  # nobody answers there otherwise
        url, durability, writer = self.project.store_url, self.project.durability, self.project.writer or writer
        self.store = open_store(url, durability=durability, clock=clock, address=address, writer=writer)
        self._registered: list[Loaded] = []
        self._loops: list[asyncio.Task[Any]] = []

    async def open(self) -> None:
        """Open the store, bring back what was under way, put the workflows in force, then read the triggers.

        Raises ConfigError (opened before; another process has the store; a definition is wrong), StoreUnavailable.
        """
        self.check_unopened()
        await self.store.open()
        self.opened()
        try:
            await self._start()
        except BaseException:
            self.closed()
            await self.store.close()
            raise

    async def _start(self) -> None:
        self._compose()
        await self.engine.open(self.project.vars, self.project.environment(os.environ), carry_on=self.carry_on)
        self.arrivals.vars = self.engine.prepare.vars
        await self.deploys.open()
        if self.carry_on:
            if self._in_folder:  # runs that come back call its code
                await self.files.read(self.project.workflow_files(), self.vocabulary(), texts=False)
            await self.engine.recover()
        self._open = True
        if self._registered:
            await self.deploys.deploy(self._registered, origin="program")
        keep = upkeep(self.store, self.clock, self.project.retention, self._fatal)
        self._loops = [*self.outbox.start(self._fatal), self.unmatched.start(self._fatal), keep]
        await self._apply(self.deploys.specs)

    def _compose(self) -> None:
        store, clock, project = self.store, self.clock, self.project
        self.rules, self.counts, self.unmatched = Rules(), Counts(), Unmatched(store, clock)
        self.outbox = Outbox(store, self.rules, clock)
        find, get, server = self.functions.function, self.connections.get, project.server
        services = ActionServices(store, project.root, server.files, server.output_bytes_max, get, find)
        self.engine = Engine(
            store, clock, self.actions, services, self.outbox, self.telemetry, secrets=self.secrets, fatal=self._fatal
        )
        self.engine.url = server.outside
        self.runs_api = RunsApi(self.engine)
        self.arrivals = Arrivals(self.rules, self.engine, self.engine.numbers, clock, self.unmatched, self.counts)
        self.intake = Intake(
            store, self.arrivals, self.engine, clock, self.counts, fatal=self._fatal, outcomes=self.runs_api.outcomes
        )
        self.outbox.publish, self.engine.recorded = self.intake.publish, self.intake.recorded
        self.traces = tracing(os.environ, clock, store.id, self.engine.telling, self.intake.keyed)
        self.outbox.open(project.bus, self.connections.get, self.engine.telling.listeners)
        self.events_api = EventsApi(
            store, self.intake, self.arrivals, self.rules, self.unmatched, self.engine, server.body_bytes_max
        )
        self.supervisor = Supervisor(
            self.intake.publish, read_marks=store.marks, connections=self.connections.get, kinds=self.kinds,
            clock=clock, store_id=store.id, node=store.node, project=project.root, routes=self.routes,
            render=self._render,
        )  # fmt: skip
        self.deploys = Deploys(store, self.rules, self.engine.workflows, project.triggers, self._apply)
        self.events_api.rules_at, self.intake.completes = self.deploys.rules_at, self.deploys.settles_completed
        self.deploys.leave = self.supervisor.leave
        self.workflows_api = WorkflowsApi(self.engine, self.deploys)

    async def close(self) -> None:
        """Stop reading, let what is under way finish within `server.drain`, then close everything. Safe twice."""
        if not self._open:
            return
        self.check_use()
        self._open = False
        await self.supervisor.close()
        await self.intake.drain()
        await self.engine.close(self.project.server.drain_s)  # its steps may still call the app
        self.closed()
        await self.unmatched.close()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for part in (self.connections, self.traces, self.actions, self.store):
            await part.close()

    def words(self, *, schemas: bool = False) -> Vocabulary:
        """The built-in words and those of plugins; with `schemas`, as `reactor schema` publishes them."""
        actions, kinds = action_words(self.actions, schemas=schemas), kind_words(self.kinds, schemas=schemas)
        known, missing = connection_words(schemas=schemas), self.plugins.missing
        return replace(BUILT_IN, actions=actions, kinds=kinds, connection_kinds=known, missing=missing)

    def vocabulary(self) -> Vocabulary:
        """What workflows of this project may name."""
        return self.project.vocabulary(self.words(), self.secrets)

    async def _apply(self, specs: Mapping[str, TriggerSpec]) -> None:
        if self._open and self.listen:
            await self.supervisor.apply(specs)
            await self.supervisor.tried()  # a file that is dropped from now on is new

    def _fatal(self, error: StoreFailed) -> None:
        """The store closed for good: the server exits, an embedding program sees it in `failed`."""
        logging.getLogger("reactor").critical("the store failed: %s", error)
        if self.failed is not None and not self.failed.done():
            self.failed.set_result(error)

    def _render(self, value: Any) -> Any:
        return self.secrets.render(value, self.project.env, self.project.vars)

    # -- workflows
    def register(self, workflow: Any) -> Any:
        """Register a Workflow class or a definition; at once if the app is open. Usable as a decorator."""
        self._registered.append(self.functions.register(workflow))
        if self._open:
            raise ConfigError("the app is open already", hint="use `await app.deploy(…)`, or register before it opens")
        return workflow

    async def deploy(self, *workflows: Any) -> list[str]:
        """Put workflows in force while the app runs; the names that changed."""
        return await self.deploys.deploy([self.functions.register(w) for w in workflows], origin="program")

    async def load(self) -> LoadResult:
        """Read the project's files and put the good ones in force; a broken one keeps its last good revision."""
        self.check_use()
        result = await self.files.read(self.project.workflow_files(), self.vocabulary(), self._registered)
        await self.deploys.sync(result.loaded, failed=result.failed, held=result.may_hold)
        return result

    # -- runs and events
    async def start(self, workflow: Any, inputs: Mapping[str, Any] | None = None, /, **more: Any) -> RunHandle:
        """Start a run: `app.start(ShipOrder, order_id="A1")`, `app.start("ship-order", {"version": 1}, key="k")`.

        Keywords are inputs, but for version, priority, labels, key. Raises StepError `unknown_workflow`, InvalidInput.
        """
        name, version = self.functions.name_of(workflow), more.pop("version", "")
        inputs = mapping(inputs, f"inputs of `{name}`")
        options = {k: more.pop(k) for k in ("priority", "labels", "key") if k in more}
        row = await self.engine.start(f"{name}@{version}" if version else name, {**inputs, **more}, **options)
        return RunHandle(lambda: self.runs_api, self.store.id, row)

    async def emit(self, type: str, data: Any = None, **more: Any) -> Receipt:
        """Hand in an event; returns when it is durable. See EventsApi.emit."""
        return await self.events_api.emit(type, data, **more)

    async def handle(self, run: str) -> RunHandle:
        """A run that is there already, such as one that an event started. Raises RunNotFound."""
        return RunHandle(lambda: self.runs_api, self.store.id, await self.runs_api.row(run))

    async def get(self, run: str) -> dict[str, Any]:
        """A run as the API shows it. Raises RunNotFound."""
        return await self.runs_api.get(run)

    async def runs(self, **wanted: Any) -> dict[str, Any]:
        """A page of runs. See RunsApi.list."""
        return await self.runs_api.list(**wanted)

    async def cancel(self, run: str, reason: str = "", *, force: bool = False) -> None:
        """Cancel a run; durable when it returns. Raises RunNotFound, SignalRefused."""
        await self.runs_api.cancel(run, reason=reason, force=force)
