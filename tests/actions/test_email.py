"""`email` against a mail server that speaks SMTP, STARTTLS and AUTH."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reactor.connections.registry import Registry
from reactor.engine.actions.email import EmailAction
from reactor.testing.action_suite import ActionSuite, LentServices
from reactor.tests.actions.mail_server import MailServer, certificate
from reactor.tests.actions.rig import KEY, Rig, failed

LETTER: dict[str, Any] = {"to": "ada@shop.test", "subject": "Hello", "text": "Hi"}


def rig_for(server: MailServer, tmp_path: Path, **config: Any) -> Rig:
    keys = {"host": "127.0.0.1", "port": server.port, "security": "none", "from": "Shop <shop@shop.test>"} | config
    return Rig(LentServices(str(tmp_path), connections=Registry({"mail": {"smtp": keys}}, project=str(tmp_path))))


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


failure = partial(failed, "email")


class TestContract(ActionSuite):
    action = EmailAction()

    @pytest.fixture
    def services(self, server: MailServer, tmp_path: Path) -> Any:
        return rig_for(server, tmp_path, timeout="1m").services

    @pytest.fixture
    def valid_with(self) -> Any:
        return LETTER

    @pytest.fixture
    def failing_with(self, server: MailServer) -> Any:
        server.refuse["no@shop.test"] = "550 no such user"
        return {**LETTER, "to": "no@shop.test"}

    @pytest.fixture
    async def slow_with(self, server: MailServer, request: pytest.FixtureRequest) -> Any:
        if "cancel" in request.node.name:
            server.silent = True
        return LETTER


async def test_sends_everything(server: MailServer, tmp_path: Path) -> None:
    (tmp_path / "bill.pdf").write_bytes(b"%PDF")
    letter = {
        "to": ["Ada Löwe <ada@shop.test>", "bob@shop.test"],
        "cc": "cy@shop.test",
        "bcc": ["dan@shop.test"],
        "reply_to": "help@shop.test",
        "subject": "Größe: 5",
        "text": "Hällo\n.\nBye",
        "html": "<b>Hällo</b>",
        "attachments": [{"path": "bill.pdf"}, {"base64": "AP8=", "name": "ü.bin", "type": "application/x-own"}],
    }
    output = await rig_for(server, tmp_path)("email", letter)
    assert output == {
        "message_id": f"<{KEY}@shop.test>",
        "accepted": ["ada@shop.test", "bob@shop.test", "cy@shop.test", "dan@shop.test"],
        "refused": [],
    }
    (mail,) = server.mails
    message = mail.message
    assert (mail.sender, mail.recipients) == ("shop@shop.test", output["accepted"])
    assert message["From"] == "Shop <shop@shop.test>"
    assert message["To"] == "Ada Löwe <ada@shop.test>, bob@shop.test"
    assert (message["Cc"], message["Reply-To"], message["Bcc"]) == ("cy@shop.test", "help@shop.test", None)
    assert message["Subject"] == "Größe: 5"
    assert message["Message-ID"] == f"<{KEY}@shop.test>"
    assert message["Date"].datetime is not None
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().replace("\r\n", "\n") == "Hällo\n.\nBye\n"
    assert html.get_content().strip() == "<b>Hällo</b>"
    files = [(part.get_filename(), part.get_content_type(), part.get_content()) for part in message.iter_attachments()]
    assert files == [("bill.pdf", "application/pdf", b"%PDF"), ("ü.bin", "application/x-own", b"\x00\xff")]


async def test_some_recipients_refused(server: MailServer, tmp_path: Path) -> None:
    server.refuse["no@shop.test"] = "550 5.1.1 no such user"
    rig = rig_for(server, tmp_path)
    output = await rig("email", {**LETTER, "to": ["ada@shop.test", "no@shop.test"]})
    assert output["accepted"] == ["ada@shop.test"]
    assert output["refused"] == [{"address": "no@shop.test", "code": 550, "message": "5.1.1 no such user"}]
    error = await failure(rig, {**LETTER, "to": "no@shop.test"})
    assert (error.code, error.class_) == ("smtp.550", "park")
    assert str(error) == (
        f"the mail server 127.0.0.1:{server.port} refused every recipient; no@shop.test: 550 5.1.1 no such user"
    )
    server.refuse["no@shop.test"] = "451 try later"
    error = await failure(rig, {**LETTER, "to": "no@shop.test"})
    assert (error.code, error.class_) == ("smtp.451", "retry")
    server.answers["."] = "554 spam"
    error = await failure(rig, LETTER)
    assert (error.code, str(error)) == ("smtp.554", f"the mail server 127.0.0.1:{server.port} answered 554 spam")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"subject": "a\r\nBcc: x@y.z"}, "`subject` holds a line break or another control character"),
        ({"to": "a@b.c\nBcc: x@y.z"}, "an address in `to` holds a line break or another control character"),
        ({"cc": ["x\r\n <a@b.c>"]}, "an address in `cc` holds a line break or another control character"),
        ({"from": "a@b.c\n"}, "an address in `from` holds a line break or another control character"),
        ({"to": "nobody"}, "`nobody` in `to` is no address: expected name@host"),
        ({"to": "a@b@c"}, None),
        ({"to": "a@b.c, x@y.z"}, "`a@b.c, x@y.z` in `to` is no address: expected name@host"),
        ({"to": "<a@b.c> SIZE=1"}, "`<a@b.c> SIZE=1` in `to` is no address: expected name@host"),
        ({"to": "x@y.z, b <a@b.c>"}, "`x@y.z, b <a@b.c>` in `to` is no address: expected name@host"),
        ({"to": "all: a@b.c, x@y.z;"}, "`all: a@b.c, x@y.z;` in `to` is no address: expected name@host"),
        ({"to": '"a> b"@b.c'}, '`"a> b"@b.c` in `to` is no address: expected name@host'),
        ({"to": "a@b.c."}, "`a@b.c.` in `to` is no address: expected name@host"),
        (
            {"cc": "=?utf-8?q?a=0d=0aBcc:x@y.z?= <a@b.c>"},
            "`=?utf-8?q?a=0d=0aBcc:x@y.z?= <a@b.c>` in `cc` is no address: expected name@host",
        ),
        (
            {"reply_to": "=?utf-8?q?a=0d=0aX-Evil:1?= <a@b.c>"},
            "`=?utf-8?q?a=0d=0aX-Evil:1?= <a@b.c>` in `reply_to` is no address: expected name@host",
        ),
        ({"to": "jürgen@b.c"}, "`jürgen@b.c` in `to`: what is before the @ must be ASCII"),
        (
            {"attachments": [{"base64": "aGk=", "name": "=?utf-8?q?a=0d=0aX-Evil:1?="}]},
            "an attachment's `name` holds a control character or an encoded word",
        ),
        (
            {"attachments": [{"base64": "aGk=", "name": "a", "type": "te xt/plain"}]},
            "`te xt/plain` is no file's media type: expected one such as application/pdf",
        ),
        (
            {"attachments": [{"base64": "aGk=", "name": "a", "type": "multipart/mixed"}]},
            "`multipart/mixed` is no file's media type: expected one such as application/pdf",
        ),
    ],
)
async def test_headers_cannot_be_smuggled_in(server: MailServer, tmp_path: Path, change: Any, text: str | None) -> None:
    error = await failure(rig_for(server, tmp_path), LETTER | change)
    assert (error.code, error.class_) == ("invalid_input", "park")
    if text is not None:
        assert str(error) == text
    assert server.mails == []


@pytest.mark.parametrize(
    "subject",
    [
        "=?utf-8?q?a=0d=0aBcc:x@y.z?=",
        "hi =?utf-8?b?YQ0KWC1FdmlsOiAx?= there",
        "ü =?utf-8?q?a=0d=0aX-Evil:1?= ü",
        "=?utf-8?q?=0d=0a=0d=0abody?= " * 50,
    ],
)
async def test_an_encoded_word_in_a_subject_makes_no_header(server: MailServer, tmp_path: Path, subject: str) -> None:
    """The library decodes it, line breaks and all: it must not come out as a line of its own."""
    await rig_for(server, tmp_path)("email", {**LETTER, "subject": subject})
    (mail,) = server.mails
    plain = await rig_for(server, tmp_path)("email", {**LETTER, "subject": "plain"})
    assert plain["accepted"]
    assert mail.message.keys() == server.mails[1].message.keys()
    assert mail.message.get_content() == server.mails[1].message.get_content()


@pytest.mark.parametrize(
    ("written", "sent", "shown"),
    [
        ("Müller, Jürgen <j@shop.test>", "j@shop.test", "Müller, Jürgen"),
        ('"J. \\"Jay\\" M." <j@shop.test>', "j@shop.test", 'J. "Jay" M.'),
        ("j+tag@müller.example", "j+tag@xn--mller-kva.example", ""),
        (" j@[127.0.0.1] ", "j@[127.0.0.1]", ""),
    ],
)
async def test_addresses(server: MailServer, tmp_path: Path, written: str, sent: str, shown: str) -> None:
    await rig_for(server, tmp_path)("email", {**LETTER, "to": written})
    (mail,) = server.mails
    (address,) = mail.message["To"].addresses
    assert (mail.recipients, address.addr_spec, address.display_name) == ([sent], sent, shown)


async def test_a_step_that_is_stopped_while_it_connects_ends_at_once_and_sends_nothing(
    server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer at all (its host is off, a firewall drops) is waited for by the thread alone."""
    begun, go = threading.Event(), threading.Event()
    connect = smtplib.SMTP.connect

    def late(self: smtplib.SMTP, *where: Any) -> Any:
        begun.set()
        assert go.wait(10)
        return connect(self, *where)

    monkeypatch.setattr(smtplib.SMTP, "connect", late)
    rig = rig_for(server, tmp_path)
    sending = asyncio.ensure_future(rig("email", LETTER))
    assert await asyncio.to_thread(begun.wait, 10)
    sending.cancel()
    done, _ = await asyncio.wait([sending], timeout=5)
    assert done
    assert sending.cancelled()
    go.set()
    connection = rig.services.connection("smtp", None)
    await asyncio.to_thread(connection._threads.shutdown)
    assert server.mails == []


