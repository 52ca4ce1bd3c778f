"""A pytest plugin: a run in which a test was skipped has failed, whatever skipped it, for nothing was proven."""

import pytest


def skipped(config: pytest.Config) -> int:
    """How many tests were skipped."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", ())) if reporter is not None else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    if skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if count := skipped(terminalreporter.config):
        terminalreporter.write_line(f"{count} skipped: a test that is skipped proves nothing, so this run has failed")
