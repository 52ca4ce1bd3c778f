"""Prints what the covered tests reached, and fails below a floor: coverage_summary.py PERCENT."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def main(floor: float) -> int:
    """Read the coverage data of this folder; 0 when branch coverage is at least `floor` percent."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        command = [sys.executable, "-P", "-m", "coverage", "json", "-q", "-o", str(report)]
        subprocess.run(command, check=True)
        measured = json.loads(report.read_text())
    totals = measured["totals"]
    worst = sorted(measured["files"].items(), key=lambda item: -item[1]["summary"]["missing_lines"])
    for path, entry in worst[:10]:
        summary = entry["summary"]
        if summary["missing_lines"]:
            print(f"  {summary['percent_covered']:5.1f} %  {path} ({summary['missing_lines']} lines missing)")
    lines, branches = totals["num_statements"], totals["num_branches"]
    branch = 100 * totals["covered_branches"] / branches if branches else 100.0
    percent = totals["percent_covered"]
    print(f"Coverage: {percent:.1f} % of {lines} statements and {branches} branches; branches alone {branch:.1f} %.")
    print(f"Counted: {totals['covered_lines']} statements and {totals['covered_branches']} branches. See htmlcov/.")
    if percent < floor:
        print(f"Below the floor of {floor:.0f} %: test what is new, or say why in the Makefile (COVERAGE_FLOOR).")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1])))
