"""Kafka: what every client of one cluster is made with, and producers that are shared by all who send.

Source: triggers.md sections 4 (`kafka`) and 6 (`kafka`); CloudEvents 1.0.2, Kafka Protocol Binding.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import msgspec
from pydantic import BaseModel

from ..core.clock import SYSTEM
from ..core.durations import parse_instant
from ..core.errors import ConfigError, NotConnected, StepError, TransientError
from ..core.limits import MIB
from .cloudevents_messages import bound
from .configs import KafkaConfig
from .contract import OutMessage, Tls
from .kafka_errors import lost_count, translation
from .tls import client_context

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

Acks = Literal["all", 0, 1]
_YEAR_10000 = 253_402_300_800  # seconds since 1970
IDEMPOTENCY_HEADER = "idempotency-key"
TOPIC_S_MAX = 3.0  # for the broker to say that it has a topic, or to make it if it does so by itself
STOP_S_MAX = 2.5  # a client whose broker is away is given so long to say goodbye
REQUEST_BYTES_MAX = 65 * MIB  # the topic's own `max.message.bytes` is the limit that counts
BATCH_BYTES_MAX = 256 * 1024


class KafkaConnection:
    """A cluster. `send` keeps one producer for each `acks`; triggers take consumers of their own (`consumer`)."""

    kind: ClassVar[str] = "kafka"
    Config: ClassVar[type[BaseModel]] = KafkaConfig

    def __init__(self, name: str, config: KafkaConfig, project: str = ".") -> None:
        self.name = name
        self.config = config
        self.title = f"Kafka at {', '.join(config.servers)}"
        self._project = project
        self._producers: dict[Acks, AIOKafkaProducer] = {}
        self._opening = asyncio.Lock()
        self._options: dict[str, Any] | None = None

    def options(self) -> dict[str, Any]:
        """What every client of this connection is constructed with. Raises ConfigError (`tls`, `sasl`)."""
        if self._options is None:
            config = self.config
            self._options = {
                "bootstrap_servers": list(config.servers),
                "request_timeout_ms": round(config.request_timeout * 1000),
                **self._security(),
            }
            if config.client_id is not None:
                self._options["client_id"] = config.client_id
        return self._options

    def _security(self) -> dict[str, Any]:
        """The security protocol follows from `tls` and `sasl`."""
        config = self.config
        context = client_context(config.tls, self._project)
        if isinstance(config.tls, Tls) and config.tls.server_name is not None:
            raise ConfigError(
                "`server_name` cannot be used with kafka: brokers are checked by the names that they announce",
                path="tls.server_name",
            )
        sasl = config.sasl
        protocol = ("SASL_" if sasl else "") + ("SSL" if context is not None else "PLAINTEXT")
        found: dict[str, Any] = {"security_protocol": protocol, "ssl_context": context}
        if sasl is None:
            return found
        found["sasl_mechanism"] = sasl.mechanism
        if sasl.mechanism == "OAUTHBEARER":
            from .kafka_token import TokenProvider

            found["sasl_oauth_token_provider"] = TokenProvider(self.name, sasl)
        elif sasl.mechanism != "GSSAPI":
            if sasl.username is None or sasl.password is None:
                raise ConfigError(f"`sasl` with {sasl.mechanism} needs `username` and `password`", path="sasl")
            found |= {"sasl_plain_username": sasl.username, "sasl_plain_password": sasl.password}
        return found

    def consumer(self, **more: Any) -> AIOKafkaConsumer:
        """A consumer that is not started yet; its owner stops it (`stop`)."""
        from aiokafka import AIOKafkaConsumer

        with translation(self.title):
            try:
                return AIOKafkaConsumer(**{**self.options(), **more})
            except AssertionError as error:  # the library asserts that gssapi is there
                raise StepError("missing_extra", f"{self.title}: {error}") from error

    async def start(self, client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
        """Start a client within `timeout`. Raises NotConnected, StepErrors `unauthorized`, `tls`; the client is stopped
        then."""
        from aiokafka.errors import KafkaConnectionError

        try:
            with translation(self.title):
                async with asyncio.timeout(self.config.timeout):
                    try:
                        await client.start()
                    except KafkaConnectionError as error:
                        raise await self._reason() or error from error
        except BaseException:
            await stop(client)
            raise

    async def _reason(self) -> BaseException | None:
        """Why no broker could be reached: the library only logs it."""
        from aiokafka.conn import create_conn

        host, _, port = self.config.servers[0].rpartition(":")
        options = {**self.options(), "request_timeout_ms": round(self.config.timeout * 1000)}
        del options["bootstrap_servers"]
        try:
            connection = await create_conn(host.strip("[]"), int(port), **options)
        except Exception as error:  # noqa: BLE001  # whatever it is: it is the reason, and is translated
            return error if not isinstance(error, ConnectionError) else NotConnected(f"{self.title}: {_words(error)}")
        connection.close()
        return None

    async def open(self) -> None:
        """Reach the cluster. Raises NotConnected, StepErrors `unauthorized`, `tls`, ConfigError."""
        await self._producer("all")

    async def close(self) -> None:
        """Send what is under way and close."""
        producers, self._producers = self._producers, {}
        await asyncio.gather(*(stop(producer) for producer in producers.values()))

    async def test(self) -> str:
        """Ask for the cluster's metadata."""
        begun = SYSTEM.monotonic()
        producer = await self._producer("all")
        with translation(self.title):
            async with asyncio.timeout(self.config.timeout):
                cluster = await producer.client.fetch_all_metadata()
        took = round((SYSTEM.monotonic() - begun) * 1000)
        brokers, topics = len(cluster.brokers()), len(cluster.topics())
        return (
            f"{self.title} answered in {took} ms: {brokers} broker{'s' * (brokers != 1)}, "
            f"{topics} topic{'s' * (topics != 1)}"
        )

    async def create_topic(self, name: str) -> None:
        """Make a topic with the broker's defaults; one that is there is left as it is."""
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic
        from aiokafka.errors import TopicAlreadyExistsError

        with translation(f"{self.title}, topic {name}"):
            admin = AIOKafkaAdminClient(**self.options())
            async with asyncio.timeout(self.config.timeout):
                await admin.start()
                try:
                    topic = NewTopic(name, 1, 1)
                    topic.num_partitions = topic.replication_factor = -1  # as the broker is set up
                    response = await admin.create_topics([topic])
                except TopicAlreadyExistsError:
                    return
                except AttributeError as e:  # aiokafka reads the number of a controller that there is not
                    raise NotConnected(f"{self.title}: the brokers have no controller at the moment") from e
                finally:
                    await admin.close()
        for topic, code, *words in response.topic_errors:
            if code not in (0, 36):  # 36: it exists
                raise StepError("publish.rejected", f"{self.title} does not make the topic {topic}: {words or code}")

    async def send(self, message: OutMessage) -> dict[str, Any]:
        """Publish one; returns when the brokers that `acks` names have it. Output `{topic, partition, offset}`."""
        return (await self.send_many((message,)))[0]

    async def send_many(self, messages: Sequence[OutMessage]) -> list[dict[str, Any]]:
        """Publish in order (with `acks: all`, also over repetitions inside of the client); on an error a first part of
        each partition may have been taken.
        """
        title = f"{self.title}, topic {messages[0].target['topic']}" if messages else self.title
        futures: list[asyncio.Future[Any]] = []
        producer: AIOKafkaProducer | None = None
        try:
            with translation(title):
                async with asyncio.timeout(self.config.request_timeout):
                    for message in messages:
                        producer = await self._producer(_acks(message.target.get("acks", "all")))
                        await self._there(producer, message)
                        futures.append(await producer.send(**_record(message)))
                    sent = await asyncio.gather(*futures)
        except (TransientError, StepError) as error:
            # without an answer the producer goes on trying, so that the order stays and a repetition comes after it
            if producer is not None and (isinstance(error, StepError) or lost_count(error.__cause__)):
                await self._drop(producer)
            raise
        finally:
            for future in futures:
                future.add_done_callback(_looked_at)
        return [
            {"topic": m.target["topic"], "partition": one and one.partition, "offset": one and one.offset}
            for m, one in zip(messages, sent, strict=True)  # with `acks: 0` the broker says nothing
        ]

    async def _there(self, producer: AIOKafkaProducer, message: OutMessage) -> None:
        """Are topic and partition there? For a topic the library waits all of `request_timeout`, and says nothing.

        Raises TransientError `publish.no_topic`, StepError `invalid_input`.
        """
        topic, partition = message.target["topic"], message.target.get("partition")
        inside = cast("Any", producer)
        found: set[int] | None = inside.client.cluster.partitions_for_topic(topic)
        if found is None:
            try:
                async with asyncio.timeout(TOPIC_S_MAX):
                    found = await inside.partitions_for(topic)
            except TimeoutError:
                await inside.client.fetch_all_metadata()  # raises if it is the brokers that do not answer
                text = f"there is no topic {topic} on {self.title}"
                raise TransientError(text, code="publish.no_topic", hint="make it, or correct `topic`") from None
        if partition is not None and int(partition) not in (found or ()):
            text = f"the topic {topic} on {self.title} has no partition {partition}"
            raise StepError("invalid_input", text, hint=f"it has those from 0 to {max(found or (0,))}")

    async def _producer(self, acks: Acks) -> AIOKafkaProducer:
        found = self._producers.get(acks)
        if found is not None:
            return found
        async with self._opening:
            found = self._producers.get(acks)
            if found is None:
                from aiokafka import AIOKafkaProducer

                found = AIOKafkaProducer(
                    **self.options(),
                    acks=acks,
                    enable_idempotence=acks == "all",
                    max_batch_size=BATCH_BYTES_MAX,
                    max_request_size=REQUEST_BYTES_MAX,
                )
                await self.start(found)
                self._producers[acks] = found
        return found

    async def _drop(self, producer: AIOKafkaProducer) -> None:
        """After a refusal the numbering of an idempotent producer may have a hole: the next one begins anew."""
        for acks, known in list(self._producers.items()):
            if known is producer:
                del self._producers[acks]
                await stop(producer)


