"""`reactor plugin check`: the public suite over what a plugin supplies, and the guarantee that it earned.

The suite is the plugin's own subclass of `TriggerSuite` or `ActionSuite`, named by an entry point `reactor.suites` of
the same name. It runs in a process of its own, so that whatever the plugin does there ends with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..core.errors import PermanentError, shortened
from ..core.limits import CHECK_S_MAX, CHECK_TEST_S_MAX, KIB
from ..language.diagnostics import did_you_mean
from .found import SUITES, Found, What, discover
from .loading import Loader


class Outcome(Struct, frozen=True):
    """One test of the suite. `excused`: the suite itself left it out, because of a trait that is not declared.

    Of one that failed: `place` is the line of the plugin where it raised or waited, empty if it had no part in it, and
    `promise` what the suite asks for.
    """

    name: str
    outcome: Literal["passed", "failed", "excused"]
    message: str = ""
    place: str = ""
    promise: str = ""


class Checked(Struct, frozen=True):
    """What the suite says of one kind or action.

    `declared` is the guarantee that a trigger's traits promise, `earned` the same if every test of the suite passed or
    was excused by those traits, else empty; actions have neither. `problem` says why no test ran.
    """

    what: What
    name: str
    plugin: str
    version: str
    declared: str = ""
    earned: str = ""
    tests: tuple[Outcome, ...] = ()
    problem: str = ""
    hint: str = ""

    @property
    def passed(self) -> bool:
        """Did the suite run, and nothing fail?"""
        ran = any(each.outcome == "passed" for each in self.tests)
        return not self.problem and ran and all(each.outcome != "failed" for each in self.tests)


async def check_plugin(
    name: str, found: Sequence[Found] | None = None, *, limit_s: float = CHECK_S_MAX
) -> list[Checked]:
    """Check all that a plugin supplies, or one kind or action by any of its names; `found` as in Plugins.

    Raises PermanentError `not_found` if nothing that is installed has this name.
    """
    everything = discover() if found is None else list(found)
    wanted = [each for each in everything if name == each.plugin or name in each.words or name == each.name]
    if not wanted:
        names = sorted({word for each in everything for word in (each.plugin, *each.words)})
        hint = did_you_mean(name, names) or "install it first: pip install -e FOLDER"
        message = f"no installed plugin is called `{name}`, and none supplies a kind or action of that name"
        raise PermanentError(message, code="not_found", hint=hint)
    return [await _checked(each, limit_s) for each in wanted]


async def _checked(found: Found, limit_s: float) -> Checked:
    plain = Checked(found.what, found.name, found.plugin, found.version)
    if not found.words:
        return msgspec.structs.replace(plain, problem=found.problem, hint=found.hint)
    loader = Loader(found)
    loader.start()
    status = loader.status()
    if status.state != "loaded":
        return msgspec.structs.replace(plain, problem=status.problem, hint=status.hint)
    declared = loader().traits.guarantee if found.what == "trigger" else ""
    plain = msgspec.structs.replace(plain, declared=declared)
    if not found.suite:
        base = "TriggerSuite" if found.what == "trigger" else "ActionSuite"
        problem = f"{found.plugin} ships no suite for {found.name}: nothing is proven"
        hint = f"name a subclass of {base} in an entry point `{SUITES}`: {found.name} = module:Class"
        return msgspec.structs.replace(plain, problem=problem, hint=hint)
    tests, problem, hint = await _run(found, limit_s)
    checked = msgspec.structs.replace(plain, tests=tests, problem=problem, hint=hint)
    return msgspec.structs.replace(checked, earned=declared) if checked.passed else checked


async def _run(found: Found, limit_s: float) -> tuple[tuple[Outcome, ...], str, str]:
    """The suite in its own process: the tests, or why there are none, and what to do."""
    with tempfile.TemporaryDirectory(prefix="reactor-check-") as folder:
        report, said = Path(folder, "report.jsonl"), Path(folder, "said.txt")
        test_s = str(min(CHECK_TEST_S_MAX, limit_s))
        output = await asyncio.to_thread(said.open, "wb")  # no pipe: a program that is left behind would keep it open
        with output:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", f"{__package__}.suite_child",
                found.suite, found.what, found.target, str(report), test_s,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        try:
            async with asyncio.timeout(limit_s):
                await child.wait()
        except TimeoutError:
            problem = f"the suite of {found.name} did not end within {limit_s:g} s"
            tests = _seen(report).outcomes(f"it had not ended after {limit_s:g} s, the limit of the whole suite")
            return tests, problem, "see which of its tests hangs, or what it waits for when it is imported"
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                await child.wait()
        return _told(found, _seen(report), await asyncio.to_thread(_tail, said), child.returncode or 0)


def _tail(said: Path) -> bytes:
    """The last of what it printed, whatever the amount."""
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - 64 * KIB))
        return file.read()


def _told(found: Found, seen: _Seen, said: bytes, ended: int) -> tuple[tuple[Outcome, ...], str, str]:
    """The tests, and what is wrong with the whole."""
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    how = f"by {signal.Signals(-ended).name}" if ended < 0 else f"with exit code {ended}"
    last = next((line for line in lines if line.startswith("Fatal Python error")), lines[-1] if lines else "")
    words = f": {shortened(last.strip())}" if last else ""
    tests = seen.outcomes(f"it ended the process, {how}{words}")
    if seen.problem or not seen.promises:
        hint = "run the plugin's own tests with pytest"
        early = f"the process of the suite of {found.name} ended {how} before its report{words}"
        return tests, seen.problem or early, seen.hint or hint
    missing = len(seen.promises.keys() - {test.name for test in tests})
    if missing:
        return tests, f"{missing} of {len(seen.promises)} tests did not run", "correct what failed, and check again"
    return tests, "", ""


class _Seen(Struct):
    """What `suite_child` wrote, as far as it came."""

    tests: dict[str, Outcome] = {}
    promises: dict[str, str] = {}
    begun: str = ""
    ended: bool = False
    problem: str = ""
    hint: str = ""

    def outcomes(self, broken_off: str) -> tuple[Outcome, ...]:
        """Every test that ran or was excused; `broken_off` is what is wrong with the one that never ended."""
        tests = dict(self.tests)
        if self.begun and not self.ended and self.begun not in tests:
            tests[self.begun] = Outcome(self.begun, "failed", broken_off)
        return tuple(
            msgspec.structs.replace(each, promise=self.promises.get(each.name, ""))
            if each.outcome == "failed"
            else each
            for each in tests.values()
        )


def _seen(report: Path) -> _Seen:
    seen = _Seen({}, {})
    lines = report.read_bytes().splitlines() if report.exists() else []
    for line in lines:
        try:
            told: dict[str, Any] = msgspec.json.decode(line)
            if "outcome" in told:
                outcome = msgspec.convert(told, Outcome)
                seen.tests[outcome.name] = outcome
            else:
                for name, value in told.items():
                    setattr(seen, name, value)
        except (msgspec.DecodeError, msgspec.ValidationError, AttributeError):
            continue  # the last one, cut in two
    return seen
