"""The process in which `reactor plugin check` runs a suite, started with SUITE WHAT TARGET REPORT LIMIT.

SUITE and TARGET (what is to be tested) are `module:Class`, WHAT is `trigger` or `action`. REPORT is the file that gets
a line of JSON for all that happens, so that what was seen is not lost with the process; LIMIT is the seconds that one
test may take.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

_OURS = (__package__ or "").partition(".")[0]
_BASES = {"trigger": "TriggerSuite", "action": "ActionSuite"}
_NEEDED = {"trigger": ("trigger", "rig"), "action": ("action",)}


class Outcomes:
    """Writes down what pytest reports of each test; of its three phases the first that fails counts."""

    def __init__(self, report: Path, limit_s: float) -> None:
        self._report = report
        self._limit_s = limit_s
        self._main = threading.get_ident()
        self._own: tuple[str, ...] = ()
        self._place = ""
        self._failed = self._passed = False
        self._watch: threading.Timer | None = None
        self.ran = False

    def own(self, *modules: str) -> None:
        """The modules whose files are the plugin's: in them the place of a failure is looked for."""
        files: set[str] = set()
        for name in {each.partition(".")[0] for each in modules} - {_OURS}:
            module = sys.modules.get(name)
            files.update(f"{path}{os.sep}" for path in getattr(module, "__path__", ()))
            files.add(str(getattr(module, "__file__", None) or f"<{name}>"))
        self._own = tuple(sorted(files))

    def write(self, **line: Any) -> None:
        """A line of the report."""
        with self._report.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins: from now on it has its time."""
        name = nodeid.rpartition("::")[2]
        self.ran, self._failed, self._passed, self._place = True, False, False, ""
        self.write(begun=name)
        self._watch = threading.Timer(self._limit_s, self._hangs, (name,))
        self._watch.daemon = True
        self._watch.start()

    def pytest_runtest_makereport(self, call: Any) -> None:
        """The place of a failure, for pytest's own report has none that is of use."""
        if call.excinfo is not None:
            self._place = self._place_of(call.excinfo.value)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One phase of a test."""
        name = report.nodeid.rpartition("::")[2]
        if report.failed and not self._failed:
            self._failed = True
            self.write(name=name, outcome="failed", message=_message(report), place=self._place)
        elif report.skipped and not self._failed:
            self._failed = True
            message = "skipped by the plugin: only the suite itself excuses a test, by the traits"
            self.write(name=name, outcome="failed", message=message)
        self._passed = self._passed or (report.passed and report.when == "call")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """It is over, and what was built up for it is taken down."""
        if self._watch is not None:
            self._watch.cancel()
        if self._passed and not self._failed:
            self.write(name=nodeid.rpartition("::")[2], outcome="passed")

    def _hangs(self, name: str) -> None:
        everywhere: Mapping[int, FrameType] = getattr(sys, "_current_frames")()  # noqa: B009  # documented, though private
        frame = everywhere.get(self._main)
        place = self._innermost(_outwards(frame))
        message = f"it did not end within {self._limit_s:g} s, and kept the others from running"
        self.write(name=name, outcome="failed", message=message, place=place)
        _end()

    def _place_of(self, error: BaseException) -> str:
        """Where the plugin raised, or waited when the time was over: of an error and its causes, the first one's."""
        found = ""
        seen: set[int] = set()
        at: BaseException | None = error
        while at is not None and id(at) not in seen:
            seen.add(id(at))
            frames: list[tuple[str, int]] = []
            trace = at.__traceback__
            while trace is not None:
                frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
                trace = trace.tb_next
            found = self._innermost(reversed(frames)) or found
            at = at.__cause__ or (None if found else at.__context__)
        return found

    def _innermost(self, frames: Iterator[tuple[str, int]]) -> str:
        for file, line in frames:
            if file.startswith(self._own):
                return f"{os.path.join(os.path.basename(os.path.dirname(file)), os.path.basename(file))}:{line}"
        return ""


