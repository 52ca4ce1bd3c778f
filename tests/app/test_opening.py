"""What an application loads to open, and what the collector leaves alone."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from reactor.cli.starting import uncollected

FLOW = "workflow: hello\nwhen: [{event: greet}]\nsteps: [{log: {message: hello}}]\n"
UNUSED = (
    "aiohttp",
    "aiokafka",
    "asyncpg",
    "grpc",
    "nats",
    "opentelemetry",
    "reactor.connections.configs",
    "reactor.triggers.http_config",
    "reactor.triggers.schedule",
)
"""What a project without connections, http triggers and schedules has no use for."""

OPEN = f"""
import asyncio, sys
from reactor import App
from reactor.web.server import WebServer

async def main():
    async with App(project=sys.argv[1]) as app:
        assert (await app.load()).diagnostics.items == []
        async with WebServer(app, port=0):
            print(sorted(name for name in {UNUSED} if name in sys.modules))

asyncio.run(main())
"""


def test_a_project_loads_no_library_that_it_does_not_name(tmp_path: Path) -> None:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "hello.yaml").write_text(FLOW)
    (tmp_path / "reactor.yaml").write_text("store: ':memory:'\n")
    ran = subprocess.run([sys.executable, "-P", "-c", OPEN, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


@pytest.mark.parametrize("collects", [True, False])
def test_nothing_is_collected_while_it_starts(collects: bool) -> None:
    was = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() is collects
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        (gc.enable if was else gc.disable)()
