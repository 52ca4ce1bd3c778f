"""The rig of the tests of actions, closed after each; programs are tested on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from reactor.testing.action_suite import LentServices
from reactor.tests.actions.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Calls actions in a project of this test alone."""
    rig = Rig(LentServices(str(tmp_path)))
    yield rig
    await rig.catalogue.close()


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The server runs on uvloop, which starts programs in its own way."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in ("test_command.py", "test_python.py"):
        loops["uvloop"] = uvloop.new_event_loop
    return loops
