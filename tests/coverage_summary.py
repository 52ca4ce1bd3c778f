"""Prints what the covered tests reached, and fails where the whole or a core part is not above a floor:
coverage_summary.py PERCENT. What is judged is statements and branches together; branches alone are printed beside.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CORE = ("engine", "router", "store")


def main(floor: float) -> int:
    """Read the coverage data of this folder; 0 when the whole and each core part are above `floor` percent."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        command = [sys.executable, "-P", "-m", "coverage", "json", "-q", "-o", str(report)]
        subprocess.run(command, check=True)
        files = json.loads(report.read_text())["files"]
    worst = sorted(files.items(), key=lambda item: -item[1]["summary"]["missing_lines"])
    for path, entry in worst[:10]:
        summary = entry["summary"]
        if summary["missing_lines"]:
            print(f"  {summary['percent_covered']:5.1f} %  {path} ({summary['missing_lines']} lines missing)")
    lines, low = judged({path: entry["summary"] for path, entry in files.items()}, floor)
    print("\n".join(lines))
    print("See htmlcov/.")
    if low:
        names = ", ".join(low)
        print(f"Not above {floor:g} %: {names}. Test what is new, or say why in the Makefile (COVERAGE_FLOOR).")
    return 1 if low else 0


def judged(files: Mapping[str, Mapping[str, Any]], floor: float) -> tuple[list[str], list[str]]:
    """A line for the whole and for each core part, and the names of those that are not above `floor` percent."""
    lines: list[str] = []
    low: list[str] = []
    for name in ("the whole", *CORE):
        inside = files.values() if name == "the whole" else _below(files, name)
        total = {key: sum(each[key] for each in inside) for key in _COUNTS}
        both = _percent(
            total["covered_lines"] + total["covered_branches"], total["num_statements"] + total["num_branches"]
        )
        branches = _percent(total["covered_branches"], total["num_branches"])
        lines.append(
            f"Coverage of {name}: {both:.1f} % of {total['num_statements']} statements and {total['num_branches']}"
            f" branches together; branches alone {branches:.1f} %."
        )
        if both <= floor:
            low.append(name)
    return lines, low


_COUNTS = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def _below(files: Mapping[str, Mapping[str, Any]], part: str) -> list[Mapping[str, Any]]:
    return [summary for path, summary in files.items() if Path(path).parts[0] == part]


def _percent(covered: int, count: int) -> float:
    """Of nothing, none is covered: a part that is not measured is no part that is tested."""
    return 100 * covered / count if count else 0.0


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1])))
