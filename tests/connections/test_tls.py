"""TLS contexts: what they trust is the same on every Python."""

import ssl
import subprocess
from pathlib import Path

import pytest

from reactor.connections.contract import ConfigError, Tls
from reactor.connections.tls import client_context

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def made(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Raises what the client says of the server's certificate."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for side in tuple(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
    assert sides == []


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    """A server's context; its CA `ca.pem` says nothing of the use of its key, as `openssl req -x509` makes it."""
    made(tmp_path, "req", "-x509", *NEW_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Own CA")
    made(tmp_path, "req", *NEW_KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost\n")
    signed = ["-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    made(tmp_path, "x509", *signed, "-extfile", "names", "-out", "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    return context


@pytest.mark.parametrize("as_text", [False, True], ids=["file", "PEM"])
def test_a_ca_of_ones_own_is_trusted_as_it_is(tmp_path: Path, server: ssl.SSLContext, as_text: bool) -> None:
    ca = (tmp_path / "ca.pem").read_text() if as_text else "ca.pem"
    context = client_context(Tls(ca=ca), str(tmp_path))
    assert context is not None
    shake_hands(context, server)


@pytest.mark.parametrize("tls", [True, Tls()])
def test_a_ca_that_nobody_named_is_not_trusted(server: ssl.SSLContext, tls: bool | Tls) -> None:
    context = client_context(tls)
    assert context is not None
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
        shake_hands(context, server)


@pytest.mark.parametrize(
    ("tls", "named"),
    [
        (Tls(ca="no.pem"), "no.pem (`ca`)"),
        (Tls(ca="ca.pem", cert="no.pem", key="ca.key"), "no.pem (`cert`)"),
        (Tls(cert="ca.pem", key="no.key"), "no.key (`key`)"),
    ],
)
def test_a_file_that_is_not_there_is_named(tmp_path: Path, server: ssl.SSLContext, tls: Tls, named: str) -> None:
    with pytest.raises(ConfigError) as told:
        client_context(tls, str(tmp_path))
    assert str(told.value) == f"`tls` cannot be used: there is no file {tmp_path}/{named}"
