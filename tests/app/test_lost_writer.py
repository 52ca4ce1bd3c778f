"""A program that embeds Reactor, and the process that writes its file is killed: it is told, and can go on."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from reactor.app import App
from reactor.core.errors import ReactorError, StoreUnavailable
from reactor.language.loader import load_text
from reactor.tests.waiting import until

KEPT = "workflow: kept\nwhen: [{event: sent}]\nsteps: [{name: a, transform: {n: 1}}]\n"


def app_of(folder: Path) -> App:
    return App(f"sqlite:///{folder}/reactor.db", project=folder, writer="process", listen=False)


def writer_of(app: App) -> int:
    return app.store._writer._process.pid


async def failure_of(app: App) -> ReactorError:
    assert app.failed is not None
    async with asyncio.timeout(20):
        return await app.failed


async def test_it_is_told_though_nothing_is_written_and_may_close_and_open_anew(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    await app.open()
    await app.emit("wanted.by.nobody", {})  # which is written later, or lost
    os.kill(writer_of(app), signal.SIGKILL)
    assert str(await failure_of(app)) == (
        f"the process that writes {tmp_path}/reactor.db has ended by signal 9; whether it wrote its last group is"
        " unknown"
    )
    await app.close()
    async with app_of(tmp_path) as again:
        assert (await again.emit("wanted.by.nobody", {})).runs == ()


async def test_who_sent_what_was_being_written_is_told_that_nobody_knows(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    await app.open()
    await app.deploy(*load_text(KEPT, "kept.yaml", app.vocabulary()).loaded)
    os.kill(writer_of(app), signal.SIGSTOP)
    sending = asyncio.ensure_future(app.emit("sent", {}, id="1"))
    await until(lambda: app.store._groups._only._busy)
    os.kill(writer_of(app), signal.SIGKILL)
    with pytest.raises(StoreUnavailable) as caught:
        await sending
    assert (str(caught.value), caught.value.hint) == (
        "the store failed, and whether the event was taken is unknown",
        "send it again under the same id: what was taken is not taken twice",
    )
    await app.close()
