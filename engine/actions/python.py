"""`python`: a function of the project or of an installed package, in the loop, a thread or a process of its own.

A plain function runs in a thread unless the step's `isolation` says otherwise. Source: actions.md, section 3 (python).
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, ClassVar, cast

from msgspec import Struct
from pydantic import BaseModel, Field

from ...connections.fields import Duration, Keys, Size
from ...core.errors import StepError, is_ctrl_c, is_given_up
from ...language.python_step import is_step_class
from .calling import (
    CONTEXT,
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
from .contract import ActionBase, Call, Services, StateEffect
from .functions import is_registered_form, is_unread, split_reference
from .threads import Threads
from .workers import Workers

THREADS_MAX = 64  # plain functions that run at once; further ones wait for a thread


class PythonLimits(Keys):
    """Of a process: `memory` in bytes, `cpu` in seconds."""

    memory: Size | None = Field(default=None, ge=16 * 1024 * 1024)
    cpu: Duration | None = Field(default=None, ge=1)


class PythonInput(Keys):
    """`with` of `python`."""

    function: str = Field(min_length=1, examples=["shop.orders:charge"])
    args: dict[str, Any] = Field(default_factory=dict)
    limits: PythonLimits | None = None


class PlainInput(Struct, frozen=True):
    """A `with` of nothing but a function and its arguments, as most are: it needs no model to be judged."""

    function: str
    args: dict[str, Any]
    limits: None = None


class Stopped(BaseException):
    """Raised inside a thread whose step was cancelled; no Exception, so that `except Exception` does not take it."""


class PythonAction(ActionBase):
    """Calls Python functions and `Step` classes."""

    name: ClassVar[str] = "python"
    Input: ClassVar[type[BaseModel] | None] = PythonInput
    errors: ClassVar[tuple[str, ...]] = ("*",)
    key_goes: ClassVar[str] = "context.idempotency_key"

    def __init__(self) -> None:
        self._compiled: dict[str, Compiled | StepClass] = {}
        self._threads = Threads(THREADS_MAX, "reactor-step")
        self._workers: Workers | None = None
        self._importing: dict[str, asyncio.Future[Any]] = {}

    def check(self, with_: Any) -> list[tuple[str, str]]:
        """The form of `function`, where it is no template."""
        reference = cast("dict[str, Any]", with_).get("function") if isinstance(with_, dict) else None
        if not isinstance(reference, str) or ":" not in reference or "${{" in reference:
            return []
        if split_reference(reference) is not None or is_registered_form(reference):
            return []
        return [("function", f"expected module:name, such as shop.orders:charge; found {reference!r}")]

    def usual_input(self, rendered: Any) -> PlainInput | None:
        """The usual `with`, read at once; None: the model has to look at it."""
        if rendered.__class__ is dict and len(rendered) == 2:
            function, args = rendered.get("function"), rendered.get("args")
            if function.__class__ is str and args.__class__ is dict and function:
                return PlainInput(function, args)
        return None

    def compensable(self, target: Any) -> bool:
        """Does this function or class say how to undo it?"""
        return is_step_class(target) and StepClass(target, target.__name__).compensate is not None

    async def execute(self, call: Call) -> Any:
        """Call it; the result as JSON, or a StateEffect around it if `context.state` was changed."""
        given: PythonInput | PlainInput = call.inputs
        if call.isolation == "process":
            return await self._in_process(call, given)
        if given.limits is not None:
            raise StepError("config", "`limits` of a Python step need `isolation: process` on the step")
        reference, services = given.function, call.services
        if services is None:
            raise StepError("config", "this engine was given no functions")
        compiled = self._compiled.get(reference)
        target: Any
        if compiled is not None or not is_unread(reference):
            target = services.function(reference)
        else:
            target = await self._first(services, reference)
        if compiled is None or compiled.target != target:
            compiled = StepClass(target, reference) if is_step_class(target) else Compiled(target, reference)
            self._compiled[reference] = compiled
        if isinstance(compiled, StepClass):
            return await self._step_class(call, compiled, given.args)
        kwargs = compiled.bind(given.args) if given.args or compiled.required else {}
        if compiled.is_async and not compiled.wants_context and call.isolation is None:
            try:
                return compiled.accept(await target(**kwargs))
            except BaseException as e:
                if (ours := _raised(e, compiled.name)) is e:
                    raise
                raise ours from e
        state: State | None = None
        stop = threading.Event() if not compiled.is_async or call.isolation == "thread" else None
        if compiled.wants_context:
            context = make_context(call, stop, threaded=self._threaded(compiled, call))
            state = context.state
            kwargs[CONTEXT] = context
        result = await self._invoke(call, compiled, target, kwargs, stop)
        return StateEffect(tuple(state.ops), output=result) if state is not None and state.ops else result

    async def _first(self, services: Services, reference: str) -> Any:
        """A function whose module is not there yet: it is imported in a thread, once for all who wait for it."""
        importing = self._importing.get(reference)
        if importing is None:
            importing = self._importing[reference] = self._threads.run(partial(_import, services, reference))
            importing.add_done_callback(lambda through: self._imported(reference, through))
        return await asyncio.shield(importing)

    def _imported(self, reference: str, through: asyncio.Future[Any]) -> None:
        del self._importing[reference]
        if not through.cancelled():
            through.exception()  # nobody may be left who waits for it

    async def _step_class(self, call: Call, step: StepClass, args: Mapping[str, Any]) -> Any:
        stop = threading.Event()
        result: Any = None
        ops: list[Any] = []
        instance = step.target()
        for method, compiled in step.calls(call.undo):
            context = make_context(call, stop, threaded=self._threaded(compiled, call))
            kwargs = compiled.bind(own_arguments(compiled, args, method))
            given_to(compiled, kwargs, context_values(context))
            result = await self._invoke(call, compiled, getattr(instance, method), kwargs, stop)
            ops += context.state.ops
            if method == "validate_input":
                refusal = refused(step.name, result)
                if refusal is not None:
                    raise refusal
        return StateEffect(tuple(ops), output=result) if ops else result

    @staticmethod
    def _threaded(compiled: Compiled, call: Call) -> bool:
        if call.isolation is None:
            return not (compiled.is_async or compiled.streams)
        return call.isolation == "thread"

    async def _invoke(
        self, call: Call, compiled: Compiled, target: Any, kwargs: dict[str, Any], stop: threading.Event | None
    ) -> Any:
        try:
            if self._threaded(compiled, call):
                return await self._in_thread(compiled, target, kwargs, stop or threading.Event())
            if compiled.is_async:
                return compiled.accept(await target(**kwargs))
            return await finish(compiled, target(**kwargs))
        except BaseException as e:
            if (ours := _raised(e, compiled.name)) is e:
                raise
            raise ours from e

    async def _in_thread(self, compiled: Compiled, target: Any, kwargs: dict[str, Any], stop: threading.Event) -> Any:
        """Run it in a thread; cancelled, ask it to stop, and wait until it has (semantics 9.3)."""
        job = _ThreadJob(compiled, target, kwargs)
        future = self._threads.run(partial(copy_context().run, job.run))
        try:
            returned = await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            job.stop()
            await asyncio.wait([future])  # cancelled again (`--force`), it is left to itself
            if not future.cancelled():
                future.exception()
            raise
        if hasattr(returned, "__await__"):  # a plain function that made a coroutine
            return await finish(compiled, returned)
        return returned

    async def _in_process(self, call: Call, given: PythonInput | PlainInput) -> Any:
        if self._workers is None:
            self._workers = Workers()
        limits = given.limits or PythonLimits()
        return await self._workers.run(call, given.function, given.args, memory=limits.memory, cpu_s=limits.cpu)

    async def close(self) -> None:
        """End the worker processes; threads end with their functions."""
        if self._workers is not None:
            await self._workers.close()
            self._workers = None
        self._threads.close()


class _ThreadJob:
    """A function in a thread of the pool, that can be asked to stop while it runs, and only then."""

    def __init__(self, compiled: Compiled, target: Any, kwargs: dict[str, Any]) -> None:
        self._compiled = compiled
        self._target = target
        self._kwargs = kwargs
        self._lock = threading.Lock()
        self._thread = 0
        self._stopped = False

    def run(self) -> Any:
        with self._lock:
            if self._stopped:
                return None
            self._thread = threading.get_ident()
        try:
            try:
                return self._call()
            finally:
                with self._lock:
                    self._thread = 0
                if self._stopped:
                    _let_come()
        except Stopped:
            return None
        except (GeneratorExit, KeyboardInterrupt) as e:  # in a thread they are nobody's but the function's
            raise error_of(e, self._compiled.name) from e

    def _call(self) -> Any:
        if self._compiled.is_async or self._compiled.streams:
            return asyncio.run(_all(self._compiled, self._target, self._kwargs))
        returned = self._target(**self._kwargs)
        if hasattr(returned, "__await__"):
            return returned
        return self._compiled.accept(returned)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._thread:
                _raise_in(self._thread, Stopped)


def _raised(error: BaseException, name: str) -> BaseException:
    """What to raise in place of what a step raised: our error, or the cancellation itself if it came from outside."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is None or task.cancelling():
            return error
    return error if isinstance(error, Stopped) or is_given_up(error) or is_ctrl_c(error) else error_of(error, name)


