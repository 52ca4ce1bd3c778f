"""Every benchmark, one after the other, each in a process of its own: `make bench`.

Figures of one run compare with each other; those of two machines, or of a busy one, do not.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time

SECTIONS: dict[str, list[str]] = {
    "start-up": ["reactor.bench.startup"],
    "matching": ["reactor.bench.matching"],
    "routing beside others": ["reactor.bench.routing"],
    "language": ["reactor.bench.language"],
    "store": ["reactor.bench.store"],
    "workflows": ["reactor.bench.workflows"],
    "engine": ["reactor.bench.engine"],
    "many runs": ["reactor.bench.crowd"],
    "http": ["reactor.bench.http"],
    "latency": ["reactor.bench.latency"],
    "schedules and files": ["reactor.bench.triggers_local"],
    "sources": ["reactor.bench.sources"],
}


def main() -> int:
    """Run what is named, or all; the status is that of the worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), help=", ".join(SECTIONS))
    said = parser.parse_args()
    unknown = [name for name in said.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no such section: {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()}")
    worst = 0
    for name in said.sections:
        print(f"\n== {name} ({time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC)", flush=True)
        worst = max(worst, subprocess.call([sys.executable, "-P", "-m", *SECTIONS[name]]))
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
