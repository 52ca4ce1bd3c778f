"""The client's way to a server: HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import aiohttp

from .failures import Unreachable
from .transport import NoStream, Reply

if TYPE_CHECKING:
    from yarl import URL

CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 120.0
SILENCE_S_MAX = 45.0  # the stream says something every 15 s


class OverHttp:
    """A session with one server."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def __aenter__(self) -> OverHttp:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX, sock_connect=CONNECT_S_MAX)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, query: str, body: bytes, media: str) -> Reply:
        """See Transport."""
        headers = {"Content-Type": media} if body else {}
        with self._told():
            async with self._session.request(
                method, self._at(path, query), data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                return Reply(answer.status, await answer.read())

    async def stream(self, path: str, query: str, last: str) -> AsyncGenerator[bytes, None]:
        """See Transport."""
        headers = {"Last-Event-ID": last} if last else {}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S_MAX, sock_read=SILENCE_S_MAX)
        with self._told():
            async with self._session.get(
                self._at(path, query), headers=headers, timeout=limits, allow_redirects=False
            ) as answer:
                if answer.content_type != "text/event-stream":
                    raise NoStream(Reply(answer.status, await answer.read()))
                async for part in answer.content.iter_any():
                    yield part

    def _at(self, path: str, query: str) -> URL:
        from yarl import URL

        return URL(self._url + path + (f"?{query}" if query else ""), encoded=True)

    @contextmanager
    def _told(self) -> Generator[None]:
        """Raise what the library raises as Unreachable."""
        try:
            yield
        except TimeoutError:
            raise self._away("it does not answer in time") from None
        except aiohttp.ClientConnectorError as error:
            raise self._away(error.os_error.strerror or str(error.os_error)) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise self._away(str(error) or type(error).__name__) from None

    def _away(self, why: str) -> Unreachable:
        return Unreachable(
            f"cannot reach the server at {self._url}: {why}",
            hint="start it with `reactor serve`, or name another with --server URL or REACTOR_URL",
        )
