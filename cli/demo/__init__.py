"""`reactor demo`: a whole project at work, and what to try with it. Nothing outside its folder is touched."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...app import App
    from .narrator import Narrator

READY_S_MAX = 10.0  # the triggers are connected long before


async def run_demo(folder: str | None, *, port: int) -> int:
    """Run the demo in a fresh temporary folder, or in `folder`, until SIGINT or SIGTERM; then drain. 0, or 1 if the
    store failed.

    `port`: where the API listens; any free one when it is 0 or taken. Raises ConfigError.
    """
    from ...core.clock import SYSTEM
    from ...web.server import WebServer
    from ..place import find
    from .narrator import Narrator
    from .outside import Outside
    from .project_folder import free_port, prepare

    narrator = Narrator(SYSTEM, _write)
    async with Outside(narrator.say) as outside:
        port = free_port(port)
        root = prepare(folder, port=port, outside=outside.port)
        app = find(root, os.environ).served()
        stopped = _stopping()
        async with app:
            app.engine.telling.listeners.append(narrator.told)
            app.intake.listeners.append(narrator.came)
            (await app.load()).diagnostics.raise_errors()
            async with WebServer(app, port=port) as web:
                _write(_welcome(root, web.url))
                return await _live(app, narrator, root, web.url, stopped)


async def _live(app: App, narrator: Narrator, root: Path, url: str, stopped: asyncio.Event) -> int:
    from .project_folder import FIRST, drop

    imported: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    narrator.imported = lambda run: None if imported.done() else imported.set_result(run)
    stop = asyncio.ensure_future(stopped.wait())
    ready = asyncio.ensure_future(_ready(app))
    await asyncio.wait((ready, stop), return_when=asyncio.FIRST_COMPLETED)
    if ready.done() and not stop.done():
        ready.result()
        narrator.say("demo", f"drops {FIRST} in inbox/")
        drop(root, FIRST)
        await asyncio.wait((imported, stop), return_when=asyncio.FIRST_COMPLETED)
    if imported.done():
        event = (await app.get(imported.result()))["event"]["id"]
        _write(_next(root, url, imported.result(), event))
    failed = app.failed
    assert failed is not None, "an open app has it"
    await asyncio.wait((stop, failed), return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    stop.cancel()
    if failed.done():
        _write(f"The store failed: {failed.result()}")
        return 1
    _write(f"\nStopping: runs under way finish, those that wait go on at the next start.\nThe folder stays: {root}")
    return 0


async def _ready(app: App) -> None:
    """All triggers are connected: a file that is dropped from here on is new."""
    async with asyncio.timeout(READY_S_MAX):
        while not all(each.state == "connected" for each in app.supervisor.status()):
            await app.clock.sleep(0.02)


def _stopping() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; the second ends the process at once."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        stopped.set()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    return stopped


def _write(text: str) -> None:
    print(text, flush=True)


def _program() -> str:
    """How the reader calls this very program, from any folder."""
    called = Path(sys.argv[0]).absolute()
    on_path = shutil.which("reactor")
    return "reactor" if called.name != "reactor" or on_path == str(called) else shlex.quote(str(called))


def _welcome(root: Path, url: str) -> str:
    return f"""
Reactor is at work at {url}
Its project is the folder {root}

  import-orders   a CSV file dropped in inbox/ is checked, loaded into shop.db, and a report is written
  tell-outside    starts when import-orders has completed, and calls a webhook
  heartbeat       a schedule, once a second
  take-order      an order by HTTP: goods are put aside, the bank is asked; if it refuses, they are put back
  too-hot         an alarm over 80 degrees, once for each sensor, over only under 70
"""


def _next(root: Path, url: str, run: str, event: str) -> str:
    reactor = f"{_program()} --project {shlex.quote(str(root))}"
    place = shlex.quote(str(root))
    return f"""
The first run has completed. What to do next, in another terminal:

  Drop another file, and look at its report:
    cp {place}/samples/evening.csv {place}/inbox/
    cat {place}/reports/*.txt

  Order by HTTP; the answer is the result:
    curl -sS {url}/hooks/orders -H 'content-type: application/json' -d '{{"item": "lamp", "pieces": 2, "amount": 79.8}}'
  Order too much; the bank refuses, and the goods are put back:
    curl -sS {url}/hooks/orders -H 'content-type: application/json' -d '{{"item": "desk", "pieces": 5, "amount": 2060}}'

  Raise the alarm; a second high temperature starts nothing; then the all-clear:
    {reactor} emit com.example.temperature --data '{{"sensor": "boiler", "degrees": 93}}'
    {reactor} emit com.example.temperature --data '{{"sensor": "boiler", "degrees": 95}}'
    {reactor} emit com.example.temperature --data '{{"sensor": "boiler", "degrees": 66}}'

  Look:
    {reactor} runs
    {reactor} status {run}
    {reactor} explain {event}

  Ctrl-C ends the demo. What is durable stays: begin again there with
    {_program()} demo {place}
"""
