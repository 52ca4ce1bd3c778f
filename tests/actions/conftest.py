"""The rig of the tests of actions, closed after each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reactor.testing.action_suite import LentServices
from reactor.tests.actions.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Calls actions in a project of this test alone."""
    rig = Rig(LentServices(str(tmp_path)))
    yield rig
    await rig.catalogue.close()
