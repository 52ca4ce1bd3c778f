"""An Apache Kafka of the session: one node, KRaft, no other process."""

import asyncio
import base64
import os
import socket
import struct
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from reactor.tests.servers import places
from reactor.tests.servers.process import Cuttable, GivenServer, Process, ServerError, ServerProcess, free_port

VARIABLE = "REACTOR_TEST_KAFKA"
CONTROLLER_S_MAX = 30.0
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/logs
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
controlled.shutdown.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=200
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=2097152
"""


@dataclass
class KafkaServer(Cuttable):
    """A broker; `bootstrap` is what clients connect to (host:port)."""

    bootstrap: str
    process: Process

    async def create_topic(self, name: str, partitions: int = 1) -> None:
        """A topic, there when this returns; a broker that starts may need a moment until it is the controller, and
        one that was frozen until it may hold partitions again. That is an answer like any other to the client.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            async with asyncio.timeout(CONTROLLER_S_MAX):
                while True:
                    try:
                        response = await admin.create_topics([NewTopic(name, partitions, 1)])
                        if all(code in (0, TopicAlreadyExistsError.errno) for _, code, *_ in response.topic_errors):
                            return
                    except AttributeError:  # aiokafka reads the number of a controller that there is not
                        pass
                    await asyncio.sleep(0.1)
        finally:
            await admin.close()


def answers_api_versions(port: int) -> bool:
    """Does the broker answer the first request that every client sends?"""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.settimeout(1)
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(10, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(answer) == 10 and struct.unpack(">iih", answer)[1:] == (1, 0)


def open_kafka(folder: Path) -> KafkaServer:
    """The broker that REACTOR_TEST_KAFKA names (host:port), else a new one in `folder`; raises ServerError."""
    given = os.environ.get(VARIABLE)
    if given:
        return KafkaServer(given, GivenServer(VARIABLE))
    if not places.kafka_ready():
        raise ServerError("Apache Kafka or Java is not installed: run `make setup-servers`")
    folder.mkdir(parents=True, exist_ok=True)
    port, controller = free_port(), free_port()
    properties = folder / "server.properties"
    properties.write_text(PROPERTIES.format(port=port, controller=controller, folder=folder))
    java = [
        "java",
        "-Xmx640m",
        "-Xshare:auto",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        str(places.kafka_folder() / "libs" / "*"),
    ]
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    quiet = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    made = subprocess.run(
        [*java, *quiet, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if made.returncode:
        raise ServerError(f"formatting Kafka's storage failed:\n{made.stdout}{made.stderr}")
    command = [*java, *quiet, "kafka.Kafka", str(properties)]
    server = ServerProcess(command, lambda: answers_api_versions(port), folder / "kafka.log", start_s=120)
    server.start()
    return KafkaServer(f"127.0.0.1:{port}", server)
