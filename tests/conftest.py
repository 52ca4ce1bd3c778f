"""What all tests share: the real servers, no skipped test, and hypothesis profiles."""

import os

from hypothesis import HealthCheck, settings

from reactor.tests.servers.fixtures import (
    kafka_server,
    nats_server,
    postgres_server,
    postgres_url,
    unique_name,
    unique_names,
)
from reactor.tests.unskipped import pytest_sessionfinish, pytest_terminal_summary

__all__ = [
    "kafka_server",
    "nats_server",
    "postgres_server",
    "postgres_url",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "unique_name",
    "unique_names",
]

# A loaded machine is slow, not wrong: examples have no deadline. In CI the same examples every time.
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "here")
