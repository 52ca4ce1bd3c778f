"""A NATS server of the session, with JetStream."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from reactor.tests.servers import places
from reactor.tests.servers.process import Cuttable, GivenServer, Process, ServerError, ServerProcess, free_port

VARIABLE = "REACTOR_TEST_NATS"


@dataclass
class NatsServer(Cuttable):
    """A server; `url` is what clients connect to."""

    url: str
    process: Process


def open_nats(folder: Path) -> NatsServer:
    """The server that REACTOR_TEST_NATS names, else a new one in `folder`; raises ServerError."""
    given = os.environ.get(VARIABLE)
    if given:
        return NatsServer(given, GivenServer(VARIABLE))
    program = places.nats_program()
    if program is None:
        raise ServerError("nats-server is not installed: run `make setup-servers`")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()

    def ready() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                return connection.recv(5) == b"INFO "
        except OSError:
            return False

    command = [str(program), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "jetstream")]
    server = ServerProcess(command, ready, folder / "nats.log")
    server.start()
    return NatsServer(f"nats://127.0.0.1:{port}", server)
