"""The floor of coverage is that of the whole and of each core part."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reactor.tests.coverage_summary import CORE, judged
from reactor.tests.tidy.tree import ROOT

pytestmark = pytest.mark.req("Q-4")


def counted(lines: int, branches: int, of_lines: int = 100, of_branches: int = 100) -> dict[str, Any]:
    return {
        "covered_lines": lines,
        "num_statements": of_lines,
        "covered_branches": branches,
        "num_branches": of_branches,
    }


GOOD = {"engine/run.py": counted(95, 90), "router/a/b.py": counted(96, 90), "store/group.py": counted(100, 90)}


def test_all_above() -> None:
    lines, low = judged({**GOOD, "core/engine/x.py": counted(0, 0, 10, 10)}, 90)
    assert low == []
    assert lines == [
        "Coverage of the whole: 90.5 % of 310 statements and 310 branches together; branches alone 87.1 %.",
        "Coverage of engine: 92.5 % of 100 statements and 100 branches together; branches alone 90.0 %.",
        "Coverage of router: 93.0 % of 100 statements and 100 branches together; branches alone 90.0 %.",
        "Coverage of store: 95.0 % of 100 statements and 100 branches together; branches alone 90.0 %.",
    ]


def test_a_core_part_that_is_not_above_is_named_though_the_whole_is() -> None:
    files = {**GOOD, "store/group.py": counted(90, 90), "web/api.py": counted(1000, 1000, 1000, 1000)}
    assert judged(files, 90)[1] == ["store"]


def test_the_whole_is_judged_beside_its_parts() -> None:
    assert judged({**GOOD, "web/api.py": counted(0, 0)}, 90)[1] == ["the whole"]


def test_a_part_that_was_not_measured_is_not_covered() -> None:
    assert judged({"engine/run.py": counted(95, 90), "router/a.py": counted(95, 90)}, 90)[1] == ["store"]


def test_make_test_ends_with_an_error_below_the_floor(tmp_path: Path) -> None:
    """The floor of the Makefile is more than 90 %, of branches too, and what is low makes the run fail."""
    said = subprocess.run(["make", "-n", "test"], capture_output=True, text=True, cwd=ROOT).stdout
    assert ".venv/bin/python -P -m coverage run --parallel-mode -m pytest" in said
    assert ".venv/bin/python -P -m coverage combine -q\n" in said
    assert ".venv/bin/python -P tests/coverage_summary.py 90\n" in said
    (tmp_path / ".coveragerc").write_text("[run]\nbranch = true\nsource = .\n")
    for part in CORE:
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.py").write_text("x = 1\nif x == 0:\n    x = 2\n" if part == "engine" else "x = 1\n")
    (tmp_path / "main.py").write_text("import runpy\n" + "".join(f"runpy.run_path('{p}/a.py')\n" for p in CORE))
    environment = {**os.environ, "COVERAGE_PROCESS_START": "", "COVERAGE_FILE": ""}
    python = [sys.executable, "-P"]
    subprocess.run([*python, "-m", "coverage", "run", "main.py"], check=True, cwd=tmp_path, env=environment)
    summary = [*python, str(ROOT / "tests" / "coverage_summary.py")]
    done = subprocess.run([*summary, "90"], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.endswith(
        "Not above 90 %: the whole, engine. Test what is new, or say why in the Makefile (COVERAGE_FLOOR).\n"
    )
    assert done.returncode == 1
    done = subprocess.run([*summary, "-1"], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout
