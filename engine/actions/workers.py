"""The worker processes of Python steps with `isolation: process`: spawned, kept while idle, killed on cancel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import Any

import msgspec

from ...core import host
from ...core.errors import ErrorInfo, StepError
from ...core.limits import CANCEL_GRACE_S
from .contract import Call, StateEffect
from .orphans import WARDS
from .process_watch import check_bounds
from .worker import FRAME_HEAD, Reply, Request

PROCESSES_MAX = 16  # workers at once; further steps wait for one
IDLE_MAX = max(1, min(4, os.cpu_count() or 1))  # kept for the next step

_reply = msgspec.json.Decoder(Reply).decode


class Worker:
    """One process and the socket to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self._ticket = WARDS.take("")
        self._ticket.started(process.pid)  # it ends with us by itself; what its steps started does not
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, project: str) -> Worker:
        """Spawn one; it is ready when this returns. Raises StepError `step_crashed`."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", __name__.rpartition(".")[0] + ".worker", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                cwd=project or None,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer)
        try:
            if (await worker.receive()).kind != "ready":
                raise worker.crashed("the worker process")
        except BaseException:
            await worker.kill()
            raise
        return worker

    def limit(self, memory: int | None, cpu_s: float | None) -> None:
        """Bound the memory it may write to (bytes) and its CPU time (seconds), from now on."""
        host.bound(self.process.pid, memory=memory, cpu_s=cpu_s)

    async def send(self, value: Any) -> None:
        """One frame."""
        body = msgspec.json.encode(value)
        self._writer.write(len(body).to_bytes(FRAME_HEAD, "big") + body)
        await self._writer.drain()

    async def receive(self) -> Reply:
        """One frame; raises IncompleteReadError or ConnectionError when the process is gone."""
        head = await self._reader.readexactly(FRAME_HEAD)
        return _reply(await self._reader.readexactly(int.from_bytes(head, "big")))

    async def kill(self, grace_s: float = 0.0) -> None:
        """End it and all it started: SIGTERM, SIGKILL after the grace. Cancelled meanwhile: SIGKILL at once."""
        try:
            if grace_s > 0 and self.process.returncode is None:
                with contextlib.suppress(ProcessLookupError, TimeoutError):
                    self.process.terminate()
                    async with asyncio.timeout(grace_s):
                        await self.process.wait()
        finally:
            self._writer.close()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._ticket.over()
            await asyncio.shield(self.process.wait())

    def crashed(self, name: str) -> StepError:
        """What happened to a process that is gone."""
        code = self.process.returncode
        if code is not None and code < 0:
            number = -code
            if number == signal.SIGXCPU:
                said = f"{name} used more CPU time than `limits.cpu` allows"
                return StepError("resource_limit", said, details={"limit": "cpu"})
            word = signal.Signals(number).name if number in set(signal.Signals) else str(number)
            details = {"signal": word, "exit_code": None}
            return StepError("step_crashed", f"the process of {name} was ended by {word}", details=details)
        details = {"signal": None, "exit_code": code}
        return StepError("step_crashed", f"the process of {name} ended with exit code {code}", details=details)


class Workers:
    """A pool of workers for one project."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._slots = asyncio.Semaphore(PROCESSES_MAX)

    async def run(
        self, call: Call, function: str, args: dict[str, Any], *, memory: int | None = None, cpu_s: float | None = None
    ) -> Any:
        """Call a function in a process; as PythonAction.execute. A limited process serves one call alone."""
        project = call.services.project if call.services is not None else ""
        check_bounds(memory, cpu_s)
        request = Request(
            function=function,
            args=args,
            project=project,
            context=dict(call.context),
            step=call.step,
            attempt=call.attempt,
            key=call.key,
            workflow=call.workflow,
            run=call.run,
            undo=call.undo,
        )
        async with self._slots:
            worker = await self._take(project, fresh=memory is not None or cpu_s is not None)
            try:
                worker.limit(memory, cpu_s)
                await worker.send(request)
                reply = await self._answer(worker, call)
            except (asyncio.IncompleteReadError, ConnectionError):
                await worker.process.wait()
                await worker.kill()
                raise worker.crashed(function) from None
            except BaseException:
                await worker.kill(CANCEL_GRACE_S)
                raise
            if memory is None and cpu_s is None and len(self._idle) < IDLE_MAX:
                self._idle.append(worker)
            else:
                await worker.kill()
        return result_of(reply)

    async def _take(self, project: str, *, fresh: bool) -> Worker:
        while self._idle and not fresh:
            worker = self._idle.pop()
            if worker.process.returncode is None:
                return worker
            await worker.kill()
        return await Worker.start(project)

    async def _answer(self, worker: Worker, call: Call) -> Reply:
        while True:
            reply = await worker.receive()
            if reply.kind == "log":
                if call.log is not None:
                    call.log(reply.level, reply.text, reply.fields)
            elif reply.kind == "progress":
                if call.progress is not None:
                    call.progress(reply.fraction, reply.text)
            elif reply.kind == "get":
                found = await call.services.state(reply.fields["scope"], reply.text) if call.services else None
                await worker.send(None if found is None else found.value)
            else:
                return reply

    async def close(self) -> None:
        """End the idle ones."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.kill() for worker in idle))


def result_of(reply: Reply) -> Any:
    """The output, or raises the error that the function raised there."""
    if reply.error is not None:
        info: ErrorInfo = reply.error
        raise StepError(
            info.code,
            info.message,
            info.class_,
            hint=info.hint,
            details=info.details,
            cause=info.cause,
            retry_after_s=reply.fraction or None,
        )
    return StateEffect(reply.ops, output=reply.value) if reply.ops else reply.value
