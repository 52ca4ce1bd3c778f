"""The Kafka trigger against a real broker: the suite of all triggers, and what is special about it."""

from collections.abc import AsyncIterator

import pytest

from reactor.testing.trigger_suite import Rig, TriggerSuite
from reactor.tests.servers.kafka import KafkaServer
from reactor.tests.triggers.kafka_rig import KafkaRig

pytestmark = pytest.mark.broker("kafka")


class TestSuite(TriggerSuite):
    """All that every trigger keeps."""

    @pytest.fixture
    async def rig(self, kafka_server: KafkaServer) -> AsyncIterator[Rig]:
        async with KafkaRig(kafka_server, partitions=2) as rig:
            yield rig