async def test_attachments_are_bounded(server: MailServer, tmp_path: Path) -> None:
    rig = rig_for(server, tmp_path)
    half = base64.b64encode(bytes(13 * 1024 * 1024)).decode()
    error = await failure(
        rig, {**LETTER, "attachments": [{"base64": half, "name": "a"}, {"base64": half, "name": "b"}]}
    )
    assert (error.code, str(error)) == ("too_large", "the attachments have more than 25MiB in all")
    error = await failure(rig, {**LETTER, "attachments": [{"path": "../x"}]})
    assert error.code == "forbidden"


async def test_starttls_and_log_in(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    async with MailServer(cert=(cert, key), password="s3") as server:
        config = {"security": "starttls", "username": "u", "tls": {"ca": "localhost.crt"}, "host": "localhost"}
        await rig_for(server, tmp_path, password="s3", **config)("email", LETTER)
        assert (server.mails[0].login, server.mails[0].encrypted) == ("u", True)
        error = await failure(rig_for(server, tmp_path, password="no", **config), LETTER)
        assert (error.code, error.class_) == ("unauthorized", "fix")
        assert str(error) == (f"the mail server localhost:{server.port} refused the log-in: 5.7.8 wrong credentials")
        del config["tls"]
        error = await failure(rig_for(server, tmp_path, password="s3", **config), LETTER)
        assert (error.code, str(error)) == ("tls", f"the mail server localhost:{server.port}: self-signed certificate")
        words = rig_for(server, tmp_path, password="s3", tls={"ca": cert.read_text()}, **config).services._connections
        assert (await words.test("mail")).startswith(f"the mail server localhost:{server.port} answered 250 in ")


async def test_tls_from_the_start(tmp_path: Path) -> None:
    async with MailServer(cert=certificate(tmp_path), implicit=True) as server:
        rig = rig_for(server, tmp_path, security="tls", tls={"ca": "localhost.crt"}, host="localhost")
        await rig("email", LETTER)
        assert server.mails[0].encrypted


async def test_servers_that_fail(server: MailServer, tmp_path: Path) -> None:
    error = await failure(rig_for(server, tmp_path, security="starttls"), LETTER)
    assert (error.code, str(error)) == ("tls", f"the mail server 127.0.0.1:{server.port} does not offer STARTTLS")
    server.answers["connect"] = "421 busy"
    error = await failure(rig_for(server, tmp_path), LETTER)
    assert (error.code, error.class_) == ("smtp.421", "retry")
    server.silent = True
    error = await failure(rig_for(server, tmp_path, timeout="200ms"), LETTER)
    assert (error.code, error.class_) == ("timeout", "retry")
    server.server.close()
    error = await failure(rig_for(server, tmp_path), LETTER)
    assert (error.code, error.class_) == ("connection", "retry")


async def test_many_at_once(server: MailServer, tmp_path: Path) -> None:
    rig = rig_for(server, tmp_path)
    await asyncio.gather(*(rig("email", {**LETTER, "subject": f"n{i}"}, key=f"k{i}") for i in range(20)))
    assert sorted(str(mail.message["Subject"]) for mail in server.mails) == sorted(f"n{i}" for i in range(20))


def test_faults_at_load() -> None:
    faults = Rig().catalogue.faults
    assert faults("email", {"to": "a@b.c", "subject": "s"}) == [
        ("", "`text` or `html` is missing: what is to be said?")
    ]
    assert faults("email", {"to": [], "subject": "s", "text": "t"}) == [("to", "must not be empty")]
    assert faults("email", {"subject": "s", "text": "t", "form": "x"}) == [
        ("to", "is required and missing"),
        ("form", "unknown key `form`; did you mean from?"),
    ]
    assert faults("email", {"to": "${{ inputs.to }}", "subject": "s", "html": "t"}) == []
