"""The fixtures for real servers: each is started when the first test asks for it, and ended with the session."""

import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactor.tests.servers.kafka import KafkaServer, open_kafka
from reactor.tests.servers.nats import NatsServer, open_nats
from reactor.tests.servers.postgres import PostgresServer, open_postgres
from reactor.tests.servers.process import GivenServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def unique_names() -> Iterator[str]:
    """Endless names that no other test of this machine uses: databases, topics, subjects."""
    return (f"t{os.getpid()}_{number}" for number in _numbers)


@pytest.fixture
def unique_name(unique_names: Iterator[str], request: pytest.FixtureRequest) -> str:
    """A name for a topic, subject, stream or database of this test alone."""
    test = re.sub(r"\W+", "_", request.node.name).strip("_").lower()[:30]
    return f"{next(unique_names)}_{test}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL; `stop()` and `start()` cut it and bring it back.

    Its folder is not under pytest's own: another session closes that to all other users, the server's among them.
    """
    with tempfile.TemporaryDirectory(prefix="reactor-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = open_postgres(folder / "server")
        try:
            yield server
        finally:
            if not isinstance(server.process, GivenServer):
                server.process.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, unique_name: str) -> Iterator[str]:
    """The address of an empty database of this test alone, gone after it."""
    yield postgres_server.create_database(unique_name)
    postgres_server.drop_database(unique_name)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A real nats-server with JetStream; `stop()` and `start()` cut it and bring it back."""
    server = open_nats(tmp_path_factory.mktemp("nats"))
    yield server
    if not isinstance(server.process, GivenServer):
        server.process.stop()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A real Apache Kafka 4; `stop()` and `start()` cut it and bring it back."""
    server = open_kafka(tmp_path_factory.mktemp("kafka"))
    yield server
    if not isinstance(server.process, GivenServer):
        server.process.stop()
