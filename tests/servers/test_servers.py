"""The test servers are real: each answers its own client, comes back after a cut, and leaves no process behind."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import nats
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from reactor.tests.servers.kafka import KafkaServer
from reactor.tests.servers.nats import NatsServer
from reactor.tests.servers.postgres import PostgresServer
from reactor.tests.servers.process import GivenServer, ServerError, ServerProcess


@pytest.mark.broker("postgres")
async def test_each_test_has_an_empty_database(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert await connection.fetchval("SELECT current_database()") == postgres_url.rsplit("/", 1)[1]
    finally:
        await connection.close()


@pytest.mark.broker("postgres")
async def test_postgres_comes_back_with_its_data(postgres_server: PostgresServer, postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
    await asyncio.to_thread(postgres_server.stop)
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        await asyncpg.connect(postgres_url)
    await asyncio.to_thread(postgres_server.start)
    again = await asyncpg.connect(postgres_url)
    try:
        assert await again.fetchval("SELECT n FROM kept") == 7
    finally:
        await again.close()
        connection.terminate()


@pytest.mark.broker("postgres")
async def test_a_frozen_postgres_freezes_its_sessions_too(postgres_server: PostgresServer, postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        postgres_server.process.pause()
        answer = asyncio.create_task(connection.fetchval("SELECT 1"))
        done, _ = await asyncio.wait([answer], timeout=0.3)
        postgres_server.process.resume()
        assert not done
        assert await answer == 1
    finally:
        await connection.close()


@pytest.mark.broker("nats")
async def test_jetstream_keeps_messages_over_a_cut(nats_server: NatsServer, unique_name: str) -> None:
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    try:
        stream = client.jetstream()
        await stream.add_stream(name=unique_name, subjects=[unique_name])
        await stream.publish(unique_name, b"before")
        await asyncio.to_thread(nats_server.stop)
        await asyncio.to_thread(nats_server.start)
        info = await stream.stream_info(unique_name)
        assert info.state.messages == 1
    finally:
        await client.close()


@pytest.mark.broker("kafka")
async def test_kafka_keeps_messages_over_a_cut(kafka_server: KafkaServer, unique_name: str) -> None:
    await kafka_server.create_topic(unique_name, partitions=2)
    async with AIOKafkaProducer(bootstrap_servers=kafka_server.bootstrap) as producer:
        await producer.send_and_wait(unique_name, b"before", partition=1)
    await asyncio.to_thread(kafka_server.stop)
    await asyncio.to_thread(kafka_server.start)
    async with AIOKafkaConsumer(
        unique_name, bootstrap_servers=kafka_server.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        message = await asyncio.wait_for(consumer.getone(), 30)
    assert (message.partition, message.value) == (1, b"before")


def gone(pid: int) -> bool:
    """Has the process ended, or is it only waiting to be collected?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it is opened, and before it is read
        return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while not gone(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


SESSION = """
import sys, time
from pathlib import Path
from reactor.tests.servers.process import ServerProcess
server = ServerProcess(["sleep", "1000"], lambda: True, Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_server_ends_with_the_session_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    session = subprocess.Popen(
        [sys.executable, "-P", "-c", SESSION, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert session.stdout is not None
    pid = int(session.stdout.readline())
    assert not gone(pid)
    session.send_signal(number)
    session.wait(20)
    session.stdout.close()
    wait_until_gone(pid)


def test_a_server_can_be_frozen_and_killed(tmp_path: Path) -> None:
    server = ServerProcess(["sleep", "1000"], lambda: True, tmp_path / "log")
    server.start()
    server.pause()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{server.pid}/stat").read_text().split()[2] != "T":
        assert time.monotonic() < deadline
    server.resume()
    pid = server.pid
    server.kill()
    assert gone(pid)
    server.kill()
    server.stop()


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    server = ServerProcess(["sh", "-c", "echo no such disk; exit 3"], lambda: False, tmp_path / "log")
    with pytest.raises(ServerError) as caught:
        server.start()
    assert str(caught.value) == "sh ended with status 3:\nno such disk\n"


def test_a_given_server_is_never_stopped() -> None:
    with pytest.raises(ServerError) as caught:
        GivenServer("REACTOR_TEST_NATS").stop()
    assert str(caught.value) == "REACTOR_TEST_NATS names a server that is not ours to stop: run this test without it"
