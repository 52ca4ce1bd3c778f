"""Paths as text and back: `steps.charge.with["content-type"]`, `triggers[2].zone`."""

from __future__ import annotations

import json
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
        parts.append(hit[1] if hit[1] is not None else int(hit[2]) if hit[2] is not None else json.loads(hit[3]))
        at = hit.end()
    return tuple(parts)
