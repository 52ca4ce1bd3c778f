"""A PostgreSQL of the session: one server, a database for each test."""

import asyncio
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from reactor.tests.servers import places
from reactor.tests.servers.process import Cuttable, GivenServer, Process, ServerError, ServerProcess, free_port

VARIABLE = "REACTOR_TEST_POSTGRES"
# Safe against a crash of the server process, not of the machine: tests need the first alone, and this is faster.
# `wal_level` and the slots are for the sources that read the log.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "timezone": "UTC",
    "log_min_messages": "warning",
}


@dataclass
class PostgresServer(Cuttable):
    """A server; `url` opens its maintenance database, as a superuser."""

    url: str
    process: Process

    def database_url(self, name: str) -> str:
        """The address of one of its databases."""
        return self.url.rsplit("/", 1)[0] + "/" + name

    def execute(self, statement: str) -> None:
        """Carry out one statement outside a transaction, from anywhere, a running event loop included."""

        async def carry_out() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, carry_out()).result()

    def create_database(self, name: str) -> str:
        """A new empty database; returns its address."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Remove it, ending whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def open_postgres(folder: Path) -> PostgresServer:
    """The server that REACTOR_TEST_POSTGRES names, else a new one in `folder`; raises ServerError."""
    given = os.environ.get(VARIABLE)
    if given:
        return PostgresServer(given, GivenServer(VARIABLE))
    programs = places.postgres_folder()
    if programs is None:
        raise ServerError("PostgreSQL is not installed: run `make setup-servers`")
    folder.mkdir(parents=True, exist_ok=True)
    as_user: list[str] = []
    if os.geteuid() == 0:  # initdb and postgres refuse root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    command = [*as_user, str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    made = subprocess.run(
        [*command, "--locale=C", "--no-sync"], capture_output=True, text=True, cwd=folder, timeout=120
    )
    if made.returncode:
        raise ServerError(f"initdb failed:\n{made.stdout}{made.stderr}")
    port = free_port()
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]

    def ready() -> bool:
        asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(asked, timeout=10).returncode == 0

    server = ServerProcess(
        [*as_user, str(programs / "postgres"), "-D", str(data), "-p", str(port), *settings],
        ready,
        folder / "postgres.log",
        stop_signal="SIGQUIT",  # like a crash, and quick: the log is replayed at the next start
    )
    server.start()
    return PostgresServer(f"postgresql://postgres@127.0.0.1:{port}/postgres", server)
