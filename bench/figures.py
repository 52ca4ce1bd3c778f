"""How the parts of `make bench` take their words and show what they found."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def words(doc: str | None) -> argparse.ArgumentParser:
    """A command line that knows `--json FILE`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", default="", help="write the figures to this file too")
    return parser


def show(found: Mapping[str, Any], json_file: str = "", width: int = 45) -> None:
    """A line a figure; all of them as JSON, if a file is named."""
    for name, value in found.items():
        print(f"{name:{width}} {value}")
    if json_file:
        Path(json_file).write_text(json.dumps(found, indent=1))


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def rss_mb() -> float:
    """What this process holds now, in MB of a million bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
