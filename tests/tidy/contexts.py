"""A pytest plugin: coverage keeps apart what those files of tests reach that a responsibility of ARCHITECTURE.md has as
its own; `tests/responsibilities.py` judges it. What runs while modules are imported has no context.
"""

from collections.abc import Generator

import coverage
import pytest

from reactor.tests.responsibilities import OTHERS, table

_own = {file for _, file in table().values()}
_now = [""]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    measuring = coverage.Coverage.current()
    file = item.nodeid.partition("::")[0]
    context = file if file in _own else OTHERS
    if measuring is not None and _now[0] != context:
        measuring.switch_context(context)  # it writes what was measured so far: not for every test
        _now[0] = context
    return (yield)
