"""Closing has an end: no step, no run and no source that does not let go holds it up."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from reactor.core.event import Delivery, Event, Settlement
from reactor.engine import executor
from reactor.router import intake

from .rig import Rig

LIMIT_S = 20.0
STUCK = "workflow: stuck\nsteps: [{name: s, python: {function: 'm:stuck'}}]\n"
LONG = "workflow: long\nwhen: [{event: go}]\nsteps: [{name: s, wait: {for: 1h}}]\n"


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/reactor.db"


@pytest.mark.uncovered  # CPython 3.11 under a tracer spins while an exception waits to be raised in another thread
async def test_a_thread_that_does_not_return_is_left_behind(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executor, "CANCEL_GRACE_S", 0.2)
    monkeypatch.setattr(executor, "_GIVEN_UP_S", 0.2)
    begun, gate = threading.Event(), threading.Event()

    def stuck() -> None:
        begun.set()
        gate.wait(60)  # in C: no exception reaches it there

    rig = Rig(store, {"m:stuck": stuck})
    await rig.open()
    try:
        await rig.deploy(STUCK)
        await rig.runs.start("stuck")
        await rig.until(begun.is_set)
        async with asyncio.timeout(LIMIT_S):
            await rig.engine.close(0.0)
    finally:
        gate.set()
        await rig.crash()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_a_step_that_takes_no_cancel_is_left_behind_and_named(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executor, "CANCEL_GRACE_S", 0.2)
    monkeypatch.setattr(executor, "_GIVEN_UP_S", 0.2)
    gate = asyncio.Event()
    begun: list[int] = []

    async def stuck() -> None:
        begun.append(1)
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    rig = Rig(store, {"m:stuck": stuck})
    await rig.open()
    try:
        await rig.deploy(STUCK)
        run = (await rig.runs.start("stuck"))["id"]
        await rig.until(lambda: bool(begun))
        async with asyncio.timeout(LIMIT_S):
            await rig.engine.close(0.0)
    finally:
        gate.set()
        await rig.crash()
    (said,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert said == f"{run}/s does not let itself be stopped: left behind"


async def test_what_others_wait_for_first_is_part_of_the_time(store: str) -> None:
    gate = asyncio.Event()

    async def stuck() -> None:
        await gate.wait()

    rig = Rig(store, {"m:stuck": stuck})
    await rig.open()
    try:
        await rig.deploy(STUCK)
        await rig.runs.start("stuck")
        rig.engine.stops(0.0)
        before = time.monotonic()
        await rig.engine.close(60.0)
        assert time.monotonic() - before < LIMIT_S
    finally:
        await rig.crash()


@pytest.mark.rule("1.6")
async def test_a_close_waits_for_no_run_that_a_source_waits_for(store: str) -> None:
    rig = Rig(store)
    await rig.open()
    try:
        await rig.deploy(LONG)
        rig.intake.completes = lambda trigger: True
        told: list[Settlement] = []

        async def settle(settlement: Settlement) -> None:
            told.append(settlement)

        await rig.intake.publish("t", Delivery((Event(type="go", source="/t"),), settle))
        await rig.until(lambda: bool(rig.engine.executor.runs))
        async with asyncio.timeout(LIMIT_S):
            await rig.intake.drain()
        assert told == []
    finally:
        await rig.crash()


async def test_a_source_that_takes_no_answer_is_not_waited_for(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CLOSE_S_MAX", 0.2)
    rig = Rig(store)
    await rig.open()
    try:
        begun: list[Any] = []

        async def settle(settlement: Settlement) -> None:
            begun.append(settlement)
            await asyncio.Event().wait()

        await rig.intake.publish("t", Delivery((Event(type="go", source="/t"),), settle))
        await rig.until(lambda: bool(begun))
        async with asyncio.timeout(LIMIT_S):
            await rig.intake.drain()
    finally:
        await rig.crash()


async def test_a_settle_that_does_not_let_itself_be_cancelled_is_named_and_left(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(intake, "CLOSE_S_MAX", 0.2)
    rig = Rig(store)
    await rig.open()
    end = asyncio.Event()
    begun: list[Any] = []

    async def settle(settlement: Settlement) -> None:
        begun.append(settlement)
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    try:
        await rig.intake.publish("orders", Delivery((Event(type="go", source="/t"),), settle))
        await rig.until(lambda: bool(begun))
        async with asyncio.timeout(LIMIT_S):
            await rig.intake.drain()
        assert "`settle` of trigger orders has not ended after 0.2 s: cut off" in caplog.messages
    finally:
        end.set()
        await rig.crash()
