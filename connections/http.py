"""HTTP: one session of aiohttp for each connection, addresses judged after resolution, redirects followed by ourselves.

Source: triggers.md section 6 (`http`), actions.md section 3 (http), language.md section 7 ("Who may").
"""

from __future__ import annotations

import asyncio
import base64
import collections
import re
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from ..core.clock import SYSTEM, Clock
from ..core.errors import StepError
from . import cloudevents_http
from .addresses import literal, verdict
from .configs import HttpConfig, OAuth2, Rate
from .contract import OutMessage, Tls
from .http_errors import blocked, refusal_of, translation
from .tls import client_context

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

IDEMPOTENCY_HEADER = "Idempotency-Key"
_REDIRECTS = (301, 302, 303, 307, 308)
_CREDENTIALS = re.compile(r"auth|cookie|token|secret|password|credential|signature|session|api-?_?key", re.IGNORECASE)
_OF_A_BODY = ("content-type", "content-length", "content-encoding", IDEMPOTENCY_HEADER.lower())
TOKEN_EARLY_S = 30.0  # a token is fetched anew so long before it ends


class HttpConnection:
    """A base address with its headers, credentials and rate, or none of these for requests to any URL."""

    kind: ClassVar[str] = "http"
    Config: ClassVar[type[BaseModel]] = HttpConfig

    def __init__(self, name: str, config: HttpConfig | None, project: str = ".", *, clock: Clock = SYSTEM) -> None:
        self.name = name
        self.config = config
        self._project = project
        self._clock = clock
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._limiter = _Limiter(config.rate, clock) if config is not None and config.rate is not None else None
        oauth = config.auth.oauth2 if config is not None and config.auth is not None else None
        self._tokens = _Tokens(self, oauth, clock) if oauth is not None else None

    async def open(self) -> None:
        """Load the library; HTTP has no connection to keep."""
        self._session(private_refused=False)

    async def close(self) -> None:
        """Close the sessions."""
        sessions, self._sessions = self._sessions, {}
        await asyncio.gather(*(session.close() for session in sessions.values()))

    async def test(self) -> str:
        """HEAD of the base address: any answer below 500 is an answer."""
        assert self.config is not None
        begun = self._clock.monotonic()
        async with self.request("HEAD", self.config.url, timeout_s=self.config.timeout) as response:
            took = round((self._clock.monotonic() - begun) * 1000)
            if response.status in (401, 403) or response.status >= 500:
                raise refusal_of(response.status, "HEAD", self.config.url, response.headers, self._clock.now())
            return f"{self.config.url} answered {response.status} in {took} ms"

    def address(self, path: str) -> str:
        """A path below the base address. Raises StepError `invalid_input` if it leads up."""
        assert self.config is not None
        if ".." in path.partition("?")[0].replace("%2e", ".").replace("%2E", ".").split("/"):
            raise StepError(
                "invalid_input", f"the path `{path}` leads up with `..`: it must stay below the base address"
            )
        if not path:
            return self.config.url
        return self.config.url.rstrip("/") + (path if path.startswith("?") else "/" + path.lstrip("/"))

    def _session(self, *, private_refused: bool) -> aiohttp.ClientSession:
        """The session for one judgement of addresses: a kept connection must not serve the stricter one."""
        session = self._sessions.get(private_refused)
        if session is None:
            import aiohttp

            from .http_resolver import JudgingResolver

            tls = self.config.tls if self.config is not None else True
            context = client_context(tls, self._project)
            session = self._sessions[private_refused] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=JudgingResolver(private_refused), ssl=context if context is not None else True, limit=0
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                trust_env=False,
                headers={"User-Agent": "reactor"},
            )
        return session

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        redirects: int = 5,
        timeout_s: float | None = None,
        event_driven: bool = False,
        own: bool = True,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The answer, its body not read yet, whatever its status; redirects are followed, each judged like the first.

        `query` values are text or lists of text. `event_driven`: private addresses are refused unless the connection
        allows them. `own`: with the connection's headers and credentials. Raises TransientError (`connection`,
        `timeout`), StepError (`tls`, `blocked_address`, `invalid_input`, `http.3xx` for too many redirects).
        """
        import aiohttp

        config = self.config if own else None
        sent = dict(config.headers) if config is not None else {}
        sent.update(headers or {})
        connect_s = config.timeout if config is not None else 10.0
        asked = _Asked(
            method=method,
            target=_target(url, query),
            headers=sent,
            body=body,
            config=config,
            strict=event_driven and not (config is not None and config.allow_private),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_s),
        )
        renewed = False
        while True:
            response = await self._send(asked)
            try:
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location is not None and redirects > 0:
                    asked.follow(response.status, location, redirects)
                elif response.status == 401 and self._tokens is not None and own and not renewed:
                    renewed = True
                    self._tokens.forget()
                else:
                    with translation(asked.title):
                        yield response
                    return
            finally:
                response.release()

    async def _send(self, asked: _Asked) -> aiohttp.ClientResponse:
        """One request of an exchange; away from its first origin without credentials."""
        config = asked.config
        await self._judge(asked.target, asked.strict, asked.title, config)
        headers = await self._signed(asked.headers, config) if asked.at_home else asked.without_credentials()
        if self._limiter is not None and config is not None:
            await self._limiter.turn()
        with translation(asked.title):
            return await self._session(private_refused=asked.strict).request(
                asked.method,
                asked.target,
                headers=headers,
                data=asked.body() if callable(asked.body) else asked.body,
                allow_redirects=False,
                timeout=asked.timeout,
                proxy=config.proxy if config is not None else None,
                server_hostname=_server_name(config) if asked.at_home else None,
            )

    async def _judge(self, target: URL, strict: bool, title: str, config: HttpConfig | None) -> None:
        """Addresses written as such never reach a resolver; nor do names that a proxy resolves."""
        host = target.host or ""
        address = literal(host)
        found = [address] if address is not None else []
        if address is None and config is not None and config.proxy is not None:
            try:
                rows = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except OSError:  # only the proxy knows this name
                rows = []
            found = [known for row in rows if (known := literal(str(row[4][0]))) is not None]
        for one in found:
            why = verdict(one, private_refused=strict)
            if why:
                raise blocked(host, str(one), why, title)

    async def _signed(self, headers: Mapping[str, str], config: HttpConfig | None) -> dict[str, str]:
        signed = dict(headers)
        if config is None or config.auth is None:
            return signed
        auth = config.auth
        if auth.api_key is not None:
            _default(signed, auth.api_key.header, auth.api_key.value)
        elif auth.basic is not None:
            pair = f"{auth.basic.username}:{auth.basic.password}".encode()
            _default(signed, "Authorization", f"Basic {base64.b64encode(pair).decode()}")
        elif auth.bearer is not None:
            _default(signed, "Authorization", f"Bearer {auth.bearer}")
        elif self._tokens is not None:
            _default(signed, "Authorization", f"Bearer {await self._tokens.get()}")
        return signed

    async def send(self, message: OutMessage) -> dict[str, Any]:
        """Publish one message; any 2xx confirms it. Output `{status, headers}`."""
        target = message.target
        own = "url" not in target
        url = target["url"] if not own else self.address(str(target.get("path", "")))
        method = str(target.get("method", "POST"))
        headers, body = cloudevents_http.content(message)
        if message.key and method not in ("GET", "HEAD"):
            _default(headers, IDEMPOTENCY_HEADER, message.key)
        driven = bool(target.get("event_driven"))
        timeout_s: Any = target.get("timeout")
        async with self.request(
            method, url, headers=headers, body=body, own=own, event_driven=driven, timeout_s=timeout_s
        ) as response:
            if not 200 <= response.status < 300:
                raise refusal_of(response.status, method, url, response.headers, self._clock.now())
            return {"status": response.status, "headers": plain_headers(response.headers)}

    async def send_many(self, messages: Sequence[OutMessage]) -> list[dict[str, Any]]:
        """Publish in order, one request each."""
        return [await self.send(message) for message in messages]


def plain_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by lower-case name; several of one name are joined."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _target(url: str, query: Mapping[str, Any] | None) -> URL:
    from yarl import URL

    try:
        encoded = url.isascii() and not any(c in url for c in ' "<>\\^`{|}')
        target = URL(url, encoded=encoded)
        if query:
            target = target.extend_query(dict(query))
        known = target.scheme in ("http", "https") and bool(target.host)
        target.origin()
    except (ValueError, TypeError) as e:
        raise StepError("invalid_input", f"`{url}` is no address: {e}") from None
    if not known:
        raise StepError("invalid_input", f"`{url}` is no address: it begins with http:// or https:// and names a host")
    return target


def _shown(target: URL) -> str:
    """The address without what may be secret."""
    return str(target.with_user(None).with_query(None).with_fragment(None))


def _server_name(config: HttpConfig | None) -> str | None:
    """The name that the certificate is checked against, where it is not the host's."""
    return config.tls.server_name if config is not None and isinstance(config.tls, Tls) else None


