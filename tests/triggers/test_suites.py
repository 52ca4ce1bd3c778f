"""The public suite over the built-in sources that need no server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reactor.core.durations import parse_instant
from reactor.core.event import Event
from reactor.language.definition import TriggerSpec
from reactor.testing.clock import VirtualClock
from reactor.testing.trigger_suite import Rig, TriggerSuite
from reactor.triggers.catalogue import Kinds
from reactor.triggers.contract import Trigger, TriggerContext
from reactor.triggers.file import FileTrigger
from reactor.triggers.schedule import CronTrigger

KINDS = Kinds()


class FileRig(Rig):
    """A folder; a payload is a file's content."""

    def __init__(self, folder: Path, polling: bool) -> None:
        super().__init__()
        self.folder = folder
        self.config = {
            "path": str(folder),
            "read": "text",
            "ready": {"stable": "10ms"},
            "force_polling": polling,
            "poll": "100ms",
        }
        self.number = 0

    async def make(self) -> Trigger:
        spec = TriggerSpec(name="inbox", kind="file", config=self.config)
        context = TriggerContext(name="inbox", spec=spec, marks=dict(self.marks))
        return FileTrigger(KINDS.config("file", self.config), context)

    async def emit(self, payload: bytes) -> None:
        self.number += 1
        (self.folder / f"f{self.number}").write_bytes(payload)

    def payload(self, event: Event) -> bytes:
        return event.data["content"].encode()

    async def cut(self, trigger: Trigger) -> None:
        """A folder has no connection."""


@pytest.mark.req("T-GEN-3")
class TestFile(TriggerSuite):
    trigger = FileTrigger

    @pytest.fixture(params=[False, True], ids=["notices", "polling"])
    async def rig(self, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
        async with FileRig(tmp_path, request.param) as rig:
            rig.marks["."] = b"1"
            yield rig


class CronRig(Rig):
    """Each payload is the next minute on a virtual clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.payloads: dict[float, bytes] = {}
        self.config = {"schedule": "* * * * *", "misfire": {"policy": "run_all", "grace": "1d"}}

    async def make(self) -> Trigger:
        spec = TriggerSpec(name="tick", kind="cron", config=self.config)
        context = TriggerContext(name="tick", spec=spec, clock=self.clock, marks=dict(self.marks))
        return CronTrigger(KINDS.config("cron", self.config), context)

    async def emit(self, payload: bytes) -> None:
        due = max(self.payloads, default=self.clock.now()) + 60
        self.payloads[due] = payload
        self.clock.step(due - self.clock.now())

    def payload(self, event: Event) -> bytes:
        return self.payloads[parse_instant(event.data["scheduled_at"])]

    async def cut(self, trigger: Trigger) -> None:
        """A clock has no connection."""


@pytest.mark.req("T-GEN-3")
class TestCron(TriggerSuite):
    trigger = CronTrigger
    QUIET_S = 0.05

    @pytest.fixture
    async def rig(self) -> AsyncIterator[Rig]:
        async with CronRig() as rig:
            yield rig
