"""From a broker to accepted (durable), against the client library's own consume-and-commit loop on the same data.

    python -P -m reactor.bench.sources [kafka|jetstream ...] [--messages 20000] [--rounds 3]

The servers are those of the tests (`make setup-servers`). Each message is 1 KiB of JSON. `accepted`: event and run are
durable, the source is told; the runs are not carried out. `runs begun`: they are, up to a wait of an hour. `unmatched`:
no workflow takes the event, so that nothing but the position is written. `the source alone`: neither router nor store.
The library's loops: Kafka `getmany` and `commit` of each batch, and, for those who need to know of each message, a
`commit` after each; JetStream `fetch` and `ack` of each.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from reactor.cli.starting import uncollected
from reactor.connections.configs import KafkaConfig, NatsConfig
from reactor.connections.kafka import KafkaConnection
from reactor.connections.nats import NatsConnection
from reactor.core.event import Delivery, Settlement
from reactor.language.definition import TriggerSpec
from reactor.tests.engine.rig import Rig
from reactor.tests.servers.kafka import open_kafka
from reactor.tests.servers.nats import open_nats
from reactor.triggers.supervisor import Supervisor

FETCH = 64  # the default of `fetch`
FLOW = """
workflow: take
inputs: {id: integer}
when: [{event: reactor.KIND.message, with: {id: "${{ event.data.id }}"}}]
steps:
  - {name: later, wait: {for: 1h}}
"""
_numbers = itertools.count(1)


def body(number: int) -> bytes:
    """1 KiB of JSON, as an order would be."""
    order = {"id": number, "customer": f"c{number % 997}", "total": number * 1.25, "items": [{"sku": "a", "n": 1}] * 8}
    plain = msgspec.json.encode(order)
    return msgspec.json.encode({**order, "note": "x" * (1024 - len(plain) - 10)})


class Rate(NamedTuple):
    """Messages a second, by the clock and of one CPU of this process (which others on the machine do not slow)."""

    wall: float
    cpu: float


class Alone:
    """What a source does by itself: every delivery is settled at once, its marks kept in memory."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.watch = Watch()
        self.marks: dict[str, bytes] = {}
        self.done = asyncio.Event()

    async def publish(self, name: str, delivery: Delivery) -> None:
        """Take it, and say so."""
        if delivery.events:
            self.watch.start()
        self.marks |= {mark.key: mark.value for mark in delivery.marks if mark.value is not None}
        self.messages -= len(delivery.events)
        await delivery.settle(Settlement())
        if self.messages <= 0:
            self.done.set()

    async def read_marks(self, scope: str) -> dict[str, bytes]:
        """Those of now."""
        return dict(self.marks)


async def alone(spec: TriggerSpec, connection: Any, messages: int) -> Rate:
    """The source without router and store."""
    taker = Alone(messages)
    supervisor = Supervisor(
        taker.publish, read_marks=taker.read_marks, connections=lambda kind, name: connection, store_id="0" * 16
    )
    await supervisor.apply({spec.name: spec})
    await asyncio.wait_for(taker.done.wait(), 300)
    rate = taker.watch.rate(messages)
    await supervisor.close()
    return rate


class Watch:
    """Measures from the first message on."""

    def __init__(self) -> None:
        self.began = self.cpu = 0.0

    def start(self) -> None:
        if not self.began:
            self.began, self.cpu = time.perf_counter(), time.process_time()

    def rate(self, messages: int) -> Rate:
        return Rate(messages / (time.perf_counter() - self.began), messages / (time.process_time() - self.cpu))


Loops = dict[str, Callable[[], Awaitable[Any]]]