def _default(headers: dict[str, str], name: str, value: str) -> None:
    if not any(other.lower() == name.lower() for other in headers):
        headers[name] = value


class _Asked:
    """A request as redirects change it."""

    def __init__(
        self,
        *,
        method: str,
        target: URL,
        headers: dict[str, str],
        body: Any,
        config: HttpConfig | None,
        strict: bool,
        timeout: aiohttp.ClientTimeout,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.config = config
        self.strict = strict
        self.timeout = timeout
        self.title = f"{method} {_shown(target)}"
        self._home = target.origin()
        self._followed = 0

    @property
    def at_home(self) -> bool:
        """Is it still for the origin that it was written for?"""
        return self.target.origin() == self._home

    def without_credentials(self) -> dict[str, str]:
        dropped: set[str] = set()
        if self.config is not None:
            dropped |= {name.lower() for name in self.config.headers}
            if self.config.auth is not None and self.config.auth.api_key is not None:
                dropped.add(self.config.auth.api_key.header.lower())
        return {
            name: value
            for name, value in self.headers.items()
            if not _CREDENTIALS.search(name) and name.lower() not in dropped
        }

    def follow(self, status: int, location: str, most: int) -> None:
        """Go where an answer points. RFC 9110: 303 becomes GET, as does, by custom, POST after 301 and 302; 307 and 308
        repeat the request.
        """
        self._followed += 1
        if self._followed > most:
            said = f"{self.title} was redirected more than {most} times"
            raise StepError(f"http.{status}", said, details={"status": status})
        if (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST"):
            self.method, self.body = "GET", None
            self.headers = {n: v for n, v in self.headers.items() if n.lower() not in _OF_A_BODY}
        self.target = _next(self.target, location, self.title)


def _next(target: URL, location: str, title: str) -> URL:
    from yarl import URL

    try:
        joined = target.join(URL(location, encoded=not any(c in location for c in ' "<>')))
        if joined.scheme in ("http", "https") and joined.host:
            return joined.with_user(None).with_fragment(None) if joined.user else joined
    except ValueError:
        pass
    raise StepError("http.3xx", f"{title} was redirected to `{location[:200]}`, which is no address")


class _Limiter:
    """At most `max` calls in every window of `per` seconds: a call waits for its turn, in order."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._times: collections.deque[float] = collections.deque(maxlen=rate.max)
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        async with self._lock:
            if len(self._times) == self._rate.max:
                wait = self._times[0] + self._rate.per - self._clock.monotonic()
                if wait > 0:
                    await self._clock.sleep(wait)
            self._times.append(self._clock.monotonic())


class _Tokens:
    """The access token of OAuth 2.0 client credentials, fetched once for all callers. Source: RFC 6749, section 4.4."""

    def __init__(self, connection: HttpConnection, oauth: OAuth2, clock: Clock) -> None:
        self._connection = connection
        self._oauth = oauth
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    def forget(self) -> None:
        self._token = ""

    async def get(self) -> str:
        async with self._lock:
            if not self._token or self._clock.monotonic() >= self._until:
                await self._fetch()
            return self._token

    async def _fetch(self) -> None:
        oauth = self._oauth
        form = {"grant_type": "client_credentials"}
        if oauth.scopes:
            form["scope"] = " ".join(oauth.scopes)
        pair = base64.b64encode(f"{oauth.client_id}:{oauth.client_secret}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}", "Accept": "application/json"}
        host = urlsplit(oauth.token_url).hostname
        try:
            async with self._connection.request(
                "POST", oauth.token_url, headers=headers, body=form, redirects=0, timeout_s=30.0, own=False
            ) as response:
                if response.status != 200:
                    raise StepError("unauthorized", f"{host} gave no token: it answered {response.status}")
                answer: Any = await response.json(content_type=None)
                self._token = str(answer["access_token"])
                lasts = float(answer.get("expires_in", 300.0))
        except (KeyError, TypeError, ValueError) as e:
            raise StepError("unauthorized", f"{host} gave no token: its answer is not that of RFC 6749") from e
        self._until = self._clock.monotonic() + max(1.0, lasts - TOKEN_EARLY_S)
