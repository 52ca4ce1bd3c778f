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
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import logs
from ..engine.files import is_workflows
from ..language.definition import WorkflowDefinition
from ..language.diagnostics import Diagnostics, Severity
from ..language.loader import LoadResult
from ..language.project import FILES
from ..web.server import WebServer
from . import ending
from .failures import RUN_FAILED, exit_code, text_of
from .output import note, relative
from .place import find
from .starting import uncollected

if TYPE_CHECKING:
    from ..app import App

log = logging.getLogger("reactor.serve")
_LEVELS: dict[Severity, int] = {"error": logging.ERROR, "warning": logging.WARNING, "hint": logging.INFO}

Beside = Callable[["Serving"], Awaitable[None]]
"""What runs beside the server, until it ends."""

AGAIN = "what was under way is taken up at the next start"


class Serving:
    """One process that serves a project."""

    def __init__(self, app: App, last: ending.Ending) -> None:
        self.app = app
        self.ending = last
        last.say = lambda text: self.say(text, grave=True)
        self.stopping = asyncio.Event()
        self.up = asyncio.Event()  # have the files been read for the first time?
        self.url = ""
        self.changed: list[str] = []  # workflows that the last reading of the files changed
        self._settings = _stamps(app.project.root)
        self._known: dict[str, WorkflowDefinition] = {}
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._asked = False  # is it to end?

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

    def tell_settings(self) -> None:
        """Say which of the project's files and modules, which are read once alone, changed since it was last asked."""
        was, self._settings = self._settings, _stamps(self.app.project.root)
        for file in was:
            if was[file] != self._settings[file]:
                self.say(f"{relative(file)}: start again to let it take effect")

    async def reload(self) -> LoadResult:
        """Read the workflow files; the good ones are in force, what is wrong is printed with its place."""
        async with self._reloading:
            result = await self.app.load()
        self.tell(result.diagnostics)
        read = {one.definition.workflow: one.definition for one in result.loaded}
        self.changed = sorted(name for name, each in read.items() if self._known.get(name) != each)
        self._known.update(read)
        return result

    def _interrupted(self) -> None:
        """Ctrl-C: end in order; when it comes again, at once. Called wherever the main thread is."""
        if self._asked:
            self.ending.at_once(f"stopped at once: {AGAIN}")
        self._ask("Ctrl-C")

    def _terminated(self) -> None:
        if not self._asked:  # a manager may say it several times; only a person asks for haste
            self._ask("SIGTERM")

    def _ask(self, why: str) -> None:
        self.end_by(why)
        self._loop.call_soon_threadsafe(self._stop, why)

    def end_by(self, why: str) -> None:
        """From now on it ends, in order or else at last without."""
        if self._asked:
            return
        self._asked = True
        limit_s = self.app.project.server.drain_s + ending.REST_S
        text = f"{limit_s:g} s after {why} not all has ended, and is left as it is: {AGAIN}"
        self.ending.by(limit_s, RUN_FAILED, text, self._loop)

    def _stop(self, why: str) -> None:
        self.say(f"{why}: letting what is under way finish (at most {self.app.project.server.drain_s:g} s)")
        self.stopping.set()

    def _spawn(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_again(self) -> None:
        await self.up.wait()  # what is asked for while it starts is done then
        self.say("reading the workflow files again")
        self.tell_settings()
        try:
            await self.reload()
        except Exception as error:  # noqa: BLE001  # what is in force stays; the server goes on
            self.say(text_of(error), grave=True)

    def signals(self) -> AbstractContextManager[None]:
        """Take signals, in the loop that runs."""
        self._loop = asyncio.get_running_loop()
        takers: dict[signal.Signals, ending.Take] = {
            signal.SIGINT: self._interrupted,
            signal.SIGTERM: self._terminated,
            signal.SIGHUP: lambda: self._loop.call_soon_threadsafe(self._reload_soon),
        }
        return ending.taken(takers, self._interrupted)

    def _reload_soon(self) -> None:
        self._spawn(self._reload_again())

    async def until_stopped(self, beside: Beside | None) -> int:
        """Wait for a signal, for the store's end, or for the end of what runs beside; the exit code."""
        assert self.app.failed is not None, "the app is open"
        stopped = asyncio.ensure_future(self.stopping.wait())
        waiting: set[asyncio.Future[Any]] = {stopped, self.app.failed}
        other = asyncio.ensure_future(beside(self)) if beside is not None else None
        if other is not None:
            waiting.add(other)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        self.end_by("the stop")
        stopped.cancel()
        if other is not None:
            if not other.done():
                other.cancel()
                await asyncio.wait((other,))
            if not other.cancelled():
                other.result()
        if self.app.failed.done():
            self.say(text_of(self.app.failed.result()), grave=True)
            return exit_code(self.app.failed.result())
        return 0


def _stamps(root: str) -> dict[Path, tuple[int, int] | None]:
    """When each file that may be the project's, and each module of its folder, was written, and its size; None: there
    is none.
    """
    return {path: _stamp(path) for path in (*(Path(root) / name for name in FILES), *_modules(root))}


def _modules(root: str) -> list[Path]:
    """The Python files in the project's folder that are imported; those that are workflows are read again."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values()) if not is_workflows(module)]
    inside = root.rstrip(os.sep) + os.sep
    found = [file for file in files if isinstance(file, str) and file.startswith(inside)]
    return [Path(file) for file in found if file.endswith(".py") and "site-packages" not in file]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


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
    last = ending.Ending()
    try:
        with ending.kept(), asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_serve(Serving(app, last), hello, beside))
    finally:
        last.not_yet()


async def _serve(serving: Serving, hello: Callable[[Serving, LoadResult], None], beside: Beside | None) -> int:
    serving.tell(Diagnostics([*serving.app.project.warnings]))
    with serving.signals():
        code = await _served(serving, hello, beside)
        serving.ending.by(ending.LEFT_S, code)
        return code


async def _served(serving: Serving, hello: Callable[[Serving, LoadResult], None], beside: Beside | None) -> int:
    with ExitStack() as starting:
        starting.enter_context(uncollected())
        async with serving.app:
            try:
                result = await serving.reload()
                if serving.stopping.is_set():
                    return 0  # it was stopped before it was there
                serving.up.set()
                async with WebServer(serving.app) as web:
                    serving.url = web.url
                    with find(Path(serving.app.project.root), os.environ).told(f"{web.host}:{web.port}"):
                        hello(serving, result)
                        starting.close()
                        return await serving.until_stopped(beside)
            finally:
                serving.end_by("the stop")
