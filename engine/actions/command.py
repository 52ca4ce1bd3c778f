"""`command`: a program, in a process group of its own that ends with the step, in a clean environment.

Source: actions.md, section 3 (command).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

from pydantic import BaseModel, Field

from ...connections.fields import Duration, Fault, Keys, Size, Word, shown
from ...core import host
from ...core.charsets import lines_of
from ...core.depth import decoded
from ...core.durations import format_duration, format_size
from ...core.limits import KIB, MIB
from .contract import ActionBase, Call, StepError
from .kept_output import KeptOutput
from .orphans import WARDS
from .pipes import Pipe
from .process_watch import Watch, Watched, check_bounds, kill_group, kill_session

PASSED_ON = ("PATH", "HOME", "LANG", "TZ")
"""The variables of our own environment that a program sees."""
OUTPUT_DEFAULT = 1 * MIB
DETAIL_CHARS_MAX = 2_000
DRAIN_S = 0.2  # for output still on its way when the program has ended; then what holds the pipes is ended too
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)  # others use it up now; later there may be some
_NO_MEMORY = ("MemoryError", "Cannot allocate memory", "bad_alloc", "out of memory", "Out of memory")


class CommandLimits(Keys):
    """`memory` in bytes and `cpu` in seconds for all its processes together; `output` in bytes for each stream."""

    memory: Size | None = Field(default=None, ge=1 * MIB)
    cpu: Duration | None = Field(default=None, ge=1)
    processes: int = Field(default=64, ge=1, le=10_000)
    output: Size = Field(default=OUTPUT_DEFAULT, ge=1 * KIB, le=64 * MIB)


class CommandInput(Keys):
    """`with` of `command`."""

    exactly_one: ClassVar = (("argv", "shell"),)

    argv: list[Word] | None = Field(default=None, min_length=1)
    shell: str | None = Field(default=None, min_length=1)
    env: dict[str, Word] = Field(default_factory=dict)
    cwd: str | None = Field(default=None, min_length=1)
    stdin: str | None = None
    ok: list[int] = Field(default=[0], min_length=1)
    parse: Literal["none", "json", "lines"] = "none"
    grace: Duration = Field(default=10.0, ge=0, le=3_600)
    limits: CommandLimits = CommandLimits()


class CommandAction(ActionBase):
    """Runs programs."""

    name: ClassVar[str] = "command"
    Input: ClassVar[type[BaseModel] | None] = CommandInput
    errors: ClassVar[tuple[str, ...]] = (
        *("command.exit", "command.not_found", "timeout", "resource_limit", "forbidden", "file_not_found"),
        *("invalid_output", "invalid_input", "too_large"),
    )
    key_goes: ClassVar[str] = "environment variable REACTOR_IDEMPOTENCY_KEY"
    output: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "exit_code": {"type": "integer"},
            "stdout": {"type": "string"},
            "stderr": {"type": "string"},
            "json": {},
            "lines": {"type": ["array", "null"], "items": {"type": "string"}},
            "truncated": {"type": "boolean"},
            "duration_ms": {"type": "integer"},
        },
        "required": ["exit_code", "stdout", "stderr", "json", "lines", "truncated", "duration_ms"],
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self._watch = Watch()

    def check(self, with_: Any) -> list[Fault]:
        """No `${{ }}` in `shell`: a value would be taken for code."""
        shell = cast("Mapping[str, Any]", with_).get("shell") if isinstance(with_, Mapping) else None
        if isinstance(shell, str) and "${{" in shell:
            said = "`${{ }}` is refused here, where a value could become code"
            return [("shell", f'{said}: pass it by `env` and write "$NAME"')]
        return []

    async def execute(self, call: Call) -> dict[str, Any]:
        """Run it to its end; the output, or StepError `command.exit` and others. Cancelled, it ends the whole group."""
        given: CommandInput = call.inputs
        begun = call.clock.monotonic()
        program = _Program(given, _folder(given, call), environment(given.env, call))
        limits = given.limits
        ticket = WARDS.take(call.key)
        try:
            await program.start()
            ticket.started(program.pid)
            watched = Watched(program.pid, limits.memory, limits.cpu, limits.processes)
            self._watch.add(watched)
            try:
                await program.finish(given.stdin)
            except BaseException:
                await program.end(given.grace)
                raise
            finally:
                self._watch.remove(watched)
        finally:
            ticket.over()
        if watched.exceeded:
            raise _over(program.title, watched, limits)
        return program.result(given, round((call.clock.monotonic() - begun) * 1000))


def environment(extra: Mapping[str, str], call: Call) -> dict[str, str]:
    """What a program sees: a few variables of ours, those of the step, and what it needs to be idempotent."""
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env.setdefault("PATH", os.defpath)
    env.update(extra)
    env.update(REACTOR_IDEMPOTENCY_KEY=call.key, REACTOR_RUN=call.run, REACTOR_STEP=call.step)
    if call.traceparent:
        env["TRACEPARENT"] = call.traceparent
        if call.tracestate:
            env["TRACESTATE"] = call.tracestate
    return env


def _folder(given: CommandInput, call: Call) -> str:
    project = call.services.project if call.services is not None else ""
    return os.path.abspath(os.path.join(project, given.cwd or ""))


class _Program:
    """One process group from its start to its end."""

    def __init__(self, given: CommandInput, folder: str, env: dict[str, str]) -> None:
        self._argv = given.argv if given.argv is not None else ["/bin/sh", "-c", given.shell or ""]
        self.title = self._argv[0] if given.argv is not None else "the shell command"
        self._folder = folder
        self._env = env
        self._limits = given.limits
        self._grace_s = given.grace
        self._stdout = KeptOutput(given.limits.output)
        self._stderr = KeptOutput(given.limits.output)
        self._process: asyncio.subprocess.Process | None = None
        self._pipes: list[Pipe] = []
        self._stdin = given.stdin is not None

    @property
    def pid(self) -> int:
        """Of the leader: also the group's and the session's."""
        return self._started.pid

    @property
    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        """Start it; raises StepError: no such program or folder, not allowed, unfit arguments."""
        if not os.path.isdir(self._folder):  # noqa: ASYNC240  # one look, at the disk that the program starts from
            raise StepError("file_not_found", f"the working folder {self._folder} does not exist")
        if any("\0" in text for text in (*self._argv, *self._env, *self._env.values())):
            said = "an argument or a variable holds a null character"
            raise StepError("invalid_input", f"`{self.title}` cannot be started: {said}")
        # Pipes of our own: asyncio's `wait` waits for its pipes too, which a process left behind may hold open.
        check_bounds(self._limits.memory, self._limits.cpu)
        try:
            for _ in range(3):
                self._pipes.append(Pipe())
        except OSError as e:
            self._close_pipes()
            raise _unstartable(self.title, e) from e
        feed, out, err = self._pipes
        spawning = asyncio.ensure_future(self._spawn())
        try:
            self._process = await asyncio.shield(spawning)
        except asyncio.CancelledError:
            await self._end_at_start(spawning)
            raise
        finally:
            if self._process is None:
                self._close_pipes()
        feed.close_read()
        out.close_write()
        err.close_write()
        self._bound()

    async def _end_at_start(self, spawning: asyncio.Future[asyncio.subprocess.Process]) -> None:
        """Cancelled before the loop has told of its start: it may run already, and is ended like any other."""
        grace_s = self._grace_s
        while not spawning.done():
            try:
                await asyncio.wait([spawning])
            except asyncio.CancelledError:
                grace_s = 0.0
        if spawning.exception() is None:
            self._process = spawning.result()
            self._close_pipes()
            await self.end(grace_s)

    async def _spawn(self) -> asyncio.subprocess.Process:
        feed, out, err = self._pipes
        try:
            return await asyncio.create_subprocess_exec(
                *self._argv,
                cwd=self._folder,
                env=self._env,
                stdin=feed.read_end if self._stdin else asyncio.subprocess.DEVNULL,
                stdout=out.write_end,
                stderr=err.write_end,
                start_new_session=True,
            )
        except FileNotFoundError as e:
            hint = f"PATH is {self._env['PATH']}; the working folder is {self._folder}"
            raise StepError("command.not_found", f"there is no program `{self.title}`", hint=hint) from e
        except PermissionError as e:
            raise StepError("forbidden", f"`{self.title}` may not be executed: {e.strerror}") from e
        except ValueError as e:
            raise StepError("invalid_input", f"`{self.title}` cannot be started: {e}") from e
        except OSError as e:
            raise _unstartable(self.title, e) from e

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close_read()
            pipe.close_write()

    def _bound(self) -> None:
        """The kernel's own limits, for each process; the watch adds up all of them."""
        host.bound(self.pid, memory=self._limits.memory, cpu_s=self._limits.cpu, core=False)

    async def finish(self, stdin: str | None) -> None:
        """Feed it, take its output, wait for its end, and end what it left behind."""
        process = self._started
        feed, out, err = self._pipes
        readers = [
            asyncio.ensure_future(out.read_all(self._stdout)),
            asyncio.ensure_future(err.read_all(self._stderr)),
        ]
        feeder = asyncio.ensure_future(feed.write_all((stdin or "").encode()))
        try:
            await process.wait()
            await asyncio.wait(readers, timeout=DRAIN_S)
            kill_session(self.pid)
            await asyncio.wait(readers, timeout=DRAIN_S)
        finally:
            tasks = (*readers, feeder)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._close_pipes()

    async def end(self, grace_s: float) -> None:
        """SIGTERM for the group, SIGKILL after the grace, or at once when cancelled again; waits until all are gone."""
        process = self._started
        try:
            if process.returncode is None and kill_group(self.pid, signal.SIGTERM) and grace_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace_s):
                        await process.wait()
        finally:
            kill_session(self.pid)
            await asyncio.shield(process.wait())

    def result(self, given: CommandInput, duration_ms: int) -> dict[str, Any]:
        """The output of a program that has ended; raises StepError if its end is no success."""
        code = self._started.returncode or 0
        stdout, stderr = self._stdout.text(), self._stderr.text()
        truncated = self._stdout.truncated or self._stderr.truncated
        if code not in given.ok:
            raise self._failed(code, stdout, stderr)
        parsed: Any = None
        if given.parse == "json":
            parsed = self._json(stdout)
        return {
            "exit_code": code,
            "stdout": stdout,
            "stderr": stderr,
            "json": parsed,
            "lines": lines_of(stdout) if given.parse == "lines" else None,
            "truncated": truncated,
            "duration_ms": duration_ms,
        }

    def _json(self, stdout: str) -> Any:
        if self._stdout.truncated:
            limit = format_size(self._limits.output)
            raise StepError(
                "too_large",
                f"`{self.title}` wrote {self._stdout.total} bytes, to be parsed as JSON; {limit} are kept",
                hint="raise `limits.output`",
            )
        try:
            return decoded(stdout)
        except ValueError as e:
            raise StepError(
                "invalid_output", f"`{self.title}` did not write JSON: {e}; found {shown(stdout)}"
            ) from None

    def _failed(self, code: int, stdout: str, stderr: str) -> StepError:
        details = {"exit_code": code, "stdout": stdout[-DETAIL_CHARS_MAX:], "stderr": stderr[-DETAIL_CHARS_MAX:]}
        number = -code if code < 0 else code - 128 if code > 128 else 0
        word = signal.Signals(number).name if number in set(signal.Signals) else ""
        if word:
            details["signal"] = word
        limits = self._limits
        if number == signal.SIGXCPU and limits.cpu is not None:
            return StepError(
                "resource_limit", f"`{self.title}` used more than {_shown(limits, 'cpu')}", details=details
            )
        if limits.memory is not None and any(text in stderr for text in _NO_MEMORY):
            said = f"`{self.title}` wanted more than {_shown(limits, 'memory')}"
            return StepError("resource_limit", said, details=details)
        last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "")
        said = f": {last.strip()[:300]}" if last else ""
        how = f"was ended by {word}" if code < 0 and word else f"ended with exit code {code}"
        return StepError("command.exit", f"`{self.title}` {how}{said}", details=details)


def _unstartable(title: str, error: OSError) -> StepError:
    said = f"`{title}` cannot be started: {error.strerror}"
    if error.errno in _SCARCE:
        return StepError(
            "resource_limit", said, "retry", hint="raise what this process may have: LimitNOFILE, TasksMax"
        )
    return StepError("too_large" if error.errno == errno.E2BIG else "forbidden", said)


def _shown(limits: CommandLimits, name: str) -> str:
    if name == "memory":
        return f"{format_size(limits.memory or 0)} of memory (`limits.memory`)"
    if name == "cpu":
        return f"{format_duration(limits.cpu or 0)} of CPU time (`limits.cpu`)"
    return f"{limits.processes} processes at once (`limits.processes`)"


def _over(title: str, watched: Watched, limits: CommandLimits) -> StepError:
    return StepError(
        "resource_limit",
        f"`{title}` used more than {_shown(limits, watched.exceeded)}: {watched.found}",
        details={"limit": watched.exceeded, "found": watched.found},
    )
