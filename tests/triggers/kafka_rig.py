"""A topic of its own, an independent producer, and triggers that read it."""

import asyncio
import itertools
import os
from typing import Any

from aiokafka import AIOKafkaProducer

from reactor.connections.configs import KafkaConfig
from reactor.connections.kafka import KafkaConnection
from reactor.core.event import Event
from reactor.language.definition import TriggerSpec
from reactor.testing.trigger_suite import Rig
from reactor.tests.servers.kafka import KafkaServer
from reactor.triggers.catalogue import Kinds
from reactor.triggers.contract import Trigger, TriggerContext
from reactor.triggers.kafka import KafkaTrigger

_numbers = itertools.count(1)


class KafkaRig(Rig):
    """`config`, `spec` and `context` may be changed before the next `make`."""

    def __init__(self, server: KafkaServer, partitions: int = 1) -> None:
        super().__init__()
        self.server = server
        self.partitions = partitions
        self.topic = f"k{os.getpid()}-{next(_numbers)}"
        self.config: dict[str, Any] = {"topic": self.topic, "session_timeout": "6s"}
        self.spec: dict[str, Any] = {"reconnect": {}}
        self.context: dict[str, Any] = {}
        self.connections: list[KafkaConnection] = []

    async def __aenter__(self) -> "KafkaRig":
        await self.server.create_topic(self.topic, self.partitions)
        self.producer = AIOKafkaProducer(bootstrap_servers=self.server.bootstrap, enable_idempotence=True)
        await self.producer.start()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await super().__aexit__(*exc)
        await self.producer.stop()
        for connection in self.connections:
            await connection.close()

    def connection(self) -> KafkaConnection:
        made = KafkaConnection("main", KafkaConfig(servers=[self.server.bootstrap]))
        self.connections.append(made)
        return made

    async def make(self) -> Trigger:
        spec = TriggerSpec("orders", "kafka", self.config, **self.spec)

        async def reread() -> dict[str, bytes]:
            return dict(self.marks)

        context = TriggerContext(
            name="orders", spec=spec, store_id="0123456789abcdef", marks=self.marks, reread=reread,
            connection=self.connection(), **self.context,
        )  # fmt: skip
        return KafkaTrigger(Kinds().config("kafka", self.config), context)

    async def emit(self, payload: bytes | None, **more: Any) -> None:
        await self.producer.send_and_wait(more.pop("topic", self.topic), payload, **more)

    def payload(self, event: Event) -> bytes:
        return str(event.data).encode()

    async def cut(self, trigger: Trigger) -> None:
        reader: Any = trigger._reader
        for client in (reader.consumer._client, trigger._log._consumer._client):
            for connection in list(client._conns.values()):
                connection.close()

    async def remove(self) -> None:
        """The topic is deleted."""
        from aiokafka.admin import AIOKafkaAdminClient

        admin = AIOKafkaAdminClient(bootstrap_servers=self.server.bootstrap)
        await admin.start()
        await admin.delete_topics([self.topic])
        await admin.close()

    async def remake(self) -> None:
        """The topic is deleted and made anew."""
        await self.remove()
        await self.create()

    async def create(self) -> None:
        """The topic is made anew."""
        from aiokafka.errors import KafkaError

        async with asyncio.timeout(15):
            while True:
                try:
                    await self.server.create_topic(self.topic, self.partitions)
                    break
                except KafkaError:
                    await asyncio.sleep(0.05)
        await self.producer.stop()
        self.producer = AIOKafkaProducer(bootstrap_servers=self.server.bootstrap, enable_idempotence=True)
        await self.producer.start()