async def stop(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Close a client within bounds, also if its broker is away."""
    inside = cast("Any", client)
    try:
        async with asyncio.timeout(STOP_S_MAX):
            await client.stop()
    except TimeoutError:  # what waits for the broker is given up; neither tasks nor sockets are left behind
        coordinator = getattr(inside, "_coordinator", None)
        for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task"):
            task: asyncio.Task[Any] | None = getattr(coordinator, name, None)
            if task is not None:
                task.cancel()
        for name in ("_fetcher", "_sender", "client", "_client"):
            part = getattr(inside, name, None)
            if part is not None:
                await part.close()


def _looked_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _acks(given: Any) -> Acks:
    acks = {"all": "all", "-1": "all", "0": 0, "1": 1}.get(str(given))
    if acks is None:
        raise StepError("invalid_input", f"`acks` is all, 1 or 0; found {given!r}")
    return cast("Acks", acks)


def _record(message: OutMessage) -> dict[str, Any]:
    """The arguments of the library's `send`."""
    target = message.target
    headers, body = bound(message, "ce_")
    if message.key and IDEMPOTENCY_HEADER not in headers:
        headers[IDEMPOTENCY_HEADER] = message.key
    key: Any = target.get("key")
    if key is None and message.event is not None:
        key = message.event.extensions.get("partitionkey")
    record: dict[str, Any] = {
        "topic": target["topic"],
        "value": b"" if body is None and key is None else body,  # an event without data is no tombstone of a key
        "key": None if key is None else _key(key),
        "headers": [(name, value.encode()) for name, value in headers.items()],
    }
    if target.get("partition") is not None:
        record["partition"] = int(target["partition"])
    if target.get("timestamp") is not None:
        record["timestamp_ms"] = _milliseconds(target["timestamp"])
    return record


def _key(key: Any) -> bytes:
    if isinstance(key, bytes):
        return key
    return key.encode() if isinstance(key, str) else msgspec.json.encode(key)


def _milliseconds(given: Any) -> int:
    fault = timestamp_fault(given)
    if fault:
        raise StepError("invalid_input", f"`timestamp` {fault}")
    return round((parse_instant(given) if isinstance(given, str) else float(given)) * 1000)


def timestamp_fault(given: Any) -> str:
    """What makes this no time of a record, in words; empty if it is one. Kafka has no times before 1970: it takes a
    negative one for none at all.
    """
    try:
        seconds = parse_instant(given) if isinstance(given, str) else float(given)
    except (ConfigError, OverflowError, TypeError, ValueError):
        seconds = math.nan
    if 0 <= seconds < _YEAR_10000:
        return ""
    return f"must be an instant from 1970 to 9999, or its seconds since 1970; found {given!r}"


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