def _import(services: Services, reference: str) -> Any:
    try:
        return services.function(reference)
    except (GeneratorExit, KeyboardInterrupt) as e:  # in a thread they are nobody's but the module's
        raise error_of(e, reference) from e


async def _all(compiled: Compiled, target: Any, kwargs: dict[str, Any]) -> Any:
    return await finish(compiled, target(**kwargs))


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    """Raise an exception in another thread at its next byte code.

    It is never taken back: CPython 3.11 would then look for it at every byte code of every thread, for ever.
    """
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def _let_come() -> None:
    """An exception that was raised in this thread from outside comes here at the latest, not in what runs next."""
    nothing = threading.Event()
    for _ in range(100):
        nothing.wait(0)


def make_context(call: Call, stop: threading.Event | None, *, threaded: bool) -> Context:
    """The context of a call; in a thread its `state.get` waits for the loop."""
    fetch: Callable[[str, str], Any] = _reader(call)
    log, progress = call.log, call.progress
    if threaded:
        loop = asyncio.get_running_loop()
        read = fetch

        def fetch_there(scope: str, key: str) -> Any:
            return asyncio.run_coroutine_threadsafe(read(scope, key), loop).result()

        fetch = fetch_there
        log = _from_thread(loop, call.log)
        progress = _from_thread(loop, call.progress)
    return Context(
        call.context,
        step=call.step,
        attempt=call.attempt,
        key=call.key,
        state=State(call.workflow, call.run, fetch),
        log=log,
        progress=progress,
        cancelled=stop.is_set if stop is not None else _never,
    )


def _never() -> bool:
    return False


def _from_thread(loop: asyncio.AbstractEventLoop, function: Callable[..., None] | None) -> Callable[..., None] | None:
    if function is None:
        return None
    return lambda *args: loop.call_soon_threadsafe(function, *args) and None


def _reader(call: Call) -> Callable[[str, str], Awaitable[Any]]:
    async def read(scope: str, key: str) -> Any:
        if call.services is None:
            return None
        found = await call.services.state(scope, key)
        return None if found is None else found.value

    return read
