"""What all tests share: the real servers, no skipped test, and hypothesis profiles."""

import os

import pytest
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

OF_NO_CODE = ("tests/bench/", "tests/docs/", "tests/packaging/", "tests/servers/", "tests/tidy/")
"""Tests of what is not measured: of texts, of the tree, of the tests' own parts."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A traced process is many times slower, also in what is not measured: hypothesis would spend minutes on itself."""
    for item in items:
        if item.nodeid.startswith(OF_NO_CODE) or hasattr(getattr(item, "obj", None), "hypothesis"):
            item.add_marker(pytest.mark.uncovered)
