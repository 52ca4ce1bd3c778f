"""The life of a serving process, which `serve`, `dev` and `demo` share: open, listen, signals, drain, end.

SIGTERM or a first Ctrl-C lets what is under way finish within `server.drain`, a second Ctrl-C ends at once; SIGHUP
reads the workflow files again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..core import logs
from ..engine.actions.orphans import WARDS
from ..language.definition import WorkflowDefinition
from ..language.diagnostics import Diagnostics, Severity
from ..language.loader import LoadResult
from ..web.server import WebServer
from .failures import RUN_FAILED, text_of
from .output import note
from .starting import uncollected

if TYPE_CHECKING:
    from ..app import App

log = logging.getLogger("reactor.serve")
INTERRUPTED = 130
_LEVELS: dict[Severity, int] = {"error": logging.ERROR, "warning": logging.WARNING, "hint": logging.INFO}

Beside = Callable[["Serving"], Awaitable[None]]
"""What runs beside the server, until it ends."""


class Serving:
    """One process that serves a project."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.stopping = asyncio.Event()
        self.up = asyncio.Event()  # have the files been read for the first time?
        self.url = ""
        self.changed: list[str] = []  # workflows that the last reading of the files changed
        self._known: dict[str, WorkflowDefinition] = {}
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def say(self, text: str, *, grave: bool = False) -> None:
        """Tell the operator what the process does: on stderr for people, as a line of the log where it is JSON."""
        if self.app.project.server.log_format == "json":
            log.log(logging.ERROR if grave else logging.INFO, text)
        else:
            note(text)

    def tell(self, found: Diagnostics) -> None:
        """Tell the operator what is wrong in files and settings, each thing with its place."""
        if self.app.project.server.log_format == "json":
            for each in found.sorted():
                log.log(_LEVELS[each.severity], each.message, extra={"code": each.code, "fields": each.to_dict()})
        elif found.items:
            print(found.render(), file=sys.stderr, flush=True)

    async def reload(self) -> LoadResult:
        """Read the workflow files; the good ones are in force, what is wrong is printed with its place."""
        async with self._reloading:
            result = await self.app.load()
        self.tell(result.diagnostics)
        read = {one.definition.workflow: one.definition for one in result.loaded}
        self.changed = sorted(name for name, each in read.items() if self._known.get(name) != each)
        self._known.update(read)
        return result

    def stop(self, *, why: str = "") -> None:
        """End in order; when it is said again, at once."""
        if self.stopping.is_set():
            self.say("stopped at once: what was under way is taken up at the next start")
            sys.stdout.flush()
            WARDS.end_all()
            os._exit(INTERRUPTED)
        if why:
            self.say(f"{why}: letting what is under way finish (at most {self.app.project.server.drain_s:g} s)")
        self.stopping.set()

    def _spawn(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_again(self) -> None:
        await self.up.wait()  # what is asked for while it starts is done then
        self.say("reading the workflow files again")
        try:
            await self.reload()
        except Exception as error:  # noqa: BLE001  # what is in force stays; the server goes on
            self.say(text_of(error), grave=True)

    @asynccontextmanager
    async def signals(self) -> AsyncGenerator[None]:
        """Take signals."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: self.stop(why="Ctrl-C"))
        loop.add_signal_handler(signal.SIGTERM, self._terminated)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_again()))
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _terminated(self) -> None:
        if not self.stopping.is_set():  # a manager may say it several times; only a person asks for haste
            self.stop(why="SIGTERM")

    async def until_stopped(self, beside: Beside | None) -> int:
        """Wait for a signal, for the store's end, or for the end of what runs beside; the exit code."""
        assert self.app.failed is not None, "the app is open"
        stopped = asyncio.ensure_future(self.stopping.wait())
        waiting: set[asyncio.Future[Any]] = {stopped, self.app.failed}
        other = asyncio.ensure_future(beside(self)) if beside is not None else None
        if other is not None:
            waiting.add(other)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if other is not None:
            if not other.done():
                other.cancel()
                await asyncio.wait((other,))
            if not other.cancelled():
                other.result()
        if self.app.failed.done():
            self.say(text_of(self.app.failed.result()), grave=True)
            return RUN_FAILED
        return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The faster loop where it exists: not on Windows."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def serve(app: App, hello: Callable[[Serving, LoadResult], None], beside: Beside | None = None) -> int:
    """Serve a project until a signal; the exit code. Raises ConfigError: the store is in use, the address is taken."""
    server = app.project.server
    logs.start(format=server.log_format, level=server.log_level, mask=app.secrets.mask)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(app, hello, beside))


async def _serve(app: App, hello: Callable[[Serving, LoadResult], None], beside: Beside | None) -> int:
    serving = Serving(app)
    serving.tell(Diagnostics([*app.project.warnings]))
    with ExitStack() as starting:
        starting.enter_context(uncollected())
        async with serving.signals(), app:
            result = await serving.reload()
            if serving.stopping.is_set():
                return 0  # it was stopped before it was there
            serving.up.set()
            async with WebServer(app) as web:
                serving.url = web.url
                hello(serving, result)
                starting.close()
                return await serving.until_stopped(beside)
