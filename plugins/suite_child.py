"""The process in which `reactor plugin check` runs a suite, started with SUITE WHAT REPORT.

SUITE is `module:Class`, WHAT `trigger` or `action`; REPORT is the file that gets the outcome of every test, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OURS = (__package__ or "").partition(".")[0]
_BASES = {"trigger": "TriggerSuite", "action": "ActionSuite"}


class Outcomes:
    """Collects what pytest reports of each test."""

    def __init__(self, excused: Mapping[str, str]) -> None:
        self.tests = {
            name: {"name": name, "outcome": "excused", "message": message} for name, message in excused.items()
        }

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One phase of a test; the worst of the three counts."""
        name = report.nodeid.rpartition("::")[2]
        known = self.tests.get(name)
        if report.failed:
            if known is None or known["outcome"] != "failed":
                self.tests[name] = {"name": name, "outcome": "failed", "message": _message(report)}
        elif report.skipped:
            message = "skipped by the plugin: only the suite itself excuses a test, by the traits"
            self.tests[name] = {"name": name, "outcome": "failed", "message": message}
        elif known is None and report.when == "call":
            self.tests[name] = {"name": name, "outcome": "passed"}


def _message(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr).strip().splitlines()[0]


def refused(problem: str, hint: str) -> dict[str, Any]:
    """The report of a suite that cannot run."""
    return {"problem": problem, "hint": hint}


def run(suite: str, what: str) -> dict[str, Any]:
    """Run one suite; the report."""
    try:
        import pytest
        import pytest_asyncio  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the suites are coroutines
    except ImportError as error:
        return refused(f"the suites need pytest and pytest-asyncio: {error}", "pip install pytest pytest-asyncio")
    module, _, name = suite.partition(":")
    pytest.register_assert_rewrite(f"{_OURS}.testing", module)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # noqa: BLE001  # whatever the plugin's module raises is what there is to tell
        hint = "correct the entry point `reactor.suites`"
        return refused(f"the suite cannot be imported from {module}: {type(error).__name__}: {error}", hint)
    base = _base(found, _BASES[what])
    if base is None:
        return refused(f"{suite} is no subclass of {_BASES[what]}", "see reactor.testing")
    tests = [each for each in vars(base) if each.startswith("test")]
    excused: Mapping[str, str] = getattr(found, "excused", {})
    replaced = [each for each in tests if each not in excused and getattr(found, each) is not getattr(base, each)]
    if replaced:
        return refused(f"{suite} replaces tests of the suite: {', '.join(replaced)}", "leave them as they are")
    Path("test_suite.py").write_text(f"from {module} import {name} as TestSuite\n")
    Path("pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    outcomes = Outcomes(excused)
    options = ["-q", "-p", "no:cacheprovider", "-c", "pytest.ini", "--rootdir=."]
    pytest.main([*options, "test_suite.py"], plugins=[outcomes])
    if outcomes.tests.keys() == excused.keys():
        return refused(f"no test of {suite} ran", "run the plugin's own tests with pytest")
    return {"tests": list(outcomes.tests.values())}


def _base(found: Any, name: str) -> type | None:
    """The public suite that a class descends from."""
    home = f"{_OURS}.testing."
    for each in found.__mro__[1:] if isinstance(found, type) else ():
        if each.__name__ == name and each.__module__.startswith(home):
            return each
    return None


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(run(sys.argv[1], sys.argv[2])))
