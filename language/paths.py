"""Paths as text and back: `steps.charge.with["content-type"]`, `triggers[2].zone`."""

from __future__ import annotations

import re

from .diagnostics import Path

_PART = re.compile(r"""\.?([^.\[\]"]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]""")


def parse_path(text: str) -> Path:
    """The path that `diagnostics.path_text` writes so; what cannot be read is one part."""
    parts: list[str | int] = []
    at = 0
    while at < len(text):
        hit = _PART.match(text, at)
        if hit is None:
            return (text,)
        parts.append(hit[1] if hit[1] is not None else int(hit[2]) if hit[2] is not None else _quoted(hit[3]))
        at = hit.end()
    return tuple(parts)


def _quoted(text: str) -> str:
    """No JSON: whatever is no quote and no backslash stands for itself, a line break too."""
    return re.sub(r"\\(.)", r"\1", text[1:-1])
