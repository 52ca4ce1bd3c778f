"""Which workflows a file may hold that cannot be read: its text is looked at for the words that define one.

It is asked when a workflow is missing: moved into a file with an error, it was not removed (semantics 10.3). Taking
one too many for moved keeps it in force until the file's errors are mended.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..core.limits import DEFINITION_BYTES_MAX
from .python_nodes import dashed

_CLASS = re.compile(r"^[ \t]*class[ \t]+(\w+)", re.MULTILINE)


def may_hold(name: str, file: str) -> bool:
    """Could a workflow of this name be defined in this file? Not if the file is not there, or may not be read."""
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(DEFINITION_BYTES_MAX).decode(errors="replace")
    except OSError:
        return False
    written = re.escape(name)
    if file.endswith(".py"):
        named = re.search(rf"""["']{written}["']""", text) is not None
        return named or any(dashed(found[1]) == name for found in _CLASS.finditer(text))
    before = r"""[{,"'\s]""" if file.endswith(".json") else r"""^(?:--- )?\{?["']?"""
    return re.search(rf"""{before}workflow["']?[ ]*:[ ]*["']?{written}(?![\w.-])""", text, re.MULTILINE) is not None
