"""NATS and JetStream: one client, shared by all; when it breaks, the next who needs it makes a new one.

The client does not reconnect by itself: whoever waits on it (a trigger, a step) is told at once, and its own back-off
decides when to try again. Source: triggers.md sections 4 (`nats`, `jetstream`) and 6 (`nats`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import ssl
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from ..core.clock import SYSTEM
from ..core.depth import decoded
from ..core.errors import NotConnected, StepError, TransientError
from .cloudevents_http import header_value
from .cloudevents_messages import bound
from .configs import NatsConfig
from .contract import OutMessage, Tls
from .tls import client_context

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

MESSAGE_ID = "Nats-Msg-Id"
PING_S = 10  # a server that does not answer two of these is gone
CLOSE_S_MAX = 2.0
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")
_RETRY_API = (408, 429, 500, 503)


class Session:
    """A connected client; `gone` is set when it breaks or is closed."""

    __slots__ = ("client", "gone", "stream")

    def __init__(self, client: Client, stream: JetStreamContext) -> None:
        self.client = client
        self.stream = stream
        self.gone = asyncio.Event()

    async def wait_gone(self, limit_s: float) -> bool:
        """Wait until it is gone, at most so long; is it?"""
        try:
            async with asyncio.timeout(limit_s):
                await self.gone.wait()
        except TimeoutError:
            return False
        return True


class NatsConnection:
    """One account at a NATS server or cluster."""

    kind: ClassVar[str] = "nats"
    Config: ClassVar[type[BaseModel]] = NatsConfig

    def __init__(self, name: str, config: NatsConfig, project: str = ".") -> None:
        self.name = name
        self.config = config
        self.title = f"NATS at {', '.join(_shown(server) for server in config.servers)}"
        self._project = project
        self._session: Session | None = None
        self._opening = asyncio.Lock()

    async def session(self, domain: str | None = None) -> Session:
        """The connected client, made anew if it broke. `domain` is that of JetStream; that of the connection if None.

        Raises NotConnected, StepErrors `unauthorized`, `tls`, `missing_extra`, ConfigError.
        """
        async with self._opening:
            found = self._session
            if found is None or found.gone.is_set() or not found.client.is_connected:
                await self._forget()
                found = self._session = await self._connect()
        if domain is None or domain == self.config.domain:
            return found
        other = Session(found.client, _stream(found.client, domain, self.config.timeout))
        other.gone = found.gone
        return other

    async def _connect(self) -> Session:
        """The first of the servers that takes us."""
        options = self._options()
        failures: list[StepError | TransientError] = []
        for server in self.config.servers:
            try:
                return await self._connect_to(server, options)
            except (StepError, TransientError) as error:
                failures.append(error)
        raise next((error for error in failures if isinstance(error, StepError)), failures[0])

    async def _connect_to(self, server: str, options: dict[str, Any]) -> Session:
        from nats.aio.client import Client

        client = Client()
        known: list[Session] = []

        async def failed(error: Exception) -> None:
            if not known:
                raise error  # else the library would go round its one server without end

        async def closed() -> None:
            for session in known:
                session.gone.set()

        title = f"NATS at {_shown(server)}"
        try:
            with translation(title):
                async with asyncio.timeout(self.config.timeout):
                    await client.connect(
                        [server],
                        error_cb=failed,
                        closed_cb=closed,
                        disconnected_cb=closed,
                        allow_reconnect=False,
                        connect_timeout=max(1, round(self.config.timeout)),
                        ping_interval=PING_S,
                        name=self.config.name or "reactor",
                        inbox_prefix=self.config.inbox_prefix or "_INBOX",
                        **options,
                    )
        except BaseException:
            await _close(client)
            raise
        session = Session(client, _stream(client, self.config.domain, self.config.timeout))
        known.append(session)
        return session

    def _options(self) -> dict[str, Any]:
        """TLS and credentials. Raises ConfigError, StepError `missing_extra`."""
        config = self.config
        found: dict[str, Any] = {}
        secure = config.tls or any(server.startswith(("tls:", "wss:")) for server in config.servers)
        context = client_context(secure, self._project)
        if context is not None:
            found["tls"] = context
            if isinstance(config.tls, Tls) and config.tls.server_name is not None:
                found["tls_hostname"] = config.tls.server_name
        if config.user is not None:
            found |= {"user": config.user, "password": config.password}
        elif config.token is not None:
            found["token"] = config.token
        elif config.credentials is not None or config.nkey is not None:
            found |= self._keys()
        return found

    def _keys(self) -> dict[str, Any]:
        """NKeys: text from a secret, or a file of the project."""
        from nats.aio.client import RawCredentials

        if importlib.util.find_spec("nkeys") is None:
            raise StepError(
                "missing_extra",
                f"connection `{self.name}` (nats): `credentials` and `nkey` need the library nkeys, "
                "which is not installed",
                hint="pip install 'nats-py[nkeys]'",
            )
        config = self.config
        if config.credentials is not None:
            text = config.credentials
            pem = "-----BEGIN" in text
            return {"user_credentials": RawCredentials(text) if pem else os.path.join(self._project, text)}
        assert config.nkey is not None
        if config.nkey.startswith("S") and "/" not in config.nkey and "." not in config.nkey:
            return {"nkeys_seed_str": config.nkey}
        return {"nkeys_seed": os.path.join(self._project, config.nkey)}

    async def open(self) -> None:
        """Connect. Raises as `session`."""
        await self.session()

    async def close(self) -> None:
        """Send what is buffered and close."""
        async with self._opening:
            await self._forget()

    async def _forget(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.gone.set()
            await _close(session.client)

    async def test(self) -> str:
        """Ping, and ask JetStream for the account."""
        session = await self.session()
        begun = SYSTEM.monotonic()
        with translation(self.title):
            await session.client.flush(timeout=max(1, round(self.config.timeout)))
        took = round((SYSTEM.monotonic() - begun) * 1000)
        found = session.client.connected_server_version
        version = f"{found.major}.{found.minor}.{found.patch}"
        try:
            with translation(self.title):
                account = await session.stream.account_info()
            streams = f"JetStream with {account.streams} stream{'s' * (account.streams != 1)}"
        except (TransientError, StepError):
            streams = "no JetStream"
        return f"{self.title} answered in {took} ms: version {version}, {streams}"

    async def send(self, message: OutMessage) -> dict[str, Any]:
        """Publish one.

        `to: jetstream`: stored when it returns, output `{stream, sequence, duplicate}`. `to: nats`: the server has it,
        output `{}`; with `mode: request` the answer, `{subject, headers, json, text}`. Raises as `translation`.
        """
        target = message.target
        subject = target["subject"]
        fault = subject_fault(subject)
        if fault:
            raise StepError("invalid_input", f"{self.title}: `subject` {fault}")
        headers, body = bound(message, "ce-", header_value)
        if message.key and not any(name.lower() == MESSAGE_ID.lower() for name in headers):
            headers[MESSAGE_ID] = message.key
        session = await self.session()
        asks = message.to == "nats" and target.get("mode") == "request"
        timeout = float(target.get("timeout", 10.0)) if asks else self.config.timeout
        with translation(f"{self.title}, subject {subject}", timeout):
            if message.to == "jetstream":
                return await self._store(session, target, body or b"", headers)
            if asks:
                return _answer(
                    await session.client.request(subject, body or b"", timeout=timeout, headers=headers or None)
                )
            await session.client.publish(subject, body or b"", headers=headers or None)
            await session.client.flush(timeout=max(1, round(self.config.timeout)))
            return {}

    async def _store(self, session: Session, target: Any, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        ack = await session.stream.publish(
            target["subject"], body, timeout=self.config.timeout, stream=target.get("stream"), headers=headers or None
        )
        return {"stream": ack.stream, "sequence": ack.seq, "duplicate": bool(ack.duplicate)}

    async def send_many(self, messages: Sequence[OutMessage]) -> list[dict[str, Any]]:
        """Publish in order, each confirmed before the next: a stream keeps no order among those under way."""
        return [await self.send(message) for message in messages]


def subject_fault(subject: str) -> str:
    """What makes this no subject to publish to, in words; empty if it is one. The server takes wildcards without a
    word, and then most subscribers never see the message.
    """
    tokens = subject.split(".")
    if any(token in ("*", ">") for token in tokens):
        return f"must not have wildcards: a message goes to one subject; found {subject!r}"
    if _BLANK.search(subject):
        return f"must not have blanks or control characters; found {subject!r}"
    if not all(tokens):
        return f"must not have empty parts: words joined by single dots; found {subject!r}"
    return ""


@contextmanager
def translation(title: str, timeout_s: float | None = None) -> Generator[None]:
    """Errors of nats-py as ours.

    NotConnected, TransientErrors `timeout` and `publish.no_responders`, StepErrors `unauthorized`, `forbidden`, `tls`,
    `too_large`, `invalid_input`, `publish.rejected`.
    """
    import nats.errors as core
    import nats.js.errors as stream

    try:
        yield
    except stream.NoStreamResponseError as error:
        text = f"{title}: no stream takes this subject"
        raise TransientError(text, code="publish.no_responders", hint="make a stream that takes it") from error
    except core.NoRespondersError as error:
        raise TransientError(f"{title}: nobody answers", code="publish.no_responders") from error
    except stream.APIError as error:
        text = f"{title}: {error.description or error}"
        if error.code in _RETRY_API:
            raise NotConnected(text) from error
        raise StepError("publish.rejected", text, details={"code": error.err_code}) from error
    except core.AuthorizationError as error:
        raise StepError("unauthorized", f"{title}: authorization violation", hint=_CREDENTIALS) from error
    except core.InvalidUserCredentialsError as error:
        raise StepError("unauthorized", f"{title}: {error}", hint=_CREDENTIALS) from error
    except core.MaxPayloadError as error:
        raise StepError("too_large", f"{title}: the message is larger than the server takes") from error
    except (core.BadSubjectError, core.BadHeaderError) as error:
        raise StepError("invalid_input", f"{title}: {error}") from error
    except (ssl.SSLError, core.SecureConnRequiredError, core.SecureConnWantedError) as error:
        raise StepError("tls", f"{title}: {getattr(error, 'reason', '') or error}") from error
    except TimeoutError as error:
        within = f" within {timeout_s:g} s" if timeout_s is not None else " in time"
        raise TransientError(f"{title} gave no answer{within}", code="timeout") from error
    except core.Error as error:
        if "permissions violation" in str(error).lower():
            raise StepError("forbidden", f"{title}: {error}") from error
        if "authorization" in str(error).lower() or "authentication" in str(error).lower():
            raise StepError("unauthorized", f"{title}: {error}", hint=_CREDENTIALS) from error
        raise NotConnected(f"{title}: {error}") from error
    except OSError as error:
        raise NotConnected(f"{title}: {error.strerror or error}") from error


_CREDENTIALS = "check `user`, `token`, `credentials` or `nkey` of the connection"


def _stream(client: Any, domain: str | None, timeout_s: float) -> JetStreamContext:
    return client.jetstream(domain=domain, timeout=timeout_s)


def _answer(message: Any) -> dict[str, Any]:
    data: bytes = message.data
    headers: dict[str, str] = message.headers or {}
    found: dict[str, Any] = {
        "subject": message.subject,
        "headers": {name.lower(): value for name, value in headers.items()},
        "json": None,
        "text": None,
    }
    try:
        found["text"] = data.decode()
        found["json"] = decoded(data)
    except ValueError:
        return found
    return found


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(CLOSE_S_MAX):
            await client.close()
    except (TimeoutError, OSError):
        return  # its server is away: there is nothing left to send


def _shown(server: str) -> str:
    """The address without what may be secret."""
    parts = urlsplit(server)
    return f"{parts.hostname}:{parts.port or 4222}"