async def accepted(spec: TriggerSpec, connection: Any, messages: int, workflow: bool, begin: bool) -> Rate:
    """Until all are durable and settled; `begin`: and their runs are carried out meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        async with Rig(f"sqlite:///{folder}/bench.db") as rig:
            if not begin:
                setattr(rig.engine, "begin", lambda starts, accepted, event: None)  # noqa: B010  # in place of the method
            with uncollected():  # as `reactor run` starts
                if workflow:
                    await rig.deploy(FLOW.replace("KIND", spec.kind))
            done = asyncio.Event()
            settled = 0
            watch = Watch()

            async def publish(name: str, delivery: Delivery) -> None:
                if delivery.events:
                    watch.start()
                told = delivery.settle

                async def settle(settlement: Settlement) -> None:
                    nonlocal settled
                    assert not settlement.again
                    settled += len(delivery.events)
                    await told(settlement)
                    if settled >= messages:
                        done.set()

                await rig.intake.publish(
                    name,
                    Delivery(delivery.events, settle, delivery.partition, delivery.marks, delivery.positioned),
                )

            supervisor = Supervisor(
                publish, read_marks=rig.store.marks, connections=lambda kind, name: connection, store_id=rig.store.id
            )
            await supervisor.apply({spec.name: spec})
            await asyncio.wait_for(done.wait(), 300)
            rate = watch.rate(messages)
            await supervisor.close()
            return rate


async def kafka(messages: int) -> Loops:
    """The loops over one topic of one partition, each in a group of its own."""
    server = open_kafka(Path(tempfile.mkdtemp()))
    topic = "bench"
    await server.create_topic(topic)
    producer = AIOKafkaProducer(bootstrap_servers=server.bootstrap, linger_ms=5, max_batch_size=262_144)
    await producer.start()
    await asyncio.gather(*[(await producer.send(topic, body(number))) for number in range(messages)])
    await producer.stop()
    connection = KafkaConnection("main", KafkaConfig(servers=[server.bootstrap]))

    async def library(each: bool) -> Rate:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=server.bootstrap, group_id=f"g{next(_numbers)}", enable_auto_commit=False,
            auto_offset_reset="earliest",
        )  # fmt: skip
        await consumer.start()
        count, watch = 0, Watch()
        limit = messages // 10 if each else messages
        while count < limit:
            batch = await consumer.getmany(timeout_ms=1000, max_records=1 if each else FETCH)
            watch.start()
            for records in batch.values():
                for record in records:
                    msgspec.json.decode(record.value)
                count += len(records)
            await consumer.commit()
        rate = watch.rate(count)
        await consumer.stop()
        return rate

    def spec() -> TriggerSpec:
        name, keys = f"t{next(_numbers)}", {"topic": topic}
        return TriggerSpec(name, "kafka", keys, start="earliest", fetch=FETCH, max_in_flight=MAX_IN_FLIGHT)

    async def ours(workflow: bool, begin: bool) -> Rate:
        return await accepted(spec(), connection, messages, workflow, begin)

    async def stop() -> None:
        await connection.close()
        server.stop()

    return {
        "library, commit each batch": lambda: library(False),
        "library, commit each message": lambda: library(True),
        "reactor, accepted": lambda: ours(True, False),
        "reactor, accepted, runs begun": lambda: ours(True, True),
        "reactor, unmatched": lambda: ours(False, False),
        "reactor, the source alone": lambda: alone(spec(), connection, messages),
        "": stop,
    }


async def jetstream(messages: int) -> Loops:
    """The loops over one stream, each with a consumer of its own."""
    server = open_nats(Path(tempfile.mkdtemp()))
    connection = NatsConnection("main", NatsConfig(servers=[server.url]))
    js: Any = (await connection.session()).stream
    await js.add_stream(name="bench", subjects=["bench.>"])
    for first in range(0, messages, 500):
        await asyncio.gather(
            *[js.publish("bench.a", body(number)) for number in range(first, min(first + 500, messages))]
        )

    async def library() -> Rate:
        sub = await js.pull_subscribe("bench.>", durable=f"d{next(_numbers)}", stream="bench")
        count, watch = 0, Watch()
        watch.start()
        while count < messages:
            batch = await sub.fetch(FETCH, timeout=5)
            for message in batch:
                msgspec.json.decode(message.data)
                await message.ack()
            count += len(batch)
        rate = watch.rate(count)
        await sub.unsubscribe()
        return rate

    def spec() -> TriggerSpec:
        name, keys = f"t{next(_numbers)}", {"stream": "bench"}
        return TriggerSpec(name, "jetstream", keys, fetch=FETCH, max_in_flight=MAX_IN_FLIGHT)

    async def ours(workflow: bool, begin: bool) -> Rate:
        return await accepted(spec(), connection, messages, workflow, begin)

    async def stop() -> None:
        await connection.close()
        server.stop()

    return {
        "library, ack each": library,
        "reactor, accepted": lambda: ours(True, False),
        "reactor, accepted, runs begun": lambda: ours(True, True),
        "reactor, unmatched": lambda: ours(False, False),
        "reactor, the source alone": lambda: alone(spec(), connection, messages),
        "": stop,
    }


MAX_IN_FLIGHT = 1024
SOURCES = {"kafka": kafka, "jetstream": jetstream}


async def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", default=list(SOURCES))
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fetch", type=int, default=FETCH)
    given = parser.parse_args()
    globals()["FETCH"] = given.fetch
    print(f"{os.cpu_count()} CPUs, {given.messages} messages of 1 KiB, fetch {given.fetch}")
    for source in given.sources:
        loops = await SOURCES[source](given.messages)
        stop = loops.pop("")
        rates: dict[str, list[Rate]] = {name: [] for name in loops}
        for _ in range(given.rounds):
            for name, loop in loops.items():  # side by side: the machine is shared
                rates[name].append(await loop())
        await stop()
        median = {
            name: Rate(*(statistics.median(some) for some in zip(*found, strict=True))) for name, found in rates.items()
        }
        base = next(iter(median.values()))
        for name, rate in median.items():
            print(
                f"{source:10} {name:30} {rate.wall:8.0f}/s  {rate.cpu:8.0f}/CPU-s   "
                f"to the library: {rate.wall / base.wall:.2f}, of CPU {rate.cpu / base.cpu:.2f}"
            )


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
