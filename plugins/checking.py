"""`reactor plugin check`: the public suite over what a plugin supplies, and the guarantee that it earned.

The suite is the plugin's own subclass of `TriggerSuite` or `ActionSuite`, named by an entry point `reactor.suites` of
the same name. It runs in a process of its own, so that whatever the plugin does there ends with it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from ..core.errors import ConfigError
from ..core.limits import CHECK_S_MAX
from ..language.diagnostics import did_you_mean
from .found import SUITES, Found, What, discover
from .loading import Loader


class Outcome(Struct, frozen=True):
    """One test of the suite. `excused`: the suite itself left it out, because of a trait that is not declared."""

    name: str
    outcome: Literal["passed", "failed", "excused"]
    message: str = ""


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

    Raises ConfigError if nothing that is installed has this name.
    """
    everything = discover() if found is None else list(found)
    wanted = [each for each in everything if name == each.plugin or name in each.words or name == each.name]
    if not wanted:
        names = sorted({word for each in everything for word in (each.plugin, *each.words)})
        hint = did_you_mean(name, names) or "install it first: pip install -e FOLDER"
        raise ConfigError(
            f"no installed plugin is called `{name}`, and none supplies a kind or action of that name", hint=hint
        )
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
        report = Path(folder, "report.json")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", f"{__package__}.suite_child", found.suite, found.what, str(report),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(limit_s):
                said, _ = await child.communicate()
        except TimeoutError:
            return (), f"the suite of {found.name} did not end within {limit_s:g} s", "see which of its tests hangs"
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return _told(found, report, said, child.returncode)


def _told(found: Found, report: Path, said: bytes, ended: int | None) -> tuple[tuple[Outcome, ...], str, str]:
    if not report.exists():
        lines = said.decode(errors="replace").strip().splitlines()
        problem = f"the process of the suite of {found.name} ended with {ended} before its report"
        return (), f"{problem}: {lines[-1]}" if lines else problem, "run the plugin's own tests with pytest"
    told = msgspec.json.decode(report.read_bytes(), type=_Told)
    return told.tests, told.problem, told.hint


class _Told(Struct):
    """What `suite_child` writes."""

    tests: tuple[Outcome, ...] = ()
    problem: str = ""
    hint: str = ""