def _outwards(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


def _message(report: Any) -> str:
    longrepr = report.longrepr
    crash = getattr(longrepr, "reprcrash", None)
    text = crash.message if crash is not None else getattr(longrepr, "errorstring", None) or longrepr
    lines = str(text).strip().splitlines()
    return lines[0] if lines else "it failed without a word"


def run(suite: str, what: str, target: str, outcomes: Outcomes) -> None:
    """Run one suite, and write its report."""
    try:
        import pytest
        import pytest_asyncio  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the suites are coroutines
    except ImportError as error:
        outcomes.write(problem=f"the suites need pytest and pytest-asyncio: {error}", hint="pip install pytest-asyncio")
        return
    module, _, name = suite.partition(":")
    pytest.register_assert_rewrite(f"{_OURS}.testing", module)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except BaseException as error:  # noqa: BLE001  # whatever the plugin's module raises is what there is to tell
        problem = f"the suite cannot be imported from {module}: {type(error).__name__}: {error}"
        outcomes.write(problem=problem, hint=f"correct {module}, or the entry point `reactor.suites`")
        return
    base = _base(found, _BASES[what])
    if base is None:
        outcomes.write(problem=f"{suite} is no subclass of {_BASES[what]}", hint="see reactor.testing")
        return
    lacks = [each for each in _NEEDED[what] if not hasattr(found, each)]
    if lacks:
        hint = "it says what is tested, and in which world: see the page of plugins"
        outcomes.write(problem=f"{suite} has no `{lacks[0]}`", hint=hint)
        return
    tested = getattr(found, what)
    if not _is_made_of(tested, target):
        problem = f"{suite} tests {_named(tested)}, not {target}"
        outcomes.write(problem=problem, hint=f"name what is to be proven: {what} = {target.partition(':')[2]}")
        return
    tests = {each: test for each, test in vars(base).items() if each.startswith("test")}
    excused: Mapping[str, str] = _excused(found, base)
    replaced = [each for each in tests if each not in excused and getattr(found, each) is not tests[each]]
    if replaced:
        outcomes.write(
            problem=f"{suite} replaces tests of the suite: {', '.join(replaced)}", hint="leave them as they are"
        )
        return
    outcomes.write(promises={each: _promise(test) for each, test in tests.items()})
    for each, why in excused.items():
        outcomes.write(name=each, outcome="excused", message=why)
    outcomes.own(module, target.partition(":")[0])
    Path("test_suite.py").write_text(f"from {module} import {name} as TestSuite\n")
    Path("pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    options = ["-s", "-p", "no:terminal", "-p", "no:cacheprovider", "-c", "pytest.ini", "--rootdir=."]
    ended = pytest.main([*options, "test_suite.py"], plugins=[outcomes])
    if not outcomes.ran:
        outcomes.write(problem=f"no test of {suite} ran", hint="run the plugin's own tests with pytest")
    elif ended not in (0, 1):
        problem = f"the tests of {suite} were broken off: pytest ended with {int(ended)}"
        outcomes.write(problem=problem, hint="run the plugin's own tests with pytest")


def _excused(found: Any, base: type) -> Mapping[str, str]:
    """What the suite itself leaves out, whatever a subclass says of it."""
    excuses = getattr(importlib.import_module(base.__module__), "excuses", None)
    return excuses(found.trigger.traits) if excuses is not None else {}


def _is_made_of(tested: Any, target: str) -> bool:
    """Is it what the plugin supplies: the class itself, or an instance of it; of a function that makes one, any."""
    module, _, name = target.partition(":")
    supplied = getattr(importlib.import_module(module), name, None)
    return tested is supplied or not isinstance(supplied, type) or isinstance(tested, supplied)


def _named(tested: Any) -> str:
    made_of = tested if isinstance(tested, type) else type(tested)
    return f"{made_of.__module__}:{made_of.__qualname__}"


def _promise(test: Any) -> str:
    """What a test of the suite asks for, in a sentence."""
    return str(getattr(test, "__doc__", None) or "").strip().partition("\n")[0]


def _base(found: Any, name: str) -> type | None:
    """The public suite that a class descends from."""
    home = f"{_OURS}.testing."
    for each in found.__mro__[1:] if isinstance(found, type) else ():
        if each.__name__ == name and each.__module__.startswith(home):
            return each
    return None


def _end() -> None:
    """End, with all that the plugin left behind in this process's group: threads that never end, and programs."""
    if os.getpgrp() == os.getpid():  # as `plugin check` starts it
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main(suite: str, what: str, target: str, report: str, limit_s: str) -> None:
    """Run it and write that it ran to its end; never returns."""
    outcomes = Outcomes(Path(report), float(limit_s))
    run(suite, what, target, outcomes)
    outcomes.write(ended=True)
    _end()


if __name__ == "__main__":
    main(*sys.argv[1:])
