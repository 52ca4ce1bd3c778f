"""Each responsibility of the engine has one module, and tests of its own that reach it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reactor.tests.responsibilities import OTHERS, SHARE, shares, table
from reactor.tests.tidy.tree import ROOT

pytestmark = pytest.mark.req("P-17")
RESPONSIBILITIES = (
    "workflow base", "registry", "executor", "step", "result", "metrics", "definition language", "extensions",
    "dependency resolver", "scheduler", "compensation manager", "context storage",
)  # fmt: skip


def test_each_responsibility_has_one_module_and_no_module_has_two() -> None:
    found = table()
    assert tuple(found) == RESPONSIBILITIES
    modules = [module for module, _ in found.values()]
    assert len(set(modules)) == len(modules)
    assert [file for row in found.values() for file in row if not (ROOT / file).is_file()] == []


def test_what_is_reached_by_others_or_at_import_is_not_reached_by_its_own_tests() -> None:
    own = dict(table().values())

    def reached(module: str) -> tuple[int, dict[int, list[str]]]:
        mine = own[module]
        return 6, {1: [""], 2: ["", mine], 3: [mine], 4: [mine, OTHERS], 5: [OTHERS]}

    assert shares(reached) == dict.fromkeys(table(), 2 / 4)


def test_each_has_tests_of_its_own(tmp_path: Path) -> None:
    """`make test` judges the data of its one covered run: here of a smaller one, where one module's tests alone ran."""
    said = subprocess.run(["make", "-n", "test"], capture_output=True, text=True, cwd=ROOT).stdout
    assert "coverage run --parallel-mode -m pytest -q -p reactor.tests.tidy.contexts -m" in said
    assert ".venv/bin/python -P tests/responsibilities.py\n" in said
    module, own = table()["workflow base"]
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "data"), "COVERAGE_PROCESS_START": ""}
    command = ["-m", "coverage", "run", "-m", "pytest", "-q", "-p", "reactor.tests.tidy.contexts", own]
    subprocess.run([sys.executable, "-P", *command], check=True, capture_output=True, cwd=ROOT, env=environment)
    judging = [sys.executable, "-P", "tests/responsibilities.py"]
    done = subprocess.run(judging, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 1, done.stderr
    named = re.findall(
        r"^The tests of `(.+)`, (\S+), reach 0% of (\S+) by themselves; 60% is wanted\.$", done.stdout, re.MULTILINE
    )
    assert SHARE == 0.6
    expected = [(name, tests, file) for name, (file, tests) in table().items() if file != module]
    assert named == expected
    assert len(done.stdout.splitlines()) == len(expected)
