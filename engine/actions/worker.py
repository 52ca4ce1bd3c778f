"""A worker process for Python steps with `isolation: process`: one call after the other, told over a socket.

Started as `python -P -m reactor.engine.actions.worker FD`. Frames are a length (4 bytes, big-endian) and JSON. It
ends with its parent, on SIGTERM (after the step's own clean-up), and when the socket closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import io
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from ...core.errors import ErrorInfo, StepError
from ...language.python_step import is_step_class
from .calling import (
    Compiled,
    StepClass,
    context_values,
    error_of,
    finish,
    given_to,
    own_arguments,
    refused,
)
from .context import Context, State
from .contract import StateOp
from .functions import resolve

FRAME_HEAD = 4
LINE_CHARS_MAX = 8_192


class Request(msgspec.Struct):
    """One call."""

    function: str
    args: dict[str, Any]
    project: str
    context: dict[str, Any]
    step: str = ""
    attempt: int = 1
    key: str = ""
    workflow: str = ""
    run: str = ""
    undo: bool = False


class Reply(msgspec.Struct, omit_defaults=True):
    """What a worker says: a log line, progress, a question for a durable value, or the end: a result or an error."""

    kind: str  # log progress get result error ready
    level: str = "info"
    text: str = ""
    fields: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    fraction: float = 0.0
    value: Any = None
    error: ErrorInfo | None = None
    ops: tuple[StateOp, ...] = ()


class Stopped(BaseException):
    """SIGTERM: the step ends with its `finally` blocks."""


class Channel:
    """The socket to the parent, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, reply: Reply) -> None:
        body = msgspec.json.encode(reply)
        self._sock.sendall(len(body).to_bytes(FRAME_HEAD, "big") + body)

    def receive(self) -> bytes | None:
        head = self._exactly(FRAME_HEAD)
        return None if head is None else self._exactly(int.from_bytes(head, "big"))

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            part = self._sock.recv(min(1 << 20, size - len(parts)))
            if not part:
                return None
            parts += part
        return bytes(parts)


class LogLines(io.TextIOBase):
    """What the step prints, as lines of the run's log."""

    def __init__(self, channel: Channel, level: str) -> None:
        self._channel = channel
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str) -> int:
        self._rest += text
        while "\n" in self._rest or len(self._rest) > LINE_CHARS_MAX:
            line, _, self._rest = self._rest.partition("\n")
            self._rest = line[LINE_CHARS_MAX:] + self._rest
            self._channel.send(Reply("log", level=self._level, text=line[:LINE_CHARS_MAX]))
        return len(text)

    def finish(self) -> None:
        if self._rest:
            self.write("\n")


def carry_out(request: Request, channel: Channel) -> Reply:
    """One call; an error of ours or of the function becomes a reply too."""

    def ask(scope: str, key: str) -> Any:
        channel.send(Reply("get", text=key, fields={"scope": scope}))
        body = channel.receive()
        return None if body is None else msgspec.json.decode(body)

    ops: list[StateOp] = []
    try:
        target = resolve(request.function, request.project)
        value = _call(request, target, channel, ask, ops)
        return _sendable(Reply("result", value=value, ops=tuple(ops)))
    except Stopped:
        raise
    except BaseException as e:  # noqa: BLE001  # whatever the step raises is its error
        error = error_of(e, request.function)
        return Reply("error", error=error.info(), fraction=getattr(error, "retry_after_s", None) or 0.0)


def _sendable(reply: Reply) -> Reply:
    try:
        msgspec.json.encode(reply)
    except ValueError as e:
        raise StepError("invalid_output", f"the returned value is not JSON: {e}") from None
    return reply


def _call(request: Request, target: Any, channel: Channel, ask: Any, ops: list[StateOp]) -> Any:
    if not is_step_class(target):
        compiled = Compiled(target, request.function)
        return _invoke(compiled, target, compiled.bind(request.args), request, channel, ask, ops)
    step = StepClass(target, request.function)
    instance: Any = target()
    result: Any = None
    for method, compiled in step.calls(request.undo):
        kwargs = compiled.bind(own_arguments(compiled, request.args, method))
        result = _invoke(compiled, getattr(instance, method), kwargs, request, channel, ask, ops)
        if method == "validate_input":
            refusal = refused(step.name, result)
            if refusal is not None:
                raise refusal
    return result


def _invoke(
    compiled: Compiled,
    target: Any,
    kwargs: dict[str, Any],
    request: Request,
    channel: Channel,
    ask: Any,
    ops: list[StateOp],
) -> Any:
    asynchronous = compiled.is_async or compiled.streams

    async def ask_later(scope: str, key: str) -> Any:
        return ask(scope, key)

    def log(level: str, message: str, fields: Mapping[str, Any]) -> None:
        channel.send(Reply("log", level=level, text=message, fields=dict(fields)))

    def progress(fraction: float, message: str) -> None:
        channel.send(Reply("progress", fraction=fraction, text=message))

    if compiled.wants_context:
        state = State(request.workflow, request.run, ask_later if asynchronous else ask)
        context = Context(
            request.context,
            step=request.step,
            attempt=request.attempt,
            key=request.key,
            state=state,
            log=log,
            progress=progress,
            cancelled=lambda: False,
        )
        given_to(compiled, kwargs, context_values(context))
        state.ops = ops
    if not asynchronous:
        returned = target(**kwargs)
        if not hasattr(returned, "__await__"):
            return compiled.accept(returned)
        return asyncio.run(_awaited(compiled, returned))
    return asyncio.run(_started(compiled, target, kwargs))


async def _awaited(compiled: Compiled, returned: Any) -> Any:
    return await finish(compiled, returned)


async def _started(compiled: Compiled, target: Any, kwargs: dict[str, Any]) -> Any:
    return await finish(compiled, target(**kwargs))


def _stop(number: int, frame: object) -> None:
    raise Stopped


def serve(sock: socket.socket) -> None:
    """Answer calls until the parent is gone."""
    channel = Channel(sock)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    out, err = LogLines(channel, "info"), LogLines(channel, "warning")
    channel.send(Reply("ready"))
    while (body := channel.receive()) is not None:
        request = msgspec.json.decode(body, type=Request)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            reply = carry_out(request, channel)
        out.finish()
        err.finish()
        channel.send(reply)


def main() -> None:
    """End with the parent, then serve."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    try:
        serve(socket.socket(fileno=int(sys.argv[1])))
    except (Stopped, BrokenPipeError, ConnectionResetError):
        sys.exit(0)


if __name__ == "__main__":
    main()
