"""One site a test."""

from collections.abc import AsyncIterator

import pytest

from reactor.tests.web.site import Site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as site:
        yield site
