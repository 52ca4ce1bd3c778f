"""A mail server for tests: RFC 5321 with STARTTLS and AUTH PLAIN/LOGIN, that keeps what it takes."""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate for localhost and 127.0.0.1, and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@dataclass
class Mail:
    sender: str
    recipients: list[str]
    message: EmailMessage
    login: str
    encrypted: bool


@dataclass
class MailServer:
    """`refuse` maps an address to an answer; `answers` a command (`DATA`, `.` for its end) to one."""

    cert: tuple[Path, Path] | None = None
    password: str = ""
    implicit: bool = False
    refuse: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    mails: list[Mail] = field(default_factory=list)
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert self.cert is not None
        context.load_cert_chain(*self.cert)
        return context

    async def __aenter__(self) -> MailServer:
        context = self.context() if self.implicit else None
        self.server = await asyncio.start_server(self.session, "127.0.0.1", 0, ssl=context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            if self.silent:
                await asyncio.sleep(60)
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted, login, sender, recipients = self.implicit, "", "", list[str]()

        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        await say(self.answers.get("connect", "220 mail.test ready"))
        while line := (await reader.readline()).decode().strip():
            word = line.split(" ")[0].upper()
            if word in self.answers:
                await say(self.answers[word])
            elif word == "EHLO":
                offers = ["mail.test", "SMTPUTF8", "8BITMIME"]
                offers += ["STARTTLS"] if self.cert is not None and not encrypted else []
                offers += ["AUTH PLAIN"] if self.password else []
                for offer in offers[:-1]:
                    await say(f"250-{offer}")
                await say(f"250 {offers[-1]}")
            elif word == "STARTTLS":
                await say("220 go on")
                await writer.start_tls(self.context())
                encrypted = True
            elif word == "AUTH":
                _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                login = user if password == self.password else ""
                await say("235 welcome" if login else "535 5.7.8 wrong credentials")
            elif word == "MAIL":
                sender, recipients = line.partition("<")[2].partition(">")[0], []
                await say("530 log in first" if self.password and not login else "250 ok")
            elif word == "RCPT":
                address = line.partition("<")[2].partition(">")[0]
                if address in self.refuse:
                    await say(self.refuse[address])
                else:
                    recipients.append(address)
                    await say("250 ok")
            elif word == "DATA":
                await say("354 go on")
                raw = (await reader.readuntil(b"\r\n.\r\n"))[:-5]
                if "." in self.answers:
                    await say(self.answers["."])
                    continue
                raw = raw.replace(b"\r\n..", b"\r\n.") + b"\r\n"
                message = BytesParser(policy=policy.SMTP).parsebytes(raw)
                assert isinstance(message, EmailMessage)
                self.mails.append(Mail(sender, recipients, message, login, encrypted))
                await say("250 taken")
            elif word == "QUIT":
                await say("221 bye")
                return
            else:
                await say("250 ok")
