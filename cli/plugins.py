"""plugin list, new, check."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Literal, cast

import msgspec

from ..plugins.checking import check_plugin
from ..plugins.installed import list_plugins
from ..plugins.template import new_plugin
from . import output
from .failures import RUN_FAILED
from .parsing import Given


def list_(given: Given) -> None:
    """All that installed plugins supply, each imported, so that what is broken shows."""
    with contextlib.redirect_stdout(sys.stderr):  # what one prints as it is imported is no part of the list
        found = list_plugins()
    if given.output != "table":
        output.dump(msgspec.to_builtins(found), given.output)
    elif found:
        output.table(
            ("plugin", "version", "supplies", "name", "state", "problem"),
            [(each.plugin, each.version, each.what, each.name, each.state, each.problem) for each in found],
        )
        for hint in dict.fromkeys(each.hint for each in found if each.problem and each.hint):
            output.note(f"help: {hint}")
    else:
        output.note("no plugin is installed; `reactor plugin new NAME` begins one")


def new(given: Given) -> None:
    """A package that works, with its tests."""
    kind = cast("Literal['trigger', 'action']", given.text("kind") or "trigger")
    language = cast("Literal['python', 'go']", given.text("language") or "python")
    name = given.word("plugin")
    files = new_plugin(name, kind, language=language)
    output.wrote(files, f"pip install -e {name} && reactor plugin check {name}", given.output)


def check(given: Given) -> int:
    """The public suite over a plugin, test by test; 1 if something failed or nothing ran."""
    checked = asyncio.run(check_plugin(given.word("plugin")))
    if given.output != "table":
        output.dump([{**msgspec.to_builtins(each), "passed": each.passed} for each in checked], given.output)
    else:
        for each in checked:
            print(f"{each.what} {each.name} of {each.plugin} {each.version}: {'passed' if each.passed else 'failed'}")
            for test in each.tests:
                print(f"  {test.outcome:<8} {test.name}" + (f": {output.cell(test.message)}" if test.message else ""))
                if test.place or test.promise:
                    where = f"at {test.place}; " if test.place else ""
                    print(f"           {where}the promise: {test.promise or test.name}")
            if each.problem:
                print(f"  {each.problem}" + (f"\n  = help: {each.hint}" if each.hint else ""))
            if each.earned:
                print(f"  guarantee: {each.earned}")
    return 0 if all(each.passed for each in checked) else RUN_FAILED
