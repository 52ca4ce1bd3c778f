"""SMTP: a session for each message, in a thread. Source: RFC 5321, RFC 3207 (STARTTLS), RFC 4954 (AUTH)."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import ssl
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Any, ClassVar, TypeVar

from msgspec import Struct
from pydantic import BaseModel

from ..core.clock import SYSTEM
from ..core.errors import ConfigError, NotConnected, ReactorError, StepError, TransientError
from .configs import SmtpConfig
from .contract import Tls
from .tls import client_context

T = TypeVar("T")
SESSIONS_MAX = 8  # messages on their way at once; further ones wait


class Refusal(Struct, frozen=True):
    """A recipient that the server did not take, with its answer."""

    address: str
    code: int
    message: str


class SmtpConnection:
    """One mail server."""

    kind: ClassVar[str] = "smtp"
    Config: ClassVar[type[BaseModel]] = SmtpConfig

    def __init__(self, name: str, config: SmtpConfig, project: str = ".") -> None:
        self.name = name
        self.config = config
        self._project = project
        self._threads: ThreadPoolExecutor | None = None
        self.title = f"the mail server {config.host}:{config.port}"

    async def open(self) -> None:
        """Log in and out again. Raises NotConnected, ConfigError."""
        await self.test()

    async def close(self) -> None:
        """End the threads; nothing else is kept between messages."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    async def test(self) -> str:
        """Log in, NOOP."""
        begun = SYSTEM.monotonic()
        code = await self._session(_noop)
        took = round((SYSTEM.monotonic() - begun) * 1000)
        return f"{self.title} answered {code} in {took} ms"

    async def deliver(self, message: EmailMessage, sender: str, recipients: Sequence[str]) -> list[Refusal]:
        """Send one message; those of the recipients that the server refused, if it took any.

        Raises StepError (`smtp.<code>` if it takes none, `unauthorized`, `tls`), TransientError (`connection`,
        `timeout`).
        """

        def send(client: smtplib.SMTP) -> list[Refusal]:
            refused: Any = client.send_message(message, sender, list(recipients))
            return [Refusal(address, code, _text(said)) for address, (code, said) in refused.items()]

        return await self._session(send)

    async def _session(self, work: Callable[[smtplib.SMTP], T]) -> T:
        """Do something logged in, in a thread; cancelled, cut the connection and wait for the thread. One that has not
        connected yet is not waited for: it sends nothing any more.
        """
        clients: list[smtplib.SMTP] = []
        stopped: list[bool] = []

        def run() -> T:
            with translated(self.title):
                client = self._connect(clients)
                try:
                    if stopped:
                        raise TimeoutError
                    self._log_in(client)
                    result = work(client)
                    with contextlib.suppress(smtplib.SMTPException, OSError):  # it has the message already
                        client.quit()
                    return result
                finally:
                    client.close()

        if self._threads is None:
            self._threads = ThreadPoolExecutor(SESSIONS_MAX, thread_name_prefix=f"reactor-smtp-{self.name}")
        future = asyncio.get_running_loop().run_in_executor(self._threads, run)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stopped.append(True)
            connected = [client.sock for client in clients if client.sock is not None]
            for sock in connected:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            future.add_done_callback(_looked_at)
            if connected:
                await asyncio.wait([future])
            raise

    def _connect(self, clients: list[smtplib.SMTP]) -> smtplib.SMTP:
        config = self.config
        if config.security == "tls":
            client = smtplib.SMTP_SSL(timeout=config.timeout, context=self._context(), local_hostname="reactor")
        else:
            client = smtplib.SMTP(timeout=config.timeout, local_hostname="reactor")
        clients.append(client)
        name = config.tls.server_name if isinstance(config.tls, Tls) else None
        client._host = name or config.host  # pyright: ignore[reportAttributeAccessIssue]  # the name that certificates are checked against
        code, said = client.connect(config.host, config.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        return client

    def _context(self) -> ssl.SSLContext:
        return client_context(self.config.tls or True, self._project) or ssl.create_default_context()

    def _log_in(self, client: smtplib.SMTP) -> None:
        config = self.config
        client.ehlo()
        if config.security == "starttls":
            if not client.has_extn("starttls"):
                raise StepError(
                    "tls", f"{self.title} does not offer STARTTLS", hint="`security: tls`, or `none` on loopback"
                )
            client.starttls(context=self._context())
            client.ehlo()
        if config.username is not None:
            client.login(config.username, config.password or "")


def _looked_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _noop(client: smtplib.SMTP) -> int:
    return client.noop()[0]


def _text(said: Any) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


@contextlib.contextmanager
def translated(title: str) -> Generator[None]:
    """Errors of smtplib as ours."""
    try:
        yield
    except ReactorError:
        raise
    except smtplib.SMTPAuthenticationError as e:
        raise ConfigError(f"{title} refused the log-in: {_text(e.smtp_error)}", code="unauthorized") from e
    except smtplib.SMTPNotSupportedError as e:
        raise ConfigError(f"{title} cannot do this: {e}", code="unauthorized") from e
    except smtplib.SMTPRecipientsRefused as e:
        refused: Any = e.recipients
        address, (code, said) = next(iter(refused.items()))
        rows = [{"address": a, "code": c, "message": _text(m)} for a, (c, m) in refused.items()]
        message = f"{title} refused every recipient; {address}: {code} {_text(said)}"
        raise StepError(f"smtp.{code}", message, details={"refused": rows}) from e
    except smtplib.SMTPResponseException as e:
        raise StepError(f"smtp.{e.smtp_code}", f"{title} answered {e.smtp_code} {_text(e.smtp_error)}") from e
    except ssl.SSLError as e:
        reason = getattr(e, "verify_message", "") or e.reason or str(e)
        raise StepError("tls", f"{title}: {reason}") from e
    except TimeoutError as e:
        raise TransientError(f"{title} took too long to answer", code="timeout") from e
    except (smtplib.SMTPException, OSError) as e:
        if isinstance(e.__context__, TimeoutError):
            raise TransientError(f"{title} took too long to answer", code="timeout") from e
        text = getattr(e, "strerror", None) or str(e)
        raise NotConnected(f"{title}: {text}") from e
