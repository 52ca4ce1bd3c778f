"""The web server in our own loop: started, and stopped within the drain time, by whoever runs the process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING

from ..core.errors import ConfigError, ReactorError
from ..core.http import is_loopback
from .front import Front
from .tokens import Tokens

if TYPE_CHECKING:
    import uvicorn

    from ..app import App

log = logging.getLogger("reactor.serve")
BACKLOG = 2_048
STOP_MARGIN_S = 1.0  # beyond the drain time, for what was cancelled to end


class WebServer:
    """Serves an open App on `server.host` and `server.port` (0: any free one). `async with WebServer(app) as web`."""

    def __init__(
        self, app: App, *, host: str | None = None, port: int | None = None, tokens: Tokens | None = None
    ) -> None:
        server = app.project.server
        self.app = app
        self.host = server.host if host is None else host
        self.port = server.port if port is None else port
        self.tokens = tokens if tokens is not None else Tokens.of(app.project.root)
        app.routes.exposed = not is_loopback(self.host)
        self._front: Front | None = None
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.app.project.server.base_path.rstrip('/')}"

    async def __aenter__(self) -> WebServer:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; returns once requests are taken.

        Raises ConfigError: off loopback without a token or with an http trigger whose `auth` is unwritten, or the
        address is taken.
        """
        self._check_exposed()
        listening = self._bind()
        if not self.app.project.server.url:
            self.app.engine.url = self.url
        import uvicorn

        from .arriving import Arriving

        self._front = Front(self.app, self.tokens, base_path=self.app.project.server.base_path)
        config = uvicorn.Config(
            self._front,
            http=Arriving,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=max(1, round(self.app.project.server.drain_s)),
        )
        started = asyncio.get_running_loop().create_future()
        self._server = _quiet(config, started)
        self._task = asyncio.ensure_future(self._server.serve(sockets=[listening]))
        await asyncio.wait((self._task, started), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody stopped it: a process that nobody can reach must not go on as if it were served."""
        if task is not self._task or task.cancelled():
            return
        why = f": {error!r}" if (error := task.exception()) is not None else ""
        log.critical("the HTTP server ended by itself%s", why, exc_info=error)
        failed = self.app.failed
        if failed is not None and not failed.done():
            failed.set_result(ReactorError(f"the HTTP server ended by itself{why}", hint="start it again"))

    async def stop(self) -> None:
        """Take no new connection, let open requests finish within `server.drain`, then end. Safe twice."""
        server, task = self._server, self._task
        self._server = self._task = None
        if server is None or task is None:
            return
        server.should_exit = True
        self.app.engine.stops(self.app.project.server.drain_s)  # together with what its runs have after us
        if self._front is not None:
            self._front.close()
        await asyncio.wait((task,), timeout=self.app.project.server.drain_s + STOP_MARGIN_S)
        if not task.done():
            server.force_exit = True
            task.cancel()
            await asyncio.wait((task,))

    def _check_exposed(self) -> None:
        if is_loopback(self.host):
            return
        if not self.tokens.all:
            raise ConfigError(
                f"the server would listen on {self.host}, off loopback, and there is no token",
                path="server.host",
                hint="make one with `reactor token create NAME --scope operate`, set REACTOR_TOKENS_FILE,"
                " or listen on 127.0.0.1",
            )
        open_ = sorted({route.owner for route in self.app.routes if not route.facts.get("auth")})
        if open_:
            raise ConfigError(
                f"the server would listen on {self.host}, off loopback, and anybody could use the http trigger"
                f"{'s' if len(open_) > 1 else ''} {', '.join(open_)}",
                path=f"triggers.{open_[0]}.http.auth",
                hint="write `auth` for each; if anybody may, `auth: none`",
            )

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self.host, self.port))
        except OSError as e:
            listening.close()
            raise ConfigError(
                f"the server cannot listen on {self.host}:{self.port}: {e.strerror or e}",
                path="server.port",
                hint="another process may have the port: choose another `server.port`",
            ) from None
        self.port = int(listening.getsockname()[1])
        return listening


def _quiet(config: uvicorn.Config, started: asyncio.Future[None]) -> uvicorn.Server:
    """A server that leaves signals to whoever owns the process, and says when it has started."""
    import uvicorn

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set_result(None)

    return Quiet(config)
