"""The client's way to a server: HTTP."""

from __future__ import annotations

from types import TracebackType

import aiohttp

from .client import Reply
from .failures import Unreachable

CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 120.0


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
        from yarl import URL

        url = URL(self._url + path + (f"?{query}" if query else ""), encoded=True)
        headers = {"Content-Type": media} if body else {}
        try:
            async with self._session.request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                return Reply(answer.status, await answer.read())
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
